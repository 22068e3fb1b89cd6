import { HeartbeatLostError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { connected, reconnecting } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import type { Frame, RawClient } from "../support/raw-client.ts";

const INTERVAL_MS = 30_000;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

const pings = (frames: readonly Frame[]): readonly Frame[] => frames.filter(({ type }) => type === "session.ping");

/** The `count`th ping of the runtime, now or later. */
const ping = async (client: RawClient, count: number): Promise<Frame> =>
  client.sees((frame) => pings(client.frames)[count - 1] === frame, `ping ${count}`);

const answer = (client: RawClient, { payload }: Frame): string =>
  client.send("session.pong", { ping_nonce: payload.nonce, received_at: new Date(0).toISOString() });

describe.each(CARRIERS)("over %s, the runtime", (carrier) => {
  test("pings in each interval in which it has nothing else to say", async () => {
    covers("V11-6.4-01", "V11-6.4-03");
    const clock = new ManualClock();
    await using harness = startHarness({ carrier, server: { clock } });
    const client = await harness.rawSession();
    for (let count = 1; count <= 5; count += 1) {
      clock.advance(INTERVAL_MS - 1);
      expect(pings(client.frames)).toHaveLength(count - 1);
      clock.advance(1);
      const { payload } = await ping(client, count);
      expect(payload.nonce).toEqual(expect.any(String));
      expect(payload.nonce).not.toBe("");
      expect(payload.sent_at).toMatch(TIMESTAMP);
      expect(Date.parse(payload.sent_at)).toBe(clock.now());
      answer(client, await ping(client, count));
      await client.fence();
    }
    expect(new Set(pings(client.frames).map(({ payload }) => payload.nonce)).size).toBe(5);
    expect(client.transport.isClosed).toBe(false);
  });

  test("does not ping while it has something to say", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    for (let n = 1; n <= 6; n += 1) {
      clock.advance(INTERVAL_MS / 2);
      await emitLogs(run, 1, n);
      await client.sees(({ event_seq }) => event_seq === n);
      await client.fence();
    }
    expect(pings(client.frames)).toEqual([]);
  });

  test("asks a client that only listens for a sign of life, though it has much to say itself", async () => {
    covers("V11-6.4-08");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    // A client that never pings by itself, and answers, watches a job that streams for many intervals.
    let answered = 0;
    for (let n = 1; n <= 20; n += 1) {
      clock.advance(INTERVAL_MS / 3);
      await emitLogs(run, 1, n);
      await client.sees(({ event_seq }) => event_seq === n);
      for (const asked of pings(client.frames).slice(answered)) answer(client, asked);
      answered = pings(client.frames).length;
      await settle();
    }
    expect(client.transport.isClosed).toBe(false);
    expect(answered).toBeGreaterThanOrEqual(5);
  });

  test("answers each ping with its nonce and the time", async () => {
    covers("V11-6.4-04", "V11-6.4-06");
    const clock = new ManualClock();
    await using harness = startHarness({ carrier, server: { clock } });
    const client = await harness.rawSession();
    for (const nonce of ["p_1", "p_2", "é", ""]) {
      const id = client.send("session.ping", { nonce, sent_at: "2026-01-01T00:00:00.000Z" });
      const pong = await client.reply(id);
      expect(pong.type).toBe("session.pong");
      expect(pong.payload.ping_nonce).toBe(nonce);
      expect(Date.parse(pong.payload.received_at)).toBe(clock.now());
    }
  });

  test("answers pings while an agent computes and a large result streams", async () => {
    covers("V11-6.4-04");
    const isEnough = { value: false };
    await using harness = startHarness({
      carrier,
      agents: {
        busy: async (_input, context) => {
          const stream = context.streamResult();
          let sum = 0;
          while (!isEnough.value) {
            for (let spin = 0; spin < 20_000; spin += 1) sum += Math.sqrt(spin);
            await context.log("info", String(sum));
            await stream.write("x".repeat(1_000));
          }
          return undefined;
        },
      },
    });
    const client = await harness.rawSession();
    await client.submit("busy");
    // The agent stops only after these have been answered.
    for (let n = 0; n < 5; n += 1) await client.fence();
    isEnough.value = true;
    const end = await client.next("job.result");
    const pongs = client.frames.filter(({ type }) => type === "session.pong");
    expect(pongs).toHaveLength(5);
    expect(client.frames.indexOf(pongs[0] as Frame)).toBeGreaterThan(0);
    expect(client.frames.indexOf(pongs[4] as Frame)).toBeLessThan(client.frames.indexOf(end));
  });

  test("gives a silent connection up after two intervals, and keeps its session and jobs", async () => {
    covers("V11-6.4-07", "V11-6.4-09", "V11-6.4-10");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession();
    const { job_id } = await client.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    await client.sees(({ event_seq }) => event_seq === 2);
    clock.advance(INTERVAL_MS);
    await ping(client, 1);
    clock.advance(INTERVAL_MS - 1);
    await settle();
    expect(client.frames.some(({ type }) => type === "session.error")).toBe(false);
    clock.advance(1);
    const loss = await client.sees(({ type }) => type === "session.error");
    expect(loss.payload).toMatchObject({ code: "HEARTBEAT_LOST", retryable: true });
    await client.transport.closed;
    expect(client.frames.at(-1)).toBe(loss);

    expect(run.context.signal.aborted).toBe(false);
    const observer = await harness.rawSession();
    await observer.reply(observer.send("job.subscribe", { job_id }));
    await emitLogs(run, 2, 3);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 2)).session_id).toBe(client.sessionId);
    run.finish("natural");
    for (const watcher of [observer, resumed]) {
      expect((await watcher.ended(job_id as string)).payload.result).toBe("natural");
    }
    expect(resumed.numbered.map(({ event_seq }) => event_seq)).toEqual([3, 4, 5]);
  });
});

