import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { startCanary } from "./canary.ts";
import { AGENTS, refused, stillWorks } from "./hostile-client.ts";
import { envelope } from "./malformed-frames.ts";

const SUBMIT = { agent: "hold", input: null };
const HELLO = { client: { name: "h", version: "1" }, auth: { scheme: "bearer", token: "mallory" } };

describe.each(CARRIERS)("messages out of order over %s", (carrier) => {
  test.each([
    ["job.submit", SUBMIT],
    ["job.cancel", { job_id: "job_x" }],
    ["job.subscribe", { job_id: "job_x" }],
    ["session.list_jobs", {}],
    ["session.ping", {}],
    ["session.ack", { last_processed_seq: 0 }],
    ["session.close", {}],
    ["x-vendor.acme.thing", {}],
  ])("%s before hello is refused, and ends the connection", async (type, payload) => {
    covers("V11-6.1-04");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const canary = await startCanary(harness);
    const client = await harness.raw();
    const answer = await refused(client, envelope(type, payload));
    expect(answer.payload.request_id).toBe("msg_hostile");
    await client.transport.closed;
    expect(harness.server.runningJobs).toBe(1);
    await canary.completes();
  });

  test("a second hello is refused, and the session goes on as it was", async () => {
    await using harness = startHarness({ carrier, agents: AGENTS });
    const client = await harness.rawSession(undefined, "alice");
    const answer = await refused(client, envelope("session.hello", HELLO));
    expect(answer.payload.request_id).toBe("msg_hostile");
    await refused(client, envelope("session.resume", { resume_token: client.resumeToken, last_event_seq: 0 }));
    await stillWorks(client);
    for await (const job of harness.server.eventLog.jobs()) expect(job.principal).toBe("alice");
  });

  test.each(["session.close", "session.bye"])("nothing after %s has an effect", async (type) => {
    covers("V11-6.7-06");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const canary = await startCanary(harness);
    const client = await harness.rawSession();
    client.send("job.submit", { agent: "echo", input: 1 });
    client.send(type, {});
    client.send("job.submit", SUBMIT);
    client.sendText("{");
    client.send("session.ping", {});
    await client.transport.closed;
    const types = client.frames.map((frame) => frame.type);
    if (type === "session.close") expect(types.at(-1)).toBe("session.closed");
    expect(types).not.toContain("session.pong");
    expect(types).not.toContain("session.error");
    await canary.completes();
    for await (const job of harness.server.eventLog.jobs()) expect(job.agent).not.toBe("hold");
  });

  test("the session of somebody else is not spoken for", async () => {
    covers("V11-5.1-05");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const canary = await startCanary(harness);
    const client = await harness.rawSession(undefined, "mallory");
    const before = canary.client.frames.length;
    for (const [type, payload] of [
      ["job.submit", SUBMIT],
      ["session.ack", { last_processed_seq: 3 }],
      ["session.close", {}],
      ["session.bye", {}],
      ["session.ping", {}],
    ] as const) {
      const answer = await refused(client, envelope(type, payload, { session_id: canary.client.sessionId }));
      expect(answer.session_id).toBe(client.sessionId);
      expect(answer.payload.request_id).toBe("msg_hostile");
    }
    expect(canary.client.frames.length).toBe(before);
    expect(harness.server.runningJobs).toBe(1);
    await stillWorks(client);
    await canary.completes();
  });

  test("the job of somebody else is neither seen, followed nor cancelled", async () => {
    covers("V11-7.4-10", "V11-7.6-16", "V11-6.6-12", "V11-14-11");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const canary = await startCanary(harness);
    const client = await harness.rawSession(undefined, "mallory");
    const { jobId } = canary;
    const ask = async (type: string, payload: object, members: object = {}) =>
      client.reply(client.send(type, payload, members));
    const cancel = await ask("job.cancel", {}, { job_id: jobId });
    const unknown = await ask("job.cancel", {}, { job_id: "job_unknown" });
    expect(cancel.payload).toMatchObject({ code: "JOB_NOT_FOUND" });
    expect(cancel.payload.message).toBe(unknown.payload.message);
    expect((await ask("job.cancel", { job_id: jobId })).payload.code).toBe("JOB_NOT_FOUND");
    const subscribed = await ask("job.subscribe", { job_id: jobId, history: true });
    expect(subscribed.payload.code).toBe("PERMISSION_DENIED");
    client.send("job.unsubscribe", { job_id: jobId });
    const list = await ask("session.list_jobs", {});
    expect(list.payload.jobs).toEqual([]);
    await canary.completes();
    expect(client.numbered).toEqual([]);
  });
});

