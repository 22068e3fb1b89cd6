import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

const SWEEP_MS = 1_000;
const CLOSE_POLICY = 1008;

/** Ends connections on which one frame takes too long to arrive: a client that sends one byte a second. */
export class FrameWatch {
  readonly #timeoutMs: number;
  readonly #startedAt = new Map<WebSocket, number>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  add(webSocket: WebSocket, socket: Duplex): void {
    const done = (): void => void this.#startedAt.delete(webSocket);
    // Before ws's own listener, so that a frame that this chunk completes clears the mark again.
    socket.prependListener("data", () => {
      if (!this.#startedAt.has(webSocket)) this.#startedAt.set(webSocket, performance.now());
    });
    for (const event of ["message", "ping", "pong", "close"]) webSocket.on(event, done);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    const oldest = performance.now() - this.#timeoutMs;
    for (const [webSocket, startedAt] of this.#startedAt) {
      if (startedAt >= oldest) continue;
      this.#startedAt.delete(webSocket);
      webSocket.close(CLOSE_POLICY, "a frame took too long");
      webSocket.terminate();
    }
  }
}
