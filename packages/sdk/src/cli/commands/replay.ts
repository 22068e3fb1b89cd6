import { existsSync } from "node:fs";
import { join } from "node:path";
import type { JobEvent } from "@arcp/client";
import { EVENT_BODIES, type EventLog, isEventKind, type LoggedEntry, type LoggedJob } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { type Command, InvalidArgumentError } from "commander";
import { escapeLine } from "../escape.ts";
import { amount, bytes, eventLine } from "../event-line.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { readJobId } from "../job-id.ts";
import { printJson } from "../json-view.ts";
import { Terminal } from "../terminal.ts";

interface Options {
  readonly db: string;
  readonly job?: string;
  readonly after: number;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp replay                                   every job in ./.arcp/runtime.db
  arcp replay --db runtime.db --job job_01J…    one job
  arcp replay --job job_01J… --after 100        what came after its 100th entry
  arcp replay --json | jq -c 'select(.type == "job.error")'

Reads the file only, while a server uses it or without one.`;

export function addReplay(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("replay")
    .description("Print what happened, from the database of a runtime, offline")
    .option("--db <file>", "the database", join(".arcp", "runtime.db"))
    .option("--job <job>", "only this job")
    .option("--after <n>", "leave out each job's first n entries", parsePosition, 0)
    .option("--json", "lines of JSON")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) => run(() => replay(options)));
}

async function replay(options: Options): Promise<ExitCode> {
  const jobId = options.job === undefined ? undefined : readJobId(options.job);
  const log = openLog(options.db);
  try {
    let count = 0;
    for await (const job of log.jobs()) {
      if (jobId !== undefined && job.jobId !== jobId) continue;
      await printJob(job, log.entries(job.jobId, options.after), options.json === true);
      count += 1;
    }
    if (count === 0 && jobId !== undefined) throw new Error(`${options.db} has no job ${jobId}`);
    if (count === 0 && options.json !== true) process.stdout.write("no jobs\n");
    return EXIT.success;
  } finally {
    await log.close();
  }
}

function openLog(path: string): EventLog {
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  try {
    return sqliteStore({ path, readOnly: true });
  } catch (cause) {
    throw new Error(`${path} is not the database of a runtime: ${(cause as Error).message}`, { cause });
  }
}

async function printJob(job: LoggedJob, entries: AsyncIterable<LoggedEntry>, isJson: boolean): Promise<void> {
  if (isJson) return printJobAsJson(job, entries);
  const terminal = new Terminal(process.stdout);
  await terminal.print(heading(job, terminal));
  let count = 0;
  for await (const entry of entries) {
    count += 1;
    await terminal.print(line(entry, terminal));
  }
  await terminal.print(terminal.style("gray", `  ${amount(count)} entries\n`));
}

async function printJobAsJson(job: LoggedJob, entries: AsyncIterable<LoggedEntry>): Promise<void> {
  await printJson(process.stdout, {
    type: "job",
    job_id: job.jobId,
    agent: agentOf(job),
    status: job.status,
    principal: job.principal,
    session_id: job.sessionId,
    created_at: isoTime(job.createdAt),
    ended_at: job.endedAt === null ? null : isoTime(job.endedAt),
    lease: job.lease,
    lease_constraints: job.leaseConstraints,
    parent_job_id: job.parentJobId,
    trace_id: job.traceId,
  });
  for await (const { type, n, ts, payload } of entries) {
    await printJson(process.stdout, { type, job_id: job.jobId, n, ...payload, ts: isoTime(ts) });
  }
}

const agentOf = (job: LoggedJob): string =>
  job.agentVersion === null ? job.agent : `${job.agent}@${job.agentVersion}`;

const isoTime = (ms: number): string => new Date(ms).toISOString();

function heading(job: LoggedJob, terminal: Terminal): string {
  const facts = [agentOf(job), job.status, `by ${job.principal}`, isoTime(job.createdAt)].map(escapeLine).join(" · ");
  return `${terminal.style("cyan", "●")} ${terminal.style("bold", escapeLine(job.jobId))} ${facts}`;
}

function line(entry: LoggedEntry, terminal: Terminal): string {
  const payload = entry.payload as Readonly<Record<string, unknown>>;
  if (entry.type === "job.event") return eventLine(eventOf(entry, payload), terminal);
  if (entry.type === "job.error") {
    const { code, message } = payload;
    return `  ${terminal.style("red", `✖ ${escapeLine(`${code}: ${message}`)}`)}`;
  }
  const { result, result_size: size, summary } = payload;
  const shown = [
    ...(typeof summary === "string" ? [summary] : []),
    ...(typeof size === "number" ? [bytes(size)] : []),
    ...(result === undefined ? [] : [JSON.stringify(result)]),
  ];
  return `  ${terminal.style("green", "✔ success")} ${shown.map(escapeLine).join(" · ")}`;
}

/** A stored event as the client would have given it; what does not look as it should is shown as it is. */
function eventOf(entry: LoggedEntry, payload: Readonly<Record<string, unknown>>): JobEvent {
  const { kind: name, body } = payload;
  const facts = { jobId: entry.jobId, seq: undefined, ts: isoTime(entry.ts) };
  const kind = String(name);
  const isKnown = isEventKind(kind) && EVENT_BODIES[kind].safeParse(body).success;
  return isKnown ? ({ ...facts, kind, body } as JobEvent) : { ...facts, kind: "vendor", name: kind, body };
}

function parsePosition(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("Expected a whole number.");
  return Number(text);
}
