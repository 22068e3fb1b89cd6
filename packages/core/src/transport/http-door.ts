/** What every request over HTTP passes, whichever part of the runtime it is for: who may ask, how much, and in which time. */
import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Readable, Writable } from "node:stream";
import { ARCPError, ERROR_FACTS, isErrorCode, UnauthenticatedError } from "../errors.ts";
import { type ClientCertificate, certificateOf } from "./client-certificate.ts";
import { isLoopbackHost, type TransportPeer } from "./transport.ts";
import {
  bearerTokenOf,
  FORWARDING_HEADERS,
  hostnameOf,
  isFromTlsProxy,
  isInsideMachine,
  isLoopbackAddress,
  refuseUpgrade,
  type TlsProxyRule,
} from "./upgrade-rules.ts";

/** A request as Node has it, of HTTP/1 or of HTTP/2, or one that was made of a request of the Fetch standard. */
export interface HttpRequest extends Readable {
  readonly method?: string | undefined;
  /** The request's target. */
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  /** Has the body arrived as a whole? */
  readonly complete: boolean;
  readonly socket: {
    readonly remoteAddress?: string | undefined;
    readonly localAddress?: string | undefined;
    /** Of TLS. */
    readonly encrypted?: boolean | undefined;
    /** Where the host that ends TLS tells it. */
    readonly clientCertificate?: ClientCertificate | undefined;
  };
}

/** An answer as Node has it, of HTTP/1 or of HTTP/2, or one that becomes a response of the Fetch standard. */
export interface HttpResponse extends Writable {
  statusCode: number;
  readonly headersSent: boolean;
  readonly req: { readonly httpVersionMajor: number };
  setHeader(name: string, value: string): unknown;
}

/** Whose requests {@link HttpDoor} lets in: by their `Host`, their `Origin`, their size. */
export interface HttpDoorOptions {
  /**
   * Names that the `Host` header may carry, with or without a port; against DNS rebinding. Default: for connections to the
   * loopback interface its own names, for others any.
   */
  readonly allowedHosts?: readonly string[] | "any";
  /** Origins of pages that may ask, beside those that this very host serves (CORS). Default: none. */
  readonly allowedOrigins?: readonly string[];
  /** Takes plain `http://` from other machines. What they send and get can be read on the way. Default: false. */
  readonly allowInsecure?: boolean;
  /**
   * Plain connections come from a proxy that speaks TLS with the clients, all of them or those from certain addresses: they
   * are taken for confidential. Default: false.
   */
  readonly isBehindTlsProxy?: TlsProxyRule;
  /** The client's address, where a proxy that is trusted tells it. Default: that of the connection; no header counts. */
  readonly remoteAddressOf?: (request: HttpRequest) => string | undefined;
  /** Tells by which certificate a client is known, if the server's TLS settings ask for one. Default: false. */
  readonly usesClientCertificates?: boolean;
  /** Milliseconds that a body may take to arrive. Default: 10,000. */
  readonly bodyTimeoutMs?: number;
}

/** Why a request is not carried out, where no code of the protocol says it. */
export class HttpRefusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

const BODY_TIMEOUT_MS = 10_000;
const MAX_HEADERS = 100;
const MAX_HEADER_CHARS = 16 * 1024;
const PREFLIGHT_SECONDS = "600";
/** What pages may send, and read. */
const REQUEST_HEADERS = "authorization, content-type, last-event-id, arcp-connection-key, idempotency-key, traceparent";
const RESPONSE_HEADERS = "location, arcp-connection-key, retry-after, etag";

/**
 * What every request over HTTP passes first: who may ask from where, and how much may be said. Refusals are answered
 * here.
 */
export class HttpDoor {
  readonly #options: HttpDoorOptions;

  constructor(options: HttpDoorOptions) {
    this.#options = options;
  }

