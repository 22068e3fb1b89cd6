import {
  ARCPError,
  CancelledError,
  connectTransport,
  InvalidRequestError,
  type JsonObject,
  newMessageId,
  type Transport,
  ulid,
} from "@arcp/core";
import { type AnyMessage10, errorFromV10, type MessageOf10, type RuntimeMessage10 } from "@arcp/core/v1.0";
import { Backlog } from "../backlog.ts";
import { Listeners } from "../listeners.ts";
import { RecentIds } from "../recent-ids.ts";
import type { TransportFactory } from "../reconnect.ts";
import { withRetry } from "../retry.ts";
import { onAbort } from "../waiting.ts";
import type { Outgoing } from "./connection.ts";
import { type CancelOptions10, CancelRefusedError, cancelPayload, type InterruptOptions } from "./control.ts";
import type { ToolEvent } from "./events.ts";
import { Invocation } from "./invocation.ts";
import { type InvokeOptions, invocationOf, newSpanId, traceOf, workflowOf } from "./invoking.ts";
import { Link10, type LinkOwner10, type ToolConnectionState } from "./link.ts";
import {
  type ResolvedToolOptions,
  resolveToolOptions,
  type ToolClientOptions,
  type ToolReconnectOptions,
} from "./options.ts";
import { type AskOptions, type Command, Requests } from "./requests.ts";
import { Resumption } from "./resumption.ts";
import type { ToolSession, ToolSessionFacts } from "./session.ts";
import type { Flow } from "./stream-flow.ts";
import type { ReadOptions } from "./streams.ts";
import { type ToolResult, Work } from "./work.ts";
import { type KnownWork, WorkBook } from "./work-book.ts";

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
  /** A problem that ends nothing: an unreadable message, an error that answers no command. */
  readonly problem: ARCPError;
  /** Every event, of whatever work. */
  readonly event: ToolEvent;
  /** Work that this client did not ask for: a run of a schedule, a child, work of an earlier session. */
  readonly work: Invocation;
  readonly dataLoss: DataLoss;
  readonly extension: ExtensionMessage;
}

export interface ToolOpenOptions extends ToolClientOptions {
  readonly reconnect?: ToolReconnectOptions;
  /** Gives up the first connection. */
  readonly signal?: AbortSignal;
}

export interface ToolCloseOptions {
  /** What becomes of open work (RFC §9). Default: the runtime's policy. */
  readonly disposeJobs?: "cancel" | "detach";
  readonly reason?: string;
}

/** A pong: who answered, and when. */
export interface Pong {
  readonly receivedAt: string | undefined;
  readonly roundTripMs: number;
}

/** A client of one runtime over wire 1.0 (RFC-0001). */
export class ARCPToolClient {
  readonly #options: ResolvedToolOptions;
  readonly #reconnection: ToolReconnectOptions | undefined;
  readonly #link: Link10;
  readonly #requests: Requests;
  readonly #works: WorkBook;
  readonly #resumption: Resumption;
  readonly #backlog = new Backlog(() => this.#updateReading());
  readonly #listeners: Listeners<ToolClientSignals>;
  readonly #seen = new RecentIds(MAX_SEEN);
  /** How each piece of work was asked for, so that it can be asked for again. */
  readonly #asked = new WeakMap<Work, Asked>();
  /** Commands that nobody waits for any more: what is accepted for them after all is cancelled. */
  readonly #unwanted = new Set<string>();

