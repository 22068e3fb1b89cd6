/** `@arcp/hono/fetch`: a runtime on a route of a Hono application, wherever Hono has an `upgradeWebSocket`. */
import { type FetchUpgradeOptions, FetchUpgrades, type HostedSocket, type HostedWebSocketTransport } from "@arcp/core";
import type { Context, Handler } from "hono";
import type { UpgradeWebSocket, WSContext, WSEvents } from "hono/ws";

/** What may connect, and what is done with it. */
export interface ArcpRouteOptions<Raw> extends FetchUpgradeOptions {
  /** The host's own: of `hono/bun`, `hono/deno`, `@hono/node-server`, … */
  readonly upgradeWebSocket: UpgradeWebSocket<Raw>;
  /** The client's address, for instance by the host's `getConnInfo`. Default: not known. */
  readonly remoteAddressOf?: (context: Context) => string | undefined;
}

/** A route for connections, and the way to end them. */
export interface ArcpRoute extends AsyncDisposable {
  /** For `app.get(path, …)`. */
  readonly handler: Handler;
  /** Those that are open. */
  readonly connections: number;
  /** Refuses what comes (503), and ends the connections that are left with close code 1001. Idempotent. */
  close(reason?: string): Promise<void>;
}

/** Takes WebSocket connections on a route of a Hono application, which is on the path that the application says (§4.1). */
export function createArcpRoute<Raw>(options: ArcpRouteOptions<Raw>): ArcpRoute {
  const { upgradeWebSocket, remoteAddressOf } = options;
  const upgrades = new FetchUpgrades(options);
  const close = (reason?: string): Promise<void> => upgrades.close(reason);
  return {
    handler: async (context) => {
      const address = remoteAddressOf?.(context);
      const open = (socket: WSContext<Raw>) => upgrades.open(hostedSocket(socket), context.req.raw, address);
      return upgrades.refuse(context.req.raw, address) ?? upgradeWebSocket(context, eventsOf(open));
    },
    get connections() {
      return upgrades.connections;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function eventsOf<Raw>(open: (socket: WSContext<Raw>) => HostedWebSocketTransport): WSEvents<Raw> {
  let transport: HostedWebSocketTransport | undefined;
  // Not every host tells that a connection is open before it tells what came over it.
  const opened = (socket: WSContext<Raw>): HostedWebSocketTransport => {
    transport ??= open(socket);
    return transport;
  };
  return {
    onOpen: (_, socket) => void opened(socket),
    onMessage({ data }, socket) {
      if (typeof data === "string") opened(socket).received(data);
      else if (data instanceof ArrayBuffer) opened(socket).received(new Uint8Array(data));
      else opened(socket).close(1003, "text frames only");
    },
    onClose: ({ code, reason }) => transport?.ended(code, reason),
    onError: () => transport?.abort("the host reported an error"),
  };
}

/** What sockets of hosts have beside what Hono shows of them. */
interface RawSocket {
  readonly bufferedAmount?: number;
  getBufferedAmount?(): number;
  terminate?(): void;
}

function hostedSocket<Raw>(socket: WSContext<Raw>): HostedSocket {
  const raw = (socket.raw ?? {}) as RawSocket;
  return {
    send: (data) => socket.send(data),
    close: (code, reason) => socket.close(code, reason),
    ...(raw.terminate && { terminate: () => raw.terminate?.() }),
    get bufferedBytes() {
      return raw.getBufferedAmount?.() ?? raw.bufferedAmount ?? 0;
    },
  };
}
