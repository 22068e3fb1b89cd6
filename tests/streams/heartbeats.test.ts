import { InternalError } from "@arcp/core";
import type { HeartbeatTerms } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";

const SECOND_MS = 1000;

interface SceneOptions {
  /** What the agent was registered with. */
  readonly heartbeat?: HeartbeatTerms;
  readonly server?: object;
  readonly interval?: number;
  /** Members of the invocation. */
  readonly more?: object;
}

async function scene({ heartbeat, server = {}, interval = 30, more = {} }: SceneOptions = {}) {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({ server: { clock, heartbeatIntervalSeconds: interval, ...server } });
  harness.server.registerAgent("puppet", puppet.handler, heartbeat === undefined ? {} : { heartbeat });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("puppet", {}, more);
  const run = await puppet.next();
  return {
    ...{ clock, harness, client, run, jobId: job_id as string },
    /** Moves time on, and lets the client hear of what happened. */
    pass: async (seconds: number): Promise<void> => {
      clock.advance(seconds * SECOND_MS);
      await settle();
      await client.fence();
    },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

const beats = (client: RawClient10) => client.ofType("job.heartbeat").map(({ payload }) => payload);
const hasEnded = (client: RawClient10): boolean => client.ofType("job.failed", "tool.error", "tool.result").length > 0;
const states = (client: RawClient10): unknown[] =>
  client.ofType("event.emit").flatMap(({ payload }) => (payload.name === "job.state" ? [payload.data.state] : []));

describe("the heartbeats of a job", () => {
  test.each([
    [30, undefined],
    [5, 5],
    [1, 1],
  ])("come at least every %i s", async (expected, asked) => {
    covers("V10-10.3-01", "V10-10.3-02", "V10-10.3-03", "V10-10.3-07");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.raw10();
    const accepted = await client.open({
      capabilities: { ...(asked !== undefined && { heartbeat_interval_seconds: asked }) },
    });
    expect(accepted.payload.capabilities.heartbeat_interval_seconds).toBe(expected);
    const { job_id } = await client.invoke("puppet");
    const run = await puppet.next();
    for (let beat = 1; beat <= 4; beat += 1) {
      clock.advance(expected * SECOND_MS);
      await client.fence();
      expect(beats(client)).toHaveLength(beat);
    }
    expect(beats(client)).toEqual(
      [0, 1, 2, 3].map((sequence) => ({ sequence, deadline_ms: 2 * expected * SECOND_MS, state: "running" })),
    );
    expect(client.ofType("job.progress")).toEqual([]);
    run.finish();
    await client.ending(job_id);
  });

  test("come at once when its agent gives a sign of life, with the deadline that it promises", async () => {
    covers("V10-10.3-02");
    await using stage = await scene();
    const { client, run, jobId } = stage;
    const { pending } = stage.clock;
    await run.context.heartbeat({ deadlineMs: 7000 });
    await run.context.heartbeat();
    await client.fence();
    expect(client.ofType("job.heartbeat")).toMatchObject([
      { job_id: jobId, session_id: client.sessionId, payload: { sequence: 0, deadline_ms: 7000, state: "running" } },
      { job_id: jobId, session_id: client.sessionId, payload: { sequence: 1, deadline_ms: 7000 } },
    ]);
    run.finish();
    await client.ending(jobId);
    await expect(run.context.heartbeat()).rejects.toThrow("ended");
    expect(stage.clock.pending).toBe(pending);
  });

  test("are promised for a time", async () => {
    await using stage = await scene();
    const { run } = stage;
    for (const deadlineMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expect(run.context.heartbeat({ deadlineMs })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    }
    await run.context.heartbeat({ deadlineMs: 1e15 });
    await stage.client.fence();
    // A day at most.
    expect(beats(stage.client)).toMatchObject([{ deadline_ms: 86_400_000 }]);
    expect(() => stage.harness.server.registerAgent("x", () => {}, { heartbeat: { intervalMs: 0 } })).toThrow(
      "deadline",
    );
    run.finish();
  });
});

describe("an agent that falls silent", () => {
  test("fails its job after two deadlines, and not after one", async () => {
    covers("V10-10.3-04", "V10-10.3-05", "V10-10.3-06");
    await using stage = await scene({ heartbeat: { intervalMs: 10_000 }, interval: 600 });
    const { client, pass, jobId } = stage;
    expect(client.ofType("session.accepted")[0]?.payload.capabilities.heartbeat_recovery).toBe("fail");
    await pass(10);
    await pass(9.999);
    expect(hasEnded(client)).toBe(false);
    await pass(0.001);
    expect(await client.ending(jobId)).toMatchObject({
      type: "job.failed",
      payload: { code: "HEARTBEAT_LOST", details: { deadline_ms: 10_000, missed: 2 } },
    });
  });

  test.each([
    ["a heartbeat", (context: { heartbeat(): Promise<void> }) => context.heartbeat()],
    ["whatever it writes", (context: { log(level: string, text: string): Promise<void> }) => context.log("info", "x")],
  ])("has not, as long as there is %s", async (_what, sign) => {
    covers("V10-10.3-05");
    await using stage = await scene({ heartbeat: { intervalMs: 10_000 }, interval: 600 });
    const { client, pass, run, jobId } = stage;
    for (let round = 0; round < 5; round += 1) {
      await pass(15);
      await sign(run.context);
    }
    expect(hasEnded(client)).toBe(false);
    // At the latest three intervals after the last sign of all.
    await pass(30);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "HEARTBEAT_LOST" } });
  });

  test("is watched from its first heartbeat on, by the deadline that it named last", async () => {
    await using stage = await scene({ interval: 86_400 });
    const { client, pass, run, jobId } = stage;
    await pass(3600);
    expect(hasEnded(client)).toBe(false);
    await run.context.heartbeat({ deadlineMs: 1000 });
    await run.context.heartbeat({ deadlineMs: 5000 });
    await pass(9.9);
    expect(hasEnded(client)).toBe(false);
    await pass(0.1);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "HEARTBEAT_LOST" } });
  });

  test("blocks its job until there is a sign, where that is what the runtime does", async () => {
    covers("V10-10.3-04", "V10-10.3-06");
    await using stage = await scene({
      ...{ heartbeat: { intervalMs: 1000 }, interval: 600 },
      server: { heartbeatRecovery: "block" },
    });
    const { client, pass, run, jobId } = stage;
    expect(client.ofType("session.accepted")[0]?.payload.capabilities.heartbeat_recovery).toBe("block");
    await pass(2);
    expect(states(client)).toEqual(["blocked"]);
    await pass(3600);
    expect(states(client)).toEqual(["blocked"]);
    await run.context.heartbeat();
    await client.fence();
    expect(states(client)).toEqual(["blocked", "running"]);
    await pass(2);
    expect(states(client)).toEqual(["blocked", "running", "blocked"]);
    await run.context.progress(1);
    await settle();
    await client.fence();
    expect(states(client)).toEqual(["blocked", "running", "blocked", "running"]);
    run.finish("done");
    expect(await client.ending(jobId)).toMatchObject({ type: "tool.result" });
  });

  test("may be registered otherwise than the runtime does", async () => {
    await using stage = await scene({
      ...{ heartbeat: { intervalMs: 1000, recovery: "block" }, interval: 600 },
    });
    const { client, pass, run } = stage;
    await pass(2);
    expect(states(client)).toEqual(["blocked"]);
    run.finish();
  });

  test("has not while it waits for a person", async () => {
    await using stage = await scene({ heartbeat: { intervalMs: 1000 }, interval: 600 });
    const { client, pass, run, jobId } = stage;
    const answer = run.context.requestHumanInput({
      prompt: "May I?",
      responseSchema: { type: "object" },
      expiresInMs: 3_600_000,
    });
    const asked = await client.sees(({ type }) => type === "human.input.request");
    await pass(600);
    expect(hasEnded(client)).toBe(false);
    const responded_at = new Date().toISOString();
    client.send(
      "human.input.response",
      { value: {}, responded_by: "alice", responded_at },
      { correlation_id: asked.id },
    );
    await answer;
    await pass(3);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "HEARTBEAT_LOST" } });
  });

  test("has not while it sleeps, and is given a whole deadline when it wakes", async () => {
    await using stage = await scene({ heartbeat: { intervalMs: 1000 }, interval: 600 });
    const { client, pass, run, jobId } = stage;
    const awake = run.context.sleep(3_600_000);
    for (let minute = 0; minute < 59; minute += 1) stage.clock.advance(60 * SECOND_MS);
    await pass(59.5);
    expect(hasEnded(client)).toBe(false);
    await pass(0.5);
    await awake;
    await pass(1);
    expect(hasEnded(client)).toBe(false);
    await pass(2);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "HEARTBEAT_LOST" } });
  });

  test("has not while it waits for a job that it delegated", async () => {
    await using stage = await scene({
      ...{ heartbeat: { intervalMs: 1000 }, interval: 600 },
      more: { lease_request: { "agent.delegate": ["child"] } },
    });
    const { client, pass, run, jobId } = stage;
    const child = new Puppet();
    stage.harness.server.registerAgent("child", child.handler);
    const delegation = run.context.delegate({ agent: "child", input: null, delegate_id: "del_1", lease_request: {} });
    const done = delegation.done;
    const childRun = await child.next();
    await pass(600);
    expect(hasEnded(client)).toBe(false);
    childRun.finish();
    await done;
    await pass(3);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "HEARTBEAT_LOST" } });
  });

  test("has not while it waits to be called again", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ server: { clock, heartbeatIntervalSeconds: 86_400 } });
    harness.server.registerAgent("puppet", puppet.handler, {
      ...{ heartbeat: { intervalMs: 1000 }, retry: { maxAttempts: 2, initialDelayMs: 60_000 } },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    (await puppet.next()).fail(new InternalError("once"));
    await client.sees(({ payload }) => payload.data?.phase === "retrying" || payload.phase === "retrying");
    clock.advance(29_000);
    await settle();
    clock.advance(31_000);
    (await puppet.next()).finish("done");
    expect(await client.ending(job_id)).toMatchObject({ type: "tool.result" });
  });

  test("has all the time that it was given to stop in", async () => {
    await using stage = await scene({ heartbeat: { intervalMs: 1000 }, interval: 600 });
    const { client, pass, jobId } = stage;
    await client.ask("cancel", { target: "job", target_id: jobId, deadline_ms: 10_000 });
    await pass(9.9);
    expect(hasEnded(client)).toBe(false);
    await pass(0.1);
    expect(await client.ending(jobId)).toMatchObject({ payload: { code: "ABORTED" } });
  });

  test("is not watched unless it asked for it", async () => {
    await using stage = await scene({ interval: 86_400 });
    const { client, pass, run } = stage;
    await pass(86_399);
    expect(hasEnded(client)).toBe(false);
    run.finish();
  });
});
