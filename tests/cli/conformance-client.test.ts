/** `arcp conformance client`: the command, and the driver of our own client, as programs. */
import { readFile } from "node:fs/promises";
import type { Report } from "@arcp/conformance";
import { expect, test } from "vitest";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { Workspace } from "./arcp.ts";

const DRIVER = ["--", process.execPath, `${repositoryRoot}/packages/sdk/bin/arcp.js`, "conformance", "driver"];
const PATIENT = ["--patience", "60000", "--slack", "60000"];

test("our own client is judged, and the report says how", { timeout: 120_000 }, async () => {
  await using workspace = await Workspace.create();
  const only = ["--only", "opening/credentials", "--only", "close/said"];
  const ended = await workspace.run(["conformance", "client", ...only, "--json", "report.json", ...PATIENT, ...DRIVER]);
  expect(ended.stdout).toContain("2 passed, 0 failed, 0 skipped");
  expect(ended.code).toBe(0);
  const report = JSON.parse(await readFile(workspace.path("report.json"), "utf8")) as Report;
  expect(report).toMatchObject({ role: "client", wire: "1.1", counts: { passed: 2, failed: 0 } });
  expect(report.verdicts[0]?.frames.map(({ text }) => text).join("\n")).toContain("session.hello");
});

test("a driver that can do nothing is skipped, one that lies fails, one that is none is said so", {
  timeout: 60_000,
}, async () => {
  await using workspace = await Workspace.create({
    "driver.mjs": `
      import { createInterface } from "node:readline";
      const answers = { unable: { unsupported: "no" }, lying: { ok: {} } };
      createInterface({ input: process.stdin }).on("line", (line) =>
        console.log(JSON.stringify({ id: JSON.parse(line).id, ...answers[process.argv[2]] })));
    `,
  });
  const judge = (...command: readonly string[]) =>
    workspace.run(["conformance", "client", "--only", "opening/credentials", "--patience", "500", "--", ...command]);
  const [unable, lying, none] = await Promise.all([
    judge(process.execPath, "driver.mjs", "unable"),
    judge(process.execPath, "driver.mjs", "lying"),
    judge("/there/is/no/such/program"),
  ]);
  expect(unable.stdout).toContain("the client cannot connect: no: opening/credentials");
  expect(unable.code).toBe(0);
  expect(lying.stdout).toContain("expected the client to connect to be over");
  expect(lying.code).toBe(1);
  expect(none.stderr).toContain("ENOENT");
  expect(none.code).not.toBe(0);
});
