import { ARCPClient, type ConnectionState } from "@arcp/client";
import {
  CancelledError,
  HeartbeatLostError,
  ResumeWindowExpiredError,
  silentLogger,
  TransportError,
  UnauthenticatedError,
} from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { collect, connected, FakeRuntime, FakeServer, reconnecting, settle } from "./fake-runtime.ts";

const log = (client: ARCPClient): string[] => {
  const phases: string[] = [];
  client.on("state", (state: ConnectionState) => phases.push(state.phase));
  return phases;
};

describe("a client that reconnects", () => {
  it("resumes with the latest token and the last number, again and again, and misses nothing", async () => {
    covers("V11-6.3-03", "V11-7.7-02", "V11-5.1-05");
    const { client, server, runtime } = await reconnecting();
    const phases = log(client);
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const events = collect(handle);
    runtime.log("job_1", 1);
    runtime.log("job_1", 2);
    await settle();
    runtime.drop();
    const second = await server.accept();
    const hello = await second.welcome({ resume_token: "rt_2" });
    expect(hello.payload.resume).toEqual({ session_id: "sess_1", resume_token: "rt_1", last_event_seq: 2 });
    expect(hello.payload.auth).toEqual({ scheme: "bearer", token: "secret-token" });
    second.log("job_1", 2, "again");
    second.log("job_1", 3);
    await settle();
    second.drop();
    const third = await server.accept();
    const again = await third.welcome({ resume_token: "rt_3" });
    expect(again.payload.resume).toEqual({ session_id: "sess_1", resume_token: "rt_2", last_event_seq: 3 });
    third.result("job_1", 4, { result: "ok" });
    expect((await events).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect((await handle.done).result).toBe("ok");
    expect(phases).toEqual(["reconnecting", "connected", "reconnecting", "connected"]);
    await client.close();
    expect(third.ofType("session.close")[0]?.session_id).toBe("sess_1");
  });

  it("can ask in the form of session.resume", async () => {
    covers("V11-6.3-03");
    const { client, server, runtime } = await reconnecting({ reconnect: { resumeForm: "resume" } });
    runtime.drop();
    const second = await server.accept();
    const resume = await second.next("session.resume");
    expect(resume.session_id).toBe("sess_1");
    expect(resume.payload).toEqual({
      session_id: "sess_1",
      resume_token: "rt_1",
      last_event_seq: 0,
      auth: { scheme: "bearer", token: "secret-token" },
    });
    second.send("session.welcome", { resume_token: "rt_2" });
    await settle();
    expect(client.session?.features.has("subscribe")).toBe(true);
    await client.close();
  });

  it("waits longer each time, with jitter, and gives up when the window has passed", async () => {
    const clock = new ManualClock();
    const { client, server, runtime } = await reconnecting({
      clock,
      reconnect: { initialDelayMs: 100, maxDelayMs: 1_000, random: () => 0.5 },
    });
    const delays: number[] = [];
    client.on("state", (state) => {
      if (state.phase === "reconnecting") delays.push(state.delayMs);
    });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const iterating = collect(handle);
    const failed = expect(iterating).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    server.isUnreachable = true;
    runtime.drop();
    for (let turn = 0; turn < 7; turn += 1) {
      await settle();
      clock.advance(500);
    }
    expect(delays).toEqual([50, 100, 200, 400, 500, 500, 500]);
    clock.advance(600_000);
    await settle();
    await expect(handle.done).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    await failed;
    await expect(client.closed).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    await expect(client.submit({ agent: "echo" })).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    expect(clock.pending).toBe(0);
  });

  it("goes on waiting longer when the connections it makes do not last", async () => {
    const clock = new ManualClock();
    const { client, server, runtime } = await reconnecting({
      clock,
      reconnect: { initialDelayMs: 100, random: () => 0.5 },
    });
    const delays: number[] = [];
    client.on("state", (state) => {
      if (state.phase === "reconnecting") delays.push(state.delayMs);
    });
    let current = runtime;
    for (const lifetimeMs of [0, 0, 4_999, 5_000, 0]) {
      clock.advance(lifetimeMs);
      current.drop();
      await settle();
      clock.advance(delays.at(-1) ?? 0);
      current = await server.accept();
      await current.welcome();
      await settle();
    }
    expect(delays).toEqual([50, 100, 200, 50, 100]);
    await client.close();
  });

  it("gives up after the attempts it is allowed, with the last cause", async () => {
    const { client, server, runtime } = await reconnecting({ reconnect: { maxAttempts: 2 } });
    server.isUnreachable = true;
    runtime.drop();
    await expect(client.closed).rejects.toBeInstanceOf(TransportError);
  });

  it("ends at once when it is refused for good", async () => {
    const { client, server, runtime } = await reconnecting();
    runtime.drop();
    const second = await server.accept();
    await second.next("session.hello");
    second.send("session.error", { code: "RESUME_WINDOW_EXPIRED", message: "gone", retryable: false });
    await expect(client.closed).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    const other = await reconnecting();
    other.runtime.drop();
    const refused = await other.server.accept();
    await refused.next("session.hello");
    refused.send("session.error", { code: "UNAUTHENTICATED", message: "no", retryable: false });
    await expect(other.client.closed).rejects.toBeInstanceOf(UnauthenticatedError);
  });

  it("takes a welcome for another session as a lost one", async () => {
    const { client, server, runtime } = await reconnecting();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.drop();
    const second = await server.accept();
    second.sessionId = "sess_2";
    await second.welcome();
    await expect(client.closed).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    await expect(handle.done).rejects.toBeInstanceOf(ResumeWindowExpiredError);
  });

  it("sends again what was not answered, under the same key", async () => {
    covers("V11-6.3-15");
    const { client, server, runtime } = await reconnecting();
    const submitting = client.submit({ agent: "echo" });
    const listing = client.listJobs();
    const first = await runtime.next("job.submit");
    await runtime.next("session.list_jobs");
    runtime.drop();
    await settle();
    const waiting = client.submit({ agent: "other", idempotencyKey: "mine" });
    const second = await server.accept();
    await second.welcome();
    const again = await second.accept("job_1");
    expect(again.id).not.toBe(first.id);
    expect(again.payload).toEqual(first.payload);
    expect(again.payload.idempotency_key).toEqual(expect.any(String));
    expect((await submitting).jobId).toBe("job_1");
    const third = await second.accept("job_2");
    expect(third.payload.idempotency_key).toBe("mine");
    expect((await waiting).jobId).toBe("job_2");
    const list = second.ofType("session.list_jobs");
    expect(list).toHaveLength(1);
    second.send("session.jobs", { request_id: list[0]?.id, jobs: [] });
    expect(await listing).toEqual({ jobs: [], nextCursor: undefined });
    expect(second.ofType("job.submit")).toHaveLength(2);
    await client.close();
  });

  it("asks for the token anew for every connection", async () => {
    let count = 0;
    const { client, server, runtime } = await reconnecting({
      token: () => {
        count += 1;
        return `token ${count}`;
      },
    });
    runtime.drop();
    const second = await server.accept();
    expect((await second.welcome()).payload.auth.token).toBe("token 2");
    await client.close();
  });

  it("stops trying when it is closed", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await reconnecting({ clock, reconnect: { random: () => 1 } });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.drop();
    await settle();
    const pending = client.listJobs();
    await client.close();
    await expect(pending).rejects.toBeInstanceOf(CancelledError);
    await expect(handle.done).rejects.toBeInstanceOf(CancelledError);
    await client.closed;
    expect(clock.pending).toBe(0);
  });

  it("rejects when the first connection cannot be made", async () => {
    const server = new FakeServer();
    server.isUnreachable = true;
    await expect(ARCPClient.connect(server.factory, { logger: silentLogger })).rejects.toThrow("unreachable");
    const hanging = new AbortController();
    const connecting = ARCPClient.connect(() => new Promise(() => {}), { signal: hanging.signal });
    hanging.abort(new Error("no more"));
    await expect(connecting).rejects.toThrow("no more");
  });

  it("opens a new session, by option, and follows its jobs from there", async () => {
    covers("V11-6.3-15");
    const { client, server, runtime } = await reconnecting({ reconnect: { onExpired: "reattach" } });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const events = collect(handle);
    runtime.log("job_1", 1);
    runtime.log("job_1", 2);
    await settle();
    runtime.drop();
    const refusing = await server.accept();
    await refusing.next("session.hello");
    refusing.send("session.error", { code: "RESUME_WINDOW_EXPIRED", message: "gone", retryable: false });
    const fresh = await server.accept();
    fresh.sessionId = "sess_2";
    const hello = await fresh.welcome();
    expect(hello.payload.resume).toBeUndefined();
    const subscribe = await fresh.next("job.subscribe");
    expect(subscribe.payload).toEqual({ job_id: "job_1", from_event_seq: 2, history: true });
    fresh.send("job.subscribed", { job_id: "job_1", current_status: "running", replayed: true });
    fresh.log("job_1", 1, "third");
    fresh.result("job_1", 2, { result: "ok" });
    expect((await events).map(({ body }) => (body as { message: string }).message)).toEqual([
      "message 1",
      "message 2",
      "third",
    ]);
    expect((await handle.done).result).toBe("ok");
    await client.close();
  });
});

