import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { CLIENT_FRAME_LIMITS } from "../limits.ts";
import { certificateOf } from "./client-certificate.ts";
import { type Compression, type CompressionOptions, compressionOf } from "./compression.ts";
import { FrameWatch } from "./frame-watch.ts";
import type { Transport, TransportPeer } from "./transport.ts";
import {
  bearerTokenOf,
  FORWARDING_HEADERS,
  isFromTlsProxy,
  isInsideMachine,
  isLoopbackAddress,
  refuseUpgrade,
  type TlsProxyRule,
  type UpgradeRefusal,
} from "./upgrade-rules.ts";
import { WebSocketTransport } from "./websocket.node.ts";
import { deflateTerms } from "./websocket-deflate.ts";

/** What {@link WebSocketUpgrades} does with connections: whose, how many, of which size. */
export interface WebSocketUpgradeOptions {
  /** Called for each connection that was upgraded. If it throws or rejects, the connection is closed with 1011. */
  readonly onTransport: (transport: Transport, request: IncomingMessage) => unknown;
  /** Default: /arcp (§4.1). */
  readonly path?: string;
  /** Further paths on which it answers. Default: none. */
  readonly otherPaths?: readonly string[];
  /**
   * Names that the `Host` header may carry, with or without a port; against DNS rebinding. Default: for connections to the
   * loopback interface its own names, for others any.
   */
  readonly allowedHosts?: readonly string[] | "any";
  /** Origins that a browser may come from. Default: only pages served by this very host. */
  readonly allowedOrigins?: readonly string[];
  /** Takes plain `ws://` from other machines. What they send and get can be read on the way. Default: false. */
  readonly allowInsecure?: boolean;
  /**
   * Plain connections, all of them or those from certain addresses, come from a proxy that speaks TLS with the clients, over a
   * network that nobody else reads: they are taken, and count as confidential. Default: false.
   */
  readonly isBehindTlsProxy?: TlsProxyRule;
  /** The client's address, where a proxy that is trusted tells it. Default: that of the connection; no header counts. */
  readonly remoteAddressOf?: (request: IncomingMessage) => string | undefined;
  /** Tells by which certificate a client is known, if the server's TLS settings ask for one. Default: false. */
  readonly usesClientCertificates?: boolean;
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

const MAX_FRAGMENTS = 64;
const MAX_HEADER_CHARS = 16 * 1024;
const MAX_HEADERS = 100;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_INTERNAL_ERROR = 1011;

/** Turns requests of a Node HTTP server into transports, or refuses them. The server and its other requests are its owner's. */
export class WebSocketUpgrades {
  readonly #options: WebSocketUpgradeOptions;
  /** The first is the one that clients are told. */
  readonly paths: readonly string[];
  readonly #pathSet: ReadonlySet<string>;
  readonly #sockets: WebSocketServer;
  readonly #compression: Compression | undefined;
  readonly #watch: FrameWatch;
  readonly #perAddress = new Map<string, number>();
  readonly #transports = new Set<Transport>();
  #closing: Promise<void> | undefined;

