/** What a proof of coverage costs, and what else the lease algebra has that is not exported. */
import { describe, expect, test } from "vitest";
import { compileGlob, globCovers, proofEffort } from "../../packages/runtime/src/engine/lease/glob.ts";
import { compilePattern } from "../../packages/runtime/src/engine/lease/pattern.ts";
import { isLiteralPart, validateLeaseEntries } from "../../packages/runtime/src/engine/lease/shape.ts";
import { outcomeOf } from "./outcome.ts";

/** What proving that `outer` covers `inner` costs, or undefined without a proof. */
function costOf(outer: string, inner: string, mayHaveEmpty = false): number | undefined {
  const effort = { left: 1_000 };
  const isProven = globCovers(compileGlob(outer), compileGlob(inner), mayHaveEmpty, effort);
  return isProven ? 1_000 - effort.left : undefined;
}

describe("a proof", () => {
  test("costs its states, and a word as many times as it is long", () => {
    expect(costOf("a/*", "a/b")).toBe(3);
    expect(costOf("a/*/**", "a/b")).toBe(4);
    expect(costOf("*", "b".repeat(15))).toBe(2);
    expect(costOf("*", "b".repeat(16))).toBe(3);
    expect(costOf("**", "b".repeat(47))).toBe(2 + 2 * 2 + 2);
    // The same states are looked at once, however often a `**` may be taken.
    expect(costOf("**/*", "*/**")).toBe(2 + 3 + 3);
    expect(costOf("a", "a")).toBe(0);
    expect(costOf("a/**", "a/**")).toBe(0);
  });

  test("is none when nothing is left for it", () => {
    const [outer, inner] = [compileGlob("a/*"), compileGlob("a/b")];
    const exactly = { left: 3 };
    expect(globCovers(outer, inner, false, exactly)).toBe(true);
    expect(exactly).toEqual({ left: 0 });
    expect(globCovers(outer, inner, false, exactly)).toBe(false);
    expect(globCovers(outer, inner, false, { left: 2 })).toBe(false);
    expect(globCovers(outer, outer, false, { left: 0 })).toBe(true);
    expect(proofEffort()).toEqual({ left: 250_000 });
  });

  test("knows which texts may have empty segments", () => {
    expect(costOf("a/**/*", "a/*/**", false)).toBeGreaterThan(0);
    expect(costOf("a/**/*", "a/*/**", true)).toBeUndefined();
    expect(costOf("**", "a/**", true)).toBeGreaterThan(0);
    expect(costOf("**/b", "**/a", true)).toBeUndefined();
  });

  test("is none for stars beside other characters", () => {
    for (const glued of ["a**", "**a", "***", "a/b**/c"]) {
      expect(costOf("**", glued)).toBeUndefined();
      expect(costOf(glued, "a")).toBeUndefined();
      expect(costOf(glued, glued)).toBe(0);
    }
  });
});

test("a part of a lease has no patterns of its own", () => {
  const whole = { "fs.read": ["/a", "/b"], "fs.write": ["/c"] };
  for (const part of [{}, whole, { "fs.read": ["/b"] }, { "fs.write": [] }, { "tool.call": [] }]) {
    expect(isLiteralPart(part, whole)).toBe(true);
  }
  for (const part of [
    { "fs.read": ["/a", "/c"] },
    { "fs.read": ["/a"], "fs.write": ["/a"] },
    { "tool.call": ["a"] },
    { "fs.read": ["/a/b"] },
  ]) {
    expect(isLiteralPart(part, whole)).toBe(false);
  }
});

test("what has no targets has no patterns", () => {
  for (const capability of ["cost.budget", "no.such"]) {
    expect(() => compilePattern(capability, "USD:1")).toThrow(`${capability}: has no patterns that match targets`);
  }
});

test("amounts are looked at before patterns are", () => {
  expect(outcomeOf(() => validateLeaseEntries({ "cost.budget": ["much"] }))).toBe("INVALID_REQUEST");
  expect(validateLeaseEntries({ "fs.read": ["no path"] })).toEqual({ "fs.read": ["no path"] });
});
