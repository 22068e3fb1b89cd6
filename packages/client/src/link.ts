/** The way to the runtime: one session over one connection at a time, lost, found again, and closed (§6). */
import {
  ARCPError,
  CancelledError,
  InternalError,
  InvalidRequestError,
  type JsonObject,
  type MessageId,
  type MessageOf,
  ResumeWindowExpiredError,
  TimeoutError,
  type TraceContext,
  type Transport,
  TransportError,
} from "@arcp/core";
import { Acknowledgement } from "./acknowledgement.ts";
import { activeTrace } from "./caller-trace.ts";
import { Connection, type ConnectionOwner, type MessageFields, type SessionMessage } from "./connection.ts";
import { toAuth, toGreeting } from "./greeting.ts";
import { FrameTooLargeError } from "./line.ts";
import type { ResolvedOptions } from "./options.ts";
import {
  keepProcessAlive,
  type ReconnectOptions,
  type ReconnectTask,
  reconnect,
  type TransportFactory,
} from "./reconnect.ts";
import { SequenceTracker } from "./sequence.ts";
import {
  type ResumeInfo,
  readWelcome,
  resumeWindowMs,
  type Session,
  type SessionFacts,
  type WelcomePayload,
} from "./session.ts";
import { linkedAbort, untilAbort } from "./waiting.ts";

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

export interface LinkOwner {
  /** A session is open: `before` is the one that it takes the place of, if it is another one. */
  readonly onOpen: (before: Session | undefined) => void;
  readonly onMessage: (session: Session, message: SessionMessage, frame: JsonObject) => void;
  readonly onUnreadable: (frame: JsonObject | undefined, error: ARCPError) => void;
  /** The connection is lost. `cause` is given when what was sent will not be sent again. */
  readonly onLost: (cause: ARCPError | undefined) => void;
  /** Nothing more will come. Called once. */
  readonly onEnd: (error: ARCPError) => void;
  readonly onState: (state: ConnectionState) => void;
  /** The highest number up to which every consumer has taken every event, where that is below `received`. */
  readonly processed: (received: number) => number;
  /** Is there anything that a lost session would be missed for? */
  readonly isNeeded: () => boolean;
}

export interface Reconnection {
  readonly factory: TransportFactory;
  readonly options: ReconnectOptions;
}

/**
 * idle         -> connecting                        connect, resume
 * connecting   -> connected                         session.welcome
 * connecting   -> idle, disconnected                the attempt failed: back to where it came from
 * connected    -> reconnecting                      connection lost, with a factory
 * connected    -> disconnected                      connection lost, without one
 * reconnecting -> connected                         resumed, or a new session instead
 * disconnected -> connecting                        resume
 * connected    -> closing                           close
 * any          -> closed                            closed, aborted, refused for good, resume window over
 */
type State =
  | { readonly phase: "idle" }
  | { readonly phase: "connecting"; readonly from: Unconnected; readonly stop: AbortController }
  | {
      readonly phase: "connected";
      readonly connection: Connection;
      readonly session: Session;
      /** On the monotonic clock. */
      readonly sinceMs: number;
    }
  | { readonly phase: "reconnecting"; readonly session: Session; readonly stop: AbortController }
  | { readonly phase: "disconnected"; readonly session: Session; readonly stopHolding: () => void }
  | { readonly phase: "closing"; readonly connection: Connection; readonly onAnswer: (isClosed: boolean) => void }
  | { readonly phase: "closed"; readonly error: ARCPError | undefined };
type Unconnected = Extract<State, { phase: "idle" | "disconnected" }>;

/** A connection that lasted as long was a good one: waiting begins anew when it is lost. */
const STABLE_MS = 5_000;

const IDLE: Unconnected = { phase: "idle" };

export class Link {
  readonly #options: ResolvedOptions;
  readonly #reconnection: Reconnection | undefined;
  readonly #owner: LinkOwner;
  readonly #closed = Promise.withResolvers<void>();
  #state: State = IDLE;
  #reported: ConnectionState = { phase: "idle" };
  #closing: Promise<void> | undefined;
  /** Connections in a row that were lost soon after they were made. */
  #shortLived = 0;

