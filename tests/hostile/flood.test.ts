import { type MemoryTransport, pairMemoryTransports, type Transport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RawClient } from "../support/raw-client.ts";
import { startCanary, WITHOUT_HEARTBEAT } from "./canary.ts";
import { AGENTS, stillWorks } from "./hostile-client.ts";
import { envelope } from "./malformed-frames.ts";

const MIB = 1024 * 1024;

/** A welcomed session whose server end can be looked at. */
async function watchedSession(
  harness: Harness,
  token = "mallory",
): Promise<{ readonly client: RawClient; readonly serverEnd: Transport }> {
  const [left, right]: [MemoryTransport, MemoryTransport] = pairMemoryTransports();
  await harness.server.accept(right);
  const client = new RawClient(left);
  await client.hello(WITHOUT_HEARTBEAT, token);
  return { client, serverEnd: right };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await turn();
}

/** Bytes in use after a collection, if the process lets one be asked for. */
function heapUsed(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed;
}

describe("a client that does not read", () => {
  test("while its job streams: the journal takes it, memory does not, and the client is cut off", async () => {
    covers("V11-14-09", "V11-6.3-11", "V11-4.3-01");
    const clock = new ManualClock();
    const count = 4_000;
    const emitted = Promise.withResolvers<void>();
    await using harness = startHarness({
      server: { clock },
      agents: {
        stream: async (_input, context) => {
          for (let n = 1; n <= count; n += 1) await context.log("info", `${n} ${"x".repeat(2_000)}`);
          emitted.resolve();
          return "done";
        },
      },
    });
    const canary = await startCanary(harness);
    const { client, serverEnd } = await watchedSession(harness);
    const accepted = await client.submit("stream");
    client.transport.pause();
    let most = 0;
    let isEmitted = false;
    void emitted.promise.then(() => {
      isEmitted = true;
    });
    // The job waits for its client, for half a minute at most, and then goes on without.
    for (let second = 0; second < 59; second += 1) {
      clock.advance(1_000);
      for (let n = 0; n < 40; n += 1) {
        await turn();
        most = Math.max(most, serverEnd.bufferedBytes);
      }
    }
    expect(isEmitted).toBe(true);
    expect(serverEnd.isClosed).toBe(false);
    clock.advance(2_000);
    await turns(2);
    expect(serverEnd.isClosed).toBe(true);
    // One slice of the journal more than what counts as congested.
    expect(most).toBeLessThan(4 * MIB);
    const stored = await harness.server.eventLog.findJob(accepted.payload.job_id);
    expect(stored).toMatchObject({ status: "success" });
    const again = await harness.raw();
    expect((await again.resume(client, 0, "mallory")).type).toBe("session.welcome");
    await again.ended(accepted.payload.job_id);
    const seqs = again.numbered.map(({ event_seq }) => event_seq);
    expect(seqs).toEqual(Array.from({ length: stored?.lastN as number }, (_, index) => index + 1));
    await canary.completes();
  });

  /** Questions that are answered at once, each in another way. */
  test.each([
    ["lists its jobs", () => envelope("session.list_jobs", { limit: 1000 })],
    ["pings", () => envelope("session.ping", { nonce: "n".repeat(256) })],
    [
      "sends what is not understood, and now and then what is",
      (n: number) => (n % 2 === 0 ? "{" : envelope("session.pong", {})),
    ],
    [
      "sends unknown types",
      (n: number) => (n % 2 === 0 ? envelope("t".repeat(100), {}) : envelope("session.pong", {})),
    ],
    [
      "acknowledges what it was not sent",
      (n: number) => (n % 2 === 0 ? envelope("session.ack", { last_processed_seq: 99 }) : envelope("session.pong", {})),
    ],
    [
      "asks for jobs that do not exist",
      (n: number) => envelope("job.subscribe", { job_id: `job_${n}`.padEnd(128, "x") }),
    ],
    ["submits to agents that do not exist", () => envelope("job.submit", { agent: "nobody", input: null })],
    ["closes", (n: number) => (n < 19_999 ? envelope("session.ping", {}) : envelope("session.close", {}))],
  ])("and %s twenty thousand times", async (_name, question) => {
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock }, agents: AGENTS });
    const canary = await startCanary(harness);
    const { client, serverEnd } = await watchedSession(harness);
    for (let n = 0; n < 20; n += 1) await client.submit("echo", n);
    await client.nextWhere(({ event_seq }) => event_seq === 20);
    client.transport.pause();
    let most = 0;
    for (let n = 0; n < 20_000; n += 1) {
      client.sendText(question(n));
      if (n % 500 === 0) {
        await turns(3);
        most = Math.max(most, serverEnd.bufferedBytes);
      }
    }
    // Until nothing more is answered: what is slow to answer takes its time.
    for (let before = -1; before < serverEnd.bufferedBytes; ) {
      before = serverEnd.bufferedBytes;
      await turns(100);
    }
    most = Math.max(most, serverEnd.bufferedBytes);
    expect(most).toBeGreaterThan(MIB);
    expect(most).toBeLessThan(4 * MIB);
    expect(serverEnd.isClosed).toBe(false);
    clock.advance(60_000);
    await turns(2);
    expect(serverEnd.isClosed).toBe(true);
    await canary.completes();
  });

  test("but comes back in time: it gets every answer", async () => {
    await using harness = startHarness({ agents: AGENTS });
    const { client, serverEnd } = await watchedSession(harness);
    client.transport.pause();
    for (let n = 0; n < 10_000; n += 1)
      client.sendText(envelope("session.ping", { nonce: "n".repeat(256) }, { id: `msg_${n}` }));
    await turns(200);
    expect(serverEnd.bufferedBytes).toBeLessThan(4 * MIB);
    client.transport.resume();
    await client.nextWhere(({ payload }) => payload.request_id === "msg_9999");
    const ids = client.frames.filter(({ type }) => type === "session.pong").map(({ payload }) => payload.request_id);
    expect(ids).toEqual(Array.from({ length: 10_000 }, (_, n) => `msg_${n}`));
    await stillWorks(client);
  });
});

