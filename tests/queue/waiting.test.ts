import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type HarnessOptions, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const PLACE = "x-vendor.arcp.queue";

const withPuppet = (options: HarnessOptions["server"], agents: HarnessOptions["agents"] = {}) => {
  const puppet = new Puppet();
  const harness = startHarness({ agents: { puppet: puppet.handler, ...agents }, server: { ...options } });
  return { puppet, harness };
};

const statuses = async (client: RawClient): Promise<Record<string, string>> =>
  Object.fromEntries((await client.listJobs()).map(({ job_id, status }) => [job_id, status]));

const submitAll = async (client: RawClient, inputs: readonly unknown[], agent = "puppet"): Promise<string[]> => {
  const ids: string[] = [];
  for (const input of inputs) ids.push((await client.submit(agent, input)).job_id as string);
  return ids;
};

describe("a job that there is no room for", () => {
  test("is accepted, listed as pending with its place, and begun when another has ended", async () => {
    covers("V11-7.3-01");
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const [first, second, third] = await submitAll(client, [1, 2, 3]);
    await settle();
    expect(puppet.runs.map(({ input }) => input)).toEqual([1]);
    const listed = await client.listJobs();
    expect(listed.map(({ status, [PLACE]: place }) => [status, place])).toEqual([
      ["running", undefined],
      ["pending", { position: 1, length: 2 }],
      ["pending", { position: 2, length: 2 }],
    ]);
    const pending = await client.listJobs({ filter: { status: ["pending"] } });
    expect(pending.map(({ job_id }) => job_id)).toEqual([second, third]);

    (await puppet.next()).finish("one");
    expect((await client.ended(first as string)).payload).toMatchObject({ result: "one" });
    (await puppet.next()).finish("two");
    await client.ended(second as string);
    (await puppet.next()).finish("three");
    await client.ended(third as string);
    expect(puppet.runs.map(({ input }) => input)).toEqual([1, 2, 3]);
    expect(Object.values(await statuses(client))).toEqual(["success", "success", "success"]);
  });

  test("says so once, in a status event, and not when it moves up", async () => {
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const ids = await submitAll(client, [1, 2, 3]);
    for (const _id of ids) (await puppet.next()).finish();
    for (const id of ids) await client.ended(id);
    const told = client.numbered.filter(({ payload }) => payload.kind === "status").map(({ payload }) => payload.body);
    expect(told).toEqual([
      { phase: "pending", message: "waits for capacity, number 1 of 1", [PLACE]: { position: 1, length: 1 } },
      { phase: "pending", message: "waits for capacity, number 2 of 2", [PLACE]: { position: 2, length: 2 } },
    ]);
  });

  test("shows its place to whoever subscribes", async () => {
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const ids = await submitAll(client, [1, 2]);
    const observer = await harness.rawSession();
    const subscribed = await observer.ask("job.subscribe", { job_id: ids[1] });
    expect(subscribed.payload).toMatchObject({ current_status: "pending", [PLACE]: { position: 1, length: 1 } });
    for (const id of ids) {
      (await puppet.next()).finish();
      await client.ended(id);
    }
    expect((await observer.ended(ids[1] as string)).type).toBe("job.result");
  });

  test("can be cancelled, and is never begun", async () => {
    covers("V11-7.4-01");
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const [first, second, third] = await submitAll(client, [1, 2, 3]);
    client.send("job.cancel", { job_id: second }, { job_id: second });
    expect((await client.ended(second as string)).payload).toMatchObject({ final_status: "cancelled" });
    (await puppet.next()).finish();
    (await puppet.next()).finish();
    await client.ended(first as string);
    await client.ended(third as string);
    expect(puppet.runs.map(({ input }) => input)).toEqual([1, 3]);
  });

  test("is the same for the same idempotency key", async () => {
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const [first] = await submitAll(client, [1]);
    const key = { idempotency_key: "k" };
    const waiting = await client.submit("puppet", 2, key);
    const other = await harness.rawSession();
    const again = await other.submit("puppet", 2, key);
    expect(again.job_id).toBe(waiting.job_id);
    (await puppet.next()).finish();
    (await puppet.next()).finish("once");
    await client.ended(first as string);
    for (const each of [client, other]) {
      expect((await each.ended(waiting.job_id as string)).payload).toMatchObject({ result: "once" });
    }
    expect(puppet.runs).toHaveLength(2);
  });

  test("has its time from when it begins", async () => {
    covers("V11-7.3-07");
    const clock = new ManualClock();
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 }, clock });
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    const [first] = await submitAll(client, [1]);
    const { job_id } = await client.submit("puppet", 2, { max_runtime_sec: 10 });
    clock.advance(60_000);
    await settle();
    (await puppet.next()).finish();
    await client.ended(first as string);
    const run = await puppet.next();
    clock.advance(9_999);
    await settle();
    expect(run.context.signal.aborted).toBe(false);
    clock.advance(1);
    expect((await client.ended(job_id as string)).payload).toMatchObject({
      code: "TIMEOUT",
      final_status: "timed_out",
    });
    run.finish();
  });

  test("is not begun when its lease is over by then", async () => {
    const clock = new ManualClock();
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 }, clock });
    await using _ = harness;
    const client = await harness.rawSession(QUIET_FEATURES);
    const [first] = await submitAll(client, [1]);
    const expires_at = new Date(clock.now() + 5_000).toISOString();
    const { job_id } = await client.submit("puppet", 2, {
      lease_request: { "tool.call": ["x"] },
      lease_constraints: { expires_at },
    });
    clock.advance(6_000);
    (await puppet.next()).finish();
    await client.ended(first as string);
    expect((await client.ended(job_id as string)).payload).toMatchObject({ code: "LEASE_EXPIRED" });
    expect(puppet.runs).toHaveLength(1);
  });
});

