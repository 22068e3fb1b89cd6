import {
  ARCPError,
  CancelledError,
  InternalError,
  InvalidRequestError,
  type JobId,
  type JsonObject,
  type MessageOf,
  newMessageId,
  newSessionId,
  ResumeWindowExpiredError,
  TimeoutError,
  type Transport,
  TransportError,
  toJobId,
  WebSocketTransport,
} from "@arcp/core";
import { Acknowledgement } from "./acknowledgement.ts";
import { Backlog } from "./backlog.ts";
import { abortReason, Connection, type ConnectionOwner, type SessionMessage } from "./connection.ts";
import { Correlation, readCorrelators, requireFeature } from "./correlation.ts";
import type { EventQueue } from "./event-queue.ts";
import type { FinalStatus, Job } from "./job.ts";
import { JobBook, type KnownJob } from "./job-book.ts";
import { type JobEvent, toJobEvent } from "./job-events.ts";
import type { CancelOptions, JobHandle, WaitOptions } from "./job-handle.ts";
import {
  type JobFilter,
  type JobPage,
  type JobSummary,
  type ListOptions,
  readJobPage,
  toListPayload,
} from "./job-list.ts";
import { JobSubscription, readSubscribed, type SubscribedJob } from "./job-subscription.ts";
import { Listeners } from "./listeners.ts";
import { type ClientOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import { backOffMs, keepProcessAlive, type ReconnectOptions, sleep } from "./reconnect.ts";
import { withRetry } from "./retry.ts";
import { SequenceTracker } from "./sequence.ts";
import {
  type ResumeInfo,
  readWelcome,
  resumeWindowMs,
  type Session,
  type SessionFacts,
  type WelcomePayload,
} from "./session.ts";
import { type SubmitOptions, toSubmission } from "./submission.ts";
import { errorOfStatus, readError } from "./wire-error.ts";

/** What the connection of a client is doing. */
export type ConnectionState =
  | { readonly phase: "idle" }
  | { readonly phase: "connecting" }
  /** `isResumed`: the session is the one of before, and nothing was missed. */
  | { readonly phase: "connected"; readonly sessionId: string; readonly isResumed: boolean }
  | { readonly phase: "reconnecting"; readonly attempt: number; readonly delayMs: number; readonly cause: ARCPError }
  /** Lost, and waiting for {@link ARCPClient.resume}. */
  | { readonly phase: "disconnected"; readonly cause: ARCPError }
  /** For good. `error` is absent when the caller closed it. */
  | { readonly phase: "closed"; readonly error?: ARCPError };

/** What {@link ARCPClient.on} can be asked to report. */
export interface ClientSignals {
  readonly state: ConnectionState;
  /** A problem that ends nothing: an unreadable message, a gap, an error that answers no request. */
  readonly error: ARCPError;
  /** Every event of the session, of whatever job. */
  readonly event: JobEvent;
  /** A job of this session delegated to another one (§10), which runs in this session too. */
  readonly delegated: JobHandle;
}

/** Opens one connection. `signal` aborts when it is no longer wanted. */
export type TransportFactory = (signal: AbortSignal) => Promise<Transport>;

export interface ConnectOptions extends ClientOptions {
  readonly reconnect?: ReconnectOptions;
  /** Gives up the first connection. */
  readonly signal?: AbortSignal;
}

export interface SubscribeOptions extends WaitOptions {
  /** Replay what is buffered after this position in the submitter's stream. Implies `history`. */
  readonly fromEventSeq?: number;
  /** Replay what is buffered before going on live. Default: false. */
  readonly history?: boolean;
}

/**
 * idle         -> connecting                        connect, resume
 * connecting   -> connected                         session.welcome
 * connecting   -> idle, disconnected, reconnecting  the attempt failed; where it came from
 * connected    -> reconnecting                      connection lost, with a factory
 * connected    -> disconnected                      connection lost, without one
 * reconnecting -> connected                         resumed, or reattached
 * disconnected -> connecting                        resume
 * any          -> closed                            close, abort, refused for good, resume window over
 */
type State =
  | { readonly phase: "idle" }
  | { readonly phase: "connecting"; readonly from: State }
  | { readonly phase: "connected"; readonly connection: Connection; readonly session: Session }
  | { readonly phase: "reconnecting"; readonly session: Session; readonly stop: AbortController }
  | { readonly phase: "disconnected"; readonly session: Session; readonly stopHolding: () => void }
  | { readonly phase: "closing"; readonly connection: Connection; readonly onAnswer: (isClosed: boolean) => void }
  | { readonly phase: "closed"; readonly error: ARCPError | undefined };

interface Reconnection {
  readonly factory: TransportFactory;
  readonly options: ReconnectOptions;
}

/** Ids of messages without a number that are remembered, so that one that is delivered twice counts once. */
const MAX_RECENT_IDS = 512;

const TERMINAL: ReadonlySet<string> = new Set<FinalStatus>(["success", "error", "cancelled", "timed_out"]);
/** Codes with which one SDK's `job.error` refuses a request about a job that goes on. */
const REFUSALS: ReadonlySet<string> = new Set(["JOB_NOT_FOUND", "PERMISSION_DENIED", "INVALID_REQUEST"]);

/** A client of one runtime: one session, over one connection at a time. */
export class ARCPClient {
  readonly #options: ResolvedOptions;
  readonly #correlation: Correlation;
  readonly #backlog = new Backlog(() => this.#updateReading());
  readonly #jobs: JobBook;
  readonly #listeners: Listeners<ClientSignals>;
  readonly #sessionReaders = new Set<EventQueue<JobEvent>>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #recentIds = new Set<string>();
  #reconnection: Reconnection | undefined;
  #state: State = { phase: "idle" };
  #closing: Promise<void> | undefined;
  /** The last contiguous number before a gap that a resume has already been tried for. */
  #gapRetriedAt: number | undefined;

  constructor(options: ClientOptions = {}) {
    this.#options = resolveOptions(options);
    const { clock, requestTimeoutMs, logger } = this.#options;
    this.#correlation = new Correlation({
      clock,
      timeoutMs: requestTimeoutMs,
      isConnected: () => this.#state.phase === "connected",
      onChange: () => this.#updateReading(),
    });
    this.#jobs = new JobBook(this.#backlog, this.#options, (jobId, cancel) => this.cancelJob(jobId, cancel));
    this.#listeners = new Listeners((thrown) => logger.error({ err: thrown }, "a listener failed"));
  }

  /**
   * Connects to a `ws:` or `wss:` URL, or through a factory, and keeps connected: after a loss the client connects again
   * with growing, jittered waits and resumes the session (§6.3) until the resume window has passed. Rejects when the
   * first connection fails.
   */
  static async connect(target: string | URL | TransportFactory, options: ConnectOptions = {}): Promise<ARCPClient> {
    const { reconnect = {}, signal, ...clientOptions } = options;
    const client = new ARCPClient(clientOptions);
    const allowInsecure = options.allowInsecure === true;
    client.#reconnection = {
      factory:
        typeof target === "function"
          ? target
          : (abort) => WebSocketTransport.connect(String(target), { signal: abort, allowInsecure }),
      options: reconnect,
    };
    try {
      await client.#attempt(undefined, signal);
      return client;
    } catch (thrown) {
      client.#finish(ARCPError.from(thrown));
      throw thrown;
    }
  }

  /** What the session agreed on; `undefined` before the first welcome and after the end. */
  get session(): SessionFacts | undefined {
    return this.#session?.facts;
  }

  /**
   * What another process needs to take the session over. `undefined` if it cannot be resumed. The runtime will then
   * replay what this client has received but its consumers have not taken.
   */
  get resumeInfo(): ResumeInfo | undefined {
    const session = this.#session;
    if (session?.resumeToken === undefined) return undefined;
    const { resumeToken, facts } = session;
    return { sessionId: facts.sessionId, resumeToken, lastEventSeq: this.#processed(session) };
  }

  /** Resolves when the client is closed, whoever closed it; rejects with the error that ended it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /**
   * Opens a session over `transport` (§6.2) and returns the payload of `session.welcome`. Rejects with the runtime's
   * error, {@link TimeoutError} or {@link TransportError}; the transport is then closed and the client can try another.
   */
  connect(transport: Transport, options: WaitOptions = {}): Promise<WelcomePayload> {
    return this.#manually(transport, undefined, options.signal);
  }

  /**
   * Takes a session up again over a new transport (§6.3) and returns the payload of `session.welcome`. What was missed is
   * replayed to the handles that this client has given out; {@link job} gives handles for others. Rejects with
   * {@link ResumeWindowExpiredError} when the session is gone. If the runtime ignores the request and opens a new session,
   * `session.sessionId` is not the one asked for, and the jobs of the old one have failed with that error.
   */
  resume(transport: Transport, resumeInfo: ResumeInfo, options: WaitOptions = {}): Promise<WelcomePayload> {
    return this.#manually(transport, resumeInfo, options.signal);
  }

  /**
   * Submits a job (§7.1) and resolves when the runtime has accepted it. Rejects with the typed refusal, with
   * {@link InvalidRequestError} for features that were not negotiated, and when the client is closed. While the client
   * reconnects, the submit waits.
   */
  async submit(options: SubmitOptions): Promise<JobHandle> {
    const { retry, signal } = options;
    const isKeyed = options.idempotencyKey !== undefined;
    const needsKey = retry !== undefined || this.#reconnection !== undefined;
    const keyed = isKeyed || !needsKey ? options : { ...options, idempotencyKey: newMessageId() };
    if (retry === undefined) return this.#submitOnce(keyed);
    const random = this.#reconnection?.options.random ?? Math.random;
    return withRetry(() => this.#submitOnce(keyed), retry, this.#options.clock, random, signal);
  }

  /**
   * A handle for a job of this session that this client did not submit: one known from {@link listJobs}, or from before
   * the session was resumed. Nothing is sent; its events arrive if the runtime sends them to this session.
   */
  job(jobId: string): JobHandle {
    this.#requireOpen();
    return this.#jobs.recall(toJobId(jobId), "own").handle;
  }

  /**
   * Observes a job (§7.6). Resolves when the runtime has agreed; events that came before that are not lost. Rejects with
   * the typed refusal, or {@link InvalidRequestError} if `subscribe` was not negotiated.
   */
  async subscribe(jobId: string, options: SubscribeOptions = {}): Promise<JobSubscription> {
    requireFeature(this.#requireOpen().facts.features, "subscribe", "job.subscribe");
    const known = this.#jobs.recall(toJobId(jobId), "observed");
    known.subscriptions += 1;
    try {
      const subscribed = await this.#askSubscription(known, options);
      return new JobSubscription(known.job, subscribed, () => this.#dropSubscription(known, true));
    } catch (thrown) {
      this.#dropSubscription(known, false);
      throw thrown;
    }
  }

  /** One page of the jobs that this principal may see (§6.6), oldest first. */
  async listJobs(filter: JobFilter = {}, options: ListOptions = {}): Promise<JobPage> {
    requireFeature(this.#requireOpen().facts.features, "list_jobs", "session.list_jobs");
    const payload = toListPayload(filter, options);
    return this.#correlation.lists.ask(
      { type: "session.list_jobs", isRepeatable: true, send: () => this.#send("session.list_jobs", payload) },
      options.signal,
    );
  }

  /** All jobs that {@link listJobs} would give, page by page. */
  async *jobs(filter: JobFilter = {}, options: ListOptions = {}): AsyncGenerator<JobSummary, void, undefined> {
    let cursor = options.cursor;
    do {
      const page = await this.listJobs(filter, cursor === undefined ? options : { ...options, cursor });
      yield* page.jobs;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }

  /**
   * Asks for a job's cancellation (§7.4). Resolves when the runtime has agreed to it, or the job is over; the ending itself
   * is told by `done`. Rejects with the typed refusal.
   */
  async cancelJob(jobId: string, options: CancelOptions = {}): Promise<void> {
    this.#requireOpen();
    const id = toJobId(jobId);
    if (this.#jobs.isPast(id)) return;
    const payload = options.reason === undefined ? { job_id: id } : { job_id: id, reason: options.reason };
    await this.#correlation.cancels.ask(
      {
        type: "job.cancel",
        jobId: id,
        isRepeatable: true,
        send: () => this.#send("job.cancel", payload, { jobId: id }),
      },
      options.signal,
    );
  }

  /**
   * Acknowledges everything up to `seq` (§6.5). Needed only with `autoAck: false`. Throws {@link InvalidRequestError} for a
   * number that was not received, or if `ack` was not negotiated. Numbers below the last acknowledged one do nothing.
   */
  ack(seq: number): void {
    const session = this.#requireOpen();
    requireFeature(session.facts.features, "ack", "session.ack");
    if (!Number.isSafeInteger(seq) || seq < 0 || seq > session.sequence.last) {
      throw new InvalidRequestError(`cannot acknowledge ${seq}: the last message received is ${session.sequence.last}`);
    }
    session.acknowledgement.send(seq);
  }

  /** Every event of the session from now on, of whatever job. Ends when the client is closed; leaving it frees it. */
  events(): AsyncIterableIterator<JobEvent, undefined> {
    const queue = this.#backlog.open<JobEvent>({ highWater: this.#options.maxUnreadEvents }, (left) => {
      this.#sessionReaders.delete(left);
    });
    if (this.#state.phase === "closed") queue.end();
    else this.#sessionReaders.add(queue);
    return queue;
  }

  /** Calls `listener` for every report of that name. Returns a function that stops it. */
  on<Name extends keyof ClientSignals>(name: Name, listener: (value: ClientSignals[Name]) => void): () => void {
    return this.#listeners.add(name, listener);
  }

  /**
   * Closes the session (§6.7) and then the connection. The runtime's jobs go on. Everything that this client handed out
   * settles: requests, `done` and iterators of live jobs with {@link CancelledError}. Idempotent.
   */
  close(reason?: string): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  /** Ends the client at once, without a word to the runtime; the session stays resumable. Idempotent. */
  abort(error: ARCPError = new CancelledError("the client was aborted")): void {
    this.#finish(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---------------------------------------------------------------------------------------------- connecting

  get #session(): Session | undefined {
    const state = this.#state.phase === "connecting" ? this.#state.from : this.#state;
    return "session" in state ? state.session : undefined;
  }

  async #manually(
    transport: Transport,
    resume: ResumeInfo | undefined,
    signal: AbortSignal | undefined,
  ): Promise<WelcomePayload> {
    const from = this.#state;
    if (from.phase !== "idle" && from.phase !== "disconnected") {
      throw new InvalidRequestError(`the client is ${from.phase}`);
    }
    this.#state = { phase: "connecting", from };
    this.#report({ phase: "connecting" });
    try {
      const welcome = await this.#greet(transport, resume, signal);
      this.#correlation.resend();
      return welcome;
    } catch (thrown) {
      if (this.#state.phase === "connecting") {
        this.#state = from;
        this.#report(from.phase === "idle" ? from : { phase: "disconnected", cause: ARCPError.from(thrown) });
      }
      throw thrown;
    }
  }

  /** One connection through the factory, in all within the handshake's time. */
  async #attempt(resume: ResumeInfo | undefined, signal: AbortSignal | undefined): Promise<void> {
    const { clock, handshakeTimeoutMs } = this.#options;
    const factory = this.#reconnection?.factory;
    if (!factory) throw new InternalError("there is no way to connect");
    const from = this.#state;
    if (from.phase === "idle") this.#state = { phase: "connecting", from };
    if (from.phase === "idle") this.#report({ phase: "connecting" });
    const abort = new AbortController();
    const onAbort = (): void => abort.abort(signal && abortReason(signal));
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const cancelTimer = clock.setTimer(
      () => abort.abort(new TimeoutError("the connection could not be made in time")),
      handshakeTimeoutMs,
    );
    try {
      const transport = await untilAbort(factory(abort.signal), abort.signal, (late) => late.abort("too late"));
      await this.#greet(transport, resume, abort.signal);
    } finally {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Sends the hello and waits for the welcome, which {@link #onWelcome} takes in. */
  async #greet(
    transport: Transport,
    resume: ResumeInfo | undefined,
    signal: AbortSignal | undefined,
  ): Promise<WelcomePayload> {
    const { clock, handshakeTimeoutMs, token, allowInsecure, compat } = this.#options;
    const owner: ConnectionOwner = {
      onWelcome: (welcome) => this.#onWelcome(connection, welcome, resume),
      onMessage: (message, frame) => this.#onMessage(message, frame),
      onUnreadable: (frame, error) => this.#onUnreadable(frame, error),
      onEnd: (cause) => this.#onLost(cause),
    };
    const connection = new Connection(transport, owner, clock);
    try {
      if (token !== undefined && !connection.isConfidential && !allowInsecure) {
        throw new InvalidRequestError("refused to send a token over a connection that others can read");
      }
      const auth = await readAuth(token);
      const form = resume && this.#reconnection?.options.resumeForm === "resume" ? "session.resume" : "session.hello";
      const payload = form === "session.resume" ? resumePayload(resume, auth) : this.#hello(resume, auth);
      const fields = compat.dialect === "ruby" ? { sessionId: resume?.sessionId ?? newSessionId() } : {};
      const welcome = await connection.greet(form, payload, fields, handshakeTimeoutMs, signal);
      return welcome.payload;
    } catch (thrown) {
      transport.close();
      throw thrown;
    }
  }

  #hello(resume: ResumeInfo | undefined, auth: JsonObject): JsonObject {
    const { client, features, compat } = this.#options;
    const isRuby = compat.dialect === "ruby";
    return {
      client,
      ...(isRuby ? { client_name: client.name, client_version: client.version } : {}),
      auth,
      capabilities: { encodings: ["json"], features },
      ...(resume === undefined
        ? {}
        : { resume: { ...resumePosition(resume), ...(isRuby ? { token: resume.resumeToken } : {}) } }),
    };
  }

  /** Runs while the welcome is being read, before any message after it. */
  #onWelcome(
    connection: Connection,
    welcome: MessageOf<"session.welcome">,
    resume: ResumeInfo | undefined,
  ): ReturnType<ConnectionOwner["onWelcome"]> {
    const facts = readWelcome(welcome, this.#options.features, resume?.sessionId);
    const before = this.#session;
    const isResumed = resume !== undefined && facts.sessionId === resume.sessionId;
    if (resume && !isResumed && this.#reconnection && this.#reconnection.options.onExpired !== "reattach") {
      throw new ResumeWindowExpiredError("the runtime opened a new session instead of resuming");
    }
    if (this.#state.phase === "disconnected") this.#state.stopHolding();
    const from = this.#state.phase === "connecting" ? this.#state.from : this.#state;
    if (from.phase === "disconnected") from.stopHolding();
    const isSame = isResumed && before?.facts.sessionId === facts.sessionId;
    const session = isSame ? before : this.#openSession(facts, isResumed ? resume.lastEventSeq : 0);
    session.facts = facts;
    session.resumeToken = welcome.payload.resume_token;
    if (from.phase === "closing" || from.phase === "closed") throw new CancelledError("the client was closed");
    this.#state = { phase: "connected", connection, session };
    this.#report({ phase: "connected", sessionId: facts.sessionId, isResumed });
    if (before && !isSame) this.#moveJobs(before);
    const interval = facts.heartbeatIntervalSec;
    return { sessionId: facts.sessionId, heartbeatMs: interval === undefined ? undefined : interval * 1000 };
  }

  #openSession(facts: SessionFacts, lastSeq: number): Session {
    this.#gapRetriedAt = undefined;
    const sequence = new SequenceTracker(lastSeq);
    const session: Session = {
      facts,
      resumeToken: undefined,
      sequence,
      acknowledgement: new Acknowledgement(
        {
          clock: this.#options.clock,
          received: () => sequence.last,
          processed: () => this.#processed(session),
          send: (seq) => void this.#send("session.ack", { last_processed_seq: seq }),
        },
        lastSeq,
      ),
    };
    return session;
  }

  /** The highest number up to which every consumer has taken every event. */
  #processed(session: Session): number {
    const unread = this.#backlog.lowestUnread;
    return unread === undefined ? session.sequence.last : Math.min(session.sequence.last, unread - 1);
  }

  /** The connection ended, and nobody asked for it. */
  #onLost(cause: ARCPError): void {
    if (this.#state.phase === "closing") {
      this.#state.onAnswer(true);
      return;
    }
    if (this.#state.phase !== "connected") return;
    const { session } = this.#state;
    session.acknowledgement.stop();
    this.#correlation.disconnect();
    if (this.#reconnection) {
      const stop = new AbortController();
      this.#state = { phase: "reconnecting", session, stop };
      void this.#reconnect(this.#reconnection, session, cause, stop.signal);
      return;
    }
    this.#correlation.rejectAll(cause);
    const holdMs = this.#options.holdMs ?? resumeWindowMs(session.facts);
    if (session.resumeToken === undefined || holdMs <= 0) {
      this.#finish(cause);
      return;
    }
    const release = keepProcessAlive();
    const cancelTimer = this.#options.clock.setTimer(
      () => this.#finish(new ResumeWindowExpiredError("the session was not resumed in time", { cause })),
      holdMs,
    );
    this.#state = {
      phase: "disconnected",
      session,
      stopHolding: () => {
        cancelTimer();
        release();
      },
    };
    this.#report({ phase: "disconnected", cause });
  }

  /** Connects again until it works, may not be tried any more, or is called off. */
  async #reconnect(
    { options }: Reconnection,
    session: Session,
    lossCause: ARCPError,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    const release = keepProcessAlive();
    const expiresAt = clock.monotonic() + resumeWindowMs(session.facts);
    let cause = lossCause;
    let isExpired = session.resumeToken === undefined;
    try {
      for (let attempt = 1; ; attempt += 1) {
        isExpired ||= clock.monotonic() >= expiresAt;
        if (isExpired && options.onExpired !== "reattach") {
          throw new ResumeWindowExpiredError("the session could not be resumed in time", { cause });
        }
        if (options.maxAttempts !== undefined && attempt > options.maxAttempts) throw cause;
        const delayMs = backOffMs(attempt, options);
        this.#report({ phase: "reconnecting", attempt, delayMs, cause });
        await sleep(clock, delayMs, signal);
        try {
          await this.#attempt(isExpired ? undefined : this.#resumePoint(session), signal);
          this.#correlation.resend();
          return;
        } catch (thrown) {
          signal.throwIfAborted();
          cause = ARCPError.from(thrown);
          const isGone = cause.code === "RESUME_WINDOW_EXPIRED" || (cause.code === "UNAUTHENTICATED" && !isExpired);
          if (isGone && options.onExpired === "reattach") isExpired = true;
          else if (!cause.retryable && !(cause instanceof TransportError)) throw cause;
        }
      }
    } catch (thrown) {
      if (!signal.aborted) this.#finish(ARCPError.from(thrown));
    } finally {
      release();
    }
  }

  #resumePoint(session: Session): ResumeInfo {
    return {
      sessionId: session.facts.sessionId,
      resumeToken: session.resumeToken ?? "",
      lastEventSeq: session.sequence.last,
    };
  }

  /** The old session is gone and another one is open: follow its jobs from there where that is possible. */
  #moveJobs(before: Session): void {
    const features = this.session?.features;
    const mayReattach = this.#reconnection?.options.onExpired === "reattach" && features?.has("subscribe") === true;
    for (const known of this.#jobs.live()) {
      if (mayReattach && known.role !== "unknown") void this.#reattach(known, before.sequence.last);
      else this.#lose(known, new ResumeWindowExpiredError("the session of the job is gone"));
    }
  }

  async #reattach(known: KnownJob, lastSeq: number): Promise<void> {
    const { job } = known;
    const isOwnStream = known.role !== "observed";
    known.role = "observed";
    known.subscriptions += 1;
    const position = known.position;
    const fromEventSeq = isOwnStream ? lastSeq : position?.fromEventSeq;
    const history = isOwnStream || position?.history === true;
    const known_ = isOwnStream || !history ? 0 : job.eventCount - (position?.eventCount ?? 0);
    job.skipNext(known_);
    try {
      await this.#askSubscription(known, { history, ...(fromEventSeq === undefined ? {} : { fromEventSeq }) });
    } catch (thrown) {
      this.#lose(known, ARCPError.from(thrown));
    }
  }

  // ---------------------------------------------------------------------------------------------- requests

  async #submitOnce(options: SubmitOptions): Promise<JobHandle> {
    const { features } = this.#requireOpen().facts;
    const leaseForm = this.#options.compat.dialect === "ruby" ? "ruby" : "map";
    const { payload, traceId, idempotencyKey } = toSubmission(options, features, leaseForm);
    const job = await this.#correlation.submits.ask(
      {
        type: "job.submit",
        traceId,
        isRepeatable: idempotencyKey !== undefined,
        send: () => this.#send("job.submit", payload, { traceId }),
      },
      options.signal,
    );
    return this.#jobs.recall(job.jobId, "own").handle;
  }

  #askSubscription(known: KnownJob, options: SubscribeOptions): Promise<SubscribedJob> {
    const { jobId, eventCount } = known.job;
    const history = options.history ?? options.fromEventSeq !== undefined;
    known.position = { fromEventSeq: options.fromEventSeq, history, eventCount };
    const payload = {
      job_id: jobId,
      ...(options.fromEventSeq === undefined ? {} : { from_event_seq: options.fromEventSeq }),
      ...(history ? { history } : {}),
    };
    return this.#correlation.subscribes.ask(
      {
        type: "job.subscribe",
        jobId,
        isRepeatable: true,
        send: () => this.#send("job.subscribe", payload, { jobId }),
      },
      options.signal,
    );
  }

  #dropSubscription(known: KnownJob, isAgreed: boolean): void {
    known.subscriptions -= 1;
    if (known.subscriptions > 0 || known.role !== "observed" || known.job.isOver) return;
    const { jobId } = known.job;
    if (isAgreed && this.#state.phase === "connected") this.#send("job.unsubscribe", { job_id: jobId }, { jobId });
    known.job.lose(new CancelledError("the subscription was ended"));
    this.#jobs.retire(jobId);
  }

  #send(
    type: string,
    payload: JsonObject,
    fields: { jobId?: string; traceId?: string } = {},
  ): ReturnType<Connection["send"]> {
    if (this.#state.phase !== "connected") throw new TransportError("there is no connection", { retryable: true });
    return this.#state.connection.send(type, payload, fields);
  }

  /** The session to make requests in. While it is being resumed, requests wait. */
  #requireOpen(): Session {
    const state = this.#state;
    if (state.phase === "connected" || state.phase === "reconnecting") return state.session;
    if (state.phase === "closed" && state.error) throw state.error;
    if (state.phase === "disconnected") throw new TransportError("there is no connection", { retryable: true });
    throw new InvalidRequestError(
      state.phase === "closed" || state.phase === "closing" ? "the client is closed" : "the client is not connected",
    );
  }

  /** Reading stops when a consumer lags, unless somebody waits for a reply, which may be behind the events. */
  #updateReading(): void {
    if (this.#state.phase === "connected") {
      this.#state.connection.setReading(!this.#backlog.isOver || this.#correlation.size > 0);
    }
  }

  // ---------------------------------------------------------------------------------------------- messages

  #onMessage(message: SessionMessage, frame: JsonObject): void {
    const state = this.#state;
    if (state.phase === "closing") {
      if (message.type === "session.closed" || message.type === "session.bye") state.onAnswer(true);
      else if (message.type === "session.error") state.onAnswer(false);
      return;
    }
    if (state.phase !== "connected") return;
    switch (message.type) {
      case "job.event":
        this.#onJobEvent(state.session, message);
        return;
      case "job.result":
      case "job.error":
        if (this.#isNew(message)) this.#onJobEnd(state.session, message, frame);
        return;
      case "job.accepted":
        if (this.#isNew(message)) this.#onAccepted(message, frame);
        return;
      case "job.cancelled":
        this.#onCancelled(state.session, message, frame);
        return;
      case "job.subscribed":
        if (this.#isNew(message)) this.#onSubscribed(state.session, message, frame);
        return;
      case "session.jobs":
        this.#onJobs(message, frame);
        return;
      case "session.error":
        this.#onError(readError(message.payload), frame);
        return;
      case "session.closed":
      case "session.bye":
        state.connection.abort(new TransportError("the runtime ended the connection", { retryable: true }));
        return;
    }
  }

  #onJobEvent(session: Session, message: MessageOf<"job.event">): void {
    const jobId = message.job_id;
    if (jobId === undefined) {
      this.#problem(new InvalidRequestError("a job.event names no job"));
      return;
    }
    const known = this.#jobs.find(jobId);
    if (!this.#admit(session, message, known)) return;
    if (known === undefined && this.#jobs.isPast(jobId)) return;
    const target = known ?? this.#jobs.ensure(jobId, "unknown");
    const event = target.job.receive(toJobEvent(jobId, seqOf(message), message.payload));
    if (event === undefined) return;
    if (this.#sessionReaders.size > 0) for (const reader of this.#sessionReaders) reader.push(event);
    this.#listeners.emit("event", event);
    if (target.endsAt) this.#settleByStatus(session, target);
  }

  #onJobEnd(session: Session, message: MessageOf<"job.result"> | MessageOf<"job.error">, frame: JsonObject): void {
    const reply = readCorrelators(frame);
    const jobId = message.job_id ?? message.payload.job_id;
    const known = jobId === undefined ? undefined : this.#jobs.find(jobId);
    if (!this.#admit(session, message, known)) return;
    if (message.type === "job.error" && this.#isRefusal(message, known, reply)) return;
    if (jobId === undefined || (known === undefined && this.#jobs.isPast(jobId))) return;
    const target = known ?? this.#jobs.ensure(jobId, "unknown");
    if (message.type === "job.result") target.job.finish(message.payload);
    else target.job.fail(readError(message.payload), message.payload.final_status);
    this.#onOver(target);
  }

  /** Does this `job.error` refuse a request, as one SDK's do, instead of ending a job? Then it is dealt with. */
  #isRefusal(
    message: MessageOf<"job.error">,
    known: KnownJob | undefined,
    reply: ReturnType<typeof readCorrelators>,
  ): boolean {
    const { submits, subscribes, cancels } = this.#correlation;
    const { code } = message.payload;
    const error = readError(message.payload);
    const jobId = message.job_id ?? message.payload.job_id;
    for (const lane of [submits, subscribes, cancels] as const) {
      const exact = lane.matchExactly(reply);
      if (exact) {
        lane.reject(exact, error);
        return true;
      }
    }
    if (REFUSALS.has(code)) {
      const subscribe = known?.role === "own" ? undefined : subscribes.matchJob(jobId);
      if (subscribe) {
        subscribes.reject(subscribe, error);
        return true;
      }
      const cancel = code === "JOB_NOT_FOUND" || known?.role !== "own" ? cancels.matchJob(jobId) : undefined;
      if (cancel) {
        cancels.reject(cancel, error);
        return true;
      }
    }
    // A job that ended before its acceptance came is named in the payload too, and not numbered, by the SDK that does so.
    const isEarlyEnd = message.payload.job_id !== undefined && seqOf(message) === undefined;
    const isUnheardOf = known === undefined && !(jobId !== undefined && this.#jobs.isPast(jobId)) && !isEarlyEnd;
    if (code !== "DUPLICATE_KEY" && !isUnheardOf) return false;
    const submit = submits.match(reply);
    if (submit) submits.reject(submit, error);
    return submit !== undefined || code === "DUPLICATE_KEY";
  }

  #onAccepted(message: MessageOf<"job.accepted">, frame: JsonObject): void {
    const { payload } = message;
    const jobId = payload.job_id ?? message.job_id;
    if (jobId === undefined) {
      this.#problem(new InvalidRequestError("a job.accepted names no job"));
      return;
    }
    if (payload.parent_job_id !== undefined) {
      const child = this.#jobs.recall(jobId, "delegated");
      child.job.accept(payload);
      this.#listeners.emit("delegated", child.handle);
      return;
    }
    const { submits } = this.#correlation;
    const request = submits.match(readCorrelators(frame));
    if (request === undefined) return;
    const known = this.#jobs.recall(jobId, "own");
    known.job.accept(payload);
    const isWanted = submits.resolve(request, known.job);
    if (known.job.isOver) this.#onOver(known);
    else if (!isWanted && !request.isRepeatable) this.#cancelUnwanted(known.job);
  }

  /** The caller gave the submit up before it was accepted. */
  #cancelUnwanted(job: Job): void {
    this.cancelJob(job.jobId, { reason: "the submitter no longer waits" }).catch((error: unknown) => {
      this.#problem(ARCPError.from(error));
    });
  }

  #onCancelled(session: Session, message: MessageOf<"job.cancelled">, frame: JsonObject): void {
    const reply = readCorrelators(frame);
    const seq = frame["event_seq"];
    // One SDK numbers it.
    if (typeof seq === "number") session.sequence.take(seq);
    const request = this.#correlation.cancels.match(reply);
    if (request) this.#correlation.cancels.resolve(request, undefined);
    else if (message.job_id === undefined && message.payload.job_id === undefined) {
      this.#problem(new InvalidRequestError("a job.cancelled names no job"));
    }
  }

  #onSubscribed(session: Session, message: MessageOf<"job.subscribed">, frame: JsonObject): void {
    const { subscribes } = this.#correlation;
    const request = subscribes.match(readCorrelators(frame));
    const jobId = request?.jobId as JobId | undefined;
    const known = jobId === undefined ? undefined : this.#jobs.find(jobId);
    if (request === undefined || jobId === undefined) return;
    const subscribed = readSubscribed(jobId, message.payload);
    const isWanted = subscribes.resolve(request, subscribed);
    if (known === undefined) return;
    if (!isWanted && known.subscriptions === 0) this.#send("job.unsubscribe", { job_id: jobId }, { jobId });
    const { jobLastEventSeq, subscribedFrom, currentStatus, replayed } = subscribed;
    const { position } = known;
    if (position && jobLastEventSeq !== undefined && !position.history) {
      known.position = { fromEventSeq: jobLastEventSeq, history: true, eventCount: known.job.eventCount };
    }
    if (currentStatus !== undefined && TERMINAL.has(currentStatus)) {
      const seq = replayed ? (subscribedFrom ?? Number.POSITIVE_INFINITY) : 0;
      known.endsAt = { seq, status: currentStatus };
      this.#settleByStatus(session, known);
    }
  }

  /** A job that was over when it was subscribed to, and whose ending is not replayed, ends by its status alone. */
  #settleByStatus(session: Session, known: KnownJob): void {
    const end = known.endsAt;
    if (end === undefined || session.sequence.last < end.seq) return;
    if (end.status === "success") known.job.succeedWithout();
    else known.job.fail(errorOfStatus(end.status), end.status);
    this.#onOver(known);
  }

  #onJobs(message: MessageOf<"session.jobs">, frame: JsonObject): void {
    const { lists } = this.#correlation;
    const request = lists.match(readCorrelators(frame));
    if (request) lists.resolve(request, readJobPage(message.payload));
  }

  #onError(error: ARCPError, frame: JsonObject): void {
    if (!this.#correlation.refuse(readCorrelators(frame), error)) this.#problem(error);
  }

  #onUnreadable(frame: JsonObject | undefined, error: ARCPError): void {
    const seq = frame?.["event_seq"];
    // It was received, if not understood: asking for it again would bring it again.
    if (typeof seq === "number" && this.#state.phase === "connected") this.#state.session.sequence.take(seq);
    this.#problem(error);
  }

  /** Judges a message by its number (§8.3). Returns whether it is to be taken. */
  #admit(session: Session, message: NumberedMessage, known: KnownJob | undefined): boolean {
    const seq = seqOf(message);
    if (seq === undefined) return true;
    if (this.#isForeign(session, message, known)) {
      if (known === undefined) return true;
      if (seq <= known.foreignSeq) return false;
      known.foreignSeq = seq;
      return true;
    }
    switch (session.sequence.take(seq)) {
      case "gap":
        return this.#onGap(session, seq);
      case "duplicate":
        return false;
      default:
        if (this.#options.autoAck && session.facts.features.has("ack")) session.acknowledgement.arm();
        return true;
    }
  }

  /** Is the message numbered in the stream of another session, which some runtimes pass on as it is? */
  #isForeign(session: Session, message: NumberedMessage, known: KnownJob | undefined): boolean {
    if (known?.role === "own" || known?.role === "delegated") return false;
    const isOtherSession = message.session_id !== undefined && message.session_id !== session.facts.sessionId;
    return isOtherSession || (known?.role === "observed" && this.#options.compat.subscriptionNumbering === "owner");
  }

  /** A number is missing. Returns whether the message is to be taken all the same. */
  #onGap(session: Session, seq: number): boolean {
    const { last } = session.sequence;
    const error = new InternalError(`messages ${last + 1} to ${seq - 1} are missing`, {
      details: { last_event_seq: last, event_seq: seq },
    });
    const mayResume = this.#options.compat.onGap === "resume" && session.resumeToken !== undefined;
    if (mayResume && this.#gapRetriedAt !== last && this.#state.phase === "connected") {
      this.#gapRetriedAt = last;
      this.#problem(error);
      this.#state.connection.abort(error);
      return false;
    }
    // The runtime does not have them either.
    session.sequence.skipTo(seq);
    this.#problem(error);
    if (this.#options.autoAck && session.facts.features.has("ack")) session.acknowledgement.arm();
    return true;
  }

  /** Is this the first time that the message arrives? Numbered ones are judged by their number. */
  #isNew(message: { readonly id: string; readonly event_seq?: number | undefined }): boolean {
    if (message.event_seq !== undefined && message.event_seq !== 0) return true;
    if (this.#recentIds.has(message.id)) return false;
    this.#recentIds.add(message.id);
    if (this.#recentIds.size > MAX_RECENT_IDS) this.#recentIds.delete(this.#recentIds.values().next().value as string);
    return true;
  }

  /** The job has ended: what waits for it settles, and it moves out of the way. */
  #onOver(known: KnownJob): void {
    const { jobId } = known.job;
    // A job that ended before word of its acceptance came is kept until it comes.
    if (known.role === "unknown") return;
    const { cancels } = this.#correlation;
    for (let request = cancels.matchJob(jobId); request; request = cancels.matchJob(jobId)) {
      cancels.resolve(request, undefined);
    }
    this.#jobs.retire(jobId);
  }

  #lose(known: KnownJob, error: ARCPError): void {
    known.job.lose(error);
    this.#jobs.retire(known.job.jobId);
  }

  #problem(error: ARCPError): void {
    this.#options.logger.debug({ code: error.code, details: error.details }, error.message);
    this.#listeners.emit("error", error);
  }

  #report(state: ConnectionState): void {
    this.#listeners.emit("state", state);
  }

  // ---------------------------------------------------------------------------------------------- closing

  async #close(reason: string | undefined): Promise<void> {
    if (this.#state.phase === "connected") {
      const { connection, session } = this.#state;
      session.acknowledgement.stop();
      this.#settleAll(new CancelledError("the client was closed"));
      const payload = reason === undefined ? {} : { reason };
      const isClosed = await this.#sayGoodbye(connection, payload);
      if (!isClosed) connection.send("session.bye", payload);
      connection.close(undefined, reason);
    }
    this.#finish(undefined);
  }

  /** Sends `session.close` and waits for the answer. Resolves with whether the runtime agreed. */
  async #sayGoodbye(connection: Connection, payload: JsonObject): Promise<boolean> {
    if (this.#options.compat.dialect === "ruby") return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancelTimer = this.#options.clock.setTimer(() => resolve(false), this.#options.closeTimeoutMs);
    this.#state = { phase: "closing", connection, onAnswer: resolve };
    connection.setReading(true);
    connection.send("session.close", payload);
    try {
      return await promise;
    } finally {
      cancelTimer();
    }
  }

  /** The one way into `closed`. */
  #finish(error: ARCPError | undefined): void {
    const state = this.#state.phase === "connecting" ? this.#state.from : this.#state;
    if (state.phase === "closed") return;
    this.#state = { phase: "closed", error };
    if (state.phase === "reconnecting") state.stop.abort(error ?? new CancelledError("the client was closed"));
    if (state.phase === "disconnected") state.stopHolding();
    if (state.phase === "connected") state.connection.close();
    if ("session" in state) state.session.acknowledgement.stop();
    this.#settleAll(error ?? new CancelledError("the client was closed"));
    this.#report(error === undefined ? { phase: "closed" } : { phase: "closed", error });
    if (error === undefined) this.#closed.resolve();
    else {
      this.#closed.promise.catch(() => {
        // Whoever waits for `closed` hears of it; nobody has to.
      });
      this.#closed.reject(error);
    }
  }

  #settleAll(error: ARCPError): void {
    this.#correlation.rejectAll(error);
    for (const known of this.#jobs.live()) this.#lose(known, error);
    for (const reader of this.#sessionReaders) reader.end();
  }
}

interface NumberedMessage {
  readonly session_id?: string | undefined;
  readonly event_seq?: number | undefined;
}

/** A message's number. Zero is what some peers write for none (§8.3). */
const seqOf = (message: NumberedMessage): number | undefined =>
  message.event_seq === undefined || message.event_seq === 0 ? undefined : message.event_seq;

const resumePosition = (resume: ResumeInfo): JsonObject => ({
  session_id: resume.sessionId,
  resume_token: resume.resumeToken,
  last_event_seq: resume.lastEventSeq,
});

const resumePayload = (resume: ResumeInfo | undefined, auth: JsonObject): JsonObject =>
  resume === undefined ? { auth } : { ...resumePosition(resume), auth };

async function readAuth(token: ClientOptions["token"]): Promise<JsonObject> {
  if (token === undefined) return { scheme: "none" };
  return { scheme: "bearer", token: typeof token === "string" ? token : await token() };
}

/** `promise`, or the signal's reason if that comes first; what comes too late goes to `dispose`. */
async function untilAbort<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
  dispose: (late: Value) => void,
): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(abortReason(signal));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } catch (thrown) {
    if (signal.aborted) promise.then(dispose, () => {});
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
