/** The way to a runtime of wire 1.0: one connection at a time, lost, made again, and closed (RFC §8, §9). */
import {
  ARCPError,
  CancelledError,
  InvalidRequestError,
  type JsonObject,
  TimeoutError,
  type TraceContext,
  type Transport,
  TransportError,
} from "@arcp/core";
import { type AnyMessage10, errorFromV10, type MessageOf10, type RuntimeMessage10 } from "@arcp/core/v1.0";
import { activeTrace } from "../caller-trace.ts";
import { FrameTooLargeError } from "../line.ts";
import { keepProcessAlive, type ReconnectTask, reconnect, type TransportFactory } from "../reconnect.ts";
import { linkedAbort, untilAbort } from "../waiting.ts";
import { authOf, openingOf } from "./auth.ts";
import { Connection10, type ConnectionOwner10, type Outgoing } from "./connection.ts";
import type { ResolvedToolOptions, ToolReconnectOptions } from "./options.ts";
import { sessionOf, type ToolSession } from "./session.ts";

/** What the connection of a client of wire 1.0 is doing. */
export type ToolConnectionState =
  | { readonly phase: "connecting" }
  | { readonly phase: "connected"; readonly sessionId: string }
  /** `cause`: why it was lost; an eviction has the runtime's code (RFC §8.5). */
  | { readonly phase: "reconnecting"; readonly attempt: number; readonly delayMs: number; readonly cause: ARCPError }
  /** For good. `error` is absent when the caller closed it. */
  | { readonly phase: "closed"; readonly error?: ARCPError };

export interface LinkOwner10 {
  /** A session is open, and messages can be sent in it. */
  readonly onOpen: (session: ToolSession) => void;
  readonly onMessage: (session: ToolSession, message: RuntimeMessage10, bytes: Uint8Array | undefined) => void;
  readonly onExtension: (message: AnyMessage10) => boolean;
  readonly onUnreadable: (frame: JsonObject | undefined, error: ARCPError) => void;
  /** The connection is lost, and will be made again. */
  readonly onLost: (session: ToolSession) => void;
  /** Nothing more will come. Called once. */
  readonly onEnd: (error: ARCPError) => void;
  readonly onState: (state: ToolConnectionState) => void;
}

/**
 * connecting   -> connected      session.accepted
 * connecting   -> closed         the first attempt failed
 * connected    -> reconnecting   connection lost, or evicted with leave to come back
 * reconnecting -> connected      session.accepted
 * connected    -> closing        close
 * any          -> closed         closed, refused for good, evicted for good, tried long enough
 */
type State =
  | { readonly phase: "connecting"; readonly stop: AbortController }
  | {
      readonly phase: "connected";
      readonly connection: Connection10;
      readonly session: ToolSession;
      /** On the monotonic clock. */
      readonly sinceMs: number;
    }
  | { readonly phase: "reconnecting"; readonly stop: AbortController }
  | { readonly phase: "closing"; readonly connection: Connection10; readonly session: ToolSession }
  | { readonly phase: "closed"; readonly error: ARCPError | undefined };

/** A connection that lasted as long was a good one: waiting begins anew when it is lost. */
const STABLE_MS = 5_000;
const GIVE_UP_AFTER_MS = 600_000;

export class Link10 {
  readonly #options: ResolvedToolOptions;
  readonly #dial: TransportFactory;
  /** Absent for a transport that was given, and cannot be made again. */
  readonly #reconnection: ToolReconnectOptions | undefined;
  readonly #owner: LinkOwner10;
  readonly #closed = Promise.withResolvers<void>();
  #state: State = { phase: "connecting", stop: new AbortController() };
  #reported: ToolConnectionState = { phase: "connecting" };
  #session: ToolSession | undefined;
  #closing: Promise<void> | undefined;
  /** Connections in a row that were lost soon after they were made. */
  #shortLived = 0;

  constructor(
    options: ResolvedToolOptions,
    dial: TransportFactory,
    reconnection: ToolReconnectOptions | undefined,
    owner: LinkOwner10,
  ) {
    this.#options = options;
    this.#dial = dial;
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
    return this.#state.phase === "connected" || this.#state.phase === "closing";
  }

  get isClosed(): boolean {
    return this.#state.phase === "closed" || this.#state.phase === "closing";
  }

  /** As last reported. */
  get state(): ToolConnectionState {
    return this.#reported;
  }

  /** The session that was opened last. */
  get session(): ToolSession | undefined {
    return this.#session;
  }

