/** Work that is asked for now and done later (RFC §10.6), over the wire. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JobContext, sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";

const HOUR_MS = 3_600_000;
const quiet = { capabilities: { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 } };
const echo = { type: "tool.invoke", payload: { tool: "echo", arguments: { n: 1 } } };

const schedule = (client: RawClient10, when: object) => client.ask("job.schedule", { job: echo, when });
/** Jobs that a schedule has made. */
const runsOf = (client: RawClient10, scheduleId: string | undefined) =>
  client.ofType("job.completed").filter(({ causation_id }) => causation_id === scheduleId);

/** Time passes, and what is due takes place. */
async function pass(clock: ManualClock, client: RawClient10, ms: number): Promise<void> {
  clock.advance(ms);
  await settle();
  await client.fence();
  await settle();
}

describe("job.schedule", () => {
  test.each([
    ["at", (now: number) => ({ at: new Date(now + 90_000).toISOString() })],
    ["after", () => ({ after: 90 })],
  ])("%s runs once, at its time, as a job of its own", async (_form, whenOf) => {
    covers("V10-10.6-01", "V10-10.6-03", "V10-4.3-03");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { clock } });
    const client = await harness.rawSession10("alice", quiet);
    const accepted = await schedule(client, whenOf(clock.now()));
    expect(accepted).toMatchObject({ type: "job.accepted", payload: { state: "queued" } });
    expect(Date.parse(accepted.payload.schedule.next_at)).toBe(clock.now() + 90_000);
    await pass(clock, client, 89_999);
    expect(client.ofType("job.started")).toEqual([]);
    await pass(clock, client, 1);
    const [run] = runsOf(client, accepted.job_id);
    expect(run).toMatchObject({ type: "job.completed", payload: { value: { n: 1 } } });
    expect(run?.job_id).not.toBe(accepted.job_id);
    await pass(clock, client, 86_400_000);
    expect(runsOf(client, accepted.job_id)).toHaveLength(1);
  });

  test("one key is one schedule, over connections and restarts, and also when it is over", async () => {
    covers("V10-6.4-03");
    const clock = new ManualClock();
    const directory = await mkdtemp(join(tmpdir(), "arcp-schedule-"));
    const options = { agents: { echo: (input: unknown) => input } };
    const start = () =>
      startHarness({ ...options, server: { clock, eventLog: sqliteStore({ path: join(directory, "runtime.db") }) } });
    const ask = (client: RawClient10, when: object) =>
      client.ask("job.schedule", { job: echo, when }, { idempotency_key: "nightly" });
    const before = start();
    const first = await before.rawSession10("alice", quiet);
    const second = await before.rawSession10("alice", quiet);
    const answers = await Promise.all([
      ask(first, { after: 90 }),
      ask(second, { after: 90 }),
      ask(first, { after: 90 }),
    ]);
    const ids = new Set(answers.map(({ job_id }) => job_id));
    expect(ids.size).toBe(1);
    const others = await before.rawSession10("mallory", quiet);
    expect(ids.has((await ask(others, { after: 90 })).job_id)).toBe(false);
    expect(await ask(first, { after: 91 })).toMatchObject({ type: "nack", payload: { code: "ALREADY_EXISTS" } });
    await before.server.close();
    await before.server.eventLog.close();
    await using harness = start();
    const client = await harness.rawSession10("alice", quiet);
    const again = await ask(client, { after: 90 });
    expect(again).toMatchObject({ type: "job.accepted", job_id: answers[0]?.job_id, payload: { state: "queued" } });
    await pass(clock, client, 90_000);
    const over = await ask(client, { after: 90 });
    expect(over).toMatchObject({ type: "job.accepted", job_id: answers[0]?.job_id, payload: { state: "completed" } });
    await rm(directory, { recursive: true });
  });

  test("every follows its rule to the end", async () => {
    covers("V10-10.6-03");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { clock } });
    const client = await harness.rawSession10("alice", quiet);
    const { job_id } = await schedule(client, { every: "FREQ=HOURLY;COUNT=3" });
    // The first is at acceptance (RFC 5545: the start counts).
    await pass(clock, client, 1);
    expect(runsOf(client, job_id)).toHaveLength(1);
    for (let hour = 0; hour < 6; hour += 1) await pass(clock, client, 3_600_000);
    expect(runsOf(client, job_id)).toHaveLength(3);
  });

  test("is over when it is cancelled, by whom it belongs to", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { clock } });
    const client = await harness.rawSession10("alice", quiet);
    const { job_id } = await schedule(client, { every: "FREQ=HOURLY" });
    const cancel = { target: "job", target_id: job_id };
    const other = await harness.rawSession10("bob", quiet);
    expect((await other.ask("cancel", cancel)).payload.reason).toBe("not_found");
    expect((await client.ask("cancel", cancel)).type).toBe("cancel.accepted");
    expect((await client.ending(job_id)).type).toBe("job.cancelled");
    await pass(clock, client, 7_200_000);
    expect(client.ofType("job.started")).toEqual([]);
    expect((await client.ask("cancel", cancel)).type).toBe("cancel.refused");
  });

  test.each([
    ["two times", { at: "2099-01-01T00:00:00Z", after: 1 }],
    ["no time", {}],
    ["a time that has passed", { at: "2001-01-01T00:00:00Z" }],
    ["a rule that is none", { every: "FREQ=SOMETIMES" }],
    ["a rule that explodes", { every: "FREQ=SECONDLY" }],
  ])("with %s is refused", async (_what, when) => {
    covers("V10-10.6-02");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession10();
    expect(await schedule(client, when)).toMatchObject({ type: "nack", payload: { code: "INVALID_ARGUMENT" } });
  });

  test("of a tool that is not there is refused, and without the capability too", async () => {
    covers("V10-10.6-04");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    expect((await schedule(client, { after: 60 })).payload.code).toBe("NOT_FOUND");
    const plain = await harness.rawSession10("alice", { capabilities: {} });
    expect((await schedule(plain, { after: 60 })).payload.code).toBe("UNIMPLEMENTED");
  });

  test("outlives the connection, and the runtime", async () => {
    covers("V10-4.3-03");
    const directory = await mkdtemp(join(tmpdir(), "arcp-schedules-"));
    const clock = new ManualClock();
    let runs = 0;
    const agents = {
      echo: () => {
        runs += 1;
      },
    };
    try {
      for (const phase of ["before", "after"]) {
        const eventLog = sqliteStore({ path: join(directory, "runtime.db") });
        const harness = startHarness({ agents, server: { clock, eventLog } });
        const client = await harness.rawSession10("alice", quiet);
        if (phase === "before") await schedule(client, { after: 600 });
        else await pass(clock, client, 600_000);
        await harness[Symbol.asyncDispose]();
        await eventLog.close();
      }
      expect(runs).toBe(1);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("an agent knows which time it runs for, also when that is past, and when it is called again", async () => {
    const directory = await mkdtemp(join(tmpdir(), "arcp-scheduled-for-"));
    const clock = new ManualClock(Date.UTC(2026, 0, 1));
    let called = Promise.withResolvers<string | undefined>();
    const nextCall = async (): Promise<string | undefined> => {
      const time = await called.promise;
      called = Promise.withResolvers();
      return time;
    };
    let isFirst = true;
    const live = async (act: (client: RawClient10) => Promise<unknown>): Promise<void> => {
      const eventLog = sqliteStore({ path: join(directory, "runtime.db") });
      const harness = startHarness({ server: { clock, eventLog } });
      const agent = async (_input: unknown, { scheduledFor }: JobContext) => {
        called.resolve(scheduledFor);
        const isInterrupted = isFirst;
        isFirst = false;
        if (isInterrupted) await new Promise<never>(() => {});
      };
      harness.server.registerAgent("echo", agent, { durable: true });
      await act(await harness.rawSession10("alice", quiet));
      await harness[Symbol.asyncDispose]();
      await eventLog.close();
    };
    try {
      await live((client) => schedule(client, { every: "FREQ=DAILY;BYHOUR=2;BYMINUTE=0" }));
      clock.advance(34 * HOUR_MS);
      await live(async () => expect(await nextCall()).toBe("2026-01-01T02:00:00.000Z"));
      await live(async (client) => {
        expect(await nextCall()).toBe("2026-01-01T02:00:00.000Z");
        await client.invoke("echo");
        expect(await nextCall()).toBeUndefined();
      });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
