import { type CarrierKind, runClientSuite, type Wire } from "@arcp/conformance";
import { type Command, Option } from "commander";
import { serveConformanceDriver } from "../conformance-driver.ts";
import { type ReportOptions, withReports, writeReports } from "../conformance-reports.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { interruptible } from "../interruptible.ts";

interface ClientOptions extends ReportOptions {
  readonly wire: Wire;
  readonly carrier: CarrierKind;
  readonly parallel: string;
  readonly patience: string;
  readonly slack: string;
  readonly only?: readonly string[];
}

const EXAMPLES = `
Examples:
  arcp conformance client -- arcp conformance driver
  arcp conformance client --wire 1.0 -- ruby driver.rb
  arcp conformance client --parallel 1 --junit report.xml -- ./driver

The command is a driver of the client: it reads what to do from stdin, and says on stdout what came of it.

Exit codes: 0 what must be kept is kept, 1 it is not (with --strict: or what should be), 64 wrong arguments.`;

/** Adds `client`, which judges one, and `driver`, which is that of this package's own client. */
export function addConformanceClient(
  conformance: Command,
  run: (work: () => Promise<ExitCode>) => Promise<void>,
): void {
  const client = conformance
    .command("client")
    .description("Find out what a client does, and what it survives")
    .argument("<command...>", "the driver of the client, after --")
    .addOption(new Option("--wire <wire>", "the revision").choices(["1.1", "1.0"]).default("1.1"))
    .addOption(
      new Option("--carrier <kind>", "how the client connects")
        .choices(["websocket", "http", "stdio"])
        .default("websocket"),
    )
    .option("--parallel <count>", "how many cases at a time", "8")
    .option("--patience <ms>", "how long to wait for what has to come", "10000")
    .option("--slack <ms>", "how much later a client may do what it has to do in time", "900")
    .option("--only <id>", "a case, a requirement or the beginning of a case's name; may be repeated", collect)
    .addHelpText("after", EXAMPLES);
  withReports(client).action((command: readonly string[], options: ClientOptions) =>
    run(() => judgeClient(command, options)),
  );
  conformance
    .command("driver")
    .description("Be the driver of this package's client, on stdin and stdout")
    .action(() =>
      run(async () => {
        await serveConformanceDriver(process.stdin, process.stdout);
        return EXIT.success;
      }),
    );
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

function judgeClient(command: readonly string[], options: ClientOptions): Promise<ExitCode> {
  return interruptible(async (signal) => {
    const { wire, carrier, only } = options;
    const report = await runClientSuite({
      ...{ command, wire, carrier, signal },
      concurrency: countOf("--parallel", options.parallel),
      patienceMs: countOf("--patience", options.patience),
      slackMs: countOf("--slack", options.slack),
      ...(only === undefined ? {} : { only }),
    });
    return writeReports(report, options);
  });
}

function countOf(option: string, value: string): number {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 1) throw new UsageError(`${option}: expected a whole number above 0`);
  return count;
}
