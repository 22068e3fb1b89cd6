import { type JobId, newJobId, newTraceId, type SessionId } from "@arcp/core";
import { type JobRecord, sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type HarnessOptions, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import type { Frame, RawClient } from "../support/raw-client.ts";

const list = async (client: RawClient, payload: object = {}): Promise<Frame> =>
  client.reply(client.send("session.list_jobs", payload));

const idsOf = ({ payload }: Frame): readonly string[] => payload.jobs.map(({ job_id }: { job_id: string }) => job_id);

const agents: NonNullable<HarnessOptions["agents"]> = {
  echo: (input) => input,
  failing: () => {
    throw new Error("no");
  },
};

/** Submits a job of `agent` and waits for its end. */
async function ended(client: RawClient, agent: string): Promise<string> {
  const id = client.send("job.submit", { agent, input: 1 });
  const accepted = await client.sees(({ correlation_id }) => correlation_id === id);
  const jobId = accepted.job_id as string;
  await client.sees(({ type, job_id }) => job_id === jobId && (type === "job.result" || type === "job.error"));
  return jobId;
}

/** All pages of a listing, and whether each but the last was full. */
async function paged(client: RawClient, limit: number, filter: object = {}): Promise<readonly (readonly string[])[]> {
  const pages: (readonly string[])[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: Frame = await list(client, { filter, limit, cursor });
    pages.push(idsOf(page));
    cursor = page.payload.next_cursor;
    if (cursor === null) return pages;
  }
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("several requests at once are each answered, under their own ids", async () => {
    covers("V11-6.6-01", "V11-6.6-02", "V11-6.6-03");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.rawSession();
    const empty = await list(client);
    expect(empty.type).toBe("session.jobs");
    expect(empty.payload).toMatchObject({ jobs: [], next_cursor: null });
    expect(empty).not.toHaveProperty("event_seq");
    const [good, bad] = [await ended(client, "echo"), await ended(client, "failing")];
    const requests = [
      client.send("session.list_jobs", {}),
      client.send("session.list_jobs", { filter: { status: ["success"] } }),
      client.send("session.list_jobs", { filter: { agent: "failing" } }),
      client.send("session.list_jobs", { limit: 1 }),
    ];
    const replies = await Promise.all(
      requests.map(async (id) => client.sees(({ payload }) => payload.request_id === id)),
    );
    expect(replies.map(({ type }) => type)).toEqual(Array(4).fill("session.jobs"));
    expect(replies.map(idsOf)).toEqual([[good, bad], [good], [bad], [good]]);
    expect(replies.map(({ payload }) => payload.next_cursor === null)).toEqual([true, true, true, false]);
  });
});

describe("an entry of the list", () => {
  test("says what the job is and how far it has got", async () => {
    covers("V11-6.6-04");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ server: { clock } });
    harness.server.registerAgent("puppet@2.1.0", puppet.handler);
    const client = await harness.rawSession();
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const lease = { "fs.read": ["/workspace/**"], "cost.budget": ["USD:5.00"] };
    const { job_id } = await client.submit("puppet", 1, { lease_request: lease }, { trace_id });
    const run = await puppet.next();
    const created_at = new Date(clock.now()).toISOString();
    clock.advance(1_000);
    await emitLogs(run, 3);
    const entry = { job_id, agent: "puppet@2.1.0", lease, parent_job_id: null, created_at, trace_id };
    expect((await list(client)).payload.jobs).toEqual([{ ...entry, status: "running", last_event_seq: 3 }]);
    run.finish();
    await run.context.flush();
    expect((await list(client)).payload.jobs).toEqual([{ ...entry, status: "success", last_event_seq: 4 }]);
  });

  test("names the job that it was delegated by", async () => {
    covers("V11-6.6-04");
    const parent = newJobId();
    const record = (id: JobId, parentJobId: JobId | null): JobRecord => ({
      ...{ id, sessionId: "sess_gone" as SessionId, principal: "alice", agent: "worker", agentVersion: "1.0.0" },
      ...{ status: "success", createdAt: 1_000, endedAt: 2_000, lease: {}, leaseConstraints: null, parentJobId },
      ...{ delegateId: null, traceId: newTraceId(), accepted: "{}", budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
    });
    const child = newJobId();
    const store = sqliteStore();
    const nothing = { sessions: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() };
    const jobs = [record(parent, null), record(child, parent)];
    await store.commit({ ...nothing, jobs, follows: [], audit: [], credentials: [], records: [] });
    {
      await using harness = startHarness({ server: { eventLog: store } });
      const { payload } = await list(await harness.rawSession());
      expect(payload.jobs).toMatchObject([
        { job_id: parent, parent_job_id: null, agent: "worker@1.0.0", status: "success" },
        { job_id: child, parent_job_id: parent, agent: "worker@1.0.0", status: "success" },
      ]);
    }
    await store.close();
  });
});

