import { pairMemoryTransports } from "@arcp/core";
import type { JobCaps, JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, RawClient } from "../support/raw-client.ts";

const MIB = 1024 * 1024;
const range = (first: number, last: number): number[] =>
  Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => first + index);
const logsIn = (frames: readonly Frame[]): readonly Frame[] => frames.filter(({ payload }) => payload.kind === "log");

const exceeds = (limit: keyof JobCaps, max: number): object => ({
  ...{ code: "INTERNAL_ERROR", retryable: true },
  details: { limit, max, retry: "never" },
});

/** Follows whether `promise` has settled. */
function watch(promise: Promise<unknown>): { readonly isSettled: boolean } {
  const state = { isSettled: false };
  const settled = (): void => {
    state.isSettled = true;
  };
  promise.then(settled, settled);
  return state;
}

async function submit(client: RawClient, puppet: Puppet): Promise<Run> {
  await client.submit("puppet");
  return puppet.next();
}

describe("an event", () => {
  test.each([
    ["characters", "x"],
    ["bytes, not characters", "✓"],
  ])("that is too long is refused to the agent, takes no number, and ends nothing: %s", async (_what, unit) => {
    const refusals: unknown[] = [];
    await using harness = startHarness({
      agents: {
        verbose: async (_input, context) => {
          const size = Buffer.byteLength(unit);
          const emit = (bytes: number): Promise<void> => context.thought(unit.repeat(Math.floor(bytes / size)));
          for (const bytes of [900, 1100, 900]) await emit(bytes).catch((error: unknown) => refusals.push(error));
          return "done";
        },
      },
      server: { jobCaps: { maxEventBytes: 1000 } },
    });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("verbose")).payload;
    expect((await client.end(job_id)).payload.result).toBe("done");
    expect(refusals).toMatchObject([exceeds("maxEventBytes", 1000)]);
    expect(client.numbered.map(({ event_seq, type }) => [event_seq, type])).toEqual([
      [1, "job.event"],
      [2, "job.event"],
      [3, "job.result"],
    ]);
  });
});

describe("an agent that never awaits", () => {
  const flood = async (context: JobContext, count: number): Promise<readonly unknown[]> => {
    const outcomes: Promise<unknown>[] = [];
    for (let n = 1; n <= count; n += 1) {
      outcomes.push(
        context.log("info", `${n} ${"x".repeat(1000)}`).then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
    }
    return Promise.all(outcomes);
  };

  test("is refused more than its bytes of one turn, and what it had said before is whole", async () => {
    const max = 100_000;
    let refused = 0;
    await using harness = startHarness({
      agents: {
        flood: async (_input, context) => {
          const errors = (await flood(context, 300)).filter((error) => error !== undefined);
          for (const error of errors) expect(error).toMatchObject(exceeds("maxUnawaitedBytes", max));
          refused = errors.length;
          await expect(context.log("info", "not yet")).rejects.toMatchObject(exceeds("maxUnawaitedBytes", max));
          // Once what it wrote is on disk, it may go on.
          await context.flush();
          await context.log("info", "again");
        },
      },
      server: { jobCaps: { maxUnawaitedBytes: max } },
    });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("flood")).payload;
    expect((await client.end(job_id)).type).toBe("job.result");
    const messages = logsIn(client.ofJob(job_id)).map(({ payload }) => payload.body.message.split(" ")[0]);
    const told = 300 - refused;
    expect(told).toBeGreaterThan(50);
    expect(told).toBeLessThanOrEqual(100);
    expect(messages).toEqual([...range(1, told).map(String), "again"]);
  });

  test("holds nobody else up: another job's events come out while it writes", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const [loud, quiet] = [await harness.rawSession(), await harness.rawSession()];
    const runs = [await submit(loud, puppet), await submit(quiet, puppet)];
    void flood((runs[0] as Run).context, 5_000);
    await (runs[1] as Run).context.log("info", "here");
    await quiet.find(({ payload }) => payload.body?.message === "here");
    for (const run of runs) run.finish();
    await loud.end((runs[0] as Run).context.jobId);
    expect(logsIn(loud.numbered)).toHaveLength(5_000);
  });
});

