/**
 * A job: one run of one agent. It writes entries into its journal and does not know who watches.
 *
 *   pending    -> running      start(): the agent function is called
 *   pending    -> ended        end(): refused or cancelled before it ran
 *   running    -> cancelling   cancel(): the agent is told to stop; shown as running
 *   running    -> ended        end(): returned, threw, timed out
 *   cancelling -> ended        end(): settled, or the grace period is over
 *
 * {@link Job.end} is the only way out, and takes effect once: it records, emits and releases.
 */
import {
  type ARCPError,
  CancelledError,
  type Clock,
  InternalError,
  InvalidRequestError,
  type JobId,
  type JobStatus,
  type Lease,
  type LeaseConstraints,
  type Logger,
  type SessionId,
  TimeoutError,
  type TraceContext,
  type TraceId,
} from "@arcp/core";
import { ENTRY, type Entry, type EntryCode, type JobRecord } from "../store/store.ts";
import { agentError, errorMembers } from "./agent-failure.ts";
import { type JobCaps, tooLarge } from "./caps.ts";
import { eventText, isLonger, jsonOf, terminalText } from "./entry-text.ts";
import type { Feed } from "./feed.ts";
import type { Journal } from "./journal.ts";
import type { Budget } from "./lease/budget.ts";
import { type JobSpan, spanIdOf, startJobSpan } from "./telemetry.ts";

/** How a job ends. */
export type Outcome =
  /** `members` are JSON text: what stands beside `job_id` and `final_status` in `job.result`; may be empty. */
  | { readonly status: "success"; readonly members: string }
  | { readonly status: "error" | "cancelled" | "timed_out"; readonly error: ARCPError };

type Life =
  | { readonly phase: "pending" }
  | { readonly phase: "running"; readonly stopTimer: () => void }
  | { readonly phase: "cancelling"; readonly stopTimer: () => void }
  | { readonly phase: "ended"; readonly status: JobStatus; readonly error: ARCPError | undefined };

const NOTHING = Promise.resolve();

/** What a job works with. Functions and values, never their owner. */
export interface JobTools {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly caps: JobCaps;
  /** How many jobs share a turn of the event loop. */
  readonly runningJobs: () => number;
  /** A promise to wait for when the consumer of this job's events is too far behind. */
  readonly pace: (job: Job) => Promise<void> | undefined;
  /** Called once, when the job has ended. */
  readonly onEnded: (job: Job) => void;
}

export interface JobFacts {
  readonly id: JobId;
  readonly sessionId: SessionId;
  readonly principal: string;
  readonly agent: { readonly name: string; readonly version: string };
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | null;
  readonly budget: Budget | undefined;
  readonly parentJobId: JobId | null;
  readonly delegateId?: string;
  readonly trace: TraceContext;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly maxRuntimeMs: number | undefined;
  readonly epoch: number;
  /** Where the journal of a job that was taken over stands. */
  readonly continues?: { readonly lastN: number; readonly lastEventSeq: number };
}

export class Job {
  readonly #facts: JobFacts;
  readonly #tools: JobTools;
  /** Begun when the agent is called: a job that never runs has none. */
  #span: JobSpan | undefined;
  /** Made when somebody asks for the signal: most jobs end before that. */
  #stop: AbortController | undefined;
  #stopReason: ARCPError | undefined;
  #life: Life = { phase: "pending" };
  #followers: readonly Feed[] = [];
  #ownFeed: Feed | undefined;
  /** Positions of entries of kinds that a session may not have negotiated; below zero for result chunks. */
  readonly #optionalEntries: number[] = [];
  #lastN = 0;
  #lastEventSeq = 0;
  #writtenInTurn = 0;
  #change: { lastN: number; lastEventSeq: number } | undefined;
  #turnBytes = 0;

  constructor(facts: JobFacts, tools: JobTools) {
    this.#facts = facts;
    this.#tools = tools;
    this.#lastN = facts.continues?.lastN ?? 0;
    this.#lastEventSeq = facts.continues?.lastEventSeq ?? 0;
  }

  get id(): JobId {
    return this.#facts.id;
  }

  /** The same as {@link id}, under the name that policies know. */
  get jobId(): JobId {
    return this.#facts.id;
  }