describe("a filter", () => {
  test("that is empty, or has empty members, restricts nothing", async () => {
    covers("V11-6.6-05");
    await using harness = startHarness({ agents });
    const client = await harness.rawSession();
    const all = [await ended(client, "echo"), await ended(client, "failing"), await ended(client, "echo")];
    const nulls = { status: null, agent: null, created_after: null };
    for (const payload of [{}, { filter: {} }, { filter: null }, { filter: nulls, limit: null, cursor: null }]) {
      expect(idsOf(await list(client, payload))).toEqual(all);
    }
    expect(idsOf(await list(client, { filter: { status: ["error"] } }))).toEqual([all[1]]);
    expect(idsOf(await list(client, { filter: { agent: "echo" } }))).toEqual([all[0], all[2]]);
    expect(idsOf(await list(client, { filter: { created_after: "2001-01-01T00:00:00Z" } }))).toEqual(all);
  });

  test("by status keeps the jobs in one of the statuses", async () => {
    covers("V11-6.6-06");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { ...agents, puppet: puppet.handler } });
    const client = await harness.rawSession();
    const [success, error] = [await ended(client, "echo"), await ended(client, "failing")];
    const running = (await client.submit("puppet")).job_id as string;
    await puppet.next();
    const cancelled = (await client.submit("puppet")).job_id as string;
    const run = await puppet.next();
    client.send("job.cancel", {}, { job_id: cancelled });
    await client.next("job.cancelled");
    run.finish();
    await client.ended(cancelled);
    const expected: readonly (readonly [readonly string[], readonly string[]])[] = [
      [["running"], [running]],
      [["success"], [success]],
      [
        ["running", "success"],
        [success, running],
      ],
      [
        ["error", "cancelled"],
        [error, cancelled],
      ],
      [["pending", "timed_out"], []],
      [[], []],
    ];
    for (const [status, ids] of expected) {
      expect(idsOf(await list(client, { filter: { status } })).toSorted()).toEqual(ids.toSorted());
    }
  });

  test("by agent keeps all versions of a bare name, and no longer names", async () => {
    covers("V11-6.6-07");
    await using harness = startHarness();
    for (const reference of ["a@1", "a@2", "ab@1"]) harness.server.registerAgent(reference, () => null);
    const client = await harness.rawSession();
    const [one, two, other] = [await ended(client, "a@1"), await ended(client, "a@2"), await ended(client, "ab")];
    const expected = { a: [one, two], "a@1": [one], "a@2": [two], ab: [other], "a@3": [], b: [] };
    for (const [agent, ids] of Object.entries(expected)) {
      expect(idsOf(await list(client, { filter: { agent } })), agent).toEqual(ids);
    }
  });

  test("by time keeps the jobs created later than that instant", async () => {
    covers("V11-6.6-08");
    const clock = new ManualClock(Date.UTC(2026, 4, 13, 12, 0, 0));
    await using harness = startHarness({ agents, server: { clock } });
    const client = await harness.rawSession();
    const early = await ended(client, "echo");
    clock.advance(10_000);
    const late = await ended(client, "echo");
    const expected: readonly (readonly [string, readonly string[]])[] = [
      ["2026-05-13T11:59:59.999Z", [early, late]],
      // Later than: not at.
      ["2026-05-13T12:00:00Z", [late]],
      ["2026-05-13T12:00:05Z", [late]],
      ["2026-05-13T14:00:05+02:00", [late]],
      ["2026-05-13T12:00:10.000Z", []],
    ];
    for (const [created_after, ids] of expected) {
      expect(idsOf(await list(client, { filter: { created_after } })), created_after).toEqual(ids);
    }
  });

  test.each([
    { filter: { status: ["dreaming"] } },
    { filter: { status: "running" } },
    { filter: { created_after: "yesterday" } },
    { filter: { agent: "no such name!" } },
    { filter: { unheard: "of" } },
    { filter: [] },
    { limit: 0 },
    { limit: -1 },
    { limit: 1.5 },
    { limit: "10" },
    { cursor: "" },
    { cursor: "made-up" },
    { cursor: 7 },
  ])("or page that makes no sense is refused: %j", async (payload) => {
    await using harness = startHarness({ agents });
    const client = await harness.rawSession();
    await ended(client, "echo");
    const refusal = await list(client, payload);
    expect([refusal.type, refusal.payload.code]).toEqual(["session.error", "INVALID_REQUEST"]);
    expect((await list(client)).payload.jobs).toHaveLength(1);
  });
});

