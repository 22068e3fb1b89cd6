import { type Lease, PermissionDeniedError } from "@arcp/core";
import { assertLeaseConstraintsSubset, assertLeaseSubset, isLeaseSubset, validateLeaseOp } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { shownTarget } from "../../packages/runtime/src/engine/lease/operation.ts";
import { covers } from "../support/covers.ts";
import { outcomeOf } from "./outcome.ts";

const AT = "2026-05-13T23:42:00Z";
const MS = Date.parse(AT);
const LEASE: Lease = { "fs.read": ["/a/**", "/b/*"], "net.fetch": ["https://example.com/**"] };

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

  test.each([
    ["https://example.org/@scope/package?v=1", "https://example.org/@scope/package"],
    ["http://[2001:db8::7f]:8080/a@b#c@d", "http://[2001:db8::7f]:8080/a@b"],
    ["https://example.org?@a", "https://example.org"],
    ["https://example.org/a b/@c", "https://example.org/a b/@c"],
    ["https://user:password@example.org/@a?b", "a"],
    ["https://:password@example.org/", "example.org/"],
    ["https://token@example.org/", "example.org/"],
    ["HTTPS:user:password@example.org/", "example.org/"],
    [" https://user:password@example.org/", "example.org/"],
    ["git+ssh://user:password@example.org/a", "example.org/a"],
    ["//user:password@example.org/a", "example.org/a"],
    ["user:password@example.org", "example.org"],
    ["https://user:pass\n/word@example.org/a", "example.org/a"],
    ["https://example.org:port/a@b", "b"],
    ["no URL", "no URL"],
  ])("on %j is shown to be on %j", (target, shown) => {
    expect(shownTarget("net.fetch", target)).toBe(shown);
    expect(shownTarget("x-vendor.acme.x", target)).toBe(target);
  });

  test("that is denied names the pattern for the host that it would go to", () => {
    const target = "https://example.org/@scope/package";
    expect(() => validateLeaseOp(LEASE, "net.fetch", target)).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ target, needed: target }) }),
    );
    const remote = "git+https://user:password@example.org/";
    expect(() => validateLeaseOp(LEASE, "net.fetch", remote)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("password") }),
    );
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
