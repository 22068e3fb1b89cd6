/**
 * Envelopes over plain HTTP, for browsers, proxies and `curl`: what a client says is posted, what it is told comes as
 * Server-Sent Events.
 *
 *   POST   /arcp/http              the first envelope; the answer is the runtime's, and names the connection
 *   POST   /arcp/http/{id}         further envelopes: one, or one per line
 *   GET    /arcp/http/{id}/events  everything that the runtime says, from `Last-Event-ID` on
 *   DELETE /arcp/http/{id}         the end of the connection
 *
 * A stream that is cut ends the connection, as a cut socket does; the next `GET` takes the session up again where
 * `Last-Event-ID` says, by the session's resume token, which is kept here for that.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { type ErrorPayload, InvalidRequestError } from "../errors.ts";
import { decodeFrame, type JsonObject } from "../frame.ts";
import { CLIENT_FRAME_LIMITS } from "../limits.ts";
import { errorFromV10 } from "../v1.0/errors.ts";
import { answerFetch, type FetchOrigin } from "./fetch-exchange.ts";
import {
  digestOf,
  HttpDoor,
  type HttpDoorOptions,
  HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  httpStatusOf,
  pathOf,
  sendJson,
  sendProblem,
  writeHead,
} from "./http-door.ts";
import { HttpStream } from "./http-stream.ts";
import { CLOSE_NORMAL, type Transport, type TransportPeer } from "./transport.ts";
import { urlOfRequest } from "./upgrade-rules.ts";

/** What {@link httpTransport} does with connections, and how many it takes. */
export interface HttpTransportOptions extends HttpDoorOptions {
  /** Called for each connection, and again when its session is taken up by a new stream. */
  readonly onTransport: (transport: Transport, request: HttpRequest) => unknown;
  /** Default: /arcp/http. */
  readonly path?: string;
  /** Bytes of one envelope, and of one body. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  /** Milliseconds between comments that keep a silent stream open. Default: 15,000. */
  readonly keepAliveMs?: number;
  /** Milliseconds that a connection may be without its first reader. Default: 30,000. */
  readonly readerTimeoutMs?: number;
  /** Connections that are remembered at one time, those that wait for another stream among them. Default: 20,000. */
  readonly maxConnections?: number;
  /** The same of one address: one more is refused with 503. Default: 5,000. */
  readonly maxConnectionsPerAddress?: number;
}

/** Mounts on any HTTP server of Node, of HTTP/1 or HTTP/2, and wherever requests are those of the Fetch standard. */
export interface HttpTransportHandler {
  /** Takes the request, if its path is one of these; otherwise returns false and has done nothing. */
  handle(request: HttpRequest, response: HttpResponse): boolean;
  /** Is the request's path one of these? Then {@link fetch} answers it. */
  has(request: Request): boolean;
  /**
   * Answers a request of the Fetch standard; 404 if its path is none of these. `allowedHosts` is this machine's own names by
   * default, since a request does not tell where the host listens. Connections live in this process: every request of one
   * has to come here.
   */
  fetch(request: Request, from?: FetchOrigin): Promise<Response>;
  /** Refuses what comes from now on, and ends every connection with 1001. Their sessions can be resumed. Idempotent. */
  close(): void;
}

/** What is known of one connection, with a stream or without. */
interface Connection {
  readonly id: string;
  /** Of the key that the client was given, and of the Authorization header that it came with. */
  readonly keyDigest: Buffer;
  readonly authDigest: Buffer | undefined;
  /** The certificate that it came with: all of its requests have to. */
  readonly certificate: string | undefined;
  readonly address: string;
  /** Where the client stood when it opened the connection. */
  readonly openedAfter: string;
  stream: HttpStream;
  openedAt: number;
  /** When the last stream ended, if none is open. */
  endedAt: number | undefined;
  session: KnownSession | undefined;
}

/** What takes a session up again. */
interface KnownSession {
  readonly wire: "1.0" | "1.1";
  readonly arcp: string;
  readonly id: string;
  readonly resumeToken: string;
  readonly resumeWindowMs: number;
}

