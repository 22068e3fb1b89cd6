/** One transport and the session messages that keep it: handshake, heartbeat, decoding. */
import {
  ARCPError,
  buildEnvelope,
  type Clock,
  decodeFrame,
  decodeRuntimeMessage,
  HeartbeatLostError,
  InvalidRequestError,
  isDraftVersion,
  type JsonObject,
  type MessageId,
  type MessageOf,
  newMessageId,
  RUNTIME_FRAME_LIMITS,
  RUNTIME_MESSAGE_TYPES,
  type RuntimeMessage,
  type SessionId,
  type TraceContext,
  type Transport,
  traceparentOf,
} from "@arcp/core";
import type { Greeting } from "./greeting.ts";
import { Line, type LineBounds, type LineOwner, type OpeningTerms } from "./line.ts";
import { respell, withAmounts } from "./respelling.ts";
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

export class Connection {
  readonly #line: Line<MessageOf<"session.welcome">>;
  readonly #owner: ConnectionOwner;
  readonly #clock: Clock;
  #greetingId: MessageId | undefined;

  constructor(transport: Transport, owner: ConnectionOwner, bounds: LineBounds) {
    this.#owner = owner;
    this.#clock = bounds.clock;
    const lineOwner: LineOwner = {
      onFrame: (text) => this.#onFrame(text),
      onMalformed: (error) => owner.onUnreadable(undefined, error),
      onLeave: () => {},
      onEnd: owner.onEnd,
    };
    this.#line = new Line(transport, lineOwner, bounds);
  }

  /**
   * Opens the session, in the span of `caller`. Rejects as {@link Line.open} does, with the error that the runtime answered
   * among others.
   */
  greet(
    { type, payload, sessionId }: Greeting,
    terms: OpeningTerms,
    caller: TraceContext | undefined,
  ): Promise<MessageOf<"session.welcome">> {
    return this.#line.open(() => {
      this.#greetingId = this.send(type, payload, {
        ...(sessionId && { sessionId }),
        ...(caller && { trace: caller }),
      });
    }, terms);
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
    const message = buildEnvelope({
      type,
      session_id: this.#line.sessionId ?? fields.sessionId,
      job_id: fields.jobId,
      trace_id: fields.trace?.traceId,
      traceparent: fields.trace && traceparentOf(fields.trace),
      tracestate: fields.trace?.traceState,
      payload,
    });
    this.#line.send(type, JSON.stringify(message));
    return message.id;
  }

  /** Stops or goes on reading, so that the peer feels that the consumers lag. */
  setReading(isReading: boolean): void {
    this.#line.setReading(isReading);
  }

  /** Gives the connection up: the owner is told `cause` at once. */
  abort(cause: ARCPError): void {
    this.#line.abort(cause);
  }

  /** Ends the connection after what is queued, without a word to the owner. */
  close(code?: number, reason?: string): void {
    this.#line.close(code, reason);
  }

  #onFrame(text: string): void {
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
    if (type === "session.welcome" || type === "session.error") this.#line.refuse(error);
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
          received_at: this.#now(),
        });
        return;
      case "session.pong":
        return;
      case "session.error":
        if (this.#line.isOpening) {
          this.#line.refuse(readError(message.payload));
          return;
        }
        break;
    }
    if (this.#line.sessionId !== undefined) this.#owner.onMessage(message, frame);
  }

  #onWelcome(message: MessageOf<"session.welcome">): void {
    if (!this.#line.isOpening) {
      this.#owner.onUnreadable(undefined, new InvalidRequestError("a second session.welcome"));
      return;
    }
    let opened: OpenedSession;
    try {
      opened = this.#owner.onWelcome(message);
    } catch (thrown) {
      this.#line.refuse(thrown);
      return;
    }
    const { sessionId, heartbeatMs, onOpen } = opened;
    this.#line.accept(sessionId, message);
    if (heartbeatMs !== undefined) this.#startHeartbeat(heartbeatMs);
    onOpen();
  }

  #startHeartbeat(intervalMs: number): void {
    this.#line.keepAlive(
      intervalMs,
      () => void this.send("session.ping", { nonce: newMessageId(), sent_at: this.#now() }),
      () => new HeartbeatLostError("nothing was heard from the runtime for two heartbeat intervals"),
    );
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}
