/** The way back to the client: no faster than it reads, no longer than it listens. */
import type { ServerResponse } from "node:http";
import type { Clock } from "@arcp/core";

export interface ClientResponseOptions {
  readonly clock: Clock;
  /** Milliseconds that a client may leave what was written unread. */
  readonly stallMs: number;
}

class ClientGoneError extends Error {
  constructor(message = "the client has gone") {
    super(message);
    this.name = "ClientGoneError";
  }
}

export class ClientResponse {
  readonly #response: ServerResponse;
  readonly #options: ClientResponseOptions;
  readonly #gone = new AbortController();

  constructor(response: ServerResponse, options: ClientResponseOptions) {
    this.#response = response;
    this.#options = options;
    const closed = (): void => {
      if (!response.writableFinished) this.#gone.abort(new ClientGoneError());
    };
    if (response.destroyed) closed();
    else response.once("close", closed);
    // Reported by `close`.
    response.on("error", () => {});
  }

  /** Aborts when the client leaves before it has the whole response. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  begin(status: number, headers: Readonly<Record<string, string>>): void {
    if (this.#response.destroyed || this.hasBegun) return;
    this.#response.writeHead(status, { "cache-control": "no-store", ...headers });
  }

  /** Sends what was begun, before there is anything to follow. */
  flush(): void {
    if (!this.#response.destroyed) this.#response.flushHeaders();
  }

  /** Resolves when there is room for more. Rejects when the client is gone or takes too long to read. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#gone.signal.throwIfAborted();
    if (this.#response.write(chunk)) return;
    const room = Promise.withResolvers<void>();
    const leave = (): void => room.reject(this.#gone.signal.reason);
    const stopTimer = this.#options.clock.setTimer(() => {
      this.#gone.abort(new ClientGoneError("the client does not read"));
      this.abort();
    }, this.#options.stallMs);
    this.#gone.signal.addEventListener("abort", leave);
    this.#response.once("drain", room.resolve);
    try {
      await room.promise;
    } finally {
      stopTimer();
      this.#gone.signal.removeEventListener("abort", leave);
      this.#response.off("drain", room.resolve);
    }
  }

  end(body?: string | Uint8Array): void {
    if (!this.#response.destroyed) this.#response.end(body);
  }

  /** Cuts the connection: a response that is not whole must not look as if it were. */
  abort(): void {
    this.#response.destroy();
  }
}