const SWEEP_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;
const READER_TIMEOUT_MS = 30_000;
const RESUME_WINDOW_SECONDS = 600;
const MAX_CONNECTIONS = 20_000;
const MAX_CONNECTIONS_PER_ADDRESS = 5_000;
/** Bodies that wait because the runtime does not read. */
const MAX_WAITING_POSTS = 4;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_REPLACED = 1008;
const OPENING = /^\{[^{]*"type":"session\.(?:welcome|accepted|resumed)"/;
const HEAD_CHARS = 512;
const REFUSED: ReadonlySet<unknown> = new Set(["session.error", "session.rejected"]);

/** Serves connections over HTTP (§4). It needs no framework, and listens to nothing itself. */
export function httpTransport(options: HttpTransportOptions): HttpTransportHandler {
  const endpoint = new HttpEndpoint(options);
  const handle = (request: HttpRequest, response: HttpResponse): boolean => endpoint.handle(request, response);
  return {
    handle,
    has: (request) => endpoint.has(urlOfRequest(request).pathname),
    fetch: (request, from) => answerFetch(handle, request, from),
    close: () => endpoint.close(),
  };
}

class HttpEndpoint {
  readonly #options: HttpTransportOptions;
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #door: HttpDoor;
  readonly #connections = new Map<string, Connection>();
  readonly #bySession = new Map<string, Connection>();
  readonly #perAddress = new Map<string, number>();
  readonly #waitingPosts = new WeakMap<HttpStream, number>();
  readonly #timer: ReturnType<typeof setInterval>;
  #keptAliveAt = performance.now();
  #isClosed = false;

  constructor(options: HttpTransportOptions) {
    this.#options = options;
    this.#path = options.path ?? "/arcp/http";
    this.#maxBytes = options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes;
    this.#door = new HttpDoor(options);
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_MS);
    this.#timer.unref();
  }

  has(path: string): boolean {
    return path === this.#path || path.startsWith(`${this.#path}/`);
  }

  handle(request: HttpRequest, response: HttpResponse): boolean {
    const path = pathOf(request);
    if (!this.has(path)) return false;
    const [id, part, ...more] = path.slice(this.#path.length + 1).split("/");
    const isRoot = path === this.#path;
    const isEvents = part === "events" && more.length === 0;
    const methods = isRoot ? ["POST"] : isEvents ? ["GET"] : ["POST", "DELETE"];
    const peer = this.#door.admit(request, response, methods);
    if (peer === undefined) return true;
    const answer = async (): Promise<void> => {
      if (this.#isClosed) throw new HttpRefusal(503, "the server is shutting down", { "retry-after": "1" });
      if (isRoot) return this.#open(request, response, peer);
      if (part !== undefined && !isEvents) throw new HttpRefusal(404, "there is nothing here");
      const connection = this.#authorised(request, id ?? "", peer);
      if (isEvents) return this.#follow(connection, request, response, peer);
      if (request.method === "POST") return this.#post(connection, request, response);
      this.#forget(connection);
      connection.stream.close(CLOSE_NORMAL, "");
      writeHead(response, 204, {});
      response.end();
    };
    answer().catch((error) => sendProblem(request, response, error));
    return true;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const { stream } of this.#connections.values()) stream.close(CLOSE_GOING_AWAY, "the server is shutting down");
    this.#connections.clear();
    this.#perAddress.clear();
    this.#bySession.clear();
  }

  /** The first envelope makes a connection; the answer to it is what the runtime says first. */
  async #open(request: HttpRequest, response: HttpResponse, peer: TransportPeer): Promise<void> {
    const address = peer.remoteAddress ?? "";
    this.#assertRoom(address);
    const [frame] = await this.#frames(request, "one");
    const key = randomBytes(32).toString("base64url");
    const { authorization } = request.headers;
    const connection: Connection = {
      id: randomBytes(16).toString("base64url"),
      keyDigest: digestOf(key),
      authDigest: authorization === undefined ? undefined : digestOf(authorization),
      ...{ certificate: peer.certificateFingerprint, address },
      openedAfter: openedAfter(frame),
      stream: new HttpStream(peer, (sent) => this.#note(connection, sent)),
      ...{ openedAt: performance.now(), endedAt: undefined, session: undefined },
    };
    // Others may have come while the body did.
    this.#assertRoom(address);
    this.#connections.set(connection.id, connection);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    response.once("close", () => {
      if (!response.writableFinished) this.#forget(connection, "the client is gone");
    });
    const first = await this.#begin(connection, connection.stream, request, frame);
    const { type, payload } = headOf(first);
    if (REFUSED.has(type)) {
      this.#forget(connection);
      const status = httpStatusOf(errorFromV10(payload as ErrorPayload));
      sendJson(response, status, first, status === 401 ? { "www-authenticate": "Bearer" } : {});
      return;
    }
    sendJson(response, 201, first, { location: `${this.#path}/${connection.id}`, "arcp-connection-key": key });
  }

  #assertRoom(address: string): void {
    const { maxConnections = MAX_CONNECTIONS, maxConnectionsPerAddress = MAX_CONNECTIONS_PER_ADDRESS } = this.#options;
    const isFull = this.#connections.size >= maxConnections;
    if (!isFull && (this.#perAddress.get(address) ?? 0) < maxConnectionsPerAddress) return;
    throw new HttpRefusal(503, "too many connections", { "retry-after": "5" });
  }

  /** Hands a new transport to the runtime, with the frame that it begins with. Resolves with the first answer. */
  async #begin(connection: Connection, stream: HttpStream, request: HttpRequest, frame: string): Promise<string> {
    void stream.closed.then(() => {
      if (connection.stream === stream) connection.endedAt = performance.now();
    });
    try {
      await this.#options.onTransport(stream, request);
    } catch {
      // Who threw it knows; the client is told that there is nobody.
      stream.abort("the connection was not accepted");
    }
    stream.receive(frame);
    const first = await stream.firstFrame();
    if (first !== undefined) return first;
    if (connection.stream === stream) this.#forget(connection);
    const { code, reason } = await stream.closed;
    if (code === CLOSE_GOING_AWAY) throw new HttpRefusal(503, reason, { "retry-after": "1" });
    throw new InvalidRequestError(reason === "" ? "the runtime did not answer" : reason);
  }

  async #post(connection: Connection, request: HttpRequest, response: HttpResponse): Promise<void> {
    const frames = await this.#frames(request, "many");
    const { stream } = connection;
    if (stream.isClosed) throw new HttpRefusal(409, "the event stream was cut: open it again first");
    const waiting = this.#waitingPosts.get(stream) ?? 0;
    if (waiting >= MAX_WAITING_POSTS) throw new HttpRefusal(429, "the runtime is busy", { "retry-after": "1" });
    this.#waitingPosts.set(stream, waiting + 1);
    try {
      for (const frame of frames) {
        await stream.accepting();
        stream.receive(frame);
      }
    } finally {
      this.#waitingPosts.set(stream, (this.#waitingPosts.get(stream) ?? 1) - 1);
    }
    writeHead(response, 202, {});
    response.end();
  }

  /** The first reader gets what was kept. Later ones get the session anew, from where they say that they are. */
  async #follow(
    connection: Connection,
    request: HttpRequest,
    response: HttpResponse,
    peer: TransportPeer,
  ): Promise<void> {
    const after = request.headers["last-event-id"]?.toString() ?? connection.openedAfter;
    const { stream: before } = connection;
    if (!before.isClosed && !before.hasReader && after === connection.openedAfter) {
      before.attach(response);
      return;
    }
    const { session } = connection;
    if (session === undefined) throw new HttpRefusal(409, "the session is not open yet");
    const frame = resumeFrame(session, after);
    const stream: HttpStream = new HttpStream(peer, (sent) => {
      if (connection.stream === stream) this.#note(connection, sent);
    });
    const first = await this.#begin(connection, stream, request, frame);
    const { type, payload } = headOf(first);
    if (REFUSED.has(type)) {
      throw errorFromV10(payload as ErrorPayload);
    }
    connection.stream = stream;
    connection.endedAt = undefined;
    this.#note(connection, first);
    before.close(CLOSE_REPLACED, "another stream took its place");
    if (response.destroyed) stream.abort("the reader is gone");
    else stream.attach(response, [first]);
    if (stream.isClosed) connection.endedAt = performance.now();
  }

  /** The frames of a body: one envelope, or one per line. */
  async #frames(request: HttpRequest, count: "one" | "many"): Promise<[string, ...string[]]> {
    const [mediaType = ""] = (request.headers["content-type"] ?? "application/json").split(";");
    const isLines = mediaType.trim().toLowerCase() === "application/x-ndjson";
    if (!isLines && mediaType.trim().toLowerCase() !== "application/json") {
      throw new HttpRefusal(415, "expected application/json, or application/x-ndjson");
    }
    const body = await this.#door.body(request, this.#maxBytes);
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    } catch {
      throw new HttpRefusal(400, "the body is not UTF-8");
    }
    const [first, ...rest] =
      isLines && count === "many" ? text.split("\n").filter((line) => line.trim() !== "") : [text];
    // What is no envelope is answered by the session, if there is one.
    const isNothing = count === "one" && first?.trim() === "";
    if (first === undefined || isNothing) throw new HttpRefusal(400, "expected an envelope");
    return [first, ...rest];
  }

  /** @throws HttpRefusal if there is no such connection, or it is somebody else's. */
  #authorised(request: HttpRequest, id: string, peer: TransportPeer): Connection {
    const connection = this.#connections.get(id);
    const key = request.headers["arcp-connection-key"];
    const { authorization } = request.headers;
    const isKnown =
      connection !== undefined &&
      connection.certificate === peer.certificateFingerprint &&
      ((typeof key === "string" && timingSafeEqual(digestOf(key), connection.keyDigest)) ||
        (connection.authDigest !== undefined &&
          authorization !== undefined &&
          timingSafeEqual(digestOf(authorization), connection.authDigest)));
    if (isKnown) return connection;
    if (key === undefined && authorization === undefined) {
      const headers = { "www-authenticate": "Bearer" };
      throw new HttpRefusal(401, "expected the Authorization of the connection, or its Arcp-Connection-Key", headers);
    }
    // Whether there is one is nobody else's matter.
    throw new HttpRefusal(404, "there is no such connection");
  }

  /** Remembers what the session is taken up again with. */
  #note(connection: Connection, frame: string): void {
    if (!isOpening(frame)) return;
    const { type, arcp, session_id, payload } = headOf(frame);
    const { resume_token, resume_window_sec, session_id: named } = payload as JsonObject;
    const id = String(session_id ?? named);
    if (typeof resume_token !== "string") return;
    connection.session = {
      wire: type === "session.welcome" ? "1.1" : "1.0",
      ...{ arcp: String(arcp), id, resumeToken: resume_token },
      resumeWindowMs: (typeof resume_window_sec === "number" ? resume_window_sec : RESUME_WINDOW_SECONDS) * 1000,
    };
    // A client that lost its connection as a whole makes another one: the one before is of no use any more.
    const before = this.#bySession.get(id);
    this.#bySession.set(id, connection);
    if (before !== undefined && before !== connection) this.#forget(before);
  }

  #forget(connection: Connection, reason?: string): void {
    const { address } = connection;
    if (this.#connections.delete(connection.id)) {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    }
    const { session } = connection;
    if (session !== undefined && this.#bySession.get(session.id) === connection) this.#bySession.delete(session.id);
    if (reason !== undefined) connection.stream.abort(reason);
  }

  #sweep(now: number): void {
    const { keepAliveMs = KEEP_ALIVE_MS, readerTimeoutMs = READER_TIMEOUT_MS } = this.#options;
    const isKeepAliveDue = now - this.#keptAliveAt >= keepAliveMs;
    if (isKeepAliveDue) this.#keptAliveAt = now;
    for (const connection of this.#connections.values()) {
      const { stream, endedAt, openedAt, session } = connection;
      if (isKeepAliveDue) stream.keepAlive();
      if (!stream.isClosed && !stream.hasReader && now - openedAt > readerTimeoutMs) stream.abort("nobody reads");
      if (endedAt !== undefined && now - endedAt > (session?.resumeWindowMs ?? 0)) this.#forget(connection);
    }
  }
}

