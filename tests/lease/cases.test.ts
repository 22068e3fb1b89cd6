import { readFileSync } from "node:fs";
import {
  assertLeaseSubset,
  canonicalizeTarget,
  isLeaseSubset,
  isReservedCapabilityName,
  isValidCapabilityName,
  validateLeaseOp,
  validateLeaseShape,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CASES } from "./cases.ts";
import { outcomeOf } from "./outcome.ts";

describe("the table", () => {
  test.each(CASES.operations)(
    "$capability $pattern on $target: $outcome",
    ({ capability, pattern, target, outcome }) => {
      covers("V11-9.2-03", "V11-9.2-04", "V11-9.2-05", "V11-9.2-06", "V11-14-03", "V11-14-04");
      const lease = validateLeaseShape({ [capability]: [pattern] });
      expect(outcomeOf(() => validateLeaseOp(lease, capability, target))).toBe(outcome);
      if (outcome !== "allowed") return;
      const canonical = canonicalizeTarget(capability, target);
      expect(validateLeaseOp(lease, capability, target)).toBe(canonical);
      expect(canonicalizeTarget(capability, canonical)).toBe(canonical);
    },
  );

  test.each(CASES.refusedPatterns)("$capability $pattern is no pattern", ({ capability, pattern }) => {
    expect(outcomeOf(() => validateLeaseShape({ [capability]: [pattern] }))).toBe("INVALID_REQUEST");
  });

  test.each(CASES.coverage)(
    "$capability $parent over $child: $isCovered",
    ({ capability, parent, child, isCovered }) => {
      covers("V11-9.4-02", "V11-9.4-04", "V11-9.4-10");
      expect(isLeaseSubset({ [capability]: [child] }, { [capability]: [parent] })).toBe(isCovered);
      const outcome = outcomeOf(() => assertLeaseSubset({ [capability]: [child] }, { [capability]: [parent] }));
      expect(outcome).toBe(isCovered ? "allowed" : "LEASE_SUBSET_VIOLATION");
    },
  );

  test("is what the guide prints", () => {
    const guide = readFileSync(new URL("../../docs/leases.md", import.meta.url), "utf8");
    const code = (text: string) => `\`${text.replaceAll("|", "\\|")}\``;
    const row = (...cells: readonly string[]) => `| ${cells.join(" | ")} |`;
    const rows = [
      ...CASES.operations.map((c) => row(code(c.capability), code(c.pattern), code(c.target), c.outcome)),
      ...CASES.refusedPatterns.map((c) => row(code(c.capability), code(c.pattern))),
      ...CASES.coverage.map((c) => row(code(c.capability), code(c.parent), code(c.child), c.isCovered ? "yes" : "no")),
    ];
    const tables = guide.slice(guide.indexOf("## The table"));
    expect(tables.split("\n").filter((line) => line.startsWith("| `"))).toEqual(rows);
  });
});

describe("capabilities", () => {
  test("an operation needs its own capability and one pattern that matches", () => {
    covers("V11-9.1-02");
    const lease = validateLeaseShape({ "fs.read": ["/c", "/a/**"] });
    expect(validateLeaseOp(lease, "fs.read", "/a/x")).toBe("/a/x");
    expect(outcomeOf(() => validateLeaseOp(lease, "fs.read", "/b"))).toBe("PERMISSION_DENIED");
    expect(outcomeOf(() => validateLeaseOp(lease, "fs.write", "/a/x"))).toBe("PERMISSION_DENIED");
  });

  test("those of the specification each take patterns of their own kind", () => {
    covers("V11-9.2-01");
    const patterns = {
      "fs.read": "/a/**",
      "fs.write": "/a/*",
      "net.fetch": "https://example.com/**",
      "tool.call": "search.*",
      "agent.delegate": "runner@1.*",
      "cost.budget": "USD:5.00",
      "model.use": "tier-fast/*",
    };
    for (const [name, pattern] of Object.entries(patterns)) {
      expect([isReservedCapabilityName(name), isValidCapabilityName(name)]).toEqual([true, true]);
      expect(validateLeaseShape({ [name]: [pattern] })).toEqual({ [name]: [pattern] });
      for (const kind of ["/a/**", "https://example.com/**", "USD:5.00"]) {
        if (kind === pattern || (kind === "/a/**" && name.startsWith("fs."))) continue;
        const isName = kind === "USD:5.00" && ["tool.call", "model.use"].includes(name);
        const outcome = outcomeOf(() => validateLeaseShape({ [name]: [kind] }));
        expect([name, kind, outcome]).toEqual([name, kind, isName ? "allowed" : "INVALID_REQUEST"]);
      }
    }
    expect(outcomeOf(() => validateLeaseShape({ "fs.delete": ["/a"] }))).toBe("INVALID_REQUEST");
  });

  test.each([
    "FS.Read",
    "fs read",
    "FS.READ",
    "fs.read ",
    "fs.re\u0430d",
    "__proto__",
    "constructor",
    "",
    "x-vendor.a",
  ])("%j is the name of none", (name) => {
    covers("V11-9.2-02");
    const lease = JSON.parse(`{${JSON.stringify(name)}:["/a"]}`);
    expect(outcomeOf(() => validateLeaseShape(lease))).toBe("INVALID_REQUEST");
    expect(outcomeOf(() => validateLeaseOp({}, name, "/a"))).toBe("PERMISSION_DENIED");
    expect(outcomeOf(() => assertLeaseSubset(lease, {}))).toBe("LEASE_SUBSET_VIOLATION");
  });

  test.each([
    [[]],
    ["fs.read"],
    [null],
    [{ "fs.read": "/a" }],
    [{ "fs.read": [1] }],
    [{ "fs.read": [["/a"]] }],
    [{ "fs.read": [""] }],
    [{ "": ["/a"] }],
    [{ "fs.read": Array.from({ length: 100_000 }, (_, index) => `/${index}`) }],
    [{ "fs.read": [`/${"a".repeat(1024)}`] }],
  ])("a lease of another shape is refused", (value) => {
    covers("V11-9.1-03");
    expect(outcomeOf(() => validateLeaseShape(value))).toBe("INVALID_REQUEST");
  });
});
