/** What an IP address is, read from its bytes: only the public ones are for everybody. */
import { isIPv4, isIPv6 } from "node:net";

export type AddressClass =
  | "public"
  | "unspecified"
  | "loopback"
  | "private"
  | "link-local"
  | "unique-local"
  | "shared"
  | "metadata"
  | "multicast"
  | "benchmarking"
  | "documentation"
  | "reserved";

/** Addresses that begin with the same bits. */
export interface Network {
  readonly prefix: Uint8Array;
  /** How many bits of the prefix count. */
  readonly bits: number;
}

/** The four or sixteen bytes of an address, written in any standard way. Undefined for what is none. */
export function parseAddress(text: string): Uint8Array | undefined {
  if (isIPv4(text)) return Uint8Array.from(text.split("."), Number);
  return isIPv6(text) ? parseV6(text) : undefined;
}

function parseV6(text: string): Uint8Array {
  // A zone says through which interface, not where to.
  const [written = ""] = text.split("%");
  const [before = "", after] = written.split("::");
  const head = bytesOf(before);
  const tail = bytesOf(after ?? "");
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of groups such as `fe80:1`, the last of which may be written as an IPv4 address. */
function bytesOf(groups: string): number[] {
  if (groups === "") return [];
  return groups.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** `text` as `address/bits`, or an address that stands for itself. Undefined for what is no network. */
export function parseNetwork(text: string): Network | undefined {
  const [address = "", bits, ...more] = text.split("/");
  const prefix = address.includes("%") ? undefined : parseAddress(address);
  if (prefix === undefined || more.length > 0) return undefined;
  const longest = prefix.length * 8;
  if (bits === undefined) return { prefix, bits: longest };
  if (!/^(?:0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > longest) return undefined;
  return { prefix, bits: Number(bits) };
}

function isWithin(address: Uint8Array, { prefix, bits }: Network): boolean {
  if (address.length !== prefix.length) return false;
  const whole = bits >> 3;
  for (let index = 0; index < whole; index++) {
    if (address[index] !== prefix[index]) return false;
  }
  const rest = bits & 7;
  return rest === 0 || (((address[whole] ?? 0) ^ (prefix[whole] ?? 0)) & (0xff << (8 - rest))) === 0;
}

/** Is `address` in one of `networks`? A v4-mapped address is the IPv4 address in it as well: it is reached that way. */
export function isInNetworks(address: Uint8Array, networks: readonly Network[]): boolean {
  const mapped = address.length === 16 && isWithin(address, V4_MAPPED) ? address.subarray(12) : undefined;
  return networks.some((network) => isWithin(address, network) || (mapped !== undefined && isWithin(mapped, network)));
}

/**
 * The class of an address of four or sixteen bytes. An IPv6 address that carries IPv4 addresses, to which a translator
 * or a tunnel would lead, is what those are: public only if all of them are.
 */
export function classOf(address: Uint8Array): AddressClass {
  if (address.length === 4) return firstMatch(V4_CLASSES, address) ?? "public";
  const named = firstMatch(V6_NAMED, address);
  if (named !== undefined) return named;
  const carried = firstMatch(CARRIERS, address)?.(address);
  if (carried !== undefined) return carried.map(classOf).find((one) => one !== "public") ?? "public";
  return firstMatch(V6_CLASSES, address) ?? "reserved";
}

type Table<Value> = readonly (readonly [Network, Value])[];

const firstMatch = <Value>(table: Table<Value>, address: Uint8Array): Value | undefined =>
  table.find(([network]) => isWithin(address, network))?.[1];

function known(text: string): Network {
  const network = parseNetwork(text);
  if (network === undefined) throw new TypeError(`${text} is no network`);
  return network;
}

const tableOf = <Value>(rows: readonly (readonly [string, Value])[]): Table<Value> =>
  rows.map(([text, value]) => [known(text), value]);

/** The first row that matches counts. What no row matches is public. */
const V4_CLASSES = tableOf<AddressClass>([
  ["169.254.169.254", "metadata"],
  ["169.254.170.2", "metadata"], // Tasks of a container service ask here for their credentials.
  ["169.254.170.23", "metadata"],
  ["100.100.100.200", "metadata"],
  ["192.0.0.192", "metadata"],
  ["168.63.129.16", "metadata"], // In a public range, and yet a cloud's own.
  ["0.0.0.0", "unspecified"],
  ["0.0.0.0/8", "reserved"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "shared"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "reserved"],
  ["192.0.2.0/24", "documentation"],
  ["192.88.99.0/24", "reserved"],
  ["192.168.0.0/16", "private"],
  ["198.18.0.0/15", "benchmarking"],
  ["198.51.100.0/24", "documentation"],
  ["203.0.113.0/24", "documentation"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
]);

/** What would otherwise be taken for something else. */
const V6_NAMED = tableOf<AddressClass>([
  ["::", "unspecified"],
  ["::1", "loopback"],
  ["fd00:ec2::254", "metadata"],
  ["fd00:ec2::23", "metadata"],
  ["fd20:ce::254", "metadata"],
  ["fd00:c1::a9fe:a9fe", "metadata"],
]);

const V4_MAPPED = known("::ffff:0:0/96");

/** Where IPv6 addresses carry IPv4 addresses. */
const CARRIERS = tableOf<(address: Uint8Array) => readonly Uint8Array[]>([
  ["::/96", lastFour],
  ["::ffff:0:0/96", lastFour],
  ["::ffff:0:0:0/96", lastFour],
  ["64:ff9b::/96", lastFour],
  ["2002::/16", (address) => [address.subarray(2, 6)]],
  // Teredo: the server, and the client with its bits inverted.
  ["2001::/32", (address) => [address.subarray(4, 8), address.subarray(12).map((byte) => ~byte)]],
]);

function lastFour(address: Uint8Array): readonly Uint8Array[] {
  return [address.subarray(12)];
}

/** The first row that matches counts. What no row matches is reserved. */
const V6_CLASSES = tableOf<AddressClass>([
  // A translator of one network's own: where in the address it looks for IPv4, and where it leads, is not known here.
  ["64:ff9b:1::/48", "private"],
  ["fc00::/7", "unique-local"],
  ["fe80::/10", "link-local"],
  ["fec0::/10", "private"],
  ["ff00::/8", "multicast"],
  ["2001:2::/48", "benchmarking"],
  ["2001:db8::/32", "documentation"],
  ["3fff::/20", "documentation"],
  ["2001::/23", "reserved"],
  ["2000::/3", "public"],
]);
