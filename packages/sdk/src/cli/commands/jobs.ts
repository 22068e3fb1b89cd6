import type { JobFilter, JobPlace, JobSummary } from "@arcp/client";
import { JOB_STATUSES, type JobStatus } from "@arcp/core";
import { type Command, Option } from "commander";
import { parseCount } from "../count.ts";
import { escapeLine, jsonLines } from "../escape.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { duration } from "../gauge.ts";
import { printJson } from "../json-view.ts";
import { listedFacts } from "../listed-facts.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { STATUS_STYLES } from "../status-style.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options extends RuntimeAddress {
  readonly status?: readonly JobStatus[];
  readonly agent?: string;
  readonly all?: boolean;
  readonly limit: number;
  readonly json?: boolean;
}

const DEFAULT_LIMIT = 20;
const PAGE = 500;

const EXAMPLES = `
Examples:
  arcp jobs                            the latest ${DEFAULT_LIMIT}
  arcp jobs --status running pending   those that have not ended
  arcp jobs --agent repo-report --all
  arcp jobs --json | jq -r 'select(.status == "error").job_id'
  arcp jobs job_01J…                   its agent, its input, the lease that was asked for
  arcp jobs job_01J… --json | jq .input | arcp submit repo-report --input-file -`;

export function addJobs(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("jobs")
    .description("List jobs, the oldest first, or tell what one of them was asked for")
    .argument("[job]", "id of a job: tell what this one was asked for")
    .addOption(new Option("--status <status...>", "only these").choices(JOB_STATUSES))
    .option("--agent <name>", "only this agent's: name, or name@version")
    .option("--limit <count>", "the latest so many", parseCount, DEFAULT_LIMIT)
    .option("--all", "without a limit")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((job: string | undefined, options: Options) =>
    run(() => (job === undefined ? jobs(options) : describeJob(job, options))),
  );
}

async function jobs(options: Options): Promise<ExitCode> {
  const { status, agent } = options;
  const filter: JobFilter = { ...(status === undefined ? {} : { status }), ...(agent === undefined ? {} : { agent }) };
  await using client = await connectTo(options);
  const limit = options.all === true ? Number.POSITIVE_INFINITY : options.limit;
  const found: JobSummary[] = [];
  for await (const job of client.jobs(filter, { limit: PAGE })) {
    found.push(job);
    if (found.length > 2 * limit) found.splice(0, found.length - limit);
  }
  const shown = Number.isFinite(limit) ? found.slice(-limit) : found;
  if (options.json ?? !process.stdout.isTTY) for (const job of shown) await printJson(process.stdout, listedFacts(job));
  else await printTable(shown);
  return EXIT.success;
}

async function describeJob(id: string, options: Options): Promise<ExitCode> {
  await using client = await connectTo(options);
  const { jobId, agent, input, isInputOmitted, leaseRequest, maxRuntimeSec } = await client.describeJob(id);
  if (options.json ?? !process.stdout.isTTY) {
    await printJson(process.stdout, {
      ...{ job_id: jobId, agent, ...(isInputOmitted ? { input_omitted: true } : { input }) },
      ...{ lease_request: leaseRequest, max_runtime_sec: maxRuntimeSec },
    });
    return EXIT.success;
  }
  const terminal = new Terminal(process.stdout);
  const lines = [
    `${terminal.style("bold", escapeLine(jobId))} ${escapeLine(agent)}`,
    `Input: ${isInputOmitted ? "the runtime has not kept it" : jsonLines(input)}`,
    ...(leaseRequest === undefined ? [] : [`Lease asked for: ${jsonLines(leaseRequest)}`]),
    ...(maxRuntimeSec === undefined ? [] : [`It runs at most: ${maxRuntimeSec} s`]),
  ];
  await terminal.print(lines.join("\n"));
  return EXIT.success;
}

async function printTable(shown: readonly JobSummary[]): Promise<void> {
  const terminal = new Terminal(process.stdout);
  if (shown.length === 0) return terminal.print("no jobs");
  const rows = shown.map(({ jobId, agent, status, place, createdAt }) => [
    escapeLine(jobId),
    escapeLine(agent),
    terminal.style(STATUS_STYLES[status] ?? "white", escapeLine(status) + (place ? placeText(place) : "")),
    createdAt === undefined ? "" : `${duration(Date.now() - Date.parse(createdAt))} ago`,
  ]);
  return terminal.print(table(terminal, ["JOB", "AGENT", "STATUS", "SUBMITTED"], rows));
}

const placeText = ({ position, length }: JobPlace): string => `, ${ordinal(position)} of ${length}`;

const ENDINGS: Readonly<Record<string, string>> = { one: "st", two: "nd", few: "rd", other: "th" };
const ORDINALS = new Intl.PluralRules("en", { type: "ordinal" });
const ordinal = (count: number): string => `${count}${ENDINGS[ORDINALS.select(count)]}`;
