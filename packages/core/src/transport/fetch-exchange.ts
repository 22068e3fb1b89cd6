/** Requests of the Fetch standard (https://fetch.spec.whatwg.org) as those of Node, so that one handler answers both. */
import { Readable, Writable } from "node:stream";
import type { ReadableStream as NodeReadableStream } from "node:stream/web";
import type { ClientCertificate } from "./client-certificate.ts";
import type { HttpRequest, HttpResponse } from "./http-door.ts";
import { urlOfRequest } from "./upgrade-rules.ts";

/** What a request of the Fetch standard does not say of itself. */
export interface FetchOrigin {
  /** The client's address, where the host knows it. It counts for limits, and tells who is on this machine. */
  readonly remoteAddress?: string | undefined;
  /** The client's certificate, where the host that ends TLS has verified one and tells it. No header counts as one. */
  readonly clientCertificate?: ClientCertificate | undefined;
}

/** What may wait in the stream that the host reads from. */
const HIGH_WATER_BYTES = 16 * 1024;
/** Statuses whose answers have no body. */
const NULL_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * Has `handle` answer `request`, and resolves with the answer when its head is known; 404 if `handle` does not take it. The
 * body comes as the host reads it: who does not read holds the writer back. A client that goes away ends the exchange.
 */
export function answerFetch(
  handle: (request: HttpRequest, response: HttpResponse) => boolean,
  request: Request,
  from: FetchOrigin = {},
): Promise<Response> {
  const body = bodyOf(request);
  const answer = new FetchAnswer();
  // What nobody has read by then, nobody will.
  answer.once("close", () => body.destroy());
  request.signal.addEventListener("abort", () => answer.leave(), { once: true, signal: answer.over });
  const url = urlOfRequest(request);
  const host = URL.canParse(request.url) ? url.host : undefined;
  const arrived: HttpRequest = Object.assign(body, {
    method: request.method,
    url: `${url.pathname}${url.search}`,
    headers: { ...(host !== undefined && { host }), ...Object.fromEntries(request.headers) },
    rawHeaders: rawHeadersOf(request.headers, host),
    // The host does not say where it listens: only this machine's own names count, unless others are allowed.
    socket: { ...from, localAddress: "127.0.0.1", encrypted: url.protocol === "https:" },
  });
  if (!handle(arrived, answer)) {
    answer.statusCode = 404;
    answer.end();
  }
  return answer.response;
}

function bodyOf(request: Request): Readable & { readonly complete: boolean } {
  const body = request.body === null ? Readable.from([]) : Readable.fromWeb(request.body as NodeReadableStream);
  // A client that breaks off: whoever reads the body hears it by its close.
  body.on("error", () => {});
  return Object.defineProperty(body, "complete", { get: () => body.readableEnded }) as never;
}

/** Two of a name arrive as one; of these, that has to be seen. */
function rawHeadersOf(headers: Headers, host: string | undefined): readonly string[] {
  const own = host === undefined || headers.has("host") ? [] : ["host", host];
  const given = [...headers].flatMap(([name, value]) =>
    (name === "host" || name === "authorization" ? value.split(", ") : [value]).flatMap((single) => [name, single]),
  );
  return [...own, ...given];
}

class FetchAnswer extends Writable implements HttpResponse {
  statusCode = 200;
  /** Like HTTP/2: what concerns the connection is the host's. */
  readonly req = { httpVersionMajor: 2 };
  readonly response: Promise<Response>;
  readonly #headers = new Headers();
  readonly #over = new AbortController();
  readonly #response = Promise.withResolvers<Response>();
  #reader: ReadableStreamDefaultController<Uint8Array> | undefined;
  #hasBegun = false;
  #hasLeft = false;
  /** Called when the host wants more. */
  #wanted: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.response = this.#response.promise;
  }

  get headersSent(): boolean {
    return this.#hasBegun;
  }

  /** Aborts when the exchange is over. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The client has gone: nobody is to be told anything. */
  leave(): void {
    this.#hasLeft = true;
    this.destroy();
  }

  setHeader(name: string, value: string): this {
    this.#headers.set(name, value);
    return this;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#begin("with a body");
    // The host may keep what it was given, and buffers of Node are parts of larger ones.
    this.#reader?.enqueue(new Uint8Array(chunk));
    if ((this.#reader?.desiredSize ?? 0) > 0) done();
    else this.#wanted = done;
  }

  override _final(done: () => void): void {
    this.#begin("without a body");
    this.#reader?.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#over.abort();
    if (!this.writableFinished) {
      this.#begin("without a body");
      // Hosts write errors into their logs.
      if (this.#hasLeft) this.#reader?.close();
      else this.#reader?.error(error ?? new Error("the answer was broken off"));
    }
    done(error);
  }

  #begin(kind: "with a body" | "without a body"): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const init = { status: this.statusCode, headers: this.#headers };
    if (kind === "without a body" || NULL_BODY.has(this.statusCode)) {
      this.#response.resolve(new Response(null, init));
      return;
    }
    const strategy = new ByteLengthQueuingStrategy({ highWaterMark: HIGH_WATER_BYTES });
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reader = controller;
        },
        pull: () => {
          const wanted = this.#wanted;
          this.#wanted = undefined;
          wanted?.();
        },
        cancel: () => {
          this.#reader = undefined;
          this.leave();
        },
      },
      strategy,
    );
    this.#response.resolve(new Response(stream, init));
  }
}
