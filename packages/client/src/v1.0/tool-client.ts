import {
  ARCPError,
  CancelledError,
  connectTransport,
  InvalidRequestError,
  type JsonObject,
  newMessageId,
  type Transport,
} from "@arcp/core";
import {
  type AnyMessage10,
  type ArtifactRef10,
  errorFromV10,
  isExtensionType,
  type RuntimeMessage10,
} from "@arcp/core/v1.0";
import { Backlog } from "../backlog.ts";
import { Listeners } from "../listeners.ts";
import { RecentIds } from "../recent-ids.ts";
import type { TransportFactory } from "../reconnect.ts";
import { type ArtifactSource, Artifacts, type FetchOptions, type PutOptions } from "./artifacts.ts";
import type { Outgoing } from "./connection.ts";
import { type CancelOptions10, Control, cancelPayload } from "./control.ts";
import type { ToolEvent } from "./events.ts";
import type { Invocation } from "./invocation.ts";
import {
  type Delegation,
  delegationOf,
  type InvokeOptions,
  invocationOf,
  newSpanId,
  type ScheduledWork,
  traceOf,
  type When,
  workflowOf,
} from "./invoking.ts";
import { type LeaseChange, Leases } from "./leases.ts";
import { Link10, type LinkOwner10, type ToolConnectionState } from "./link.ts";
import {
  type ResolvedToolOptions,
  resolveToolOptions,
  type ToolClientOptions,
  type ToolReconnectOptions,
} from "./options.ts";
import { type QuestionHandler, Questions10, type ToolQuestion } from "./questions.ts";
import { type Answer, type AskOptions, type Command, Requests, type Unsent } from "./requests.ts";
import { Resumption } from "./resumption.ts";
import type { Schedule } from "./schedule.ts";
import type { ToolSession, ToolSessionFacts } from "./session.ts";
import type { Flow } from "./stream-flow.ts";
import type { ReadOptions } from "./streams.ts";
import { type ObserveOptions, type ObserverFilter, type Subscription, Subscriptions10 } from "./subscriptions.ts";
import { Works } from "./works.ts";

/** A session that the runtime no longer knows, and what was under way in it (RFC §19). */
export interface DataLoss {
  readonly sessionId: string;
  readonly error: ARCPError;
  /** Failed, or asked for once more: as {@link ToolReconnectOptions.onDataLoss} says. */
  readonly invocations: readonly Invocation[];
}

/** A message of an extension (RFC §21). */
export interface ExtensionMessage {
  readonly type: string;
  readonly payload: JsonObject;
  readonly message: AnyMessage10;
}

/** What {@link ARCPToolClient.on} can be asked to report. */
export interface ToolClientSignals {
  readonly state: ToolConnectionState;
  /** A problem that ends nothing: an unreadable message, an error that answers no command, an answer that was refused. */
  readonly problem: ARCPError;
  /** Every event, of whatever work. */
  readonly event: ToolEvent;
  /** Work that this client did not ask for: a run of a schedule, a child, work of an earlier session. */
  readonly work: Invocation;
  readonly lease: LeaseChange;
  readonly dataLoss: DataLoss;
  readonly extension: ExtensionMessage;
}

/** {@link ToolClientOptions}, and how {@link ARCPToolClient.open} connects again. */
export interface ToolOpenOptions extends ToolClientOptions {
  readonly reconnect?: ToolReconnectOptions;
  /** Gives up the first connection. */
  readonly signal?: AbortSignal;
}

/** How {@link ARCPToolClient.close} takes its leave (RFC §9). */
export interface ToolCloseOptions {
  /** What becomes of open work (RFC §9). Default: the runtime's policy. */
  readonly disposeJobs?: "cancel" | "detach";
  readonly reason?: string;
}

/** The answer to a ping. */
export interface Pong {
  /** The runtime's time, RFC 3339, if it said. */
  readonly receivedAt: string | undefined;
  readonly roundTripMs: number;
}