describe("too many that wait", () => {
  test("are refused with when to come back, per principal and in all", async () => {
    const concurrency = { jobs: 1, maxWaiting: 3, maxWaitingPerPrincipal: 2 };
    const { puppet, harness } = withPuppet({ concurrency });
    await using _ = harness;
    const alice = await harness.rawSession();
    const ids = await submitAll(alice, [1, 2, 3]);
    const refused = await alice.submit("puppet", 4);
    expect(refused.payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { limit: "maxWaitingPerPrincipal", max: 2, retry: "after_capacity", retry_after_seconds: 5 },
    });
    const bob = await harness.rawSession(undefined, "bob");
    const his = await submitAll(bob, [5]);
    expect((await bob.submit("puppet", 6)).payload.details).toMatchObject({ limit: "maxWaiting", max: 3 });
    for (let left = 4; left > 0; left -= 1) (await puppet.next()).finish();
    for (const id of ids) await alice.ended(id);
    for (const id of his) await bob.ended(id);
  });

  test("are refused on wire 1.0 with RESOURCE_EXHAUSTED", async () => {
    covers("V10-18.2-01");
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1, maxWaiting: 0 } });
    await using _ = harness;
    const client = await harness.rawSession10();
    const accepted = await client.invoke("puppet", 1);
    const refused = await client.invoke("puppet", 2);
    expect(refused.payload).toMatchObject({ code: "RESOURCE_EXHAUSTED", retryable: true });
    (await puppet.next()).finish();
    await client.ending(accepted.job_id);
  });

  test("of an agent that has a cap of its own let others pass", async () => {
    const puppet = new Puppet();
    const echo = new Puppet();
    await using harness = startHarness({ agents: { echo: echo.handler } });
    harness.server.registerAgent("gpu", puppet.handler, { concurrency: 1 });
    const client = await harness.rawSession();
    const onGpu = await submitAll(client, [1, 2], "gpu");
    const [quick] = await submitAll(client, [3], "echo");
    (await echo.next()).finish("passed");
    expect((await client.ended(quick as string)).payload).toMatchObject({ result: "passed" });
    expect((await statuses(client))[onGpu[1] as string]).toBe("pending");
    for (const id of onGpu) {
      (await puppet.next()).finish();
      await client.ended(id);
    }
  });
});

test("principals take turns, however much one of them has submitted", async () => {
  const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
  await using _ = harness;
  const alice = await harness.rawSession();
  const bob = await harness.rawSession(undefined, "bob");
  const hers = await submitAll(alice, ["a1", "a2", "a3", "a4"]);
  const his = await submitAll(bob, ["b1", "b2"]);
  const places = (await bob.listJobs()).map(({ [PLACE]: place }) => place);
  expect(places).toEqual([
    { position: 2, length: 5 },
    { position: 4, length: 5 },
  ]);
  for (let left = 6; left > 0; left -= 1) (await puppet.next()).finish();
  for (const id of hers) await alice.ended(id);
  for (const id of his) await bob.ended(id);
  expect(puppet.runs.map(({ input }) => input)).toEqual(["a1", "a2", "b1", "a3", "b2", "a4"]);
});

