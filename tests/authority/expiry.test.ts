/** The end of a lease: what is refused from then on, and how the job ends. */
import { createLogger, type LeaseConstraints } from "@arcp/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";
import { type AuthorizedJob, authorizedJob, eventsOf, Puppet, refusalOf } from "./authorized-job.ts";

const LEASE = { "tool.call": ["search"] };

const inMs = (clock: ManualClock, ms: number): LeaseConstraints => ({
  expires_at: new Date(clock.now() + ms).toISOString(),
});

const search = ({ run }: AuthorizedJob): Promise<number> => run.context.operation("tool.call", "search", () => 1);

/** A wall clock that can be set, beside the steady one that {@link ManualClock.advance} moves. */
class SteppedClock extends ManualClock {
  wallOffsetMs = 0;

  override now(): number {
    return super.now() + this.wallOffsetMs;
  }
}

const endedWithin = (job: AuthorizedJob, harness: Harness): boolean =>
  !harness.server.subscribers.has(job.jobId as never);

afterEach(() => void vi.useRealTimers());

describe("expires_at", () => {
  test("is shown with the acceptance and on the job's context", async () => {
    covers("V11-9.5-01");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const constraints = inMs(clock, 3_600_000);
    const job = await authorizedJob(harness, puppet, LEASE, constraints);
    expect(job.accepted.payload.lease_constraints).toEqual(constraints);
    expect(job.run.context.leaseConstraints).toEqual(constraints);
    job.run.finish();
  });

  test.each([
    "2030-01-01T00:00:00+00:00",
    "2030-01-01T00:00:00+02:00",
    "2030-01-01T00:00:00",
    "2030-01-01",
    "2030-02-30T00:00:00Z",
    1893456000,
    "soon",
  ])("of another form is refused: %j", async (expires_at) => {
    covers("V11-9.5-02");
    await using harness = startHarness({ agents: { puppet: vi.fn() } });
    const client = await harness.rawSession();
    const answer = await client.submit("puppet", null, { lease_constraints: { expires_at } });
    expect(answer.payload).toMatchObject({ code: "INVALID_REQUEST" });
    expect(await client.listJobs()).toEqual([]);
  });

  test.each([-1000, 0])("%d ms from now is not in the future", async (ms) => {
    covers("V11-9.5-03");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { puppet: vi.fn() }, server: { clock } });
    const client = await harness.rawSession();
    const answer = await client.submit("puppet", null, { lease_constraints: inMs(clock, ms) });
    expect(answer.payload).toMatchObject({ code: "INVALID_REQUEST" });
    expect(await client.listJobs()).toEqual([]);
  });

  test.each(["9999-12-31T23:59:59Z", "25 days"])("%s away: the job runs", async (when) => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, endJobsAtLeaseExpiry: true };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const constraints = when === "25 days" ? inMs(clock, 25 * 86_400_000) : { expires_at: when };
    const job = await authorizedJob(harness, puppet, LEASE, constraints);
    clock.advance(24 * 86_400_000);
    await expect(search(job)).resolves.toBe(1);
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
  });

  test("25 days away is too long for one timer of the platform, and is not taken for now (D24)", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { endJobsAtLeaseExpiry: true },
    });
    const expires_at = new Date(Date.now() + 25 * 86_400_000).toISOString();
    const job = await authorizedJob(harness, puppet, LEASE, { expires_at });
    vi.advanceTimersByTime(1000);
    await expect(search(job)).resolves.toBe(1);
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
  });

  test("cannot be moved by submitting again under the same key", async () => {
    covers("V11-9.5-08");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, leaseUnwindMs: 0 } });
    const client = await harness.rawSession();
    const submission = { lease_request: LEASE, idempotency_key: "k" };
    const constraints = inMs(clock, 1000);
    const accepted = await client.submit("puppet", null, { ...submission, lease_constraints: constraints });
    const later = await client.submit("puppet", null, { ...submission, lease_constraints: inMs(clock, 5000) });
    expect(later.payload.code).toBe("DUPLICATE_KEY");
    expect(await client.listJobs()).toMatchObject([{ job_id: accepted.payload.job_id }]);
    const run = await puppet.next();
    expect(run.context.leaseConstraints).toEqual(constraints);
    clock.advance(1000);
    expect(await refusalOf(run.context.operation("tool.call", "search", () => 1))).toMatchObject({
      code: "LEASE_EXPIRED",
    });
    run.finish();
  });
});

