/** The connections of one job: each to an address that was checked, for as long as the name still leads there. */
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, getCACertificates, type SecureContext } from "node:tls";
import type { Clock } from "@arcp/core";
import { type buildConnector, type Dispatcher, Pool } from "undici";
import { type FetchLimits, tooSlow } from "./limits.ts";

/** The connections to one origin. */
interface Origin {
  readonly pool: Pool;
  readonly addresses: readonly string[];
}

/** Connections that are kept for one origin, and origins for which any are. More wait, and the oldest go. */
const MAX_CONNECTIONS = 32;
const MAX_ORIGINS = 64;
/** When several addresses are tried, the next one is after so long. */
const NEXT_ADDRESS_AFTER_MS = 500;

export interface ConnectionOptions {
  readonly limits: FetchLimits;
  readonly clock: Clock;
  /** PEM. Who may vouch for hosts beside those that Node.js trusts. */
  readonly certificateAuthorities: readonly string[];
}

export class Connections {
  readonly #options: ConnectionOptions;
  readonly #origins = new Map<string, Origin>();
  /** Those that carry requests to their end without taking new ones are here too. */
  readonly #pools = new Set<Pool>();
  readonly #connecting = new Set<Socket>();
  #secureContext: SecureContext | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /**
   * What sends requests to `origin` over connections to one of `addresses`, which were checked just now. A connection
   * that is open already is used only if its address would be connected to today.
   */
  to(origin: string, addresses: readonly string[]): Dispatcher {
    const known = this.#origins.get(origin);
    if (known?.addresses.every((address) => addresses.includes(address))) return known.pool;
    this.#retire(origin);
    const [oldest] = this.#origins.keys();
    if (oldest !== undefined && this.#origins.size >= MAX_ORIGINS) this.#retire(oldest);
    const pool = new Pool(origin, {
      connect: this.#connector(addresses),
      connections: MAX_CONNECTIONS,
      maxHeaderSize: this.#options.limits.maxResponseHeaderBytes,
      // The limits of time are kept by those who wait.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#pools.add(pool);
    this.#origins.set(origin, { pool, addresses });
    return pool;
  }

  /** Ends every connection, whatever it carries. */
  close(): void {
    for (const socket of this.#connecting) socket.destroy();
    for (const pool of this.#pools) pool.destroy().catch(() => {}); // Who waits for a response is told by it.
    this.#pools.clear();
    this.#origins.clear();
  }

  #retire(origin: string): void {
    const pool = this.#origins.get(origin)?.pool;
    if (pool === undefined) return;
    this.#origins.delete(origin);
    // It may have been destroyed meanwhile, which is as good.
    pool.close().then(
      () => this.#pools.delete(pool),
      () => this.#pools.delete(pool),
    );
  }

  /** Connects to `addresses` and nowhere else; the host stays what the certificate and the request name. */
  #connector(addresses: readonly string[]): buildConnector.connector {
    const { limits, clock } = this.#options;
    return ({ hostname, protocol, port }, done) => {
      const isSecure = protocol === "https:";
      const to = {
        host: hostname,
        port: Number(port) || (isSecure ? 443 : 80),
        lookup: answering(addresses),
        autoSelectFamily: true,
        autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_AFTER_MS,
        noDelay: true,
        keepAlive: true,
      };
      const socket = isSecure
        ? connectTls({
            ...to,
            servername: isIP(hostname) === 0 ? hostname : "",
            ALPNProtocols: ["http/1.1"],
            // Whatever the environment says.
            rejectUnauthorized: true,
            ...this.#trust(),
          })
        : connectTcp(to);
      this.#connecting.add(socket);
      const stopTimer = clock.setTimer(
        () => socket.destroy(tooSlow("connectTimeoutMs", limits.connectTimeoutMs)),
        limits.connectTimeoutMs,
      );
      const settle = (): boolean => {
        stopTimer();
        return this.#connecting.delete(socket);
      };
      socket.once(isSecure ? "secureConnect" : "connect", () => {
        if (settle()) done(null, socket);
      });
      socket.on("error", (error) => {
        if (settle()) done(error, null);
      });
      socket.once("close", () => {
        if (settle()) done(new Error("closed before it was connected"), null);
      });
    };
  }

  /** Whom TLS trusts, unless that is whom Node.js trusts. */
  #trust(): { readonly secureContext?: SecureContext } {
    const { certificateAuthorities } = this.#options;
    if (certificateAuthorities.length === 0) return {};
    this.#secureContext ??= createSecureContext({ ca: [...getCACertificates("default"), ...certificateAuthorities] });
    return { secureContext: this.#secureContext };
  }
}

/** A look-up that knows its answer. */
const answering =
  (addresses: readonly string[]): LookupFunction =>
  (_hostname, { all }, done) => {
    const answers = addresses.map((address) => ({ address, family: isIP(address) }));
    const [first] = answers;
    if (first === undefined) done(new Error("there are no addresses"), []);
    else if (all) done(null, answers);
    else done(null, first.address, first.family);
  };
