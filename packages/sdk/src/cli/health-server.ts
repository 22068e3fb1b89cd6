/** What watches over `arcp serve` asks over HTTP: `/metrics`, `/healthz` and `/readyz`, on a listener of their own. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isLoopbackHost } from "@arcp/core";
import { MetricsRegistry, type Unreadiness } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";
import { portInUse } from "./port-in-use.ts";

export interface HealthServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Who shows it may read `/metrics`. Without one, nobody beyond this machine may. */
  readonly token?: string | undefined;
  readonly metrics: Pick<MetricsRegistry, "text">;
  /** Why the runtime takes no work; `undefined` if it does. */
  readonly unreadiness: () => Promise<Unreadiness | "starting" | undefined>;
}

export interface RunningHealthServer {
  /** `http://host:port` */
  readonly url: string;
  close(): Promise<void>;
}

const TEXT = "text/plain; charset=utf-8";
const REQUEST_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8 * 1024;
const MIN_TOKEN_CHARS = 16;

/** @throws UsageError for a token that could be guessed. */
export async function startHealthServer(options: HealthServerOptions): Promise<RunningHealthServer> {
  const { host, port, token } = options;
  if (token !== undefined && token.length < MIN_TOKEN_CHARS) {
    throw new UsageError(`the token of /metrics has at least ${MIN_TOKEN_CHARS} characters`);
  }
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      answer(request, options).then(
        (told) => write(response, request, told),
        () => write(response, request, { status: 500, body: "the metrics cannot be read\n" }),
      );
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  const listening = Promise.withResolvers<void>();
  server.once("error", (error) => listening.reject(portInUse(error, host, port)));
  server.listen(port, host, listening.resolve);
  await listening.promise;
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${actual}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Told {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function answer(request: IncomingMessage, options: HealthServerOptions): Promise<Told> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, body: "GET or HEAD\n", headers: { allow: "GET, HEAD" } };
  }
  // A page that resolves its own name to this machine has that name in its requests.
  if (isLoopbackHost(options.host) && !isLoopbackHost(hostOf(request))) return { status: 421, body: "wrong host\n" };
  switch (request.url?.split("?", 1)[0]) {
    case "/healthz":
      return { status: 200, body: "ok\n" };
    case "/readyz": {
      const problem = await options.unreadiness();
      return problem === undefined ? { status: 200, body: "ok\n" } : { status: 503, body: `${problem}\n` };
    }
    case "/metrics":
      return (
        mayRead(request, options) ?? { status: 200, body: options.metrics.text(), type: MetricsRegistry.contentType }
      );
    default:
      return { status: 404, body: "not found\n" };
  }
}

/** A refusal; `undefined` if the metrics may be read. */
function mayRead(request: IncomingMessage, { host, token }: HealthServerOptions): Told | undefined {
  if (token === undefined) {
    return isLoopbackHost(host) ? undefined : { status: 403, body: "metrics beyond this machine need a token\n" };
  }
  const [, shown = ""] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (timingSafeEqual(digest(shown), digest(token))) return undefined;
  return { status: 401, body: "unauthorized\n", headers: { "www-authenticate": 'Bearer realm="metrics"' } };
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

const hostOf = (request: IncomingMessage): string => URL.parse(`http://${request.headers.host ?? ""}`)?.hostname ?? "";

function write(
  response: ServerResponse,
  { method }: IncomingMessage,
  { status, body, type = TEXT, headers }: Told,
): void {
  response.writeHead(status, {
    ...{ "content-type": type, "content-length": Buffer.byteLength(body), "cache-control": "no-store" },
    ...headers,
  });
  response.end(method === "HEAD" ? undefined : body);
}
