/** A real HTTP server that takes webhooks. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { newWebhookSecret, type VerifiedWebhook, type VerifyWebhookOptions, verifyWebhook } from "@arcp/core/webhooks";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Answers a request; what it does not end is left hanging. */
export type Answer = (response: ServerResponse, received: Received) => void;

export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end();

export class Receiver implements AsyncDisposable {
  readonly secret = newWebhookSecret();
  readonly all: Received[] = [];
  /** How it answers from now on. */
  answer: Answer = status(204);
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const received = { path: String(request.url), headers: request.headers, body: Buffer.concat(chunks).toString() };
      this.all.push(received);
      this.answer(response, received);
      for (const notify of this.#waiting) notify();
    });
  });
  readonly #waiting = new Set<() => void>();

  static async start(port = 0): Promise<Receiver> {
    const receiver = new Receiver();
    await new Promise<void>((resolve) => receiver.#server.listen(port, "127.0.0.1", resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hooks`;
  }

  /** Resolves when it has been sent so many requests that fit. */
  async has(count: number, fits: (received: Received) => boolean = () => true): Promise<readonly Received[]> {
    for (;;) {
      const found = this.all.filter(fits);
      if (found.length >= count) return found;
      await new Promise<void>((resolve) => {
        const notify = (): void => {
          this.#waiting.delete(notify);
          resolve();
        };
        this.#waiting.add(notify);
      });
    }
  }

  /** What a request says, if it is what the runtime has sent. */
  verified(received: Received, options: Partial<VerifyWebhookOptions> = {}): Promise<VerifiedWebhook> {
    const sentAt = Number(received.headers["webhook-timestamp"]) * 1000;
    return verifyWebhook(received, { secret: this.secret, now: sentAt, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
