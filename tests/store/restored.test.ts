import { join } from "node:path";
import { type AgentHandler, backUpDatabase, type JobContext, StoreError, sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
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

test("a client that would be sent a damaged entry is told that it is lost, and sent nothing that follows it", async () => {
  const path = freshPath();
  const store = sqliteStore({ path });
  const harness = startHarness({ server: { eventLog: store } });
  harness.server.registerAgent("talker", async (_input, context) => {
    for (let index = 1; index <= 5; index += 1) await context.log("info", `number ${index}`);
  });
  const client = await harness.rawSession();
  client.send("job.submit", { agent: "talker", input: {} });
  await client.next("job.result");
  const { sessionId, resumeToken } = client;
  await harness[Symbol.asyncDispose]();
  await store.close();
  const db = new Database(path);
  db.exec(`UPDATE entry SET payload = replace(payload, 'number 4', 'number 9')`);
  db.close();

  const damaged = sqliteStore({ path });
  const again = startHarness({ server: { eventLog: damaged } });
  const raw = await again.raw();
  expect((await raw.resume({ sessionId, resumeToken }, 1)).type).toBe("session.welcome");
  expect((await raw.next("session.error")).payload.code).toBe("RESUME_WINDOW_EXPIRED");
  expect(raw.frames.flatMap(({ event_seq }) => event_seq ?? [])).not.toContain(4);
  await raw.transport.closed;
  await again[Symbol.asyncDispose]();
  await damaged.close();
});

test("a client that the disk keeps from reading on is told so, and goes on when it comes back", async () => {
  const store = sqliteStore({ path: freshPath() });
  let fails = false;
  const readFeed: typeof store.readFeed = (...query) =>
    fails ? Promise.reject(new StoreError("io", "the disk of the database failed")) : store.readFeed(...query);
  const eventLog = new Proxy(store, {
    get: (target, name) => {
      if (name === "readFeed") return readFeed;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  const harness = startHarness({ server: { eventLog } });
  harness.server.registerAgent("talker", async (_input, context) => {
    for (let index = 1; index <= 5; index += 1) await context.log("info", `number ${index}`);
  });
  const client = await harness.rawSession();
  client.send("job.submit", { agent: "talker", input: {} });
  await client.next("job.result");
  await harness.disconnect(client);
  fails = true;
  const unlucky = await harness.raw();
  expect((await unlucky.resume(client, 1)).type).toBe("session.welcome");
  expect((await unlucky.next("session.error")).payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
  await unlucky.transport.closed;
  fails = false;
  const lucky = await harness.raw();
  expect((await lucky.resume(unlucky, 1)).type).toBe("session.welcome");
  await lucky.next("job.result");
  expect(lucky.frames.flatMap(({ event_seq }) => event_seq ?? [])).toEqual([2, 3, 4, 5, 6]);
  await harness[Symbol.asyncDispose]();
  await store.close();
});
