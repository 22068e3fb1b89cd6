/** `kill -9` between the commit of what is to be told and the answer of whom it is told: it is told all the same, under the same id. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sqliteStore, storedWebhooks } from "@arcp/runtime";
import { expect, onTestFinished, test } from "vitest";
import { Receiver, status } from "./receiver.ts";
import { collected } from "./told.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./runtime.ts", import.meta.url));

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

test("what was stored is told by the next runtime, whether the endpoint had heard of it or not", async () => {
  const directory = mkdtempSync(join(tmpdir(), "arcp-webhooks-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, "runtime.db");
  await using receiver = await Receiver.start();
  const start = (jobs: number): ChildProcess => {
    const child = fork(program, [path, receiver.url, receiver.secret, String(jobs)], {
      execArgv: ["--import", sources],
    });
    onTestFinished(() => killed(child));
    return child;
  };

  // Four attempts hang, and the others wait for them to end.
  receiver.answer = () => {};
  const first = start(6);
  const ended: unknown[] = [];
  while (ended.length < 6) ended.push((await once(first, "message"))[0]);
  const hung = await receiver.has(4);
  await killed(first);

  receiver.answer = status(204);
  const second = start(0);
  const told = (await receiver.has(10)).slice(4);
  const jobOf = async (request: (typeof told)[number]) => (await receiver.verified(request)).event.data["job_id"];
  expect((await Promise.all(told.map(jobOf))).toSorted()).toEqual(ended.toSorted());
  const ids = told.map(({ headers }) => headers["webhook-id"]);
  expect(new Set(ids).size).toBe(6);
  for (const { headers } of hung) expect(ids).toContain(headers["webhook-id"]);
  await killed(second);
  const store = sqliteStore({ path, readOnly: true });
  const left = await collected(storedWebhooks(store));
  await store.close();
  // It may have been killed before it had noted down the last answers.
  expect(left.every(({ attempts }) => attempts === 0)).toBe(true);
}, 60_000);
