/**
 * The small REST surface: jobs, questions and artifacts for whoever has HTTP and nothing else. Every request is asked on
 * the wire, by a session in the name of whoever shows the token, so that it may exactly what that session may.
 * `openapi.ts` describes it.
 */
import { randomBytes } from "node:crypto";
import {
  answerFetch,
  CLIENT_FRAME_LIMITS,
  decodeFrame,
  type FetchOrigin,
  HttpDoor,
  type HttpDoorOptions,
  HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  InvalidRequestError,
  type JsonObject,
  parseTraceId,
  pathOf,
  sendJson,
  sendProblem,
  type TransportPeer,
  urlOfRequest,
} from "@arcp/core";
import { MAX_PUT_BYTES, putArtifact, sendArtifact } from "./artifact-bytes.ts";
import type { Accept } from "./caller.ts";
import { Callers } from "./callers.ts";
import { pageOfEvents, streamEvents } from "./event-answers.ts";
import { readJob } from "./job-events.ts";
import { openApiDocument } from "./openapi.ts";

/** What the REST interface serves, and what it says of itself. */
export interface RestOptions extends HttpDoorOptions {
  /** Serves a client on a transport: {@link ARCPServer.accept}. */
  readonly accept: Accept;
  /** Said in the description. */
  readonly version?: string;
}

/** Mounts on any HTTP server of Node, of HTTP/1 or HTTP/2, and wherever requests are those of the Fetch standard. */
export interface RestHandler {
  /** Takes the request, if it is for `/v1/…` or `/openapi.json`; otherwise returns false and has done nothing. */
  handle(request: HttpRequest, response: HttpResponse): boolean;
  /** Is the request for `/v1/…` or `/openapi.json`? Then {@link fetch} answers it. */
  has(request: Request): boolean;
  /**
   * Answers a request of the Fetch standard; 404 if it is for something else. `allowedHosts` is this machine's own names by
   * default, since a request does not tell where the host listens.
   */
  fetch(request: Request, from?: FetchOrigin): Promise<Response>;
  /** Ends the sessions behind it. Idempotent. */
  close(): void;
}

/** What a request is about. */
interface Exchange {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly peer: TransportPeer;
  readonly traceId: string;
  readonly query: URLSearchParams;
  /** The part of the path that varies. */
  readonly id: string;
}

type Route = readonly [pattern: RegExp, methods: Readonly<Record<string, (exchange: Exchange) => Promise<void>>>];

/** A little less than a frame may have: the request becomes one. */
const MAX_JSON_BYTES = CLIENT_FRAME_LIMITS.maxFrameBytes - 4096;
const JOB_MEMBERS = ["agent", "input", "lease_request", "lease_constraints", "max_runtime_sec"];
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,256}$/;

/** The REST surface of a runtime. It needs no framework, and listens to nothing itself. */
export function restApi(options: RestOptions): RestHandler {
  const api = new RestApi(options);
  const handle = (request: HttpRequest, response: HttpResponse): boolean => api.handle(request, response);
  return {
    handle,
    has: (request) => isPath(urlOfRequest(request).pathname),
    fetch: (request, from) => answerFetch(handle, request, from),
    close: () => api.close(),
  };
}

class RestApi {
  readonly #door: HttpDoor;
  readonly #callers: Callers;
  readonly #document: string;
  readonly #routes: readonly Route[];

