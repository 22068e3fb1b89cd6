import { CancelledError, JobNotFoundError, PermissionDeniedError } from "@arcp/core";
import type { CancelAuthority } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const cancel = (client: RawClient, job_id: string, payload: object = {}): Promise<Frame> =>
  client.ask("job.cancel", payload, { job_id });

/** Frames about one job, in the order in which they arrived. */
const about = (client: RawClient, jobId: string): Frame[] => client.frames.filter(({ job_id }) => job_id === jobId);

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a cancellation is acknowledged, the agent told, and the job ended as cancelled", async () => {
    covers("V11-7.4-03", "V11-7.4-04", "V11-7.4-05", "V11-7.4-06");
    const reasons: unknown[] = [];
    await using harness = startHarness({
      carrier,
      agents: {
        // Stops in the very moment in which it is told to.
        obedient: (_input, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener("abort", () => {
              reasons.push(signal.reason);
              reject(signal.reason);
            });
          }),
      },
    });
    const client = await harness.rawSession();
    const { payload } = await client.submit("obedient");
    const acknowledged = await cancel(client, payload.job_id, { reason: "enough" });
    const end = await client.end(payload.job_id);
    expect(acknowledged).toMatchObject({
      type: "job.cancelled",
      job_id: payload.job_id,
      payload: { job_id: payload.job_id, reason: "enough" },
    });
    expect(acknowledged).not.toHaveProperty("event_seq");
    expect(end).toMatchObject({
      type: "job.error",
      payload: { code: "CANCELLED", message: "enough", retryable: false, final_status: "cancelled" },
    });
    expect(about(client, payload.job_id).map(({ type }) => type)).toEqual([
      "job.accepted",
      "job.cancelled",
      "job.error",
    ]);
    expect(reasons).toEqual([expect.any(CancelledError)]);
  });
});

describe("the submitting session", () => {
  test("may cancel right after acceptance, in mid-run and while the agent waits for a tool", async () => {
    covers("V11-7.4-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const stages: readonly ((run: Run) => Promise<void>)[] = [
      async () => {},
      (run) => run.context.progress(1, { total: 2 }),
      (run) => run.context.toolCall({ tool: "slow", args: {}, call_id: "1" }),
    ];
    for (const stage of stages) {
      const { payload } = await client.submit("puppet");
      const run = await puppet.next();
      await stage(run);
      run.context.signal.addEventListener("abort", () => run.finish());
      expect((await cancel(client, payload.job_id)).type).toBe("job.cancelled");
      expect((await client.end(payload.job_id)).payload.final_status).toBe("cancelled");
    }
  });

  test("may name the job on the envelope, in the payload, or in both alike", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const ways: readonly ((jobId: string) => Promise<Frame>)[] = [
      (job_id) => client.ask("job.cancel", {}, { job_id }),
      (job_id) => client.ask("job.cancel", { job_id }),
      (job_id) => client.ask("job.cancel", { job_id, reason: "both" }, { job_id }),
    ];
    for (const way of ways) {
      const { payload } = await client.submit("puppet");
      const run = await puppet.next();
      expect(await way(payload.job_id)).toMatchObject({ type: "job.cancelled", job_id: payload.job_id });
      expect(run.context.signal.aborted).toBe(true);
    }
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    for (const refused of [
      await client.ask("job.cancel", { job_id: "job_other" }, { job_id: payload.job_id }),
      await client.ask("job.cancel", {}),
      await client.ask("job.cancel", { reason: 5 }, { job_id: payload.job_id }),
    ]) {
      expect(refused).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
    }
    expect(run.context.signal.aborted).toBe(false);
  });

  test("may cancel after it was resumed", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    await harness.disconnect(client);
    const back = await harness.raw();
    await back.resume(client, 0);
    expect((await cancel(back, payload.job_id)).type).toBe("job.cancelled");
    expect(run.context.signal.aborted).toBe(true);
  });

  test("reads the real client's cancellation", async () => {
    covers("V11-7.4-02");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.client();
    const job = await client.submit({ agent: "puppet" });
    const run = await puppet.next();
    run.context.signal.addEventListener("abort", () => run.finish("too late"));
    await job.cancel("enough");
    await expect(job.done).rejects.toThrow(CancelledError);
    await expect(job.done).rejects.toThrow("enough");
    expect(job.finalStatus).toBe("cancelled");
  });
});

