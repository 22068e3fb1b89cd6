import { BlockList } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AddressClass,
  classOf,
  isInNetworks,
  parseAddress,
  parseNetwork,
} from "../../packages/runtime/src/operations/network/address.ts";

function bytesOf(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new Error(`${text} is no address`);
  return bytes;
}

const classOfText = (text: string): AddressClass => classOf(bytesOf(text));
const v4Text = (bytes: Uint8Array): string => bytes.join(".");
/** Spelt out, so that nothing is left to a parser's cleverness. */
const v6Text = (bytes: Uint8Array): string => (Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? []).join(":");

const v4Address = fc.uint8Array({ minLength: 4, maxLength: 4 });
const v6Address = fc.uint8Array({ minLength: 16, maxLength: 16 });

describe("an address is read from its bytes", () => {
  test.each([
    ["1.2.3.4", "01020304"],
    ["::", "0".repeat(32)],
    ["::1", `${"0".repeat(31)}1`],
    ["1::", `0001${"0".repeat(28)}`],
    ["fe80::a:b", `fe80${"0".repeat(20)}000a000b`],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
    ["::ffff:1.2.3.4", "00000000000000000000ffff01020304"],
    ["64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221"],
  ])("%s", (text, hex) => {
    expect(Buffer.from(bytesOf(text)).toString("hex")).toBe(hex);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "0x7f.1",
    "2130706433",
    "1::2::3",
    "g::",
    "[::1]",
    "localhost",
    "1.2.3.4/8",
  ])("%j is none", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test("whatever its spelling", () => {
    fc.assert(
      fc.property(v6Address, (bytes) => {
        const written = new URL(`http://[${v6Text(bytes)}]/`).hostname.slice(1, -1);
        expect(parseAddress(v6Text(bytes))).toEqual(bytes);
        expect(parseAddress(written)).toEqual(bytes);
        const [groups, tail] = [v6Text(bytes).split(":").slice(0, 6).join(":"), v4Text(bytes.subarray(12))];
        expect(parseAddress(`${groups}:${tail}`)).toEqual(bytes);
      }),
    );
    fc.assert(fc.property(v4Address, (bytes) => void expect(parseAddress(v4Text(bytes))).toEqual(bytes)));
  });
});

describe("the class of an address", () => {
  test.each<[AddressClass, ...string[]]>([
    [
      "public",
      "1.1.1.1",
      "8.8.8.8",
      "172.15.255.255",
      "172.32.0.0",
      "100.63.255.255",
      "100.128.0.0",
      "223.255.255.255",
    ],
    [
      "public",
      "11.0.0.0",
      "126.255.255.255",
      "128.0.0.0",
      "169.253.0.0",
      "192.167.255.255",
      "192.169.0.0",
      "198.20.0.0",
    ],
    ["public", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "2620:4f:8000::1", "2001:200::1"],
    ["unspecified", "0.0.0.0", "::", "::ffff:0.0.0.0"],
    ["loopback", "127.0.0.1", "127.255.255.255", "::1"],
    ["private", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fec0::1", "64:ff9b:1::808:808"],
    ["link-local", "169.254.0.1", "169.254.255.255", "fe80::1", "febf::1"],
    ["unique-local", "fc00::1", "fdff:ffff::1"],
    ["shared", "100.64.0.1", "100.127.255.255"],
    ["metadata", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
    ["multicast", "224.0.0.1", "239.255.255.255", "ff02::1"],
    ["benchmarking", "198.18.0.1", "198.19.255.255", "2001:2::1"],
    ["documentation", "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    ["reserved", "0.0.0.1", "192.0.0.1", "192.88.99.1", "240.0.0.1", "255.255.255.255", "100::1", "4000::1", "5f00::1"],
    ["reserved", "2001:10::1", "2001:1ff::1", "2001:1::1", "::2", "64:ff9b:2::1"],
  ])("%s: %s", (expected, ...addresses) => {
    for (const address of addresses) expect(classOfText(address), address).toBe(expected);
  });

  const PLAIN: readonly string[] = [
    ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"],
    ...["192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
    ...["224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"],
  ];

  const listOf = (family: "ipv4" | "ipv6", networks: readonly string[]): BlockList => {
    const list = new BlockList();
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      list.addSubnet(address, Number(bits), family);
    }
    return list;
  };

  /** Addresses near the edges of networks, where mistakes are, and any others. */
  const near = (networks: readonly string[], any: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
    fc.oneof(
      any,
      fc
        .tuple(fc.constantFrom(...networks), any, fc.nat(127), fc.boolean())
        .map(([network, noise, flip, isFlipped]) => {
          const [address = "", bits] = network.split("/");
          const bytes = bytesOf(address).slice();
          const longest = bytes.length * 8;
          for (let bit = Number(bits); bit < longest; bit++) setBit(bytes, bit, bitOf(noise, bit));
          if (isFlipped) setBit(bytes, flip % longest, 1 - bitOf(bytes, flip % longest));
          return bytes;
        }),
    );

  const bitOf = (bytes: Uint8Array, bit: number): number => ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
  const setBit = (bytes: Uint8Array, bit: number, value: number): void => {
    const mask = 1 << (7 - (bit & 7));
    bytes[bit >> 3] = value === 1 ? (bytes[bit >> 3] ?? 0) | mask : (bytes[bit >> 3] ?? 0) & ~mask;
  };

  test("IPv4: public is what is in none of the networks that are set aside", () => {
    const list = listOf("ipv4", PLAIN);
    fc.assert(
      fc.property(near(PLAIN, v4Address), (bytes) => {
        expect(classOf(bytes) === "public").toBe(!list.check(v4Text(bytes), "ipv4"));
      }),
      { numRuns: 5_000 },
    );
  });

  test("IPv6: public is the global range without what is set aside in it, and without what carries IPv4", () => {
    const global = listOf("ipv6", ["2000::/3"]);
    const ASIDE = ["2001::/23", "2001:db8::/32", "3fff::/20", "2002::/16", "2001::/32"];
    const aside = listOf("ipv6", ASIDE);
    const carriers = listOf("ipv6", [
      "2002::/16",
      "2001::/32",
      "64:ff9b::/96",
      "::/96",
      "::ffff:0:0/96",
      "::ffff:0:0:0/96",
    ]);
    const networks = [...ASIDE, "2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b:1::/48", "64:ff9b::/95"];
    fc.assert(
      fc.property(near(networks, v6Address), (bytes) => {
        const text = v6Text(bytes);
        if (carriers.check(text, "ipv6")) return;
        const isPublic = global.check(text, "ipv6") && !aside.check(text, "ipv6");
        expect(classOf(bytes) === "public", text).toBe(isPublic);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ["mapped", (v4: string) => `::ffff:${v4}`],
    ["translated", (v4: string) => `::ffff:0:${v4}`],
    ["behind a translator", (v4: string) => `64:ff9b::${v4}`],
    ["6to4", (v4: string) => `2002:${hexOf(bytesOf(v4))}::1`],
    ["a Teredo server", (v4: string) => `2001:0:${hexOf(bytesOf(v4))}:0:0:${hexOf(bytesOf("8.8.8.8").map((b) => ~b))}`],
    ["a Teredo client", (v4: string) => `2001:0:${hexOf(bytesOf("8.8.8.8"))}:0:0:${hexOf(bytesOf(v4).map((b) => ~b))}`],
  ])("IPv4 that is %s is what it is alone", (_form, spell) => {
    fc.assert(
      fc.property(near(PLAIN, v4Address), (bytes) => {
        const text = v4Text(bytes);
        expect(classOfText(spell(text)), text).toBe(classOf(bytes));
      }),
      { numRuns: 1_000 },
    );
  });

  const hexOf = (bytes: Uint8Array): string => (Buffer.from(bytes).toString("hex").match(/.{4}/g) ?? []).join(":");

  test("IPv4 in the last bytes of nothing is what it is alone", () => {
    fc.assert(
      fc.property(v4Address, (bytes) => {
        fc.pre(bytes.some((byte, index) => index < 3 && byte !== 0));
        expect(classOfText(`::${v4Text(bytes)}`)).toBe(classOf(bytes));
      }),
    );
    expect(classOfText("::127.0.0.1")).toBe("loopback");
  });

  test("a translator of somebody's own is never public", () => {
    fc.assert(
      fc.property(v6Address, (bytes) => {
        bytes.set(bytesOf("64:ff9b:1::").subarray(0, 6));
        expect(classOf(bytes)).toBe("private");
      }),
    );
  });
});

describe("networks", () => {
  test.each([
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "10.0.0.0/1e1",
    "x/8",
    "fe80::1%eth0/64",
    "",
  ])("%j is none", (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  });

  test("have the addresses that begin as they do", () => {
    const network = fc.oneof(fc.tuple(v4Address, v4Address, fc.nat(32)), fc.tuple(v6Address, v6Address, fc.nat(128)));
    fc.assert(
      fc.property(network, fc.nat(128), ([prefix, noise, bits], shared) => {
        const isV4 = prefix.length === 4;
        const text = isV4 ? v4Text(prefix) : v6Text(prefix);
        // As many bits of the prefix as chance has it, then noise.
        const address = prefix.map((byte, index) => {
          const keep = Math.min(Math.max(shared - index * 8, 0), 8);
          const mask = (0xff << (8 - keep)) & 0xff;
          return (byte & mask) | ((noise[index] ?? 0) & ~mask);
        });
        const list = new BlockList();
        list.addSubnet(text, bits, isV4 ? "ipv4" : "ipv6");
        const parsed = parseNetwork(`${text}/${bits}`);
        expect(parsed).toBeDefined();
        const expected = list.check(isV4 ? v4Text(address) : v6Text(address), isV4 ? "ipv4" : "ipv6");
        expect(isInNetworks(address, parsed ? [parsed] : [])).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test("an address without bits is a network of its own", () => {
    const networks = [parseNetwork("10.0.0.1")].flatMap((network) => network ?? []);
    expect(isInNetworks(bytesOf("10.0.0.1"), networks)).toBe(true);
    expect(isInNetworks(bytesOf("10.0.0.2"), networks)).toBe(false);
  });

  test("a mapped address is in the networks of what it maps, other carriers are not", () => {
    const networks = [parseNetwork("10.0.0.0/8")].flatMap((network) => network ?? []);
    expect(isInNetworks(bytesOf("::ffff:10.0.0.1"), networks)).toBe(true);
    expect(isInNetworks(bytesOf("::ffff:11.0.0.1"), networks)).toBe(false);
    expect(isInNetworks(bytesOf("64:ff9b::10.0.0.1"), networks)).toBe(false);
    expect(isInNetworks(bytesOf("::10.0.0.1"), networks)).toBe(false);
  });
});