  constructor(options: RestOptions) {
    this.#door = new HttpDoor(options);
    this.#callers = new Callers(options.accept);
    this.#document = JSON.stringify(openApiDocument(options.version ?? "1"));
    this.#routes = [
      [/^\/openapi\.json$/, { GET: async ({ response }) => sendJson(response, 200, this.#document) }],
      [/^\/v1\/jobs$/, { GET: (exchange) => this.#listJobs(exchange), POST: (exchange) => this.#submit(exchange) }],
      [/^\/v1\/jobs\/(?<id>[^/]{1,128})$/, { GET: (exchange) => this.#job(exchange) }],
      [/^\/v1\/jobs\/(?<id>[^/]{1,128})\/cancel$/, { POST: (exchange) => this.#cancel(exchange) }],
      [/^\/v1\/jobs\/(?<id>[^/]{1,128})\/events$/, { GET: (exchange) => this.#events(exchange) }],
      [/^\/v1\/questions\/(?<id>[^/]{1,128})\/answer$/, { POST: (exchange) => this.#answer(exchange) }],
      [
        /^\/v1\/artifacts\/(?<id>[^/]{1,128})$/,
        { GET: (exchange) => this.#getArtifact(exchange), PUT: (exchange) => this.#putArtifact(exchange) },
      ],
    ];
  }

  handle(request: HttpRequest, response: HttpResponse): boolean {
    const path = pathOf(request);
    if (!isPath(path)) return false;
    const found = this.#routes.find(([pattern]) => pattern.test(path));
    const methods = found?.[1] ?? {};
    const peer = this.#door.admit(
      request,
      response,
      found === undefined ? [request.method ?? ""] : Object.keys(methods),
    );
    if (peer === undefined) return true;
    const traceId = parseTraceId(request.headers["traceparent"])?.traceId ?? randomBytes(16).toString("hex");
    const answer = async (): Promise<void> => {
      const carryOut = methods[request.method ?? ""];
      if (found === undefined || carryOut === undefined) throw new HttpRefusal(404, "there is nothing here");
      const query = new URLSearchParams((request.url ?? "").split("?")[1] ?? "");
      const id = decoded(found[0].exec(path)?.groups?.["id"] ?? "");
      await carryOut({ request, response, peer, traceId, query, id });
    };
    answer().catch((error) => sendProblem(request, response, error, traceId));
    return true;
  }

  close(): void {
    this.#callers.close();
  }

  async #submit(exchange: Exchange): Promise<void> {
    const { request, response, peer, traceId } = exchange;
    const body = await this.#json(request, JOB_MEMBERS);
    const key = request.headers["idempotency-key"];
    if (key !== undefined && !IDEMPOTENCY_KEY.test(String(key))) {
      throw new InvalidRequestError("Idempotency-Key: expected up to 256 printable characters");
    }
    const caller = await this.#callers.of(peer);
    const { traceparent } = request.headers;
    const { payload, trace_id } = await caller.ask(
      "job.submit",
      { ...body, ...(key !== undefined && { idempotency_key: key }) },
      { members: { trace_id: traceId, ...(typeof traceparent === "string" && { traceparent }) } },
    );
    const { request_id: _, ...accepted } = payload;
    const jobId = String(accepted["job_id"]);
    this.#callers.keepFor(peer, jobId);
    sendJson(response, 202, JSON.stringify({ ...accepted, trace_id }), { location: `/v1/jobs/${jobId}` });
  }

  async #listJobs({ response, peer, query }: Exchange): Promise<void> {
    assertKnown(query.keys(), ["status", "agent", "created_after", "created_before", "limit", "cursor"]);
    const caller = await this.#callers.of(peer);
    const status = query.getAll("status");
    const filter = {
      ...(status.length > 0 && { status }),
      ...(query.has("agent") && { agent: query.get("agent") }),
      ...(query.has("created_after") && { created_after: query.get("created_after") }),
      ...(query.has("created_before") && { created_before: query.get("created_before") }),
    };
    const { payload } = await caller.ask("session.list_jobs", {
      filter,
      ...(query.has("limit") && { limit: numberIn(query, "limit", 1) }),
      ...(query.has("cursor") && { cursor: query.get("cursor") }),
    });
    const { jobs, next_cursor } = payload as { readonly jobs: readonly JsonObject[]; readonly next_cursor: unknown };
    sendJson(response, 200, JSON.stringify({ jobs: jobs.map(listed), next_cursor }));
  }

  async #job({ response, peer, id, query }: Exchange): Promise<void> {
    assertKnown(query.keys(), []);
    const { facts, end } = await readJob(this.#callers, peer, id);
    const outcome = end === undefined ? {} : outcomeOf(end.type, end.payload);
    sendJson(response, 200, JSON.stringify({ ...jobOf(facts), ...outcome }));
  }

  async #cancel({ request, response, peer, id }: Exchange): Promise<void> {
    const { reason } = await this.#json(request, ["reason"], "optional");
    const caller = await this.#callers.of(peer);
    await caller.ask("job.cancel", { job_id: id, ...(reason !== undefined && { reason }) });
    sendJson(response, 202, JSON.stringify({ job_id: id }), { location: `/v1/jobs/${id}` });
  }

  async #events({ request, response, peer, id, query }: Exchange): Promise<void> {
    assertKnown(query.keys(), ["after", "limit"]);
    const isStream = /\btext\/event-stream\b/.test(request.headers.accept ?? "");
    const last = request.headers["last-event-id"];
    if (last !== undefined && !/^\d{1,15}$/.test(String(last))) {
      throw new InvalidRequestError("Last-Event-ID: not an id of this stream");
    }
    const after = last === undefined ? numberIn(query, "after", 0, 0) : Number(last);
    if (isStream) {
      await streamEvents(this.#callers, peer, { jobId: id, after, response });
      return;
    }
    const limit = Math.min(numberIn(query, "limit", 1, 100), 1000);
    const { events, isComplete } = await pageOfEvents(this.#callers, peer, { jobId: id, after, limit });
    const next_after = events.at(-1)?.n ?? after;
    sendJson(response, 200, JSON.stringify({ events, next_after, is_complete: isComplete }));
  }

  async #answer({ request, response, peer, id }: Exchange): Promise<void> {
    const body = await this.#json(request, ANSWER_MEMBERS);
    const { kind, granted, ...rest } = body;
    const type =
      kind === "permission" ? (granted === true ? GRANT : granted === false ? DENY : undefined) : ANSWERS.get(kind);
    if (type === undefined) {
      throw new InvalidRequestError("kind: expected input, choice, or permission with granted");
    }
    const caller = await this.#callers.of(peer);
    const { payload } = await caller.ask(type, { request_id: id, ...rest });
    sendJson(response, 200, JSON.stringify({ status: payload["status"] }));
  }

  async #getArtifact({ response, peer, id }: Exchange): Promise<void> {
    await sendArtifact(this.#callers, peer, id, response);
  }

  async #putArtifact({ request, response, peer, id, query }: Exchange): Promise<void> {
    assertKnown(query.keys(), ["ttl_seconds"]);
    const ttlSeconds = query.has("ttl_seconds") ? numberIn(query, "ttl_seconds", 0) : undefined;
    const mediaType = request.headers["content-type"] ?? "application/octet-stream";
    const bytes = await this.#door.body(request, MAX_PUT_BYTES);
    const ref = await putArtifact(this.#callers, peer, { artifactId: id, mediaType, bytes, ttlSeconds });
    sendJson(response, 201, JSON.stringify(ref), { location: `/v1/artifacts/${id}` });
  }

  /** The body, with no members but these. Throws {@link HttpRefusal} and InvalidRequestError. */
  async #json(
    request: HttpRequest,
    members: readonly string[],
    need: "needed" | "optional" = "needed",
  ): Promise<JsonObject> {
    const [mediaType = ""] = (request.headers["content-type"] ?? "").split(";");
    const bytes = await this.#door.body(request, MAX_JSON_BYTES);
    if (bytes.length === 0 && need === "optional") return {};
    if (mediaType.trim().toLowerCase() !== "application/json") throw new HttpRefusal(415, "expected application/json");
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      throw new HttpRefusal(400, "the body is not UTF-8");
    }
    const body = decodeFrame(text, CLIENT_FRAME_LIMITS);
    assertKnown(Object.keys(body), members);
    return body;
  }
}

const isPath = (path: string): boolean => path === "/openapi.json" || path === "/v1" || path.startsWith("/v1/");

const GRANT = "x-vendor.arcp.permission.grant";
const DENY = "x-vendor.arcp.permission.deny";
const ANSWERS: ReadonlyMap<unknown, string> = new Map([
  ["input", "x-vendor.arcp.human.input.response"],
  ["choice", "x-vendor.arcp.human.choice.response"],
]);
const ANSWER_MEMBERS = [
  ...["kind", "value", "choice_id", "granted", "permission", "resource", "operation"],
  ...["lease_seconds", "expires_at", "reason", "responded_by"],
];

function assertKnown(names: Iterable<string>, known: readonly string[]): void {
  for (const name of names) {
    if (known.includes(name)) continue;
    throw new InvalidRequestError(`${name.slice(0, 64)}: not known here`, { details: { known } });
  }
}

function numberIn(query: URLSearchParams, name: string, least: number, byDefault?: number): number {
  const text = query.get(name);
  if (text === null && byDefault !== undefined) return byDefault;
  const value = Number(text);
  if (text !== null && /^\d{1,15}$/.test(text) && value >= least) return value;
  throw new InvalidRequestError(`${name}: expected a whole number from ${least} on`);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpRefusal(400, "the path is not percent-encoded UTF-8");
  }
}

/** Numbers of other sessions mean nothing here. */
const listed = ({ last_event_seq: _, ...job }: JsonObject): JsonObject => job;

function jobOf(facts: JsonObject): JsonObject {
  const { job_id, agent, current_status: status, lease, lease_constraints, budget, parent_job_id, trace_id } = facts;
  return { job_id, agent, status, lease, lease_constraints, budget, parent_job_id, trace_id };
}

function outcomeOf(type: string, { final_status, ...payload }: JsonObject): JsonObject {
  if (type === "job.result") return { status: final_status, result: payload["result"] ?? null, outcome: payload };
  const { code, message, retryable, details } = payload;
  return { status: final_status, error: { code, message, retryable, details } };
}
