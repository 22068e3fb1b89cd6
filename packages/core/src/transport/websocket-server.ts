import { constants } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { CompressionOptions } from "./compression.ts";
import { isLoopbackHost, type Transport } from "./transport.ts";
import { LOOPBACK_NAMES, type TlsProxyRule } from "./upgrade-rules.ts";
import { WebSocketUpgrades } from "./websocket-upgrades.ts";

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

/** Where {@link startWebSocketServer} listens, to whom, and how much it takes. */
export interface WebSocketServerOptions {
  /** Called for each connection that was upgraded. */
  readonly onTransport: (transport: Transport, request: IncomingMessage) => void;
  /** Takes requests that do not ask for a WebSocket; those that it returns false for are answered with 426. */
  readonly onRequest?: (request: IncomingMessage, response: ServerResponse) => boolean;
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
  /**
   * Plain connections come from a proxy that speaks TLS with the clients, all of them or those from certain addresses: they
   * count as confidential. Default: false.
   */
  readonly isBehindTlsProxy?: TlsProxyRule;
  /** The client's address, where a proxy that is trusted tells it. Default: that of the connection; no header counts. */
  readonly remoteAddressOf?: (request: IncomingMessage) => string | undefined;
  /** Names that the `Host` header may carry, with or without a port. Default on loopback: its own names; otherwise any. */
  readonly allowedHosts?: readonly string[] | "any";
  /** Origins that a browser may come from. Default: only pages served by this very host. */
  readonly allowedOrigins?: readonly string[];
  /** Bytes of one frame. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  /** Milliseconds that an unfinished frame may take. Default: 10,000. */
  readonly frameTimeoutMs?: number;
  /** Connections at one time, from one address. Default: 20,000. */
  readonly maxConnectionsPerAddress?: number;
  /**
   * Takes `permessage-deflate` from clients that offer it. `maxFrameBytes` holds for what a frame inflates to.
   * Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
}

/** A WebSocket server that listens. */
export interface RunningWebSocketServer {
  /** Where clients connect, e.g. `ws://127.0.0.1:7777/arcp`. */
  readonly url: string;
  readonly port: number;
  /** Stops listening and ends the connections that are left. Resolves when the port is free. Idempotent. */
  close(): Promise<void>;
}

/** Listens for WebSocket connections (§4.1). Rejects when it may not or cannot listen. */
export async function startWebSocketServer(options: WebSocketServerOptions): Promise<RunningWebSocketServer> {
  const { host = "127.0.0.1", port: wanted = 0, path = "/arcp", tls, onRequest, ...rules } = options;
  const isLocal = isLoopbackHost(host);
  if (!isLocal && !tls && options.allowInsecure !== true) {
    throw new Error(`refused to listen on ${host} without TLS: pass tls, or allow insecure connections explicitly`);
  }
  const http = createHttpServer(tls, onRequest);
  const upgrades = new WebSocketUpgrades({
    ...rules,
    path,
    allowInsecure: true,
    allowedHosts: options.allowedHosts ?? (isLocal ? LOOPBACK_NAMES : "any"),
    usesClientCertificates: tls?.clientCertificates !== undefined,
  });
  http.on("upgrade", (request, socket, head) => upgrades.take(request, socket, head));

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen({ host, port: wanted }, () => {
      http.off("error", reject);
      resolve();
    });
  });
  const { port } = http.address() as AddressInfo;
  const name = host.includes(":") ? `[${host}]` : host;

  let closing: Promise<void> | undefined;
  return {
    url: `${tls ? "wss" : "ws"}://${name}:${port}${path}`,
    port,
    close() {
      closing ??= new Promise<void>((resolve) => {
        upgrades.abort();
        http.close(() => resolve());
        http.closeAllConnections();
      });
      return closing;
    },
  };
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 100;

function createHttpServer(
  tls: WebSocketTlsOptions | undefined,
  onRequest: WebSocketServerOptions["onRequest"] = () => false,
): Server {
  const settings: ServerOptions = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 10_000, requestTimeout: 10_000 };
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (!onRequest(request, response)) response.writeHead(426).end();
  };
  const http: Server = tls
    ? createTlsServer({ ...settings, ...toTlsOptions(tls) }, answer)
    : createServer(settings, answer);
  http.maxHeadersCount = MAX_HEADERS;
  return http;
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
