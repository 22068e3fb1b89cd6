/** What a refusal says: which rule it was, and the facts that the caller needs. */
import { ARCPError, type Lease } from "@arcp/core";
import {
  assertLeaseConstraintsSubset,
  assertLeaseSubset,
  canonicalizeTarget,
  isLeaseSubset,
  isValidCapabilityName,
  validateLeaseConstraints,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";

const FUTURE = "2027-01-01T00:00:00Z";

function refusalOf(run: () => unknown): { code: string; message: string; details: unknown } | string {
  try {
    return `allowed: ${JSON.stringify(run())}`;
  } catch (error) {
    if (!(error instanceof ARCPError)) throw error;
    return { code: error.code, message: error.message, details: error.details };
  }
}

describe("a target", () => {
  const LENGTH = "a target has 1 to 4096 characters";
  const PATH_CHARACTERS = "a path has no control or direction characters";
  const ESCAPED = "a path is not percent-encoded";
  const ROOT = "a path is absolute and begins with one slash";
  const DRIVE = "a path names no drive";
  const NO_URL = "not a URL";
  const NO_HOST = "a URL names a host";
  const AGENT = "an agent is named as name or name@version (§7.5)";

  test.each([
    ["no.such", "a", "no.such is about no target"],
    ["n".repeat(200), "a", `${"n".repeat(128)} is about no target`],
    ["cost.budget", "USD:1", "cost.budget is about no target"],
    ["fs.read", 5, "a target is a string"],
    ["fs.read", "", LENGTH],
    ["fs.read", `/${"a".repeat(4096)}`, LENGTH],
    ["fs.read", "/a\u0000", PATH_CHARACTERS],
    ["fs.read", "/a\\b", "a path is separated by slashes, not backslashes"],
    ["fs.read", "/a%2E", ESCAPED],
    ["fs.read", "a", ROOT],
    ["fs.read", "//a", ROOT],
    ["fs.read", "/C:", DRIVE],
    ["fs.read", "/./z:/a", DRIVE],
    ["fs.read", "/a/../C:/a", DRIVE],
    ["net.fetch", "example.com/a", NO_URL],
    ["net.fetch", " https://example.com/", NO_URL],
    ["net.fetch", "1https://example.com/", NO_URL],
    ["net.fetch", "https://example.com:99999/", NO_URL],
    ["net.fetch", "https:", NO_HOST],
    ["net.fetch", "https:///a", NO_HOST],
    ["net.fetch", "https:example.com", NO_HOST],
    ["net.fetch", "https:/a/https://a/", NO_HOST],
    ["net.fetch", "https://?a", NO_HOST],
    ["net.fetch", "https://a:b@example.com/", "a URL carries no user information"],
    ["agent.delegate", "a@", AGENT],
    ["agent.delegate", "a".repeat(513), AGENT],
    ["x-vendor.acme.x", "a\n", "a target has no control or direction characters"],
  ])("%s %j is of another kind", (capability, target, message) => {
    const refusal = refusalOf(() => canonicalizeTarget(capability, target));
    expect(refusal).toEqual({ code: "INVALID_REQUEST", message, details: undefined });
  });

  const SCHEME = "only http and https URLs can be granted";
  const URL_CHARACTERS = "a URL has no spaces, backslashes or control characters";
  const HOST = "the host of a URL is spelt canonically, in ASCII";
  const EMPTY = "a URL path has no empty segments";
  const ENCODED = "a URL path has no encoded dots or separators";
  const DOTS = "a URL path has no dot segments";
  const UTF8 = "a URL path is encoded as UTF-8 without control characters";
  const NAME = "a name has letters, digits and . _ : @ / -, and no empty or dot segments";

  test.each([
    ["net.fetch", "a-b+c.d1:x", SCHEME],
    ["net.fetch", "httpss://example.com/", SCHEME],
    ["net.fetch", "xhttp://example.com/", SCHEME],
    ["net.fetch", "https://example.com/a b", URL_CHARACTERS],
    ["net.fetch", "https://example.com/a\\b", URL_CHARACTERS],
    ["net.fetch", "https://example.com/\u0001", URL_CHARACTERS],
    ["net.fetch", "https://example.com./", HOST],
    ["net.fetch", "https://.example.com/", HOST],
    ["net.fetch", "https://a..example.com/", HOST],
    ["net.fetch", "https://!example.com/", HOST],
    ["net.fetch", "https://example.com!/", HOST],
    ["net.fetch", "https://b\u00fccher.example/", HOST],
    ["net.fetch", "https://127.1/", HOST],
    ["net.fetch", "https://[0::1]/", HOST],
    ["net.fetch", "https://example.com//", EMPTY],
    ["net.fetch", "https://example.com/a//b", EMPTY],
    ["net.fetch", "https://example.com/a%2E", ENCODED],
    ["net.fetch", "https://example.com/a%2f", ENCODED],
    ["net.fetch", "https://example.com/a%5C", ENCODED],
    ["net.fetch", "https://example.com/a%252E", ENCODED],
    ["net.fetch", "https://example.com/a/.", DOTS],
    ["net.fetch", "https://example.com/a/..", DOTS],
    ["net.fetch", "https://example.com/./a", DOTS],
    ["net.fetch", "https://example.com/a/..?b", DOTS],
    ["net.fetch", "https://example.com/a/..#b", DOTS],
    ["net.fetch", "https://example.com/.;a", DOTS],
    ["net.fetch", "https://example.com/a/..;a/b", DOTS],
    ["net.fetch", "https://example.com/%", UTF8],
    ["net.fetch", "https://example.com/%e9", UTF8],
    ["net.fetch", "https://example.com/%0a", UTF8],
    ["tool.call", "a b", NAME],
    ["tool.call", " a", NAME],
    ["tool.call", "a\n", NAME],
    ["tool.call", "/a", NAME],
    ["tool.call", "a/./b", NAME],
    ["tool.call", "a/..", NAME],
  ])("%s %j can be granted by no pattern", (capability, target, message) => {
    const refusal = refusalOf(() => canonicalizeTarget(capability, target));
    expect(refusal).toEqual({ code: "PERMISSION_DENIED", message, details: undefined });
  });

  test.each([
    ["fs.read", "/", "/"],
    ["fs.read", `/${"a".repeat(4095)}`, `/${"a".repeat(4095)}`],
    ["fs.read", "/..", "/"],
    ["fs.read", "/a/b/", "/a/b"],
    ["fs.read", "/...", "/..."],
    ["fs.read", "/a/C:", "/a/C:"],
    ["net.fetch", "HTTP://Example.COM:80", "http://example.com/"],
    ["net.fetch", "http://example.com:8080?", "http://example.com:8080/"],
    ["net.fetch", "http://example.com#a//b", "http://example.com/#a//b"],
    ["net.fetch", "http://example.com/?a//..//%2e", "http://example.com/?a//..//%2e"],
    ["net.fetch", "http://a-b_c.d.example/x/", "http://a-b_c.d.example/x/"],
    ["net.fetch", "http://[2001:db8::7f]/", "http://[2001:db8::7f]/"],
    ["net.fetch", "http://192.0.2.1:/", "http://192.0.2.1/"],
    ["net.fetch", "https://example.com/.a/...;/a.;", "https://example.com/.a/...;/a.;"],
    ["net.fetch", "https://example.com/%25/%25z/%253/%25zz", "https://example.com/%25/%25z/%253/%25zz"],
    ["agent.delegate", "a".repeat(512), "a".repeat(512)],
    ["tool.call", "aZ09._:@/-", "aZ09._:@/-"],
    ["tool.call", "a..b/.c", "a..b/.c"],
    ["x-vendor.acme.x", "//a b/..", "//a b/.."],
  ])("%s %j is %j", (capability, target, canonical) => {
    expect(canonicalizeTarget(capability, target)).toBe(canonical);
  });

  test("has every escape that may be in a URL spelt one way", () => {
    for (let byte = 0x20; byte < 0x7f; byte += 1) {
      const character = String.fromCharCode(byte);
      const hex = byte.toString(16);
      if ("./\\".includes(character)) continue;
      const canonical = /^[A-Za-z0-9_~-]$/.test(character) ? character : `%${hex.toUpperCase()}`;
      const read = canonicalizeTarget("net.fetch", `https://example.com/x%${hex}y%${hex}`);
      expect(read).toBe(`https://example.com/x${canonical}y${canonical}`);
    }
    expect(canonicalizeTarget("net.fetch", "https://example.com/%c3%a9")).toBe("https://example.com/%C3%A9");
    expect(canonicalizeTarget("net.fetch", "https://example.com/\u00e9")).toBe("https://example.com/%C3%A9");
  });

  test("has no character that is not seen as what it is", () => {
    const hidden = [
      ...Array.from({ length: 0x20 }, (_, code) => code),
      ...Array.from({ length: 0x21 }, (_, index) => 0x7f + index),
      ...[0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e],
      ...[0x2066, 0x2067, 0x2068, 0x2069],
      ...Array.from({ length: 0x800 }, (_, index) => 0xd800 + index),
      0xfeff,
    ];
    const refused: number[] = [];
    for (let code = 0; code < 0x10000; code += 1) {
      if (typeof refusalOf(() => canonicalizeTarget("x-vendor.acme.x", String.fromCharCode(code))) === "object") {
        refused.push(code);
      }
    }
    expect(refused).toEqual(hidden);
  });
});

describe("an operation", () => {
  const LEASE: Lease = { "fs.read": ["/a/**"], "net.fetch": [] };
  const denial = (capability: string, target: unknown, lease: Lease = LEASE) =>
    refusalOf(() => validateLeaseOp(lease, capability, target));
  const denied = (message: string, details: object) => ({ code: "PERMISSION_DENIED", message, details });

  test("without a pattern names the narrowest one, if a pattern can say it", () => {
    const reason = "the lease does not cover it";
    expect(denial("fs.read", "/b")).toStrictEqual(
      denied(`fs.read "/b": ${reason}`, { capability: "fs.read", target: "/b", patterns: ["/a/**"], needed: "/b" }),
    );
    expect(denial("fs.write", "/b*")).toStrictEqual(
      denied(`fs.write "/b*": ${reason}`, { capability: "fs.write", target: "/b*", patterns: [] }),
    );
    expect(denial("fs.read", "/b?")).toStrictEqual(
      denied(`fs.read "/b?": ${reason}`, { capability: "fs.read", target: "/b?", patterns: ["/a/**"] }),
    );
    expect(denial("net.fetch", "https://example.com/a?b#c")).toStrictEqual(
      denied(`net.fetch "https://example.com/a": ${reason}`, {
        ...{ capability: "net.fetch", target: "https://example.com/a", patterns: [] },
        needed: "https://example.com/a",
      }),
    );
    expect(denial("x-vendor.acme.x", "a#b")).toMatchObject({ details: { target: "a#b", needed: "a#b" } });
  });

  test("on a target that cannot be granted says why", () => {
    expect(denial("net.fetch", "https://example.com//a\n?b\n")).toStrictEqual(
      denied('net.fetch "https://example.com//a\\n": a URL has no spaces, backslashes or control characters', {
        ...{ capability: "net.fetch", target: "https://example.com//a\n", patterns: [] },
      }),
    );
    for (const target of ["a", 5]) {
      expect(denial("no.such", target)).toStrictEqual(
        denied(`no.such ${JSON.stringify(target === 5 ? "" : target)}: the lease does not cover it`, {
          ...{ capability: "no.such", target: target === 5 ? "" : target, patterns: [] },
        }),
      );
    }
  });

  test("shows at most 256 characters of anything", () => {
    const long = `/${"b".repeat(256)}`;
    expect(denial("fs.read", long)).toMatchObject({ details: { target: long.slice(0, 256) } });
    expect(denial("fs.read", long)).not.toMatchObject({ details: { needed: expect.anything() } });
    const longest = long.slice(0, 256);
    expect(denial("fs.read", longest)).toMatchObject({ details: { target: longest, needed: longest } });
    expect(denial("n".repeat(300), "a")).toMatchObject({ details: { capability: "n".repeat(256) } });
  });

  test("is allowed by what the lease itself says", () => {
    const inherited: Lease = Object.create({ "fs.write": ["/a/**"] });
    expect(denial("fs.write", "/a/b", inherited)).toMatchObject({
      code: "PERMISSION_DENIED",
      details: { patterns: [] },
    });
    expect(isLeaseSubset({ "fs.write": ["/a"] }, inherited)).toBe(false);
  });

  test("that is late, or that nobody pays for, says which bound it was", () => {
    const context = { now: Date.parse(FUTURE), constraints: { expires_at: FUTURE } };
    expect(refusalOf(() => validateLeaseOp(LEASE, "fs.read", "/a", context))).toStrictEqual({
      ...{ code: "LEASE_EXPIRED", message: "the lease has expired", details: { expires_at: FUTURE } },
    });
    expect(refusalOf(() => validateLeaseOp(LEASE, "fs.read", "/a", { ...context, now: context.now - 1 }))).toBe(
      'allowed: "/a"',
    );
    expect(refusalOf(() => validateLeaseOp(LEASE, "fs.read", "/a", { now: 0, constraints: {} }))).toBe('allowed: "/a"');
    const budget = new Map([["USD", -1]]);
    expect(refusalOf(() => validateLeaseOp(LEASE, "fs.read", "/a", { now: 0, budget }))).toStrictEqual({
      ...{ code: "BUDGET_EXHAUSTED", message: "the budget in USD is used up" },
      details: { currency: "USD", remaining: -1 },
    });
  });
});

describe("a pattern", () => {
  const refusal = (capability: string, pattern: string) =>
    refusalOf(() => validateLeaseShape({ [capability]: [pattern] }));
  const refused = (capability: string, pattern: string, reason: string) => ({
    ...{ code: "INVALID_REQUEST", message: `${capability}: ${reason}`, details: { capability, pattern } },
  });
  const PRINTABLE = "a pattern is printable text";
  const WILDCARDS = "the only wildcards are * and **";

  test.each([
    ["fs.read", "/a\u0000", PRINTABLE],
    ["x-vendor.acme.x", "a\u202e", PRINTABLE],
    ["fs.read", "/a ", PRINTABLE],
    ["x-vendor.acme.x", " a", PRINTABLE],
    ["fs.read", "/a?", WILDCARDS],
    ["fs.read", "/a{b}", WILDCARDS],
    ["x-vendor.acme.x", "!(a)", WILDCARDS],
    ["fs.read", "a", "not a canonical path pattern"],
    ["net.fetch", "a", "not a canonical url pattern"],
    ["net.fetch", "https://example.com/[a]", "not a canonical url pattern"],
    ["tool.call", "a b", "not a canonical name pattern"],
    ["agent.delegate", "a b", "not a canonical agent pattern"],
    ["x-vendor.acme.x", "a//b", "not a canonical text pattern"],
    ["fs.read", "/**", "/** covers everything, which cannot be asked for"],
    ["agent.delegate", "**", "** covers everything, which cannot be asked for"],
  ])("%s %j breaks one rule", (capability, pattern, reason) => {
    expect(refusal(capability, pattern)).toStrictEqual(refused(capability, pattern, reason));
  });

  test("is shown in part if it is long", () => {
    const long = `/a//${"b".repeat(300)}`;
    expect(refusal("fs.read", long)).toMatchObject({ details: { pattern: long.slice(0, 256) } });
  });

  test("may be for every host below a domain, every agent of a version and everything on a host", () => {
    for (const lease of [
      { "net.fetch": ["https://example.com/**", "https://*.co.uk/**", "https://*.b.c.example.com:8443/a?b{c}"] },
      { "agent.delegate": ["**@1", "*", "*@*"] },
      { "fs.read": ["/*", "/a*/**", "/**/a", "/(a)+b", "/a!b"] },
    ]) {
      expect(validateLeaseShape(lease)).toEqual(lease);
    }
  });
});

describe("a lease", () => {
  const refusal = (value: unknown) => refusalOf(() => validateLeaseShape(value));
  const refused = (message: string, details?: object) => ({ code: "INVALID_REQUEST", message, details });
  const LIST = "fs.read: expected at most 64 patterns of 1 to 1024 characters";

  test("says what is wrong with its shape", () => {
    for (const value of [null, undefined, 5, "fs.read", []]) {
      expect(refusal(value)).toStrictEqual(
        refused("a lease is an object of capability names and pattern lists", undefined),
      );
    }
    expect(refusal({ "a b": [] })).toStrictEqual(refused('unknown capability "a b"', { capability: "a b" }));
    expect(refusal({ ["n".repeat(200)]: [] })).toStrictEqual(
      refused(`unknown capability "${"n".repeat(128)}"`, { capability: "n".repeat(128) }),
    );
    for (const patterns of [5, null, {}, [5], [""], ["/a", 5], Array(65).fill("/a"), [`/${"a".repeat(1024)}`]]) {
      expect(refusal({ "fs.read": patterns })).toStrictEqual(refused(LIST, { capability: "fs.read" }));
    }
    const most = { "fs.read": Array(64).fill(`/${"a".repeat(1023)}`) };
    expect(refusal(most)).toBe(`allowed: ${JSON.stringify(most)}`);
  });

  test("spells the currencies of the specification as it does", () => {
    for (const [currency, meant] of [
      ["usd", "USD"],
      ["Eur", "EUR"],
      ["Credits", "credits"],
    ]) {
      expect(refusal({ "cost.budget": [`${currency}:1`] })).toStrictEqual(
        refused(`the currency ${currency} is written ${meant}`, { currency }),
      );
    }
    for (const currency of ["USD", "EUR", "credits", "tokens", "Tokens"]) {
      const lease = { "cost.budget": [`${currency}:1`] };
      expect(refusal(lease)).toBe(`allowed: ${JSON.stringify(lease)}`);
    }
  });

  test("is a copy that cannot change", () => {
    const value = { "fs.read": ["/a"] };
    const lease = validateLeaseShape(value);
    value["fs.read"].push("/**");
    expect(lease).toEqual({ "fs.read": ["/a"] });
    expect([Object.isFrozen(lease), Object.isFrozen(lease["fs.read"])]).toEqual([true, true]);
  });

  test("names vendors' capabilities in lower case and at most 128 characters", () => {
    covers("V11-9.2-02");
    const ofLength = (length: number) => `x-vendor.${"a".repeat(length - 11)}.b`;
    for (const name of ["x-vendor.a.b", "x-vendor.a_1.b-2.c", ofLength(128)])
      expect(isValidCapabilityName(name)).toBe(true);
    for (const name of [
      "yx-vendor.a.b",
      "x-vendor.a.b!",
      "x-vendor.a.",
      "x-vendor..b",
      "x-vendor.a.B",
      ofLength(129),
    ]) {
      expect(isValidCapabilityName(name)).toBe(false);
    }
  });
});

describe("a delegated lease", () => {
  test("that is too wide names the first pattern that is", () => {
    const child = { "fs.read": ["/a/b", "/c", "/d"] };
    expect(refusalOf(() => assertLeaseSubset(child, { "fs.read": ["/a/**"] }))).toStrictEqual({
      code: "LEASE_SUBSET_VIOLATION",
      message: "the parent's lease is not proven to cover fs.read /c",
      details: { capability: "fs.read", pattern: "/c", parent_patterns: ["/a/**"] },
    });
    expect(refusalOf(() => assertLeaseSubset({ "fs.write": ["/c"] }, { "fs.read": ["/**"] }))).toMatchObject({
      details: { capability: "fs.write", pattern: "/c", parent_patterns: [] },
    });
  });

  test("that is too dear names the currency and what is left", () => {
    const message = "the child's budget is above what its parent has left";
    const refusal = (child: string, parent: Lease, remaining?: Map<string, number>) =>
      refusalOf(() => assertLeaseSubset({ "cost.budget": [child] }, parent, { remaining }));
    const violation = (details: object) => ({ code: "LEASE_SUBSET_VIOLATION", message, details });
    expect(refusal("USD:2", { "cost.budget": ["USD:1"] })).toStrictEqual(
      violation({ capability: "cost.budget", currency: "USD", remaining: 1 }),
    );
    expect(refusal("EUR:2", { "cost.budget": ["USD:1"] })).toStrictEqual(
      violation({ capability: "cost.budget", currency: "EUR", remaining: null }),
    );
    expect(refusal("EUR:2", {})).toStrictEqual(
      violation({ capability: "cost.budget", currency: "EUR", remaining: null }),
    );
    expect(refusal("much", {})).toStrictEqual(violation({ capability: "cost.budget" }));
    expect(refusal("USD:1", {}, new Map([["USD", 1]]))).toBe("allowed: undefined");
  });

  test("is compared in all of its capabilities", () => {
    const parent = { "cost.budget": ["USD:1"], "fs.read": ["/a"] };
    expect(isLeaseSubset({ "cost.budget": ["USD:1"], "fs.read": ["/b"] }, parent)).toBe(false);
    expect(isLeaseSubset({ "fs.read": ["/a"], "cost.budget": ["USD:2"] }, parent)).toBe(false);
    expect(isLeaseSubset({ "fs.read": ["/a", "/a/../a"] }, parent)).toBe(false);
    expect(isLeaseSubset(parent, { ...parent, "fs.read": ["/../b", "/a"] })).toBe(true);
  });

  test("that is none at all is the caller's mistake", () => {
    for (const patterns of [null, [5]]) {
      const broken = { "fs.read": patterns } as unknown as Lease;
      expect(() => isLeaseSubset(broken, { "fs.read": ["/a"] })).toThrow(TypeError);
    }
    expect(() => isLeaseSubset({ "cost.budget": 5 } as unknown as Lease, {})).toThrow(TypeError);
  });
});

describe("an end", () => {
  const NOW = Date.parse(FUTURE);
  const path = "payload.lease_constraints.expires_at";

  test("says what is wrong with it", () => {
    expect(refusalOf(() => validateLeaseConstraints({ expires_at: "late" }, NOW))).toStrictEqual({
      code: "INVALID_REQUEST",
      message: "lease_constraints.expires_at: expected RFC 3339 in UTC with a Z suffix",
      details: { path },
    });
    for (const now of [NOW, NOW + 1]) {
      expect(refusalOf(() => validateLeaseConstraints({ expires_at: FUTURE }, now))).toStrictEqual({
        code: "INVALID_REQUEST",
        message: "lease_constraints.expires_at is not in the future",
        details: { path },
      });
    }
  });

  test("is returned as it was written, without what else there was", () => {
    const constraints = { expires_at: FUTURE, other: 1 };
    expect(validateLeaseConstraints(constraints, NOW - 1)).toStrictEqual({ expires_at: FUTURE });
    expect(validateLeaseConstraints({}, NOW)).toStrictEqual({});
    expect(assertLeaseConstraintsSubset({}, {})).toStrictEqual({});
    expect(assertLeaseConstraintsSubset({}, { expires_at: FUTURE })).toStrictEqual({ expires_at: FUTURE });
    expect(assertLeaseConstraintsSubset({ expires_at: FUTURE }, {})).toStrictEqual({ expires_at: FUTURE });
  });

  test.each([
    "x2027-01-01T00:00:00Z",
    "2027-01-01T00:00:00Zx",
    "2027-01-01T00:00:00Z\u0000",
    "2027-01-01T00:00:00.Z",
    "2027-01-01T00:00:00,5Z",
  ])("%j is none", (expires_at) => {
    expect(refusalOf(() => validateLeaseConstraints({ expires_at }, 0))).toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("that is later than the parent's names both", () => {
    covers("V11-9.4-07");
    const message = "the child's lease would expire later than its parent's";
    const later = "2027-01-01T00:00:01Z";
    expect(refusalOf(() => assertLeaseConstraintsSubset({ expires_at: later }, { expires_at: FUTURE }))).toStrictEqual({
      ...{ code: "LEASE_SUBSET_VIOLATION", message },
      details: { expires_at: later, parent_expires_at: FUTURE },
    });
    expect(refusalOf(() => assertLeaseConstraintsSubset({ expires_at: "late" }, {}))).toStrictEqual({
      ...{ code: "LEASE_SUBSET_VIOLATION", message, details: { expires_at: "late" } },
    });
  });
});

describe("how many segments", () => {
  test("a pattern has 64 at most, and a target 256", () => {
    const path = (segments: number): string => `/${Array.from({ length: segments - 1 }, () => "a").join("/")}`;
    expect(validateLeaseShape({ "fs.read": [path(64)] })).toStrictEqual({ "fs.read": [path(64)] });
    expect(refusalOf(() => validateLeaseShape({ "fs.read": [path(65)] }))).toStrictEqual({
      ...{ code: "INVALID_REQUEST", message: "fs.read: a pattern has at most 64 segments" },
      details: { capability: "fs.read", pattern: path(65) },
    });
    expect(canonicalizeTarget("fs.read", path(256))).toBe(path(256));
    expect(refusalOf(() => canonicalizeTarget("fs.read", path(257)))).toMatchObject({
      ...{ code: "INVALID_REQUEST", message: "a target has at most 256 segments" },
    });
  });
});
