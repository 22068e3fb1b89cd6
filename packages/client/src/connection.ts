/** One transport and the session messages that keep it: handshake, heartbeat, decoding. */
import {
  ARCPError,
  buildEnvelope,
  CLOSE_TOO_LARGE,
  type Clock,
  decodeFrame,
  decodeRuntimeMessage,
  ERROR_FACTS,
  frameBytes,
  Heartbeat,
  HeartbeatLostError,
  InvalidRequestError,
  isDraftVersion,
  type JsonObject,
  type MessageId,
  type MessageOf,
  newMessageId,
  ResumeWindowExpiredError,
  RUNTIME_FRAME_LIMITS,
  RUNTIME_MESSAGE_TYPES,
  type RuntimeMessage,
  type SessionId,
  SessionState,
  TimeoutError,
  type TraceContext,
  type Transport,
  TransportError,
  traceparentOf,
  UnauthenticatedError,
} from "@arcp/core";
import type { Greeting } from "./greeting.ts";
import { respell, withAmounts } from "./respelling.ts";
import { onAbort } from "./waiting.ts";
import { readError } from "./wire-error.ts";

/** Messages that the connection does not answer by itself. */
export type SessionMessage = Exclude<RuntimeMessage, { type: "session.welcome" | "session.ping" | "session.pong" }>;

/** What a connection has to know of the session that it carries. */
interface OpenedSession {
  readonly sessionId: SessionId;
  /** How often to show signs of life; `undefined` without heartbeats. */
  readonly heartbeatMs: number | undefined;
  /** Called at once, when messages can be sent. */
  readonly onOpen: () => void;
}

export interface ConnectionOwner {
  /** The session is open. What this throws refuses the welcome.  */
  readonly onWelcome: (welcome: MessageOf<"session.welcome">) => OpenedSession;
  readonly onMessage: (message: SessionMessage, frame: JsonObject) => void;
  /** A message that cannot be understood. The connection goes on. */
  readonly onUnreadable: (frame: JsonObject | undefined, error: ARCPError) => void;
  /** The connection is over. Called once, and never before the handshake has succeeded. */
  readonly onEnd: (cause: ARCPError) => void;
}

/** Where a message belongs, besides its payload. */
export interface MessageFields {
  readonly jobId?: string;
  readonly trace?: TraceContext;
  /** Only for a peer that wants the client to name the session. */
  readonly sessionId?: string;
}

interface ConnectionBounds {
  readonly clock: Clock;
  /** The largest frame that the runtime reads. */
  readonly maxFrameBytes: number;
}

interface Answer {
  readonly resolve: (welcome: MessageOf<"session.welcome">) => void;
  readonly reject: (error: unknown) => void;
}

const CLOSE_GOING_AWAY = 1001;

export class Connection {
  readonly #transport: Transport;
  readonly #owner: ConnectionOwner;
  readonly #clock: Clock;
  readonly #maxFrameBytes: number;
  readonly #state = new SessionState();
  #answer: Answer | undefined;
  #heartbeat: Heartbeat | undefined;
  #greetingId: MessageId | undefined;
  #isReading = true;

