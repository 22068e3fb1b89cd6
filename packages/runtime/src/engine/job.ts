/**
 * A job: one run of one agent. It writes entries into its journal and does not know who watches.
 *
 *   pending    -> running      start(): there is room, and the agent function is called
 *   pending    -> ended        end(): refused or cancelled before it ran
 *   running    -> cancelling   cancel(): the agent is told to stop; shown as running
 *   running    -> unwinding    leaseExpired(): an operation was refused because the lease is over; shown as running
 *   running    -> ended        end(): returned, threw, timed out
 *   unwinding  -> cancelling   cancel()
 *   unwinding  -> ended        end(): settled, tried once more, or the unwind period is over; with LEASE_EXPIRED
 *   cancelling -> ended        end(): settled, or the grace period is over
 *   (any)      -> aside        putAside(): another runtime goes on with it
 *
 * {@link Job.end} is the only way out, and takes effect once: it records, emits and releases. A job that is put aside is not
 * over: it is as it was stored last, and this process has no more to do with it.
 */
import {
  type ARCPError,
  CancelledError,
  type Clock,
  errorFromWire,
  InternalError,
  InvalidRequestError,
  type JobId,
  type JobStatus,
  type Lease,
  type LeaseConstraints,
  LeaseExpiredError,
  type Logger,
  newCallId,
  redactedJson,
  type SessionId,
  TimeoutError,
  type TraceContext,
  type TraceId,
} from "@arcp/core";
import { ENTRY, type Entry, type EntryCode, type JobRecord } from "../store/store.ts";
import { agentError, errorMembers } from "./agent-failure.ts";
import { type Audit, ofJob } from "./audit/audit.ts";
import type { AuditAction, AuditFacts } from "./audit/catalogue.ts";
import { Authority } from "./authority.ts";
import { type JobCaps, tooLarge } from "./caps.ts";
import type { SecretMask } from "./credentials/redaction.ts";
import { eventText, isLonger, jsonOf, terminalText } from "./entry-text.ts";
import type { Feed } from "./feed.ts";
import type { EventMemory, JobFacts, JobOrigin, LeaseExpiryOptions, Outcome } from "./job-facts.ts";
import type { Journal } from "./journal.ts";
import type { Hold } from "./lease/budget.ts";
import type { RuntimeMetrics } from "./metrics/runtime-metrics.ts";
import type { Tap } from "./tap.ts";
import { type JobSpan, spanIdOf, startJobSpan } from "./telemetry.ts";
import { isOptional } from "./visibility.ts";
import type { BudgetWatch, Webhooks } from "./webhooks/webhooks.ts";

type Life =
  | { readonly phase: "pending" }
  | { readonly phase: "running"; readonly stopTimer: () => void }
  | { readonly phase: "cancelling"; readonly stopTimer: () => void; readonly outcome: Outcome }
  | { readonly phase: "unwinding"; readonly stopTimer: () => void; readonly error: LeaseExpiredError }
  | { readonly phase: "aside"; readonly reason: ARCPError }
  | { readonly phase: "ended"; readonly outcome: Outcome };

const NOTHING = Promise.resolve();
/** More than there are codes of entries. */
const CODES = 64;

/** What a job works with. Functions and values, never their owner. */
export interface JobTools {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly metrics: RuntimeMetrics;
  readonly caps: JobCaps;
  readonly leaseExpiry: LeaseExpiryOptions;
  /** Masks the secrets of a job that has credentials. */
  readonly maskOf: (jobId: JobId) => SecretMask | undefined;
  /** How many jobs share a turn of the event loop. */
  readonly runningJobs: () => number;
  /** A promise to wait for when the consumer of this job's events is too far behind. */
  readonly pace: (job: Job) => Promise<void> | undefined;
  /** A promise to wait for while another runtime may have taken what this one runs. */
  readonly doubt: () => Promise<void> | undefined;
  readonly tap: Tap;
  readonly webhooks: Pick<Webhooks, "jobEnded" | "watch">;
  /** Called once, when the job has ended. */
  readonly onEnded: (job: Job) => void;
}