  /**
   * Who asks, if they may. Otherwise the request has been answered: refused, or it was a page's question whether it may
   * (CORS), and `undefined` is returned. `methods` are what there is at this path.
   */
  admit(request: HttpRequest, response: HttpResponse, methods: readonly string[]): TransportPeer | undefined {
    try {
      const peer = this.#check(request);
      this.#setCors(request, response);
      if (request.method === "OPTIONS") {
        writeHead(response, 204, {
          allow: methods.join(", "),
          "access-control-allow-methods": methods.join(", "),
          "access-control-allow-headers": REQUEST_HEADERS,
          "access-control-max-age": PREFLIGHT_SECONDS,
        });
        response.end();
        return undefined;
      }
      if (methods.includes(request.method ?? "")) return peer;
      throw new HttpRefusal(405, "there is no such method here", { allow: methods.join(", ") });
    } catch (error) {
      sendProblem(request, response, error);
      return undefined;
    }
  }

  /**
   * The body, which must be whole within the time and no longer than `maxBytes`.
   *
   * @throws HttpRefusal 408, 413, 415.
   */
  async body(request: HttpRequest, maxBytes: number): Promise<Buffer> {
    const encoding = request.headers["content-encoding"] ?? "identity";
    if (encoding !== "identity") throw new HttpRefusal(415, "bodies are taken as they are, without compression");
    const tooLarge = (): HttpRefusal =>
      new HttpRefusal(413, `a body may have ${maxBytes} bytes`, { connection: "close" });
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const pieces: Buffer[] = [];
    let length = 0;
    const timer = setTimeout(
      () => reject(new HttpRefusal(408, "the body took too long", { connection: "close" })),
      this.#options.bodyTimeoutMs ?? BODY_TIMEOUT_MS,
    );
    const take = (piece: Buffer): void => {
      length += piece.length;
      if (length > maxBytes) reject(tooLarge());
      else pieces.push(piece);
    };
    const stop = (): void => reject(new HttpRefusal(400, "the body was cut off"));
    request.on("data", take);
    request.once("end", () => resolve(Buffer.concat(pieces)));
    request.once("close", stop);
    request.once("error", stop);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      request.off("data", take);
      request.off("close", stop);
    }
  }

  #check(request: HttpRequest): TransportPeer {
    const { allowInsecure = false, usesClientCertificates, remoteAddressOf } = this.#options;
    const { headers, rawHeaders, socket } = request;
    const chars = rawHeaders.reduce((sum, text) => sum + text.length, 0);
    if (rawHeaders.length > 2 * MAX_HEADERS || chars > MAX_HEADER_CHARS) throw new HttpRefusal(431, "too many headers");
    const hosts = [...valuesOf(rawHeaders, ":authority"), ...valuesOf(rawHeaders, "host")];
    const path = pathOf(request);
    const refusal = refuseUpgrade(
      {
        ...{ path, hosts: [...new Set(hosts)], origin: headers.origin, hasCookies: headers.cookie !== undefined },
        isLocal: isLoopbackAddress(socket.localAddress),
      },
      { ...this.#options, paths: new Set([path]) },
    );
    if (refusal !== undefined) throw new HttpRefusal(refusal.status, refusal.reason);
    if (valuesOf(rawHeaders, "authorization").length > 1)
      throw new HttpRefusal(400, "expected one Authorization header");
    const isEncrypted =
      socket.encrypted === true || isFromTlsProxy(this.#options.isBehindTlsProxy, socket.remoteAddress);
    // Where the host does not tell the address, the name that was asked for has to do.
    const isFromHere =
      socket.remoteAddress === undefined
        ? isLoopbackHost(hostnameOf(hosts[0] ?? ""))
        : isLoopbackAddress(socket.remoteAddress);
    if (!isEncrypted && !allowInsecure && !isFromHere) {
      throw new HttpRefusal(403, "connections from other machines need TLS: see isBehindTlsProxy, allowInsecure");
    }
    const isForwarded = FORWARDING_HEADERS.some((name) => name in headers);
    const isInside = isInsideMachine(socket.remoteAddress, hosts[0], isForwarded);
    const bearerToken = bearerTokenOf(headers.authorization);
    if (headers.authorization !== undefined && bearerToken === undefined) {
      throw new UnauthenticatedError("expected Authorization: Bearer");
    }
    return {
      kind: "http",
      isConfidential: isEncrypted || isInside,
      remoteAddress: remoteAddressOf?.(request) ?? socket.remoteAddress ?? "",
      ...(socket.clientCertificate ?? (usesClientCertificates === true ? certificateOf(socket) : undefined)),
      ...(bearerToken !== undefined && { bearerToken }),
    };
  }

  /** Only pages that were named are told that they may read the answer; never with cookies. */
  #setCors({ headers: { origin } }: HttpRequest, response: HttpResponse): void {
    if (origin === undefined || !(this.#options.allowedOrigins ?? []).includes(origin)) return;
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", RESPONSE_HEADERS);
    response.setHeader("vary", "origin");
  }
}

/** Everything of a request's target before `?`. */
export const pathOf = (request: HttpRequest): string => (request.url ?? "").split("?")[0] ?? "";

/** The head of an answer, as each kind of it takes it. */
export function writeHead(response: HttpResponse, status: number, headers: Readonly<Record<string, string>>): void {
  const isHttp2 = response.req.httpVersionMajor >= 2;
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) {
    // HTTP/2 has no such header: its streams end by themselves.
    if (!isHttp2 || name !== "connection") response.setHeader(name, value);
  }
}

