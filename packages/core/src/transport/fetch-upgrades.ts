import { CLIENT_FRAME_LIMITS } from "../limits.ts";
import type { ClientCertificate } from "./client-certificate.ts";
import { type HostedSocket, HostedWebSocketTransport } from "./hosted-websocket.ts";
import { isLoopbackHost, type Transport, type TransportPeer } from "./transport.ts";
import {
  bearerTokenOf,
  FORWARDING_HEADERS,
  hostnameOf,
  isInsideMachine,
  isLoopbackAddress,
  refuseUpgrade,
  type UpgradeRefusal,
  urlOfRequest,
} from "./upgrade-rules.ts";

/** The rules for hosts whose requests are those of the Fetch standard. */
export interface FetchUpgradeOptions {
  /** Called for each connection that was upgraded. If it throws or rejects, the connection is closed with 1011. */
  readonly onTransport: (transport: Transport, request: Request) => unknown;
  /** Names that the `Host` header may carry, with or without a port; against DNS rebinding. Default: this machine's own. */
  readonly allowedHosts?: readonly string[] | "any";
  /** Origins that a browser may come from. Default: only pages served by this very host. */
  readonly allowedOrigins?: readonly string[];
  /** Takes plain `ws://` from other machines. What they send and get can be read on the way. Default: false. */
  readonly allowInsecure?: boolean;
  /**
   * Plain connections come from a proxy that speaks TLS with the clients, over a network that nobody else reads: they
   * are taken, and count as confidential. Default: false.
   */
  readonly isBehindTlsProxy?: boolean;
  /** The client's certificate, where the host that ends TLS has verified one and tells it. No header counts as one. */
  readonly clientCertificateOf?: (request: Request) => ClientCertificate | undefined;
  /** Bytes of one frame. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  /** Connections at one time, from one address, where the address is known. Default: 20,000. */
  readonly maxConnectionsPerAddress?: number;
}

/** The subprotocol to answer with, if the client offers it. */
const SUBPROTOCOL = "arcp.v1";
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_INTERNAL_ERROR = 1011;
/** What makes a request longer than any that our clients send. */
const MAX_HEADERS = 100;
const MAX_HEADER_CHARS = 16 * 1024;

/** Refuses upgrades, or makes transports of sockets that the host has upgraded. */
export class FetchUpgrades {
  readonly #options: FetchUpgradeOptions;
  readonly #transports = new Set<HostedWebSocketTransport>();
  readonly #perAddress = new Map<string, number>();
  #closing: Promise<void> | undefined;

  constructor(options: FetchUpgradeOptions) {
    this.#options = options;
  }

  get maxFrameBytes(): number {
    return this.#options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes;
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#transports.size;
  }

  /** The answer to a request that may not become a connection; `undefined` when it may. */
  refuse(request: Request, remoteAddress: string | undefined): Response | undefined {
    const refusal = this.#refusal(request, remoteAddress);
    if (refusal === undefined) return undefined;
    const headers = { connection: "close", "content-type": "text/plain" };
    return new Response(refusal.reason, { status: refusal.status, headers });
  }

  /** The subprotocol of the answer; `undefined` if none was offered that is known here. */
  subprotocolOf(request: Request): string | undefined {
    const offered = request.headers.get("sec-websocket-protocol")?.split(",") ?? [];
    return offered.some((name) => name.trim() === SUBPROTOCOL) ? SUBPROTOCOL : undefined;
  }