  constructor(options: WebSocketUpgradeOptions) {
    this.#options = options;
    this.paths = [options.path ?? "/arcp", ...(options.otherPaths ?? [])];
    this.#pathSet = new Set(this.paths);
    this.#watch = new FrameWatch(options.frameTimeoutMs ?? 10_000);
    this.#compression = compressionOf(options.compression);
    this.#sockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: deflateTerms(this.#compression),
      maxPayload: options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes,
      maxFragments: MAX_FRAGMENTS,
      autoPong: false,
      clientTracking: true,
      handleProtocols: (offered) => (offered.has("arcp.v1") ? "arcp.v1" : false),
    } as ConstructorParameters<typeof WebSocketServer>[0]);
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#transports.size;
  }

  /** Is the request's path one of these? */
  has(request: IncomingMessage): boolean {
    return this.#pathSet.has(pathOf(request));
  }

  /** Takes over the socket of an `upgrade` event: what it answers is a connection, or a refusal and the socket's end. */
  take(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", () => socket.destroy());
    const refusal = this.#refuse(request, socket);
    if (refusal !== undefined) {
      endWithRefusal(socket, refusal);
      return;
    }
    const release = this.#count(this.#addressOf(request, socket));
    socket.once("close", release);
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#open(webSocket, request, socket));
  }

  /**
   * Refuses what comes from now on, and ends the connections that are left with 1001. Resolves when they are over: a peer
   * that does not answer is cut off after 5 s. Idempotent.
   */
  close(reason = "the server is shutting down"): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  /** Refuses what comes from now on, and cuts the connections that are left. */
  abort(): void {
    this.#closing ??= Promise.resolve();
    this.#watch.stop();
    for (const client of this.#sockets.clients) client.terminate();
    this.#sockets.close();
  }

  async #close(reason: string): Promise<void> {
    const open = [...this.#transports];
    for (const transport of open) transport.close(CLOSE_GOING_AWAY, reason);
    await Promise.all(open.map(({ closed }) => closed));
    this.abort();
  }

  #refuse(request: IncomingMessage, socket: Duplex): UpgradeRefusal | undefined {
    const { allowInsecure = false, isBehindTlsProxy, maxConnectionsPerAddress = 20_000 } = this.#options;
    if (this.#closing !== undefined) return { status: 503, reason: "the server is shutting down" };
    const malformed = refuseForm(request);
    if (malformed !== undefined) return malformed;
    const { remoteAddress, localAddress } = socket as Socket;
    const refusal = refuseUpgrade(
      {
        path: pathOf(request),
        hosts: request.headersDistinct["host"] ?? [],
        origin: request.headers.origin,
        hasCookies: request.headers.cookie !== undefined,
        isLocal: isLoopbackAddress(localAddress),
      },
      { ...this.#options, paths: this.#pathSet },
    );
    if (refusal !== undefined) return refusal;
    const isPlain = !(socket instanceof TLSSocket) && !isLoopbackAddress(remoteAddress);
    if (isPlain && !allowInsecure && !isFromTlsProxy(isBehindTlsProxy, remoteAddress)) {
      return { status: 403, reason: "connections from other machines need TLS: see isBehindTlsProxy, allowInsecure" };
    }
    const open = this.#perAddress.get(this.#addressOf(request, socket)) ?? 0;
    return open < maxConnectionsPerAddress ? undefined : { status: 503, reason: "too many connections" };
  }

  #open(webSocket: WebSocket, request: IncomingMessage, socket: Duplex): void {
    if (socket instanceof TLSSocket || "setNoDelay" in socket) (socket as Socket).setNoDelay(true);
    this.#watch.add(webSocket, socket);
    const transport = new WebSocketTransport(webSocket, this.#peerOf(request, socket), this.#compression);
    this.#transports.add(transport);
    void transport.closed.then(() => this.#transports.delete(transport));
    const refuse = (): void => transport.close(CLOSE_INTERNAL_ERROR, "the connection was not accepted");
    try {
      void Promise.resolve(this.#options.onTransport(transport, request)).catch(refuse);
    } catch {
      // Who threw it knows; the client is told by the close.
      refuse();
    }
  }

  #peerOf(request: IncomingMessage, socket: Duplex): TransportPeer {
    const { isBehindTlsProxy, usesClientCertificates = false } = this.#options;
    const { remoteAddress } = socket as Socket;
    const isForwarded = FORWARDING_HEADERS.some((name) => name in request.headers);
    const isInside = isInsideMachine(remoteAddress, request.headers.host, isForwarded);
    const isEncrypted = socket instanceof TLSSocket;
    const certificate = usesClientCertificates && isEncrypted ? certificateOf(socket) : undefined;
    const bearerToken = bearerTokenOf(request.headers.authorization);
    return {
      kind: "websocket",
      isConfidential: isEncrypted || isFromTlsProxy(isBehindTlsProxy, remoteAddress) || isInside,
      remoteAddress: this.#addressOf(request, socket),
      ...certificate,
      ...(bearerToken !== undefined && { bearerToken }),
    };
  }

  #addressOf(request: IncomingMessage, socket: Duplex): string {
    return this.#options.remoteAddressOf?.(request) ?? (socket as Socket).remoteAddress ?? "";
  }

  /** Returns what ends the counting. */
  #count(address: string): () => void {
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    return () => {
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
    };
  }
}

const pathOf = (request: IncomingMessage): string => request.url?.split("?")[0] ?? "";

/** What no client of ours sends, and what others on the way may read otherwise than this server. */
function refuseForm(request: IncomingMessage): UpgradeRefusal | undefined {
  const { headers, headersDistinct, httpVersion, rawHeaders } = request;
  if (httpVersion !== "1.1") return { status: 400, reason: "expected HTTP/1.1" };
  const chars = rawHeaders.reduce((sum, text) => sum + text.length, 0);
  if (rawHeaders.length > 2 * MAX_HEADERS || chars > MAX_HEADER_CHARS)
    return { status: 431, reason: "too many headers" };
  // Where a body ends and the first frame begins, two readers may see differently.
  if (headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0") {
    return { status: 400, reason: "an upgrade has no body" };
  }
  return (headersDistinct["authorization"]?.length ?? 0) > 1
    ? { status: 400, reason: "expected one Authorization header" }
    : undefined;
}

/** Says no, in a way that whoever configures this understands, and ends the connection: nothing else on it is read. */
function endWithRefusal(socket: Duplex, { status, reason }: UpgradeRefusal): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain",
    `Content-Length: ${Buffer.byteLength(reason)}`,
  ];
  // The server has let go of the socket: a client that never closes its half would keep it.
  socket.once("finish", () => socket.destroy());
  socket.end(`${head.join("\r\n")}\r\n\r\n${reason}`);
}