/** Answers with JSON, which nobody is to keep. */
export function sendJson(
  response: HttpResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  writeHead(response, status, { "content-type": "application/json", "cache-control": "no-store", ...headers });
  response.end(body);
}

/** How problems are named: `urn:arcp:error:` and the code. */
const PROBLEM_TYPE = "urn:arcp:error:";

/** An error as problem details (RFC 9457), with the code of the protocol, and the trace that it belongs to. */
export function problemOf(thrown: unknown, trace?: string): { readonly status: number; readonly body: object } {
  if (thrown instanceof HttpRefusal) {
    const { status, message } = thrown;
    return { status, body: { type: "about:blank", title: message, status, ...(trace !== undefined && { trace }) } };
  }
  const error = ARCPError.from(thrown);
  const { code, message, retryable, details } = error.toWire();
  const status = httpStatusOf(error);
  const body = {
    ...{ type: `${PROBLEM_TYPE}${code}`, title: titleOf(code), status, detail: message, code, retryable },
    ...(details !== undefined && { details }),
    ...(trace !== undefined && { trace }),
  };
  return { status, body };
}

/** Answers with the problem; does nothing if an answer has begun. */
export function sendProblem(request: HttpRequest, response: HttpResponse, thrown: unknown, trace?: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, body } = problemOf(thrown, trace);
  const headers = thrown instanceof HttpRefusal ? thrown.headers : {};
  const challenge = status === 401 ? { "www-authenticate": "Bearer" } : {};
  sendJson(response, status, JSON.stringify(body), {
    ...{ "content-type": "application/problem+json", ...challenge, ...headers },
  });
  // What is left of a body that nobody reads would stand before the next request.
  if (!request.complete) request.resume();
}

const titleOf = (code: string): string => {
  const words = code.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** The status of an error: its code's, or 429 and 503 for what may pass later. */
export function httpStatusOf({ code, details }: Pick<ARCPError, "code" | "details">): number {
  const finer = STATUS_OF_CANONICAL.get(details?.["code"]);
  return finer ?? (isErrorCode(code) ? ERROR_FACTS[code].httpStatus : 500);
}

/** Codes of wire 1.0 (RFC §18.2) that stand beside `INTERNAL_ERROR`, and mean something else on HTTP. */
const STATUS_OF_CANONICAL: ReadonlyMap<unknown, number> = new Map([
  ["RESOURCE_EXHAUSTED", 429],
  ["UNAVAILABLE", 503],
]);

function valuesOf(rawHeaders: readonly string[], name: string): readonly string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}

/** What keys are compared by: equal lengths, and nothing of the key in the time that it takes. */
export const digestOf = (text: string): Buffer => createHash("sha256").update(text).digest();