  constructor(transport: Transport, owner: ConnectionOwner, { clock, maxFrameBytes }: ConnectionBounds) {
    this.#transport = transport;
    this.#owner = owner;
    this.#clock = clock;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /**
   * Opens the session. Rejects with the error that the runtime answered, {@link TimeoutError} after `timeoutMs`,
   * {@link TransportError} when the connection ends first, or the signal's reason. The transport is then closed.
   *
   * @param caller The span that the session belongs below.
   */
  async greet(
    greeting: Greeting,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    caller: TraceContext | undefined,
  ): Promise<MessageOf<"session.welcome">> {
    const { promise, resolve, reject } = Promise.withResolvers<MessageOf<"session.welcome">>();
    const { type, payload, sessionId } = greeting;
    this.#answer = { resolve, reject };
    this.#state.enter({ phase: "awaiting-welcome" });
    const release = onAbort(signal, (reason) => this.#refuse(reason));
    const cancelTimer = this.#clock.setTimer(
      () => this.#refuse(new TimeoutError("the runtime did not welcome the session in time")),
      timeoutMs,
    );
    try {
      this.#transport.onFrame((text) => this.#onFrame(text));
      this.#transport.onMalformed((problem) => this.#owner.onUnreadable(undefined, new InvalidRequestError(problem)));
      void this.#transport.closed.then(({ code, reason }) => this.#end(lostTransport(code, reason)));
      if (signal?.aborted !== true) {
        this.#greetingId = this.send(type, payload, {
          ...(sessionId && { sessionId }),
          ...(caller && { trace: caller }),
        });
      }
      return await promise;
    } catch (thrown) {
      this.close(CLOSE_GOING_AWAY, "the session was not opened");
      throw thrown;
    } finally {
      cancelTimer();
      release();
      this.#answer = undefined;
    }
  }

  /** The id of the first message; `undefined` before it was sent. */
  get greetingId(): MessageId | undefined {
    return this.#greetingId;
  }

  /**
   * Sends one message and returns its id. After the end nothing happens. Throws {@link InvalidRequestError} for what is
   * larger than the runtime reads.
   */
  send(type: string, payload: JsonObject, fields: MessageFields = {}): MessageId {
    const phase = this.#state.current;
    const message = buildEnvelope({
      type,
      session_id: phase.phase === "accepted" ? phase.sessionId : fields.sessionId,
      job_id: fields.jobId,
      trace_id: fields.trace?.traceId,
      traceparent: fields.trace && traceparentOf(fields.trace),
      tracestate: fields.trace?.traceState,
      payload,
    });
    const text = JSON.stringify(message);
    assertReadable(type, frameBytes(text, this.#maxFrameBytes), this.#maxFrameBytes);
    this.#transport.send(text);
    this.#heartbeat?.sent();
    return message.id;
  }

  /** Stops or goes on reading, so that the peer feels that the consumers lag. */
  setReading(isReading: boolean): void {
    if (isReading === this.#isReading) return;
    this.#isReading = isReading;
    this.#heartbeat?.setListening(isReading);
    if (isReading) this.#transport.resume();
    else this.#transport.pause();
  }

  /** Gives the connection up: the owner is told `cause` at once. */
  abort(cause: ARCPError): void {
    this.#transport.abort(cause.code);
    this.#end(cause);
  }

  /** Ends the connection after what is queued, without a word to the owner. */
  close(code?: number, reason?: string): void {
    this.#leave();
    this.#transport.resume();
    this.#transport.close(code, reason);
  }

  #onFrame(text: string): void {
    if (this.#state.phase === "closed") return;
    this.#heartbeat?.heard();
    let frame: JsonObject | undefined;
    try {
      frame = decodeFrame(text, RUNTIME_FRAME_LIMITS);
      const message = this.#decode(frame);
      if (message) this.#dispatch(message, frame);
    } catch (thrown) {
      this.#onUnreadable(frame, ARCPError.from(thrown));
    }
  }

  #onUnreadable(frame: JsonObject | undefined, error: ARCPError): void {
    const type = frame?.["type"];
    // There will be no other answer.
    if (type === "session.welcome" || type === "session.error") this.#refuse(error);
    this.#owner.onUnreadable(frame, error);
  }

  #decode(frame: JsonObject): RuntimeMessage | undefined {
    const type = frame["type"];
    // A later version's, or a vendor's: ignored (§5).
    if (typeof type !== "string" || !RUNTIME_MESSAGE_TYPES.has(type)) return undefined;
    const arcp = frame["arcp"];
    if (typeof arcp !== "string" || !isDraftVersion(arcp)) {
      throw new InvalidRequestError("the message is of another protocol version", { details: { arcp } });
    }
    try {
      return decodeRuntimeMessage(type === "job.accepted" ? withAmounts(frame) : frame);
    } catch (thrown) {
      const meant = respell(frame);
      if (meant === undefined) throw thrown;
      return decodeRuntimeMessage(meant);
    }
  }

  #dispatch(message: RuntimeMessage, frame: JsonObject): void {
    switch (message.type) {
      case "session.welcome":
        this.#onWelcome(message);
        return;
      case "session.ping":
        this.send("session.pong", {
          ping_nonce: message.payload.nonce,
          received_at: new Date(this.#clock.now()).toISOString(),
        });
        return;
      case "session.pong":
        return;
      case "session.error":
        if (this.#state.phase === "awaiting-welcome") {
          this.#refuse(readError(message.payload));
          return;
        }
        break;
    }
    if (this.#state.phase === "accepted") this.#owner.onMessage(message, frame);
  }

  #onWelcome(message: MessageOf<"session.welcome">): void {
    if (this.#state.phase !== "awaiting-welcome") {
      this.#owner.onUnreadable(undefined, new InvalidRequestError("a second session.welcome"));
      return;
    }
    let opened: OpenedSession;
    try {
      opened = this.#owner.onWelcome(message);
    } catch (thrown) {
      this.#refuse(thrown);
      return;
    }
    const { sessionId, heartbeatMs, onOpen } = opened;
    this.#state.enter({ phase: "accepted", sessionId, features: new Set() });
    if (heartbeatMs !== undefined) this.#startHeartbeat(heartbeatMs);
    this.#answer?.resolve(message);
    onOpen();
  }

  /** No session comes of this connection. */
  #refuse(error: unknown): void {
    if (this.#state.phase !== "awaiting-welcome") return;
    this.#leave();
    this.#answer?.reject(error);
  }

  #startHeartbeat(intervalMs: number): void {
    this.#heartbeat = new Heartbeat({
      clock: this.#clock,
      intervalMs,
      ping: () =>
        void this.send("session.ping", { nonce: newMessageId(), sent_at: new Date(this.#clock.now()).toISOString() }),
      onLost: () =>
        this.abort(new HeartbeatLostError("nothing was heard from the runtime for two heartbeat intervals")),
    });
  }

  #end(cause: ARCPError): void {
    const { phase } = this.#state;
    if (phase === "closed") return;
    this.#leave();
    this.#answer?.reject(cause);
    if (phase === "accepted") this.#owner.onEnd(cause);
  }

  #leave(): void {
    if (this.#state.phase !== "closed") this.#state.enter({ phase: "closed", reason: "" });
    this.#heartbeat?.stop();
  }
}

/** Throws {@link InvalidRequestError} for a message of `size` bytes to a peer that reads `max`. */
export function assertReadable(type: string, size: number, max: number): void {
  if (size <= max) return;
  throw new InvalidRequestError(`${type}: larger than the runtime reads`, { details: { size, max } });
}

/**
 * The connection ended over a frame that is larger than its receiver reads, this side or the other one. It ends the client
 * for good: the next connection would meet the same frame again.
 */
export class FrameTooLargeError extends InvalidRequestError {}

/** A close code says why, where the runtime could not say it in a message. */
export function lostTransport(code: number, reason: string): ARCPError {
  const message = `the connection ended (${code}${reason === "" ? "" : `: ${reason}`})`;
  if (code === CLOSE_TOO_LARGE) return new FrameTooLargeError(message);
  if (code === ERROR_FACTS.UNAUTHENTICATED.closeCode) return new UnauthenticatedError(message);
  if (code === ERROR_FACTS.RESUME_WINDOW_EXPIRED.closeCode) return new ResumeWindowExpiredError(message);
  return new TransportError(message, { retryable: true });
}
