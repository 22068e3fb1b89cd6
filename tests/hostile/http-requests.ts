/** Requests over HTTP that are refused, for every host of it, with their statuses. */
import { gzipSync } from "node:zlib";

/** What reads the request first, and therefore what can be wrong with it. */
export type HttpHostKind = "HTTP/1.1" | "HTTP/2" | "Fetch" | "Bun";
export const HTTP_HOST_KINDS: readonly HttpHostKind[] = ["HTTP/1.1", "HTTP/2", "Fetch", "Bun"];

export interface BadRequest {
  readonly name: string;
  /** Default: POST. */
  readonly method?: string;
  /** `{connection}`: where one is that is open. Default: /arcp/http. */
  readonly path?: string;
  /** In addition to, or by name in the place of `Host`, `Authorization` and `Content-Type`; `undefined` leaves one out. */
  readonly headers?: readonly (readonly [name: string, value: string | undefined])[];
  readonly body?: string | Buffer;
  /** The length to announce, if more is to come than `body`, which never does. */
  readonly announcedBytes?: number;
  /** Changes the text of the request: where something is wrong that no HTTP client can say. */
  readonly text?: (request: string) => string;
  /** {@link RESET}: HTTP/2 breaks its stream off. */
  readonly status: number;
  /** Of hosts that see it otherwise. `null`: it cannot be said there. */
  readonly at?: Partial<Record<HttpHostKind, number | null>>;
}

const MIB = 1024 * 1024;
const many = (count: number) => Array.from({ length: count }, (_, n) => [`x-${n}`, "a"] as const);
const GET = { method: "GET", body: "" } as const;
export const RESET = 0;
/** Only bytes can say it; a request of the Fetch standard that was made of them does not show it. */
const IN_BYTES = { "HTTP/2": null } as const;

const HELLO = JSON.stringify({
  ...{ arcp: "1.1", id: "msg_hello", type: "session.hello" },
  payload: { client: { name: "test", version: "1" }, capabilities: { encodings: ["json"], features: [] } },
});
export const OPENING = HELLO;

