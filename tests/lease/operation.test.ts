import { PermissionDeniedError } from "@arcp/core";
import {
  assertLeaseConstraintsSubset,
  assertLeaseSubset,
  canonicalizeTarget,
  isLeaseSubset,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { outcomeOf } from "./outcome.ts";

const AT = "2026-05-13T23:42:00Z";
const MS = Date.parse(AT);
const LEASE = validateLeaseShape({ "fs.read": ["/a/**", "/b/*"], "net.fetch": ["https://example.com/**"] });

describe("an operation", () => {
  test("is held to the end, then the money, then the patterns", () => {
    const late = { now: MS, constraints: { expires_at: AT } };
    const poor = new Map([
      ["USD", 5],
      ["EUR", 0],
    ]);
    const denied = ["fs.read", "/c"] as const;
    expect(outcomeOf(() => validateLeaseOp(LEASE, ...denied, { ...late, budget: poor }))).toBe("LEASE_EXPIRED");
    expect(outcomeOf(() => validateLeaseOp(LEASE, ...denied, { now: MS, budget: poor }))).toBe("BUDGET_EXHAUSTED");
    expect(outcomeOf(() => validateLeaseOp(LEASE, ...denied, { now: MS }))).toBe("PERMISSION_DENIED");
    expect(outcomeOf(() => validateLeaseOp(LEASE, "model.use", "m", { now: MS, budget: poor }))).toBe(
      "BUDGET_EXHAUSTED",
    );
  });

  test("ends with the lease, or a little later where clocks differ", () => {
    const at = (now: number, graceMs?: number) =>
      outcomeOf(() => validateLeaseOp(LEASE, "fs.read", "/a", { now, constraints: { expires_at: AT }, graceMs }));
    expect([at(MS - 1), at(MS), at(MS + 1)]).toEqual(["allowed", "LEASE_EXPIRED", "LEASE_EXPIRED"]);
    expect([at(MS + 999, 1000), at(MS + 1000, 1000)]).toEqual(["allowed", "LEASE_EXPIRED"]);
    const unreadable = { now: 0, constraints: { expires_at: "some day" } };
    expect(outcomeOf(() => validateLeaseOp(LEASE, "fs.read", "/a", unreadable))).toBe("LEASE_EXPIRED");
  });

  test("needs something left in every currency", () => {
    const left = (USD: number) =>
      outcomeOf(() => validateLeaseOp(LEASE, "fs.read", "/a", { now: MS, budget: new Map([["USD", USD]]) }));
    expect([left(1e-9), left(0), left(-0.12), left(Number.NaN)]).toEqual([
      ...["allowed", "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED", "BUDGET_EXHAUSTED"],
    ]);
  });

  test("that is denied says what was missing, and no secrets", () => {
    const details = (capability: string, target: string) => {
      try {
        validateLeaseOp(LEASE, capability, target);
      } catch (error) {
        if (error instanceof PermissionDeniedError) return error.details;
      }
      return undefined;
    };
    expect(details("fs.read", "/a/../c")).toEqual({
      ...{ capability: "fs.read", target: "/c", patterns: ["/a/**", "/b/*"], needed: "/c" },
    });
    expect(details("fs.write", "/x*")).toEqual({ capability: "fs.write", target: "/x*", patterns: [] });
    const url = details("net.fetch", "https://example.org/a?token=1234");
    expect(url).toMatchObject({ target: "https://example.org/a", needed: "https://example.org/a" });
    expect(JSON.stringify(url)).not.toContain("1234");
    expect(JSON.stringify(details("net.fetch", "https://example.org/../a?token=1234"))).not.toContain("1234");
    expect(details("cost.budget", "USD:1")).toMatchObject({ capability: "cost.budget", patterns: [] });
  });

  test("is not allowed by text that is no pattern", () => {
    expect(outcomeOf(() => validateLeaseOp({ "fs.read": ["/a/../b"] }, "fs.read", "/b"))).toBe("PERMISSION_DENIED");
  });
});

describe("a delegated lease", () => {
  const budget = (...amounts: string[]) => ({ "cost.budget": amounts });

  test("has at most the money that is left, exactly", () => {
    const parent = budget("USD:5.00");
    const remaining = new Map([["USD", 2]]);
    expect(outcomeOf(() => assertLeaseSubset(budget("USD:2.00"), parent, { remaining }))).toBe("allowed");
    expect(outcomeOf(() => assertLeaseSubset(budget("USD:2.01"), parent, { remaining }))).toBe(
      "LEASE_SUBSET_VIOLATION",
    );
    expect(isLeaseSubset(budget("USD:2.000000001"), parent, { remaining })).toBe(false);
    expect(isLeaseSubset(budget("USD:1.5", "USD:0.6"), parent, { remaining })).toBe(false);
    expect(isLeaseSubset(budget("USD:0.1", "USD:0.2"), parent, { remaining: new Map([["USD", 0.3]]) })).toBe(true);
    expect(isLeaseSubset(budget("USD:0"), parent, { remaining: new Map([["USD", -0.12]]) })).toBe(false);
    expect(isLeaseSubset(budget("EUR:1"), parent)).toBe(false);
    expect(isLeaseSubset(budget("USD:5"), parent)).toBe(true);
    expect(isLeaseSubset(budget("USD:1"), {})).toBe(false);
    expect(isLeaseSubset(budget("USD:1e3"), parent)).toBe(false);
    expect(isLeaseSubset({}, parent)).toBe(true);
  });

  test("of nothing is within any", () => {
    for (const parent of [{}, LEASE, budget("USD:1")]) expect(isLeaseSubset({}, parent)).toBe(true);
    expect(isLeaseSubset({ "fs.write": [] }, LEASE)).toBe(true);
    expect(isLeaseSubset({ "fs.write": ["/a"] }, LEASE)).toBe(false);
  });

  test("ends when its parent's does, or before", () => {
    covers("V11-9.4-07");
    const parent = { expires_at: AT };
    const child = (expires_at: string) => outcomeOf(() => assertLeaseConstraintsSubset({ expires_at }, parent));
    expect(child(AT)).toBe("allowed");
    expect(child("2026-05-13T23:41:59Z")).toBe("allowed");
    expect(child("2026-05-13T23:42:00.000000000Z")).toBe("allowed");
    for (const later of [
      "2026-05-13T23:42:01Z",
      "2026-05-13T23:42:00.001Z",
      "2026-05-13T23:42:00.000000001Z",
      "late",
    ]) {
      expect(child(later)).toBe("LEASE_SUBSET_VIOLATION");
    }
  });

  test("without an end has its parent's", () => {
    expect(assertLeaseConstraintsSubset({}, { expires_at: AT })).toEqual({ expires_at: AT });
    expect(assertLeaseConstraintsSubset({ expires_at: AT }, {})).toEqual({ expires_at: AT });
    expect(assertLeaseConstraintsSubset({}, {})).toEqual({});
  });
});

describe("properties", () => {
  const hosts = fc.constantFrom(
    "a.example.com",
    "b.example.com",
    "a.b.example.com",
    "example.com",
    "A.example.com:443",
  );
  const part = fc.constantFrom("a", "b", "v1", "%61", "%c3%a9", "..", ".", "", "x y", "*");
  const path = fc.array(part, { maxLength: 5 }).map((parts) => `/${parts.join("/")}`);
  const url = fc
    .tuple(hosts, path, fc.constantFrom("", "?q=1", "?q=1/2", "#f"))
    .map(([h, p, q]) => `https://${h}${p}${q}`);
  const target = fc.oneof(
    fc.tuple(fc.constant("fs.read"), path),
    fc.tuple(fc.constant("net.fetch"), url),
    fc.tuple(fc.constant("agent.delegate"), fc.constantFrom("a", "a@1", "b@1.2", "ab")),
    fc.tuple(fc.constantFrom("fs.read", "net.fetch", "tool.call", "x-vendor.acme.x"), fc.string({ unit: "binary" })),
    fc.tuple(fc.constant("net.fetch"), fc.webUrl({ withQueryParameters: true, withFragments: true })),
  );

  test("a canonical target is its own canonical form", () => {
    fc.assert(
      fc.property(target, ([capability, text]) => {
        let canonical: string;
        try {
          canonical = canonicalizeTarget(capability, text);
        } catch {
          return; // Refused: there is nothing to compare.
        }
        expect(canonicalizeTarget(capability, canonical)).toBe(canonical);
      }),
      { numRuns: 5_000 },
    );
  });

  const globs = fc.constantFrom("a", "*", "**", "a*", "v1", "");
  const pathGlob = fc.array(globs, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join("/")}`);
  const pattern = fc.oneof(
    fc.tuple(fc.constant("fs.read"), pathGlob),
    fc.tuple(
      fc.constant("net.fetch"),
      fc
        .tuple(
          fc.constantFrom("a.example.com", "*.example.com", "*.b.example.com"),
          pathGlob,
          fc.constantFrom("", "?*", "?q=*", "?q=1"),
        )
        .map(([host, glob, query]) => `https://${host}${glob}${query}`),
    ),
    fc.tuple(fc.constant("agent.delegate"), fc.constantFrom("a", "a*", "*", "a@1", "a@*", "*@*", "*@1*", "b@1.*")),
  );

  test("what a covered lease allows its parent's allows", () => {
    let proven = 0;
    fc.assert(
      fc.property(pattern, pattern, target, ([capability, inner], [other, outer], [about, text]) => {
        const child = { [capability]: [inner] };
        const parent = { [other]: [outer] };
        if (!isLeaseSubset(child, parent)) return;
        proven += 1;
        if (outcomeOf(() => validateLeaseOp(child, about, text)) !== "allowed") return;
        expect(outcomeOf(() => validateLeaseOp(parent, about, text))).toBe("allowed");
      }),
      { numRuns: 20_000 },
    );
    expect(proven).toBeGreaterThan(100);
  });
});