  /** The session that submitted it. */
  get sessionId(): SessionId {
    return this.#facts.sessionId;
  }

  get agent(): string {
    return this.#facts.agent.name;
  }

  get agentVersion(): string {
    return this.#facts.agent.version;
  }

  /** `name@version`. */
  get agentRef(): string {
    return `${this.#facts.agent.name}@${this.#facts.agent.version}`;
  }

  get lease(): Lease {
    return this.#facts.lease;
  }

  get leaseConstraints(): LeaseConstraints | undefined {
    return this.#facts.leaseConstraints ?? undefined;
  }

  get parentJobId(): JobId | undefined {
    return this.#facts.parentJobId ?? undefined;
  }

  /** The delegation that made it; `undefined` for a job that a client submitted. */
  get delegateId(): string | undefined {
    return this.#facts.delegateId;
  }

  get traceId(): TraceId {
    return this.#facts.trace.traceId;
  }

  /** Where the job stands: its own span if spans are recorded, otherwise its caller's. */
  get trace(): TraceContext {
    const { trace } = this.#facts;
    const parentSpanId = this.#span?.spanId ?? trace.parentSpanId ?? spanIdOf(trace.traceId);
    return { ...trace, parentSpanId };
  }

  /** RFC 3339. */
  get createdAt(): string {
    return new Date(this.#facts.createdAt).toISOString();
  }

  /** What is left of each budgeted currency; a copy. */
  get budget(): Map<string, number> {
    return new Map(this.#facts.budget?.remaining());
  }

  get submitterPrincipal(): string {
    return this.#facts.principal;
  }

  get state(): JobStatus {
    if (this.#life.phase === "ended") return this.#life.status;
    return this.#life.phase === "pending" ? "pending" : "running";
  }

  /** Aborts when the job is cancelled, has run too long, or the runtime stops. */
  get signal(): AbortSignal {
    if (this.#stop === undefined) {
      this.#stop = new AbortController();
      if (this.#life.phase === "ended") this.#stop.abort(this.#lateError());
      else if (this.#stopReason !== undefined) this.#stop.abort(this.#stopReason);
    }
    return this.#stop.signal;
  }

  get isTerminal(): boolean {
    return this.#life.phase === "ended";
  }

  get isCancelling(): boolean {
    return this.#life.phase === "cancelling";
  }

  /** Entries in the journal. */
  get lastN(): number {
    return this.#lastN;
  }

  /** The number of the last entry in the submitting session's space; 0 before the first. */
  get lastEventSeq(): number {
    return this.#lastEventSeq;
  }

  get caps(): JobCaps {
    return this.#tools.caps;
  }

  /** The entries of kinds that a session may not have negotiated, in order. */
  get optionalEntries(): readonly (readonly [n: number, code: EntryCode])[] {
    return this.#optionalEntries.map((n) => (n < 0 ? [-n, ENTRY.result_chunk] : [n, ENTRY.progress]));
  }

  /** The row to store for it. */
  record(): JobRecord {
    const facts = this.#facts;
    return {
      id: facts.id,
      sessionId: facts.sessionId,
      principal: facts.principal,
      agent: facts.agent.name,
      agentVersion: facts.agent.version,
      status: this.state,
      createdAt: facts.createdAt,
      endedAt: null,
      lease: facts.lease,
      leaseConstraints: facts.leaseConstraints,
      parentJobId: facts.parentJobId,
      delegateId: facts.delegateId ?? null,
      traceId: facts.trace.traceId,
      budget: facts.budget?.toJSON() ?? null,
      epoch: facts.epoch,
      lastN: this.#lastN,
      lastEventSeq: this.#lastEventSeq,
    };
  }

  /** Shows new entries in `feed`, from now on. Idempotent. */
  follow(feed: Feed): void {
    if (this.#followers.includes(feed)) return;
    this.#followers = [...this.#followers, feed];
    if (feed.sessionId === this.sessionId) this.#ownFeed = feed;
  }

  unfollow(feed: Feed): void {
    this.#followers = this.#followers.filter((other) => other !== feed);
  }

  /** The same for many: their sessions are forgotten. */
  unfollowAll(feeds: ReadonlySet<Feed>): void {
    if (this.#followers.some((feed) => feeds.has(feed))) {
      this.#followers = this.#followers.filter((feed) => !feeds.has(feed));
    }
  }

  isFollowedBy(feed: Feed): boolean {
    return this.#followers.includes(feed);
  }

  /** Calls `run`, in a task of its own, and ends the job with what it returns or throws. */
  start(run: () => unknown): void {
    if (this.#life.phase !== "pending") return;
    const { clock } = this.#tools;
    const { maxRuntimeMs } = this.#facts;
    const stopTimer = maxRuntimeMs === undefined ? () => {} : clock.setTimer(() => this.#timeOut(), maxRuntimeMs);
    this.#life = { phase: "running", stopTimer };
    this.#putChange();
    const span = startJobSpan(() => ({
      id: this.id,
      sessionId: this.sessionId,
      agentRef: this.agentRef,
      lease: this.lease,
      leaseConstraints: this.leaseConstraints,
      trace: this.#facts.trace,
    }));
    this.#span = span;
    // An async function even for a plain one: whatever it does, it settles.
    void (async () => (span === undefined ? run() : span.run(run)))().then(
      (value) => this.#returned(value),
      (thrown) => this.#threw(thrown),
    );
  }

  /**
   * Tells the agent to stop. It ends as cancelled when the agent has settled, or after `graceMs` all the same.
   * Returns false, and does nothing, if it has ended.
   */
  cancel(reason: string | undefined, graceMs: number): boolean {
    if (this.#life.phase === "ended") return false;
    if (this.#life.phase === "cancelling") return true;
    const error = new CancelledError(reason ?? "cancelled by the client");
    if (this.#life.phase === "pending") {
      this.end({ status: "cancelled", error });
      return true;
    }
    this.#life.stopTimer();
    const stopTimer = this.#tools.clock.setTimer(() => this.end({ status: "cancelled", error }), graceMs);
    this.#life = { phase: "cancelling", stopTimer };
    this.#stopReason = error;
    this.#span?.event("arcp.job.cancelling");
    this.#stop?.abort(error);
    return true;
  }

  /**
   * Writes one event. Returns a promise that is resolved while the consumer keeps up, and otherwise resolves when it
   * has. It rejects, once the job has ended, with the error that it ended with: an agent that goes on is told so.
   */
  emit(code: EntryCode, kind: string, body: unknown): Promise<void> {
    if (this.#life.phase === "ended") return quiet(Promise.reject(this.#lateError()));
    let text: string;
    try {
      text = body === undefined || body === null ? "{}" : jsonOf(body);
      if (!text.startsWith("{")) throw new InvalidRequestError("the body of an event is an object");
      if (isLonger(text, this.caps.maxEventBytes)) throw tooLarge("maxEventBytes", this.caps.maxEventBytes);
    } catch (error) {
      return quiet(Promise.reject(error));
    }
    return this.emitText(code, kind, text);
  }

  /** The same for a body that is JSON text already. */
  emitText(code: EntryCode, kind: string, body: string): Promise<void> {
    if (this.#life.phase === "ended") return quiet(Promise.reject(this.#lateError()));
    if (this.#turnBytes > this.caps.maxUnawaitedBytes && this.#tools.journal.hasWritten(this.id)) {
      return quiet(Promise.reject(tooLarge("maxUnawaitedBytes", this.caps.maxUnawaitedBytes)));
    }
    const now = this.#tools.clock.now();
    this.#append(code, now, eventText(kind, now, body));
    return this.#paced();
  }

  /** Reports a cost (§9.6). Returns whether a counter went down. */
  spend(currency: string, cost: number): boolean {
    if (this.#life.phase === "ended") return false;
    const isSpent = this.#facts.budget?.spend(currency, cost) ?? false;
    if (isSpent) this.#putChange();
    return isSpent;
  }

  /** Resolves when everything emitted so far is durable. */
  flush(): Promise<void> {
    return this.#tools.journal.flush();
  }

  /**
   * Ends the job: as cancelled if that is under way, as asked otherwise. Only the first call counts; returns whether
   * this was it.
   */
  end(asked: Outcome): boolean {
    if (this.#life.phase === "ended") return false;
    const outcome = this.#life.phase === "cancelling" ? this.#cancelled() : asked;
    const error = outcome.status === "success" ? undefined : outcome.error;
    const members =
      outcome.status === "success" ? outcome.members : errorMembers(outcome.error, this.caps.maxEventBytes);
    if (this.#life.phase !== "pending") this.#life.stopTimer();
    this.#life = { phase: "ended", status: outcome.status, error };
    const code = outcome.status === "success" ? ENTRY.result : ENTRY.error;
    this.#append(code, this.#tools.clock.now(), terminalText(this.id, outcome.status, members));
    this.#putChange();
    this.#followers = [];
    this.#span?.end(outcome.status, error?.code, this.budget);
    if (this.#stop?.signal.aborted === false) this.#stop.abort(this.#lateError());
    if (error?.cause !== undefined) {
      // A refusal that the agent worded itself is its user's matter; a fault is the operator's.
      const level = error.code === "INTERNAL_ERROR" ? "warn" : "debug";
      this.#tools.logger[level]({ jobId: this.id, err: error.cause }, "an agent failed");
    }
    this.#tools.onEnded(this);
    return true;
  }

  #returned(value: unknown): void {
    let members: string;
    try {
      members = value === undefined ? "" : `"result":${jsonOf(value)}`;
    } catch {
      this.end({ status: "error", error: new InternalError("the agent's result cannot be written as JSON") });
      return;
    }
    const max = this.caps.maxInlineResultBytes;
    if (isLonger(members, max)) this.end({ status: "error", error: tooLarge("maxInlineResultBytes", max) });
    else this.end({ status: "success", members });
  }

  #threw(thrown: unknown): void {
    this.end({ status: "error", error: agentError(thrown) });
  }

  #cancelled(): Outcome {
    return { status: "cancelled", error: this.#stopReason ?? new CancelledError("cancelled") };
  }

  #timeOut(): void {
    const seconds = (this.#facts.maxRuntimeMs ?? 0) / 1000;
    this.end({ status: "timed_out", error: new TimeoutError(`the job ran longer than max_runtime_sec = ${seconds}`) });
  }

  #append(code: EntryCode, ts: number, payload: string): void {
    this.#lastN += 1;
    const entry: Entry = { n: this.#lastN, ts, code, payload };
    if (code === ENTRY.progress) this.#optionalEntries.push(this.#lastN);
    else if (code === ENTRY.result_chunk) this.#optionalEntries.push(-this.#lastN);
    this.#writtenInTurn = this.#tools.journal.append(this.id, this.#facts.epoch, entry);
    for (const feed of this.#followers) {
      const seq = feed.add(this, entry);
      if (feed === this.#ownFeed && seq > 0) this.#lastEventSeq = seq;
    }
    if (this.#writtenInTurn === 1 || this.#change === undefined) this.#putChange();
    else {
      this.#change.lastN = this.#lastN;
      this.#change.lastEventSeq = this.#lastEventSeq;
    }
    this.#turnBytes = (this.#writtenInTurn === 1 ? 0 : this.#turnBytes) + payload.length;
  }

  /** Puts the job's current state into the open batch. */
  #putChange(): void {
    const { budget, epoch } = this.#facts;
    const change = {
      ...{ id: this.id, epoch, status: this.state, budget: budget?.toJSON() ?? null },
      endedAt: this.isTerminal ? this.#tools.clock.now() : null,
      lastN: this.#lastN,
      lastEventSeq: this.#lastEventSeq,
    };
    this.#change = change;
    this.#tools.journal.putJobChange(change);
  }

  #paced(): Promise<void> {
    const wait = this.#tools.pace(this);
    if (wait !== undefined) return wait;
    if (!this.#tools.journal.isShareUsed(this.#writtenInTurn, this.#tools.runningJobs())) return NOTHING;
    return quiet(this.#tools.journal.flush());
  }

  #lateError(): ARCPError {
    const error = this.#life.phase === "ended" ? this.#life.error : undefined;
    return error ?? new InvalidRequestError("the job has ended: nothing can be emitted any more");
  }
}

/** A promise whose rejection nobody has to look at: emitters are often not awaited. */
export function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}
