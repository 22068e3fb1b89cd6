/** What holds of every lease and every target. {@link runs} says how to try more of them. */
import { posix } from "node:path";
import {
  assertLeaseConstraintsSubset,
  canonicalizeTarget,
  compileGlob,
  isLeaseSubset,
  matchGlob,
  validateLeaseConstraints,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { globMatches, patternMatches } from "./definition.ts";
import { outcomeOf } from "./outcome.ts";
import { report, runs, SCALE, TIMEOUT_MS } from "./scale.ts";

type Lease = Record<string, string[]>;

/** Patterns of one capability, each of which is wider than the one before, if anything, and a target of the first. */
interface Sample {
  readonly capability: string;
  readonly patterns: readonly [string, string, string];
  readonly target: string;
}

const WIDENINGS = ["same", "same", "star", "stars", "head", "tail", "before", "after"] as const;

function widened(segment: string, how: (typeof WIDENINGS)[number]): string[] {
  if (how === "same" || segment === "**") return [segment];
  if (how === "before") return ["**", segment];
  if (how === "after") return [segment, "**"];
  return [{ star: "*", stars: "**", head: `${segment.slice(0, 1)}*`, tail: `*${segment.slice(-1)}` }[how]];
}

/** What a segment of a pattern stands for when its stars stand for `fills`. */
function instance(segment: string, fills: readonly string[]): string[] {
  if (segment === "**") return [...fills];
  const left = [...fills];
  return [segment.replaceAll(/\*+/g, () => left.shift() ?? "")];
}

const widening = fc.constantFrom(...WIDENINGS);

/** Three patterns of segments and a text, cut at the slashes. */
function segments(own: readonly string[], fills: readonly string[], maxLength = 4) {
  const segment = fc.record({
    own: fc.constantFrom(...own),
    first: widening,
    second: widening,
    fills: fc.array(fc.constantFrom(...fills), { maxLength: 3 }),
  });
  return fc.array(segment, { minLength: 1, maxLength }).map((parts) => {
    const wider = parts.map(({ own, first, second }) => ({ texts: widened(own, first), second }));
    return {
      patterns: [
        parts.map((part) => part.own),
        wider.flatMap(({ texts }) => texts),
        wider.flatMap(({ texts, second }) => texts.flatMap((text) => widened(text, second))),
      ] as const,
      target: parts.flatMap((part) => instance(part.own, part.fills)),
    };
  });
}

const GLOBS = ["a", "b", "ab", "*", "**", "a*", "*b", "a*b", "*a*", "a**"];
const FILLS = ["", "a", "b", "ab", "c", "a.b"];

const path: fc.Arbitrary<Sample> = segments(GLOBS, [...FILLS, "\u00e9", "a b"]).map(
  ({ patterns: [a, b, c], target }) => ({
    capability: "fs.read",
    patterns: [`/${a.join("/")}`, `/${b.join("/")}`, `/${c.join("/")}`],
    target: `/${target.join("/")}`,
  }),
);

const plain: fc.Arbitrary<Sample> = fc
  .tuple(fc.constantFrom("tool.call", "model.use", "x-vendor.acme.x"), segments(GLOBS, FILLS))
  .map(
    ([
      capability,
      {
        patterns: [a, b, c],
        target,
      },
    ]) => ({
      capability,
      patterns: [a.join("/"), b.join("/"), c.join("/")],
      target: target.join("/"),
    }),
  );

const agent: fc.Arbitrary<Sample> = fc
  .tuple(
    segments(["a", "ab", "*", "a*", "*b"], ["", "a", "b-c"], 1),
    segments(["1", "1.2", "*", "1.*", "*.2"], ["", "1", "2.0+X"], 1),
    fc.constantFrom(0, 1, 2, 3),
  )
  .map(([name, version, versions]) => ({
    capability: "agent.delegate",
    patterns: [0, 1, 2].map((index) =>
      [name.patterns[index]?.join(""), version.patterns[index]?.join("")].slice(0, index < versions ? 2 : 1).join("@"),
    ) as unknown as Sample["patterns"],
    target: `${name.target.join("")}@${version.target.join("")}`,
  }));

/** A query or a fragment: three patterns, or fewer with nothing after them, and a text. */
const tail = (sign: string) =>
  fc.constantFrom<readonly [string, string, string, string]>(
    ["", "", "", ""],
    ["", "", "", `${sign}q=1`],
    [`${sign}q=1`, `${sign}q=1`, `${sign}q=*`, `${sign}q=1`],
    [`${sign}q=1`, `${sign}q=*`, "", `${sign}q=1`],
    [`${sign}q=*`, `${sign}*`, "", `${sign}q=a/b`],
    [`${sign}*/b`, `${sign}*`, `${sign}**`, `${sign}a/b`],
  );

const url: fc.Arbitrary<Sample> = fc
  .record({
    scheme: fc.constantFrom("https", "https", "http"),
    label: fc.constantFrom(["a", "a", "*"], ["b", "*", "*"], ["*", "*", "*"], ["a", "a", "a"]),
    filled: fc.constantFrom("a", "b", "b.a"),
    domain: fc.constantFrom("example.com", "b.example.com", "test"),
    port: fc.constantFrom("", "", ":8080", ":443"),
    path: segments(GLOBS, [...FILLS, "%C3%A9"]),
    query: tail("?"),
    fragment: tail("#"),
  })
  .map(({ scheme, label, filled, domain, port, path, query, fragment }) => {
    const text = (index: 0 | 1 | 2) =>
      `${scheme}://${label[index]}.${domain}${port}/${path.patterns[index].join("/")}${query[index]}${fragment[index]}`;
    const host = label[0] === "*" ? filled : label[0];
    return {
      capability: "net.fetch",
      patterns: [text(0), text(1), text(2)],
      target: `${scheme}://${host}.${domain}${port}/${path.target.join("/")}${query[3]}${fragment[3]}`,
    };
  });

const sample = fc.oneof(path, plain, agent, url);
const samples = fc.array(sample, { minLength: 1, maxLength: 3 });

function leaseOf(all: readonly Sample[], index: 0 | 1 | 2): Lease {
  const lease: Lease = {};
  for (const { capability, patterns } of all) lease[capability] = [...(lease[capability] ?? []), patterns[index]];
  return lease;
}

const isAllowed = (lease: Lease, { capability, target }: Sample): boolean =>
  outcomeOf(() => validateLeaseOp(lease, capability, target)) === "allowed";

const isPattern = (capability: string, pattern: string): boolean =>
  outcomeOf(() => validateLeaseShape({ [capability]: [pattern] }, { mayBeUnlimited: true })) === "allowed";

vi.setConfig({ testTimeout: TIMEOUT_MS });

describe("matching", () => {
  test("globs match what the definition says", () => {
    const glob = segments([...GLOBS, "***", ""], ["", "a", "b", "ab", "aab", "c"], 5);
    let tried = 0;
    let matched = 0;
    fc.assert(
      fc.property(glob, glob, ({ patterns }, { target }) => {
        for (const pattern of patterns) {
          const isMatch = matchGlob(pattern.join("/"), target.join("/"));
          const words = target.join("/").split("/");
          if (isMatch !== globMatches(pattern, words)) expect([pattern, words, isMatch]).toBe("the other way round");
          tried += 1;
          if (isMatch) matched += 1;
        }
      }),
      runs(2_000),
    );
    report("globs", { tried, matched });
    expect(matched).toBeGreaterThan(tried / 10);
  });

  test("leases allow what the definition says", () => {
    covers("V11-9.2-03", "V11-9.2-04", "V11-9.2-05", "V11-9.2-06");
    let tried = 0;
    let allowed = 0;
    fc.assert(
      fc.property(sample, sample, ({ capability, patterns, target }, other) => {
        for (const text of other.capability === capability ? [target, other.target] : [target]) {
          let canonical: string;
          try {
            canonical = canonicalizeTarget(capability, text);
          } catch {
            continue; // Never allowed, whatever a lease says: the tables have these.
          }
          for (const pattern of patterns) {
            if (!isPattern(capability, pattern)) continue;
            const expected = patternMatches(capability, pattern, canonical);
            const isMatch = isAllowed({ [capability]: [pattern] }, { capability, patterns, target: text });
            if (isMatch !== expected) expect([capability, pattern, text, isMatch]).toBe("the other way round");
            tried += 1;
            if (isMatch) allowed += 1;
          }
        }
      }),
      runs(3_000),
    );
    report("operations", { tried, allowed });
    expect(allowed).toBeGreaterThan(tried / 2);
    expect(allowed).toBeLessThan(tried);
  });
});

describe("coverage", () => {
  test("a lease covers itself", () => {
    fc.assert(
      fc.property(samples, fc.constantFrom(0, 1, 2), (all, index) => {
        const lease = leaseOf(all, index);
        for (const [capability, patterns] of Object.entries(lease)) {
          lease[capability] = patterns.filter((pattern) => isPattern(capability, pattern));
        }
        expect(isLeaseSubset(lease, lease)).toBe(true);
        expect(isLeaseSubset({}, lease)).toBe(true);
      }),
      runs(1_000),
    );
  });

  test("what a lease allows every lease allows that covers it", () => {
    covers("V11-9.4-02", "V11-9.4-04");
    let proven = 0;
    let allowed = 0;
    fc.assert(
      fc.property(samples, samples, fc.boolean(), (all, others, isOther) => {
        const child = leaseOf(all, 0);
        const parent = leaseOf(isOther ? others : all, 1);
        if (!isLeaseSubset(child, parent)) return;
        proven += 1;
        for (const one of [...all, ...others]) {
          if (!isAllowed(child, one)) continue;
          allowed += 1;
          if (!isAllowed(parent, one)) expect([child, parent, one]).toBe("not a subset");
        }
      }),
      runs(5_000),
    );
    report("witnesses", { proven, allowed });
    expect(proven).toBeGreaterThan(100 * SCALE);
    expect(allowed).toBeGreaterThan(100 * SCALE);
  });

  test("coverage goes on from lease to lease", () => {
    let chains = 0;
    fc.assert(
      fc.property(samples, samples, samples, fc.nat({ max: 3 }), (a, b, c, mixed) => {
        const first = leaseOf(a, 0);
        const second = leaseOf(mixed === 1 ? b : a, 1);
        const third = leaseOf(mixed === 2 ? c : mixed === 1 ? b : a, 2);
        if (!isLeaseSubset(first, second) || !isLeaseSubset(second, third)) return;
        chains += 1;
        if (!isLeaseSubset(first, third)) expect([first, second, third]).toBe("a chain");
      }),
      runs(3_000),
    );
    report("chains", { chains });
    expect(chains).toBeGreaterThan(100 * SCALE);
  });
});

describe("canonical targets", () => {
  const PARTS = ["a", "b", "v1", "..", ".", "", "...", "x y", "*", "\u00e9", "C:", "~", "a:b", "%61", "%2e"];
  const rawPath = fc
    .tuple(fc.constantFrom("/", "/", "/", "//", ""), fc.array(fc.constantFrom(...PARTS), { maxLength: 6 }))
    .map(([root, parts]) => root + parts.join("/"));
  const ESCAPES = [
    "%c3%a9",
    "%41",
    "%7e",
    "%2D",
    "%5F",
    "%20",
    "%2f",
    "%25",
    "%2541",
    "%",
    "%e9",
    "a;b",
    "+",
    "|",
    '"',
  ];
  const rawUrl = fc
    .tuple(
      fc.constantFrom("https", "http", "HTTPS", "ftp"),
      fc.constantFrom(
        ...["a.example.com", "A.Example.com:443", "a.example.com:80", "a.example.com:0080", "example.com."],
        ...["127.0.0.1", "127.1", "[::1]", "[0::1]", "xn--bcher-kva.example", "b\u00fccher.example", "u@example.com"],
      ),
      fc.array(fc.constantFrom("a", "", "..", ".", ...ESCAPES), { maxLength: 5 }),
      fc.constantFrom("", "/", "?", "?q=1", "?q=a/b&%7e", "#", "#f", "?q#f/g", "?a b", "#a b", "?\u00e9"),
    )
    .map(([scheme, host, parts, rest]) => `${scheme}://${host}${parts.map((part) => `/${part}`).join("")}${rest}`);
  const anyUrl = fc.oneof(rawUrl, rawUrl, fc.webUrl({ withQueryParameters: true, withFragments: true }));

  /** The canonical form, or nothing to compare. */
  function canonicalOf(capability: string, target: string): string | undefined {
    try {
      return canonicalizeTarget(capability, target);
    } catch {
      return undefined; // Refused, or `outcomeOf` below would have thrown.
    }
  }

  test("are their own canonical form", () => {
    const junk = fc.tuple(
      fc.constantFrom("fs.read", "net.fetch", "tool.call", "agent.delegate", "x-vendor.acme.x"),
      fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme-ascii" })),
    );
    const target = fc.oneof(
      fc.tuple(fc.constant("fs.read"), rawPath),
      fc.tuple(fc.constant("net.fetch"), anyUrl),
      sample.map((one): [string, string] => [one.capability, one.target]),
      junk,
    );
    fc.assert(
      fc.property(target, ([capability, text]) => {
        outcomeOf(() => canonicalizeTarget(capability, text));
        const canonical = canonicalOf(capability, text);
        if (canonical !== undefined) expect(canonicalizeTarget(capability, canonical)).toBe(canonical);
      }),
      runs(5_000),
    );
  });

  test("are what the platform reads: paths", () => {
    let accepted = 0;
    fc.assert(
      fc.property(rawPath, (text) => {
        const canonical = canonicalOf("fs.read", text);
        if (canonical === undefined) return;
        accepted += 1;
        expect(canonical).toBe(posix.resolve(text));
        expect(posix.normalize(canonical)).toBe(canonical);
      }),
      runs(2_000),
    );
    expect(accepted).toBeGreaterThan(500 * SCALE);
  });

  test("are what the platform reads: URLs", () => {
    let accepted = 0;
    fc.assert(
      fc.property(anyUrl, (text) => {
        const canonical = canonicalOf("net.fetch", text);
        if (canonical === undefined) return;
        accepted += 1;
        const url = new URL(text);
        const read = new URL(canonical);
        expect(read.href).toBe(canonical);
        expect([read.origin, read.search, read.hash]).toEqual([url.origin, url.search, url.hash]);
        expect(decodeURIComponent(read.pathname)).toBe(decodeURIComponent(url.pathname));
        expect([read.username, read.password]).toEqual(["", ""]);
      }),
      runs(2_000),
    );
    expect(accepted).toBeGreaterThan(200 * SCALE);
  });
});

describe("anything at all", () => {
  const capability = fc.oneof(
    fc.constantFrom("fs.read", "net.fetch", "tool.call", "agent.delegate", "cost.budget", "x-vendor.acme.x"),
    fc.string(),
  );
  const SYNTAX = [
    "/",
    "*",
    "**",
    "a",
    "..",
    ".",
    ":",
    "//",
    "@",
    "?",
    "#",
    "%2e",
    "%",
    "https://",
    "\\",
    "[",
    "\u202e",
  ];
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 1100 }),
    fc.array(fc.constantFrom(...SYNTAX), { maxLength: 40 }).map((parts) => parts.join("")),
  );

  test("is decided, or refused as what it is", () => {
    fc.assert(
      fc.property(
        capability,
        fc.array(text, { maxLength: 3 }),
        fc.array(text, { maxLength: 3 }),
        (name, some, others) => {
          const lease = { [name]: some };
          outcomeOf(() => validateLeaseShape(lease, { mayBeUnlimited: true }));
          outcomeOf(() => isLeaseSubset(lease, { [name]: others }));
          outcomeOf(() => isLeaseSubset(lease, lease));
          for (const target of others) outcomeOf(() => validateLeaseOp(lease, name, target));
          for (const expires_at of others) {
            outcomeOf(() => validateLeaseConstraints({ expires_at }, 0));
            outcomeOf(() => assertLeaseConstraintsSubset({ expires_at }, { expires_at: "2027-01-01T00:00:00Z" }));
          }
        },
      ),
      runs(1_000),
    );
    fc.assert(
      fc.property(fc.anything(), capability, (value, name) => {
        outcomeOf(() => validateLeaseShape(value));
        outcomeOf(() => validateLeaseShape({ [name]: value }));
        outcomeOf(() => validateLeaseOp({ [name]: ["a"] }, name, value));
        outcomeOf(() => canonicalizeTarget(name, value));
      }),
      runs(1_000),
    );
  });

  test("is matched in as many steps as pattern and target have segments, multiplied", () => {
    covers("V11-9.2-06");
    const repeated = (parts: readonly string[], maxLength: number, length: number) =>
      fc
        .tuple(fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength }), fc.constantFrom(...parts))
        .map(([some, last]) => `${some.join("/")}/`.repeat(length / (some.join("/").length + 1)) + last);
    fc.assert(
      fc.property(
        repeated(["a", "*", "**", "*a", "a*", "b"], 5, 1024),
        repeated(["a", "b"], 3, 4096),
        (pattern, target) => {
          const glob = compileGlob(pattern);
          let steps = 0;
          const counted = new Proxy(glob.segments, {
            get(all, key, receiver) {
              steps += 1;
              return Reflect.get(all, key, receiver);
            },
          });
          matchGlob({ ...glob, segments: counted }, target);
          // One of each more, for what is left over at the end.
          expect(steps).toBeLessThanOrEqual((glob.segments.length + 1) * (target.split("/").length + 1));
        },
      ),
      runs(50),
    );
  });
});