test("foreign jobs can be hidden altogether", async () => {
  await using harness = startHarness({ agents: AGENTS, server: { hideForeignJobs: true } });
  const canary = await startCanary(harness);
  const client = await harness.rawSession(undefined, "mallory");
  const foreign = await client.reply(client.send("job.subscribe", { job_id: canary.jobId }));
  const unknown = await client.reply(client.send("job.subscribe", { job_id: "job_unknown" }));
  expect(foreign.payload).toMatchObject({ code: "JOB_NOT_FOUND", message: unknown.payload.message });
  await canary.completes();
});

test("an acknowledgement beyond the head is refused and frees nothing", async () => {
  covers("V11-6.5-03");
  await using harness = startHarness({ agents: AGENTS });
  const client = await harness.rawSession();
  for (let n = 1; n <= 3; n += 1) await client.submit("echo", n);
  await client.nextWhere(({ event_seq }) => event_seq === 3);
  for (const seq of [4, 1_000_000, Number.MAX_SAFE_INTEGER]) {
    const answer = await refused(client, envelope("session.ack", { last_processed_seq: seq }));
    expect(answer.payload.details.highest).toBe(3);
  }
  client.cut();
  const again = await harness.raw();
  expect((await again.resume(client, 0)).type).toBe("session.welcome");
  await again.nextWhere(({ event_seq }) => event_seq === 3);
  expect(again.numbered.map(({ event_seq }) => event_seq)).toEqual([1, 2, 3]);
});

test("an acknowledgement without the feature is refused", async () => {
  covers("V11-6.2-11");
  await using harness = startHarness({ agents: AGENTS });
  const client = await harness.rawSession([]);
  await stillWorks(client);
  for (const [type, payload] of [
    ["session.ack", { last_processed_seq: 1 }],
    ["session.list_jobs", {}],
    ["job.subscribe", { job_id: "job_x" }],
    ["job.unsubscribe", { job_id: "job_x" }],
  ] as const) {
    await refused(client, envelope(type, payload));
  }
  await stillWorks(client);
});

test("a frame that arrives twice runs one job, another session's ids are its own", async () => {
  covers("V11-7.2-10");
  await using harness = startHarness({ agents: AGENTS });
  const alice = await harness.rawSession(undefined, "alice");
  const mallory = await harness.rawSession(undefined, "mallory");
  const text = envelope("job.submit", { agent: "echo", input: 1 });
  mallory.sendText(text);
  const theirs = await mallory.next("job.accepted");
  alice.sendText(text);
  alice.sendText(text);
  const first = await alice.next("job.accepted");
  const second = await alice.next("job.accepted");
  expect(second.payload.job_id).toBe(first.payload.job_id);
  expect(first.payload.job_id).not.toBe(theirs.payload.job_id);
});

test("a connection that says nothing is closed when the handshake is due", async () => {
  const clock = new ManualClock();
  await using harness = startHarness({ agents: AGENTS, server: { clock } });
  const canary = await startCanary(harness);
  const silent = await Promise.all(Array.from({ length: 200 }, () => harness.raw()));
  clock.advance(9_999);
  expect(silent.some(({ transport }) => transport.isClosed)).toBe(false);
  clock.advance(1);
  for (const client of silent) {
    expect(await client.next()).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
    expect((await client.transport.closed).code).toBe(4400);
  }
  await canary.completes();
});

test("a token that takes too long to verify is given up with the handshake", async () => {
  const clock = new ManualClock();
  const verify = (): Promise<never> => new Promise(() => {});
  await using harness = startHarness({ server: { clock, bearer: { verify } } });
  const client = await harness.raw();
  client.sendText(envelope("session.hello", HELLO));
  await new Promise((resolve) => setImmediate(resolve));
  clock.advance(10_000);
  expect(await client.next()).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
  await client.transport.closed;
});

test("a verifier that fails lets nobody in, and gives nothing away", async () => {
  covers("V11-6.1-02");
  const verify = (): Promise<never> => Promise.reject(new Error("SECRET: connect ECONNREFUSED 10.0.0.7"));
  await using harness = startHarness({ server: { bearer: { verify } } });
  const client = await harness.raw();
  const answer = await client.hello();
  expect(answer.payload.code).toBe("UNAUTHENTICATED");
  expect(JSON.stringify(answer)).not.toContain("SECRET");
  expect((await client.transport.closed).code).toBe(4401);
});

// Over HTTP there is nowhere to post to before the answer to hello names it.
describe.each(CARRIERS.filter((carrier) => carrier !== "http"))("whoever does not wait, over %s", (carrier) => {
  test("a submission in the same breath as hello has no effect", async () => {
    covers("V11-6.1-04");
    await using harness = startHarness({ carrier, agents: AGENTS });
    const client = await harness.raw();
    client.sendText(envelope("session.hello", HELLO));
    client.sendText(envelope("job.submit", SUBMIT));
    await client.transport.closed;
    expect(client.frames.map(({ type }) => type)).not.toContain("job.accepted");
    expect(harness.server.runningJobs).toBe(0);
  });
});
