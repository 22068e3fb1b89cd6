/** What befalls a durable job while there is no runtime, or no agent of its: deadlines, leases, cancellations, versions. */
import type { ARCPServer } from "@arcp/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Recording } from "../otel/recording.ts";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import type { RawClient } from "../support/raw-client.ts";
import type { Durable } from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

let clock: ManualClock;
let lives: Lives;
const effects: string[] = [];
const warnings: string[] = [];

const sleeper: Durable = {
  handler: async (_input, context) => {
    await context.step("before", () => effects.push("before"));
    await context.sleep(3_600_000);
    await context.step("after", () => effects.push("after"));
    return "slept";
  },
};
const reader: Durable = {
  handler: async (_input, context) => {
    await context.step("before", () => effects.push("before"));
    await context.sleep(60_000);
    return await context.callTool("look");
  },
};

beforeEach(() => {
  effects.splice(0);
  warnings.splice(0);
  clock = new ManualClock();
});
afterEach(() => lives[Symbol.asyncDispose]());

async function begin(agents: Readonly<Record<string, Durable>>, server: object = {}): Promise<RawClient> {
  const prepare = (runtime: ARCPServer): void =>
    runtime.registerTool("look", { handler: () => effects.push("looked") });
  lives = new Lives(agents, { clock, ...server }, prepare);
  await lives.begin();
  return lives.session();
}

/** The entry of `jobId` in the list that a client asks for. */
const listed = async (client: RawClient, jobId: string) =>
  (await client.listJobs()).find(({ job_id }: { readonly job_id: string }) => job_id === jobId);

const statuses = (client: RawClient, jobId: string): readonly string[] =>
  client
    .ofJob(jobId)
    .filter(({ payload }) => payload.kind === "status")
    .map(({ payload }) => payload.body.phase);

describe("a deadline", () => {
  test("counts from when the job began, over every restart", async () => {
    covers("V10-4.3-01");
    const client = await begin({ main: sleeper });
    const { payload } = await client.submit("main", null, { max_runtime_sec: 1_800 });
    await turns();
    clock.advance(1_000_000);
    await lives.kill();
    clock.advance(700_000);
    await lives.begin();
    const again = await lives.resumed(client);
    await turns();
    clock.advance(99_999);
    expect((await listed(again, payload.job_id)).status).toBe("running");
    clock.advance(1);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "timed_out", code: "TIMEOUT" });
    expect(effects).toEqual(["before"]);
  });

  test("that has passed meanwhile ends the job, whose agent is not called again", async () => {
    let calls = 0;
    const client = await begin({
      main: {
        handler: async (_input, context) => {
          calls += 1;
          await context.sleep(3_600_000);
        },
      },
    });
    const { payload } = await client.submit("main", null, { max_runtime_sec: 60 });
    await turns();
    await lives.kill();
    clock.advance(60_000);
    await lives.begin();
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "timed_out" });
    expect(calls).toBe(1);
  });

  test("ends a job whose agent does not come back", async () => {
    const client = await begin({ main: sleeper });
    const { payload } = await client.submit("main", null, { max_runtime_sec: 60 });
    await turns();
    await lives.kill();
    await lives.begin((store) => store, {});
    const again = await lives.resumed(client);
    await turns();
    clock.advance(60_000);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "timed_out" });
  });
});

describe("a lease", () => {
  const submission = (ms: number) => ({
    lease_request: { "tool.call": ["look"] },
    lease_constraints: { expires_at: new Date(clock.now() + ms).toISOString() },
  });

  test("that has expired meanwhile lets the job do nothing that it covered", async () => {
    const client = await begin({ main: reader });
    const { payload } = await client.submit("main", null, submission(30_000));
    await turns();
    await lives.kill();
    clock.advance(120_000);
    await lives.begin();
    const again = await lives.resumed(client);
    clock.advance(0);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "error", code: "LEASE_EXPIRED" });
    expect(effects).toEqual(["before"]);
  });

  test("that has not is what it was", async () => {
    const client = await begin({ main: reader });
    const { payload } = await client.submit("main", null, submission(300_000));
    await turns();
    await lives.kill();
    clock.advance(120_000);
    await lives.begin();
    const again = await lives.resumed(client);
    await turns();
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "success" });
    expect(effects).toEqual(["before", "looked"]);
  });
});

