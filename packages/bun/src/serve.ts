import type { FetchOrigin } from "@arcp/core";
import { runningBun } from "./bun-types.ts";
import { type ArcpHandlersOptions, createArcpHandlers } from "./handlers.ts";

/** Where {@link serveArcp} listens, and what the handlers of {@link ArcpHandlersOptions} take. */
export interface ServeArcpOptions extends ArcpHandlersOptions {
  /** Default: 0, any free port. */
  readonly port?: number;
  /** Default: 127.0.0.1. Others need `tls`, `isBehindTlsProxy` or `allowInsecure` to take connections. */
  readonly host?: string;
  /** As `Bun.serve` takes it: `key`, `cert`. */
  readonly tls?: object;
  /** Answers requests on other paths, e.g. by `httpTransport(…).fetch`. Default: 404. */
  readonly fallback?: (request: Request, from: FetchOrigin) => Response | Promise<Response>;
}

/** A server that listens, until {@link ArcpServeHandle.close}. */
export interface ArcpServeHandle extends AsyncDisposable {
  readonly port: number;
  /** Where clients connect, e.g. `ws://127.0.0.1:7777/arcp`. */
  readonly url: string;
  /** Connections that are open. */
  readonly connections: number;
  /**
   * Ends the connections with close code 1001, and stops listening. Close the `ARCPServer` before, so that its clients
   * hear a goodbye. Idempotent.
   */
  close(reason?: string): Promise<void>;
}

/** A server of Bun's that takes WebSocket connections on one path (§4.1), and hands other requests on. */
export function serveArcp(options: ServeArcpOptions): ArcpServeHandle {
  const { host = "127.0.0.1", port = 0, path = "/arcp", tls } = options;
  const fallback = options.fallback ?? (() => new Response("not found", { status: 404 }));
  const handlers = createArcpHandlers(options);
  const server = runningBun().serve({
    ...{ hostname: host, port, websocket: handlers.websocket },
    ...(tls && { tls }),
    fetch: async (request, self) =>
      handlers.has(request)
        ? handlers.upgrade(request, self)
        : fallback(request, { remoteAddress: self.requestIP(request)?.address }),
  });
  let closing: Promise<void> | undefined;
  const close = (reason?: string): Promise<void> => {
    closing ??= handlers.close(reason).then(() => server.stop(true));
    return closing;
  };
  const name = host.includes(":") ? `[${host}]` : host;
  return {
    port: server.port ?? port,
    url: `${tls ? "wss" : "ws"}://${name}:${server.port ?? port}${path}`,
    get connections() {
      return handlers.connections;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
