/** Questions, and the end of the process that asked them (RFC §12, §19). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sqliteStore } from "@arcp/runtime";
import { afterEach, beforeEach, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { asked, closingsOf, respond } from "./asking.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "arcp-restart-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("what a dead process had asked is closed before its job is, everywhere, and cannot be answered", async () => {
  covers("V10-10.2-03");
  const clock = new ManualClock();
  const puppet = new Puppet();
  const path = join(directory, "journal.db");
  const store = sqliteStore({ path });
  const before = startHarness({ agents: { puppet: puppet.handler }, server: { clock, eventLog: store } });
  const client = await before.rawSession10();
  const phone = await before.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const run = await puppet.next();
  run.context.requestHumanInput({ prompt: "first" }).catch(() => {});
  const first = await asked(client);
  await respond(client, first, 1);
  run.context.requestHumanInput({ prompt: "second" }).catch(() => {});
  const request = await asked(phone, 1);
  const latecomer = await before.rawSession10();
  await asked(latecomer);
  await client.fence();
  // The process ends without a word: nothing more reaches its store.
  await store.close();

  const after = startHarness({ server: { clock, eventLog: sqliteStore({ path }) } });
  const resumed = [];
  for (const old of [client, phone, latecomer]) {
    const again = await after.rawSession10();
    const last = old.frames.at(-1)?.id;
    await again.ask("resume", { after_message_id: old === phone ? request.id : last }, { session_id: old.sessionId });
    resumed.push(again);
  }
  const [submitter, other, late] = resumed as [RawClient10, RawClient10, RawClient10];
  const end = await submitter.ending(job_id);
  expect(end).toMatchObject({ type: "tool.error", payload: { details: { reason: "runtime_restarted" } } });
  for (const one of [submitter, other, late]) {
    expect(closingsOf(one, request.id)).toMatchObject([
      { type: "human.input.cancelled", payload: { code: "CANCELLED" } },
    ]);
    expect(closingsOf(one, first.id)).toEqual([]);
  }
  const at = submitter.frames.findIndex(({ type }) => type === "human.input.cancelled");
  expect(at).toBeLessThan(submitter.frames.indexOf(end));
  expect(other.ofJob(job_id).map(({ type }) => type)).toEqual(["human.input.cancelled"]);
  // How both ended is remembered.
  expect(await respond(submitter, request, 1)).toMatchObject({
    type: "nack",
    payload: { code: "FAILED_PRECONDITION" },
  });
  expect(await respond(submitter, first, 2)).toMatchObject({ type: "ack", payload: { status: "ignored" } });
  // Until it is of no use any more.
  clock.advance(25 * 3_600_000);
  await settle();
  const last = await after.rawSession10();
  expect(await respond(last, first, 2)).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
  await after[Symbol.asyncDispose]();
  await before[Symbol.asyncDispose]().catch(() => {});
});