describe("an agent", () => {
  test("that is not registered any more is waited for, which the client and the operator are told of", async () => {
    const logger = {
      ...{ debug() {}, info() {}, error() {} },
      warn: (_facts: object, message: string) => warnings.push(message),
      child: () => logger,
    };
    const client = await begin({ "main@1.0.0": sleeper }, { logger });
    const { payload } = await client.submit("main@1.0.0");
    await turns();
    await lives.kill();
    await lives.begin((store) => store, { "main@2.0.0": sleeper });
    const waiting = await lives.resumed(client);
    await turns();
    clock.advance(3_600_000);
    await turns();
    expect((await listed(waiting, payload.job_id)).status).toBe("running");
    expect(statuses(waiting, payload.job_id)).toEqual(["waiting_for_agent"]);
    expect(warnings).toContain("a durable job waits for its agent, which is not registered");
    lives.server.registerAgent("main@1.0.0", sleeper.handler, { durable: true });
    expect((await waiting.ended(payload.job_id)).payload).toMatchObject({ result: "slept" });
    expect(statuses(waiting, payload.job_id)).toEqual(["waiting_for_agent", "resumed"]);
    expect(effects).toEqual(["before", "after"]);
  });

  test("that is waited for can be given up: the job is cancelled", async () => {
    const client = await begin({ main: sleeper });
    const { payload } = await client.submit("main");
    await turns();
    await lives.kill();
    await lives.begin((store) => store, {});
    const waiting = await lives.resumed(client);
    waiting.send("job.cancel", { reason: "no more" }, { job_id: payload.job_id });
    expect((await waiting.ended(payload.job_id)).payload).toMatchObject({ final_status: "cancelled" });
    await lives.kill();
    await lives.begin();
    await turns();
    expect(lives.server.runningJobs).toBe(0);
  });

  test("that is not durable any more goes on with the jobs that it had when it was", async () => {
    const client = await begin({ main: sleeper });
    const { payload } = await client.submit("main");
    await turns();
    await lives.kill();
    clock.advance(3_600_000);
    await lives.begin((store) => store, { main: { ...sleeper, options: { durable: false } } });
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ result: "slept" });
  });
});

describe("a job under which the runtime dies again and again", () => {
  const options = { durable: { maxRestarts: 3 } };

  test("fails, and the others go on", async () => {
    let calls = 0;
    const killer: Durable = {
      options,
      handler: async (_input, context) => {
        calls += 1;
        await context.step("deadly", () => new Promise(() => {}));
      },
    };
    const client = await begin({ killer, main: { ...sleeper, options } });
    const { payload } = await client.submit("killer");
    const innocent = (await client.submit("main")).payload;
    await turns();
    for (let n = 0; n < 4; n += 1) {
      await lives.kill();
      await lives.begin();
    }
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({
      final_status: "error",
      ...{ code: "INTERNAL_ERROR", details: { reason: "crash_loop", retry: "never", restarts: 3 } },
    });
    expect(calls).toBe(4);
    clock.advance(3_600_000);
    expect((await again.ended(innocent.job_id)).payload).toMatchObject({ result: "slept" });
  });

  test("is counted before its agent is called: it may kill the runtime at once", async () => {
    let restartsSeen = 0;
    const killer: Durable = {
      options,
      handler: () => {
        restartsSeen += 1;
        // The process is gone in this very turn.
        return new Promise(() => {});
      },
    };
    const client = await begin({ killer });
    const { payload } = await client.submit("killer");
    await turns();
    for (let n = 0; n < 4; n += 1) {
      await lives.kill();
      // Nothing is stored from the turn on in which the agent is called.
      await lives.begin((store) => {
        const seen = restartsSeen;
        return new Proxy(store, {
          get(target, name) {
            if (name === "commit" && restartsSeen > seen) return () => Promise.reject(new Error("the process is gone"));
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      });
    }
    expect(restartsSeen).toBe(4);
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ details: { reason: "crash_loop" } });
  });

  test("is one that comes on from time to time: then it is counted anew", async () => {
    let gate = Promise.withResolvers<void>();
    const client = await begin({
      main: {
        options,
        handler: async (_input, context) => {
          for (let n = 0; n < 3; n += 1) await context.step("long", () => gate.promise);
          return "through";
        },
      },
    });
    const { payload } = await client.submit("main");
    for (let n = 0; n < 3; n += 1) {
      for (let restart = 0; restart < 3; restart += 1) {
        await lives.kill();
        await lives.begin();
      }
      gate.resolve();
      gate = Promise.withResolvers<void>();
      await turns();
    }
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ result: "through" });
  });
});

