/** Which requests may become WebSocket connections, for every host alike: against DNS rebinding and foreign pages. */
import { isLoopbackHost } from "./transport.ts";

/** What a request to become a WebSocket says. Each member is what was sent, unchanged. */
export interface UpgradeRequest {
  /** Everything of the request's target before `?`. */
  readonly path: string;
  /** Every `Host` header. */
  readonly hosts: readonly string[];
  readonly origin?: string | undefined;
  readonly hasCookies: boolean;
  /** Was the connection made to an address of this machine alone? */
  readonly isLocal: boolean;
}

/** What may be connected to, and from where. */
export interface UpgradeRules {
  readonly paths: ReadonlySet<string>;
  /** As {@link isAllowedHost} takes them. Default on loopback: the names of this machine; otherwise any. */
  readonly allowedHosts?: readonly string[] | "any" | undefined;
  /** Origins of pages beside those that this very host serves. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** With which HTTP status a request is refused, and what the operator or developer has to know. */
export interface UpgradeRefusal {
  readonly status: number;
  readonly reason: string;
}

/** What the loopback interface is called. */
export const LOOPBACK_NAMES: readonly string[] = ["localhost", "127.0.0.1", "[::1]", "::1"];

/** Does a `Host` header carry one of these names? One with a port has to agree in the port, too. */
export function isAllowedHost(host: string, allowed: readonly string[]): boolean {
  const name = host.toLowerCase();
  const hostname = hostnameOf(name);
  return allowed.some((entry) => entry.toLowerCase() === name || entry.toLowerCase() === hostname);
}

/** A `Host` header without its port, in lower case. */
export const hostnameOf = (host: string): string => host.toLowerCase().replace(/:\d+$/, "");

/** Why an upgrade is refused; `undefined` when it may go on. */
export function refuseUpgrade(request: UpgradeRequest, rules: UpgradeRules): UpgradeRefusal | undefined {
  if (!rules.paths.has(request.path)) return { status: 404, reason: "there is no runtime at this path" };
  const [host = ""] = request.hosts;
  // One of two would be checked here and the other, perhaps, by what stands in front.
  if (request.hosts.length > 1 || host === "") return { status: 400, reason: "expected one Host header" };
  const allowedHosts = rules.allowedHosts ?? (request.isLocal ? LOOPBACK_NAMES : "any");
  if (allowedHosts !== "any" && !isAllowedHost(host, allowedHosts)) {
    return { status: 421, reason: "the Host is none of this server's: see allowedHosts" };
  }
  return refuseOrigin(request, host, rules.allowedOrigins ?? []);
}

function refuseOrigin(
  { origin, hasCookies }: UpgradeRequest,
  host: string,
  allowed: readonly string[],
): UpgradeRefusal | undefined {
  if (origin === undefined) {
    // Browsers send both. Who has cookies and hides where it comes from is no program of its own.
    return hasCookies ? { status: 403, reason: "cookies without an Origin" } : undefined;
  }
  const isOwn = URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
  return isOwn || allowed.includes(origin)
    ? undefined
    : { status: 403, reason: "pages of this Origin may not connect: see allowedOrigins" };
}

/** The token of an `Authorization` header of the scheme Bearer (RFC 6750 §2.1); `undefined` for any other. */
export const bearerTokenOf = (authorization: string | null | undefined): string | undefined =>
  /^bearer +(?<token>[A-Za-z0-9\-._~+/]+=*)$/i.exec(authorization ?? "")?.groups?.["token"];

/** Headers that say that somebody passed the request on. */
export const FORWARDING_HEADERS: readonly string[] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/**
 * Does a plain connection stay inside this machine? One from a proxy on this machine does not: its other half is as it
 * may be.
 */
export function isInsideMachine(
  remoteAddress: string | undefined,
  host: string | undefined,
  isForwarded: boolean,
): boolean {
  return isLoopbackAddress(remoteAddress) && isLoopbackHost(hostnameOf(host ?? "")) && !isForwarded;
}

/** Is it an address of this machine, as a socket names it? */
export const isLoopbackAddress = (address: string | undefined): boolean =>
  address !== undefined && isLoopbackHost(address.replace(/^::ffff:/, ""));

/** The URL of a request of the Fetch standard: one of HTTP/1.0 may have a path alone, where the host does not add one. */
export const urlOfRequest = ({ url }: { readonly url: string }): URL => new URL(url, "http://host.invalid");

/** Do plain connections come from a proxy that speaks TLS with the clients: all of them, or those from which addresses? */
export type TlsProxyRule = boolean | ((remoteAddress: string | undefined) => boolean);

/** Does a plain connection from that address come from the proxy? */
export const isFromTlsProxy = (rule: TlsProxyRule | undefined, remoteAddress: string | undefined): boolean =>
  typeof rule === "function" ? rule(remoteAddress) : rule === true;
