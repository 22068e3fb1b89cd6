/** A proxy in front of `arcp serve`: what its connections count as, and whose address clients have. */
import { BlockList, isIP } from "node:net";
import type { HttpRequest } from "@arcp/core";
import type { TlsProxySettings } from "../config.ts";
import { UsageError } from "./exit-code.ts";

export interface ProxyRules {
  /** Does what comes from that address come from the proxy? */
  readonly isBehindTlsProxy?: (remoteAddress: string | undefined) => boolean;
  /** The client's address as the proxy tells it; `undefined` where nobody who is trusted does. */
  readonly remoteAddressOf?: (request: Pick<HttpRequest, "headers" | "socket">) => string | undefined;
}

const HERE = ["127.0.0.0/8", "::1"];
const ADDRESS_HEADER = "x-real-ip";

/** How the listeners treat what comes from the proxy. Throws {@link UsageError} for what is no address and no network. */
export function proxyRules(settings: TlsProxySettings | undefined): ProxyRules {
  if (settings === undefined) return {};
  const { from = HERE, addressHeader = ADDRESS_HEADER } = settings;
  const proxies = networksOf(from);
  const header = addressHeader.toLowerCase();
  return {
    isBehindTlsProxy: (remoteAddress) => isWithin(proxies, remoteAddress),
    remoteAddressOf: ({ headers, socket }) =>
      isWithin(proxies, socket.remoteAddress) ? lastAddress(headers[header]) : undefined,
  };
}

function networksOf(texts: readonly string[]): BlockList {
  const networks = new BlockList();
  for (const text of texts) {
    const [, address = "", bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const family = isIP(address);
    const maxBits = family === 6 ? 128 : 32;
    const prefix = Number(bits ?? maxBits);
    if (family === 0 || prefix > maxBits) {
      throw new UsageError(`tlsProxy.from: expected an address or a network such as 10.0.0.0/8, not ${text}`);
    }
    networks.addSubnet(address, prefix, family === 6 ? "ipv6" : "ipv4");
  }
  return networks;
}

/** A socket that listens for both families names IPv4 addresses in the way of IPv6. */
function isWithin(networks: BlockList, remoteAddress: string | undefined): boolean {
  const address = remoteAddress?.replace(/^::ffff:(?=\d+\.)/, "") ?? "";
  const family = isIP(address);
  return family !== 0 && networks.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** What the nearest proxy has said: each one adds its word at the end. What is no address counts for nothing. */
function lastAddress(value: string | readonly string[] | undefined): string | undefined {
  const text = typeof value === "string" ? value : value?.at(-1);
  const last = text?.split(",").at(-1)?.trim() ?? "";
  return isIP(last) === 0 ? undefined : last;
}
