/** One transport of wire 1.0: handshake, signs of life, bytes beside their messages, decoding. */
import {
  ARCPError,
  type Clock,
  decodeFrame,
  HeartbeatLostError,
  InvalidRequestError,
  type JsonObject,
  newMessageId,
  RUNTIME_FRAME_LIMITS,
  type TraceContext,
  type Transport,
  toSessionId,
  UnauthenticatedError,
} from "@arcp/core";
import {
  type AnyMessage10,
  buildEnvelope10,
  CanonicalError,
  decodeAnyMessage10,
  decodeRuntimeMessage10,
  type EnvelopeParts10,
  errorFromV10,
  errorToV10,
  isExtensionType,
  type MessageOf10,
  RUNTIME_TYPES,
  type RuntimeMessage10,
  traceMembers10,
} from "@arcp/core/v1.0";
import { Line, type LineBounds, type LineOwner, type OpeningTerms } from "../line.ts";
import type { Challenge } from "./options.ts";

/** A message to send; when it is sent, and in which session, is filled in. */
export type Outgoing = Omit<EnvelopeParts10, "timestamp">;

export interface ConnectionOwner10 {
  /** The session is open. What this throws refuses it. Returns its id, and what to do once messages can be sent. */
  readonly onAccepted: (message: MessageOf10<"session.accepted">) => {
    readonly sessionId: string;
    /** May bytes come beside messages? */
    readonly carriesSidecar: boolean;
    readonly onOpen: () => void;
  };
  /** Answers a challenge of the handshake. */
  readonly onChallenge: ((challenge: Challenge) => unknown) | undefined;
  /** `bytes`: what followed the message as a frame of bytes. */
  readonly onMessage: (message: RuntimeMessage10, bytes: Uint8Array | undefined) => void;
  /** Returns whether anybody speaks that extension. */
  readonly onExtension: (message: AnyMessage10) => boolean;
  /** A message that cannot be understood. The connection goes on. */
  readonly onUnreadable: (frame: JsonObject | undefined, error: ARCPError) => void;
  /** The connection is over. Called once, and never before the handshake has succeeded. */
  readonly onEnd: (cause: ARCPError) => void;
}

export interface ConnectionBounds extends LineBounds {
  /** How long a runtime may be silent before that is taken for an answer. */
  readonly silenceMs: number;
}

export class Connection10 {
  readonly #line: Line<void>;
  readonly #owner: ConnectionOwner10;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  #openId: string | undefined;
  #challenge: MessageOf10<"session.challenge"> | undefined;
  /** Why the last answer to a challenge was wrong. */
  #refusal: string | undefined;
  #stopWaiting = (): void => {};
  /** A message whose bytes are on their way. */
  #waiting: RuntimeMessage10 | undefined;

  constructor(transport: Transport, owner: ConnectionOwner10, { silenceMs, ...bounds }: ConnectionBounds) {
    this.#owner = owner;
    this.#clock = bounds.clock;
    this.#silenceMs = silenceMs;
    const lineOwner: LineOwner = {
      onFrame: (text) => this.#onFrame(text),
      onMalformed: (error) => owner.onUnreadable(undefined, error),
      onLeave: () => this.#stopWaiting(),
      onEnd: owner.onEnd,
    };
    this.#line = new Line(transport, lineOwner, bounds);
  }

  get carriesBinary(): boolean {
    return this.#line.carriesBinary;
  }

  /** Resolves when the connection is over. */
  get closed(): Promise<unknown> {
    return this.#line.closed;
  }

  /**
   * Opens the session, in the span of `caller`. Rejects as {@link Line.open} does, with the error that the runtime answered
   * among others.
   */
  open(payload: JsonObject, terms: OpeningTerms, caller: TraceContext | undefined): Promise<void> {
    return this.#line.open(() => {
      this.#openId = newMessageId();
      this.send({ type: "session.open", id: this.#openId, payload, ...(caller && traceMembers10(caller)) });
    }, terms);
  }

