import {
  ARCPError,
  CancelledError,
  type CompressionOptions,
  connectTransport,
  DESCRIBE_FEATURE,
  EXTENSION_FEATURE,
  InternalError,
  InvalidRequestError,
  type Transport,
  toJobId,
  ulid,
} from "@arcp/core";
import type { AgentDescription, CheckedSubmission, CheckOptions, JobDescription } from "./agent-description.ts";
import { Backlog } from "./backlog.ts";
import { Correlation, requireFeature } from "./correlation.ts";
import type { EventQueue } from "./event-queue.ts";
import { Inbound } from "./inbound.ts";
import { JobBook, type KnownJob } from "./job-book.ts";
import type { JobEvent } from "./job-events.ts";
import type { CancelOptions, JobHandle, WaitOptions } from "./job-handle.ts";
import { type JobFilter, type JobPage, type JobSummary, type ListOptions, toListPayload } from "./job-list.ts";
import type { JobSubscription } from "./job-subscription.ts";
import { type ConnectionState, Link, type LinkOwner, type Reconnection } from "./link.ts";
import { Listeners } from "./listeners.ts";
import { Numbering } from "./numbering.ts";
import { type ClientOptions, type ResolvedOptions, resolveOptions } from "./options.ts";
import {
  type AnswerLink,
  type AnswerStatus,
  type Question,
  type QuestionAnswer,
  type QuestionEnd,
  Questions,
  toAnswerMessage,
} from "./questions.ts";
import type { ReconnectOptions, TransportFactory } from "./reconnect.ts";
import { withRetry } from "./retry.ts";
import type { ResumeInfo, Session, SessionFacts, WelcomePayload } from "./session.ts";
import { type SubmitOptions, toSubmission } from "./submission.ts";
import { type SubscribeOptions, Subscriptions } from "./subscriptions.ts";

/** What {@link ARCPClient.on} can be asked to report. */
export interface ClientSignals {
  readonly state: ConnectionState;
  /** A problem that ends nothing: an unreadable message, a gap, an error that answers no request. */
  readonly error: ARCPError;
  /** Every event of the session, of whatever job. */
  readonly event: JobEvent;
  /** A job of this session delegated to another one (§10), which runs in this session too. */
  readonly delegated: JobHandle;
  /**
   * A job of this principal, of this session or another one, asks people something (RFC §12, §15.4): see
   * {@link ARCPClient.respond}. Questions that are open already when a session begins come with its first events:
   * {@link ARCPClient.questions}.
   */
  readonly question: Question;
  /** A question has ended, whoever answered it, or nobody. */
  readonly questionEnd: QuestionEnd;
}

