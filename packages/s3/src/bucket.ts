/** Requests to one bucket: signed, given a time limit, and made again while the service is not there for a moment. */
import { createHash } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import { text } from "node:stream/consumers";
import { AwsV4Signer } from "aws4fetch";
import { element, isFault, S3Error } from "./answers.ts";
import type { SettledOptions } from "./options.ts";

export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Without the prefix. Default: the bucket itself. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Ends the answer, too, while it is read. */
  readonly signal?: AbortSignal;
}

/** Between two attempts. */
const RETRY_MS = [50, 200, 800] as const;

export class Bucket {
  readonly #options: SettledOptions;
  readonly #protocol: typeof http | typeof https;
  readonly #agent: http.Agent;
  /** Keys that were derived from credentials. */
  readonly #derived = new Map<string, ArrayBuffer>();

  constructor(options: SettledOptions) {
    this.#options = options;
    this.#protocol = options.root.startsWith("https:") ? https : http;
    this.#agent = new this.#protocol.Agent({ keepAlive: true });
  }

  get prefix(): string {
    return this.#options.prefix;
  }

  /** Resolves when the answer begins. Rejects with {@link S3Error}, or with what the network fails with. */
  send(request: S3Request): Promise<http.IncomingMessage> {
    return this.#again(request, async (answer) => answer);
  }

  /** The whole answer, which is short. */
  ask(request: S3Request): Promise<string> {
    return this.#again(request, text);
  }

  /** Ends every connection, and what is under way on it. */
  close(): void {
    this.#agent.destroy();
  }

  async #again<Result>(request: S3Request, take: (answer: http.IncomingMessage) => Promise<Result>): Promise<Result> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await this.#once(request, take);
      } catch (error) {
        const delayMs = RETRY_MS[failures];
        const mayPass = error instanceof S3Error ? error.mayPass : !isFault(error);
        if (!mayPass || delayMs === undefined || request.signal?.aborted) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random() / 2)));
      }
    }
  }

  async #once<Result>(request: S3Request, take: (answer: http.IncomingMessage) => Promise<Result>): Promise<Result> {
    const limit = new AbortController();
    const late = (): void => limit.abort(new Error("the store did not answer in time"));
    const timer = setTimeout(late, this.#options.timeoutMs);
    try {
      const answer = await this.#answer(request, limit.signal);
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return await take(answer);
      throw new S3Error(status, element(await text(answer), "Code") ?? "");
    } finally {
      clearTimeout(timer);
    }
  }

  /** Node's own client: that of `fetch` ends the process when a server hangs up on whoever reads slowly (nodejs/undici#5360). */
  async #answer(request: S3Request, limit: AbortSignal): Promise<http.IncomingMessage> {
    const { method, body, signal } = request;
    const { url, headers } = await this.#signed(request);
    const stop = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    stop.throwIfAborted();
    const terms = { method, headers: Object.fromEntries(headers), agent: this.#agent };
    return new Promise((resolve, reject) => {
      // Not as an option of the request: its connection goes on to others, and would be ended by that signal, too.
      let end = (): void => void sent.destroy(stop.reason);
      const onStop = (): void => end();
      const sent = this.#protocol.request(url, terms, (answer) => {
        end = () => void answer.destroy();
        answer.once("end", () => stop.removeEventListener("abort", onStop));
        // Whoever reads it hears of that; what nobody reads any more may end as it likes.
        answer.on("error", () => {});
        resolve(answer);
      });
      stop.addEventListener("abort", onStop, { once: true });
      sent.on("error", reject).end(body);
    });
  }

  async #signed({ method, key, query = {}, headers = {}, body = new Uint8Array() }: S3Request) {
    const { root, prefix, region, credentials } = this.#options;
    const url = new URL(key === undefined ? root : `${root}/${prefix}${key}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
    return new AwsV4Signer({
      ...{ url: url.href, method, service: "s3", region, cache: this.#derived, accessKeyId, secretAccessKey },
      headers: {
        ...headers,
        "content-length": String(body.length),
        "x-amz-content-sha256": createHash("sha256").update(body).digest("hex"),
      },
      ...(sessionToken !== undefined && { sessionToken }),
    }).sign();
  }
}
