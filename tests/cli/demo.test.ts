import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { Workspace } from "./arcp.ts";

const demo = fileURLToPath(new URL("../../examples/repo-report/demo.ts", import.meta.url));

it("the demo cuts its connection, proves that nothing was missed, and saves the report", async () => {
  await using workspace = await Workspace.create({ "a.ts": "export const a = 1;\n", "b.ts": 'import "./a.ts";\n' });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [demo, workspace.directory], {
    cwd: workspace.directory,
  });
  expect(stderr).toBe("");
  expect(stdout).toMatch(/connection lost, reconnecting…\n {2}resumed, nothing missed\n/);
  expect(stdout).toMatch(/in all +1 to \d+, each once and in order/);
  const [, file = ""] = /The report is in (\S+)\./.exec(stdout) ?? [];
  expect(await readFile(workspace.path(file), "utf8")).toMatch(/^# /);
});