describe("more than one's share", () => {
  test("ten thousand sessions of one principal, and no more", async () => {
    covers("V11-14-26", "V11-14-10");
    await using harness = startHarness({ agents: AGENTS });
    const canary = await startCanary(harness);
    const before = heapUsed();
    const first = await harness.rawSession([], "mallory");
    const sessions: RawClient[] = [first];
    while (sessions.length < 10_000) {
      const count = Math.min(250, 10_000 - sessions.length);
      const batch = await Promise.all(Array.from({ length: count }, () => harness.raw()));
      for (const answer of await Promise.all(batch.map((client) => client.hello([], "mallory")))) {
        expect(answer.type).toBe("session.welcome");
      }
      sessions.push(...batch);
    }
    // Both ends and everything that the test keeps of them count here.
    expect((heapUsed() - before) / sessions.length).toBeLessThan(32 * 1024);
    const oneMore = await harness.raw();
    const answer = await oneMore.hello([], "mallory");
    expect(answer).toMatchObject({
      type: "session.error",
      payload: {
        code: "INTERNAL_ERROR",
        retryable: true,
        details: { limit: "maxSessions", max: 10_000, retry: "after_capacity" },
      },
    });
    expect((await oneMore.transport.closed).code).toBe(4500);
    // Nobody else is affected, and what was opened can still be resumed.
    await stillWorks(await harness.rawSession(undefined, "alice"));
    await harness.disconnect(first);
    const resumed = await harness.raw();
    expect((await resumed.resume(first, 0, "mallory")).type).toBe("session.welcome");
    await canary.completes();
  });

  test("jobs of one session beyond its cap", async () => {
    covers("V11-14-09", "V11-14-10");
    await using harness = startHarness({ agents: AGENTS, server: { caps: { maxConcurrentJobs: 5 } } });
    const canary = await startCanary(harness);
    const client = await harness.rawSession();
    const accepted: string[] = [];
    for (let n = 0; n < 5; n += 1) accepted.push((await client.submit("hold")).payload.job_id);
    for (let n = 0; n < 50; n += 1) {
      const answer = await client.submit("hold");
      expect(answer).toMatchObject({
        type: "session.error",
        payload: { code: "INTERNAL_ERROR", details: { limit: "maxConcurrentJobs", max: 5, retry: "after_capacity" } },
      });
    }
    client.send("job.cancel", {}, { job_id: accepted[0] });
    await client.ended(accepted[0] as string);
    await stillWorksAfterCancel(client);
    await canary.completes();
  });

  test("jobs of one principal over many sessions", async () => {
    await using harness = startHarness({ agents: AGENTS, server: { principalCaps: { maxConcurrentJobs: 6 } } });
    const canary = await startCanary(harness);
    const sessions = await Promise.all(Array.from({ length: 4 }, () => harness.rawSession(undefined, "mallory")));
    const answers = await Promise.all(sessions.flatMap((client) => [client.submit("hold"), client.submit("hold")]));
    expect(answers.filter(({ type }) => type === "job.accepted")).toHaveLength(6);
    const alice = await harness.rawSession(undefined, "alice");
    expect((await alice.submit("echo", 1)).type).toBe("job.accepted");
    await canary.completes();
  });

  test("a result and an event beyond the caps end the job, not the session", async () => {
    covers("V11-14-10");
    await using harness = startHarness({
      agents: {
        ...AGENTS,
        "big-result": () => "x".repeat(9 * MIB),
        "big-event": (_input, context) => context.log("info", "x".repeat(2_000_000)),
      },
    });
    const client = await harness.rawSession();
    for (const [agent, limit] of [
      ["big-result", "maxInlineResultBytes"],
      ["big-event", "maxEventBytes"],
    ] as const) {
      const accepted = await client.submit(agent);
      const end = await client.ended(accepted.payload.job_id);
      expect(end).toMatchObject({
        type: "job.error",
        payload: { code: "INTERNAL_ERROR", final_status: "error", details: { limit, retry: "never" } },
      });
    }
    expect((await client.submit("echo", 1)).type).toBe("job.accepted");
  });
});

/** A job runs, whatever was numbered before. */
async function stillWorksAfterCancel(client: RawClient): Promise<void> {
  const accepted = await client.submit("echo", "room again");
  expect((await client.ended(accepted.payload.job_id)).payload.result).toBe("room again");
}