  /** The transport of a socket that was upgraded. The host tells it what arrives, and when it is over. */
  open(socket: HostedSocket, request: Request, remoteAddress: string | undefined): HostedWebSocketTransport {
    const transport = new HostedWebSocketTransport(socket, this.#peerOf(request, remoteAddress), this.maxFrameBytes);
    this.#transports.add(transport);
    this.#count(remoteAddress, 1);
    void transport.closed.then(() => {
      this.#transports.delete(transport);
      this.#count(remoteAddress, -1);
    });
    const refuse = (): void => transport.close(CLOSE_INTERNAL_ERROR, "the connection was not accepted");
    try {
      void Promise.resolve(this.#options.onTransport(transport, request)).catch(refuse);
    } catch {
      // Who threw it knows; the client is told by the close.
      refuse();
    }
    return transport;
  }

  /**
   * Refuses what comes from now on (503), and ends the connections that are left with 1001. Resolves when they are over:
   * a peer that does not answer is cut off after 5 s. Idempotent.
   */
  close(reason = "the server is shutting down"): Promise<void> {
    this.#closing ??= this.#close(reason);
    return this.#closing;
  }

  async #close(reason: string): Promise<void> {
    const open = [...this.#transports];
    for (const transport of open) transport.close(CLOSE_GOING_AWAY, reason);
    await Promise.all(open.map(({ closed }) => closed));
  }

  #refusal(request: Request, remoteAddress: string | undefined): UpgradeRefusal | undefined {
    const { headers } = request;
    if (this.#closing !== undefined) return { status: 503, reason: "the server is shutting down" };
    if (headers.get("upgrade")?.toLowerCase() !== "websocket") return { status: 426, reason: "expected a WebSocket" };
    const form = refuseForm(headers);
    if (form !== undefined) return form;
    const { pathname, protocol } = urlOfRequest(request);
    const { allowInsecure = false, isBehindTlsProxy = false, maxConnectionsPerAddress = 20_000 } = this.#options;
    // The host has chosen by the path already.
    const refusal = refuseUpgrade(
      {
        path: pathname,
        // Two of them arrive as one.
        hosts: (headers.get("host") ?? "").split(", "),
        origin: headers.get("origin") ?? undefined,
        hasCookies: headers.has("cookie"),
        isLocal: true,
      },
      { ...this.#options, paths: new Set([pathname]) },
    );
    if (refusal !== undefined) return refusal;
    const isLocal =
      remoteAddress === undefined
        ? isLoopbackHost(hostnameOf(headers.get("host") ?? ""))
        : isLoopbackAddress(remoteAddress);
    if (protocol !== "https:" && !isLocal && !allowInsecure && !isBehindTlsProxy) {
      return { status: 403, reason: "connections from other machines need TLS: see isBehindTlsProxy, allowInsecure" };
    }
    const open = remoteAddress === undefined ? 0 : (this.#perAddress.get(remoteAddress) ?? 0);
    return open < maxConnectionsPerAddress ? undefined : { status: 503, reason: "too many connections" };
  }

  #peerOf(request: Request, remoteAddress: string | undefined): TransportPeer {
    const { headers } = request;
    const isForwarded = FORWARDING_HEADERS.some((name) => headers.has(name));
    const isInside = isInsideMachine(remoteAddress, headers.get("host") ?? undefined, isForwarded);
    const bearerToken = bearerTokenOf(headers.get("authorization"));
    return {
      kind: "websocket",
      isConfidential:
        urlOfRequest(request).protocol === "https:" || this.#options.isBehindTlsProxy === true || isInside,
      ...(remoteAddress !== undefined && { remoteAddress }),
      ...this.#options.clientCertificateOf?.(request),
      ...(bearerToken !== undefined && { bearerToken }),
    };
  }

  #count(address: string | undefined, change: 1 | -1): void {
    if (address === undefined) return;
    const count = (this.#perAddress.get(address) ?? 0) + change;
    if (count === 0) this.#perAddress.delete(address);
    else this.#perAddress.set(address, count);
  }
}

function refuseForm(headers: Headers): UpgradeRefusal | undefined {
  const list = [...headers];
  const chars = list.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (list.length > MAX_HEADERS || chars > MAX_HEADER_CHARS) return { status: 431, reason: "too many headers" };
  if (headers.has("transfer-encoding") || (headers.get("content-length") ?? "0") !== "0") {
    return { status: 400, reason: "an upgrade has no body" };
  }
  const offered = headers.get("sec-websocket-protocol")?.split(",") ?? [];
  if (offered.some((name) => !TOKEN.test(name.trim())))
    return { status: 400, reason: "expected names of subprotocols" };
  const authorizations = headers.get("authorization")?.split(", ").length ?? 0;
  return authorizations > 1 ? { status: 400, reason: "expected one Authorization header" } : undefined;
}
