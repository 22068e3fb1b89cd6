/** The dashboard on a path of whatever serves HTTP. It serves files, signs people in, and has no way into the runtime. */
import {
  HttpDoor,
  HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  isAllowedHost,
  isLoopbackAddress,
  LOOPBACK_NAMES,
} from "@arcp/core";
import { type StaticFile, staticFiles } from "./files.ts";
import { pageHeaders, STRICT_TRANSPORT } from "./headers.ts";
import { type AuthAnswer, type AuthRequest, AuthRoutes } from "./sign-in/routes.ts";
import type { SignIn } from "./sign-in/sign-in.ts";

/** Where the dashboard is served, for whom, and how people sign in. */
export interface DashboardOptions {
  /** Where the page is. Default: `/`. */
  readonly path?: string;
  /** Where the runtime takes WebSockets: a path of the same host, or a `wss:` URL. Default: `/arcp`. */
  readonly endpoint?: string;
  /**
   * Names that the `Host` header may carry, with or without a port; against DNS rebinding. Default: for connections to the
   * loopback interface its own names, for others any.
   */
  readonly allowedHosts?: readonly string[] | "any";
  /** How people sign in, e.g. `oidcSignIn`; the runtime has to know its `bearer`. Default: with a token. */
  readonly signIn?: SignIn;
}

/** Both forms answer alike, and leave alone what is for somebody else. */
export interface Dashboard {
  /** Where the page is. */
  readonly path: string;
  /** For servers of Node: takes a request, or returns false and has done nothing. */
  handle(request: HttpRequest, response: HttpResponse): boolean;
  /** For hosts of the Fetch standard: the answer, or `undefined` for what is for somebody else. */
  fetch(request: Request): Response | Promise<Response> | undefined;
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly hosts: readonly string[];
  readonly isLocal: boolean;
  readonly isEncrypted: boolean;
  readonly ifNoneMatch: string | null | undefined;
  readonly takesGzip: boolean;
  readonly query: string;
  readonly header: AuthRequest["header"];
  readonly body: AuthRequest["body"];
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly cookies?: readonly string[] | undefined;
  readonly body: Uint8Array<ArrayBuffer> | string;
}

const IMMUTABLE = "public, max-age=31536000, immutable";
const NOT_BUILT = "The dashboard is not built: run `npm run build`.\n";

/**
 * The page at `path`, its files below `path/assets/`, and `path/dashboard.json`, which tells the page where the runtime is.
 *
 * @throws TypeError for a path that does not begin with `/`, and for an endpoint that is neither a path nor a WebSocket URL.
 */
export function dashboard(options: DashboardOptions = {}): Dashboard {
  const { path = "/", endpoint = "/arcp", allowedHosts, signIn } = options;
  if (!path.startsWith("/")) throw new TypeError(`the path of the dashboard begins with /: ${path}`);
  const base = path.endsWith("/") ? path : `${path}/`;
  const origin = originOf(endpoint);
  const headers = pageHeaders(origin === undefined ? [] : [origin]);
  const told = signIn && { provider: signIn.provider.name, acceptsTokens: signIn.acceptsTokens };
  const settings = JSON.stringify({ endpoint, ...(told && { signIn: told }) });
  const auth = signIn && new AuthRoutes(signIn);
  const isAuth = (name: string): boolean => auth !== undefined && name.startsWith("auth/");

  function answer(asked: Asked): Answer | Promise<Answer> | undefined {
    const isOwn = asked.path.startsWith(base) || `${asked.path}/` === base;
    const name = isOwn ? asked.path.slice(base.length) : undefined;
    if (name === undefined || !(name === "" || name === "dashboard.json" || name.startsWith("assets/") || isAuth(name)))
      return undefined;
    const all = asked.isEncrypted ? { ...headers, ...STRICT_TRANSPORT } : headers;
    const plain = (status: number, text: string, more = {}): Answer => ({
      status,
      headers: { ...all, "content-type": "text/plain; charset=utf-8", ...more },
      body: text,
    });
    const refusal = refuseHost(asked, allowedHosts);
    if (refusal !== undefined) return plain(...refusal);
    if (auth !== undefined && isAuth(name)) return authAnswer(auth.answer({ ...asked, name: name.slice(5) }), all);
    if (asked.method !== "GET" && asked.method !== "HEAD") return plain(405, "GET it\n", { allow: "GET, HEAD" });
    // Without the slash at the end, the page would look for its files one level up.
    if (!asked.path.startsWith(base)) return plain(308, "", { location: base });
    if (name === "dashboard.json") {
      return { status: 200, headers: { ...all, "content-type": "application/json" }, body: settings };
    }
    const files = staticFiles();
    const file = files.get(name === "" ? "index.html" : name);
    if (file === undefined) return files.size === 0 ? plain(503, NOT_BUILT) : plain(404, "There is no such file.\n");
    return answerWith(file, asked, name === "" ? all : { ...all, "cache-control": IMMUTABLE });
  }

  return {
    path: base,
    handle(request, response) {
      const found = answer(askedOf(request));
      if (found === undefined) return false;
      if (found instanceof Promise) void found.then((late) => send(late, request, response));
      else send(found, request, response);
      return true;
    },
    fetch(request) {
      const found = answer(fetchAsked(request));
      return found instanceof Promise
        ? found.then((late) => responseOf(late, request))
        : found && responseOf(found, request);
    },
  };
}

