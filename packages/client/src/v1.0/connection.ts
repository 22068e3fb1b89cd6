/** One transport of wire 1.0: handshake, signs of life, bytes beside their messages, decoding. */
import {
  ARCPError,
  type Clock,
  decodeFrame,
  frameBytes,
  Heartbeat,
  HeartbeatLostError,
  InvalidRequestError,
  type JsonObject,
  newMessageId,
  RUNTIME_FRAME_LIMITS,
  SessionState,
  TimeoutError,
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
import { assertReadable, lostTransport } from "../connection.ts";
import { onAbort } from "../waiting.ts";
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

export interface ConnectionBounds {
  readonly clock: Clock;
  readonly maxFrameBytes: number;
  /** How long a runtime may be silent before that is taken for an answer. */
  readonly silenceMs: number;
}

interface Answer {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const CLOSE_GOING_AWAY = 1001;

interface OpeningTerms {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly caller: TraceContext | undefined;
}

export class Connection10 {
  readonly #transport: Transport;
  readonly #owner: ConnectionOwner10;
  readonly #clock: Clock;
  readonly #maxFrameBytes: number;
  readonly #silenceMs: number;
  readonly #state = new SessionState();
  #answer: Answer | undefined;
  #openId: string | undefined;
  #challenge: MessageOf10<"session.challenge"> | undefined;
  /** Why the last answer to a challenge was wrong. */
  #refusal: string | undefined;
  #stopWaiting = (): void => {};
  #heartbeat: Heartbeat | undefined;
  /** A message whose bytes are on their way. */
  #waiting: RuntimeMessage10 | undefined;
  #isReading = true;

  constructor(transport: Transport, owner: ConnectionOwner10, { clock, maxFrameBytes, silenceMs }: ConnectionBounds) {
    this.#transport = transport;
    this.#owner = owner;
    this.#clock = clock;
    this.#maxFrameBytes = maxFrameBytes;
    this.#silenceMs = silenceMs;
  }

  get carriesBinary(): boolean {
    return this.#transport.carriesBinary;
  }

  /** Resolves when the connection is over. */
  get closed(): Promise<unknown> {
    return this.#transport.closed;
  }

  /**
   * Opens the session, in the span of `caller`. Rejects with the error that the runtime answered, {@link TimeoutError}
   * after `timeoutMs`, TransportError when the connection ends first, or the signal's reason. The transport is then closed.
   */
  async open(payload: JsonObject, { timeoutMs, signal, caller }: OpeningTerms): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#answer = { resolve, reject };
    this.#state.enter({ phase: "awaiting-welcome" });
    const release = onAbort(signal, (reason) => this.#refuse(reason));
    const cancelTimer = this.#clock.setTimer(
      () => this.#refuse(new TimeoutError("the runtime did not accept the session in time")),
      timeoutMs,
    );
    try {
      this.#transport.onFrame((text) => this.#onFrame(text));
      this.#transport.onMalformed((problem) => this.#owner.onUnreadable(undefined, new InvalidRequestError(problem)));
      void this.#transport.closed.then(({ code, reason }) => this.#end(lostTransport(code, reason)));
      if (signal?.aborted !== true) {
        this.#openId = newMessageId();
        this.send({ type: "session.open", id: this.#openId, payload, ...(caller && traceMembers10(caller)) });
      }
      await promise;
    } catch (thrown) {
      this.close(CLOSE_GOING_AWAY, "the session was not opened");
      throw thrown;
    } finally {
      cancelTimer();
      release();
      this.#answer = undefined;
    }
  }

  /**
   * Sends one message, and the bytes that follow it. After the end nothing happens. Throws {@link InvalidRequestError}
   * for what is larger than the peer reads.
   */
  send(message: Outgoing, bytes?: Uint8Array): void {
    const phase = this.#state.current;
    const session = phase.phase === "accepted" ? { session_id: phase.sessionId } : {};
    const timestamp = new Date(this.#clock.now()).toISOString();
    const text = JSON.stringify(buildEnvelope10({ ...session, timestamp, ...message }));
    const size = Math.max(frameBytes(text, this.#maxFrameBytes), bytes?.length ?? 0);
    assertReadable(message.type, size, this.#maxFrameBytes);
    this.#transport.send(text);
    if (bytes) this.#transport.sendBinary(bytes);
    this.#heartbeat?.sent();
  }

  /** Stops or goes on reading, so that the peer feels that the consumers lag. */
  setReading(isReading: boolean): void {
    if (isReading === this.#isReading) return;
    this.#isReading = isReading;
    this.#heartbeat?.setListening(isReading);
    if (isReading) this.#transport.resume();
    else this.#transport.pause();
  }

  /** Asks for a sign of life whenever nothing was sent, or heard, for `intervalMs`; gives up after two of them. */
  keepAlive(intervalMs: number): void {
    if (intervalMs <= 0) return;
    this.#heartbeat = new Heartbeat({
      clock: this.#clock,
      intervalMs,
      ping: () => this.send({ type: "ping", payload: { sent_at: this.#now() } }),
      onLost: () =>
        this.abort(new HeartbeatLostError("nothing was heard from the runtime for two intervals", { retryable: true })),
    });
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

  // -------------------------------------------------------------------------------------------- inbound

  #onFrame(text: string): void {
    if (this.#state.phase === "closed") return;
    this.#heartbeat?.heard();
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
    if (this.#state.phase === "awaiting-welcome") {
      this.#onOpening(message);
      return;
    }
    const isAnnounced =
      (message.type === "stream.chunk" || message.type === "artifact.put") && message.payload.encoding === "sidecar";
    if (isAnnounced && message.payload.data === undefined) this.#waiting = message;
    else this.#dispatch(message, undefined);
  }

  #onBinary(bytes: Uint8Array): void {
    if (this.#state.phase === "closed") return;
    this.#heartbeat?.heard();
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
    if (this.#state.phase !== "accepted") return;
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
    if (typeof type === "string" && type.startsWith("session.")) this.#refuse(error);
    this.#owner.onUnreadable(frame, error);
  }

  // -------------------------------------------------------------------------------------------- handshake

  #onOpening(message: RuntimeMessage10): void {
    switch (message.type) {
      case "session.accepted":
        this.#onAccepted(message);
        return;
      case "session.rejected":
        this.#refuse(errorFromV10(message.payload));
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
        this.#refuse(errorFromV10(message.payload));
        return;
      case "nack":
        if (message.correlation_id === this.#openId) this.#refuse(errorFromV10(message.payload));
    }
  }

  /** A new challenge follows, or the same one may be answered again. */
  #onWrongAnswer({ payload }: MessageOf10<"session.unauthenticated">): void {
    const challenge = this.#challenge;
    if (challenge === undefined) {
      this.#refuse(errorFromV10(payload));
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
      if (this.#state.phase !== "awaiting-welcome" || this.#challenge !== message) return;
      const named = challenge_id === undefined ? {} : { challenge_id };
      this.send({ type: "session.authenticate", correlation_id: message.id, payload: { ...named, response } });
    } catch (thrown) {
      this.#refuse(thrown);
    }
  }

  #onAccepted(message: MessageOf10<"session.accepted">): void {
    let opened: ReturnType<ConnectionOwner10["onAccepted"]>;
    try {
      opened = this.#owner.onAccepted(message);
    } catch (thrown) {
      this.#refuse(thrown);
      return;
    }
    const { sessionId, carriesSidecar, onOpen } = opened;
    this.#state.enter({ phase: "accepted", sessionId: toSessionId(sessionId), features: new Set() });
    if (carriesSidecar) this.#transport.onBinary((bytes) => this.#onBinary(bytes));
    this.#answer?.resolve();
    onOpen();
  }

  /** No session comes of this connection. */
  #refuse(error: unknown): void {
    if (this.#state.phase !== "awaiting-welcome") return;
    this.#leave();
    this.#answer?.reject(error);
  }

  // -------------------------------------------------------------------------------------------- ending

  #end(cause: ARCPError): void {
    const { phase } = this.#state;
    if (phase === "closed") return;
    this.#leave();
    this.#answer?.reject(cause);
    if (phase === "accepted") this.#owner.onEnd(cause);
  }

  #leave(): void {
    if (this.#state.phase !== "closed") this.#state.enter({ phase: "closed", reason: "" });
    this.#stopWaiting();
    this.#heartbeat?.stop();
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

const MAX_ECHO = 128;
const short = (text: string): string => text.slice(0, MAX_ECHO);