describe("an agent that is told to stop", () => {
  test("and does not is given 30 seconds", async () => {
    covers("V11-7.4-07", "V11-7.4-09");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    await cancel(client, payload.job_id);
    clock.advance(29_999);
    await run.context.log("info", "still cleaning up");
    expect(await client.listJobs()).toMatchObject([{ status: "running" }]);
    clock.advance(1);
    const end = await client.end(payload.job_id);
    expect(end.payload).toMatchObject({ code: "CANCELLED", final_status: "cancelled" });
    // It goes on; nobody hears of it.
    await expect(run.context.log("info", "for ever")).rejects.toThrow(CancelledError);
    run.finish("result");
    await settle();
    expect(await client.listJobs()).toMatchObject([{ status: "cancelled" }]);
    expect(client.ofJob(payload.job_id).map((frame) => frame.payload.body?.message ?? frame.payload.code)).toEqual([
      "still cleaning up",
      "CANCELLED",
    ]);
  });

  test("is given as long as the runtime is told to", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, cancelGraceMs: 10 } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { payload } = await client.submit("puppet", null, { max_runtime_sec: 5 });
    await puppet.next();
    const before = clock.pending;
    await cancel(client, payload.job_id);
    // The time that the job may run no longer matters: one timer has taken the place of the other.
    expect(clock.pending).toBe(before);
    clock.advance(10);
    expect((await client.end(payload.job_id)).payload.code).toBe("CANCELLED");
    clock.advance(60_000);
    expect(await client.listJobs()).toMatchObject([{ status: "cancelled" }]);
  });

  test.each<readonly [string, (run: Run) => unknown]>([
    ["returns a result", (run) => run.finish("result")],
    ["throws something else", (run) => run.fail(new Error("interrupted"))],
    ["finishes its stream", (run) => run.context.streamResult().finalize("all of it")],
    [
      "returns in the middle of a stream",
      (run) =>
        run.context
          .streamResult()
          .write("some")
          .then(() => run.finish()),
    ],
    [
      "returns after the last chunk",
      (run) => run.context.resultChunk({ data: "all", encoding: "utf8", more: false }).then(() => run.finish()),
    ],
    ["exceeds a bound", (run) => run.context.resultChunk({ data: "x".repeat(11), encoding: "utf8", more: true })],
  ])("and then %s has been cancelled all the same", async (_what, drive) => {
    covers("V11-7.4-04");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobCaps: { maxChunkBytes: 10 } },
    });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    await cancel(client, payload.job_id, { reason: "enough" });
    await Promise.resolve(drive(run)).catch(() => {});
    const end = await client.end(payload.job_id);
    expect(end).toMatchObject({
      type: "job.error",
      payload: { code: "CANCELLED", message: "enough", final_status: "cancelled" },
    });
    expect(await client.listJobs()).toMatchObject([{ status: "cancelled" }]);
  });

  test("holds nothing any more", async () => {
    covers("V11-7.4-08");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, caps: { maxConcurrentJobs: 1 } },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const lease_request = { "cost.budget": ["USD:5"], "tool.call": ["search"] };
    const { payload } = await client.submit("puppet", null, { lease_request });
    const { context } = await puppet.next();
    await cancel(client, payload.job_id);
    clock.advance(30_000);
    await client.end(payload.job_id);
    // What the lease allowed is refused: to call, to delegate, to spend.
    for (const operation of [
      context.toolCall({ tool: "search", args: {}, call_id: "1" }),
      context.delegate({ delegate_id: "d", agent: "other", input: null, lease_request: {} }),
      context.metric({ name: "cost.inference", value: 1, unit: "USD" }),
    ]) {
      await expect(operation).rejects.toMatchObject({ code: "CANCELLED" });
    }
    const subscribed = await client.ask("job.subscribe", { job_id: payload.job_id });
    expect(subscribed.payload.budget).toEqual({ USD: 5 });
    expect(client.ofJob(payload.job_id)).toHaveLength(1);
    // The place that it took is free.
    expect((await client.submit("puppet")).type).toBe("job.accepted");
  });
});