export const BAD_REQUESTS: readonly BadRequest[] = [
  // Who asks, and from where.
  { name: "a foreign Host", headers: [["host", "evil.test"]], status: 421 },
  { name: "a Host that begins like ours", headers: [["host", "localhost.evil.test"]], status: 421 },
  {
    name: "two Hosts",
    headers: [
      ["host", "localhost"],
      ["Host", "evil.test"],
    ],
    ...{ status: 400, at: IN_BYTES },
  },
  { name: "no Host", headers: [["host", undefined]], status: 400, at: IN_BYTES },
  {
    name: "HTTP/1.0 without a Host",
    headers: [["host", undefined]],
    text: (request) => request.replace("HTTP/1.1", "HTTP/1.0"),
    ...{ status: 400, at: IN_BYTES },
  },
  { name: "a foreign Origin", headers: [["origin", "https://evil.test"]], status: 403 },
  { name: "the Origin null", headers: [["origin", "null"]], status: 403 },
  { name: "cookies and no Origin", headers: [["cookie", "session=1"]], status: 403 },
  {
    name: "a preflight of a foreign page",
    ...{ method: "OPTIONS", body: "", status: 403 },
    headers: [
      ["origin", "https://evil.test"],
      ["access-control-request-method", "POST"],
    ],
  },
  // Credentials.
  { name: "no credentials", headers: [["authorization", undefined]], status: 401 },
  { name: "a token that nobody has", headers: [["authorization", "Bearer guessed"]], status: 401 },
  { name: "a token in other letters", headers: [["authorization", "Bearer ALICE"]], status: 401 },
  { name: "another scheme", headers: [["authorization", "Basic YWxpY2U6"]], status: 401 },
  {
    name: "a header that speaks for a certificate",
    headers: [
      ["authorization", undefined],
      ["x-forwarded-client-cert", "Subject=alice"],
    ],
    status: 401,
  },
  {
    name: "two Authorizations",
    headers: [
      ["authorization", "Bearer alice"],
      ["Authorization", "Bearer bob"],
    ],
    ...{ status: 400, at: IN_BYTES },
  },
  // How it is sent.
  { name: "2,500 headers", headers: many(2_500), status: 431, at: { "HTTP/2": RESET } },
  { name: "a header of 20 KiB", headers: [["x-big", "a".repeat(20 * 1024)]], status: 431 },
  {
    name: "a header of 15 KiB, and another one",
    headers: [
      ["x-a", "a".repeat(15 * 1024)],
      ["x-b", "b".repeat(2 * 1024)],
    ],
    status: 431,
  },
  {
    name: "two kinds of length",
    headers: [
      ["transfer-encoding", "chunked"],
      ["content-length", "5"],
    ],
    ...{ status: 400, at: IN_BYTES },
  },
  {
    name: "two lengths",
    headers: [
      ["content-length", "5"],
      ["Content-Length", "6"],
    ],
    status: 400,
    at: IN_BYTES,
  },
  { name: "a folded header", headers: [["x-folded", "a\r\n b"]], status: 400, at: IN_BYTES },
  {
    name: "bare line feeds",
    text: (request) => request.replaceAll("\r\n", "\n"),
    ...{ status: 400, at: { ...IN_BYTES, Bun: 505 } },
  },
  { name: "another method", method: "PUT", status: 405 },
  { name: "a GET of what has effects", ...GET, status: 405 },
  {
    name: "a method in a header",
    path: "{connection}",
    ...GET,
    headers: [["x-http-method-override", "DELETE"]],
    status: 405,
  },
  // What is sent.
  { name: "a form of a page", headers: [["content-type", "text/plain"]], status: 415 },
  { name: "an encoded form", headers: [["content-type", "application/x-www-form-urlencoded"]], status: 415 },
  { name: "a compressed body", headers: [["content-encoding", "gzip"]], body: gzipSync(HELLO), status: 415 },
  {
    name: "1 KiB that inflates to 1 MiB",
    headers: [["content-encoding", "gzip"]],
    ...{ body: gzipSync("a".repeat(MIB)), status: 415 },
  },
  { name: "a body of more than 1 MiB", body: "{", announcedBytes: MIB + 1, status: 413 },
  { name: "a body that is not UTF-8", body: Buffer.from([0x22, 0xc0, 0xae, 0x22]), status: 400 },
  { name: "no body", body: "", status: 400 },
  { name: "no JSON", body: "hello", status: 400 },
  { name: "JSON of 100 levels", body: `${"[".repeat(100)}${"]".repeat(100)}`, status: 400 },
  { name: "a member twice", body: HELLO.replace('"arcp"', '"type":"session.hello","arcp"'), status: 400 },
  { name: "__proto__", body: HELLO.replace('"payload":{', '"payload":{"__proto__":{"role":"admin"},'), status: 400 },
  { name: "two envelopes in one", body: `${HELLO}${HELLO}`, status: 400 },
  { name: "a submission before hello", body: HELLO.replace("session.hello", "job.submit"), status: 400 },
  // Connections of others.
  { name: "a connection that is not there", path: "/arcp/http/guessed", status: 404 },
  { name: "somebody else's connection", path: "{connection}", headers: [["authorization", "Bearer bob"]], status: 404 },
  { name: "a connection without a word", path: "{connection}", headers: [["authorization", undefined]], status: 401 },
  {
    name: "events of a connection without a word",
    path: "{connection}/events",
    headers: [["authorization", undefined]],
    ...{ ...GET, status: 401 },
  },
  {
    name: "a Last-Event-ID of another session",
    path: "{connection}/events",
    headers: [["last-event-id", "5000"]],
    ...{ ...GET, status: 410 },
  },
  {
    name: "a Last-Event-ID of the other wire",
    path: "{connection}/events",
    headers: [["last-event-id", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV"]],
    ...{ ...GET, status: 400 },
  },
  {
    name: "a Last-Event-ID that is none",
    path: "{connection}/events",
    headers: [["last-event-id", "-1"]],
    ...{ ...GET, status: 400 },
  },
  { name: "a path below one of ours", path: "{connection}/events/more", ...GET, status: 405 },
  // REST.
  { name: "REST: no credentials", path: "/v1/jobs", ...GET, headers: [["authorization", undefined]], status: 401 },
  { name: "REST: a job of nobody", path: "/v1/jobs/job_x", ...GET, status: 404 },
  { name: "REST: a path with an encoded slash", path: "/v1/jobs/..%2f..%2fx", ...GET, status: 404 },
  { name: "REST: a path that is not UTF-8", path: "/v1/jobs/%c0%ae", ...GET, status: 400 },
  {
    name: "REST: a member that is not known",
    path: "/v1/jobs",
    body: '{"agent":"echo","principal":"alice"}',
    status: 400,
  },
  { name: "REST: a query that is not known", path: "/v1/jobs?access_token=alice", ...GET, status: 400 },
  {
    name: "REST: a form of a page",
    path: "/v1/jobs",
    headers: [["content-type", "text/plain"]],
    body: "{}",
    status: 415,
  },
  {
    name: "REST: an Idempotency-Key of 300 characters",
    ...{ path: "/v1/jobs", body: '{"agent":"echo"}', headers: [["idempotency-key", "k".repeat(300)]], status: 400 },
  },
  {
    name: "REST: a Last-Event-ID that is none",
    path: "/v1/jobs/job_x/events",
    headers: [["last-event-id", "msg_1"]],
    ...{ ...GET, status: 400 },
  },
  { name: "REST: a cancel by GET", path: "/v1/jobs/job_x/cancel", ...GET, status: 405 },
];

/** What a host of this kind answers; `undefined` where it cannot be said. */
export const statusAt = ({ status, at }: BadRequest, kind: HttpHostKind): number | undefined => {
  const other = at?.[kind];
  return other === null ? undefined : (other ?? status);
};