describe("a gap in the numbering", () => {
  it("breaks the connection and resumes after the last number without one before it", async () => {
    covers("V11-8.3-05");
    const { client, server, runtime } = await reconnecting();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const events = collect(handle);
    runtime.log("job_1", 1);
    runtime.log("job_1", 3);
    runtime.log("job_1", 4);
    const second = await server.accept();
    const hello = await second.welcome();
    expect(hello.payload.resume.last_event_seq).toBe(1);
    for (const seq of [2, 3, 4]) second.log("job_1", seq);
    second.result("job_1", 5);
    expect((await events).map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    await client.close();
  });

  it("that the runtime cannot fill is reported and passed over", async () => {
    const { client, server, runtime } = await reconnecting();
    const problems: (readonly [string, unknown])[] = [];
    client.on("error", (error) => problems.push([error.message, error.details?.["last_event_seq"]]));
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const events = collect(handle);
    runtime.log("job_1", 1);
    runtime.log("job_1", 3);
    const second = await server.accept();
    await second.welcome();
    second.log("job_1", 3);
    second.result("job_1", 4);
    expect((await events).map(({ seq }) => seq)).toEqual([1, 3]);
    expect(problems).toEqual([
      ["messages 2 to 2 are missing", 1],
      ["messages 2 to 2 are missing", 1],
    ]);
    await client.close();
  });

  it("is only reported by option, and messages without a number make none", async () => {
    const { client, runtime } = await connected({ compat: { onGap: "report" } });
    const problems: string[] = [];
    client.on("error", (error) => problems.push(error.message));
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.log("job_1", 1);
    runtime.event("job_1", undefined, "thought", { text: "no number" });
    runtime.event("job_1", 0, "thought", { text: "zero" });
    runtime.event("job_1", 1.5, "thought", { text: "between" });
    runtime.log("job_1", 5);
    runtime.result("job_1", undefined);
    expect((await collect(handle)).map(({ seq }) => seq)).toEqual([1, undefined, undefined, undefined, 5]);
    expect(problems).toEqual(["messages 2 to 4 are missing"]);
    await client.close();
  });
});

describe("a client that does not reconnect by itself", () => {
  it("fails its requests, holds its jobs, and takes the session up on a new transport", async () => {
    covers("V11-6.3-03");
    const { client, runtime } = await connected();
    const phases = log(client);
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.log("job_1", 1);
    await settle();
    const listing = client.listJobs();
    runtime.drop();
    await expect(listing).rejects.toBeInstanceOf(TransportError);
    await expect(client.submit({ agent: "echo" })).rejects.toBeInstanceOf(TransportError);
    const info = client.resumeInfo;
    expect(info).toEqual({ sessionId: "sess_1", resumeToken: "rt_1", lastEventSeq: 1 });
    const failing = new FakeRuntime();
    const failed = client.resume(failing.clientTransport, info as NonNullable<typeof info>);
    await failing.next("session.hello");
    failing.drop();
    await expect(failed).rejects.toBeInstanceOf(TransportError);
    const second = new FakeRuntime();
    const resuming = client.resume(second.clientTransport, info as NonNullable<typeof info>);
    await second.welcome({ resume_token: "rt_2" });
    expect((await resuming).resume_token).toBe("rt_2");
    second.result("job_1", 2, { result: 1 });
    expect((await handle.done).result).toBe(1);
    expect(phases).toEqual(["disconnected", "connecting", "disconnected", "connecting", "connected"]);
    await client.close();
  });

  it("gives its jobs up when nobody resumes in time", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, holdMs: 1_000 });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.drop();
    await settle();
    clock.advance(1_000);
    await expect(handle.done).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    expect(clock.pending).toBe(0);
    const impatient = await connected({ holdMs: 0 });
    impatient.runtime.drop();
    await expect(impatient.client.closed).rejects.toBeInstanceOf(TransportError);
  });

  it("can take over the session of another process", async () => {
    const client = new ARCPClient({ token: "t", logger: silentLogger });
    const runtime = new FakeRuntime();
    const resuming = client.resume(runtime.clientTransport, {
      sessionId: "sess_1",
      resumeToken: "rt_9",
      lastEventSeq: 41,
    });
    const hello = await runtime.welcome();
    expect(hello.payload.resume).toEqual({ session_id: "sess_1", resume_token: "rt_9", last_event_seq: 41 });
    await resuming;
    runtime.log("job_1", 42);
    runtime.result("job_1", 43, { result: 1 });
    const handle = client.job("job_1");
    expect((await handle.done).result).toBe(1);
    expect((await collect(handle)).map(({ seq }) => seq)).toEqual([42]);
    await client.close();
  });

  it("fails the jobs of a session that the runtime did not resume", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.drop();
    await settle();
    const second = new FakeRuntime();
    second.sessionId = "sess_2";
    const info = client.resumeInfo;
    const resuming = client.resume(second.clientTransport, info as NonNullable<typeof info>);
    await second.welcome();
    await resuming;
    expect(client.session?.sessionId).toBe("sess_2");
    await expect(handle.done).rejects.toBeInstanceOf(ResumeWindowExpiredError);
    await client.close();
  });
});