  /**
   * Sends one message, and the bytes that follow it. After the end nothing happens. Throws {@link InvalidRequestError}
   * for what is larger than the peer reads.
   */
  send(message: Outgoing, bytes?: Uint8Array): void {
    const { sessionId } = this.#line;
    const session = sessionId === undefined ? {} : { session_id: sessionId };
    const text = JSON.stringify(buildEnvelope10({ ...session, timestamp: this.#now(), ...message }));
    this.#line.send(message.type, text, bytes);
  }

  /** Stops or goes on reading, so that the peer feels that the consumers lag. */
  setReading(isReading: boolean): void {
    this.#line.setReading(isReading);
  }

  /** Asks for a sign of life whenever nothing was sent, or heard, for `intervalMs`; gives up after two of them. */
  keepAlive(intervalMs: number): void {
    if (intervalMs <= 0) return;
    this.#line.keepAlive(
      intervalMs,
      () => this.send({ type: "ping", payload: { sent_at: this.#now() } }),
      () => new HeartbeatLostError("nothing was heard from the runtime for two intervals", { retryable: true }),
    );
  }

  /** Gives the connection up: the owner is told `cause` at once. */
  abort(cause: ARCPError): void {
    this.#line.abort(cause);
  }

  /** Ends the connection after what is queued, without a word to the owner. */
  close(code?: number, reason?: string): void {
    this.#line.close(code, reason);
  }

  // -------------------------------------------------------------------------------------------- inbound

  #onFrame(text: string): void {
    this.#dropWaiting("its bytes did not follow");
    let frame: JsonObject | undefined;
    try {
      frame = decodeFrame(text, RUNTIME_FRAME_LIMITS);
      this.#onDecoded(frame);
    } catch (thrown) {
      this.#onUnreadable(frame, ARCPError.from(thrown));
    }
  }

  #onDecoded(frame: JsonObject): void {
    const { type } = frame;
    if (typeof type !== "string") throw new InvalidRequestError("type: expected a string");
    if (!RUNTIME_TYPES.has(type)) {
      this.#onUnknown(frame, type);
      return;
    }
    const message = decodeRuntimeMessage10(frame, { allowMissingTimestamp: true });
    if (this.#line.isOpening) {
      this.#onOpening(message);
      return;
    }
    const isAnnounced =
      (message.type === "stream.chunk" || message.type === "artifact.put") && message.payload.encoding === "sidecar";
    if (isAnnounced && message.payload.data === undefined) this.#waiting = message;
    else this.#dispatch(message, undefined);
  }

  #onBinary(bytes: Uint8Array): void {
    const message = this.#waiting;
    this.#waiting = undefined;
    if (message) this.#dispatch(message, bytes);
    else this.#owner.onUnreadable(undefined, new InvalidRequestError("bytes that belong to no message"));
  }

  #dropWaiting(why: string): void {
    if (this.#waiting === undefined) return;
    const { type, id, correlation_id } = this.#waiting;
    this.#waiting = undefined;
    this.#owner.onUnreadable({ type, id, correlation_id }, new InvalidRequestError(`${type}: ${why}`));
  }

  #dispatch(message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    if (message.type === "ping") {
      const { nonce } = message.payload;
      const payload = { ack_for: message.id, received_at: this.#now(), ...(nonce !== undefined && { nonce }) };
      this.send({ type: "pong", correlation_id: message.id, payload });
    } else if (message.type === "session.ping") {
      const payload = { ping_nonce: message.payload.nonce ?? "", received_at: this.#now() };
      this.send({ type: "session.pong", correlation_id: message.id, payload });
    } else this.#owner.onMessage(message, bytes);
  }

  /** RFC §21.3. */
  #onUnknown(frame: JsonObject, type: string): void {
    if (this.#line.sessionId === undefined) return;
    if (isExtensionType(type)) {
      const message = decodeAnyMessage10(frame, { allowMissingTimestamp: true });
      if (this.#owner.onExtension(message) || message.extensions?.["optional"] === true) return;
    }
    const { id } = frame;
    const error = new CanonicalError("UNIMPLEMENTED", "the type is not known here", { details: { type: short(type) } });
    const reference = typeof id === "string" ? { ack_for: id } : {};
    this.send({
      type: "nack",
      ...(typeof id === "string" && { correlation_id: id }),
      payload: { ...errorToV10(error), ...reference },
    });
  }

  #onUnreadable(frame: JsonObject | undefined, error: ARCPError): void {
    const type = frame?.["type"];
    // There will be no other answer.
    if (typeof type === "string" && type.startsWith("session.")) this.#line.refuse(error);
    this.#owner.onUnreadable(frame, error);
  }

  // -------------------------------------------------------------------------------------------- handshake

  #onOpening(message: RuntimeMessage10): void {
    switch (message.type) {
      case "session.accepted":
        this.#onAccepted(message);
        return;
      case "session.rejected":
        this.#line.refuse(errorFromV10(message.payload));
        return;
      case "session.challenge":
        this.#challenge = message;
        this.#stopWaiting();
        void this.#answerChallenge(message);
        return;
      case "session.unauthenticated":
        this.#onWrongAnswer(message);
        return;
      case "session.evicted":
        this.#line.refuse(errorFromV10(message.payload));
        return;
      case "nack":
        if (message.correlation_id === this.#openId) this.#line.refuse(errorFromV10(message.payload));
    }
  }

  /** A new challenge follows, or the same one may be answered again. */
  #onWrongAnswer({ payload }: MessageOf10<"session.unauthenticated">): void {
    const challenge = this.#challenge;
    if (challenge === undefined) {
      this.#line.refuse(errorFromV10(payload));
      return;
    }
    this.#refusal = payload.message;
    this.#stopWaiting();
    this.#stopWaiting = this.#clock.setTimer(() => void this.#answerChallenge(challenge), this.#silenceMs);
  }

  async #answerChallenge(message: MessageOf10<"session.challenge">): Promise<void> {
    const { challenge_id, type, params, challenge, expires_at } = message.payload;
    const { onChallenge } = this.#owner;
    try {
      if (onChallenge === undefined) {
        throw new UnauthenticatedError(`the runtime asks for more proof: ${short(type)}`, { details: { type } });
      }
      const response = await onChallenge({ type, params, challenge, expiresAt: expires_at, refusal: this.#refusal });
      if (!this.#line.isOpening || this.#challenge !== message) return;
      const named = challenge_id === undefined ? {} : { challenge_id };
      this.send({ type: "session.authenticate", correlation_id: message.id, payload: { ...named, response } });
    } catch (thrown) {
      this.#line.refuse(thrown);
    }
  }

  #onAccepted(message: MessageOf10<"session.accepted">): void {
    let opened: ReturnType<ConnectionOwner10["onAccepted"]>;
    try {
      opened = this.#owner.onAccepted(message);
    } catch (thrown) {
      this.#line.refuse(thrown);
      return;
    }
    const { sessionId, carriesSidecar, onOpen } = opened;
    if (carriesSidecar) this.#line.onBinary((bytes) => this.#onBinary(bytes));
    this.#line.accept(toSessionId(sessionId));
    onOpen();
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

const MAX_ECHO = 128;
const short = (text: string): string => text.slice(0, MAX_ECHO);
