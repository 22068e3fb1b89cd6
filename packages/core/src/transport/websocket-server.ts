import { constants, createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { CLIENT_FRAME_LIMITS } from "../limits.ts";
import { certificateNames } from "./certificate-names.ts";
import { isLoopbackHost, type Transport, type TransportPeer } from "./transport.ts";
import { WebSocketTransport } from "./websocket.node.ts";

/** TLS as Node takes it, and which certificates of clients count. */
export interface WebSocketTlsOptions extends TlsOptions {
  readonly clientCertificates?: ClientCertificateOptions;
}

/** Clients are asked for a certificate, which they have to prove anew for every connection. */
export interface ClientCertificateOptions {
  /** The authorities that vouch for clients, in PEM. No others count. */
  readonly ca: string | Buffer | (string | Buffer)[];
  /** Refuse who has no certificate that one of them vouches for? Otherwise such a client has no fingerprint. */
  readonly required: boolean;
}

export interface WebSocketServerOptions {
  /** Called for each connection that was upgraded. */
  readonly onTransport: (transport: Transport, request: IncomingMessage) => void;
  /** Default: 127.0.0.1. Any other address needs `tls`, or `allowInsecure`. */
  readonly host?: string;
  /** Default: 0, any free port. */
  readonly port?: number;
  /** Default: /arcp (§4.1). */
  readonly path?: string;
  /** Further paths on which it answers. Default: none. */
  readonly otherPaths?: readonly string[];
  readonly tls?: WebSocketTlsOptions;
  /** Allows plain `ws://` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
  /** Host names that the `Host` header may carry, without port. Default on loopback: its own names; otherwise any. */
  readonly allowedHosts?: readonly string[];
  /** Origins that a browser may come from. Default: only pages served by this very host. */
  readonly allowedOrigins?: readonly string[];
  /** Bytes of one frame. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  /** Milliseconds that an unfinished frame may take. Default: 10,000. */
  readonly frameTimeoutMs?: number;
  /** Connections at one time, from one address. Default: 20,000. */
  readonly maxConnectionsPerAddress?: number;
}

export interface RunningWebSocketServer {
  /** Where clients connect, e.g. `ws://127.0.0.1:7777/arcp`. */
  readonly url: string;
  readonly port: number;
  /** Stops listening and ends the connections that are left. Resolves when the port is free. Idempotent. */
  close(): Promise<void>;
}

const MAX_FRAGMENTS = 64;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 100;
const SWEEP_MS = 1_000;
const CLOSE_POLICY = 1008;
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]", "::1"];

/** Listens for WebSocket connections (§4.1). Rejects when it may not or cannot listen. */
export async function startWebSocketServer(options: WebSocketServerOptions): Promise<RunningWebSocketServer> {
  const host = options.host ?? "127.0.0.1";
  const path = options.path ?? "/arcp";
  const paths: ReadonlySet<string> = new Set([path, ...(options.otherPaths ?? [])]);
  const isLocal = isLoopbackHost(host);
  if (!isLocal && !options.tls && options.allowInsecure !== true) {
    throw new Error(`refused to listen on ${host} without TLS: pass tls, or allow insecure connections explicitly`);
  }
  const settings = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 10_000, requestTimeout: 10_000 };
  const answer = (_: unknown, response: { writeHead(status: number): { end(): void } }): void => {
    response.writeHead(426).end();
  };
  const http: Server = options.tls
    ? createTlsServer({ ...settings, ...toTlsOptions(options.tls) }, answer)
    : createServer(settings, answer);
  http.maxHeadersCount = MAX_HEADERS;

  const allowedHosts = options.allowedHosts ?? (isLocal ? LOOPBACK_NAMES : undefined);
  const watch = new FrameWatch(options.frameTimeoutMs ?? 10_000);
  const perAddress = new Map<string, number>();
  const maxPerAddress = options.maxConnectionsPerAddress ?? 20_000;
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    autoPong: false,
    clientTracking: true,
    handleProtocols: (offered) => (offered.has("arcp.v1") ? "arcp.v1" : false),
  } as ConstructorParameters<typeof WebSocketServer>[0]);

  http.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const address = (socket as Socket).remoteAddress ?? "";
    const refusal = refuse(request, { paths, allowedHosts, allowedOrigins: options.allowedOrigins });
    const open = perAddress.get(address) ?? 0;
    if (refusal !== undefined || open >= maxPerAddress) {
      endWithStatus(socket, refusal ?? "503 Service Unavailable");
      return;
    }
    perAddress.set(address, open + 1);
    socket.once("close", () => {
      const left = (perAddress.get(address) ?? 1) - 1;
      if (left === 0) perAddress.delete(address);
      else perAddress.set(address, left);
    });
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      (socket as Socket).setNoDelay(true);
      watch.add(webSocket, socket);
      const isConfidential = options.tls !== undefined || isLoopbackHost(address.replace(/^::ffff:/, ""));
      const peer: TransportPeer = { kind: "websocket", isConfidential, remoteAddress: address };
      const certificate = options.tls?.clientCertificates && certificateOf(socket as TLSSocket);
      options.onTransport(new WebSocketTransport(webSocket, { ...peer, ...certificate }), request);
    });
  });

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen({ host, port: options.port ?? 0 }, () => {
      http.off("error", reject);
      resolve();
    });
  });
  const { port } = http.address() as AddressInfo;
  const name = host.includes(":") ? `[${host}]` : host;

  let closing: Promise<void> | undefined;
  return {
    url: `${options.tls ? "wss" : "ws"}://${name}:${port}${path}`,
    port,
    close() {
      closing ??= new Promise<void>((resolve) => {
        watch.stop();
        for (const client of sockets.clients) client.terminate();
        sockets.close();
        http.close(() => resolve());
        http.closeAllConnections();
      });
      return closing;
    },
  };
}

