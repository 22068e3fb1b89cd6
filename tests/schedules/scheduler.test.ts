/** What is scheduled runs (RFC §10.6): once each, in order, over restarts and changes of the clock. */
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { DAY, HOUR, MINUTE, NOW, SECOND, World } from "./world.ts";

const HOURLY = { every: "FREQ=HOURLY" };

test("at runs once at that time, after once with that delay, every as often as its rule says", async () => {
  covers("V10-10.6-03");
  await using world = await World.begin();
  world.schedule({ at: "2026-01-01T13:00:00Z" }, { id: "at" });
  world.schedule({ after: 90 }, { id: "after" });
  world.schedule({ every: "FREQ=HOURLY;COUNT=3" }, { id: "every" });
  await world.pass(90 * SECOND - 1, 30 * SECOND);
  expect(world.occurrences("after")).toEqual([]);
  await world.pass(1);
  await world.pass(HOUR - 2 * MINUTE, 30 * SECOND);
  expect(world.occurrences("after")).toEqual([90 * SECOND]);
  expect(world.occurrences("at")).toEqual([]);
  await world.pass(6 * HOUR, 30 * SECOND);
  expect(world.occurrences("at")).toEqual([HOUR]);
  expect(world.occurrences("after")).toEqual([90 * SECOND]);
  expect(world.occurrences("every")).toEqual([0, HOUR, 2 * HOUR]);
  // Each on the dot.
  for (const { at, occurrenceAt } of world.runs) expect(at).toBe(occurrenceAt);
  // What has ended leaves nothing behind.
  expect(world.scheduler.list("alice")).toEqual([]);
  expect(await world.storedSchedules()).toEqual([]);
  expect(world.clock.pending).toBe(0);
});

test("a rule with exceptions in a zone runs when its clocks say so", async () => {
  await using world = await World.begin();
  const every = "DTSTART;TZID=Europe/Berlin:20260328T090000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260330T070000Z";
  world.schedule({ every });
  await world.pass(100 * DAY, HOUR);
  expect(world.occurrences().map((ms) => new Date(NOW + ms).toISOString())).toEqual([
    ...["2026-03-28T08:00:00.000Z", "2026-03-29T07:00:00.000Z"],
  ]);
});

test("what lies further ahead than timers reach is waited for", async () => {
  await using world = await World.begin();
  world.schedule({ after: 60 * 86_400 });
  await world.pass(60 * DAY - 1, HOUR);
  expect(world.runs).toEqual([]);
  await world.pass(1);
  expect(world.occurrences()).toEqual([60 * DAY]);
});

test("what is due at once is run in the order in which it became due", async () => {
  await using world = await World.begin();
  for (let index = 0; index < 40; index += 1) {
    world.schedule({ after: 1000 - index * 10 }, { id: `after ${index}`, principal: `principal ${index % 7}` });
  }
  world.sleep(DAY);
  await world.pass(MINUTE);
  const occurrences = world.runs.map(({ occurrenceAt }) => occurrenceAt);
  expect(occurrences).toHaveLength(40);
  expect(occurrences).toEqual(occurrences.toSorted((a, b) => a - b));
});

test("the job is what was asked for, and the principal its owner", async () => {
  const seen: unknown[] = [];
  await using world = await World.begin({
    fire: (schedule, occurrenceAt, advance) => {
      seen.push([schedule.principal, schedule.job, occurrenceAt - NOW]);
      return world.startRun(schedule, occurrenceAt, advance);
    },
  });
  const job = { type: "tool.invoke", payload: { tool: "report" } };
  const given = structuredClone(job);
  world.schedule({ after: 1 }, { principal: "bob", job: given });
  given.payload.tool = "another";
  await world.pass(MINUTE);
  expect(seen).toEqual([["bob", job, SECOND]]);
});