describe("heartbeats", () => {
  it("ping when nothing was sent for an interval, whatever the other side sends", async () => {
    covers("V11-6.4-01", "V11-6.4-02", "V11-6.4-03");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, autoAck: false });
    clock.advance(29_000);
    runtime.log("job_1", 1);
    await settle();
    expect(runtime.ofType("session.ping")).toHaveLength(0);
    clock.advance(1_000);
    const ping = await runtime.next("session.ping");
    expect(ping.payload).toEqual({ nonce: expect.any(String), sent_at: "2026-01-01T00:00:30.000Z" });
    runtime.send("session.pong", { ping_nonce: ping.payload.nonce, received_at: "0001-01-01T00:00:00Z" });
    await settle();
    clock.advance(20_000);
    void client.listJobs().catch(() => {});
    runtime.log("job_1", 2);
    await settle();
    clock.advance(20_000);
    await settle();
    expect(runtime.ofType("session.ping")).toHaveLength(1);
    client.abort();
    expect(clock.pending).toBe(0);
  });

  it("ping a peer of which nothing is heard, however much is sent to it", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    clock.advance(20_000);
    void client.listJobs().catch(() => {});
    clock.advance(10_000);
    await settle();
    expect(runtime.ofType("session.ping")).toHaveLength(1);
    client.abort();
  });

  it("give the connection up after two silent intervals, and any message is a sign of life", async () => {
    covers("V11-6.4-07", "V11-6.4-08");
    const clock = new ManualClock();
    const { client, server, runtime } = await reconnecting({ clock });
    const causes: unknown[] = [];
    client.on("state", (state) => {
      if (state.phase === "reconnecting") causes.push(state.cause);
    });
    clock.advance(50_000);
    runtime.log("job_1", 1);
    await settle();
    clock.advance(59_000);
    await settle();
    expect(causes).toEqual([]);
    clock.advance(1_000);
    await settle();
    expect(causes[0]).toBeInstanceOf(HeartbeatLostError);
    expect(runtime.transport.isClosed).toBe(true);
    clock.advance(1);
    const second = await server.accept();
    await second.welcome();
    await settle();
    await client.close();
    expect(clock.pending).toBe(0);
  });

  it("do not count the silence of a connection that is not being read", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, maxUnreadEvents: 2, autoAck: false });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const iterator = (await submitting).events();
    for (let seq = 1; seq <= 10; seq += 1) runtime.log("job_1", seq);
    await settle();
    clock.advance(300_000);
    await settle();
    expect(client.state.phase).toBe("connected");
    expect(runtime.ofType("session.ping").length).toBeGreaterThan(5);
    for (let taken = 1; taken <= 10; taken += 1) await iterator.next();
    clock.advance(59_000);
    expect(client.state.phase).toBe("connected");
    clock.advance(1_000);
    expect(client.state.phase).toBe("disconnected");
    await client.close();
  });

  it("do not run when they were not negotiated", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, features: ["ack"] });
    clock.advance(500_000);
    await settle();
    expect(runtime.ofType("session.ping")).toHaveLength(0);
    expect(runtime.transport.isClosed).toBe(false);
    await client.close();
  });
});
