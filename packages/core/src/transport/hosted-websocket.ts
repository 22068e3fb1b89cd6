import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CLOSE_UNSUPPORTED,
  CloseSignal,
  closeReason,
  Inbox,
  type Transport,
  type TransportClose,
  type TransportPeer,
} from "./transport.ts";

/** The server's end of a WebSocket as its host hands it over. */
export interface HostedSocket {
  send(data: string | Uint8Array<ArrayBuffer>): void;
  /** Begins to close. The host says when it is over. */
  close(code: number, reason: string): void;
  /** Cuts the connection, where the host can. */
  terminate?(): void;
  /** What was sent and has not left yet. */
  readonly bufferedBytes: number;
}

const LOW_WATER_BYTES = 64 * 1024;
const DRAIN_POLL_MS = 10;
const CLOSE_TIMEOUT_MS = 5_000;
const CLOSE_POLICY = 1008;
const CLOSE_TOO_BIG = 1009;
/** What may arrive while nobody reads: hosts of this kind cannot be told to stop reading. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

/**
 * Frames over a WebSocket that the host runs (§4.1): it says what arrives ({@link received}) and when it is over
 * ({@link ended}). For hosts whose sockets are not Node's.
 */
export class HostedWebSocketTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = true;
  readonly #socket: HostedSocket;
  readonly #maxFrameBytes: number;
  readonly #inbox = new Inbox(() => this.#refuseBinary());
  readonly #close = new CloseSignal();
  #isClosing = false;
  #hasConsumer = false;
  #keptBytes = 0;
  #onMalformed: (problem: string) => void = () => {};

  constructor(socket: HostedSocket, peer: TransportPeer, maxFrameBytes: number) {
    this.#socket = socket;
    this.peer = peer;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** One whole message, as the host has read it: text, or bytes, which are the transport's own from now on. */
  received(data: string | Uint8Array): void {
    if (this.#isClosing || this.isClosed) return;
    const bytes = typeof data === "string" ? utf8Length(data, this.#maxFrameBytes) : data.length;
    if (bytes > this.#maxFrameBytes) {
      this.close(CLOSE_TOO_BIG, "the frame is too big");
      return;
    }
    if (!this.#hasConsumer || this.#inbox.isPaused) {
      this.#keptBytes += bytes;
      if (this.#keptBytes > MAX_KEPT_BYTES) {
        this.close(CLOSE_POLICY, "more was sent than is read");
        return;
      }
    }
    if (typeof data === "string") this.#inbox.push(data);
    else this.#inbox.pushBinary(data);
  }

  /** The connection is over. */
  ended(code: number, reason: string): void {
    this.#close.close(code, reason);
  }

  get bufferedBytes(): number {
    return this.isClosed ? 0 : this.#socket.bufferedBytes;
  }

  get closed(): Promise<TransportClose> {
    return this.#close.promise;
  }

  get isClosed(): boolean {
    return this.#close.isClosed;
  }

  send(frame: string): void {
    if (!this.#isClosing && !this.isClosed) this.#socket.send(frame);
  }

  sendBinary(bytes: Uint8Array): void {
    if (!this.#isClosing && !this.isClosed) this.#socket.send(new Uint8Array(bytes));
  }

  async drained(): Promise<void> {
    // Not every host has an event for this.
    while (!this.isClosed && this.bufferedBytes > LOW_WATER_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
  }

  onFrame(handler: (frame: string) => void): void {
    this.#hasConsumer = true;
    if (!this.#inbox.isPaused) this.#keptBytes = 0;
    this.#inbox.onFrame(handler);
  }

  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.#inbox.onBinary(handler);
  }

  onMalformed(handler: (problem: string) => void): void {
    this.#onMalformed = handler;
  }

  /** Keeps what arrives, up to 4 MiB: a peer that sends more is closed with 1008. */
  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
    if (!this.#inbox.isPaused) this.#keptBytes = 0;
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.#isClosing || this.isClosed) return;
    this.#isClosing = true;
    this.#socket.close(code, closeReason(reason));
    const timer: { unref?(): void } = setTimeout(() => this.abort("no answer to the close"), CLOSE_TIMEOUT_MS);
    timer.unref?.();
    void this.closed.then(() => clearTimeout(timer as never));
  }

  abort(reason = "aborted"): void {
    if (!this.#close.close(CLOSE_ABNORMAL, reason)) return;
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close(CLOSE_NORMAL, closeReason(reason));
  }

  #refuseBinary(): void {
    this.#onMalformed("a binary frame");
    this.close(CLOSE_UNSUPPORTED, "text frames only");
  }
}

/** Bytes of `text` in UTF-8. It is counted only where the number of its characters leaves the question open. */
function utf8Length(text: string, limit: number): number {
  if (text.length > limit || text.length * 3 <= limit) return text.length;
  return new TextEncoder().encode(text).length;
}
