import { readFile } from "node:fs/promises";
import {
  commandTarget,
  httpTarget,
  type Manifest,
  parseManifest,
  runServerSuite,
  type Target,
  type Wire,
  webSocketTarget,
} from "@arcp/conformance";
import { type Command, Option } from "commander";
import { type ReportOptions, withReports, writeReports } from "../conformance-reports.ts";
import { type ExitCode, UsageError } from "../exit-code.ts";
import { interruptible } from "../interruptible.ts";
import { addConformanceClient } from "./conformance-client.ts";

interface ServerOptions extends ReportOptions {
  readonly url?: string;
  readonly shared?: boolean;
  readonly token?: string;
  readonly tokenB?: string;
  readonly tokenBrief?: string;
  readonly tokenObserver?: string;
  readonly wire: Wire;
  readonly manifest?: string;
  readonly only?: readonly string[];
}

const EXAMPLES = `
Examples:
  arcp conformance server --url ws://127.0.0.1:7777/arcp --token demo-token
  arcp conformance server --url ws://127.0.0.1:7777/arcp --token a --token-b b --manifest manifest.json
  arcp conformance server --wire 1.0 --url ws://127.0.0.1:7777/arcp --token a --junit report.xml
  arcp conformance server --token a -- node my-runtime.js --stdio
  arcp conformance server --url … --token a --only V11-6.3-07

Exit codes: 0 what must be kept is kept, 1 it is not (with --strict: or what should be), 64 wrong arguments.`;

export function addConformance(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const conformance = program
    .command("conformance")
    .description("Find out whether a runtime, or a client, keeps the protocol");
  const server = conformance
    .command("server")
    .description("Ask a runtime everything that the wire can show")
    .argument("[command...]", "the runtime as a program on stdin and stdout, after --")
    .option(
      "--url <url>",
      "where the runtime listens: ws://, wss://; http://, https:// for HTTP with Server-Sent Events",
    )
    .option("--shared", "the command leads to one runtime, however often it is started: a relay")
    .option("--token <token>", "the token to show (default: ARCP_TOKEN)")
    .option("--token-b <token>", "the token of somebody else, for what one must not see of another")
    .option(
      "--token-brief <token>",
      "a token that ends within seconds after it was shown, for what comes of that (wire 1.0)",
    )
    .option("--token-observer <token>", "a token of somebody whom the operator lets observe the jobs of --token")
    .addOption(new Option("--wire <wire>", "the revision").choices(["1.1", "1.0"]).default("1.1"))
    .option("--manifest <file>", "which agents the runtime has, as JSON (default: those of the reference fixture)")
    .option("--only <id>", "a case, a requirement or the beginning of a case's name; may be repeated", collect)
    .addHelpText("after", EXAMPLES);
  withReports(server).action((command: readonly string[], options: ServerOptions) =>
    run(() => askServer(command, options)),
  );
  addConformanceClient(conformance, run);
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function askServer(command: readonly string[], options: ServerOptions): Promise<ExitCode> {
  return interruptible(async (signal) => {
    const { tokenB, tokenBrief, tokenObserver, wire, only } = options;
    const token = options.token ?? process.env["ARCP_TOKEN"]?.split(/[,=]/)[0];
    if (token === undefined) throw new UsageError("--token is missing: the token to show");
    const report = await runServerSuite({
      ...{ target: targetOf(command, options), token, wire, signal },
      ...(tokenB === undefined ? {} : { tokenB }),
      ...(tokenBrief === undefined ? {} : { tokenBrief }),
      ...(tokenObserver === undefined ? {} : { tokenObserver }),
      ...(only === undefined ? {} : { only }),
      ...(options.manifest === undefined ? {} : { manifest: await manifestIn(options.manifest) }),
    });
    return writeReports(report, options);
  });
}

function targetOf(command: readonly string[], { url, shared = false }: ServerOptions): Target {
  if ((url === undefined) === (command.length === 0)) {
    throw new UsageError("expected a runtime: --url, or a command after --");
  }
  if (url === undefined) return commandTarget(command, { isShared: shared });
  const { protocol } = URL.parse(url) ?? {};
  if (protocol === "ws:" || protocol === "wss:") return webSocketTarget(url);
  if (protocol === "http:" || protocol === "https:") return httpTarget(url);
  throw new UsageError(`"${url}" is no address of a runtime: expected ws://, wss://, http:// or https://`);
}

async function manifestIn(file: string): Promise<Manifest> {
  try {
    return parseManifest(await readFile(file, "utf8"));
  } catch (thrown) {
    throw new UsageError(`${file}: ${(thrown as Error).message}`);
  }
}