test("a place tells nothing of others' jobs where those are hidden", async () => {
  covers("V11-6.6-12");
  const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 }, hideForeignJobs: true });
  await using _ = harness;
  const alice = await harness.rawSession();
  const bob = await harness.rawSession(undefined, "bob");
  const hers = await submitAll(alice, ["a1", "a2", "a3"]);
  const his = await submitAll(bob, ["b1"]);
  expect((await bob.listJobs()).map(({ [PLACE]: place }) => place)).toEqual([{ position: 1, length: 1 }]);
  expect((await alice.listJobs()).at(-1)?.[PLACE]).toEqual({ position: 2, length: 2 });
  for (let left = 4; left > 0; left -= 1) (await puppet.next()).finish();
  for (const id of hers) await alice.ended(id);
  for (const id of his) await bob.ended(id);
});

test("one principal's jobs leave room for others", async () => {
  const { puppet, harness } = withPuppet({ concurrency: { perPrincipal: 1 } });
  await using _ = harness;
  const alice = await harness.rawSession();
  const bob = await harness.rawSession(undefined, "bob");
  const hers = await submitAll(alice, ["a1", "a2"]);
  const his = await submitAll(bob, ["b1"]);
  await settle();
  expect(puppet.runs.map(({ input }) => input)).toEqual(["a1", "b1"]);
  for (let left = 3; left > 0; left -= 1) (await puppet.next()).finish();
  for (const id of hers) await alice.ended(id);
  for (const id of his) await bob.ended(id);
});

describe("on wire 1.0 a job that waits", () => {
  test("is queued in its signs of life and in listings, and starts when it begins", async () => {
    covers("V10-10.2-01", "V10-10.2-02");
    const clock = new ManualClock();
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 }, clock });
    await using _ = harness;
    const client = await harness.rawSession10("alice", { capabilities: { heartbeat_interval_seconds: 30 } });
    const first = await client.invoke("puppet", 1);
    const second = await client.invoke("puppet", 2);
    await client.fence();
    expect(client.ofJob(second.job_id).map(({ type }) => type)).toEqual(["job.accepted", "event.emit"]);
    const listed = await client.ask("session.list_jobs");
    expect(listed.payload.jobs.map(({ status, [PLACE]: place }: never) => [status, place])).toEqual([
      ["running", undefined],
      ["queued", { position: 1, length: 1 }],
    ]);
    clock.advance(30_000);
    await client.fence();
    const states = client.ofType("job.heartbeat").map(({ job_id, payload }) => [job_id, payload.state]);
    expect(states).toEqual([
      [first.job_id, "running"],
      [second.job_id, "queued"],
    ]);
    (await puppet.next()).finish();
    (await puppet.next()).finish();
    await client.ending(second.job_id);
    const types = client.ofJob(second.job_id).map(({ type }) => type);
    expect(types.indexOf("job.started")).toBeGreaterThan(types.indexOf("event.emit"));
    expect(types.filter((type) => type === "job.started")).toHaveLength(1);
  });

  test("says how long it was queued", async () => {
    covers("V10-17.3.1-03");
    const clock = new ManualClock();
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 }, clock });
    await using _ = harness;
    const client = await harness.rawSession10();
    const first = await client.invoke("puppet", 1);
    const second = await client.invoke("puppet", 2);
    await client.fence();
    clock.advance(7_000);
    (await puppet.next()).finish();
    await client.ending(first.job_id);
    const run = await puppet.next();
    clock.advance(1_000);
    run.finish();
    await client.ending(second.job_id);
    const latencies = client
      .ofType("metric")
      .filter(({ job_id, payload }) => job_id === second.job_id && payload.name === "latency.ms")
      .map(({ payload }) => [payload.dims.phase, payload.value]);
    expect(latencies).toEqual([
      ["queue", 7_000],
      ["exec", 1_000],
      ["total", 8_000],
    ]);
  });

  test("and was submitted over wire 1.1 is shown to have begun once", async () => {
    const { puppet, harness } = withPuppet({ concurrency: { jobs: 1 } });
    await using _ = harness;
    const client = await harness.rawSession();
    const [first, second] = await submitAll(client, [1, 2]);
    (await puppet.next()).finish();
    (await puppet.next()).finish();
    await client.ended(first as string);
    await client.ended(second as string);
    const observer = await harness.rawSession10();
    await observer.ask("job.subscribe", { job_id: second, history: true });
    await observer.ending(second);
    const types = observer.ofJob(second).map(({ type }) => type);
    expect(types).toEqual(["job.subscribed", "job.accepted", "event.emit", "job.started", "job.completed"]);
  });
});