  constructor(options: ResolvedOptions, reconnection: Reconnection | undefined, owner: LinkOwner) {
    this.#options = options;
    this.#reconnection = reconnection;
    this.#owner = owner;
    this.#closed.promise.catch(() => {
      // Whoever waits for the end hears of it; nobody has to.
    });
  }

  /** Resolves when the link was closed by the caller; rejects with what ended it otherwise. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  get isConnected(): boolean {
    return this.#state.phase === "connected";
  }

  get isClosed(): boolean {
    return this.#state.phase === "closed" || this.#state.phase === "closing";
  }

  /** As last reported. */
  get state(): ConnectionState {
    return this.#reported;
  }

  /** The session, connected or not. */
  get session(): Session | undefined {
    const state = this.#state.phase === "connecting" ? this.#state.from : this.#state;
    return "session" in state ? state.session : undefined;
  }

  /** The session to make requests in; while it is being resumed, they wait. Throws if there is none, or will be none. */
  requireOpen(): Session {
    const state = this.#state;
    if (state.phase === "connected" || state.phase === "reconnecting") return state.session;
    if (state.phase === "closed" && state.error) throw state.error;
    if (this.session) throw new TransportError("there is no connection", { retryable: true });
    throw new InvalidRequestError(this.isClosed ? "the client is closed" : "the client is not connected");
  }

  /** Sends in the open session. Throws {@link TransportError} while there is no connection. */
  send(type: string, payload: JsonObject, fields: MessageFields = {}): MessageId {
    if (this.#state.phase !== "connected") throw new TransportError("there is no connection", { retryable: true });
    return this.#state.connection.send(type, payload, fields);
  }

  setReading(isReading: boolean): void {
    if (this.#state.phase === "connected") this.#state.connection.setReading(isReading);
  }

  /** Gives the connection up as if it had been lost. */
  drop(cause: ARCPError): void {
    if (this.#state.phase === "connected") this.#state.connection.abort(cause);
  }

  /** Opens or resumes a session over a transport that the caller made. */
  async open(
    transport: Transport,
    resume: ResumeInfo | undefined,
    signal: AbortSignal | undefined,
  ): Promise<WelcomePayload> {
    // Pages have no context that would outlive an `await`: the caller's span is looked up at once.
    const caller = activeTrace();
    return this.#connecting(signal, (stop) => this.#greet(transport, resume, stop, caller));
  }

  /** Opens or resumes a session over a transport from the factory. */
  async start(resume: ResumeInfo | undefined, signal: AbortSignal | undefined): Promise<void> {
    const caller = activeTrace();
    await this.#connecting(signal, (stop) => this.#attempt(resume, stop, caller));
  }

  #report(state: ConnectionState): void {
    this.#reported = state;
    this.#owner.onState(state);
  }

  /** Ends the session with the runtime's agreement if it can be had in time, and then the connection. Idempotent. */
  close(reason: string | undefined): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  /** The one way into `closed`. Idempotent. */
  end(error: ARCPError | undefined): void {
    const state = this.#state;
    if (state.phase === "closed") return;
    const session = this.session;
    this.#state = { phase: "closed", error };
    const cause = error ?? closedByCaller();
    if (state.phase === "reconnecting" || state.phase === "connecting") state.stop.abort(cause);
    if (state.phase === "connecting" && state.from.phase === "disconnected") state.from.stopHolding();
    if (state.phase === "disconnected") state.stopHolding();
    if (state.phase === "connected" || state.phase === "closing") state.connection.close();
    session?.acknowledgement.stop();
    this.#owner.onEnd(cause);
    this.#report(error === undefined ? { phase: "closed" } : { phase: "closed", error });
    if (error === undefined) this.#closed.resolve();
    else this.#closed.reject(error);
  }

  // -------------------------------------------------------------------------------------------- opening

  async #connecting<Result>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const from = this.#state;
    if (from.phase !== "idle" && from.phase !== "disconnected") {
      throw new InvalidRequestError(`the client is ${from.phase}`);
    }
    const { controller: stop, release } = linkedAbort(signal);
    this.#state = { phase: "connecting", from, stop };
    this.#report({ phase: "connecting" });
    try {
      return await work(stop.signal);
    } catch (thrown) {
      if (this.#state.phase === "connecting") {
        this.#state = from;
        const cause = ARCPError.from(thrown);
        this.#report(from.phase === "idle" ? { phase: "idle" } : { phase: "disconnected", cause });
      }
      throw thrown;
    } finally {
      release();
    }
  }

  /** One connection through the factory, in all within the handshake's time. */
  async #attempt(resume: ResumeInfo | undefined, signal: AbortSignal, caller: TraceContext | undefined): Promise<void> {
    if (!this.#reconnection) throw new InternalError("there is no way to connect");
    const { controller, release } = linkedAbort(signal);
    const cancelTimer = this.#options.clock.setTimer(
      () => controller.abort(new TimeoutError("the connection could not be made in time")),
      this.#options.handshakeTimeoutMs,
    );
    try {
      const connecting = this.#reconnection.factory(controller.signal);
      const transport = await untilAbort(connecting, controller.signal, (late) => late.abort("too late"));
      await this.#greet(transport, resume, controller.signal, caller);
    } finally {
      cancelTimer();
      release();
    }
  }

  /** Sends the hello and waits for the welcome, which {@link #onWelcome} takes in. */
  async #greet(
    transport: Transport,
    resume: ResumeInfo | undefined,
    signal: AbortSignal,
    caller: TraceContext | undefined,
  ): Promise<WelcomePayload> {
    const { clock, handshakeTimeoutMs, maxFrameBytes, token, allowInsecure } = this.#options;
    const owner: ConnectionOwner = {
      onWelcome: (welcome) => this.#onWelcome(connection, welcome, resume),
      onMessage: (message, frame) => this.#onMessage(message, frame),
      onUnreadable: (frame, error) => this.#owner.onUnreadable(frame, error),
      onEnd: (cause) => this.#onLost(cause),
    };
    const connection = new Connection(transport, owner, { clock, maxFrameBytes });
    try {
      if (token !== undefined && !transport.peer.isConfidential && !allowInsecure) {
        throw new InvalidRequestError("refused to send a token over a connection that others can read");
      }
      const auth = await untilAbort(toAuth(token), signal);
      const knownForm = this.session?.repeatsIds ? "resume" : "hello";
      const resumeForm = this.#reconnection?.options.resumeForm ?? knownForm;
      const greeting = toGreeting(this.#options, auth, resume, resumeForm);
      const welcome = await connection.greet(greeting, { timeoutMs: handshakeTimeoutMs, signal }, caller);
      return welcome.payload;
    } catch (thrown) {
      transport.close();
      throw thrown;
    }
  }

  /** Runs while the welcome is being read, before any message after it. */
  #onWelcome(
    connection: Connection,
    welcome: MessageOf<"session.welcome">,
    resume: ResumeInfo | undefined,
  ): ReturnType<ConnectionOwner["onWelcome"]> {
    const from = this.#state.phase === "connecting" ? this.#state.from : this.#state;
    if (from.phase !== "idle" && from.phase !== "disconnected" && from.phase !== "reconnecting") {
      throw closedByCaller();
    }
    const before = this.session;
    const facts = readWelcome(welcome, this.#options.features, resume?.sessionId);
    const isResumed = resume !== undefined && facts.sessionId === resume.sessionId;
    if (resume && !isResumed && from.phase === "reconnecting" && this.#reconnection?.options.onExpired !== "reattach") {
      throw new ResumeWindowExpiredError("the runtime opened a new session instead of resuming");
    }
    if (from.phase === "disconnected") from.stopHolding();
    const isSame = isResumed && before?.facts.sessionId === facts.sessionId;
    const session = isSame ? before : this.#newSession(facts, isResumed ? resume.lastEventSeq : 0);
    // A runtime that resumes may leave out what stays as it was.
    session.facts = isSame && welcome.payload.capabilities === undefined ? before.facts : facts;
    session.resumeToken = welcome.payload.resume_token;
    session.repeatsIds = welcome.id === connection.greetingId;
    session.numbersByJob = typeof (welcome.payload as JsonObject)["accepted_at"] === "string";
    const interval = session.facts.heartbeatIntervalSec;
    return {
      sessionId: facts.sessionId,
      heartbeatMs: interval === undefined ? undefined : interval * 1000,
      onOpen: () => {
        this.#state = { phase: "connected", connection, session, sinceMs: this.#options.clock.monotonic() };
        if (this.#options.autoAck && session.facts.features.has("ack")) session.acknowledgement.arm();
        this.#owner.onOpen(isSame ? undefined : before);
        this.#report({ phase: "connected", sessionId: facts.sessionId, isResumed });
      },
    };
  }

  #newSession(facts: SessionFacts, lastSeq: number): Session {
    const sequence = new SequenceTracker(lastSeq);
    const acknowledgement = new Acknowledgement(
      {
        clock: this.#options.clock,
        received: () => sequence.last,
        processed: () => this.#owner.processed(sequence.last),
        send: (seq) => {
          if (this.isConnected) this.send("session.ack", { last_processed_seq: seq });
        },
      },
      lastSeq,
    );
    return { facts, resumeToken: undefined, repeatsIds: false, numbersByJob: false, sequence, acknowledgement };
  }

  // -------------------------------------------------------------------------------------------- while open

  #onMessage(message: SessionMessage, frame: JsonObject): void {
    const state = this.#state;
    if (state.phase === "closing") {
      if (message.type === "session.closed" || message.type === "session.bye") state.onAnswer(true);
      else if (message.type === "session.error") state.onAnswer(false);
    } else if (state.phase === "connected") {
      if (message.type === "session.closed" || message.type === "session.bye") {
        state.connection.abort(new TransportError("the runtime ended the connection", { retryable: true }));
      } else this.#owner.onMessage(state.session, message, frame);
    }
  }

  /** The connection ended, and nobody here asked for it. */
  #onLost(cause: ARCPError): void {
    const state = this.#state;
    if (state.phase === "closing") state.onAnswer(true);
    if (state.phase !== "connected") return;
    const { session } = state;
    session.acknowledgement.stop();
    if (cause instanceof FrameTooLargeError) this.end(cause);
    else if (this.#reconnection) {
      const stop = new AbortController();
      this.#state = { phase: "reconnecting", session, stop };
      this.#owner.onLost(undefined);
      const isStable = this.#options.clock.monotonic() - state.sinceMs >= STABLE_MS;
      const earlierAttempts = isStable ? 0 : this.#shortLived;
      this.#shortLived = earlierAttempts + 1;
      const { options } = this.#reconnection;
      void this.#reconnect(options, { session, cause, earlierAttempts, signal: stop.signal });
    } else this.#hold(session, cause);
  }

  /** Without a way to reconnect: waits, for a time, for the caller to bring a new transport. */
  #hold(session: Session, cause: ARCPError): void {
    const holdMs = this.#options.holdMs ?? resumeWindowMs(session.facts);
    if (session.resumeToken === undefined || holdMs <= 0) {
      this.end(cause);
      return;
    }
    const release = this.#owner.isNeeded() ? keepProcessAlive() : () => {};
    const cancelTimer = this.#options.clock.setTimer(
      () => this.end(new ResumeWindowExpiredError("the session was not resumed in time", { cause })),
      holdMs,
    );
    const stopHolding = (): void => {
      cancelTimer();
      release();
    };
    this.#state = { phase: "disconnected", session, stopHolding };
    this.#owner.onLost(cause);
    this.#report({ phase: "disconnected", cause });
  }

  async #reconnect(
    options: ReconnectOptions,
    loss: Pick<ReconnectTask, "cause" | "earlierAttempts" | "signal"> & { readonly session: Session },
  ): Promise<void> {
    const { session, signal } = loss;
    const release = keepProcessAlive();
    try {
      await reconnect({
        ...loss,
        options,
        clock: this.#options.clock,
        windowMs: session.resumeToken === undefined ? 0 : resumeWindowMs(session.facts),
        attempt: (which) => this.#attempt(which === "resume" ? resumePoint(session) : undefined, signal, activeTrace()),
        onWait: (attempt, delayMs, why) => this.#report({ phase: "reconnecting", attempt, delayMs, cause: why }),
      });
    } catch (thrown) {
      if (!signal.aborted) this.end(ARCPError.from(thrown));
    } finally {
      release();
    }
  }

  // -------------------------------------------------------------------------------------------- closing

  async #close(reason: string | undefined): Promise<void> {
    if (this.#state.phase === "connected") {
      const { connection, session } = this.#state;
      const payload = reason === undefined ? {} : { reason };
      session.acknowledgement.stop();
      const isClosed = await this.#sayGoodbye(connection, payload);
      if (!isClosed) connection.send("session.bye", payload);
      connection.close(undefined, reason);
    }
    this.end(undefined);
  }

  /** Sends `session.close` and waits for the answer. Resolves with whether the runtime agreed. */
  async #sayGoodbye(connection: Connection, payload: JsonObject): Promise<boolean> {
    if (this.#options.compat.dialect === "ruby") return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancelTimer = this.#options.clock.setTimer(() => resolve(false), this.#options.closeTimeoutMs);
    connection.setReading(true);
    this.#state = { phase: "closing", connection, onAnswer: resolve };
    connection.send("session.close", payload);
    try {
      return await promise;
    } finally {
      cancelTimer();
    }
  }
}

const closedByCaller = (): ARCPError => new CancelledError("the client was closed");

/** Where the connection broke: everything up to there is in this process. */
const resumePoint = (session: Session): ResumeInfo => ({
  sessionId: session.facts.sessionId,
  resumeToken: session.resumeToken ?? "",
  lastEventSeq: session.sequence.last,
});
