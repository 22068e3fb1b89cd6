import {
  type CompressionOptions,
  compressionOf,
  type FetchUpgradeOptions,
  FetchUpgrades,
  type HostedWebSocketTransport,
  urlOfRequest,
} from "@arcp/core";
import type { BunServer, BunSocket, BunWebSocketHandler } from "./bun-types.ts";

/** Where the handlers of {@link arcpHandlers} answer, to whom, and how much they take. */
export interface ArcpHandlersOptions extends FetchUpgradeOptions {
  /** Default: /arcp (§4.1). */
  readonly path?: string;
  /** Further paths on which it answers. Default: none. */
  readonly otherPaths?: readonly string[];
  /**
   * Takes `permessage-deflate` from clients that offer it. `maxFrameBytes` holds for what a frame inflates to. Of several
   * runtimes on one server, the one whose `websocket` the server has decides what is taken. Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
}

/** What belongs to one socket. */
export interface ArcpSocketData {
  readonly request: Request;
  readonly remoteAddress: string | undefined;
  readonly upgrades: FetchUpgrades;
  /** Frames from this length on are compressed. */
  readonly compressedFrom: number;
  transport?: HostedWebSocketTransport;
}

/** Both halves of what `Bun.serve` is given. */
export interface ArcpHandlers extends AsyncDisposable {
  /** Those that are open. */
  readonly connections: number;
  /** Is the request on one of the paths? Then {@link upgrade} answers it. */
  has(request: Request): boolean;
  /** Makes the request a connection, and returns `undefined`; or the answer that refuses it. */
  upgrade(request: Request, server: BunServer): Response | undefined;
  /** One object does for several runtimes on one server. */
  readonly websocket: BunWebSocketHandler<ArcpSocketData>;
  /** Refuses what comes (503), and ends the connections that are left with close code 1001. Idempotent. */
  close(reason?: string): Promise<void>;
}

const IDLE_SECONDS = 120;
/** The socket is cut when more than this waits to be sent; the runtime stops writing long before. */
const BACKPRESSURE_BYTES = 64 * 1024 * 1024;

/** The parts of a runtime for a `Bun.serve` of one's own. */
export function createArcpHandlers(options: ArcpHandlersOptions): ArcpHandlers {
  const upgrades = new FetchUpgrades(options);
  const compression = compressionOf(options.compression);
  const compressedFrom = compression?.thresholdBytes ?? Number.POSITIVE_INFINITY;
  const paths: ReadonlySet<string> = new Set([options.path ?? "/arcp", ...(options.otherPaths ?? [])]);
  const close = (reason?: string): Promise<void> => upgrades.close(reason);
  return {
    get connections() {
      return upgrades.connections;
    },
    has: (request) => paths.has(urlOfRequest(request).pathname),
    upgrade(request, server) {
      const remoteAddress = server.requestIP(request)?.address;
      const refusal = upgrades.refuse(request, remoteAddress);
      if (refusal !== undefined) return refusal;
      const subprotocol = upgrades.subprotocolOf(request);
      const headers: Record<string, string> =
        subprotocol === undefined ? {} : { "Sec-WebSocket-Protocol": subprotocol };
      const data: ArcpSocketData = { request, remoteAddress, upgrades, compressedFrom };
      if (server.upgrade(request, { data, headers })) return undefined;
      return new Response("the request is no WebSocket handshake", { status: 400 });
    },
    websocket: {
      maxPayloadLength: upgrades.maxFrameBytes,
      idleTimeout: IDLE_SECONDS,
      perMessageDeflate: compression !== undefined && windowsOf(compression.keepsContext),
      backpressureLimit: BACKPRESSURE_BYTES,
      closeOnBackpressureLimit: true,
      open(socket) {
        const { data } = socket;
        data.transport = data.upgrades.open(
          hostedSocket(socket, data.compressedFrom),
          data.request,
          data.remoteAddress,
        );
      },
      message({ data }, message) {
        data.transport?.received(typeof message === "string" ? message : new Uint8Array(message));
      },
      close({ data }, code, reason) {
        data.transport?.ended(code, reason);
      },
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Shared: one window for all connections, of which nothing is kept from one frame to the next. */
const windowsOf = (keepsContext: boolean) =>
  keepsContext
    ? ({ compress: "dedicated", decompress: "dedicated" } as const)
    : ({ compress: "shared", decompress: "shared" } as const);

const hostedSocket = (socket: BunSocket<unknown>, compressedFrom: number) => ({
  send(data: string | Uint8Array<ArrayBuffer>): void {
    // A client that comes back is told what it missed; one that stays would never learn of a gap.
    if (socket.send(data, data.length >= compressedFrom) === 0) socket.terminate();
  },
  close: (code: number, reason: string): void => socket.close(code, reason),
  terminate: (): void => socket.terminate(),
  get bufferedBytes(): number {
    return socket.getBufferedAmount();
  },
});