describe("a runtime that is closed", () => {
  test("finishes the step that is being done, and hands the job over without counting that as a crash", async () => {
    const gate = Promise.withResolvers<void>();
    const handler: Durable["handler"] = async (_input, context) => {
      await context.step("one", async () => {
        await gate.promise;
        effects.push("one");
      });
      await context.step("two", () => effects.push("two"));
      return "done";
    };
    const client = await begin({ main: { handler, options: { durable: { maxRestarts: 0 } } } });
    const { payload } = await client.submit("main");
    await turns();
    const closed = lives.end();
    gate.resolve();
    await closed;
    expect(effects).toEqual(["one"]);
    await lives.begin();
    const again = await lives.resumed(client);
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ result: "done" });
    expect(effects).toEqual(["one", "two"]);
  });

  test("leaves a job that is cancelled as soon as the next one is there", async () => {
    const client = await begin({ main: sleeper });
    const { payload } = await client.submit("main");
    await turns();
    await lives.end();
    await lives.begin();
    const again = await lives.resumed(client);
    again.send("job.cancel", {}, { job_id: payload.job_id });
    expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "cancelled" });
    expect(effects).toEqual(["before"]);
  });
});

test("a job keeps its owner, its key and its place in the list", async () => {
  covers("V10-6.4-05", "V11-6.3-16");
  const client = await begin({ main: sleeper });
  const { payload } = await client.submit("main", { n: 1 }, { idempotency_key: "once" });
  await turns();
  await lives.kill();
  await lives.begin();
  const again = await lives.resumed(client);
  const repeated = await again.submit("main", { n: 1 }, { idempotency_key: "once" });
  expect(repeated.payload.job_id).toBe(payload.job_id);
  expect(await listed(again, payload.job_id)).toMatchObject({ agent: "main@0.0.0", status: "running" });
  again.send("job.cancel", {}, { job_id: payload.job_id });
  expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "cancelled" });
});

test("a job that a restart goes on with is below the span that it was asked for in", async () => {
  covers("V11-11-03");
  await using recording = new Recording();
  const [traceId, callerId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
  const client = await begin({ main: sleeper });
  await client.submit("main", null, {}, { trace_id: traceId, traceparent: `00-${traceId}-${callerId}-01` });
  await turns();
  await lives.kill();
  await lives.begin();
  await turns();
  clock.advance(3_600_000);
  await turns();
  await lives.end();
  const spans = recording.named("arcp.job");
  expect(spans.at(-1)?.attributes).toMatchObject({ "arcp.job.status": "success" });
  for (const span of spans) {
    expect([span.spanContext().traceId, span.parentSpanContext?.spanId]).toEqual([traceId, callerId]);
  }
});