describe("the runtime", () => {
  test("pings a client that talks all the time, if it has itself nothing to say", async () => {
    covers("V11-6.4-02", "V11-6.4-08");
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock } });
    const client = await harness.rawSession();
    for (let n = 1; n <= 50; n += 1) {
      clock.advance(INTERVAL_MS / 10);
      client.send("session.ack", { last_processed_seq: 0 });
      await settle(4);
    }
    expect(pings(client.frames)).toHaveLength(5);
    expect(client.frames.map(({ type }) => type)).toEqual(["session.welcome", ...Array(5).fill("session.ping")]);
    expect(client.transport.isClosed).toBe(false);
  });

  test("takes any message for a sign of life, and needs no pong", async () => {
    covers("V11-6.4-08");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { clock } });
    const client = await harness.rawSession();
    const messages = [
      () => client.send("session.ack", { last_processed_seq: 0 }),
      () => client.send("job.submit", { agent: "echo", input: 1 }),
      () => client.send("session.list_jobs"),
      () => client.send("job.submit", { agent: "nobody", input: 1 }),
      () => client.sendText("{"),
    ];
    for (const say of messages) {
      clock.advance(2 * INTERVAL_MS - 1);
      say();
      await settle();
    }
    clock.advance(2 * INTERVAL_MS - 1);
    await client.fence();
    expect(client.frames.some(({ payload }) => payload.code === "HEARTBEAT_LOST")).toBe(false);
    expect(pings(client.frames).length).toBeGreaterThan(0);
  });

  test("does not count pings and pongs among the numbered messages", async () => {
    covers("V11-6.4-11");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    for (let n = 1; n <= 4; n += 1) {
      await emitLogs(run, 1, n);
      await client.sees(({ event_seq }) => event_seq === n);
      for (let count = 0; count < 3; count += 1) {
        clock.advance(INTERVAL_MS);
        answer(client, await client.next("session.ping"));
        await client.fence();
      }
    }
    expect(client.numbered.map(({ event_seq }) => event_seq)).toEqual([1, 2, 3, 4]);
    for (const frame of client.frames.filter(({ type }) => /session\.p[io]ng/.test(type))) {
      expect(frame).not.toHaveProperty("event_seq");
    }
    expect(pings(client.frames)).toHaveLength(12);
  });

  test("answers pings, and sends none, where heartbeats were not agreed on", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock } });
    const client = await harness.rawSession(["ack"]);
    clock.advance(10 * INTERVAL_MS);
    await client.fence();
    expect(client.frames.map(({ type }) => type)).toEqual(["session.welcome", "session.pong"]);
  });

  test("forgets the session in the end when nobody comes back after a heartbeat was lost", async () => {
    covers("V11-6.4-10");
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock, resumeWindowSeconds: 300 } });
    const client = await harness.rawSession();
    clock.advance(INTERVAL_MS);
    clock.advance(INTERVAL_MS);
    await client.transport.closed;
    await settle();
    clock.advance(299_000);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 0)).type).toBe("session.welcome");
    await harness.disconnect(resumed);
    clock.advance(301_000);
    expect((await (await harness.raw()).resume(resumed, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
  });
});

