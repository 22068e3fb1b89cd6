import { JOB_STATUSES } from "@arcp/core";
import { type Command, Option } from "commander";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { readPastInstant } from "../instant.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { NEEDS_ME } from "../top/selection.ts";
import { useColors } from "../use-colors.ts";

interface Options extends RuntimeAddress {
  readonly status?: readonly string[];
  readonly agent?: string;
  readonly text?: string;
  readonly since: string;
  readonly once?: boolean;
  readonly json?: boolean;
  readonly color: boolean;
}

const DEFAULT_SINCE = "24h";

const EXAMPLES = `
Examples:
  arcp top                             every job that works, and what has ended since yesterday
  arcp top --status needs-me running
  arcp top --agent deploy --since 7d
  arcp top --once                      a table, and done
  arcp top --json | jq -r 'select(.needs_me).job_id'

Keys: arrows, or j and k, go from job to job, Enter opens one, a answers what it asks, c cancels it, / finds, ? lists the
rest, q leaves. Where the output is not a terminal it is a table, once.
Exit codes: 0 left with q, or printed, 1 no connection, or lost for good, 64 wrong arguments, 130 Ctrl-C.`;

export function addTop(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("top")
    .description("All jobs, live: what they do, have spent and ask")
    .addOption(new Option("--status <status...>", "only these").choices([NEEDS_ME, ...JOB_STATUSES]))
    .option("--agent <name>", "only this agent's: name, or name@version")
    .option("--text <text>", "only those with this in their id, agent, owner, phase or question")
    .option(
      "--since <time>",
      "of those that have ended, only what was submitted since: 2h, 7d, RFC 3339",
      DEFAULT_SINCE,
    )
    .option("--once", "print a table and end (default where the output is not a terminal)")
    .option("--json", "print lines of JSON and end")
    .option("--no-color", "without colours, as NO_COLOR does")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((options: Options) => run(() => top(options)));
}

async function top(options: Options): Promise<ExitCode> {
  useColors(options.color);
  const { status = [], agent = "", text = "" } = options;
  const since = readPastInstant(options.since, "--since").getTime();
  const board = { since, filter: { status, agent, text } };
  const { stdin, stdout } = process;
  const isLive = stdin.isTTY === true && stdout.isTTY === true && process.env["TERM"] !== "dumb";
  await using client = await connectTo(options, undefined, { maxKeptEvents: 1 });
  if (options.json === true || options.once === true || !isLive) {
    const { printBoard } = await import("../top/print.ts");
    await printBoard({ client, ...board }, options.json === true);
    return EXIT.success;
  }
  const [{ runTop }, { followJob }] = await Promise.all([import("../top/top.ts"), import("../watch.ts")]);
  const open = (jobId: string): Promise<ExitCode> =>
    followJob(jobId, options, { history: true, isJson: false, isAttended: true });
  return await runTop({ client, url: options.url, ...board, open });
}
