import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, expect, it, vi } from "vitest";
import { Proof } from "../../examples/authority/proof.ts";

const demo = fileURLToPath(new URL("../../examples/demo.ts", import.meta.url));

afterEach(() => vi.restoreAllMocks());

it("every attempt of the demo comes to what it has to", async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [demo, "authority"]);
  expect(stderr).toBe("");
  expect(stdout).not.toContain("✗");
  for (const code of [
    "PERMISSION_DENIED",
    "BUDGET_EXHAUSTED",
    "LEASE_SUBSET_VIOLATION",
    "LEASE_EXPIRED",
    "invalid_api_key",
  ]) {
    expect(stdout).toContain(`✓ ${code} `);
  }
  expect(stdout).toMatch(/\nAll \d+ checks hold: .*\n$/);
});

it("a check that does not hold is shown, counted, and makes the proof fail", () => {
  const lines: string[] = [];
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  const proof = new Proof();
  proof.code("reads", "allowed", "allowed");
  proof.fact("nothing was touched", true);
  expect(proof.hasFailed).toBe(false);
  proof.code("writes", "allowed", "PERMISSION_DENIED");
  proof.fact("nothing was reached", false);
  expect(proof.hasFailed).toBe(true);
  expect(proof.summary).toBe("2 of 4 checks failed.");
  expect(lines.map((line) => line.trim().slice(0, 1))).toEqual(["✓", "✓", "✗", "✗"]);
});
