/** The gateway's own server: loopback unless told otherwise, patient with nobody. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { isLoopbackHost } from "@arcp/core";

/** Where the gateway listens, and with which certificate. */
export interface ListenOptions {
  /** Default: 127.0.0.1. Any other address needs `tls`, or `allowInsecure`. */
  readonly host?: string;
  /** Default: 0, any free port. */
  readonly port?: number;
  readonly tls?: TlsOptions;
  /** Allows plain `http:` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
}

export interface RunningListener {
  /** E.g. `http://127.0.0.1:4000`. */
  readonly origin: string;
  readonly port: number;
  /** Stops listening and cuts the connections that are left. */
  close(): Promise<void>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 100;

/** Rejects when it may not or cannot listen. */
export async function listen(answer: RequestListener, options: ListenOptions): Promise<RunningListener> {
  const host = options.host ?? "127.0.0.1";
  if (!isLoopbackHost(host) && options.tls === undefined && options.allowInsecure !== true) {
    throw new Error(`refused to listen on ${host} without TLS: pass tls, or allow insecure connections explicitly`);
  }
  const settings = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: 10_000,
    requestTimeout: 120_000,
    keepAliveTimeout: 30_000,
    insecureHTTPParser: false,
  };
  const server: Server = options.tls
    ? createTlsServer({ ...settings, ...options.tls }, answer)
    : createServer(settings, answer);
  server.maxHeadersCount = MAX_HEADERS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port: options.port ?? 0 }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    origin: `${options.tls ? "https" : "http"}://${name}:${port}`,
    port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