describe("max_runtime_sec", () => {
  test("of 25 days is not taken for now (D25)", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const accepted = await client.submit("puppet", null, { max_runtime_sec: 2_147_484 });
    const run = await puppet.next();
    vi.advanceTimersByTime(1000);
    expect(run.context.signal.aborted).toBe(false);
    run.finish();
    expect((await client.end(accepted.payload.job_id)).payload.final_status).toBe("success");
  });

  test("of 25 days ends the job then (D25)", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession([]);
    const accepted = await client.submit("puppet", null, { max_runtime_sec: 2_147_484 });
    const run = await puppet.next();
    clock.advance(2_147_484_000 - 1);
    expect(run.context.signal.aborted).toBe(false);
    clock.advance(1);
    expect((await client.end(accepted.payload.job_id)).payload).toMatchObject({ code: "TIMEOUT" });
  });
});

describe("an operation", () => {
  test("passes before expires_at, and fails at and after it", async () => {
    covers("V11-9.5-04", "V11-9.5-05");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const constraints = inMs(clock, 1000);
    const first = await authorizedJob(harness, puppet, LEASE, constraints);
    const second = await authorizedJob(harness, puppet, LEASE, constraints);
    clock.advance(999);
    await expect(search(first)).resolves.toBe(1);
    clock.advance(1);
    expect(await refusalOf(search(first))).toMatchObject({ code: "LEASE_EXPIRED", retryable: false });
    clock.advance(1);
    expect(await refusalOf(search(second))).toMatchObject({ code: "LEASE_EXPIRED", retryable: false });
    expect(await eventsOf(first, "tool_result")).toMatchObject([
      { result: null },
      { error: { code: "LEASE_EXPIRED", retryable: false, details: constraints } },
    ]);
    for (const { run } of [first, second]) run.finish();
  });

  test("that was under way when the lease ended is not broken off", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const job = await authorizedJob(harness, puppet, LEASE, inMs(clock, 1000));
    const begun = Promise.withResolvers<void>();
    const { promise, resolve } = Promise.withResolvers<string>();
    const under = job.run.context.operation("tool.call", "search", () => {
      begun.resolve();
      return promise;
    });
    await begun.promise;
    clock.advance(2000);
    resolve("found");
    await expect(under).resolves.toBe("found");
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
  });

  test("still passes for the grace that the operator allows, which is bounded", async () => {
    covers("V11-14-14");
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, leaseGraceMs: 3_600_000 };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const job = await authorizedJob(harness, puppet, LEASE, inMs(clock, 1000));
    clock.advance(1000 + 4999);
    await expect(search(job)).resolves.toBe(1);
    clock.advance(1);
    expect(await refusalOf(search(job))).toMatchObject({ code: "LEASE_EXPIRED" });
    job.run.finish();
  });

  test("fails for good once the lease has ended, whatever the wall clock says then", async () => {
    covers("V11-14-13");
    const clock = new SteppedClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const back = await authorizedJob(harness, puppet, LEASE, inMs(clock, 10_000));
    const steady = await authorizedJob(harness, puppet, LEASE, inMs(clock, 10_000));
    clock.wallOffsetMs = 10_000;
    expect(await refusalOf(search(back))).toMatchObject({ code: "LEASE_EXPIRED" });
    clock.wallOffsetMs = -3_600_000;
    expect(await refusalOf(search(back))).toMatchObject({ code: "LEASE_EXPIRED" });
    await expect(search(steady)).resolves.toBe(1);
    clock.advance(10_000);
    expect(await refusalOf(search(steady))).toMatchObject({ code: "LEASE_EXPIRED" });
    steady.run.finish();
  });
});

