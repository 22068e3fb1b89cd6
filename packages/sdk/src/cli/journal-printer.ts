/** Jobs and their entries from a database, on standard output: what `replay` and `tail FILE` print. */
import type { JobEvent } from "@arcp/client";
import { EVENT_BODIES, isEventKind, type LoggedEntry, type LoggedJob } from "@arcp/core";
import { escapeLine } from "./escape.ts";
import { bytes, eventLine } from "./event-line.ts";
import { printJson } from "./json-view.ts";
import { Terminal } from "./terminal.ts";

export class JournalPrinter {
  readonly terminal = new Terminal(process.stdout);
  readonly #isJson: boolean;

  constructor(isJson: boolean) {
    this.#isJson = isJson;
  }

  get isForPeople(): boolean {
    return !this.#isJson;
  }

  /** What is known of a job, above its entries. */
  async printJob(job: LoggedJob): Promise<void> {
    if (this.#isJson) await printJson(process.stdout, { type: "job", ...factsOf(job) });
    else await this.terminal.print(heading(job, this.terminal));
  }

  async printEntry(entry: LoggedEntry): Promise<void> {
    const { type, jobId, n, ts, payload } = entry;
    if (this.#isJson) await printJson(process.stdout, { type, job_id: jobId, n, ...payload, ts: isoTime(ts) });
    else await this.terminal.print(line(entry, this.terminal));
  }
}

const factsOf = (job: LoggedJob): object => ({
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