/** One piece of work: its journal, its lease and its budget, from its acceptance to its end (§7). */
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
  /** Positions of entries of kinds that a session may not have negotiated, each with its code in the last digits. */
  readonly #optionalEntries: number[] = [];
  #authority: Authority | undefined;
  #endTasks: (() => void)[] | undefined;
  #lastWords: Set<(outcome: Outcome) => void> | undefined;
  /** What it waits for; it is blocked while there is anything. */
  #waits: Set<string> | undefined;
  /** Made when somebody waits for the next entry. */
  #written: PromiseWithResolvers<void> | undefined;
  #stopExpiryTimer: (() => void) | undefined;
  /** Of a job that was taken over: its time runs on, whether its agent is there or not. */
  #stopDeadline: (() => void) | undefined;
  /** Of a job with a budget, if somebody wants to be told how much of it is used up. */
  readonly #budgetWatch: BudgetWatch | undefined;
  /** The last word on a counter: what a report of cost waits for. */
  #counterTold: Promise<void> | undefined;
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
    facts.budget?.onChange((currency) => this.#tellCounter(currency));
    this.#budgetWatch = tools.webhooks.watch(facts.lease, (currency) => facts.budget?.remainingOf(currency));
    // Its deadline counts from now; other authorities are made when they are first asked.
    if (facts.leaseConstraints?.expires_at !== undefined) this.#expireLater(this.authority);
    if (facts.remainingMs !== undefined) {
      this.#stopDeadline = tools.clock.setTimer(() => this.timeOut(), facts.remainingMs);
    }
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

  get origin(): JobOrigin | undefined {
    return this.#facts.origin;
  }

  get traceId(): TraceId {
    return this.#facts.trace.traceId;
  }

  /** The span that it was asked for in, if its caller named one. */
  get callerSpanId(): string | undefined {
    return this.#facts.trace.parentSpanId;
  }

  get maxRuntimeMs(): number | undefined {
    return this.#facts.maxRuntimeMs;
  }

  /** The feeds that show its entries. */
  get followers(): readonly Feed[] {
    return this.#followers;
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

  get depth(): number {
    return this.#facts.depth ?? 0;
  }

  get authority(): Authority {
    const { lease, leaseConstraints, budget, openModels } = this.#facts;
    const { clock, leaseExpiry } = this.#tools;
    this.#authority ??= new Authority({
      ...{ lease, constraints: leaseConstraints, budget, openModels, clock },
      graceMs: leaseExpiry.graceMs,
    });
    return this.#authority;
  }

  /** What is left of each budgeted currency; a copy. */
  get budget(): Map<string, number> {
    return new Map(this.#facts.budget?.remaining());
  }

  get submitterPrincipal(): string {
    return this.#facts.principal;
  }

  get state(): JobStatus {
    if (this.#life.phase === "ended") return this.#life.outcome.status;
    return this.#life.phase === "pending" && this.#facts.hasBegun !== true ? "pending" : "running";
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

  /** Was its agent called in this process, and is the job not over? */
  get isActive(): boolean {
    return this.#life.phase !== "pending" && !this.#isOver;
  }

  /** Does another runtime go on with it? */
  get isAside(): boolean {
    return this.#life.phase === "aside";
  }

  get isCancelling(): boolean {
    return this.#life.phase === "cancelling";
  }

  get hasCredentials(): boolean {
    return this.#facts.hasCredentials === true;
  }

  /** Masks the secrets of the job's credentials; `undefined` without any. */
  get secretMask(): SecretMask | undefined {
    return this.#facts.hasCredentials === true ? this.#tools.maskOf(this.id) : undefined;
  }

  /** What may stand in a log: without the secrets of the job. */
  loggable(fields: object, message: string | undefined): readonly [object, string | undefined] {
    const mask = this.secretMask;
    if (mask === undefined) return [fields, message];
    try {
      const shown = JSON.parse(mask.maskJson(redactedJson({ ...fields })).text) as object;
      return [shown, message === undefined ? undefined : mask.mask(message).text];
    } catch {
      return [{}, "what an agent logged cannot be read"]; // That it was logged is what the log says.
    }
  }

  /** Records that the agent emitted a secret of its job, which was masked. */
  alarmAboutSecret(): void {
    const { logger } = this.#tools;
    logger.error({ ...this.#named, agent: this.agentRef }, "an agent emitted a credential of its job: it was masked");
    this.audit("credential.emitted", { agent: this.agentRef });
  }

  /** An operation of the job is over: by what code it failed, if it did, and how long it took. */
  measured(capability: string, failure: string | undefined, startedAt: number): void {
    this.#tools.metrics.operation(capability, failure, this.#tools.clock.monotonic() - startedAt);
  }

  /** Of the clock that never goes backwards, in milliseconds. */
  get moment(): number {
    return this.#tools.clock.monotonic();
  }

  /** Puts a row about the job into the audit, without the secrets of its credentials. */
  audit<Action extends AuditAction>(action: Action, facts: AuditFacts[Action]): void {
    const mask = this.secretMask;
    const said = mask === undefined ? facts : JSON.parse(mask.maskJson(JSON.stringify(facts)).text);
    this.#tools.audit.record(action, ofJob(this), said);
  }

  /** Why the agent was told to stop; `undefined` unless it was. */
  get stopReason(): ARCPError | undefined {
    return this.#stopReason;
  }

  /** How it ended; `undefined` while it has not. */
  get outcome(): Outcome | undefined {
    return this.#life.phase === "ended" ? this.#life.outcome : undefined;
  }

  /** Throws the error that it ended with, or one that says so, if it has ended or was put aside. */
  assertLive(): void {
    if (this.#isOver) throw this.#lateError();
  }

  get #isOver(): boolean {
    return this.#life.phase === "ended" || this.#life.phase === "aside";
  }

  /**
   * Resolves when the job may act: at once, unless this runtime could not say for too long that it lives, so that another one may
   * go on with the job already; then when that is cleared up, or the job has to stop. Throws as {@link assertLive} does by then.
   */
  async mayAct(): Promise<void> {
    for (let doubt = this.#tools.doubt(); doubt !== undefined; doubt = this.#tools.doubt()) {
      if (this.signal.aborted) break;
      const stopped = Promise.withResolvers<void>();
      this.signal.addEventListener("abort", () => stopped.resolve(), { once: true });
      await Promise.race([doubt, stopped.promise]);
    }
    this.assertLive();
  }

  /** May another runtime go on with the job already? */
  get isDoubtful(): boolean {
    return this.#tools.doubt() !== undefined;
  }

  /** Resolves when the journal has more than `n` entries, or the job has ended. They need not be durable. */
  async writtenAfter(n: number): Promise<void> {
    if (this.#lastN > n || this.isTerminal) return;
    this.#written ??= Promise.withResolvers<void>();
    await this.#written.promise;
  }

  /** Calls `task` when the job ends, in the same turn; at once if it has ended. */
  whenEnded(task: () => void): void {
    if (this.#life.phase === "ended") task();
    else if (this.#endTasks === undefined) this.#endTasks = [task];
    else this.#endTasks.push(task);
  }

  /** Calls `task` just before the last entry is written, unless what this returns has been called. */
  beforeEnd(task: (outcome: Outcome) => void): () => void {
    this.#lastWords ??= new Set();
    this.#lastWords.add(task);
    return () => void this.#lastWords?.delete(task);
  }

  /** Is it waiting for a person, a permission or something outside (RFC §10.2)? */
  get isBlocked(): boolean {
    return (this.#waits?.size ?? 0) > 0;
  }

  /** The job waits for `what` until the function that this returns is called; told when that begins and ends. */
  block(what: string): () => void {
    this.#waits ??= new Set();
    const waits = this.#waits;
    if (waits.size === 0) this.#tellState("blocked", what);
    waits.add(what);
    return () => {
      if (waits.delete(what) && waits.size === 0) this.#tellState("running", what);
    };
  }

  #tellState(state: "blocked" | "running", reason: string): void {
    if (!this.isTerminal) this.emit(ENTRY.state, "x-vendor.arcp.state", { state, reason }).catch(() => {});
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

  /** How many entries it had when this process took it over; 0 for a job that began here. */
  get storedN(): number {
    return this.#facts.continues?.lastN ?? 0;
  }

  /** The entries after {@link storedN} of kinds that a session may not have negotiated, in order. */
  get optionalEntries(): readonly (readonly [n: number, code: EntryCode])[] {
    return this.#optionalEntries.map((packed) => [Math.floor(packed / CODES), (packed % CODES) as EntryCode]);
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
    const stopTimer =
      this.#stopDeadline ??
      (maxRuntimeMs === undefined ? () => {} : clock.setTimer(() => this.timeOut(), maxRuntimeMs));
    this.#life = { phase: "running", stopTimer };
    this.#putChange();
    if (this.#facts.hasBegun !== true) this.#tools.metrics.jobBegan(this.agent, clock.now() - this.#facts.createdAt);
    const span = startJobSpan(() => ({
      id: this.id,
      sessionId: this.sessionId,
      agent: this.agent,
      agentRef: this.agentRef,
      parentJobId: this.parentJobId,
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
   * Tells the agent to stop. It ends as cancelled when the agent has settled, or after `graceMs` as `overrun` says, by
   * default as cancelled too. Returns false, and does nothing, if it has ended.
   */
  cancel(reason: string | undefined, graceMs: number, overrun?: Outcome): boolean {
    if (this.#isOver) return false;
    if (this.#life.phase === "cancelling") return true;
    const error = new CancelledError(reason ?? "cancelled by the client");
    if (this.#life.phase === "pending") {
      this.end({ status: "cancelled", error });
      return true;
    }
    this.#stopTimer();
    const outcome: Outcome = { status: "cancelled", error };
    const stopTimer = this.#tools.clock.setTimer(() => {
      this.#life = { phase: "cancelling", stopTimer, outcome: overrun ?? outcome };
      this.end(outcome);
    }, graceMs);
    this.#life = { phase: "cancelling", stopTimer, outcome };
    this.#stopReason = error;
    this.#span?.event("arcp.job.cancelling");
    this.#stop?.abort(error);
    return true;
  }

  /**
   * Writes one event. Returns a promise that is resolved while the consumer keeps up, and otherwise resolves when it
   * has. It rejects, once the job has ended, with the error that it ended with: an agent that goes on is told so. What the
   * agent of a durable job has told before is not written again.
   */
  emit(code: EntryCode, kind: string, body: unknown): Promise<void> {
    return this.#emit(code, kind, body, this.#facts.memory);
  }

  /** The same for what the runtime says of the job: it is said whenever it is so. */
  announce(code: EntryCode, kind: string, body: unknown): Promise<void> {
    return this.#emit(code, kind, body, undefined);
  }

  /** Has the agent told this before? Then whatever goes with it has been done, too. */
  hasTold(code: EntryCode, body: unknown): boolean {
    return this.#facts.memory?.hasTold(code, this.masked(jsonOf(body))) ?? false;
  }

  /** An id for the next operation of the agent. */
  newCallId(): string {
    return this.#facts.memory?.newCallId() ?? newCallId();
  }

  #emit(code: EntryCode, kind: string, body: unknown, memory: EventMemory | undefined): Promise<void> {
    if (this.#isOver) return quiet(Promise.reject(this.#lateError()));
    let text: string;
    try {
      text = body === undefined || body === null ? "{}" : jsonOf(body);
      if (!text.startsWith("{")) throw new InvalidRequestError("the body of an event is an object");
      if (isLonger(text, this.caps.maxEventBytes)) throw tooLarge("maxEventBytes", this.caps.maxEventBytes);
    } catch (error) {
      return quiet(Promise.reject(error));
    }
    return this.#emitText(code, kind, text, memory);
  }

  /** The same as {@link emit} for a body that is JSON text already. */
  emitText(code: EntryCode, kind: string, body: string): Promise<void> {
    return this.#emitText(code, kind, body, this.#facts.memory);
  }

  #emitText(code: EntryCode, kind: string, body: string, memory: EventMemory | undefined): Promise<void> {
    if (this.#isOver) return quiet(Promise.reject(this.#lateError()));
    if (this.#turnBytes > this.caps.maxUnawaitedBytes && this.#tools.journal.hasWritten(this.id)) {
      return quiet(Promise.reject(tooLarge("maxUnawaitedBytes", this.caps.maxUnawaitedBytes)));
    }
    const shown = this.masked(body);
    if (memory?.hasTold(code, shown) === true) return NOTHING;
    const now = this.#tools.clock.now();
    this.#append(code, now, eventText(kind, now, shown));
    return this.#paced();
  }

  /** Writes what has to be told however much was written: how something ends. `body` is JSON. Nothing after the end. */
  tell(code: EntryCode, kind: string, body: string): void {
    if (this.#isOver) return;
    const now = this.#tools.clock.now();
    this.#append(code, now, eventText(kind, now, this.masked(body)));
  }

  /**
   * Writes an entry of the runtime's own, which waits for nobody and has no cap. Returns its place in the journal; 0, and
   * nothing is written, once the job has ended.
   */
  note(code: EntryCode, kind: string, body: object): number {
    if (this.#isOver) return 0;
    const now = this.#tools.clock.now();
    this.#append(code, now, eventText(kind, now, this.masked(jsonOf(body))));
    return this.#lastN;
  }

  /**
   * Takes a cost from the counter of `currency` (§9.6), by what `hold` has set aside first; also after the end, because
   * it may be another job's counter. Returns `undefined` if nothing was taken, otherwise what to wait for.
   */
  spend(currency: string, cost: number, hold?: Hold): Promise<void> | undefined {
    const { budget } = this.#facts;
    this.#counterTold = undefined;
    if (budget?.spend(currency, cost, hold) !== true) return undefined;
    this.#tools.metrics.spent(currency, cost, this.submitterPrincipal);
    // A counter that is an ancestor's told the ancestor.
    if (this.#counterTold === undefined) this.#tellCounter(currency);
    return this.#counterTold ?? NOTHING;
  }

  /**
   * An operation was refused because the lease is over (§9.5). The first time the agent may unwind; the next operation,
   * its return, or the end of the unwind period ends the job.
   */
  leaseExpired(error: LeaseExpiredError): void {
    if (this.#life.phase === "unwinding") this.end({ status: "error", error });
    if (this.#life.phase !== "running") return;
    this.#life.stopTimer();
    const end = (): void => void this.end({ status: "error", error });
    this.#life = {
      phase: "unwinding",
      error,
      stopTimer: this.#tools.clock.setTimer(end, this.#tools.leaseExpiry.unwindMs),
    };
    this.#recordExpiry();
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
    if (this.#isOver) return false;
    const words = [...(this.#lastWords ?? [])];
    this.#lastWords = undefined;
    const outcome = this.#overruled(asked);
    for (const say of words) say(outcome);
    const error = outcome.status === "success" ? undefined : outcome.error;
    const members =
      outcome.status === "success" ? outcome.members : errorMembers(outcome.error, this.caps.maxEventBytes);
    this.#stopTimer();
    this.#stopExpiryTimer?.();
    const shown = members === "" ? "" : this.masked(`{${members}}`).slice(1, -1);
    this.#life = { phase: "ended", outcome: shown === members ? outcome : outcomeOf(outcome.status, shown) };
    const code = outcome.status === "success" ? ENTRY.result : ENTRY.error;
    const endedAt = this.#tools.clock.now();
    this.#append(code, endedAt, terminalText(this.id, outcome.status, shown));
    this.#putChange();
    this.#tools.webhooks.jobEnded(this, outcome, endedAt);
    this.audit("job.ended", { status: outcome.status, ...(error !== undefined && { code: error.code }) });
    this.#followers = [];
    this.#span?.end(outcome.status, error?.code, this.budget);
    this.#tools.metrics.jobEnded(this, outcome, this.#tools.clock.now() - this.#facts.createdAt);
    if (this.#stop?.signal.aborted === false) this.#stop.abort(this.#lateError());
    if (error?.cause !== undefined) {
      // A refusal that the agent worded itself is its user's matter; a fault is the operator's.
      const level = error.code === "INTERNAL_ERROR" ? "warn" : "debug";
      this.#tools.logger[level]({ ...this.#named, err: this.#loggable(error.cause) }, "an agent failed");
    }
    for (const task of this.#endTasks ?? []) task();
    this.#endTasks = undefined;
    this.#facts.budget?.close();
    this.#tools.onEnded(this);
    return true;
  }

  /**
   * Leaves the job to the next runtime, as it is stored: the agent is told to stop, and nothing that it still does counts.
   * Nothing is written. Only for jobs that somebody goes on with.
   */
  putAside(reason: ARCPError): void {
    if (this.#isOver) return;
    this.#stopTimer();
    this.#stopExpiryTimer?.();
    this.#life = { phase: "aside", reason };
    this.#stopReason = reason;
    this.#followers = [];
    this.#span?.end("error", reason.code, this.budget);
    this.#stop?.abort(reason);
  }

  #stopTimer(): void {
    if ("stopTimer" in this.#life) this.#life.stopTimer();
    else this.#stopDeadline?.();
  }

  /** What an agent threw, as it may stand in a log: without the secrets of its job. */
  #loggable(thrown: unknown): unknown {
    const mask = this.secretMask;
    if (mask === undefined) return thrown;
    const masked = (text: unknown): string => mask.mask(String(text)).text;
    try {
      if (!(thrown instanceof Error)) return masked(thrown);
      return { name: masked(thrown.name), message: masked(thrown.message), stack: masked(thrown.stack) };
    } catch {
      return "what was thrown cannot be read"; // That it was thrown is what the log says.
    }
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

  /** What is under way decides how the job ends, not what its agent makes of it. */
  #overruled(asked: Outcome): Outcome {
    if (this.#life.phase === "unwinding") return { status: "error", error: this.#life.error };
    return this.#life.phase === "cancelling" ? this.#life.outcome : asked;
  }

  /** JSON without the secrets of the job's own credentials. That an agent told one is an alarm. */
  masked(json: string): string {
    const mask = this.secretMask;
    if (mask === undefined) return json;
    const { text, found } = mask.maskJson(json);
    if (found) this.alarmAboutSecret();
    return text;
  }

  #tellCounter(currency: string): void {
    const remaining = this.#facts.budget?.remainingOf(currency);
    if (this.#isOver || remaining === undefined) return;
    this.#putChange();
    this.#budgetWatch?.changed(this, currency, remaining);
    this.#counterTold = this.announce(ENTRY.metric, "metric", {
      name: "cost.budget.remaining",
      value: remaining,
      unit: currency,
    });
  }

  #expireLater(authority: Authority): void {
    const { clock, leaseExpiry } = this.#tools;
    if (!leaseExpiry.endsIdleJobs || authority.expiresInMs === undefined) return;
    this.#stopExpiryTimer = clock.setTimer(() => {
      this.#recordExpiry();
      this.end({ status: "error", error: new LeaseExpiredError("the lease has expired") });
    }, authority.expiresInMs);
  }

  /** For whoever audits (§14). */
  #recordExpiry(): void {
    const expires_at = this.leaseConstraints?.expires_at;
    this.#tools.logger.info({ ...this.#named, expiresAt: expires_at }, "a lease expired under a job that was running");
    this.audit("lease.expired", { expires_at });
  }

  /** Ends the job because it has run too long. */
  timeOut(): void {
    const seconds = (this.#facts.maxRuntimeMs ?? 0) / 1000;
    this.end({ status: "timed_out", error: new TimeoutError(`the job ran longer than max_runtime_sec = ${seconds}`) });
  }

  #append(code: EntryCode, ts: number, payload: string): void {
    this.#lastN += 1;
    this.#tools.metrics.event(code);
    const entry: Entry = { n: this.#lastN, ts, code, payload };
    if (isOptional(code)) this.#optionalEntries.push(this.#lastN * CODES + code);
    this.#writtenInTurn = this.#tools.journal.append(this.id, this.#facts.epoch, entry);
    let ownSeq = 0;
    for (const feed of this.#followers) {
      const seq = feed.add(this, entry);
      if (feed === this.#ownFeed) ownSeq = seq;
    }
    if (ownSeq > 0) this.#lastEventSeq = ownSeq;
    if (this.#tools.tap.isOpen) this.#tools.tap.add({ job: this, entry, seq: ownSeq });
    if (this.#writtenInTurn === 1 || this.#change === undefined) this.#putChange();
    else {
      this.#change.lastN = this.#lastN;
      this.#change.lastEventSeq = this.#lastEventSeq;
    }
    this.#written?.resolve();
    this.#written = undefined;
    this.#turnBytes = (this.#writtenInTurn === 1 ? 0 : this.#turnBytes) + payload.length;
  }

  /** How a record of the log names it. */
  get #named(): { readonly jobId: JobId; readonly traceId: TraceId } {
    return { jobId: this.id, traceId: this.traceId };
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
    if (this.#life.phase === "aside") return this.#life.reason;
    const { outcome } = this;
    const error = outcome === undefined || outcome.status === "success" ? undefined : outcome.error;
    return error ?? new InvalidRequestError("the job has ended: nothing can be emitted any more");
  }
}

/** A promise whose rejection nobody has to look at: emitters are often not awaited, and questions not always. */
export function quiet<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {});
  return promise;
}

/** An outcome as its members tell it: what a job that delegated learns holds no secret of the child's either. */
function outcomeOf(status: Outcome["status"], members: string): Outcome {
  if (status === "success") return { status, members };
  return { status, error: errorFromWire(JSON.parse(`{${members}}`)) };
}
