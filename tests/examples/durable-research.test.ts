import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const demo = fileURLToPath(new URL("../../examples/demo.ts", import.meta.url));

it("a job whose runtime is killed three times is seen whole, ends once, and did everything once", {
  timeout: 60_000,
}, async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [demo, "crash"]);
  expect(stderr).toBe("");
  expect(stdout.match(/✗ {4}kill -9 \d+: /g)).toHaveLength(3);
  expect(stdout.match(/✓ {4}the runtime is back as \d+/g)).toHaveLength(3);
  expect(stdout).toMatch(/\n {2}events {4}1 to \d+, each once and in order, in one loop\n/);
  expect(stdout).toContain("9 things done, each once; asked for twice, with the same key: /loans, /reports\n");
  expect(stdout).toContain("1.md 2.md 3.md 4.md 5.md 6.md report.md\n");
});