  /** Throws when nothing can be asked for any more. While it is being connected again, requests wait. */
  requireOpen(): void {
    const state = this.#state;
    if (state.phase === "closed" && state.error) throw state.error;
    if (this.isClosed) throw new InvalidRequestError("the client is closed");
  }

  /**
   * Sends a message in the open session, with `bytes` beside it. Throws {@link TransportError} while there is no
   * connection.
   */
  send(message: Outgoing, bytes?: Uint8Array): void {
    const state = this.#state;
    if (state.phase !== "connected" && state.phase !== "closing") {
      throw new TransportError("there is no connection", { retryable: true });
    }
    state.connection.send(message, bytes);
  }

  setReading(isReading: boolean): void {
    if (this.#state.phase === "connected") this.#state.connection.setReading(isReading);
  }

  /** Makes the first connection. */
  async start(signal: AbortSignal | undefined): Promise<void> {
    // Pages have no context that would outlive an `await`: the caller's span is looked up at once.
    const caller = activeTrace();
    const { controller: stop, release } = linkedAbort(signal);
    this.#state = { phase: "connecting", stop };
    this.#report({ phase: "connecting" });
    try {
      await this.#attempt(stop.signal, caller);
    } finally {
      release();
    }
  }

  /** Does what is to be done before the end, tells the runtime, and closes the connection. Idempotent. */
  close(payload: JsonObject, before: () => void): Promise<void> {
    this.#closing ??= this.#close(payload, before);
    return this.#closing;
  }

  /** The one way into `closed`. Idempotent. */
  end(error: ARCPError | undefined): void {
    const state = this.#state;
    if (state.phase === "closed") return;
    this.#state = { phase: "closed", error };
    const cause = error ?? closedByCaller();
    if (state.phase === "reconnecting" || state.phase === "connecting") state.stop.abort(cause);
    if (state.phase === "connected" || state.phase === "closing") state.connection.close();
    this.#owner.onEnd(cause);
    this.#report(error === undefined ? { phase: "closed" } : { phase: "closed", error });
    if (error === undefined) this.#closed.resolve();
    else this.#closed.reject(error);
  }

  #report(state: ToolConnectionState): void {
    this.#reported = state;
    this.#owner.onState(state);
  }

  // -------------------------------------------------------------------------------------------- opening

  /** One connection, in all within the handshake's time. */
  async #attempt(signal: AbortSignal, caller: TraceContext | undefined): Promise<void> {
    const { controller, release } = linkedAbort(signal);
    const { clock, handshakeTimeoutMs } = this.#options;
    const cancelTimer = clock.setTimer(
      () => controller.abort(new TimeoutError("the connection could not be made in time")),
      handshakeTimeoutMs,
    );
    try {
      const transport = await untilAbort(this.#dial(controller.signal), controller.signal, (late) => late.abort());
      await this.#open(transport, controller.signal, caller);
    } finally {
      cancelTimer();
      release();
    }
  }

  async #open(transport: Transport, signal: AbortSignal, caller: TraceContext | undefined): Promise<void> {
    const { clock, handshakeTimeoutMs, maxFrameBytes, silenceMs, onChallenge } = this.#options;
    const owner: ConnectionOwner10 = {
      onChallenge,
      onAccepted: (message) => this.#onAccepted(connection, message),
      onMessage: (message, bytes) => this.#onMessage(message, bytes),
      onExtension: (message) => this.#owner.onExtension(message),
      onUnreadable: (frame, error) => this.#owner.onUnreadable(frame, error),
      onEnd: (cause) => this.#onLost(cause),
    };
    const connection = new Connection10(transport, owner, { clock, maxFrameBytes, silenceMs });
    try {
      const payload = await untilAbort(openingOf(this.#options, transport), signal);
      await connection.open(payload, { timeoutMs: handshakeTimeoutMs, signal }, caller);
    } catch (thrown) {
      transport.close();
      throw thrown;
    }
  }

  /** Runs while the acceptance is being read, before any message after it. */
  #onAccepted(
    connection: Connection10,
    message: MessageOf10<"session.accepted">,
  ): ReturnType<ConnectionOwner10["onAccepted"]> {
    const { phase } = this.#state;
    if (phase !== "connecting" && phase !== "reconnecting") throw closedByCaller();
    const { capabilities, pinnedFingerprint, clock, pingIntervalMs } = this.#options;
    const session = sessionOf(message, capabilities, pinnedFingerprint);
    const carriesSidecar = connection.carriesBinary && session.facts.capabilities.binary_encoding.includes("sidecar");
    return {
      sessionId: session.id,
      carriesSidecar,
      onOpen: () => {
        this.#session = session;
        this.#state = { phase: "connected", connection, session, sinceMs: clock.monotonic() };
        connection.keepAlive(pingIntervalMs);
        this.#owner.onOpen(session);
        this.#report({ phase: "connected", sessionId: session.id });
      },
    };
  }

