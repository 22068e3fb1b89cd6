/** A runtime that stops waits for its jobs, for a time. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@arcp/core";
import { type AgentHandler, type JobContext, sqliteStore } from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";
import { ENDINGS } from "../support/raw-client-10.ts";

const DRAIN_MS = 30_000;
const NOTHING = { finished: [], handedOver: [], waiting: [], interrupted: [] };

const start = (server: object = {}) => {
  const puppet = new Puppet();
  const clock = new ManualClock();
  const harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, ...server } });
  return { puppet, clock, harness };
};

const drain = (harness: Harness) => harness.server.close("maintenance", { drainMs: DRAIN_MS });

describe("while a runtime drains", () => {
  test("what runs goes on to its end, and only then clients hear goodbye", async () => {
    covers("V11-6.7-05", "V11-6.7-06");
    const { puppet, harness } = start();
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    const jobId = (await client.submit("puppet")).job_id as string;
    const run = await puppet.next();
    const closing = drain(harness);
    await run.context.log("info", "still at work");
    await settle();
    expect(client.transport.isClosed).toBe(false);
    run.finish("done");
    expect(await closing).toEqual({ ...NOTHING, finished: [jobId] });
    await client.transport.closed;
    expect(client.frames.slice(-3).map(({ type }) => type)).toEqual(["job.event", "job.result", "session.bye"]);
    expect(client.frames.at(-1)?.payload).toEqual({ reason: "maintenance" });
  });

  test("what is idle is closed at once", async () => {
    const { harness } = start();
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    expect(await drain(harness)).toEqual(NOTHING);
    await client.transport.closed;
    expect(client.frames.at(-1)?.type).toBe("session.bye");
  });

  test("new jobs are refused with an error that may be tried again, and known keys are answered", async () => {
    const { puppet, harness } = start();
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    const key = { idempotency_key: "k" };
    const { job_id } = await client.submit("puppet", 1, key);
    const run = await puppet.next();
    const closing = drain(harness);
    const refused = await client.submit("puppet", 2);
    expect(refused.payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { reason: "runtime_shutdown", retry_after_seconds: 2 },
    });
    expect((await client.submit("puppet", 1, key)).job_id).toBe(job_id);
    run.finish();
    await closing;
    expect(puppet.runs).toHaveLength(1);
  });

  test("the same on wire 1.0, whose clients are evicted with leave to come back", async () => {
    covers("V10-8.5-01", "V10-8.5-02");
    const { puppet, harness } = start();
    await using _ = harness;
    const client = await harness.rawSession10();
    const accepted = await client.invoke("puppet", 1);
    const run = await puppet.next();
    const closing = drain(harness);
    const refused = await client.invoke("puppet", 2);
    expect(refused.payload).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    run.finish();
    await client.ending(accepted.job_id);
    await closing;
    await client.transport.closed;
    expect(client.frames.at(-1)).toMatchObject({
      type: "session.evicted",
      payload: { reason: "UNAVAILABLE", code: "UNAVAILABLE", message: "maintenance", allow_resume: true },
    });
  });

  test("no connection is let in", async () => {
    const { puppet, harness } = start();
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    await client.submit("puppet");
    const run = await puppet.next();
    const closing = drain(harness);
    await expect(harness.transport()).rejects.toThrow("closed");
    run.finish();
    await closing;
  });

  test("nothing begins that has not, but for what others wait for", async () => {
    const child = new Puppet();
    const { puppet, harness } = start({ concurrency: { jobs: 1 } });
    await using _ = harness;
    harness.server.registerAgent("child", child.handler);
    const client = await harness.rawSession(QUIET_FEATURES);
    const parent = (await client.submit("puppet", 1, { lease_request: { "agent.delegate": ["child"] } })).job_id;
    const waiting = (await client.submit("puppet", 2)).job_id;
    const run = await puppet.next();
    const closing = drain(harness);
    const delegated = run.context.delegate({ agent: "child" });
    delegated.done.then(({ result }) => run.finish(result));
    const childId = (await delegated.accepted).jobId;
    (await child.next()).finish("from below");
    const report = await closing;
    expect(new Set(report.finished)).toEqual(new Set([parent, childId]));
    expect(report).toMatchObject({ handedOver: [], waiting: [waiting], interrupted: [] });
    expect((await client.end(parent as string)).payload).toMatchObject({ result: "from below" });
    expect(puppet.runs).toHaveLength(1);
  });
});

test("when its time is over, what still runs ends with an error that may be tried again", async () => {
  const { puppet, clock, harness } = start();
  await using _ = harness;
  const client = await harness.rawSession(QUIET_FEATURES);
  const jobId = (await client.submit("puppet")).job_id as string;
  const run = await puppet.next();
  const closing = drain(harness);
  await settle();
  clock.advance(DRAIN_MS - 1);
  await settle();
  expect(run.context.signal.aborted).toBe(false);
  clock.advance(1);
  expect(await closing).toEqual({ ...NOTHING, interrupted: [jobId] });
  expect((await client.end(jobId)).payload).toMatchObject({
    code: "INTERNAL_ERROR",
    retryable: true,
    details: { reason: "runtime_restarted" },
  });
  run.finish();
});

describe("a job that waits for a person and is not durable", () => {
  const asking = async () => {
    const warnings: string[] = [];
    const { puppet, clock, harness } = start({ logger: createLogger((line) => warnings.push(line), "warn") });
    const client = await harness.rawSession10();
    const { job_id: jobId } = await client.invoke("puppet");
    const run = await puppet.next();
    const answer = run.context.requestHumanInput({
      ...{ prompt: "May I?", responseSchema: { type: "boolean" }, expiresInMs: 3_600_000 },
    });
    answer.then(run.finish, run.fail);
    const asked = await client.sees(({ type }) => type === "human.input.request");
    const closing = drain(harness);
    await settle();
    return { warnings, clock, harness, client, jobId: jobId as string, asked, closing };
  };

  test("is waited for, as an answer may come in time, and is named to whoever wonders", async () => {
    const { warnings, harness, client, jobId, asked, closing } = await asking();
    await using _ = harness;
    expect(warnings.map((line) => JSON.parse(line) as object)).toMatchObject([{ jobs: [jobId], drainMs: DRAIN_MS }]);
    const answer = { value: true, responded_by: "alice", responded_at: new Date(0).toISOString() };
    client.send("human.input.response", answer, { correlation_id: asked.id });
    expect(await client.ending(jobId)).toMatchObject({ type: "tool.result" });
    expect(await closing).toEqual({ ...NOTHING, finished: [jobId] });
  });

  test("and ends at the deadline, to be tried again", async () => {
    const { clock, harness, client, jobId, closing } = await asking();
    await using _ = harness;
    clock.advance(DRAIN_MS - 1);
    await settle();
    expect(client.ofJob(jobId).some(({ type }) => ENDINGS.includes(type))).toBe(false);
    clock.advance(1);
    expect(await closing).toEqual({ ...NOTHING, interrupted: [jobId] });
    expect((await client.ending(jobId)).payload).toMatchObject({
      ...{ retryable: true, details: { reason: "runtime_restarted" } },
    });
  });
});

describe("a durable job is handed over", () => {
  /** Two lives of one agent, over one store. Resolves with the calls of its steps, per life. */
  const lives = async (agent: AgentHandler, stop: (clock: ManualClock) => Promise<void>): Promise<string[]> => {
    const directory = mkdtempSync(join(tmpdir(), "arcp-drain-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "runtime.db");
    const clock = new ManualClock();
    let jobId = "";
    {
      const store = sqliteStore({ path });
      const harness = startHarness({ server: { eventLog: store, clock } });
      harness.server.registerAgent("agent", agent, { durable: true });
      const client = await harness.rawSession(QUIET_FEATURES);
      jobId = (await client.submit("agent")).job_id as string;
      await settle();
      const closing = drain(harness);
      await settle();
      await stop(clock);
      expect(await closing).toEqual({ ...NOTHING, handedOver: [jobId] });
      await harness[Symbol.asyncDispose]();
      await store.close();
    }
    const store = sqliteStore({ path });
    onTestFinished(() => store.close());
    await using harness = startHarness({ server: { eventLog: store, clock } });
    harness.server.registerAgent("agent", agent, { durable: true });
    const client = await harness.rawSession(QUIET_FEATURES);
    await client.ask("job.subscribe", { job_id: jobId, history: true });
    await settle();
    clock.advance(3_600_000);
    const { payload } = await client.end(jobId);
    return payload.result;
  };

  test("when it comes to its next step, which the next runtime does", async () => {
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const agent = async (_input: unknown, context: JobContext) => {
      await context.step("first", async () => {
        done.push("first");
        await gate.promise;
      });
      await context.step("second", () => void done.push("second"));
      return done;
    };
    expect(await lives(agent, async () => gate.resolve())).toEqual(["first", "second"]);
  });

  test("when it has made a checkpoint", async () => {
    const done: string[] = [];
    const gate = Promise.withResolvers<void>();
    const agent = async (_input: unknown, context: JobContext) => {
      if (context.restored === undefined) {
        done.push("before");
        await gate.promise;
        await context.checkpoint({ at: 1 });
        // Whatever it does after that is done again.
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      }
      done.push("after");
      return done;
    };
    const result = await lives(agent, async () => gate.resolve());
    expect(result.filter((what) => what === "before")).toEqual(["before"]);
    expect(result.at(-1)).toBe("after");
  });

  test("at once while it sleeps, and wakes at the same time", async () => {
    const agent = async (_input: unknown, context: JobContext) => {
      const begun = await context.step("begin", () => 1);
      await context.sleep(600_000);
      return [String(begun)];
    };
    expect(await lives(agent, async () => {})).toEqual(["1"]);
  });

  test("when its time is over, wherever it is", async () => {
    let calls = 0;
    const agent = async (_input: unknown, context: JobContext) => {
      calls += 1;
      if (calls === 1) await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      return [String(calls)];
    };
    const result = await lives(agent, async (clock) => clock.advance(DRAIN_MS));
    expect(result).toEqual(["2"]);
  });
});