/** {@link ClientOptions}, and how {@link ARCPClient.connect} connects again. */
export interface ConnectOptions extends ClientOptions {
  readonly reconnect?: ReconnectOptions;
  /** Takes this session up instead of opening one, as {@link ARCPClient.resume} does. */
  readonly resume?: ResumeInfo;
  /** Gives up the first connection. */
  readonly signal?: AbortSignal;
  /**
   * Offers compression to the runtime, which takes it if it was told to: for a `ws:` or `wss:` URL, in Node. Browsers
   * offer it by themselves. Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
}

/** A client of one runtime: one session, over one connection at a time. */
export class ARCPClient {
  readonly #options: ResolvedOptions;
  readonly #reconnection: Reconnection | undefined;
  readonly #link: Link;
  readonly #correlation: Correlation;
  readonly #jobs: JobBook;
  readonly #subscriptions: Subscriptions;
  readonly #inbound: Inbound;
  readonly #questions = new Questions({
    onQuestion: (question) => this.#listeners.emit("question", question),
    onEnd: (end) => this.#listeners.emit("questionEnd", end),
  });
  readonly #backlog = new Backlog(() => this.#updateReading());
  readonly #listeners: Listeners<ClientSignals>;
  readonly #sessionReaders = new Set<EventQueue<JobEvent>>();

  /** @param reconnection Set by {@link ARCPClient.connect}: how to connect again. */
  constructor(options: ClientOptions = {}, reconnection?: Reconnection) {
    this.#options = resolveOptions(options);
    this.#reconnection = reconnection;
    const { clock, requestTimeoutMs, logger } = this.#options;
    const onProblem = (error: ARCPError): void => this.#onProblem(error);
    this.#listeners = new Listeners((thrown) => logger.error({ err: thrown }, "a listener failed"));
    this.#link = new Link(this.#options, reconnection, this.#linkOwner());
    this.#correlation = new Correlation({
      clock,
      timeoutMs: requestTimeoutMs,
      isConnected: () => this.#link.isConnected,
      onChange: () => this.#updateReading(),
    });
    this.#jobs = new JobBook(this.#backlog, this.#options, (jobId, cancel) => this.cancelJob(jobId, cancel));
    this.#subscriptions = new Subscriptions({
      jobs: this.#jobs,
      requests: this.#correlation.subscribes,
      send: (type, payload, fields) => this.#link.send(type, payload, fields),
      isConnected: () => this.#link.isConnected,
      onOver: (known) => this.#inbound.onOver(known),
    });
    this.#inbound = new Inbound({
      jobs: this.#jobs,
      correlation: this.#correlation,
      numbering: new Numbering(this.#options, { onProblem, onBroken: (error) => this.#link.drop(error) }),
      subscriptions: this.#subscriptions,
      questions: this.#questions,
      onEvent: (event) => this.#onEvent(event),
      onDelegated: ({ handle }) => this.#listeners.emit("delegated", handle),
      onUnwanted: (known) => this.#cancelUnwanted(known),
      onProblem,
    });
  }

  /**
   * Connects to a `ws:` or `wss:` URL, in Node also to `unix:///path/of/a/socket`, or through a factory, and keeps
   * connected: after a loss the client connects again with growing, jittered waits and resumes the session (§6.3) until
   * the resume window has passed. Rejects when the first connection fails.
   */
  static async connect(target: string | URL | TransportFactory, options: ConnectOptions = {}): Promise<ARCPClient> {
    const { reconnect = {}, resume, signal, compression = false, ...clientOptions } = options;
    const allowInsecure = options.allowInsecure === true;
    const factory: TransportFactory =
      typeof target === "function"
        ? target
        : (abort) => connectTransport(String(target), { signal: abort, allowInsecure, compression });
    const client = new ARCPClient(clientOptions, { factory, options: reconnect });
    try {
      await client.#link.start(resume, signal);
      return client;
    } catch (thrown) {
      client.#link.end(ARCPError.from(thrown));
      throw thrown;
    }
  }

  /** What the connection is doing. */
  get state(): ConnectionState {
    return this.#link.state;
  }

  /** What the session agreed on; `undefined` before the first welcome and after the end. */
  get session(): SessionFacts | undefined {
    return this.#link.session?.facts;
  }

  /**
   * What another process needs to take the session over. `undefined` if it cannot be resumed. The runtime will then
   * replay what this client has received but its consumers have not taken.
   */
  get resumeInfo(): ResumeInfo | undefined {
    const session = this.#link.session;
    if (session?.resumeToken === undefined) return undefined;
    const { resumeToken, facts, sequence } = session;
    return { sessionId: facts.sessionId, resumeToken, lastEventSeq: this.#processed(sequence.last) };
  }

  /** Resolves when the client was closed; rejects with the error that ended it otherwise. */
  get closed(): Promise<void> {
    return this.#link.closed;
  }

  /**
   * Opens a session over `transport` (§6.2) and returns the payload of `session.welcome`. Rejects with the runtime's
   * error, {@link TimeoutError} or {@link TransportError}; the transport is then closed and the client can try another.
   */
  connect(transport: Transport, options: WaitOptions = {}): Promise<WelcomePayload> {
    return this.#link.open(transport, undefined, options.signal);
  }

  /**
   * Takes a session up again over a new transport (§6.3) and returns the payload of `session.welcome`. What was missed is
   * replayed to the handles that this client has given out; {@link job} gives handles for others. Rejects with
   * {@link ResumeWindowExpiredError} when the session is gone. If the runtime ignores the request and opens a new session,
   * `session.sessionId` is not the one asked for, and the jobs of the old one have failed with that error.
   */
  resume(transport: Transport, resumeInfo: ResumeInfo, options: WaitOptions = {}): Promise<WelcomePayload> {
    return this.#link.open(transport, resumeInfo, options.signal);
  }

  /**
   * Submits a job (§7.1) and resolves when the runtime has accepted it. Rejects with the typed refusal, with
   * {@link InvalidRequestError} for features that were not negotiated, and when the client is closed. While the client
   * reconnects, the submit waits.
   */
  async submit(options: SubmitOptions): Promise<JobHandle> {
    const { retry, signal } = options;
    const needsKey = options.idempotencyKey === undefined && (retry !== undefined || this.#reconnection !== undefined);
    const keyed = needsKey ? { ...options, idempotencyKey: ulid() } : options;
    if (retry === undefined) return this.#submitOnce(keyed);
    const random = this.#reconnection?.options.random ?? Math.random;
    return withRetry(() => this.#submitOnce(keyed), retry, this.#options.clock, random, signal);
  }

  /**
   * A handle for a job of this session that this client did not submit: one known from {@link listJobs}, or from before
   * the session was resumed. Nothing is sent; its events arrive if the runtime sends them to this session.
   */
  job(jobId: string): JobHandle {
    this.#link.requireOpen();
    return this.#jobs.recall(toJobId(jobId), "own").handle;
  }

  /**
   * Observes a job (§7.6). Resolves when the runtime has agreed; events that came before that are not lost. Rejects with
   * the typed refusal, or {@link InvalidRequestError} if `subscribe` was not negotiated.
   */
  async subscribe(jobId: string, options: SubscribeOptions = {}): Promise<JobSubscription> {
    requireFeature(this.#link.requireOpen().facts.features, "subscribe", "job.subscribe");
    return this.#subscriptions.subscribe(toJobId(jobId), options);
  }

  /** One page of the jobs that this principal may see (§6.6), oldest first. */
  async listJobs(filter: JobFilter = {}, options: ListOptions = {}): Promise<JobPage> {
    requireFeature(this.#link.requireOpen().facts.features, "list_jobs", "session.list_jobs");
    const payload = toListPayload(filter, options);
    return this.#correlation.lists.ask(
      { type: "session.list_jobs", isRepeatable: true, send: () => this.#link.send("session.list_jobs", payload) },
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
    this.#link.requireOpen();
    const id = toJobId(jobId);
    if (this.#jobs.isPast(id)) return;
    // One SDK's runtime demands a reason.
    const payload = { job_id: id, reason: options.reason ?? "client_cancel" };
    await this.#correlation.cancels.ask(
      {
        type: "job.cancel",
        jobId: id,
        isRepeatable: true,
        send: () => this.#link.send("job.cancel", payload, { jobId: id }),
      },
      options.signal,
    );
  }

  /**
   * What the agent is that `reference` means: its input's schema above all. Rejects with the typed refusal, and with
   * {@link InvalidRequestError} for runtimes that do not describe their agents.
   */
  async describeAgent(reference: string, options: WaitOptions = {}): Promise<AgentDescription> {
    const type = "x-vendor.arcp.agent.describe";
    requireFeature(this.#link.requireOpen().facts.features, DESCRIBE_FEATURE, "a description of an agent");
    return this.#correlation.descriptions.ask(
      { type, isRepeatable: true, send: () => this.#link.send(type, { agent: reference }) },
      options.signal,
    );
  }

  /**
   * What a submission would be granted, without making it. Rejects with what {@link submit} would reject with, but for
   * limits that change from moment to moment, and with {@link InvalidRequestError} for runtimes that do not check.
   */
  async checkSubmission(options: CheckOptions): Promise<CheckedSubmission> {
    const type = "x-vendor.arcp.job.check";
    const { features } = this.#link.requireOpen().facts;
    requireFeature(features, DESCRIBE_FEATURE, "a submission that is only checked");
    const { payload } = toSubmission(options, features, "map");
    return this.#correlation.checks.ask(
      { type, isRepeatable: true, send: () => this.#link.send(type, payload) },
      options.signal,
    );
  }

  /**
   * What a job was asked for: its input above all. Rejects with the typed refusal for a job that this principal may not
   * observe, and with {@link InvalidRequestError} for runtimes that do not tell.
   */
  async describeJob(jobId: string, options: WaitOptions = {}): Promise<JobDescription> {
    const type = "x-vendor.arcp.job.describe";
    requireFeature(this.#link.requireOpen().facts.features, DESCRIBE_FEATURE, "a description of a job");
    const id = toJobId(jobId);
    return this.#correlation.jobDescriptions.ask(
      { type, jobId: id, isRepeatable: true, send: () => this.#link.send(type, { job_id: id }) },
      options.signal,
    );
  }

  /** The questions of this principal's jobs that have not ended, oldest first: those that this session was told of. */
  get questions(): readonly Question[] {
    return this.#questions.open;
  }

  /**
   * Answers a question (RFC §12, §15.4). Resolves with what became of the answer; a valid one that comes after another one
   * is `ignored`. Rejects with the typed refusal: {@link InvalidRequestError} for an answer that does not keep the schema or
   * is of another kind, after which the question is still open, and for a question that has ended without an answer. While
   * the client reconnects, the answer waits.
   */
  async respond(questionId: string, answer: QuestionAnswer, options: WaitOptions = {}): Promise<AnswerStatus> {
    requireFeature(this.#link.requireOpen().facts.features, EXTENSION_FEATURE, "an answer");
    const shown = this.#questions.open.find(({ id }) => id === questionId);
    const { type, payload } = toAnswerMessage(questionId, answer, shown);
    const { status } = await this.#correlation.answers.ask(
      { type, isRepeatable: true, send: () => this.#link.send(type, payload) },
      options.signal,
    );
    return status as AnswerStatus;
  }

  /**
   * A link by which somebody else can answer the question once, in the name of this client's principal, until
   * `expiresInSeconds` (default: an hour) or the question's own end. Rejects as {@link respond} does.
   */
  async createAnswerLink(
    questionId: string,
    { expiresInSeconds, signal }: WaitOptions & { readonly expiresInSeconds?: number } = {},
  ): Promise<AnswerLink> {
    requireFeature(this.#link.requireOpen().facts.features, EXTENSION_FEATURE, "a link");
    const type = "x-vendor.arcp.answer_link";
    const payload = { request_id: questionId, expires_in_seconds: expiresInSeconds };
    const { token, expires_at: expiresAt } = await this.#correlation.answers.ask(
      { type, isRepeatable: false, send: () => this.#link.send(type, payload) },
      signal,
    );
    if (token === undefined || expiresAt === undefined) throw new InternalError("the runtime gave no link");
    return { token, expiresAt };
  }

  /**
   * Acknowledges everything up to `seq` (§6.5). Needed only with `autoAck: false`. Throws {@link InvalidRequestError} for a
   * number that was not received, or if `ack` was not negotiated. Numbers below the last acknowledged one do nothing.
   */
  ack(seq: number): void {
    const session = this.#link.requireOpen();
    requireFeature(session.facts.features, "ack", "session.ack");
    if (!Number.isSafeInteger(seq) || seq < 0 || seq > session.sequence.last) {
      throw new InvalidRequestError(`cannot acknowledge ${seq}: the last message received is ${session.sequence.last}`);
    }
    session.acknowledgement.send(seq);
  }

  /**
   * Every event of the session from now on, of whatever job. Ends when the client is closed. Like any iterator that is not
   * read, it stops the connection when {@link ClientOptions.maxUnreadEvents} wait in it: read it, or leave it.
   */
  events(options: WaitOptions = {}): AsyncIterableIterator<JobEvent, undefined> {
    const queue = this.#backlog.open<JobEvent>(
      { highWater: this.#options.maxUnreadEvents },
      options.signal,
      (left) => void this.#sessionReaders.delete(left),
    );
    if (this.#link.isClosed) queue.end();
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
    this.#settleAll(new CancelledError("the client was closed"));
    return this.#link.close(reason);
  }

  /** Ends the client at once, without a word to the runtime; the session stays resumable. Idempotent. */
  abort(error: ARCPError = new CancelledError("the client was aborted")): void {
    this.#link.end(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #linkOwner(): LinkOwner {
    return {
      onOpen: (before) => this.#onOpen(before),
      onMessage: (session, message, frame) => this.#inbound.receive(session, message, frame),
      onUnreadable: (frame, error) => this.#inbound.onUnreadable(this.#link.session, frame, error),
      onLost: (cause) => {
        this.#correlation.disconnect();
        if (cause) this.#correlation.rejectAll(cause);
      },
      onEnd: (error) => this.#settleAll(error),
      onState: (state) => this.#listeners.emit("state", state),
      processed: (received) => this.#processed(received),
      isNeeded: () => this.#jobs.live().length > 0,
    };
  }

  #onOpen(before: Session | undefined): void {
    this.#correlation.resend();
    if (before === undefined) return;
    this.#questions.clear();
    const mayReattach = this.#reconnection?.options.onExpired === "reattach" && this.session?.features.has("subscribe");
    this.#subscriptions.move(before, mayReattach === true);
  }

  async #submitOnce(options: SubmitOptions): Promise<JobHandle> {
    const { features } = this.#link.requireOpen().facts;
    const leaseForm = this.#options.compat.dialect === "ruby" ? "ruby" : "map";
    const { payload, trace, idempotencyKey } = toSubmission(options, features, leaseForm);
    const { handle } = await this.#correlation.submits.ask(
      {
        type: "job.submit",
        traceId: trace.traceId,
        isRepeatable: idempotencyKey !== undefined,
        send: () => this.#link.send("job.submit", payload, { trace }),
      },
      options.signal,
    );
    return handle;
  }

  #cancelUnwanted({ job }: KnownJob): void {
    this.cancelJob(job.jobId, { reason: "the submitter no longer waits" }).catch((error: unknown) => {
      this.#onProblem(ARCPError.from(error));
    });
  }

  #onEvent(event: JobEvent): void {
    if (this.#sessionReaders.size > 0) for (const reader of this.#sessionReaders) reader.push(event);
    this.#listeners.emit("event", event);
  }

  #onProblem(error: ARCPError): void {
    this.#options.logger.debug({ code: error.code, details: error.details }, error.message);
    this.#listeners.emit("error", error);
  }

  /** The highest number up to which every consumer has taken every event. */
  #processed(received: number): number {
    const unread = this.#backlog.lowestUnread;
    return unread === undefined ? received : Math.min(received, unread - 1);
  }

  /** Reading stops when a consumer lags, unless somebody waits for a reply, which may be behind the events. */
  #updateReading(): void {
    this.#link.setReading(!this.#backlog.isOver || this.#correlation.size > 0);
  }

  #settleAll(error: ARCPError): void {
    this.#correlation.rejectAll(error);
    for (const { job } of this.#jobs.live()) {
      job.lose(error);
      this.#jobs.retire(job.jobId);
    }
    for (const reader of this.#sessionReaders) reader.end();
  }
}
