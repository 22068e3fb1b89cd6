import { compileGlob, isLeaseSubset, matchGlob } from "@arcp/runtime";
import { describe, expect, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { cpuMs } from "../support/cpu-time.ts";
import { globMatches } from "./definition.ts";
import { report, SCALE, TIMEOUT_MS } from "./scale.ts";

/** Every sequence of one to `longest` of `parts`. */
function sequences(parts: readonly string[], longest: number): string[][] {
  const all: string[][] = [];
  let last: string[][] = [[]];
  for (let length = 1; length <= longest; length += 1) {
    last = last.flatMap((sequence) => parts.map((part) => [...sequence, part]));
    all.push(...last);
  }
  return all;
}

const LONGEST = SCALE < 1 ? 3 : SCALE > 1 ? 5 : 4;
const PATTERNS = sequences(["a", "b", "a*", "*", "**"], LONGEST);
/** `c` and `aa` are what tells stars from letters. */
const TEXTS = sequences(["a", "b", "aa", "c"], LONGEST + 1);

vi.setConfig({ testTimeout: TIMEOUT_MS });

describe("exhaustively", () => {
  test("stars within a segment match what the definition says", () => {
    covers("V11-9.2-03");
    const words = ["", ...sequences(["a", "b"], 5).map((letters) => letters.join(""))];
    const wrong: string[] = [];
    for (const letters of sequences(["a", "b", "*"], 5)) {
      const pattern = letters.join("");
      if (pattern === "**") continue;
      for (const word of words) {
        if (matchGlob(pattern, word) !== globMatches([pattern], [word])) wrong.push(`${pattern} on ${word}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  const matched = PATTERNS.map((pattern) => TEXTS.map((text) => globMatches(pattern, text)));

  test("patterns of some segments match what the definition says", () => {
    covers("V11-9.2-03", "V11-9.2-04", "V11-9.2-05");
    const texts = TEXTS.map((text) => text.join("/"));
    const wrong: string[] = [];
    for (const [index, pattern] of PATTERNS.entries()) {
      const glob = compileGlob(pattern.join("/"));
      for (const [position, text] of texts.entries()) {
        if (matchGlob(glob, text) !== matched[index]?.[position]) wrong.push(`${glob.pattern} on ${text}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("what is proven to be covered is, and nearly everything that is gets proven", () => {
    covers("V11-9.4-02", "V11-9.4-04");
    const packed = matched.map((row) => BigInt(`0b${row.map(Number).join("")}`));
    const lease = PATTERNS.map((pattern) => ({ "model.use": [pattern.join("/")] }));
    let covered = 0;
    let proven = 0;
    const unsound: string[] = [];
    for (const [outer, outerTexts] of packed.entries()) {
      for (const [inner, innerTexts] of packed.entries()) {
        const isCovered = (innerTexts & ~outerTexts) === 0n;
        const isProven = isLeaseSubset(lease[inner] ?? {}, lease[outer] ?? {});
        if (isCovered) covered += 1;
        if (isProven) proven += 1;
        if (isProven && !isCovered) unsound.push(`${PATTERNS[inner]?.join("/")} within ${PATTERNS[outer]?.join("/")}`);
      }
    }
    report("exhaustively", { patterns: PATTERNS.length, texts: TEXTS.length, covered, proven });
    expect(unsound).toEqual([]);
    expect(covered).toBeGreaterThan(PATTERNS.length);
    expect(proven / covered).toBeGreaterThanOrEqual(0.95);
  });
});

describe("in time", () => {
  test.each([
    ["many stars over segments", `${"/**".repeat(8)}/x`, `${"/a".repeat(40)}!`],
    ["stars between segments", `${"/**/a".repeat(200)}/x`, "/a".repeat(2000)],
    ["many stars within a segment", `${"a*".repeat(500)}x`, "a".repeat(4000)],
    ["text like a nested quantifier", "(a+)+(a*)*(a|a)*", "a".repeat(4000)],
    ["repetitions of the last piece", `*${"ab".repeat(500)}c`, "ab".repeat(2000)],
  ])("%s are decided at once", (_what, pattern, text) => {
    covers("V11-9.2-06");
    const glob = compileGlob(pattern);
    matchGlob(glob, text);
    const startedAt = cpuMs();
    expect(matchGlob(glob, text)).toBe(false);
    // The smallest of these takes microseconds; exponential matching takes years.
    expect(cpuMs() - startedAt).toBeLessThan(100);
  });

  test("proofs that grow too large are none, however many there are", () => {
    const many = (pattern: string) => ({ "model.use": Array.from({ length: 64 }, (_, index) => `${pattern}${index}`) });
    const outer = many("**/a/*/".repeat(20));
    const startedAt = cpuMs();
    expect(isLeaseSubset(many(`${"**/a/*/".repeat(20)}c`), outer)).toBe(false);
    expect(cpuMs() - startedAt).toBeLessThan(2_000);
    expect(isLeaseSubset(outer, outer)).toBe(true);
  });

  test("leases of the greatest size are proven", () => {
    const paths = (tail: string) => Array.from({ length: 64 }, (_, index) => `/data/team-${index}/**/${tail}`);
    const inner = { "fs.read": paths("reports/*.json").reverse(), "fs.write": paths("reports/*.json").reverse() };
    expect(isLeaseSubset(inner, { "fs.read": paths("*.json"), "fs.write": paths("*.json") })).toBe(true);
  });
});

describe("stars beside text", () => {
  test("two match as one, and nothing is proven about them", () => {
    covers("V11-9.4-04");
    expect(matchGlob("/a/b**", "/a/bcd")).toBe(true);
    expect(matchGlob("/a/b**", "/a/b/c")).toBe(false);
    const glued = { "fs.read": ["/a/b**"] };
    expect(isLeaseSubset(glued, { "fs.read": ["/a/*"] })).toBe(false);
    expect(isLeaseSubset({ "fs.read": ["/a/bc"] }, glued)).toBe(false);
    expect(isLeaseSubset(glued, glued)).toBe(true);
  });
});