test("after a restart a schedule goes on, and what has passed is run once", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.pass(90 * MINUTE);
  expect(world.occurrences()).toEqual([0, HOUR]);
  await world.close();
  world.sleep(5 * HOUR);
  expect(world.occurrences()).toEqual([0, HOUR]);
  await world.restart();
  // It is half past six: the run of two o'clock is made up for, those from three to six are not.
  expect(world.occurrences()).toEqual([0, HOUR, 2 * HOUR]);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ runs: 3, skipped: 4, nextAt: NOW + 7 * HOUR });
  await world.pass(HOUR);
  expect(world.occurrences()).toEqual([0, HOUR, 2 * HOUR, 7 * HOUR]);
});

test("what passed during years is not counted one by one", async () => {
  await using world = await World.begin();
  world.schedule({ every: "FREQ=MINUTELY" });
  world.sleep(3 * 365 * DAY + 30 * SECOND);
  await world.pass(MINUTE);
  const schedule = world.scheduler.find("daily", "alice");
  expect(schedule).toMatchObject({ runs: 2, skipped: 1000, nextAt: world.clock.now() + 30 * SECOND });
});

test("a single run that was missed is made up for, and COUNT counts what was skipped", async () => {
  await using world = await World.begin();
  world.schedule({ at: "2026-01-01T13:00:00Z" }, { id: "at" });
  world.schedule({ every: "FREQ=HOURLY;COUNT=4" }, { id: "every" });
  await world.settled();
  world.sleep(150 * MINUTE);
  await world.restart();
  await world.pass(10 * HOUR);
  expect(world.occurrences("at")).toEqual([HOUR]);
  expect(world.occurrences("every")).toEqual([0, HOUR, 3 * HOUR]);
});

test("a wall clock that is put forward is noticed within a minute, one that is put back repeats nothing", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.pass(10 * MINUTE);
  world.clock.jump(DAY);
  await world.pass(MINUTE);
  expect(world.occurrences()).toEqual([0, HOUR]);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ skipped: 23, nextAt: NOW + 25 * HOUR });
  world.clock.jump(-DAY);
  await world.pass(DAY);
  expect(world.occurrences()).toEqual([0, HOUR]);
  await world.pass(HOUR);
  expect(world.occurrences()).toEqual([0, HOUR, 25 * HOUR]);
});

test("a delay is no longer than it was, whatever is done to the wall clock", async () => {
  await using world = await World.begin();
  world.schedule({ after: 600 }, { id: "after" });
  world.schedule({ at: "2026-01-01T12:10:00Z" }, { id: "at" });
  world.clock.jump(-DAY);
  await world.pass(10 * MINUTE);
  expect(world.runs).toMatchObject([{ scheduleId: "after", occurrenceAt: 10 * MINUTE }]);
  await world.pass(DAY);
  expect(world.runs).toHaveLength(2);
});

test("an occurrence is skipped while the run before it lives", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY, { id: "skip" });
  world.schedule(HOURLY, { id: "allow", overlap: "allow" });
  await world.settled();
  for (const { id } of world.runs) world.living.add(id);
  await world.pass(2 * HOUR);
  expect(world.occurrences("skip")).toEqual([0]);
  expect(world.occurrences("allow")).toEqual([0, HOUR, 2 * HOUR]);
  expect(world.scheduler.find("skip", "alice")).toMatchObject({ runs: 1, skipped: 2, failed: 0 });
  // What is stored knows the run that may still live.
  await world.restart();
  world.living.add(world.scheduler.find("skip", "alice")?.lastRunId ?? "");
  await world.pass(HOUR);
  world.living.clear();
  await world.pass(HOUR);
  expect(world.occurrences("skip")).toEqual([0, 4 * HOUR]);
});

test("a crash undoes a run and the record that has moved on, or neither", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.settled();
  world.commits = "when told";
  await world.pass(HOUR);
  expect(world.runs).toMatchObject([{ id: "run 1" }, { id: "run 2", occurrenceAt: HOUR }]);
  await world.crash();
  await world.settled();
  // It runs again because it never did.
  expect(world.runs).toMatchObject([{ id: "run 1" }, { id: "run 3", occurrenceAt: HOUR }]);
  await world.commit();
  await world.crash();
  await world.pass(MINUTE);
  expect(world.occurrences()).toEqual([0, HOUR]);
  expect(await world.storedRuns()).toEqual(world.runs.map(({ id }) => id).sort());
});

