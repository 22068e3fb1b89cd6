/** What is used of Bun (https://bun.sh/docs/api/websockets), so that its types need not be installed. */

/** The server's end of a WebSocket. */
export interface BunSocket<Data> {
  readonly data: Data;
  /** 0: the message was dropped. -1: it waits. */
  send(data: string | Uint8Array<ArrayBuffer>, compress?: boolean): number;
  close(code?: number, reason?: string): void;
  terminate(): void;
  getBufferedAmount(): number;
}

/** The member `websocket` of what `Bun.serve` takes. */
export interface BunWebSocketHandler<Data> {
  readonly maxPayloadLength: number;
  readonly idleTimeout: number;
  readonly perMessageDeflate:
    | boolean
    | { readonly compress: "shared" | "dedicated"; readonly decompress: "shared" | "dedicated" };
  readonly backpressureLimit: number;
  readonly closeOnBackpressureLimit: boolean;
  open(socket: BunSocket<Data>): void;
  message(socket: BunSocket<Data>, message: string | Uint8Array): void;
  close(socket: BunSocket<Data>, code: number, reason: string): void;
}

/** What `Bun.serve` returns, and hands to `fetch`. */
export interface BunServer {
  readonly port?: number | undefined;
  upgrade(request: Request, options: { readonly data: unknown; readonly headers: Record<string, string> }): boolean;
  requestIP(request: Request): { readonly address: string } | null;
  stop(closeActiveConnections?: boolean): Promise<void>;
}

export interface BunServeOptions<Data> {
  readonly hostname: string;
  readonly port: number;
  readonly tls?: unknown;
  readonly fetch: (request: Request, server: BunServer) => Promise<Response | undefined>;
  readonly websocket: BunWebSocketHandler<Data>;
}

interface Bun {
  serve<Data>(options: BunServeOptions<Data>): BunServer;
}

/** @throws Error where there is no Bun. */
export function runningBun(): Bun {
  const { Bun: bun } = globalThis as { readonly Bun?: Bun };
  if (bun === undefined) throw new Error("@arcp/bun needs Bun; under Node there is @arcp/node");
  return bun;
}
