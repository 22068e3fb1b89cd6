import { frameBytes } from "../frame.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CLOSE_TOO_LARGE,
  closeReason,
  InboxTransport,
  type Transport,
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
/** What may arrive while nobody reads: hosts of this kind cannot be told to stop reading. */
const MAX_KEPT_BYTES = 4 * 1024 * 1024;

/**
 * Frames over a WebSocket that the host runs (§4.1): it says what arrives ({@link received}) and when it is over
 * ({@link ended}). For hosts whose sockets are not Node's. While it is paused it keeps what arrives, up to 4 MiB: a peer
 * that sends more is closed with 1008.
 */
export class HostedWebSocketTransport extends InboxTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = true;
  readonly #socket: HostedSocket;
  readonly #maxFrameBytes: number;
  #isClosing = false;
  #hasConsumer = false;
  #keptBytes = 0;

  constructor(socket: HostedSocket, peer: TransportPeer, maxFrameBytes: number) {
    super();
    this.#socket = socket;
    this.peer = peer;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** One whole message, as the host has read it: text, or bytes, which are the transport's own from now on. */
  received(data: string | Uint8Array): void {
    if (this.#isClosing || this.isClosed) return;
    const bytes = typeof data === "string" ? frameBytes(data, this.#maxFrameBytes) : data.length;
    if (bytes > this.#maxFrameBytes) {
      this.close(CLOSE_TOO_LARGE, "the frame is too big");
      return;
    }
    if (!this.#hasConsumer || this.inbox.isPaused) {
      this.#keptBytes += bytes;
      if (this.#keptBytes > MAX_KEPT_BYTES) {
        this.close(CLOSE_POLICY, "more was sent than is read");
        return;
      }
    }
    if (typeof data === "string") this.inbox.push(data);
    else this.inbox.pushBinary(data);
  }

  /** The connection is over. */
  ended(code: number, reason: string): void {
    this.end.close(code, reason);
  }

  get bufferedBytes(): number {
    return this.isClosed ? 0 : this.#socket.bufferedBytes;
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

  override onFrame(handler: (frame: string) => void): void {
    this.#hasConsumer = true;
    if (!this.inbox.isPaused) this.#keptBytes = 0;
    this.inbox.onFrame(handler);
  }

  override resume(): void {
    this.inbox.resume();
    if (!this.inbox.isPaused) this.#keptBytes = 0;
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
    if (!this.end.close(CLOSE_ABNORMAL, reason)) return;
    if (this.#socket.terminate) this.#socket.terminate();
    else this.#socket.close(CLOSE_NORMAL, closeReason(reason));
  }
}