describe("a client that does not read", () => {
  const fill = async ({ context }: Run, count: number, bytes = 64 * 1024): Promise<void> => {
    for (let n = 1; n <= count; n += 1) await context.thought(`${n} ${"x".repeat(bytes)}`);
  };

  test("holds its jobs up, is told so once, and misses nothing", async () => {
    covers("V11-8.3-02");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock: new ManualClock(), backPressureThreshold: 50 },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const run = await submit(client, puppet);
    client.transport.pause();
    const filling = fill(run, 400);
    const filled = watch(filling);
    for (let turn = 0; turn < 40; turn += 1) await settle();
    expect(filled.isSettled).toBe(false);
    const signalled = (): number =>
      client.frames.filter(({ payload }) => payload.body?.phase === "back_pressure").length;
    client.transport.resume();
    await filling;
    run.finish();
    await client.end(run.context.jobId);
    const thoughts = client.numbered.filter(({ payload }) => payload.kind === "thought");
    expect(thoughts.map(({ payload }) => Number.parseInt(payload.body.text, 10))).toEqual(range(1, 400));
    expect(client.numbered.map(({ event_seq }) => event_seq)).toEqual(range(1, client.numbered.length));
    expect(signalled()).toBeGreaterThan(0);
  });

  test("holds a job up for thirty seconds without progress, and not longer", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, backPressureThreshold: 10 },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const run = await submit(client, puppet);
    client.transport.pause();
    const filling = fill(run, 100);
    const filled = watch(filling);
    for (let turn = 0; turn < 40; turn += 1) await settle();
    expect(filled.isSettled).toBe(false);
    clock.advance(29_999);
    await settle();
    expect(filled.isSettled).toBe(false);
    clock.advance(1);
    await filling;
    run.finish();
    client.transport.resume();
    await client.end(run.context.jobId);
    expect(client.numbered.filter(({ payload }) => payload.kind === "thought")).toHaveLength(100);
  });

  test("is disconnected after a minute, and its session goes on where it was", async () => {
    covers("V11-8.3-03");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const run = await submit(client, puppet);
    client.transport.pause();
    await fill(run, 80);
    await run.context.flush();
    for (let turn = 0; turn < 10; turn += 1) await settle();
    clock.advance(59_999);
    await settle();
    expect(client.transport.isClosed).toBe(false);
    clock.advance(1);
    await client.transport.closed;
    run.finish();
    const resumed = await harness.raw();
    const known = client.numbered.length;
    expect((await resumed.resume(client, known, "alice", QUIET_FEATURES)).type).toBe("session.welcome");
    await resumed.end(run.context.jobId);
    expect(resumed.numbered.map(({ event_seq }) => event_seq)).toEqual(range(known + 1, 81));
  });

  test("has no more than the cap in memory on its way, whatever its jobs write", async () => {
    const puppet = new Puppet();
    const maxBufferedBytes = MIB;
    await using harness = startHarness({ server: { caps: { maxBufferedBytes } } });
    harness.server.registerAgent("puppet", puppet.handler);
    const [left, right] = pairMemoryTransports();
    await harness.server.accept(right);
    const client = new RawClient(left);
    await client.hello(QUIET_FEATURES);
    const run = await submit(client, puppet);
    left.pause();
    let highest = 0;
    for (let n = 0; n < 200; n += 1) {
      await run.context.thought("x".repeat(64 * 1024));
      highest = Math.max(highest, right.bufferedBytes);
    }
    // One batch of a turn may come on top of it.
    expect(highest).toBeGreaterThan(maxBufferedBytes / 2);
    expect(highest).toBeLessThan(4 * maxBufferedBytes);
    left.resume();
    run.finish();
    await client.end(run.context.jobId);
    expect(client.numbered).toHaveLength(201);
    client.transport.close();
  });
});

describe("nobody waits for", () => {
  test("a client that is away", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { backPressureThreshold: 5 } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const run = await submit(client, puppet);
    await harness.disconnect(client);
    await emitLogs(run, 500);
    run.finish();
    const resumed = await harness.raw();
    await resumed.resume(client, 0, "alice", QUIET_FEATURES);
    await resumed.end(run.context.jobId);
    expect(logsIn(resumed.numbered)).toHaveLength(500);
    expect(resumed.numbered.filter(({ payload }) => payload.kind === "status")).toEqual([]);
  });

  test("an observer that does not read", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { backPressureThreshold: 5 } });
    const [owner, observer] = [await harness.rawSession(QUIET_FEATURES), await harness.rawSession(QUIET_FEATURES)];
    const run = await submit(owner, puppet);
    await observer.ask("job.subscribe", { job_id: run.context.jobId, history: true });
    observer.transport.pause();
    for (let n = 0; n < 100; n += 1) await run.context.thought("x".repeat(64 * 1024));
    run.finish();
    await owner.end(run.context.jobId);
    expect(owner.numbered.filter(({ payload }) => payload.kind === "status")).toEqual([]);
    observer.transport.resume();
    await observer.end(run.context.jobId);
    expect(observer.numbered.map(({ payload }) => payload)).toEqual(owner.numbered.map(({ payload }) => payload));
  });
});
