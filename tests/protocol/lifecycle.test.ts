import { ARCPError, BudgetExhaustedError, type JobId, LeaseExpiredError } from "@arcp/core";
import type { AgentHandler, JobContext } from "@arcp/runtime";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const isTerminal = ({ type }: Frame): boolean => type === "job.result" || type === "job.error";
const endsOf = (client: RawClient, jobId: string): Frame[] => client.ofJob(jobId).filter(isTerminal);

/** What agents leave behind must not reach the process. */
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", onUnhandled);
});
afterEach(async () => {
  await settle();
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});

/** An agent that says what it was told to throw or return. */
const thrower =
  (thrown: unknown): AgentHandler =>
  () => {
    throw thrown;
  };

describe("statuses", () => {
  const outcomes: readonly (readonly [
    status: string,
    drive: (run: Run, client: RawClient, clock: ManualClock) => void,
  ])[] = [
    ["success", (run) => run.finish("done")],
    ["error", (run) => run.fail(new Error("no"))],
    ["cancelled", (run, client) => void client.ask("job.cancel", {}, { job_id: run.context.jobId })],
    ["timed_out", (_run, _client, clock) => clock.advance(10_000)],
  ];

  test.each(outcomes)("lead from running to %s, and stay there", async (status, drive) => {
    covers("V11-7.3-01");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const observer = await harness.rawSession(QUIET_FEATURES);
    const { payload } = await client.submit("puppet", null, { max_runtime_sec: 10 });
    const seen: string[] = [];
    const sample = async (): Promise<string> => {
      const [job] = await observer.listJobs();
      if (seen.at(-1) !== job.status) seen.push(job.status);
      return job.status;
    };
    await sample();
    const run = await puppet.next();
    run.context.signal.addEventListener("abort", () => run.finish());
    await run.context.log("info", "working");
    await sample();
    drive(run, client, clock);
    while ((await sample()) === "running") await settle();
    await client.end(payload.job_id);
    // Nothing that is tried afterwards changes it.
    run.finish("again");
    await client.ask("job.cancel", {}, { job_id: payload.job_id });
    await sample();
    expect(["pending", "running"]).toContain(seen[0]);
    expect(seen.filter((value) => value !== "pending")).toEqual(["running", status]);
    expect(endsOf(client, payload.job_id).map((frame) => frame.payload.final_status)).toEqual([status]);
  });

  test("a result says success, an error how the job failed and why", async () => {
    covers("V11-7.3-04", "V11-7.3-05");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const ends = new Map<string, Frame>();
    for (const [status, drive] of outcomes) {
      const { payload } = await client.submit("puppet", null, { max_runtime_sec: 10 });
      const run = await puppet.next();
      run.context.signal.addEventListener("abort", () => run.finish());
      drive(run, client, clock);
      ends.set(status, await client.end(payload.job_id));
    }
    expect(ends.get("success")).toMatchObject({
      type: "job.result",
      payload: { final_status: "success", result: "done" },
    });
    const errors = {
      error: ["INTERNAL_ERROR", true],
      cancelled: ["CANCELLED", false],
      timed_out: ["TIMEOUT", true],
    } as const;
    for (const [status, [code, retryable]] of Object.entries(errors)) {
      expect(ends.get(status)).toMatchObject({ type: "job.error", payload: { final_status: status, code, retryable } });
      expect(ends.get(status)?.payload.message).toMatch(/./);
    }
  });

  test.each([
    ["BUDGET_EXHAUSTED", new BudgetExhaustedError("the budget is used up")],
    ["LEASE_EXPIRED", new LeaseExpiredError("the lease has ended")],
  ])("a job that ends because of %s has failed", async (code, error) => {
    covers("V11-7.3-06");
    await using harness = startHarness({ agents: { puppet: thrower(error) } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    expect((await client.end(payload.job_id)).payload).toMatchObject({ code, final_status: "error", retryable: false });
  });
});

describe("max_runtime_sec", () => {
  test("ends a job that takes longer, and tells its agent to stop", async () => {
    covers("V11-7.3-07");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { payload } = await client.submit("puppet", null, { max_runtime_sec: 1.5 });
    const { context } = await puppet.next();
    clock.advance(1_499);
    expect(await client.listJobs()).toMatchObject([{ status: "running" }]);
    expect(context.signal.aborted).toBe(false);
    clock.advance(1);
    expect(context.signal.aborted).toBe(true);
    expect(context.signal.reason).toMatchObject({ code: "TIMEOUT" });
    const end = await client.end(payload.job_id);
    expect(end.payload).toMatchObject({ code: "TIMEOUT", final_status: "timed_out", retryable: true });
  });

  test("leaves no timer behind a job that was faster", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { quick: () => "done" }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const before = clock.pending;
    const { payload } = await client.submit("quick", null, { max_runtime_sec: 1 });
    await client.end(payload.job_id);
    expect(clock.pending).toBe(before);
    clock.advance(10_000);
    expect(await client.listJobs()).toMatchObject([{ status: "success" }]);
    expect(endsOf(client, payload.job_id)).toHaveLength(1);
  });
});

describe("after the end", () => {
  const everything = (context: JobContext): Promise<void>[] => [
    context.log("info", "late"),
    context.thought("late"),
    context.status("late"),
    context.metric({ name: "late", value: 1 }),
    context.metric({ name: "cost.late", value: 1, unit: "USD" }),
    context.toolCall({ tool: "late", args: {}, call_id: "1" }),
    context.toolResult({ call_id: "1", result: "late" }),
    context.artifactRef({ uri: "file:///late", content_type: "text/plain" }),
    context.progress(1),
    context.resultChunk({ data: "late", encoding: "utf8", more: true }),
    context.streamResult().write("late"),
    context.emitEvent("x-vendor.acme.late", {}),
  ];

  test.each([
    ["it returned", (run: Run) => run.finish("done"), "INVALID_REQUEST"],
    ["it threw", (run: Run) => run.fail(new ARCPError("ACME_QUOTA", "no more")), "ACME_QUOTA"],
    ["it ran too long", (_run: Run, clock: ManualClock) => clock.advance(1_000), "TIMEOUT"],
  ])("an agent that goes on when %s is heard no more", async (_what, drive, code) => {
    covers("V11-7.3-03");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const lease_request = { "cost.budget": ["USD:5"] };
    const { payload } = await client.submit("puppet", null, { lease_request, max_runtime_sec: 1 });
    const run = await puppet.next();
    await run.context.log("info", "in time");
    drive(run, clock);
    const end = await client.end(payload.job_id);
    const before = await client.ask("job.subscribe", { job_id: payload.job_id });
    for (const late of everything(run.context)) await expect(late).rejects.toMatchObject({ code });
    // Neither is anything counted any more.
    const after = await client.ask("job.subscribe", { job_id: payload.job_id });
    expect(after.payload.budget).toEqual({ USD: 5 });
    expect({ ...after.payload, request_id: "" }).toEqual({ ...before.payload, request_id: "" });
    expect(client.ofJob(payload.job_id).at(-1)).toEqual(end);
    expect(client.ofJob(payload.job_id).map(({ type }) => type)).toEqual(["job.event", end.type]);
  });

  test("an agent that emits without waiting while it returns does no harm", async () => {
    await using harness = startHarness({
      agents: {
        hasty: (_input, context) => {
          for (const delay of [0, 1, 2, 5]) {
            void settle(delay).then(() => {
              void context.log("info", String(delay));
              void context.progress(-1);
              void context.emitEvent("no such kind", {});
            });
          }
          return "done";
        },
      },
    });
    const client = await harness.rawSession();
    const { payload } = await client.submit("hasty");
    const end = await client.end(payload.job_id);
    await settle(20);
    await client.listJobs();
    expect(client.ofJob(payload.job_id).at(-1)).toEqual(end);
  });
});

/** Half a character. It is made here because sources are UTF-8, which has no word for it. */
const LONE = String.fromCharCode(0xd800);

describe("whatever an agent returns", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const touchy = (): object => {
    let times = 0;
    return {
      toJSON() {
        times += 1;
        if (times > 1) throw new Error("not again");
        return "once";
      },
    };
  };

  test.each<readonly [string, unknown, object]>([
    ["nothing", undefined, { final_status: "success" }],
    ["null", null, { final_status: "success", result: null }],
    ["false", false, { final_status: "success", result: false }],
    ["zero", 0, { final_status: "success", result: 0 }],
    ["NUL", "a\u0000b", { final_status: "success", result: "a\u0000b" }],
    ["an unpaired surrogate", [LONE], { final_status: "success", result: ["\ufffd"] }],
    ["an unpaired surrogate in a name", { [`a${LONE}`]: 1 }, { final_status: "success", result: { "a\ufffd": 1 } }],
    ["text that looks like an escape", "\\ud800", { final_status: "success", result: "\\ud800" }],
    ["numbers that JSON has no word for", [Number.NaN, Number.POSITIVE_INFINITY], { result: [null, null] }],
    ["a value that can be written once", touchy(), { final_status: "success", result: "once" }],
    [
      "a BigInt",
      10n,
      { final_status: "error", code: "INTERNAL_ERROR", message: "the agent's result cannot be written as JSON" },
    ],
    [
      "a cycle",
      cyclic,
      { final_status: "error", code: "INTERNAL_ERROR", message: "the agent's result cannot be written as JSON" },
    ],
  ])("%s ends the job once", async (_what, value, end) => {
    await using harness = startHarness({ agents: { puppet: () => value } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    const terminal = await client.end(payload.job_id);
    expect(terminal.payload).toMatchObject(end);
    expect("result" in terminal.payload).toBe(value !== undefined && terminal.type === "job.result");
    expect(JSON.stringify(terminal)).not.toMatch(/(?<!\\)\\ud[89a-f]/);
    expect(await client.listJobs()).toMatchObject([{ status: terminal.payload.final_status }]);
  });

  test("a result above the bound fails, and says which bound", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobCaps: { maxInlineResultBytes: 1_000 } },
    });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    (await puppet.next()).finish("x".repeat(1_001));
    expect((await client.end(payload.job_id)).payload).toMatchObject({
      final_status: "error",
      code: "INTERNAL_ERROR",
      details: { limit: "maxInlineResultBytes", max: 1_000, retry: "never" },
    });
  });
});

