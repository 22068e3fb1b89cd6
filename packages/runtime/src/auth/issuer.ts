/** Requests to who issues credentials: to one address, without redirects, bounded in time and size. */
import { type Clock, isLoopbackHost, type JsonObject } from "@arcp/core";
import { Agent, type Dispatcher } from "undici";
import { callUpstream } from "../engine/credentials/upstream-call.ts";

/** What an issuer answered is of no use, or it did not answer. Says nothing about the credential. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/** Below the time that a verification has. */
export const ISSUER_TIMEOUT_MS = 4_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export interface IssuerOptions {
  readonly url: URL | string;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

export class Issuer {
  readonly #url: URL;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Of its own: the environment names no proxy for it. Beyond the time-out only an address that never answers gets here. */
  readonly #agent: Agent;

  /** @throws TypeError for a URL that is not `https:`, or `http:` within this machine. */
  constructor({ url, clock, timeoutMs }: IssuerOptions) {
    this.#url = issuerUrl(url);
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    const socketMs = timeoutMs * 2;
    this.#agent = new Agent({ connect: { timeout: socketMs }, headersTimeout: socketMs, bodyTimeout: socketMs });
  }

  /**
   * The JSON object of an answer with status 200.
   *
   * @throws IssuerError for any other answer, TimeoutError for none in time.
   */
  async ask(
    request: Pick<Dispatcher.RequestOptions, "method" | "body"> & {
      readonly headers?: Readonly<Record<string, string>>;
    },
    signal?: AbortSignal,
  ): Promise<JsonObject> {
    const limits = { clock: this.#clock, timeoutMs: this.#timeoutMs, ...(signal && { signal }) };
    return callUpstream((stop) => this.#ask(request, stop), limits).answer;
  }

  async #ask(
    request: Pick<Dispatcher.RequestOptions, "method" | "body"> & {
      readonly headers?: Readonly<Record<string, string>>;
    },
    signal: AbortSignal,
  ): Promise<JsonObject> {
    const { origin, pathname, search } = this.#url;
    const response = await this.#agent.request({
      ...request,
      ...{ origin, path: `${pathname}${search}`, signal },
      headers: { accept: "application/json", "accept-encoding": "identity", ...request.headers },
    });
    const text = await textOf(response);
    if (response.statusCode !== 200) throw new IssuerError(`the issuer answered with HTTP ${response.statusCode}`);
    return objectIn(text);
  }
}

function issuerUrl(text: URL | string): URL {
  const url = URL.parse(text.toString());
  if (url === null || url.username !== "" || url.password !== "" || url.hash !== "")
    throw new TypeError("the address of an issuer is a URL without a user and a fragment");
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopbackHost(url.hostname))) return url;
  throw new TypeError(`${url.origin} cannot be trusted to be the issuer: use https`);
}

async function textOf({ body }: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new IssuerError("the issuer's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function objectIn(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new IssuerError("the issuer's answer is no JSON", { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new IssuerError("the issuer's answer is no JSON object");
}
