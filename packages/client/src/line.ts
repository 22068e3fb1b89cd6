/** One transport of either wire: a session that is opened on it once, signs of life, how much may be sent, and the end. */
import {
  type ARCPError,
  CLOSE_TOO_LARGE,
  type Clock,
  ERROR_FACTS,
  frameBytes,
  Heartbeat,
  InvalidRequestError,
  ResumeWindowExpiredError,
  type SessionId,
  SessionState,
  TimeoutError,
  type Transport,
  TransportError,
  UnauthenticatedError,
} from "@arcp/core";
import { onAbort } from "./waiting.ts";

export interface LineOwner {
  /** A frame has come. Does not throw. */
  readonly onFrame: (text: string) => void;
  /** What has come is not even a frame. */
  readonly onMalformed: (error: InvalidRequestError) => void;
  /** The line was left: closed, refused, or lost. Called once. */
  readonly onLeave: () => void;
  /** The connection is over. Called once, and never before the session was open, nor after {@link Line.close}. */
  readonly onEnd: (cause: ARCPError) => void;
}

export interface LineBounds {
  readonly clock: Clock;
  /** The largest frame that the runtime reads. */
  readonly maxFrameBytes: number;
}

export interface OpeningTerms {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

interface Answer<Welcome> {
  readonly resolve: (welcome: Welcome) => void;
  readonly reject: (error: unknown) => void;
}

const CLOSE_GOING_AWAY = 1001;

/** @typeParam Welcome What the runtime opens the session with. */
export class Line<Welcome> {
  readonly #transport: Transport;
  readonly #owner: LineOwner;
  readonly #bounds: LineBounds;
  readonly #state = new SessionState();
  #answer: Answer<Welcome> | undefined;
  #heartbeat: Heartbeat | undefined;
  #isReading = true;

  constructor(transport: Transport, owner: LineOwner, bounds: LineBounds) {
    this.#transport = transport;
    this.#owner = owner;
    this.#bounds = bounds;
  }

  get carriesBinary(): boolean {
    return this.#transport.carriesBinary;
  }

  /** Resolves when the connection is over. */
  get closed(): Promise<unknown> {
    return this.#transport.closed;
  }

  /** Is the answer to the first message still to come? */
  get isOpening(): boolean {
    return this.#state.phase === "awaiting-welcome";
  }

  /** `undefined` while no session is open. */
  get sessionId(): SessionId | undefined {
    const { current } = this.#state;
    return current.phase === "accepted" ? current.sessionId : undefined;
  }

  /**
   * Listens, calls `greet`, which sends the first message, and waits for {@link accept}. Rejects with what {@link refuse} was
   * given, {@link TimeoutError} after `timeoutMs`, {@link TransportError} when the connection ends first, or the signal's
   * reason. The transport is then closed.
   */
  async open(greet: () => void, { timeoutMs, signal }: OpeningTerms): Promise<Welcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Welcome>();
    this.#answer = { resolve, reject };
    this.#state.enter({ phase: "awaiting-welcome" });
    const release = onAbort(signal, (reason) => this.refuse(reason));
    const cancelTimer = this.#bounds.clock.setTimer(
      () => this.refuse(new TimeoutError("the runtime did not open the session in time")),
      timeoutMs,
    );
    try {
      this.#transport.onFrame((text) => this.#heard(() => this.#owner.onFrame(text)));
      this.#transport.onMalformed((problem) => this.#owner.onMalformed(new InvalidRequestError(problem)));
      void this.#transport.closed.then(({ code, reason }) => this.#end(lostTransport(code, reason)));
      if (signal?.aborted !== true) greet();
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

  /** The session is open. */
  accept(sessionId: SessionId, welcome: Welcome): void {
    this.#state.enter({ phase: "accepted", sessionId, features: new Set() });
    this.#answer?.resolve(welcome);
  }

  /** No session comes of this connection. Without effect once one is open. */
  refuse(error: unknown): void {
    if (!this.isOpening) return;
    this.#leave();
    this.#answer?.reject(error);
  }

  /** Takes bytes that come beside messages, from now on. */
  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.#transport.onBinary((bytes) => this.#heard(() => handler(bytes)));
  }

  /**
   * Sends one message, and the bytes that follow it. After the end nothing happens. Throws {@link InvalidRequestError} for
   * what is larger than the runtime reads.
   */
  send(type: string, text: string, bytes?: Uint8Array): void {
    const max = this.#bounds.maxFrameBytes;
    const size = Math.max(frameBytes(text, max), bytes?.length ?? 0);
    if (size > max) {
      throw new InvalidRequestError(`${type}: larger than the runtime reads`, { details: { size, max } });
    }
    this.#transport.send(text);
    if (bytes) this.#transport.sendBinary(bytes);
    this.#heartbeat?.sent();
  }

  /** Calls `ping` whenever nothing was sent, or heard, for `intervalMs`; gives up with `lost` after two of them. */
  keepAlive(intervalMs: number, ping: () => void, lost: () => ARCPError): void {
    const { clock } = this.#bounds;
    this.#heartbeat = new Heartbeat({ clock, intervalMs, ping, onLost: () => this.abort(lost()) });
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

  #heard(take: () => void): void {
    if (this.#state.phase === "closed") return;
    this.#heartbeat?.heard();
    take();
  }

  #end(cause: ARCPError): void {
    const { phase } = this.#state;
    if (phase === "closed") return;
    this.#leave();
    this.#answer?.reject(cause);
    if (phase === "accepted") this.#owner.onEnd(cause);
  }

  #leave(): void {
    if (this.#state.phase === "closed") return;
    this.#state.enter({ phase: "closed", reason: "" });
    this.#heartbeat?.stop();
    this.#owner.onLeave();
  }
}

/**
 * The connection ended over a frame that is larger than its receiver reads, this side or the other one. It ends the client
 * for good: the next connection would meet the same frame again.
 */
export class FrameTooLargeError extends InvalidRequestError {}

/** A close code says why, where the runtime could not say it in a message. */
function lostTransport(code: number, reason: string): ARCPError {
  const message = `the connection ended (${code}${reason === "" ? "" : `: ${reason}`})`;
  if (code === CLOSE_TOO_LARGE) return new FrameTooLargeError(message);
  if (code === ERROR_FACTS.UNAUTHENTICATED.closeCode) return new UnauthenticatedError(message);
  if (code === ERROR_FACTS.RESUME_WINDOW_EXPIRED.closeCode) return new ResumeWindowExpiredError(message);
  return new TransportError(message, { retryable: true });
}