describe("what cannot be cancelled", () => {
  test("is a job that is unknown or somebody else's", async () => {
    covers("V11-7.4-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const stranger = await harness.rawSession(undefined, "bob");
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    for (const [who, jobId] of [
      [client, "job_does_not_exist"],
      [stranger, payload.job_id],
    ] as const) {
      expect(await cancel(who, jobId)).toMatchObject({
        type: "session.error",
        payload: { code: "JOB_NOT_FOUND", retryable: false },
      });
    }
    expect(run.context.signal.aborted).toBe(false);
    const real = await harness.client({ token: "bob" });
    await expect(real.cancelJob(payload.job_id)).rejects.toThrow(JobNotFoundError);
  });

  test("is a job that is visible to the other principal, but not theirs", async () => {
    covers("V11-14-12");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobAuthorizationPolicy: () => true, cancelAuthority: "principal" },
    });
    const client = await harness.rawSession();
    const observer = await harness.rawSession(undefined, "bob");
    const { payload } = await client.submit("puppet");
    const run = await puppet.next();
    expect((await observer.ask("job.subscribe", { job_id: payload.job_id })).type).toBe("job.subscribed");
    expect((await cancel(observer, payload.job_id)).payload.code).toBe("JOB_NOT_FOUND");
    expect(run.context.signal.aborted).toBe(false);
  });

  test("is a job that has ended: its end stays the only one", async () => {
    covers("V11-7.4-11");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const observer = await harness.rawSession();
    const { payload } = await client.submit("puppet");
    await observer.ask("job.subscribe", { job_id: payload.job_id });
    (await puppet.next()).finish("done");
    await Promise.all([client.end(payload.job_id), observer.end(payload.job_id)]);
    for (let times = 0; times < 2; times += 1) {
      expect(await cancel(client, payload.job_id)).toMatchObject({
        type: "session.error",
        payload: { code: "INVALID_REQUEST", details: { status: "success" } },
      });
    }
    expect(await observer.listJobs()).toMatchObject([{ status: "success" }]);
    for (const session of [client, observer]) {
      await session.fence();
      expect(session.ofJob(payload.job_id).map(({ type }) => type)).toEqual(["job.result"]);
    }
  });

  test("twice: a second cancellation is acknowledged, and changes nothing", async () => {
    covers("V11-7.4-11");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { payload } = await client.submit("puppet");
    await puppet.next();
    await cancel(client, payload.job_id, { reason: "first" });
    clock.advance(20_000);
    expect((await cancel(client, payload.job_id, { reason: "second" })).type).toBe("job.cancelled");
    // The grace period is not begun again.
    clock.advance(10_000);
    expect((await client.end(payload.job_id)).payload.message).toBe("first");
    await client.listJobs();
    expect(client.ofJob(payload.job_id)).toHaveLength(1);
  });
});

describe("who may cancel", () => {
  type Who = "submitter" | "same principal" | "same principal, submitter gone" | "other principal";
  const allowed: Readonly<Record<CancelAuthority, readonly Who[]>> = {
    session: ["submitter"],
    principal: ["submitter", "same principal", "same principal, submitter gone"],
    "session-or-orphan": ["submitter", "same principal, submitter gone"],
  };
  const refusals: Readonly<Record<Who, string>> = {
    submitter: "",
    "same principal": "PERMISSION_DENIED",
    "same principal, submitter gone": "PERMISSION_DENIED",
    "other principal": "JOB_NOT_FOUND",
  };
  const cases = (Object.keys(allowed) as CancelAuthority[]).flatMap((authority) =>
    (Object.keys(refusals) as Who[]).map((who) => ({ authority, who, isAllowed: allowed[authority].includes(who) })),
  );

  test.each(cases)("with authority $authority: $who – $isAllowed", async ({ authority, who, isAllowed }) => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, cancelAuthority: authority, resumeWindowSeconds: 60 },
    });
    const submitter = await harness.rawSession(QUIET_FEATURES);
    const other = await harness.rawSession(QUIET_FEATURES, who === "other principal" ? "bob" : "alice");
    const { payload } = await submitter.submit("puppet");
    const run = await puppet.next();
    if (who === "same principal, submitter gone") {
      await harness.disconnect(submitter);
      clock.advance(60_000);
      // Within the window the submitter could still come back.
      if (authority === "session-or-orphan") {
        expect((await cancel(other, payload.job_id)).payload.code).toBe("PERMISSION_DENIED");
      }
      clock.advance(60_001);
      await settle();
    }
    const reply = await cancel(who === "submitter" ? submitter : other, payload.job_id);
    expect(reply.payload.code).toBe(isAllowed ? undefined : refusals[who]);
    expect(run.context.signal.aborted).toBe(isAllowed);
  });

  test("the default is the session that submitted it", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await (await harness.client()).submit({ agent: "puppet" });
    const run = await puppet.next();
    await expect((await harness.client()).cancelJob(job.jobId)).rejects.toThrow(PermissionDeniedError);
    expect(run.context.signal.aborted).toBe(false);
  });
});