describe("the client", () => {
  test("pings in each interval in which it has nothing else to say", async () => {
    covers("V11-6.4-01", "V11-6.4-02", "V11-6.4-03");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    for (let count = 1; count <= 5; count += 1) {
      // The runtime talks all the time.
      for (let tenth = 0; tenth < 10; tenth += 1) {
        clock.advance(INTERVAL_MS / 10);
        runtime.send("session.pong", { ping_nonce: "none" });
        await settle(2);
      }
      expect(runtime.ofType("session.ping")).toHaveLength(count);
    }
    for (const { payload } of runtime.ofType("session.ping")) {
      expect(payload.nonce).toMatch(/./);
      expect(payload.sent_at).toMatch(TIMESTAMP);
    }
    expect(new Set(runtime.ofType("session.ping").map(({ payload }) => payload.nonce)).size).toBe(5);
    client.abort();
  });

  test("answers each ping with its nonce and the time, at once", async () => {
    covers("V11-6.4-05", "V11-6.4-06");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    for (const nonce of ["p_1", "p_2"]) {
      runtime.send("session.ping", { nonce, sent_at: "2026-01-01T00:00:00.000Z" });
      const { payload } = await runtime.next("session.pong");
      expect(payload.ping_nonce).toBe(nonce);
      expect(payload.received_at).toMatch(TIMESTAMP);
      expect(Date.parse(payload.received_at)).toBe(clock.now());
    }
    client.abort();
  });

  test("gives a silent connection up after two intervals and no sooner", async () => {
    covers("V11-6.4-07", "V11-6.4-08");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const states: unknown[] = [];
    client.on("state", (state) => states.push(state));
    clock.advance(2 * INTERVAL_MS - 1);
    await settle();
    expect(runtime.transport.isClosed).toBe(false);
    clock.advance(1);
    await settle();
    expect(runtime.transport.isClosed).toBe(true);
    expect(states).toMatchObject([{ phase: "disconnected", cause: { code: "HEARTBEAT_LOST", retryable: true } }]);
    client.abort();
  });

  test("takes any message for a sign of life, and needs no pong", async () => {
    covers("V11-6.4-08");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    await submitting;
    for (let seq = 1; seq <= 5; seq += 1) {
      clock.advance(2 * INTERVAL_MS - 1);
      runtime.log("job_1", seq);
      await settle();
    }
    expect(runtime.transport.isClosed).toBe(false);
    expect(runtime.ofType("session.pong")).toEqual([]);
    client.abort();
  });

  test("that reconnects by itself resumes after a lost heartbeat", async () => {
    covers("V11-6.4-07", "V11-6.4-10");
    const clock = new ManualClock();
    const { client, server } = await reconnecting({ clock });
    const causes: unknown[] = [];
    client.on("state", (state) => {
      if (state.phase === "reconnecting") causes.push(state.cause);
    });
    clock.advance(INTERVAL_MS);
    clock.advance(INTERVAL_MS);
    await settle();
    clock.advance(1);
    const again = await server.accept();
    expect((await again.next("session.hello")).payload.resume.session_id).toBe("sess_1");
    expect(causes[0]).toBeInstanceOf(HeartbeatLostError);
    client.abort();
  });
});

describe("a session that only exchanges heartbeats", () => {
  const IDLE_MS = 4 * INTERVAL_MS;

  /** Lets the time pass, and answers every ping. */
  async function idle(client: RawClient, clock: ManualClock, ms: number): Promise<void> {
    let answered = pings(client.frames).length;
    for (let passed = 0; passed < ms; passed += INTERVAL_MS) {
      clock.advance(INTERVAL_MS);
      await settle();
      for (const asked of pings(client.frames).slice(answered)) answer(client, asked);
      answered = pings(client.frames).length;
      await settle();
    }
  }

  test("is disconnected after a while, if the operator says so, and can be resumed", async () => {
    covers("V11-14-27");
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock, idleSessionSeconds: IDLE_MS / 1000 } });
    const client = await harness.rawSession();
    await idle(client, clock, IDLE_MS - INTERVAL_MS);
    expect(client.transport.isClosed).toBe(false);
    await idle(client, clock, INTERVAL_MS);
    expect(client.frames.at(-1)).toMatchObject({ type: "session.bye", payload: { reason: "idle" } });
    expect(client.transport.isClosed).toBe(true);
    const again = await harness.raw();
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
  });

  test("stays connected otherwise", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock } });
    const client = await harness.rawSession();
    await idle(client, clock, 100 * INTERVAL_MS);
    expect(client.transport.isClosed).toBe(false);
  });

  test("is not idle while it asks for something, or a job that it watches lives", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, idleSessionSeconds: IDLE_MS / 1000 };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const client = await harness.rawSession();
    for (let n = 1; n <= 4; n += 1) {
      await idle(client, clock, IDLE_MS - INTERVAL_MS);
      await client.listJobs();
    }
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    await idle(client, clock, 4 * IDLE_MS);
    expect(client.transport.isClosed).toBe(false);
    run.finish();
    await client.end(payload.job_id);
    await idle(client, clock, IDLE_MS);
    expect(client.transport.isClosed).toBe(false);
    await idle(client, clock, IDLE_MS);
    expect(client.transport.isClosed).toBe(true);
  });
});
