/** Where a URL leads: to addresses that were all looked at, or nowhere. */
import { lookup } from "node:dns/promises";
import { type Lease, PermissionDeniedError } from "@arcp/core";
import { matchesPattern, patternOf } from "../../engine/lease/pattern.ts";
import { classOf, isInNetworks, type Network, parseAddress } from "./address.ts";
import { failed } from "./failure.ts";

/** All addresses of a name, of both families. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

/** What the machine says, its hosts file included. */
export const resolveName: Resolve = async (hostname) =>
  (await lookup(hostname, { all: true, order: "verbatim" })).map(({ address }) => address);

export interface AddressPolicy {
  readonly lease: Lease;
  readonly resolve: Resolve;
  /** What may be reached beside the public addresses. */
  readonly allowedNetworks: readonly Network[];
}

/** What no resolver is asked about. */
const LOCALHOST = ["127.0.0.1", "::1"];

/**
 * The addresses of `target`, a canonical URL that the lease covers.
 *
 * @throws PermissionDeniedError if one of them is neither public nor in an allowed network, unless the lease grants the
 *   URL by its address, or by the name `localhost`. `details.address_class` is the class of the address.
 * @throws InternalError if there are none.
 */
export async function addressesOf(
  target: string,
  { lease, resolve, allowedNetworks }: AddressPolicy,
): Promise<readonly string[]> {
  const hostname = new URL(target).hostname.replace(/^\[|\]$/g, "");
  const itself = parseAddress(hostname) !== undefined ? [hostname] : hostname === "localhost" ? LOCALHOST : undefined;
  if (itself !== undefined && isGrantedByHost(lease, target)) return itself;
  const addresses = itself ?? [...(await resolve(hostname))];
  if (addresses.length === 0) throw failed("name_not_found");
  for (const text of addresses) {
    const address = parseAddress(text);
    const found = address === undefined ? "reserved" : classOf(address);
    if (found === "public" || (address !== undefined && isInNetworks(address, allowedNetworks))) continue;
    const shown = target.replace(/[?#].*$/s, "");
    throw new PermissionDeniedError(`net.fetch ${JSON.stringify(shown)}: leads to a ${found} address`, {
      details: { capability: "net.fetch", target: shown, address_class: found },
    });
  }
  return addresses;
}

/** Does a pattern that matches `target` spell out its host? */
function isGrantedByHost(lease: Lease, target: string): boolean {
  const granted = Object.hasOwn(lease, "net.fetch") ? (lease["net.fetch"] ?? []) : [];
  return granted.some((text) => {
    const pattern = patternOf("net.fetch", text);
    return pattern !== undefined && /^https?:\/\/[^/*]+\//.test(text) && matchesPattern(pattern, target);
  });
}
