/** When what of a trace took place: jobs, what they called and waited for, in the order in which it began. */
import type { ARCPClient, JobEvent } from "@arcp/client";
import { signal } from "@preact/signals";
import { type Board, type BoardJob, isOver } from "./board.ts";
import { instantOf } from "./clock.ts";

export interface TraceRow {
  readonly id: string;
  /** The job that it belongs to, or is. */
  readonly jobId: string;
  readonly kind: "job" | "tool" | "wait" | "span";
  readonly name: string;
  readonly depth: number;
  readonly startedAt: number;
  /** `undefined` while it goes on. */
  readonly endedAt: number | undefined;
  readonly isFailed: boolean;
}

interface Part {
  readonly kind: TraceRow["kind"];
  readonly name: string;
  readonly startedAt: number;
  endedAt: number | undefined;
  isFailed: boolean;
}

/** Relatives whose events are read. Of the others the whole is shown, and not what they did. */
const MAX_READ = 24;
const MAX_JOBS = 200;
const MAX_PARTS = 500;

type Body = Readonly<Record<string, unknown>>;
const textIn = (body: unknown, name: string): string | undefined => {
  const value = (body as Body | null | undefined)?.[name];
  return typeof value === "string" ? value : undefined;
};

/** What one job called and waited for. */
class Parts {
  readonly all: Part[] = [];
  readonly #open = new Map<string, Part>();
  lastAt = 0;

  take(event: JobEvent): void {
    const at = instantOf(event.ts);
    if (at === undefined) return;
    this.lastAt = Math.max(this.lastAt, at);
    if (event.kind === "tool_call") this.#begin(`t${event.body.call_id}`, "tool", event.body.tool, at);
    if (event.kind === "tool_result") this.#end(`t${event.body.call_id}`, at, event.body.error !== undefined);
    if (event.kind !== "vendor") return;
    const id = textIn(event.body, "id");
    if (event.name === "x-vendor.arcp.question" && id !== undefined)
      this.#begin(`q${id}`, "wait", `waits for a person (${textIn(event.body, "question") ?? "input"})`, at);
    if (event.name === "x-vendor.arcp.answer" && id !== undefined) this.#end(`q${id}`, at, false);
    if (event.name === "x-vendor.arcp.span") this.#span(event.body);
  }

  #begin(key: string, kind: Part["kind"], name: string, startedAt: number): void {
    if (this.all.length >= MAX_PARTS || this.#open.has(key)) return;
    const part: Part = { kind, name, startedAt, endedAt: undefined, isFailed: false };
    this.all.push(part);
    this.#open.set(key, part);
  }

  #end(key: string, endedAt: number, isFailed: boolean): void {
    const part = this.#open.get(key);
    if (part === undefined) return;
    this.#open.delete(key);
    Object.assign(part, { endedAt, isFailed });
  }

  /** Spans of the agent's own. That of the job itself is the job. */
  #span(body: unknown): void {
    const [name, start, end] = [textIn(body, "name"), textIn(body, "start_time"), textIn(body, "end_time")];
    const [startedAt, endedAt] = [instantOf(start), instantOf(end)];
    if (name === undefined || name === "arcp.job" || startedAt === undefined || this.all.length >= MAX_PARTS) return;
    this.all.push({ kind: "span", name, startedAt, endedAt, isFailed: textIn(body, "status") === "error" });
  }
}

export class Trace {
  /** Grows with every change, at most four times a second. */
  readonly version = signal(0);
  readonly #jobId: string;
  readonly #board: Board;
  readonly #client: ARCPClient;
  readonly #parts = new Map<string, Parts>();
  readonly #leave: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /** `events` are those of the job that it is about; those of its relatives are asked for with `client`. */
  constructor(jobId: string, board: Board, client: ARCPClient) {
    this.#jobId = jobId;
    this.#board = board;
    this.#client = client;
    // Its own events come to its page, which hands on those that came before.
    this.#partsOf(jobId);
    this.#leave = client.on("event", (event) => {
      const parts = this.#parts.get(event.jobId);
      if (parts === undefined) return;
      parts.take(event);
      this.#changed();
    });
  }

  /** Takes an event of the job itself that came before. */
  take(event: JobEvent): void {
    this.#partsOf(this.#jobId).take(event);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#leave();
  }

  /** Jobs first, each with what it did below it; parents before children. */
  rows(): readonly TraceRow[] {
    const family = this.#family();
    for (const job of family.slice(0, MAX_READ)) this.#read(job.jobId);
    const ids = new Set(family.map(({ jobId }) => jobId));
    const children = Map.groupBy(family, ({ parentJobId }) =>
      parentJobId !== undefined && ids.has(parentJobId) ? parentJobId : "",
    );
    const rows: TraceRow[] = [];
    const add = (job: BoardJob, depth: number): void => {
      const { jobId, agent, status, createdAt } = job;
      const parts = this.#parts.get(jobId);
      const isFailed = isOver(status) && status !== "success";
      const endedAt = isOver(status) ? (job.endedAt ?? Math.max(createdAt, parts?.lastAt ?? 0)) : undefined;
      rows.push({ id: jobId, jobId, kind: "job", name: agent, depth, startedAt: createdAt, endedAt, isFailed });
      const below = [
        ...(parts?.all ?? []).map((part, index) => ({ at: part.startedAt, part, index, job: undefined })),
        ...(children.get(jobId) ?? []).map((child) => ({ at: child.createdAt, part: undefined, index: 0, job: child })),
      ].sort((a, b) => a.at - b.at);
      for (const { part, index, job: child } of below) {
        if (child !== undefined) add(child, depth + 1);
        // What was under way when its job ended went on no longer than that.
        if (part === undefined) continue;
        rows.push({ ...part, id: `${jobId}.${index}`, jobId, depth: depth + 1, endedAt: part.endedAt ?? endedAt });
      }
    };
    for (const root of children.get("") ?? []) add(root, 0);
    return rows;
  }

  /** Everybody of the trace that is known, by age. Without a trace id: who delegated it, and whom it delegated. */
  #family(): readonly BoardJob[] {
    const own = this.#board.job(this.#jobId);
    if (own === undefined) return [];
    const top = new Set<string>([own.jobId]);
    for (let job: BoardJob | undefined = own; job?.parentJobId !== undefined && !top.has(job.parentJobId); ) {
      top.add(job.parentJobId);
      job = this.#board.job(job.parentJobId);
    }
    const all = [...this.#board.jobs].sort((a, b) => a.createdAt - b.createdAt);
    const family = all.filter(({ jobId, parentJobId, traceId }) => {
      const isOne = top.has(jobId) || (traceId !== undefined && traceId === own.traceId) || top.has(parentJobId ?? "");
      if (isOne && (jobId === own.jobId || top.has(parentJobId ?? ""))) top.add(jobId);
      return isOne;
    });
    return family.slice(0, MAX_JOBS);
  }

  #partsOf(jobId: string): Parts {
    const parts = this.#parts.get(jobId) ?? new Parts();
    this.#parts.set(jobId, parts);
    return parts;
  }

  #read(jobId: string): void {
    if (this.#parts.has(jobId) || this.#isClosed) return;
    this.#partsOf(jobId);
    this.#client.subscribe(jobId, { history: true, fromEventSeq: 0, collectResult: false }).then(
      () => this.#changed(),
      () => {
        // It may not be seen, or is there no more: it stays a bar without parts.
      },
    );
  }

  #changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.version.value += 1;
    }, 250);
  }
}