test("an occurrence is run while the one before it is not yet durable, but not of the same schedule", async () => {
  await using world = await World.begin();
  world.commits = "when told";
  world.schedule({ every: "FREQ=MINUTELY" }, { id: "slow", overlap: "allow" });
  await world.pass(3 * MINUTE);
  expect(world.occurrences("slow")).toEqual([0]);
  world.schedule({ after: 1 }, { id: "other" });
  await world.pass(SECOND);
  expect(world.occurrences("other")).toEqual([3 * MINUTE + SECOND]);
  world.commits = "at once";
  await world.settled();
  expect(world.occurrences("slow")).toEqual([0, MINUTE]);
  await world.pass(MINUTE);
  expect(world.occurrences("slow")).toEqual([0, MINUTE, 4 * MINUTE]);
});

test("many that are due at once are begun a few at a time", async () => {
  await using world = await World.begin();
  world.commits = "when told";
  for (let index = 0; index < 40; index += 1) world.schedule({ after: 1 }, { id: `after ${index}` });
  await world.pass(MINUTE);
  expect(world.runs).toHaveLength(16);
  await world.commit();
  await world.settled();
  expect(world.runs).toHaveLength(32);
  world.commits = "at once";
  await world.settled();
  expect(world.runs).toHaveLength(40);
});

test("a run that cannot be started counts as failed, one that is declined as skipped, and both are over", async () => {
  let outcome: "start" | "fail" | "decline" | "fail late" = "fail";
  await using world = await World.begin({
    fire: async (schedule, occurrenceAt, advance) => {
      if (outcome === "fail") throw new Error("no such tool");
      if (outcome === "decline") return;
      const started = world.startRun(schedule, occurrenceAt, advance);
      if (outcome === "fail late") throw new Error("after all");
      await started;
    },
  });
  world.schedule(HOURLY);
  await world.settled();
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ runs: 0, skipped: 0, failed: 1 });
  outcome = "decline";
  await world.pass(HOUR);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ runs: 0, skipped: 1, failed: 1 });
  outcome = "fail late";
  await world.pass(HOUR);
  await world.restart();
  outcome = "start";
  await world.pass(HOUR);
  expect(world.occurrences()).toEqual([2 * HOUR, 3 * HOUR]);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ runs: 2, skipped: 1, failed: 1 });
  expect(world.warnings).toHaveLength(2);
});

test("a cancelled schedule runs no more, also after a restart", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.pass(HOUR);
  expect(world.scheduler.cancel("daily", "mallory")).toBe(false);
  expect(world.scheduler.cancel("nothing", "alice")).toBe(false);
  expect(world.scheduler.cancel("daily", "alice")).toBe(true);
  expect(world.scheduler.cancel("daily", "alice")).toBe(false);
  expect(world.clock.pending).toBe(0);
  await world.pass(DAY);
  await world.restart();
  await world.pass(DAY);
  expect(world.occurrences()).toEqual([0, HOUR]);
});

test("a schedule that is cancelled while its run is being started starts none", async () => {
  const held = Promise.withResolvers<void>();
  await using world = await World.begin({
    fire: async (schedule, occurrenceAt, advance) => {
      await held.promise;
      await world.startRun(schedule, occurrenceAt, advance);
    },
  });
  world.schedule(HOURLY);
  await world.settled();
  expect(world.scheduler.cancel("daily", "alice")).toBe(true);
  held.resolve();
  await world.settled();
  expect(world.runs).toEqual([]);
  expect(world.warnings).toEqual([expect.stringContaining("the schedule was cancelled")]);
  expect(await world.storedSchedules()).toEqual([]);
});