describe("whatever an agent throws", () => {
  const strange = (message: unknown): Error => Object.assign(new Error("replaced"), { message });

  test.each<readonly [string, AgentHandler, object]>([
    ["an Error, at once", thrower(new Error("no luck")), { code: "INTERNAL_ERROR", message: "no luck" }],
    [
      "an Error, later",
      async () => {
        await settle(2);
        throw new Error("no luck");
      },
      { code: "INTERNAL_ERROR", message: "no luck" },
    ],
    ["an Error of several lines", thrower(new Error("no luck\n    at secret.ts:1")), { message: "no luck" }],
    ["an Error without words", thrower(new Error("")), { code: "INTERNAL_ERROR", message: "the agent failed" }],
    [
      "an Error whose message is a number",
      thrower(strange(42)),
      { code: "INTERNAL_ERROR", message: "the agent failed" },
    ],
    ["text", thrower("secret"), { code: "INTERNAL_ERROR", message: "the agent failed" }],
    ["nothing", thrower(undefined), { code: "INTERNAL_ERROR", message: "the agent failed" }],
    ["a rejected promise of null", () => Promise.reject(null), { code: "INTERNAL_ERROR", message: "the agent failed" }],
    [
      "an error of its own code",
      thrower(new ARCPError("ACME_QUOTA", "no more", { retryable: true, details: { left: 0 } })),
      { code: "ACME_QUOTA", message: "no more", retryable: true, details: { left: 0 } },
    ],
    ["an error without a code", thrower(new ARCPError("", "odd")), { code: "INTERNAL_ERROR", message: "odd" }],
    [
      "an error whose details JSON cannot hold",
      thrower(new ARCPError("ACME_QUOTA", "no more", { details: { left: 10n } })),
      { code: "ACME_QUOTA", message: "no more", retryable: false },
    ],
    [
      "an error of far too many words",
      thrower(new ARCPError("ACME_QUOTA", "x".repeat(2_000_000), { details: { y: "y".repeat(2_000_000) } })),
      { code: "ACME_QUOTA", message: "x".repeat(1024) },
    ],
  ])("%s ends the job once", async (_what, handler, end) => {
    await using harness = startHarness({ agents: { puppet: handler } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    const terminal = await client.end(payload.job_id);
    expect(terminal.type).toBe("job.error");
    expect(terminal.payload).toMatchObject({ final_status: "error", ...end });
    expect(JSON.stringify(terminal)).not.toContain("secret");
    expect(await client.listJobs()).toMatchObject([{ status: "error" }]);
    expect(harness.server.runningJobs).toBe(0);
  });
});

describe.each(CARRIERS)("over %s", (carrier) => {
  test("jobs outlive the connection of their client", async () => {
    covers("V11-7.3-08");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const watcher = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    const { context, finish } = await puppet.next();
    await context.log("info", "before");
    await client.find((frame) => frame.event_seq === 1);
    await harness.disconnect(client);
    await context.log("info", "meanwhile");
    expect(context.signal.aborted).toBe(false);
    expect(await watcher.listJobs()).toMatchObject([{ job_id: payload.job_id, status: "running" }]);
    finish("done");
    const back = await harness.raw();
    expect((await back.resume(client, 1)).type).toBe("session.welcome");
    expect((await back.end(payload.job_id)).payload.result).toBe("done");
    expect(back.numbered.map((frame) => [frame.event_seq, frame.payload.body?.message])).toEqual([
      [2, "meanwhile"],
      [3, undefined],
    ]);
    expect(await watcher.listJobs()).toMatchObject([{ status: "success" }]);
  });
});

test("jobs outlive the session of their client", async () => {
  covers("V11-7.3-08");
  const clock = new ManualClock();
  const puppet = new Puppet();
  await using harness = startHarness({
    agents: { puppet: puppet.handler },
    server: { clock, resumeWindowSeconds: 30 },
  });
  const client = await harness.rawSession(QUIET_FEATURES);
  const watcher = await harness.rawSession(QUIET_FEATURES);
  const { payload } = await client.submit("puppet");
  await watcher.ask("job.subscribe", { job_id: payload.job_id });
  const { context, finish } = await puppet.next();
  await context.log("info", "before");
  await harness.disconnect(client);
  // Numbered for the session in the very turn in which it is forgotten.
  clock.advance(59_999);
  void context.log("info", "meanwhile");
  clock.advance(1);
  await settle();
  const back = await harness.raw();
  expect((await back.resume(client, 0, "alice", QUIET_FEATURES)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
  await context.log("info", "after");
  finish("done");
  await watcher.end(payload.job_id);
  const seen = watcher.ofJob(payload.job_id).map((frame) => frame.payload.body?.message ?? frame.payload.result);
  expect(seen).toEqual(["before", "meanwhile", "after", "done"]);
  expect(await watcher.listJobs()).toMatchObject([{ status: "success" }]);
  const late = await harness.rawSession(QUIET_FEATURES);
  const history = await late.ask("job.subscribe", { job_id: payload.job_id, history: true, from_event_seq: 1 });
  // The numbers of a session that is gone mean nothing any more: everything is replayed, and said to be.
  expect(history.payload).toMatchObject({ replayed: true, history_truncated: true });
  await late.end(payload.job_id);
  expect(late.ofJob(payload.job_id)).toHaveLength(4);
});

describe("races", () => {
  type Step =
    | { readonly do: "finish" | "fail" | "stream" | "cancel" | "emit" | "cut" | "subscribe" | "turn" }
    | { readonly do: "wait"; readonly ms: number };
  const step: fc.Arbitrary<Step & { readonly job: number; readonly session: number }> = fc.oneof(
    fc.record({
      do: fc.constantFrom<Exclude<Step["do"], "wait">>(
        ...(["finish", "fail", "stream", "cancel", "emit", "cut", "subscribe", "turn"] as const),
      ),
      job: fc.nat(2),
      session: fc.nat(2),
    }),
    fc.record({
      do: fc.constant("wait" as const),
      ms: fc.integer({ min: 1, max: 1_200 }),
      job: fc.nat(2),
      session: fc.nat(2),
    }),
  );

  test("of result, error, cancel, time-out and disconnection end each job once, for everybody who watches", async () => {
    covers("V11-7.3-02");
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const clock = new ManualClock();
        const puppet = new Puppet();
        await using harness = startHarness({
          agents: { puppet: puppet.handler },
          server: { clock, cancelGraceMs: 500, cancelAuthority: "principal" },
        });
        const sessions = [
          await harness.rawSession(QUIET_FEATURES),
          await harness.rawSession(QUIET_FEATURES),
          await harness.rawSession(QUIET_FEATURES),
        ];
        /** Everything that each session was ever sent, over all of its connections, by number. */
        const received = sessions.map(() => new Map<number, Frame>());
        const collect = (index: number): void => {
          for (const frame of sessions[index]?.numbered ?? []) received[index]?.set(frame.event_seq as number, frame);
        };
        const resume = async (index: number): Promise<void> => {
          const old = sessions[index] as RawClient;
          collect(index);
          await harness.disconnect(old);
          const next = await harness.raw();
          expect((await next.resume(old, received[index]?.size ?? 0, "alice", QUIET_FEATURES)).type).toBe(
            "session.welcome",
          );
          sessions[index] = next;
        };
        const jobIds: JobId[] = [];
        for (const session of sessions) {
          const { payload } = await session.submit("puppet", null, { max_runtime_sec: 1 });
          jobIds.push(payload.job_id);
        }
        const runs = [await puppet.next(), await puppet.next(), await puppet.next()];
        const watches = new Set<string>();
        for (const { job, session, ...one } of steps) {
          const run = runs[job] as Run;
          const client = sessions[session] as RawClient;
          const jobId = jobIds[job] as JobId;
          if (one.do === "finish") run.finish("done");
          if (one.do === "fail") run.fail(new Error("no"));
          if (one.do === "stream")
            void run.context
              .streamResult()
              .finalize("done")
              .catch(() => {});
          if (one.do === "emit") void run.context.log("info", "working");
          if (one.do === "cancel") client.send("job.cancel", {}, { job_id: jobId });
          if (one.do === "wait") clock.advance(one.ms);
          if (one.do === "turn") await settle(1);
          if (one.do === "cut") await resume(session);
          if (one.do === "subscribe") {
            const subscribed = await client.ask("job.subscribe", { job_id: jobId });
            if (subscribed.payload.current_status === "running") watches.add(`${session} ${jobId}`);
          }
        }
        // Whoever has not settled by now never does.
        await settle();
        clock.advance(60_000);
        for (const [index, session] of sessions.entries()) {
          await session.listJobs();
          await settle();
          collect(index);
          const frames = [...(received[index]?.entries() ?? [])].sort(([left], [right]) => left - right);
          expect(frames.map(([seq]) => seq)).toEqual(frames.map((_, position) => position + 1));
          for (const [owner, jobId] of jobIds.entries()) {
            const about = frames.map(([, frame]) => frame).filter(({ job_id }) => job_id === jobId);
            const isWatched = owner === index || watches.has(`${index} ${jobId}`);
            expect(about.filter(isTerminal)).toHaveLength(isWatched ? 1 : 0);
            if (isWatched) expect(isTerminal(about.at(-1) as Frame)).toBe(true);
          }
        }
        const statuses = new Map((await (sessions[0] as RawClient).listJobs()).map((job) => [job.job_id, job.status]));
        for (const [index, jobId] of jobIds.entries()) {
          const end = [...(received[index]?.values() ?? [])].find(
            (frame) => frame.job_id === jobId && isTerminal(frame),
          );
          expect(statuses.get(jobId)).toBe(end?.payload.final_status);
        }
        expect(harness.server.runningJobs).toBe(0);
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