/** The type of a frame of the runtime is in its head, where nothing of a client's is that would look like it. */
const isOpening = (frame: string): boolean => OPENING.test(frame.slice(0, HEAD_CHARS));

const headOf = (frame: string): Readonly<Record<string, unknown>> => JSON.parse(frame) as JsonObject;

/** What a client that opens a connection has already, as the id of an event. */
function openedAfter(frame: string): string {
  try {
    const { type, payload } = decodeFrame(frame, CLIENT_FRAME_LIMITS) as { type?: unknown; payload?: JsonObject };
    const resume = type === "session.resume" ? payload : (payload?.["resume"] as JsonObject | undefined);
    const seq = resume?.["last_event_seq"];
    return typeof seq === "number" ? String(seq) : "0";
  } catch {
    // The runtime says what is wrong with it.
    return "0";
  }
}

/** @throws InvalidRequestError for what is no id of an event. */
function resumeFrame({ wire, arcp, id, resumeToken }: KnownSession, after: string): string {
  const isNumber = /^\d{1,15}$/.test(after);
  const isMessage = wire === "1.0" && /^[\w-]{1,128}$/.test(after);
  if (!isNumber && !isMessage) throw new InvalidRequestError("Last-Event-ID: not an id of this stream");
  const place = isNumber ? { last_event_seq: Number(after) } : { after_message_id: after };
  return JSON.stringify({
    ...{ arcp, id: `msg_${randomBytes(16).toString("hex")}`, type: "session.resume", session_id: id },
    ...(wire === "1.0" && { timestamp: new Date().toISOString() }),
    payload: { session_id: id, resume_token: resumeToken, ...place },
  });
}