describe("pages", () => {
  test("together are the whole list, also when a job comes in between", async () => {
    covers("V11-6.6-09");
    const clock = new ManualClock();
    await using harness = startHarness({ agents, server: { clock } });
    const client = await harness.rawSession();
    const created: string[] = [];
    for (let n = 0; n < 25; n += 1) {
      created.push(await ended(client, "echo"));
      // Some in the same millisecond.
      if (n % 4 === 0) clock.advance(1);
    }
    const whole = idsOf(await list(client));
    expect(whole.toSorted()).toEqual(created.toSorted());
    for (const limit of [1, 10, 24, 25, 26]) {
      const pages = await paged(client, limit);
      expect(pages.flat()).toEqual(whole);
      expect(pages.slice(0, -1).every(({ length }) => length === limit)).toBe(true);
      expect(pages.at(-1)?.length).toBeGreaterThan(0);
    }
    const first = await list(client, { limit: 10 });
    const inserted = await ended(client, "echo");
    const second = await list(client, { limit: 10, cursor: first.payload.next_cursor });
    const third = await list(client, { limit: 10, cursor: second.payload.next_cursor });
    const union = [first, second, third].flatMap(idsOf);
    expect(new Set(union).size).toBe(union.length);
    expect(union.filter((id) => id !== inserted).toSorted()).toEqual(whole.toSorted());
    expect(third.payload.next_cursor).toBeNull();
  });

  test("continue a filtered list, and are as long as the runtime allows at most", async () => {
    covers("V11-6.6-09");
    await using harness = startHarness({ agents });
    const client = await harness.rawSession();
    const errors: string[] = [];
    for (let n = 0; n < 7; n += 1) {
      await ended(client, "echo");
      errors.push(await ended(client, "failing"));
    }
    expect((await paged(client, 3, { status: ["error"] })).map(({ length }) => length)).toEqual([3, 3, 1]);
    expect((await paged(client, 3, { agent: "failing" })).flat().toSorted()).toEqual(errors.toSorted());
    expect((await list(client, { limit: 1_000_000 })).payload.jobs).toHaveLength(14);
  });

  test("are walked by the client", async () => {
    covers("V11-6.6-01", "V11-6.6-09");
    await using harness = startHarness({ agents });
    const client = await harness.client();
    const ids: string[] = [];
    for (let n = 0; n < 7; n += 1) {
      const job = await client.submit({ agent: "echo", input: n });
      await job.done;
      ids.push(job.jobId);
    }
    const found: string[] = [];
    for await (const { jobId } of client.jobs({ status: "success" }, { limit: 3 })) found.push(jobId);
    expect(found.toSorted()).toEqual(ids.toSorted());
    const page = await client.listJobs({ agent: "echo" }, { limit: 7 });
    expect(page.nextCursor).toBeUndefined();
    expect(page.jobs).toHaveLength(7);
  });
});