function toTlsOptions({ clientCertificates, ...tls }: WebSocketTlsOptions): TlsOptions {
  if (clientCertificates === undefined) return tls;
  const { ca, required } = clientCertificates;
  // Without any, Node would believe every authority that the machine trusts; and so do the contexts of an SNICallback.
  if (ca.length === 0) throw new Error("client certificates need the authorities that vouch for them");
  if (tls.SNICallback) throw new Error("client certificates cannot be combined with an SNICallback");
  // A session that is taken up again shows a certificate that may have expired, or been revoked, since.
  const secureOptions = (tls.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET;
  return { ...tls, ca, secureOptions, requestCert: true, rejectUnauthorized: required };
}

/** The certificate that the client has proven to be its own and that an accepted authority vouches for. */
function certificateOf(
  socket: TLSSocket,
): Pick<TransportPeer, "certificateFingerprint" | "certificateNames"> | undefined {
  if (!socket.authorized) return undefined;
  // OpenSSL may take a client without any certificate for authorized.
  const { raw, subject, subjectaltname } = (socket.getPeerCertificate() ?? {}) as Partial<PeerCertificate>;
  if (raw === undefined) return undefined;
  return {
    certificateFingerprint: `sha256:${createHash("sha256").update(raw).digest("hex")}`,
    certificateNames: certificateNames(subject?.CN, subjectaltname),
  };
}

interface Rules {
  readonly paths: ReadonlySet<string>;
  readonly allowedHosts: readonly string[] | undefined;
  readonly allowedOrigins: readonly string[] | undefined;
}

/** The status line with which an upgrade is refused; `undefined` when it may go on. */
function refuse(request: IncomingMessage, rules: Rules): string | undefined {
  const target = request.url ?? "/";
  if (!rules.paths.has(target.split("?")[0] ?? "")) return "404 Not Found";
  // One of two would be checked here and the other, perhaps, by what stands in front.
  if ((request.headersDistinct["host"]?.length ?? 0) > 1) return "400 Bad Request";
  const hostHeader = request.headers.host ?? "";
  const hostname = hostHeader.replace(/:\d+$/, "").toLowerCase();
  if (rules.allowedHosts && !rules.allowedHosts.includes(hostname)) return "421 Misdirected Request";
  const { origin } = request.headers;
  if (origin === undefined) return undefined;
  if (rules.allowedOrigins?.includes(origin)) return undefined;
  return URL.canParse(origin) && new URL(origin).host === hostHeader.toLowerCase() ? undefined : "403 Forbidden";
}

function endWithStatus(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Ends connections on which one frame takes too long to arrive: a client that sends one byte a second. */
class FrameWatch {
  readonly #timeoutMs: number;
  readonly #startedAt = new Map<WebSocket, number>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  add(webSocket: WebSocket, socket: Duplex): void {
    const done = (): void => void this.#startedAt.delete(webSocket);
    // Before ws's own listener, so that a frame that this chunk completes clears the mark again.
    socket.prependListener("data", () => {
      if (!this.#startedAt.has(webSocket)) this.#startedAt.set(webSocket, performance.now());
    });
    for (const event of ["message", "ping", "pong", "close"]) webSocket.on(event, done);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    const oldest = performance.now() - this.#timeoutMs;
    for (const [webSocket, startedAt] of this.#startedAt) {
      if (startedAt >= oldest) continue;
      this.#startedAt.delete(webSocket);
      webSocket.close(CLOSE_POLICY, "a frame took too long");
      webSocket.terminate();
    }
  }
}