test("a paused schedule waits, and makes up for one run when it goes on", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.pass(MINUTE);
  expect(world.scheduler.pause("daily", "mallory")).toBe(false);
  expect(world.scheduler.pause("daily", "alice")).toBe(true);
  expect(world.scheduler.pause("daily", "alice")).toBe(true);
  await world.pass(DAY);
  await world.restart();
  await world.pass(DAY);
  expect(world.occurrences()).toEqual([0]);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ isPaused: true, skipped: 0 });
  expect(world.scheduler.resume("daily", "mallory")).toBe(false);
  expect(world.scheduler.resume("daily", "alice")).toBe(true);
  await world.pass(HOUR);
  expect(world.occurrences()).toEqual([0, HOUR, 49 * HOUR]);
  expect(world.scheduler.find("daily", "alice")).toMatchObject({ isPaused: false, skipped: 47 });
});

test("so many schedules a principal may have, and so many all together; and so large may a job be", async () => {
  const limits = { maxSchedulesPerPrincipal: 2, maxSchedules: 3, maxScheduledJobBytes: 100, minIntervalSec: 3600 };
  await using world = await World.begin({ limits });
  const refusal = (run: () => unknown): unknown => {
    try {
      return run();
    } catch (error) {
      return (error as { details: unknown }).details;
    }
  };
  world.schedule({ after: 1 }, { id: "a1" });
  world.schedule({ after: 100 }, { id: "a2" });
  expect(refusal(() => world.schedule({ after: 1 }, { id: "a3" }))).toMatchObject({
    limit: "maxSchedulesPerPrincipal",
  });
  world.schedule({ after: 100 }, { id: "b1", principal: "bob" });
  expect(refusal(() => world.schedule({ after: 1 }, { id: "b2", principal: "bob" }))).toMatchObject({
    limit: "maxSchedules",
  });
  // One that has ended makes room.
  await world.pass(MINUTE);
  const large = { id: "a3", job: "ü".repeat(50) };
  expect(refusal(() => world.schedule({ after: 1 }, large))).toMatchObject({ limit: "maxScheduledJobBytes" });
  expect(refusal(() => world.schedule({ every: "FREQ=MINUTELY" }, { id: "a3" }))).toMatchObject({ path: "when.every" });
  world.schedule({ after: 100 }, { id: "a3" });
  expect(world.scheduler.list("alice").map(({ id }) => id)).toEqual(["a2", "a3"]);
  expect(world.scheduler.list("mallory")).toEqual([]);
  expect(world.scheduler.find("b1", "alice")).toBeUndefined();
});

test("more than a page of schedules is found again", async () => {
  await using world = await World.begin({ limits: { maxSchedulesPerPrincipal: 1000 } });
  for (let index = 0; index < 600; index += 1) world.schedule({ after: 3600 }, { id: `after ${index}` });
  await world.restart();
  expect(world.scheduler.list("alice")).toHaveLength(600);
  await world.pass(HOUR);
  expect(world.runs).toHaveLength(600);
});

test("a record that cannot be read stops nobody else", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  await world.settled();
  const [record] = await world.storedSchedules();
  if (record === undefined) throw new Error("nothing is stored");
  const broken = [null, '{"when":{}}', "[]"].map((data, index) => ({
    ...record,
    id: `broken ${index}`,
    data: data ?? '"x"',
  }));
  const { store } = world;
  await store.commit({
    ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
    ...{ follows: [], audit: [], credentials: [], records: broken },
  });
  await world.restart();
  expect(world.errors.splice(0)).toHaveLength(3);
  await world.pass(HOUR);
  expect(world.occurrences()).toEqual([0, HOUR]);
  expect(await world.storedSchedules()).toHaveLength(4);
});

test("nothing is scheduled before the start or after the end", async () => {
  await using world = await World.begin();
  world.schedule(HOURLY);
  expect(() => world.schedule(HOURLY)).toThrow("there is a schedule");
  await world.settled();
  await world.scheduler.close();
  expect(() => world.schedule(HOURLY, { id: "late" })).toThrow("closed");
  await world.pass(DAY);
  expect(world.occurrences()).toEqual([0]);
  await world.scheduler.close();
});