describe("what a principal may see", () => {
  test("includes the jobs of its other sessions", async () => {
    covers("V11-6.6-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { ...agents, puppet: puppet.handler } });
    const first = await harness.rawSession();
    const done = await ended(first, "echo");
    const running = (await first.submit("puppet")).job_id as string;
    const second = await harness.rawSession();
    expect(idsOf(await list(second)).toSorted()).toEqual([done, running].toSorted());
    await harness.disconnect(first);
    expect(idsOf(await list(second)).toSorted()).toEqual([done, running].toSorted());
  });

  test("is wider only where the runtime's policy says so", async () => {
    covers("V11-6.6-11");
    const policy: NonNullable<HarnessOptions["server"]> = {
      jobAuthorizationPolicy: (job, principal) => principal === "oscar" && job.agent === "echo",
    };
    for (const [server, expectOscar] of [
      [policy, true],
      [{}, false],
    ] as const) {
      await using harness = startHarness({ agents, server });
      const alice = await harness.rawSession();
      const [open] = [await ended(alice, "echo"), await ended(alice, "failing")];
      const oscar = await harness.rawSession(undefined, "oscar");
      const mine = await ended(oscar, "failing");
      const expected = expectOscar ? [open, mine] : [mine];
      expect(idsOf(await list(oscar)).toSorted()).toEqual(expected.toSorted());
      expect((await paged(oscar, 1)).flat().toSorted()).toEqual(expected.toSorted());
      expect(idsOf(await list(await harness.rawSession(undefined, "bob")))).toEqual([]);
    }
  });

  test("tells nothing of other principals' jobs, by no filter, page or cursor", async () => {
    covers("V11-6.6-12");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { ...agents, puppet: puppet.handler } });
    const alice = await harness.rawSession();
    const bob = await harness.rawSession(undefined, "bob");
    const bobs: string[] = [];
    const alices: string[] = [];
    const before: unknown[] = [];
    const look = async (): Promise<readonly unknown[]> => {
      const answers: unknown[] = [];
      for (const payload of [
        {},
        { filter: { status: ["running", "pending"] } },
        { filter: { agent: "puppet" } },
        { filter: { created_after: "2001-01-01T00:00:00Z" } },
        { limit: 2 },
        { limit: 3 },
      ]) {
        const { payload: answer } = await list(bob, payload);
        answers.push([answer.jobs, answer.next_cursor]);
      }
      return answers;
    };
    for (let n = 0; n < 3; n += 1) bobs.push(await ended(bob, "echo"));
    before.push(...(await look()));
    for (let n = 0; n < 5; n += 1) alices.push(await ended(alice, "echo"));
    alices.push((await alice.submit("puppet")).job_id as string);
    await puppet.next();
    expect(await look()).toEqual(before);
    expect((await paged(bob, 1)).flat().toSorted()).toEqual(bobs.toSorted());

    const cursors: string[] = [];
    for (let cursor: string | null = null; ; ) {
      const page: Frame = await list(alice, { limit: 1, cursor });
      cursor = page.payload.next_cursor;
      if (cursor === null) break;
      cursors.push(cursor);
    }
    const own = (await list(bob, { limit: 1 })).payload.next_cursor as string;
    const stolen = cursors.map((cursor) => ({ limit: 10, cursor }));
    const forged = [own.slice(0, -2), `${own}AA`, own.toLowerCase()].map((cursor) => ({ limit: 10, cursor }));
    expect(stolen.length).toBe(5);
    const refusals = await Promise.all(
      [...stolen, ...forged].map(async (payload) => {
        const id = bob.send("session.list_jobs", payload);
        return bob.sees((frame) => frame.payload.request_id === id);
      }),
    );
    const words = refusals.map(({ type, payload: { code, message, details } }) => [type, code, message, details]);
    expect(new Set(words.map((word) => JSON.stringify(word))).size).toBe(1);
    expect(refusals[0]?.payload.code).toBe("INVALID_REQUEST");
    expect(alices.filter((id) => JSON.stringify(bob.frames).includes(id))).toEqual([]);
  });
});

test("a listed job's events do not come to the session that listed it", async () => {
  covers("V11-6.6-13");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const owner = await harness.rawSession();
  const { job_id } = await owner.submit("puppet");
  const run = await puppet.next();
  const observer = await harness.rawSession();
  expect(idsOf(await list(observer))).toEqual([job_id]);
  await emitLogs(run, 5);
  run.finish();
  await owner.ended(job_id as string);
  await settle();
  await observer.fence();
  expect(observer.numbered).toEqual([]);
});
