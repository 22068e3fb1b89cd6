import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  closeReason,
  InboxTransport,
  type Transport,
  TransportError,
  type TransportPeer,
} from "./transport.ts";
import { assertMayConnect, type WebSocketConnectOptions } from "./websocket-url.ts";

/** The part of the platform's `WebSocket` that is used here. */
interface PlatformSocket {
  readonly bufferedAmount: number;
  readonly readyState: number;
  binaryType: string;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(
    type: "open" | "message" | "close" | "error",
    listener: (event: { data?: unknown; code?: number; reason?: string }) => void,
  ): void;
}

const LOW_WATER_BYTES = 64 * 1024;
const DRAIN_POLL_MS = 10;
const OPEN = 1;
const FIRST_FREE_CODE = 3000;
const LAST_FREE_CODE = 4999;

/** A page may say that all is well, or what no standard says; the platform throws at anything else. */
const codeOfPage = (code: number): number => (code >= FIRST_FREE_CODE && code <= LAST_FREE_CODE ? code : CLOSE_NORMAL);

/**
 * Frames over the platform's own `WebSocket` (§4.1), for pages and workers. The platform cannot stop reading: while it is
 * paused, what arrives is kept.
 */
export class WebSocketTransport extends InboxTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = true;
  readonly #socket: PlatformSocket;

  private constructor(socket: PlatformSocket, isConfidential: boolean) {
    super();
    this.#socket = socket;
    this.peer = { kind: "websocket", isConfidential };
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") this.inbox.push(data);
      else this.inbox.pushBinary(new Uint8Array(data as ArrayBuffer));
    });
    socket.addEventListener("close", (event) => this.end.close(event.code ?? CLOSE_ABNORMAL, event.reason ?? ""));
  }

  /** Opens a connection. Rejects with {@link TransportError} when it cannot be made, or `signal` aborts. */
  static connect(url: string, options: WebSocketConnectOptions = {}): Promise<WebSocketTransport> {
    const target = assertMayConnect(url, options);
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) {
        reject(options.signal.reason);
        return;
      }
      const Platform = (globalThis as unknown as { WebSocket: new (url: string) => PlatformSocket }).WebSocket;
      const socket = new Platform(target.url.href);
      const transport = new WebSocketTransport(socket, target.isConfidential);
      const onAbort = (): void => {
        socket.close();
        reject(options.signal?.reason);
      };
      options.signal?.addEventListener("abort", onAbort, { once: true });
      const settled = (): void => options.signal?.removeEventListener("abort", onAbort);
      socket.addEventListener("open", () => {
        settled();
        resolve(transport);
      });
      socket.addEventListener("error", () => {
        settled();
        reject(new TransportError(`could not connect to ${target.url.host}`));
      });
    });
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(frame: string): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(frame);
  }

  sendBinary(bytes: Uint8Array): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(bytes);
  }

  async drained(): Promise<void> {
    // The platform has no event for this.
    while (!this.isClosed && this.bufferedBytes > LOW_WATER_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
  }

  /** A page may not close with 1003: the consumer learns of it and decides. */
  protected override refuseBinary(): void {
    this.malformed("a binary frame");
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    this.#socket.close(codeOfPage(code), closeReason(reason));
  }

  abort(reason = "aborted"): void {
    this.#socket.close(CLOSE_NORMAL, closeReason(reason));
    this.end.close(CLOSE_ABNORMAL, reason);
  }
}