describe("after its first refused operation a job", () => {
  /** A job whose lease has ended, and that was told so. */
  async function unwinding(harness: Harness, puppet: Puppet, clock: ManualClock): Promise<AuthorizedJob> {
    const job = await authorizedJob(harness, puppet, LEASE, inMs(clock, 1000));
    clock.advance(1000);
    expect(await refusalOf(search(job))).toMatchObject({ code: "LEASE_EXPIRED" });
    expect(endedWithin(job, harness)).toBe(false);
    return job;
  }

  const LEASE_EXPIRED = { final_status: "error", code: "LEASE_EXPIRED", retryable: false };

  test("ends with the second", async () => {
    covers("V11-9.5-06");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const job = await unwinding(harness, puppet, clock);
    const act = vi.fn();
    expect(await refusalOf(job.run.context.operation("tool.call", "search", act))).toMatchObject({
      code: "LEASE_EXPIRED",
    });
    const end = await job.client.end(job.jobId);
    expect(end).toMatchObject({ type: "job.error", payload: LEASE_EXPIRED });
    expect(job.run.context.signal).toMatchObject({ aborted: true, reason: { code: "LEASE_EXPIRED" } });
    expect(act).not.toHaveBeenCalled();
    await expect(job.run.context.log("info", "late")).rejects.toMatchObject({ code: "LEASE_EXPIRED" });
  });

  test("may say what it has to, and ends when it returns, with LEASE_EXPIRED whatever it returns", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const job = await unwinding(harness, puppet, clock);
    await job.run.context.log("info", "unwinding");
    job.run.finish("all done");
    expect((await job.client.end(job.jobId)).payload).toMatchObject(LEASE_EXPIRED);
    expect(await eventsOf(job, "log")).toMatchObject([{ message: "unwinding" }]);
  });

  test("ends at the end of the unwind period", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, leaseUnwindMs: 250 };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const job = await unwinding(harness, puppet, clock);
    clock.advance(249);
    expect(endedWithin(job, harness)).toBe(false);
    clock.advance(1);
    expect(endedWithin(job, harness)).toBe(true);
    expect((await job.client.end(job.jobId)).payload).toMatchObject(LEASE_EXPIRED);
  });

  test("can still be cancelled", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const job = await unwinding(harness, puppet, clock);
    job.client.send("job.cancel", { job_id: job.jobId }, { job_id: job.jobId });
    await job.client.fence();
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload).toMatchObject({ final_status: "cancelled" });
  });
});

describe("an agent that tries nothing after the end of its lease", () => {
  test("goes on without authority", async () => {
    covers("V11-9.5-07");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const job = await authorizedJob(harness, puppet, LEASE, inMs(clock, 1000));
    clock.advance(60_000);
    await settle();
    await job.run.context.log("info", "only talking");
    job.run.finish();
    expect((await job.client.end(job.jobId)).payload.final_status).toBe("success");
  });

  test("is ended with it if the operator wants that", async () => {
    covers("V11-9.5-07", "V11-14-15");
    const clock = new ManualClock();
    const puppet = new Puppet();
    const lines: string[] = [];
    const logger = createLogger((line) => lines.push(line), "info");
    const server = { clock, endJobsAtLeaseExpiry: true, leaseGraceMs: 100, logger };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const constraints = inMs(clock, 1000);
    const job = await authorizedJob(harness, puppet, LEASE, constraints);
    clock.advance(1099);
    expect(endedWithin(job, harness)).toBe(false);
    clock.advance(1);
    expect((await job.client.end(job.jobId)).payload).toMatchObject({ final_status: "error", code: "LEASE_EXPIRED" });
    expect(job.run.context.signal.aborted).toBe(true);
    const logged = lines.map((line) => JSON.parse(line)).filter(({ expiresAt }) => expiresAt !== undefined);
    expect(logged).toMatchObject([{ jobId: job.jobId, expiresAt: constraints.expires_at }]);
  });

  test("leaves no timer behind when it returns before", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, endJobsAtLeaseExpiry: true };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const client = await harness.rawSession(QUIET_FEATURES);
    await client.listJobs();
    const before = clock.pending;
    const accepted = await client.submit("puppet", null, { lease_constraints: inMs(clock, 1000) });
    expect(clock.pending).toBe(before + 1);
    (await puppet.next()).finish();
    await client.end(accepted.payload.job_id);
    expect(clock.pending).toBe(before);
  });
});