  private constructor(
    options: ToolClientOptions,
    dial: TransportFactory,
    reconnection: ToolReconnectOptions | undefined,
  ) {
    this.#options = resolveToolOptions(options);
    this.#reconnection = reconnection;
    const { clock, requestTimeoutMs, logger } = this.#options;
    this.#listeners = new Listeners((thrown) => logger.error({ err: thrown }, "a listener failed"));
    this.#link = new Link10(this.#options, dial, reconnection, this.#linkOwner());
    this.#requests = new Requests({
      clock,
      timeoutMs: requestTimeoutMs,
      isConnected: () => this.#link.isConnected,
      sessionId: () => this.#link.session?.id,
      send: (command) => this.#send(command),
      onChange: () => this.#updateReading(),
    });
    this.#works = new WorkBook({
      create: () => this.#createWork(),
      onHeardOf: ({ handle }) => this.#listeners.emit("work", handle),
      onOver: (known) => this.#onOver(known),
    });
    this.#resumption = new Resumption({
      ask: (command) => this.#requests.ask(command, { silenceMs: this.#options.silenceMs, isBoundToConnection: true }),
      isNeeded: ({ id }) => this.#requests.sessions.has(id) || this.#works.live.some(({ work }) => work.home === id),
      hasOpenStreams: ({ id }) => this.#works.live.some(({ work }) => work.home === id && work.hasOpenStreams),
      onDataLoss: (session, error) => this.#onDataLoss(session, error),
      onDone: () => this.#requests.resend(),
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
    const allowInsecure = options.allowInsecure === true;
    const isOnce = typeof target === "object" && !(target instanceof URL);
    const dial: TransportFactory =
      typeof target === "function"
        ? target
        : isOnce
          ? async () => target
          : (abort) => connectTransport(String(target), { signal: abort, allowInsecure });
    const client = new ARCPToolClient(clientOptions, dial, isOnce ? undefined : reconnect);
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
    const pong = await this.#ask({ type: "ping", payload }, { signal: options.signal });
    const receivedAt = pong?.type === "pong" ? pong.payload.received_at : undefined;
    return { receivedAt, roundTripMs: clock.monotonic() - startMs };
  }

  /**
   * Invokes a tool (RFC §6.2) and returns the invocation at once; `accepted` tells whether the runtime does it. While the
   * client reconnects, the command waits. Throws {@link InvalidRequestError} for what no runtime would take.
   */
  invoke(tool: string, args: JsonObject = {}, options: InvokeOptions = {}): Invocation {
    return this.#start("tool.invoke", invocationOf(tool, args, options), options);
  }

  /** Starts a workflow (RFC §6.2), which ends with `job.completed` or `workflow.complete`. As {@link invoke}. */
  startWorkflow(workflow: string, inputs: unknown = {}, options: InvokeOptions = {}): Invocation {
    return this.#start("workflow.start", workflowOf(workflow, inputs, options), options);
  }

  /**
   * Asks for a job's end (RFC §10.4). Resolves when the runtime has agreed, or the job is over. Rejects with
   * {@link CancelRefusedError} when the runtime refuses.
   */
  cancelJob(jobId: string, options: CancelOptions10 = {}): Promise<void> {
    return this.#cancel("job", jobId, options);
  }

  /** Calls `listener` for every report of that name. Returns a function that stops it. */
  on<Name extends keyof ToolClientSignals>(name: Name, listener: (value: ToolClientSignals[Name]) => void): () => void {
    return this.#listeners.add(name, listener);
  }

  /**
   * Closes the session (RFC §9) and then the connection. Everything that this client handed out settles: requests, `done`
   * and iterators of open work with {@link CancelledError}. Idempotent.
   */
  close(options: ToolCloseOptions = {}): Promise<void> {
    const { disposeJobs, reason } = options;
    const open = this.#link.isConnected ? this.#works.live.map(({ work }) => work) : [];
    const own = this.#link.session?.id;
    const elsewhere = open.flatMap(({ jobId, home }) => (jobId !== undefined && home !== own ? jobId : []));
    this.#settleAll(new CancelledError("the client was closed"));
    const payload = {
      ...(reason !== undefined && { reason }),
      ...(disposeJobs !== undefined && { dispose_jobs: disposeJobs }),
    };
    return this.#link.close(payload, () => {
      // The end of this session says nothing to work of earlier ones.
      if (disposeJobs !== "cancel") return;
      for (const jobId of elsewhere) {
        this.#send({ type: "cancel", id: newMessageId(), payload: cancelPayload("job", jobId, options) });
      }
    });
  }

  /** Ends the client at once, without a word to the runtime. Idempotent. */
  abort(error: ARCPError = new CancelledError("the client was aborted")): void {
    this.#link.end(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // -------------------------------------------------------------------------------------------- the connection

  #linkOwner(): LinkOwner10 {
    return {
      onOpen: () => {
        void this.#resumption.run();
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
    if (message.type === "job.accepted") this.#onUnwanted(message);
    const isAnswer = this.#requests.answer(message) || this.#onCancelAnswer(message);
    const isOfWork = this.#works.receive(message, bytes);
    if (!isAnswer && !isOfWork) this.#onOther(message);
  }

  #onOther(message: RuntimeMessage10): void {
    if (message.type !== "nack") return;
    const error = errorFromV10(message.payload);
    if (this.#resumption.refuse(message.correlation_id ?? "", error)) return;
    const known = this.#works.ofCommand(message.correlation_id);
    if (known) this.#giveUp(known, error);
    else this.#onProblem(error);
  }

  /** Other SDKs name the job, the command that started it, or nothing (RFC §10.4). */
  #onCancelAnswer(message: RuntimeMessage10): boolean {
    if (message.type !== "cancel.accepted" && message.type !== "cancel.refused") return false;
    const { target_id } = message.payload;
    const jobId = target_id ?? message.job_id ?? this.#works.ofCommand(message.correlation_id)?.work.jobId;
    const waiting = this.#requests.waiting("cancel");
    const named = jobId === undefined ? undefined : waiting.find(({ payload }) => targetOf(payload) === jobId);
    const command = named ?? waiting[0];
    if (command === undefined) return false;
    this.#requests.resolve(command.id, message);
    return true;
  }

  #onExtension(message: AnyMessage10): boolean {
    if (!this.#options.extensions.includes(message.type)) return false;
    const { type, payload } = message;
    if (this.#seen.add(message.id))
      this.#listeners.emit("extension", { type, payload: payload as JsonObject, message });
    return true;
  }

  /** A message that could not be decoded. Whoever waits for it gets no other. */
  #onUnreadable(frame: JsonObject | undefined, error: ARCPError): void {
    const id = frame?.["correlation_id"];
    if (typeof id === "string" && this.#requests.reject(id, error)) return;
    this.#onProblem(error);
  }

  #onProblem(error: ARCPError): void {
    this.#options.logger.debug({ code: error.code, details: error.details }, error.message);
    this.#listeners.emit("problem", error);
  }

  #onDataLoss({ id }: ToolSession, error: ARCPError): void {
    const affected = this.#works.live.filter(({ work }) => work.home === id);
    const mayContinue = this.#reconnection?.onDataLoss === "continue";
    if (!mayContinue) this.#requests.lose(id, error);
    for (const known of affected) {
      const asked = this.#asked.get(known.work);
      if (mayContinue && asked) this.#askAgain(known, asked);
      else this.#giveUp(known, error);
    }
    this.#listeners.emit("dataLoss", { sessionId: id, error, invocations: affected.map(({ handle }) => handle) });
  }

  // -------------------------------------------------------------------------------------------- sending

  #send(command: Command | Outgoing): void {
    const { bytes, ...message } = command as Command;
    const traced =
      message.trace_id === undefined ? { ...traceOf({}), ...message } : { span_id: newSpanId(), ...message };
    this.#link.send(traced, bytes);
  }

  async #ask(
    message: Omit<Command, "id"> & { readonly id?: string },
    options: AskOptions = {},
  ): Promise<RuntimeMessage10 | undefined> {
    this.#link.requireOpen();
    return this.#requests.ask({ ...message, id: message.id ?? newMessageId() }, options);
  }

  /** Reading stops when a consumer lags, unless somebody waits for an answer, which may be behind the events. */
  #updateReading(): void {
    this.#link.setReading(!this.#backlog.isOver || this.#requests.size > 0);
  }

  // -------------------------------------------------------------------------------------------- work

  #createWork(): Pick<KnownWork, "work" | "handle"> {
    const { logger, ...bounds } = this.#options;
    const work = new Work(this.#backlog, bounds, {
      backpressure: (streamId, flow) => this.#backpressure(streamId, flow),
      cancel: (streamId, reason) => this.#cancel("stream", streamId, reason === undefined ? {} : { reason }),
      onEvent: (event) => this.#listeners.emit("event", event),
      onThrow: (thrown) => logger.error({ err: thrown }, "a listener failed"),
    });
    const handle = new Invocation(work, {
      cancel: (jobId, options) => this.cancelJob(jobId, options),
      interrupt: (jobId, options) => this.#interrupt(jobId, options),
      valueOf: (result, options) => this.#valueOf(result, options),
    });
    return { work, handle };
  }

  #start(type: string, payload: JsonObject, options: InvokeOptions): Invocation {
    const known = this.#works.begin();
    const { idempotencyKey = ulid(), priority } = options;
    const asked: Asked = {
      options,
      message: { type, payload, idempotency_key: idempotencyKey, priority, ...traceOf(options) },
    };
    this.#asked.set(known.work, asked);
    const { work } = known;
    const release = onAbort(options.signal, () => this.#callOff(known));
    void work.done.then(release, release);
    void this.#pursue(known, asked);
    return known.handle;
  }

  /** Asks for work until it is accepted, refused, or given up. Each time is a message of its own (RFC §6.4). */
  async #pursue(known: KnownWork, { options, message }: Asked): Promise<void> {
    const { clock } = this.#options;
    const random = this.#reconnection?.random ?? Math.random;
    const attempt = async (): Promise<void> => {
      const id = newMessageId();
      this.#works.bind(known, id);
      await this.#ask({ ...message, id }, { signal: options.signal, endsWithError: false });
    };
    try {
      if (options.retry) await withRetry(attempt, options.retry, clock, random, options.signal);
      else await attempt();
    } catch (thrown) {
      if (options.idempotencyKey === undefined) for (const id of known.commandIds) this.#unwanted.add(id);
      this.#giveUp(known, thrown instanceof Error ? thrown : ARCPError.from(thrown));
    }
  }

  /** The session is gone that told of the work; a runtime that still knows it tells of it in this one (RFC §6.4). */
  #askAgain(known: KnownWork, asked: Asked): void {
    known.work.leaveHome();
    void this.#pursue(known, asked);
  }

  /** Nothing more is learnt of the work. */
  #giveUp(known: KnownWork, error: Error): void {
    known.work.lose(error);
    this.#works.retire(known);
  }

  /** The caller's signal has aborted. */
  #callOff({ work }: KnownWork): void {
    const { jobId } = work;
    if (work.isAsked || work.isOver || jobId === undefined) return;
    this.cancelJob(jobId, { reason: "called off" }).catch((thrown: unknown) => this.#onProblem(ARCPError.from(thrown)));
  }

  /** Work was accepted that nobody waits for any more, and that no key of the caller's leads back to. */
  #onUnwanted({ correlation_id, job_id }: MessageOf10<"job.accepted">): void {
    if (correlation_id === undefined || job_id === undefined || !this.#unwanted.delete(correlation_id)) return;
    this.cancelJob(job_id, { reason: "nobody waits for it" }).catch((thrown: unknown) => {
      this.#onProblem(ARCPError.from(thrown));
    });
  }

  /** Who asked for the end of a job has it. */
  #onOver({ work: { jobId } }: KnownWork): void {
    if (jobId === undefined) return;
    for (const { id, payload } of this.#requests.waiting("cancel")) {
      if (targetOf(payload) === jobId) this.#requests.resolve(id, undefined);
    }
  }

  async #cancel(target: "job" | "stream", targetId: string, options: CancelOptions10): Promise<void> {
    const payload = cancelPayload(target, targetId, options);
    const answer = await this.#ask({ type: "cancel", payload }, { signal: options.signal });
    if (answer?.type === "cancel.refused") throw new CancelRefusedError(answer.payload.reason);
  }

  async #interrupt(jobId: string, options: InterruptOptions): Promise<void> {
    const { prompt, orCancel = false, signal } = options;
    if (!this.session.capabilities.interrupt && orCancel) {
      await this.cancelJob(jobId, { ...(prompt !== undefined && { reason: prompt }), ...(signal && { signal }) });
      return;
    }
    const isFSharp = this.#options.compat.dialect === "fsharp";
    const aim = isFSharp ? { job_id: jobId, reason: prompt } : { target: "job", target_id: jobId, prompt };
    await this.#ask({ type: "interrupt", payload: aim }, { signal, isRepeatable: false });
  }

  #backpressure(
    streamId: string,
    { ratePerSecond, remainingBytes, reason }: Flow & { readonly reason?: string },
  ): void {
    if (!this.#link.isConnected) return;
    const payload = { desired_rate_per_second: ratePerSecond, buffer_remaining_bytes: remainingBytes, reason };
    this.#send({ type: "backpressure", stream_id: streamId, payload });
  }

  async #valueOf({ value }: ToolResult, _options: ReadOptions): Promise<unknown> {
    return value;
  }

  #settleAll(error: ARCPError): void {
    this.#requests.rejectAll(error);
    for (const known of this.#works.live) this.#giveUp(known, error);
  }
}

/** How work was asked for. */
interface Asked {
  readonly options: InvokeOptions;
  readonly message: Omit<Command, "id">;
}

/** Ids of messages that are remembered, so that one which is delivered twice counts once. */
const MAX_SEEN = 8192;

const targetOf = (payload: object): unknown => (payload as JsonObject)["target_id"];