/** What a message of a vendor's own type is about (RFC §21). */
export interface ExtensionOptions {
  /** A runtime that does not know the type drops it without a word (RFC §21.3). Default: false. */
  readonly optional?: boolean;
  readonly jobId?: string;
}

/** Ids of messages that are remembered, so that one which is delivered twice counts once. */
const MAX_SEEN = 8192;

/** A client of one runtime over wire 1.0 (RFC-0001). */
export class ARCPToolClient {
  /** The leases that this client has heard of (RFC §15.5). */
  readonly leases: Leases;
  readonly #options: ResolvedToolOptions;
  readonly #reconnection: ToolReconnectOptions | undefined;
  readonly #link: Link10;
  readonly #requests: Requests;
  readonly #works: Works;
  readonly #control: Control;
  readonly #resumption: Resumption;
  readonly #questions: Questions10;
  readonly #subscriptions: Subscriptions10;
  readonly #artifacts: Artifacts;
  readonly #backlog = new Backlog(() => this.#updateReading());
  readonly #listeners: Listeners<ToolClientSignals>;
  readonly #seen = new RecentIds(MAX_SEEN);

  private constructor(
    options: ToolClientOptions,
    dial: TransportFactory,
    reconnection: ToolReconnectOptions | undefined,
  ) {
    this.#options = resolveToolOptions(options);
    this.#reconnection = reconnection;
    const { clock, requestTimeoutMs, silenceMs, logger, respondedBy, compat } = this.#options;
    const { maxResultBytes, maxFrameBytes, maxUnreadEvents } = this.#options;
    const ask = (message: Unsent, asked: AskOptions) => this.#ask(message, asked);
    const onProblem = (error: ARCPError): void => this.#onProblem(error);
    this.#listeners = new Listeners((thrown) => logger.error({ err: thrown }, "a listener failed"));
    this.#link = new Link10(this.#options, dial, reconnection, this.#linkOwner());
    this.#requests = new Requests({
      clock,
      timeoutMs: requestTimeoutMs,
      isConnected: () => this.#link.isConnected,
      sessionId: () => this.#link.session?.id,
      send: ({ bytes, ...command }) => this.#send(command, bytes),
      onChange: () => this.#updateReading(),
    });
    this.#works = new Works({
      ...{ backlog: this.#backlog, options: this.#options, random: reconnection?.random ?? Math.random, onProblem },
      ask: (command, asked) => this.#askFor(command, asked),
      cancel: (target, targetId, how) => this.#control.cancel(target, targetId, how),
      interrupt: (jobId, how) => this.#control.interrupt(jobId, how),
      backpressure: (streamId, flow) => this.#backpressure(streamId, flow),
      fetch: (ref, how) => this.#artifacts.fetch(ref, how),
      onEvent: (event) => this.#listeners.emit("event", event),
      onHeardOf: (work) => this.#listeners.emit("work", work),
      onOver: (jobId) => {
        this.#control.onOver(jobId);
        this.#questions.closeOfJob(jobId);
      },
    });
    this.#control = new Control({
      ...{ requests: this.#requests, ask, isFSharp: compat.dialect === "fsharp" },
      jobOfCommand: (commandId) => this.#works.jobOf(commandId),
      canInterrupt: () => this.session.capabilities.interrupt,
    });
    this.#resumption = new Resumption({
      ask: async (command) => (await this.#requests.ask(command, { silenceMs, isBoundToConnection: true }))?.message,
      isSilenceLoss: compat.silentResume === "lost",
      onProblem,
      isNeeded: ({ id }) => this.#isNeeded(id),
      hasOpenStreams: ({ id }) => this.#works.hasOpenStreams(id),
      onDataLoss: (session, error) => this.#onDataLoss(session, error),
      onDone: () => this.#requests.resend(),
    });
    this.#questions = new Questions10({
      ...{ clock, respondedBy, onProblem },
      // Some runtimes go on without a word.
      answer: (message) => this.#ask(message, { silenceMs }),
    });
    this.leases = new Leases({
      ...{ clock, ask },
      onExtended: (leaseId, message) =>
        this.#requests.answerOf(
          "lease.refresh",
          ({ payload }) => (payload as JsonObject)["lease_id"] === leaseId,
          message,
        ),
      onChange: (change) => this.#listeners.emit("lease", change),
    });
    this.#subscriptions = new Subscriptions10({
      ...{ backlog: this.#backlog, maxUnreadEvents, silenceMs, ask, onProblem },
      onClosed: (id, message) =>
        this.#requests.answerOf("unsubscribe", ({ subscription_id }) => subscription_id === id, message),
      isConnected: () => this.#link.isConnected,
      mayContinue: () => reconnection?.onDataLoss === "continue",
    });
    this.#artifacts = new Artifacts({
      ...{ maxBytes: maxResultBytes, maxFrameBytes, silenceMs },
      carriesSidecar: () => this.session.capabilities.binary_encoding.includes("sidecar"),
      ask: (message, asked) => this.#askFor({ ...message, id: newMessageId() }, asked),
    });
  }

  /**
   * Opens a session with a runtime: at a `ws:` or `wss:` URL, in Node also `unix:///path/of/a/socket`; through a factory;
   * or over one transport. With a URL or a factory the client stays connected: after a loss it connects again with
   * growing, jittered waits and resumes what was under way (RFC §19). Rejects with the typed refusal when the first
   * session cannot be opened.
   */
  static async open(
    target: string | URL | Transport | TransportFactory,
    options: ToolOpenOptions = {},
  ): Promise<ARCPToolClient> {
    const { reconnect = {}, signal, ...clientOptions } = options;
    const isOnce = typeof target === "object" && !(target instanceof URL);
    const client = new ARCPToolClient(clientOptions, dialOf(target, options), isOnce ? undefined : reconnect);
    try {
      await client.#link.start(signal);
      return client;
    } catch (thrown) {
      client.#link.end(ARCPError.from(thrown));
      throw thrown;
    }
  }

  /** What the connection is doing. */
  get state(): ToolConnectionState {
    return this.#link.state;
  }

  /** What was agreed in the session that was opened last. */
  get session(): ToolSessionFacts {
    const session = this.#link.session;
    if (session === undefined) throw new InvalidRequestError("no session was opened");
    return session.facts;
  }

  /** Resolves when the client was closed; rejects with the error that ended it otherwise. */
  get closed(): Promise<void> {
    return this.#link.closed;
  }

  /** Asks the runtime for a sign of life (RFC §6.2). */
  async ping(options: ReadOptions = {}): Promise<Pong> {
    const { clock } = this.#options;
    const startMs = clock.monotonic();
    const payload = { sent_at: new Date(clock.now()).toISOString() };
    const pong = await this.#ask({ type: "ping", payload }, options);
    const receivedAt = pong?.type === "pong" ? pong.payload.received_at : undefined;
    return { receivedAt, roundTripMs: clock.monotonic() - startMs };
  }

  /** Calls `listener` for every report of that name. Returns a function that stops it. */
  on<Name extends keyof ToolClientSignals>(name: Name, listener: (value: ToolClientSignals[Name]) => void): () => void {
    return this.#listeners.add(name, listener);
  }

  // -------------------------------------------------------------------------------------------- work

  /**
   * Invokes a tool (RFC §6.2) and returns the invocation at once; `accepted` tells whether the runtime does it. While the
   * client reconnects, the command waits. Throws {@link InvalidRequestError} for what no runtime would take.
   */
  invoke(tool: string, args: JsonObject = {}, options: InvokeOptions = {}): Invocation {
    return this.#works.start("tool.invoke", invocationOf(tool, args, options), options);
  }

  /** Starts a workflow (RFC §6.2), which ends with `job.completed` or `workflow.complete`. As {@link invoke}. */
  startWorkflow(workflow: string, inputs: unknown = {}, options: InvokeOptions = {}): Invocation {
    return this.#works.start("workflow.start", workflowOf(workflow, inputs, options), options);
  }

  /** Has an agent do a task (RFC §14). The trace of the delegation is that of the context, if it names one. */
  delegate(target: string, delegation: Delegation, options: InvokeOptions = {}): Invocation {
    const traceId = options.traceId ?? delegation.context?.trace_id;
    const traced = traceId === undefined ? options : { ...options, traceId };
    return this.#works.start("agent.delegate", delegationOf(target, delegation), traced);
  }

  /** Has work done later, or again and again (RFC §10.6). Throws {@link InvalidRequestError} for what is no schedule. */
  schedule(work: ScheduledWork, when: When, options: InvokeOptions = {}): Schedule {
    return this.#works.schedule(work, when, options);
  }

  /** Has a job keep a checkpoint now (RFC §19). Resolves with its id when it is kept. */
  async createCheckpoint(
    jobId: string,
    options: ReadOptions & { readonly label?: string } = {},
  ): Promise<{ readonly checkpointId: string | undefined }> {
    const { label, signal } = options;
    const payload = { job_id: jobId, ...(label !== undefined && { label }) };
    const answer = await this.#ask(
      { type: "checkpoint.create", job_id: jobId, payload },
      { signal, isRepeatable: false },
    );
    return { checkpointId: answer?.type === "ack" ? answer.payload.checkpoint_id : undefined };
  }

  /** Goes on from a checkpoint (RFC §19), in work of its own. */
  restoreCheckpoint(checkpointId: string, options: InvokeOptions = {}): Invocation {
    return this.#works.start("checkpoint.restore", { checkpoint_id: checkpointId }, options);
  }

  /**
   * Asks for a job's end (RFC §10.4). Resolves when the runtime has agreed, or the job is over. Rejects with
   * CancelRefusedError when the runtime refuses.
   */
  async cancelJob(jobId: string, options: CancelOptions10 = {}): Promise<void> {
    await this.#control.cancel("job", jobId, options);
  }

  // -------------------------------------------------------------------------------------------- people

  /** The questions that nobody has answered yet, oldest first (RFC §12). */
  get questions(): readonly ToolQuestion[] {
    return this.#questions.open;
  }

  /** Puts questions for input to `handler` (RFC §12.1). Returns a function that stops it. One handler at a time. */
  onHumanInput(handler: QuestionHandler<"input">): () => void {
    return this.#questions.handle("input", handler);
  }

  /** Puts questions for a choice to `handler` (RFC §12.2). As {@link onHumanInput}. */
  onHumanChoice(handler: QuestionHandler<"choice">): () => void {
    return this.#questions.handle("choice", handler);
  }

  /** Puts requests for permission to `handler` (RFC §15.4). As {@link onHumanInput}. */
  onPermission(handler: QuestionHandler<"permission">): () => void {
    return this.#questions.handle("permission", handler);
  }

  // -------------------------------------------------------------------------------------------- observing

  /**
   * Observes what matches `filter` (RFC §13): from now on, or from before with `since` or `backfill`. Rejects with the
   * runtime's refusal.
   */
  async openSubscription(filter: ObserverFilter = {}, options: ObserveOptions = {}): Promise<Subscription> {
    this.#link.requireOpen();
    return this.#subscriptions.open(filter, options);
  }

  // -------------------------------------------------------------------------------------------- artifacts

  /** Puts an artifact (RFC §16.2) and resolves with its reference. Rejects with the runtime's refusal. */
  putArtifact(data: Uint8Array | string, options: PutOptions = {}): Promise<ArtifactRef10> {
    return this.#artifacts.put(data, options);
  }

  /**
   * The content of an artifact (RFC §16.2), in as many messages as it takes. Rejects with `NOT_FOUND` when it is not there
   * any more, and with `DATA_LOSS` when the content has not the digest that it was put with.
   */
  fetchArtifact(artifact: ArtifactSource, options: FetchOptions = {}): Promise<Uint8Array> {
    return this.#artifacts.fetch(artifact, options);
  }

  /** The artifact is not needed any more (RFC §16.2). */
  releaseArtifact(artifact: ArtifactSource, options: ReadOptions = {}): Promise<void> {
    return this.#artifacts.release(artifact, options);
  }

  // -------------------------------------------------------------------------------------------- extensions

  /**
   * Sends a message of an extension (RFC §21). Resolves with what answers it first, which may be never: with a `signal`,
   * or when the client is closed, it rejects. An `optional` message resolves at once. Rejects with `UNIMPLEMENTED` when
   * the runtime does not know the type. Throws {@link InvalidRequestError} for a type that is no extension's.
   */
  async sendExtension(type: string, payload: JsonObject = {}, options: ExtensionOptions = {}): Promise<void> {
    const { optional = false, jobId } = options;
    if (!isExtensionType(type)) throw new InvalidRequestError("type: expected that of an extension (RFC §21.1)");
    const message = { type, payload, job_id: jobId, ...(optional && { extensions: { optional: true } }) };
    await this.#ask(message, { silenceMs: optional ? 0 : this.#options.silenceMs, isRepeatable: false });
  }

  // -------------------------------------------------------------------------------------------- ending

  /**
   * Closes the session (RFC §9) and then the connection. Everything that this client handed out settles: requests, `done`
   * and iterators of open work with {@link CancelledError}. Idempotent.
   */
  close(options: ToolCloseOptions = {}): Promise<void> {
    const { disposeJobs, reason } = options;
    const own = this.#link.session?.id;
    // The end of this session says nothing to work of earlier ones.
    const elsewhere = this.#works.jobsBeside(own);
    this.#settleAll(new CancelledError("the client was closed"));
    const payload = {
      ...(reason !== undefined && { reason }),
      ...(disposeJobs !== undefined && { dispose_jobs: disposeJobs }),
    };
    return this.#link.close(payload, () => {
      if (disposeJobs !== "cancel") return;
      for (const jobId of elsewhere) this.#send({ type: "cancel", payload: cancelPayload("job", jobId, options) });
    });
  }

  /** Ends the client at once, without a word to the runtime. Idempotent. */
  abort(error: ARCPError = new CancelledError("the client was aborted")): void {
    this.#link.end(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #settleAll(error: ARCPError): void {
    this.#requests.rejectAll(error);
    this.#works.endAll(error);
    this.#questions.closeAll(error);
    this.#subscriptions.endAll(error);
  }

  // -------------------------------------------------------------------------------------------- the connection

  #linkOwner(): LinkOwner10 {
    return {
      onOpen: () => {
        void this.#resumption.run();
        this.#subscriptions.resume();
        this.#requests.sendWaiting();
      },
      onMessage: (session, message, bytes) => this.#onMessage(session, message, bytes),
      onExtension: (message) => this.#onExtension(message),
      onUnreadable: (frame, error) => this.#onUnreadable(frame, error),
      onLost: (session) => {
        this.#resumption.suspend(session);
        this.#requests.disconnect();
      },
      onEnd: (error) => this.#settleAll(error),
      onState: (state) => this.#listeners.emit("state", state),
    };
  }

  #onMessage(own: ToolSession, message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    const { id, type, session_id } = message;
    const session = session_id === undefined || session_id === own.id ? own : this.#resumption.find(session_id);
    session?.observe(type, id);
    this.#requests.heard();
    // What is delivered again says nothing new (RFC §6.4).
    if (!this.#seen.add(id)) return;
    const isAnswer = this.#requests.answer(message, bytes) || this.#control.receive(message);
    const isTaken =
      this.#questions.receive(message) ||
      this.leases.receive(message) ||
      this.#subscriptions.receive(message) ||
      this.#works.receive(message, bytes);
    if (!isAnswer && !isTaken && message.type === "nack") this.#onStrayNack(message.correlation_id ?? "", message);
  }

  #onStrayNack(commandId: string, { payload }: Extract<RuntimeMessage10, { type: "nack" }>): void {
    const error = errorFromV10(payload);
    if (!this.#resumption.refuse(commandId, error) && !this.#works.refuse(commandId, error)) this.#onProblem(error);
  }

  #onExtension(message: AnyMessage10): boolean {
    if (!this.#options.extensions.includes(message.type)) return false;
    const { id, type, payload } = message;
    if (this.#seen.add(id)) this.#listeners.emit("extension", { type, payload, message });
    return true;
  }

  /** A message that could not be decoded. Whoever waits for it gets no other. */
  #onUnreadable(frame: JsonObject | undefined, error: ARCPError): void {
    const id = frame?.["correlation_id"];
    if (typeof id === "string" && this.#requests.reject(id, error)) return;
    this.#onProblem(error);
  }

  #onProblem(error: ARCPError): void {
    // What is given up at the end is no problem.
    if (this.#link.isClosed) return;
    this.#options.logger.debug({ code: error.code, details: error.details }, error.message);
    this.#listeners.emit("problem", error);
  }

  /** Is there anything in that session that would be missed? */
  #isNeeded(sessionId: string): boolean {
    if (this.#requests.sessions.has(sessionId) || this.#questions.hasOpen(sessionId)) return true;
    return this.#works.isIn(sessionId);
  }

  #onDataLoss({ id }: ToolSession, error: ARCPError): void {
    const mayContinue = this.#reconnection?.onDataLoss === "continue";
    if (!mayContinue) this.#requests.lose(id, error);
    const invocations = this.#works.lose(id, error, mayContinue);
    this.#questions.closeAll(error, id);
    this.#listeners.emit("dataLoss", { sessionId: id, error, invocations });
  }

  // -------------------------------------------------------------------------------------------- sending

  #send(message: Outgoing, bytes?: Uint8Array): void {
    const { session_id, ...rest } = message;
    // What belongs to a session that this connection does not carry, or not yet, is said in its own.
    const isNamed = message.type === "resume" || (session_id !== undefined && this.#resumption.carries(session_id));
    const named = isNamed ? message : rest;
    const trace = named.trace_id === undefined ? traceOf({}) : { span_id: newSpanId() };
    const { priority } = named;
    const isWrapped = priority !== undefined && this.#options.compat.dialect === "fsharp";
    this.#link.send({ ...trace, ...named, ...(isWrapped && { priority: { type: priority } as never }) }, bytes);
  }

  async #askFor(command: Command, options: AskOptions): Promise<Answer | undefined> {
    this.#link.requireOpen();
    return this.#requests.ask(command, options);
  }

  async #ask(message: Unsent, options: AskOptions): Promise<RuntimeMessage10 | undefined> {
    return (await this.#askFor({ ...message, id: message.id ?? newMessageId() }, options))?.message;
  }

  /** Reading stops when a consumer lags, unless somebody waits for an answer, which may be behind the events. */
  #updateReading(): void {
    this.#link.setReading(!this.#backlog.isOver || this.#requests.size > 0);
  }

  #backpressure(
    streamId: string,
    { ratePerSecond, remainingBytes, reason }: Flow & { readonly reason?: string },
  ): void {
    if (this.#link.state.phase !== "connected") return;
    const payload = { desired_rate_per_second: ratePerSecond, buffer_remaining_bytes: remainingBytes, reason };
    this.#send({ type: "backpressure", stream_id: streamId, payload });
  }
}

function dialOf(target: string | URL | Transport | TransportFactory, options: ToolClientOptions): TransportFactory {
  if (typeof target === "function") return target;
  if (typeof target === "object" && !(target instanceof URL)) return async () => target;
  const { allowInsecure = false, compression = false } = options;
  return (signal) => connectTransport(String(target), { signal, allowInsecure, compression });
}
