/** A request as its agent wrote it, read once, and what a redirect makes of it. */
import { InvalidRequestError, PermissionDeniedError } from "@arcp/core";
import type { OperationCost } from "../../engine/operation.ts";
import { type FetchLimits, tooLarge } from "./limits.ts";

export interface HttpRequest {
  readonly method: string;
  /** By name, in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer | undefined;
}

export interface FetchCall {
  readonly request: HttpRequest;
  readonly redirect: "follow" | "manual";
  readonly signal: AbortSignal | undefined;
  readonly cost: OperationCost | undefined;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** One line of bytes. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What is between the runtime and the server. */
const RESERVED_HEADERS =
  /^(?:host|content-length|transfer-encoding|connection|keep-alive|upgrade|http2-settings|te|trailer|expect|proxy-.*)$/;
/** Methods that the fetch standard spells in upper case, however they are written. */
const NORMALIZED_METHOD = /^(?:DELETE|GET|HEAD|OPTIONS|POST|PUT)$/i;
const REFUSED_METHOD = /^(?:CONNECT|TRACE|TRACK)$/i;

const refuse = (reason: string): InvalidRequestError => new InvalidRequestError(`net.fetch: ${reason}`);

/**
 * The URL as text.
 *
 * @throws InvalidRequestError for what is neither a string nor a URL.
 */
export function readUrl(url: unknown): string {
  const text: unknown = url instanceof URL ? url.href : url;
  if (typeof text !== "string") throw refuse("a URL is a string or a URL object");
  return text;
}

/**
 * What `init` asks for. Later changes to it change nothing.
 *
 * @throws InvalidRequestError for a method, header, body or option that is none, is not an agent's to set, or is too large.
 */
export function readInit(init: unknown, limits: FetchLimits): FetchCall {
  if (init !== undefined && (typeof init !== "object" || init === null)) throw refuse("the options are an object");
  const { method, headers, body, redirect = "follow", signal, cost } = (init ?? {}) as Record<string, unknown>;
  if (redirect !== "follow" && redirect !== "manual")
    throw refuse("a redirect is followed or left to the agent (manual)");
  if (signal != null && !(signal instanceof AbortSignal)) throw refuse("the signal is an AbortSignal");
  const request = {
    method: readMethod(method),
    headers: readHeaders(headers, limits.maxRequestHeaderBytes),
    body: readBody(body, limits.maxRequestBytes),
  };
  if (request.body !== undefined && /^(?:GET|HEAD)$/.test(request.method)) throw refuse("GET and HEAD have no body");
  const isText = typeof body === "string";
  return {
    request: { ...request, headers: withDefaults(request.headers, isText) },
    redirect,
    signal: signal ?? undefined,
    // The guard looks at it.
    cost: cost as OperationCost | undefined,
  };
}

function readMethod(method: unknown = "GET"): string {
  if (typeof method !== "string" || method.length > 64 || !TOKEN.test(method)) throw refuse("the method is a token");
  if (REFUSED_METHOD.test(method)) throw refuse("CONNECT, TRACE and TRACK are not for agents");
  return NORMALIZED_METHOD.test(method) ? method.toUpperCase() : method;
}

function readHeaders(headers: unknown = {}, maxBytes: number): Map<string, string> {
  const read = new Map<string, string>();
  let bytes = 0;
  for (const [written, value] of headerEntries(headers)) {
    if (typeof written !== "string" || !TOKEN.test(written)) throw refuse("a header's name is a token");
    const name = written.toLowerCase();
    if (RESERVED_HEADERS.test(name)) throw refuse(`the header ${name} is not an agent's to set`);
    if (typeof value !== "string" || !HEADER_VALUE.test(value)) {
      throw refuse(`the value of the header ${name} is one line of characters up to U+00FF`);
    }
    if (read.has(name)) throw refuse(`the header ${name} is there twice`);
    bytes += name.length + value.length + 4;
    if (bytes > maxBytes) throw tooLarge("maxRequestHeaderBytes", maxBytes);
    read.set(name, value);
  }
  return read;
}

/** As the fetch standard takes them. `Headers`, which clients of APIs write, have joined what was there twice. */
function headerEntries(headers: unknown): Iterable<readonly [unknown, unknown]> {
  if (headers instanceof Headers) return headers;
  if (isRecord(headers)) return Object.entries(headers);
  if (Array.isArray(headers) && headers.every((one) => Array.isArray(one) && one.length === 2)) return headers;
  throw refuse("the headers are Headers, or names and values");
}

/** No instance of a class, which would have other entries than it seems. */
function isRecord(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function readBody(body: unknown, maxBytes: number): Buffer | undefined {
  if (body == null) return undefined;
  if (typeof body !== "string" && !(body instanceof Uint8Array)) throw refuse("the body is text or bytes");
  const size = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  if (size > maxBytes) throw tooLarge("maxRequestBytes", maxBytes);
  return typeof body === "string" ? Buffer.from(body) : Buffer.from(body);
}

function withDefaults(headers: ReadonlyMap<string, string>, isText: boolean): Map<string, string> {
  return new Map([
    ["accept", "*/*"],
    ["accept-encoding", "gzip, br"],
    ["user-agent", "arcp"],
    ...(isText ? ([["content-type", "text/plain;charset=UTF-8"]] as const) : []),
    ...headers,
  ]);
}

const CREDENTIALS: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);
const ABOUT_BODY: ReadonlySet<string> = new Set([
  "content-encoding",
  "content-language",
  "content-location",
  "content-type",
]);

/**
 * The request that follows a redirect with `status` from `from` to `to`, as the fetch standard has it: credentials stay
 * with the origin that they were for.
 *
 * @throws PermissionDeniedError if a body would go to another origin: whom it is for was the agent's decision.
 */
export function redirectedRequest(
  { method, headers, body }: HttpRequest,
  status: number,
  from: URL,
  to: URL,
): HttpRequest {
  const becomesGet =
    status === 303 ? method !== "GET" && method !== "HEAD" : method === "POST" && (status === 301 || status === 302);
  const isElsewhere = from.origin !== to.origin;
  if (isElsewhere && !becomesGet && body !== undefined) {
    throw new PermissionDeniedError("net.fetch: a redirect does not take a body to another origin", {
      details: { capability: "net.fetch", reason: "body_to_another_origin" },
    });
  }
  const kept = [...headers].filter(
    ([name]) => !(isElsewhere && CREDENTIALS.has(name)) && !(becomesGet && ABOUT_BODY.has(name)),
  );
  return { method: becomesGet ? "GET" : method, headers: new Map(kept), body: becomesGet ? undefined : body };
}
