/**
 * Everything about one job, from its first event on, in a session of its own: the history of a long job holds nothing else
 * up, and what the board follows already would not be told again.
 */
import type { ARCPClient, ConnectionState, JobEvent, JobResult, JobSubscription, SubscribedJob } from "@arcp/client";
import { ARCPError, type ErrorPayload } from "@arcp/core";
import { signal } from "@preact/signals";
import { instantOf } from "./clock.ts";
import { budgetOf, type Kind, kindOf, type Progress, summaryOf } from "./events.ts";
import { openClient } from "./session.ts";
import { StreamBook } from "./streams.ts";

/** One line of the stream. */
export interface Line {
  readonly index: number;
  readonly kind: Kind;
  readonly event: JobEvent;
  readonly at: number | undefined;
  readonly summary: string;
  /** In small letters, for the search. */
  readonly searched: string;
  /** The result of a tool's call, once it is there. */
  result?: { readonly event: JobEvent & { readonly kind: "tool_result" }; readonly ms: number | undefined };
  /** Lines of reasoning that directly follow this one, and are folded into it. */
  folded: number;
  /** The line that this one is folded into. */
  readonly head: Line | undefined;
  /** Is it the result of a call that is shown? */
  readonly isPaired: boolean;
}

export type Ending =
  | { readonly status: "success"; readonly result: JobResult }
  | { readonly status: string; readonly error: ARCPError };

export interface BudgetPoint {
  readonly at: number;
  readonly remaining: number;
}

/** A checkpoint, a grant, or another of the few things that a job's page lists; `body` as it came. */
export type Noted = JobEvent & { readonly kind: "vendor" };

type Phase = "opening" | "following" | "ended" | "failed";

const MAX_LINES = 300_000;
const MAX_FAILURES = 5;
const MAX_NOTED = 100;

const isFailure = (event: JobEvent): boolean =>
  (event.kind === "tool_result" && event.body.error !== undefined) ||
  (event.kind === "log" && event.body.level === "error");

function keepLast(noted: Noted[], event: Noted): void {
  noted.push(event);
  if (noted.length > MAX_NOTED) noted.shift();
}

export class JobFeed {
  readonly jobId: string;
  readonly version = signal(0);
  readonly phase = signal<Phase>("opening");
  readonly problem = signal<ARCPError | undefined>(undefined);
  readonly subscribed = signal<SubscribedJob | undefined>(undefined);
  readonly ending = signal<Ending | undefined>(undefined);
  readonly connection = signal<ConnectionState>({ phase: "connecting" });
  /** Of this page alone; `undefined` until it is connected. */
  readonly client = signal<ARCPClient | undefined>(undefined);
  readonly lines: Line[] = [];
  readonly counts = new Map<Kind, number>();
  readonly budgets = new Map<string, BudgetPoint[]>();
  readonly artifacts: (JobEvent & { readonly kind: "artifact_ref" })[] = [];
  readonly delegations: (JobEvent & { readonly kind: "delegate" })[] = [];
  /** When it was tried again, or taken up after a restart. */
  readonly attempts: (JobEvent & { readonly kind: "status" })[] = [];
  readonly checkpoints: Noted[] = [];
  /** What people granted, extended and took back. */
  readonly grants: Noted[] = [];
  readonly streams = new StreamBook();
  /** What went wrong before it ended: refused and failed calls, errors in logs, the last of them. */
  readonly failures: Line[] = [];
  progress: Progress | undefined;
  lastStatus: string | undefined;
  /** Lines that were dropped because there are too many. */
  dropped = 0;
  readonly #calls = new Map<string, Line>();
  readonly #stop = new AbortController();
  #isScheduled = false;

  constructor(jobId: string) {
    this.jobId = jobId;
    void this.#run();
  }

  close(): void {
    this.#stop.abort();
    void this.client.value?.close("the page was left");
  }

  async #run(): Promise<void> {
    try {
      const client = await openClient(this.#stop.signal);
      this.client.value = client;
      if (this.#stop.signal.aborted) return this.close();
      client.on("event", (event) => {
        if (event.jobId === this.jobId) this.#take(event);
      });
      client.on("state", (state) => {
        this.connection.value = state;
      });
      this.connection.value = client.state;
      const subscription = await client.subscribe(this.jobId, { history: true, fromEventSeq: 0 });
      this.subscribed.value = subscription.subscribed;
      this.phase.value = "following";
      await this.#follow(subscription);
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      this.problem.value = ARCPError.from(thrown);
      this.phase.value = "failed";
    }
  }

  async #follow(subscription: JobSubscription): Promise<void> {
    try {
      this.ending.value = { status: "success", result: await subscription.done };
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      const status = subscription.finalStatus;
      if (status === undefined) throw thrown;
      this.ending.value = { status, error: ARCPError.from(thrown) };
    }
    this.phase.value = "ended";
    this.#schedule();
  }

  #take(event: JobEvent): void {
    const kind = kindOf(event);
    const summary = summaryOf(event);
    const last = this.lines.at(-1);
    const head = event.kind === "thought" && last?.event.kind === "thought" ? (last.head ?? last) : undefined;
    const line: Line = {
      ...{ index: this.lines.length + this.dropped, kind, event, at: instantOf(event.ts), summary },
      ...{ searched: `${kind} ${summary}`.toLowerCase(), folded: 0, head },
      isPaired: event.kind === "tool_result" && this.#calls.has(event.body.call_id),
    };
    if (head !== undefined) head.folded += 1;
    this.lines.push(line);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.#note(event, line);
    if (this.lines.length > MAX_LINES) {
      this.lines.splice(0, MAX_LINES / 10);
      this.dropped += MAX_LINES / 10;
    }
    this.#schedule();
  }

  #note(event: JobEvent, line: Line): void {
    if (event.kind === "tool_call") this.#calls.set(event.body.call_id, line);
    if (event.kind === "tool_result") {
      const call = this.#calls.get(event.body.call_id);
      if (call !== undefined) {
        const ms = call.at === undefined || line.at === undefined ? undefined : line.at - call.at;
        call.result = { event, ms };
        this.#calls.delete(event.body.call_id);
      }
    }
    if (isFailure(event)) {
      this.failures.push(line);
      if (this.failures.length > MAX_FAILURES) this.failures.shift();
    }
    if (event.kind === "vendor" && event.name === "x-vendor.arcp.checkpoint") keepLast(this.checkpoints, event);
    if (event.kind === "vendor" && event.name === "x-vendor.arcp.lease") keepLast(this.grants, event);
    this.streams.take(event);
    if (event.kind === "progress") this.progress = event.body;
    if (event.kind === "artifact_ref") this.artifacts.push(event);
    if (event.kind === "delegate") this.delegations.push(event);
    if (event.kind === "status") {
      this.lastStatus = event.body.phase;
      if (event.body.phase === "retrying" || event.body.phase === "resumed") this.attempts.push(event);
    }
    const budget = budgetOf(event);
    if (budget !== undefined) {
      const points = this.budgets.get(budget.currency) ?? [];
      points.push({ at: line.at ?? Date.now(), remaining: budget.remaining });
      this.budgets.set(budget.currency, points);
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const tell = (): void => {
      if (!this.#isScheduled) return;
      this.#isScheduled = false;
      this.version.value += 1;
    };
    requestAnimationFrame(tell);
    // Pages in the background get no pictures.
    setTimeout(tell, 500);
  }
}

export const errorFacts = (error: ARCPError): Pick<ErrorPayload, "code" | "message" | "details"> => ({
  ...{ code: error.code, message: error.message },
  details: error.details as ErrorPayload["details"],
});