function send({ status, headers, cookies, body }: Answer, request: HttpRequest, response: HttpResponse): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  const { setHeader, end } = response as unknown as {
    setHeader(name: string, values: readonly string[]): unknown;
    end(chunk: string | Uint8Array): unknown;
  };
  if (cookies !== undefined) setHeader.call(response, "set-cookie", cookies);
  // What is left of a body that nobody reads would stand before the next request.
  if (!request.complete) request.resume();
  end.call(response, request.method === "HEAD" ? "" : body);
}

function responseOf({ status, headers, cookies = [], body }: Answer, { method }: Request): Response {
  const told = new Headers(headers);
  for (const cookie of cookies) told.append("set-cookie", cookie);
  const hasBody = method !== "HEAD" && status !== 304 && status !== 204;
  return new Response(hasBody ? body : null, { status, headers: told });
}

async function authAnswer(given: Promise<AuthAnswer>, all: Readonly<Record<string, string>>): Promise<Answer> {
  const { status, headers, cookies, type, body = "" } = await given;
  return { status, headers: { ...all, ...headers, ...(type && { "content-type": type }) }, cookies, body };
}

function answerWith(file: StaticFile, asked: Asked, headers: Readonly<Record<string, string>>): Answer {
  const told = { ...headers, "content-type": file.type, etag: file.etag, vary: "accept-encoding" };
  if (asked.ifNoneMatch === file.etag) return { status: 304, headers: told, body: "" };
  if (!asked.takesGzip) return { status: 200, headers: told, body: file.bytes };
  return { status: 200, headers: { ...told, "content-encoding": "gzip" }, body: file.gzip };
}

function refuseHost(
  { hosts, isLocal }: Asked,
  allowed: DashboardOptions["allowedHosts"],
): readonly [status: number, text: string] | undefined {
  const [host = ""] = hosts;
  if (hosts.length !== 1 || host === "") return [400, "expected one Host header\n"];
  const names = allowed ?? (isLocal ? LOOPBACK_NAMES : "any");
  if (names === "any" || isAllowedHost(host, names)) return undefined;
  return [421, "the Host is none of this server's: see allowedHosts\n"];
}

/** Reads bodies, and nothing else. */
const bodies = new HttpDoor({});

function askedOf(request: HttpRequest): Asked {
  const { method = "", url = "", headers, rawHeaders, socket } = request;
  const valuesOf = (name: string): readonly string[] =>
    rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
  // HTTP/2 has a header of its own for it, beside which the other one may say the same.
  const authorities = valuesOf(":authority");
  const hosts = [...authorities, ...valuesOf("host").filter((host) => !authorities.includes(host))];
  const [path = ""] = url.split("?");
  return {
    ...{ method, path, query: url.slice(path.length), hosts },
    header: (name) => headers[name]?.toString(),
    body: (maxBytes) => bodies.body(request, maxBytes).then(String),
    isLocal: isLoopbackAddress(socket.localAddress),
    isEncrypted: (socket as { readonly encrypted?: boolean }).encrypted === true,
    ifNoneMatch: headers["if-none-match"],
    takesGzip: takesGzip(headers["accept-encoding"]?.toString()),
  };
}

/** Such hosts tell neither the address nor a second `Host`; without `allowedHosts` only this machine's names will do. */
function fetchAsked(request: Request): Asked {
  const url = new URL(request.url);
  return {
    ...{ method: request.method, path: url.pathname, query: url.search },
    hosts: [request.headers.get("host") ?? url.host],
    header: (name) => request.headers.get(name) ?? undefined,
    body: (maxBytes) => textOf(request, maxBytes),
    ...{ isLocal: true, isEncrypted: url.protocol === "https:" },
    ifNoneMatch: request.headers.get("if-none-match"),
    takesGzip: takesGzip(request.headers.get("accept-encoding")),
  };
}

async function textOf({ body }: Request, maxBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body ?? []) {
    length += piece.length;
    if (length > maxBytes) throw new HttpRefusal(413, `a body may have ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

const takesGzip = (accepted: string | null | undefined): boolean =>
  /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/.test(accepted ?? "");

/** Of an endpoint elsewhere; `undefined` for a path of this host. */
function originOf(endpoint: string): string | undefined {
  if (endpoint.startsWith("/") && !endpoint.startsWith("//")) return undefined;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol === "wss:" || url?.protocol === "ws:") return `${url.protocol}//${url.host}`;
  throw new TypeError(`the endpoint of the dashboard is a path or a WebSocket URL: ${endpoint}`);
}