  // -------------------------------------------------------------------------------------------- while open

  #onMessage(message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    const state = this.#state;
    if (state.phase !== "connected" && state.phase !== "closing") return;
    const { session, connection } = state;
    switch (message.type) {
      case "session.refresh":
        void this.#refresh(connection, message);
        return;
      case "session.evicted":
        this.#onEvicted(connection, message);
        return;
      case "session.close":
      case "session.closed":
        connection.abort(new TransportError("the runtime ended the connection", { retryable: true }));
        return;
      default:
        this.#owner.onMessage(session, message, bytes);
    }
  }

  /** RFC §8.4: fresh credentials. If there are none, the runtime ends the session at its deadline. */
  async #refresh(connection: Connection10, { id, payload }: MessageOf10<"session.refresh">): Promise<void> {
    const { auth, onChallenge } = this.#options;
    const { challenge, challenge_id, scheme, deadline } = payload;
    try {
      const named = challenge_id === undefined ? {} : { challenge_id };
      const asked = challenge !== undefined || challenge_id !== undefined;
      const response =
        asked && onChallenge
          ? await onChallenge({
              ...{ type: scheme ?? "refresh", params: {}, challenge, expiresAt: deadline, refusal: undefined },
            })
          : undefined;
      const answer = response === undefined ? {} : { response };
      const fresh = { ...named, ...answer, auth: await authOf(auth) };
      connection.send({ type: "session.authenticate", correlation_id: id, payload: fresh });
    } catch (thrown) {
      this.#owner.onUnreadable(undefined, ARCPError.from(thrown));
    }
  }

  /** RFC §8.5. Who asked for the eviction does not come back. */
  #onEvicted(connection: Connection10, { payload }: MessageOf10<"session.evicted">): void {
    const message = payload.message === "" ? "the runtime evicted the session" : payload.message;
    const error = errorFromV10({ code: payload.code, message, details: { evicted: true } });
    if (payload.allow_resume && error.code !== "CANCELLED" && this.#reconnection) connection.abort(error);
    else this.end(error);
  }

  /** The connection ended, and nobody here asked for it. */
  #onLost(cause: ARCPError): void {
    const state = this.#state;
    if (state.phase !== "connected") return;
    if (this.#reconnection === undefined || cause instanceof FrameTooLargeError) {
      this.end(cause);
      return;
    }
    const stop = new AbortController();
    this.#state = { phase: "reconnecting", stop };
    this.#owner.onLost(state.session);
    const isStable = this.#options.clock.monotonic() - state.sinceMs >= STABLE_MS;
    const earlierAttempts = isStable ? 0 : this.#shortLived;
    this.#shortLived = earlierAttempts + 1;
    void this.#reconnect(this.#reconnection, { cause, earlierAttempts, signal: stop.signal });
  }

  async #reconnect(
    options: ToolReconnectOptions,
    loss: Pick<ReconnectTask, "cause" | "earlierAttempts" | "signal">,
  ): Promise<void> {
    const { signal } = loss;
    const release = keepProcessAlive();
    try {
      await reconnect({
        ...loss,
        options,
        clock: this.#options.clock,
        windowMs: options.giveUpAfterMs ?? GIVE_UP_AFTER_MS,
        attempt: () => this.#attempt(signal, activeTrace()),
        onWait: (attempt, delayMs, why) => this.#report({ phase: "reconnecting", attempt, delayMs, cause: why }),
      });
    } catch (thrown) {
      if (!signal.aborted) this.end(ARCPError.from(thrown));
    } finally {
      release();
    }
  }

  // -------------------------------------------------------------------------------------------- closing

  async #close(payload: JsonObject, before: () => void): Promise<void> {
    const state = this.#state;
    if (state.phase === "connected") {
      const { connection, session } = state;
      this.#state = { phase: "closing", connection, session };
      before();
      connection.setReading(true);
      connection.send({ type: "session.close", payload });
      await this.#untilOver(connection);
    }
    this.end(undefined);
  }

  /** The runtime ends the connection, if it is one that does. */
  async #untilOver(connection: Connection10): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelTimer = this.#options.clock.setTimer(resolve, this.#options.silenceMs);
    await Promise.race([promise, connection.closed]);
    cancelTimer();
  }
}

const closedByCaller = (): ARCPError => new CancelledError("the client was closed");
