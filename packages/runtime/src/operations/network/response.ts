/** A server's answer as a standard Response, the body of which stays within its limits while it is read. */
import { pipeline, type Readable, Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Dispatcher } from "undici";
import { failed, upstreamFailure } from "./failure.ts";
import type { Lifetime } from "./lifetime.ts";
import { type FetchLimits, tooLarge, tooSlow } from "./limits.ts";

/** A response of which the head is there. */
export interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
  readonly body: Readable;
}

/** @throws InternalError for headers that are not HTTP. */
export function readHead({ statusCode, statusText, headers, body }: Dispatcher.ResponseData): Head {
  const read = new Headers();
  try {
    for (const [name, value] of Object.entries(headers)) {
      for (const one of [value ?? []].flat()) read.append(name, one);
    }
  } catch (error) {
    throw failed("protocol", error);
  }
  return { status: statusCode, statusText, headers: read, body };
}

/** Gives up what is left of a response. */
export function discard({ body }: Head): void {
  body.on("error", () => {}); // It was interrupted on purpose.
  body.destroy();
}

export interface ResponseOptions {
  readonly method: string;
  /** Where it came from. */
  readonly url: URL;
  readonly isRedirected: boolean;
  readonly limits: FetchLimits;
  /** Ended when the body has been read, given up or lost. */
  readonly lifetime: Lifetime;
}

/**
 * The Response. Reading its body throws what interrupted it.
 *
 * @throws InvalidRequestError if the body says that it is larger than allowed.
 * @throws InternalError for a status that there is not.
 */
export function responseOf(head: Head, { method, url, isRedirected, limits, lifetime }: ResponseOptions): Response {
  const { status, statusText, headers } = head;
  if (status < 200 || status > 599) throw failed("protocol");
  const hasBody = method !== "HEAD" && status !== 204 && status !== 205 && status !== 304;
  if (hasBody && Number(headers.get("content-length")) > limits.maxResponseBytes) {
    throw tooLarge("maxResponseBytes", limits.maxResponseBytes);
  }
  const body = hasBody ? streamOf(decoded(head, limits.maxResponseBytes), limits, lifetime) : null;
  if (body === null) {
    discard(head);
    lifetime.end();
  }
  const response = new Response(body, { status, statusText, headers });
  const shown = new URL(url);
  shown.hash = "";
  Object.defineProperties(response, { url: { value: shown.href }, redirected: { value: isRedirected } });
  return response;
}

/** Encodings that may lie around each other. */
const MAX_ENCODINGS = 3;

const DECODERS: { readonly [encoding: string]: () => Transform } = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** The body without its encodings. One that is not known leaves it as it is, which its header says. */
function decoded({ headers, body }: Head, maxBytes: number): Readable {
  const encodings = (headers.get("content-encoding") ?? "").toLowerCase().split(",");
  const names = encodings.map((name) => name.trim()).filter((name) => name !== "" && name !== "identity");
  if (names.length > MAX_ENCODINGS) throw failed("encoding");
  const isKnown = names.every((name) => Object.hasOwn(DECODERS, name));
  const decoders = isKnown ? names.reverse().flatMap((name) => DECODERS[name]?.() ?? []) : [];
  // Each stage is measured: what inflates may shrink again.
  const stages = decoders.flatMap((decoder) => [decoder, meter(maxBytes)]);
  // Whoever reads the last stage meets the error.
  return pipeline([body, meter(maxBytes), ...stages], () => {}) as unknown as Readable;
}

function meter(maxBytes: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) done(tooLarge("maxResponseBytes", maxBytes));
      else done(null, chunk);
    },
  });
}

/** Reads from `source` when somebody reads from it. */
function streamOf(source: Readable, limits: FetchLimits, lifetime: Lifetime): ReadableStream<Uint8Array> {
  const { bodyIdleTimeoutMs } = limits;
  const chunks: AsyncIterator<Buffer> = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const lift = lifetime.limit(bodyIdleTimeoutMs, () => tooSlow("bodyIdleTimeoutMs", bodyIdleTimeoutMs));
        try {
          const { done, value } = await chunks.next();
          // What had arrived before an interruption is not handed out after it.
          lifetime.signal.throwIfAborted();
          lift();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(lifetime.signal.aborted ? lifetime.signal.reason : upstreamFailure(error, limits));
        }
        lifetime.end();
      },
      cancel() {
        lifetime.end();
        source.destroy();
      },
    },
    { highWaterMark: 0 },
  );
}
