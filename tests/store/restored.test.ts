import { join } from "node:path";
import { type AgentHandler, backUpDatabase, type JobContext, sqliteStore } from "@arcp/runtime";
import { expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { freshPath, temporaryDirectory } from "./files.ts";

const JOBS = 5;

test("a client that was sent more than a restored backup has is told so, whatever has been numbered since", async () => {
  const [path, target] = [freshPath(), join(temporaryDirectory(), "restored.db")];
  const contexts: JobContext[] = [];
  const talker: AgentHandler = (_input, context) => {
    contexts.push(context);
    return new Promise((_, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
    });
  };
  const store = sqliteStore({ path });
  const harness = startHarness({ agents: { talker }, server: { eventLog: store } });
  const client = await harness.rawSession();
  for (let index = 0; index < JOBS; index += 1) client.send("job.submit", { agent: "talker", input: {} });
  for (let index = 0; index < JOBS; index += 1) await client.next("job.accepted");
  while (contexts.length < JOBS) await new Promise((resolve) => setImmediate(resolve));

  for (let seq = 1; seq <= 6; seq += 1) {
    await contexts[0]?.log("info", `number ${seq}`);
    await client.nextWhere(({ event_seq }) => event_seq === seq);
    if (seq === 3) backUpDatabase({ path, target });
  }
  const { sessionId, resumeToken } = client;
  await harness[Symbol.asyncDispose]();
  await store.close();

  // The runtime that finds the copy ends the jobs, with numbers 4 to 8. It is stopped and started again in between.
  const resumed = async (lastEventSeq: number) => {
    const copy = sqliteStore({ path: target });
    const again = startHarness({ server: { eventLog: copy } });
    const raw = await again.raw();
    const answer = await raw.resume({ sessionId, resumeToken }, lastEventSeq);
    if (answer.type === "session.welcome") await raw.nextWhere(({ event_seq }) => event_seq === 3 + JOBS);
    await again[Symbol.asyncDispose]();
    await copy.close();
    return { answer, seqs: raw.frames.flatMap(({ event_seq }) => event_seq ?? []) };
  };
  for (const lastEventSeq of [6, 4]) {
    const { answer, seqs } = await resumed(lastEventSeq);
    expect([answer.type, answer.payload.code, seqs]).toEqual(["session.error", "RESUME_WINDOW_EXPIRED", []]);
  }
  // Who has seen no more than the backup has gets what followed it there.
  const { answer, seqs } = await resumed(3);
  expect([answer.type, seqs]).toEqual(["session.welcome", [4, 5, 6, 7, 8]]);
});
