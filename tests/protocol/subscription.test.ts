import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { JobNotFoundError, PermissionDeniedError } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const subscribe = (client: RawClient, job_id: string, more: object = {}): Promise<Frame> =>
  client.ask("job.subscribe", { job_id, ...more });

/** What the frames of a job say, without the numbers that each session gives them. */
const said = (frames: readonly Frame[]): unknown[] =>
  frames.map(({ payload }) => payload.body?.message ?? payload.result ?? payload.code);
const payloads = (frames: readonly Frame[]): unknown[] => frames.map(({ type, payload }) => ({ type, payload }));
const seqs = (frames: readonly Frame[]): unknown[] => frames.map(({ event_seq }) => event_seq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

async function started(puppet: Puppet, client: RawClient, more: object = {}): Promise<{ jobId: string; run: Run }> {
  const { payload } = await client.submit("puppet", null, more);
  return { jobId: payload.job_id, run: await puppet.next() };
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("another session sees what was, what is, and how it ends", async () => {
    covers("V11-7.6-01", "V11-7.6-04", "V11-7.6-11", "V11-7.7-03");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await emitLogs(run, 3);
    const other = await harness.rawSession();
    const subscribed = await subscribe(other, jobId, { history: true, from_event_seq: 0 });
    await emitLogs(run, 2, 4);
    run.finish("done");
    await Promise.all([owner.end(jobId), other.end(jobId)]);
    expect(said(other.ofJob(jobId))).toEqual(["1", "2", "3", "4", "5", "done"]);
    expect(payloads(other.ofJob(jobId))).toEqual(payloads(owner.ofJob(jobId)));
    // The word that it is subscribed comes first.
    expect(other.frames.indexOf(subscribed)).toBeLessThan(other.frames.findIndex(({ event_seq }) => event_seq === 1));
    expect((await subscribe(owner, jobId)).type).toBe("job.subscribed");
  });

  test("the submitter's lost connection disturbs nobody who watches", async () => {
    covers("V11-7.6-23");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await subscribe(other, jobId);
    await emitLogs(run, 1);
    await harness.disconnect(owner);
    await emitLogs(run, 1, 2);
    run.finish("done");
    await other.end(jobId);
    expect(said(other.ofJob(jobId))).toEqual(["1", "2", "done"]);
  });
});

describe("what is answered", () => {
  const expires_at = "2999-01-01T00:00:00Z";

  test("is the job's authority and place", async () => {
    covers("V11-7.6-03", "V11-7.6-12", "V11-7.6-13");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { leasePolicy: ({ "fs.write": _removed, ...rest }) => rest },
    });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const accepted = await owner.submit("puppet", null, {
      lease_request: { "cost.budget": ["USD:5.00"], "fs.read": ["/a"], "fs.write": ["/a"] },
      lease_constraints: { expires_at },
    });
    const run = await puppet.next();
    await run.context.metric({ name: "cost.inference", value: 1.42, unit: "USD" });
    const subscribed = await subscribe(other, accepted.payload.job_id);
    expect(subscribed).toMatchObject({ type: "job.subscribed", job_id: accepted.payload.job_id });
    const { request_id: _requestId, ...payload } = subscribed.payload;
    expect(payload).toEqual({
      job_id: accepted.payload.job_id,
      current_status: "running",
      agent: "puppet@0.0.0",
      lease: accepted.payload.lease,
      lease_constraints: { expires_at },
      budget: { USD: 3.58 },
      parent_job_id: null,
      trace_id: accepted.payload.trace_id,
      subscribed_from: 0,
      replayed: false,
      job_last_event_seq: 2,
    });
    expect(accepted.payload.budget).toEqual({ USD: 5 });
    expect(payload.lease).toEqual({ "cost.budget": ["USD:5.00"], "fs.read": ["/a"] });
    // The last counters remain.
    run.finish();
    await other.end(accepted.payload.job_id);
    expect((await subscribe(other, accepted.payload.job_id)).payload).toMatchObject({
      current_status: "success",
      budget: { USD: 3.58 },
      lease_constraints: { expires_at },
    });
  });

  test("shows neither constraints nor a budget where there are none", async () => {
    covers("V11-7.6-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const { jobId } = await started(puppet, owner);
    const { payload } = await subscribe(await harness.rawSession(), jobId);
    expect(payload).toMatchObject({ lease: {}, parent_job_id: null, current_status: "running" });
    expect(payload).not.toHaveProperty("lease_constraints");
    expect(payload).not.toHaveProperty("budget");
  });

  test("shows no credentials to anybody: this runtime provisions none", async () => {
    covers("V11-7.6-21");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobAuthorizationPolicy: () => true },
    });
    const owner = await harness.rawSession();
    const observer = await harness.rawSession(undefined, "bob");
    const { jobId, run } = await started(puppet, owner, { lease_request: { "model.use": ["tier-fast/*"] } });
    for (const client of [owner, observer]) {
      expect((await subscribe(client, jobId, { history: true })).type).toBe("job.subscribed");
      expect(await client.listJobs()).toHaveLength(1);
    }
    run.finish("done");
    await Promise.all([owner.end(jobId), observer.end(jobId)]);
    for (const client of [owner, observer]) expect(JSON.stringify(client.frames)).not.toContain("credential");
  });

  test("tells whether there is something to replay, and where live events begin", async () => {
    covers("V11-7.6-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const empty = await started(puppet, owner);
    const busy = await started(puppet, owner);
    await emitLogs(busy.run, 3);
    const other = await harness.rawSession();
    const answers: unknown[] = [];
    for (const [jobId, more] of [
      [empty.jobId, {}],
      [empty.jobId, { history: true }],
      [busy.jobId, {}],
      [busy.jobId, { history: true, from_event_seq: 3 }],
      [busy.jobId, { history: true, from_event_seq: 2 }],
      [busy.jobId, { history: true }],
    ] as const) {
      const { subscribed_from, replayed } = (await subscribe(other, jobId, more)).payload;
      answers.push([subscribed_from, replayed]);
    }
    expect(answers).toEqual([
      [0, false],
      [0, false],
      [0, false],
      [0, false],
      [1, true],
      [4, true],
    ]);
    await emitLogs(empty.run, 1, 9);
    const live = await other.find((frame) => frame.job_id === empty.jobId);
    expect(live).toMatchObject({ job_id: empty.jobId });
    await other.find(({ event_seq }) => event_seq === 5);
    expect(said(other.numbered)).toEqual(["3", "1", "2", "3", "9"]);
  });

  test("does not take the numbers of other jobs for a replay", async () => {
    const puppet = new Puppet();
    const held = Promise.withResolvers<void>();
    const store = sqliteStore();
    const slow = new Proxy(store, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        if (name !== "readCodes") return member.bind(target);
        return async (...range: Parameters<typeof store.readCodes>) => {
          await held.promise;
          return target.readCodes(...range);
        };
      },
    });
    {
      await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { eventLog: slow } });
      const owner = await harness.rawSession();
      const { jobId, run } = await started(puppet, owner);
      await emitLogs(run, 1);
      run.finish("done");
      await owner.end(jobId);
      const other = await harness.rawSession(QUIET_FEATURES.filter((name) => name !== "progress"));
      const own = await started(puppet, other);
      const subscribing = subscribe(other, jobId, { history: true, from_event_seq: 2 });
      await settle();
      await emitLogs(own.run, 3);
      held.resolve();
      expect((await subscribing).payload).toMatchObject({ replayed: false, subscribed_from: 3 });
    }
    await store.close();
  });
});

describe("what is asked for", () => {
  test.each([
    ["no job", {}],
    ["a job that is no text", { job_id: 5 }],
    ["a negative position", { job_id: "job_x", from_event_seq: -1 }],
    ["a position that is no number", { job_id: "job_x", from_event_seq: "0" }],
    ["history that is no boolean", { job_id: "job_x", history: "yes" }],
  ])("must be well-formed: %s", async (_what, payload) => {
    covers("V11-7.6-02");
    await using harness = startHarness();
    const client = await harness.rawSession();
    const reply = await client.ask("job.subscribe", payload);
    expect(reply).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST" } });
  });

  test("must have been negotiated", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId } = await started(puppet, await harness.rawSession());
    const client = await harness.rawSession(QUIET_FEATURES.filter((name) => name !== "subscribe"));
    for (const type of ["job.subscribe", "job.unsubscribe"]) {
      const reply = await client.ask(type, { job_id: jobId });
      expect(reply.payload).toMatchObject({ code: "INVALID_REQUEST", details: { feature: "subscribe" } });
    }
  });

  test.each([{}, { history: false }, { history: false, from_event_seq: 0 }, { from_event_seq: 0 }, { history: null }])(
    "is live alone unless history is wanted: %j",
    async (more) => {
      covers("V11-7.6-05", "V11-7.6-06");
      const puppet = new Puppet();
      await using harness = startHarness({ agents: { puppet: puppet.handler } });
      const { jobId, run } = await started(puppet, await harness.rawSession());
      await emitLogs(run, 3);
      const other = await harness.rawSession();
      const subscribed = await subscribe(other, jobId, more);
      await emitLogs(run, 1, 4);
      run.finish("done");
      await other.end(jobId);
      expect(subscribed.payload).toMatchObject({ replayed: false, subscribed_from: 0 });
      expect(said(other.numbered)).toEqual(["4", "done"]);
      expect(other.frames.indexOf(subscribed)).toBeLessThan(other.frames.indexOf(other.numbered[0] as Frame));
    },
  );

  test("is a position in the submitter's numbering, which counts its other jobs too", async () => {
    covers("V11-7.6-04", "V11-7.6-22");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const owner = await harness.rawSession(QUIET_FEATURES);
    const watched = await started(puppet, owner);
    const noise = await started(puppet, owner);
    for (let n = 1; n <= 10; n += 1) {
      clock.advance(1_000);
      await emitLogs(n % 3 === 0 ? noise.run : watched.run, 1, n);
    }
    await owner.find(({ event_seq }) => event_seq === 10);
    // Long after.
    clock.advance(600_000);
    for (let from = 0; from <= 11; from += 1) {
      const other = await harness.rawSession(QUIET_FEATURES);
      // Numbers of its own come first: the subscriber's numbering has nothing to do with the submitter's.
      const own = await started(puppet, other);
      await emitLogs(own.run, 5);
      await subscribe(other, watched.jobId, { history: true, from_event_seq: from });
      await emitLogs(own.run, 1, 6);
      await other.find((frame) => frame.job_id === own.jobId && frame.payload.body?.message === "6");
      const expected = owner.ofJob(watched.jobId).filter(({ event_seq }) => (event_seq as number) > from);
      expect(payloads(other.ofJob(watched.jobId))).toEqual(payloads(expected));
      expect(seqs(other.numbered)).toEqual(upTo(other.numbered.length));
      expect(new Set(other.numbered.map(({ session_id }) => session_id))).toEqual(new Set([other.sessionId]));
    }
  });
});

describe("the numbers of a subscriber", () => {
  test("are one sequence over its own jobs and those that it watches", async () => {
    covers("V11-7.6-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const foreign = await started(puppet, owner);
    const own = await started(puppet, other);
    await emitLogs(foreign.run, 4);
    await subscribe(other, foreign.jobId, { history: true });
    for (let n = 5; n <= 8; n += 1) {
      await emitLogs(own.run, 1, n);
      await emitLogs(foreign.run, 1, n);
    }
    own.run.finish("own");
    foreign.run.finish("foreign");
    await Promise.all([other.end(own.jobId), other.end(foreign.jobId), owner.end(foreign.jobId)]);
    expect(seqs(other.numbered)).toEqual(upTo(14));
    expect(new Set(other.numbered.map(({ session_id }) => session_id))).toEqual(new Set([other.sessionId]));
    expect(said(other.ofJob(foreign.jobId))).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "foreign"]);
    expect(said(other.ofJob(own.jobId))).toEqual(["5", "6", "7", "8", "own"]);
    expect(seqs(owner.numbered)).toEqual(upTo(9));
  });

  test("are what it resumes from", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await emitLogs(run, 3);
    await subscribe(other, jobId, { history: true, from_event_seq: 1 });
    await other.find(({ event_seq }) => event_seq === 2);
    await harness.disconnect(other);
    await emitLogs(run, 2, 4);
    const back = await harness.raw();
    await back.resume(other, 1);
    run.finish("done");
    await back.end(jobId);
    expect(said(back.numbered)).toEqual(["3", "4", "5", "done"]);
    expect(seqs(back.numbered)).toEqual([2, 3, 4, 5]);
  });

  test("leave out kinds that it did not negotiate, without a gap", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const plain = QUIET_FEATURES.filter((name) => name !== "progress" && name !== "result_chunk");
    const { jobId, run } = await started(puppet, owner);
    const mixed = async (first: number): Promise<void> => {
      await run.context.progress(first);
      await emitLogs(run, 1, first);
      await run.context.progress(first);
    };
    await mixed(1);
    await mixed(2);
    const early = await harness.rawSession(plain);
    await subscribe(early, jobId, { history: true });
    await mixed(3);
    await run.context.streamResult().finalize("all of it");
    await early.end(jobId);
    const late = await harness.rawSession(plain);
    const subscribed = await subscribe(late, jobId, { history: true, from_event_seq: 3 });
    await late.end(jobId);
    expect(subscribed.payload).toMatchObject({ replayed: true, subscribed_from: 3 });
    expect([said(early.numbered), said(late.numbered)]).toEqual([
      ["1", "2", "3", "all of it"],
      ["2", "3", "all of it"],
    ]);
    for (const client of [early, late]) expect(seqs(client.numbered)).toEqual(upTo(client.numbered.length));
  });
});

describe("history", () => {
  test("meets the live stream without loss, repetition or disorder", async () => {
    covers("V11-7.6-08");
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant("emit" as const), count: fc.integer({ min: 1, max: 40 }) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("subscribe" as const),
          who: fc.nat(2),
          from: fc.nat(60),
          history: fc.boolean(),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20 }), async (steps) => {
        const puppet = new Puppet();
        await using harness = startHarness({ agents: { puppet: puppet.handler } });
        const owner = await harness.rawSession();
        const others = [await harness.rawSession(), await harness.rawSession(), await harness.rawSession()];
        const { jobId, run } = await started(puppet, owner);
        const watches: { client: RawClient; from: number; reply: Promise<Frame>; isLive: boolean }[] = [];
        let emitted = 0;
        for (const one of steps) {
          if (one.do === "turn") await settle(1);
          // Emitted without waiting for anything: the subscription falls into the midst of it.
          for (let n = 0; one.do === "emit" && n < one.count; n += 1) {
            emitted += 1;
            void run.context.log("info", String(emitted));
          }
          if (one.do === "subscribe" && !watches.some(({ client }) => client === others[one.who])) {
            const client = others[one.who] as RawClient;
            const from = Math.min(one.from, emitted);
            const more = one.history ? { history: true, from_event_seq: from } : {};
            watches.push({ client, from, reply: subscribe(client, jobId, more), isLive: !one.history });
          }
        }
        await settle(3);
        run.finish("done");
        await owner.end(jobId);
        const all = [...upTo(emitted).map(String), "done"];
        expect(said(owner.ofJob(jobId))).toEqual(all);
        for (const { client, from, reply, isLive } of watches) {
          const subscribed = await reply;
          await client.end(jobId);
          const seen = said(client.ofJob(jobId));
          if (isLive) expect(seen).toEqual(all.slice(all.length - seen.length));
          else expect(seen).toEqual(all.slice(from));
          expect(seqs(client.numbered)).toEqual(upTo(seen.length));
          expect(client.frames.indexOf(subscribed)).toBeLessThan(client.frames.indexOf(client.numbered[0] as Frame));
        }
      }),
      { numRuns: 60 },
    );
  });

  test("goes as far back as the runtime keeps what resume is served from, and no further", async () => {
    covers("V11-7.6-07");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, resumeWindowSeconds: 60, idempotencyTtlMs: 60_000, jobRetentionMs: 60_000 },
    });
    const owner = await harness.rawSession(QUIET_FEATURES);
    const other = await harness.rawSession(QUIET_FEATURES);
    const ended = await started(puppet, owner);
    const running = await started(puppet, owner);
    await emitLogs(ended.run, 2);
    ended.run.finish("done");
    await owner.end(ended.jobId);
    await emitLogs(running.run, 2);
    await harness.disconnect(owner);
    expect((await subscribe(other, ended.jobId, { history: true, from_event_seq: 0 })).payload.replayed).toBe(true);
    const late = await harness.rawSession(QUIET_FEATURES);
    await other.ask("session.close");
    for (let minutes = 0; minutes < 3; minutes += 1) {
      clock.advance(60_000);
      await settle();
    }
    const back = await harness.raw();
    expect((await back.resume(owner, 0, "alice", QUIET_FEATURES)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    const gone = await subscribe(late, ended.jobId, { history: true, from_event_seq: 0 });
    expect(gone).toMatchObject({ type: "session.error", payload: { code: "JOB_NOT_FOUND" } });
    // What still runs is still held, and the session is as usable as before.
    await subscribe(late, running.jobId, { history: true, from_event_seq: 0 });
    running.run.finish("done");
    await late.end(running.jobId);
    expect(said(late.numbered)).toEqual(["1", "2", "done"]);
  });

  test("begins with the result where events are kept less long than jobs, and says so", async () => {
    covers("V11-7.6-07");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, resumeWindowSeconds: 60, eventRetentionMs: 60_000 },
    });
    const owner = await harness.rawSession(QUIET_FEATURES);
    const { jobId, run } = await started(puppet, owner, { idempotency_key: "once" });
    await emitLogs(run, 3);
    run.finish("done");
    await owner.end(jobId);
    await owner.ask("session.close");
    for (let minutes = 0; minutes < 4; minutes += 1) {
      clock.advance(60_000);
      await settle();
    }
    const late = await harness.rawSession(QUIET_FEATURES);
    const subscribed = await subscribe(late, jobId, { history: true, from_event_seq: 0 });
    expect(subscribed.payload).toMatchObject({ current_status: "success", replayed: true, history_truncated: true });
    expect((await late.end(jobId)).payload.result).toBe("done");
    expect(late.numbered).toHaveLength(1);
    // Whoever asks for it again is told how it ended, as before.
    const again = await harness.rawSession(QUIET_FEATURES);
    expect((await again.submit("puppet", null, { idempotency_key: "once" })).payload.job_id).toBe(jobId);
    expect((await again.end(jobId)).payload.result).toBe("done");
    expect(await late.listJobs()).toMatchObject([{ job_id: jobId, status: "success" }]);
  });

  test("of a job that has ended is replayed to its end; without it there is nothing more to come", async () => {
    covers("V11-7.6-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await emitLogs(run, 2);
    run.fail(new Error("no luck"));
    await owner.end(jobId);
    const curious = await harness.rawSession();
    const subscribed = await subscribe(curious, jobId, { history: true });
    expect(subscribed.payload).toMatchObject({ current_status: "error", replayed: true, subscribed_from: 3 });
    await curious.end(jobId);
    expect(payloads(curious.numbered)).toEqual(payloads(owner.numbered));
    const content = await harness.rawSession();
    expect((await subscribe(content, jobId)).payload).toMatchObject({ current_status: "error", replayed: false });
    await settle();
    await content.listJobs();
    expect(content.numbered).toEqual([]);
  });
});

describe("twice", () => {
  test("makes one subscription", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run } = await started(puppet, await harness.rawSession());
    const other = await harness.rawSession();
    for (let times = 0; times < 2; times += 1) expect((await subscribe(other, jobId)).type).toBe("job.subscribed");
    await emitLogs(run, 2);
    run.finish("done");
    await other.end(jobId);
    await other.listJobs();
    expect(said(other.numbered)).toEqual(["1", "2", "done"]);
  });

  test("sends the submitter nothing a second time, unless it asks for history", async () => {
    covers("V11-7.6-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await emitLogs(run, 2);
    expect((await subscribe(owner, jobId)).payload.replayed).toBe(false);
    await emitLogs(run, 1, 3);
    expect((await subscribe(owner, jobId, { history: true })).payload.replayed).toBe(true);
    run.finish("done");
    await owner.end(jobId);
    expect(said(owner.numbered)).toEqual(["1", "2", "3", "1", "2", "3", "done"]);
    expect(seqs(owner.numbered)).toEqual(upTo(7));
  });
});

describe("who may watch", () => {
  test("is whoever the policy lets, and the submitter always", async () => {
    covers("V11-7.6-14", "V11-7.6-15");
    const puppet = new Puppet();
    const asked: unknown[] = [];
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: {
        jobAuthorizationPolicy: ({ submitterPrincipal, agent }, principal) => {
          asked.push([submitterPrincipal, agent, principal]);
          return principal === "oscar";
        },
      },
    });
    const { jobId, run } = await started(puppet, await harness.rawSession());
    const mine = await harness.rawSession();
    const oscar = await harness.rawSession(undefined, "oscar");
    const bob = await harness.rawSession(undefined, "bob");
    expect((await subscribe(mine, jobId)).type).toBe("job.subscribed");
    expect(asked).toEqual([]);
    expect((await subscribe(oscar, jobId)).type).toBe("job.subscribed");
    expect((await subscribe(bob, jobId, { history: true })).payload.code).toBe("PERMISSION_DENIED");
    expect(asked).toContainEqual(["alice", "puppet", "oscar"]);
    await emitLogs(run, 2);
    run.finish("done");
    await Promise.all([mine.end(jobId), oscar.end(jobId)]);
    await bob.fence();
    expect(said(oscar.numbered)).toEqual(["1", "2", "done"]);
    expect(bob.numbered).toEqual([]);
    expect([await oscar.listJobs(), await bob.listJobs()]).toMatchObject([[{ job_id: jobId }], []]);
  });

  test("is the submitter, however strict the policy", async () => {
    covers("V11-7.6-15");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobAuthorizationPolicy: () => false, hideForeignJobs: true },
    });
    const { jobId } = await started(puppet, await harness.rawSession());
    expect((await subscribe(await harness.rawSession(), jobId)).type).toBe("job.subscribed");
  });

  test.each([
    ["running", false],
    ["running", true],
    ["ended", false],
    ["ended", true],
  ])("is not a stranger: a %s job, hidden: %s", async (phase, hideForeignJobs) => {
    covers("V11-7.6-14", "V11-7.6-16");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { hideForeignJobs } });
    const owner = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    if (phase === "ended") {
      run.finish("done");
      await owner.end(jobId);
    }
    const stranger = await harness.rawSession(undefined, "mallory");
    const refused = await subscribe(stranger, jobId, { history: true });
    const unknown = await subscribe(stranger, "job_01J00000000000000000000000");
    expect(refused.payload.code).toBe(hideForeignJobs ? "JOB_NOT_FOUND" : "PERMISSION_DENIED");
    // Where jobs are hidden, one that is there looks like one that is not.
    const blank = ({ payload }: Frame): object => ({ ...payload, request_id: "", details: { job_id: "" } });
    if (hideForeignJobs) expect(blank(refused)).toEqual(blank(unknown));
    run.context.log("info", "secret").catch(() => {});
    run.finish("secret");
    await owner.end(jobId);
    await stranger.listJobs();
    expect(JSON.stringify(stranger.frames)).not.toContain("secret");
    expect(stranger.numbered).toEqual([]);
    const real = await harness.client({ token: "mallory" });
    const error = hideForeignJobs ? JobNotFoundError : PermissionDeniedError;
    await expect(real.subscribe(jobId)).rejects.toThrow(error);
  });

  test("is nobody while the policy fails", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: {
        jobAuthorizationPolicy: () => {
          throw new Error("secret");
        },
      },
    });
    const { jobId, run } = await started(puppet, await harness.rawSession());
    const stranger = await harness.rawSession(undefined, "mallory");
    const refused = await subscribe(stranger, jobId, { history: true });
    expect(refused.payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    await emitLogs(run, 1);
    await stranger.fence();
    expect(JSON.stringify(stranger.frames)).not.toContain("secret");
    expect(stranger.numbered).toEqual([]);
  });

  test("a job that does not exist is not found", async () => {
    covers("V11-7.6-17");
    await using harness = startHarness();
    const client = await harness.rawSession();
    expect(await subscribe(client, "job_invented")).toMatchObject({
      type: "session.error",
      payload: { code: "JOB_NOT_FOUND", retryable: false },
    });
    await expect((await harness.client()).subscribe("job_invented")).rejects.toThrow(JobNotFoundError);
  });
});

test("every attempt to watch leaves an audit record: who, what, whose, and whether it was allowed", async () => {
  covers("V11-14-28");
  const puppet = new Puppet();
  const directory = await mkdtemp(join(tmpdir(), "arcp-audit-"));
  const path = join(directory, "runtime.db");
  const eventLog = sqliteStore({ path });
  try {
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { eventLog, jobAuthorizationPolicy: (_job, principal) => principal === "oscar" },
    });
    const { jobId } = await started(puppet, await harness.rawSession());
    for (const principal of ["alice", "oscar", "bob"]) {
      await subscribe(await harness.rawSession(undefined, principal), jobId);
    }
    await subscribe(await harness.rawSession(undefined, "bob"), "job_invented");
  } finally {
    await eventLog.close();
  }
  const database = new DatabaseSync(path, { readOnly: true });
  const records = database.prepare(`SELECT principal, action, job_id, facts FROM audit
     WHERE action IN ('subscription.opened', 'subscription.refused') ORDER BY key`);
  const rows = records
    .all()
    .map(({ principal, action, job_id, facts }) => [
      principal,
      { action, job_id: String(job_id), ...JSON.parse(String(facts)) },
    ]);
  database.close();
  const jobId = rows[0]?.[1].job_id;
  expect(rows).toEqual([
    ["alice", { action: "subscription.opened", job_id: jobId, owner: "alice", allowed: true }],
    ["oscar", { action: "subscription.opened", job_id: jobId, owner: "alice", allowed: true }],
    ["bob", { action: "subscription.refused", job_id: jobId, owner: "alice", allowed: false }],
    ["bob", { action: "subscription.refused", job_id: "job_invented", owner: null, allowed: false }],
  ]);
  await rm(directory, { recursive: true });
});

describe("leaving", () => {
  test("ends this job's events and no other's", async () => {
    covers("V11-7.6-18");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const jobs = [await started(puppet, owner), await started(puppet, owner)] as const;
    for (const { jobId } of jobs) await subscribe(other, jobId);
    const emitBoth = async (n: number): Promise<void> => {
      for (const { run } of jobs) await emitLogs(run, 1, n);
    };
    await emitBoth(1);
    other.send("job.unsubscribe", { job_id: jobs[0].jobId });
    await other.listJobs();
    await emitBoth(2);
    for (const { run } of jobs) run.finish("done");
    await Promise.all([owner.end(jobs[0].jobId), other.end(jobs[1].jobId)]);
    await other.listJobs();
    expect(said(other.ofJob(jobs[0].jobId))).toEqual(["1"]);
    expect(said(other.ofJob(jobs[1].jobId))).toEqual(["1", "2", "done"]);
    expect(seqs(other.numbered)).toEqual(upTo(4));
    expect(said(owner.ofJob(jobs[0].jobId))).toEqual(["1", "2", "done"]);
  });

  test("and coming back loses nothing that is asked for", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run } = await started(puppet, await harness.rawSession());
    const other = await harness.rawSession();
    await subscribe(other, jobId);
    await emitLogs(run, 1);
    other.send("job.unsubscribe", {}, { job_id: jobId });
    await other.listJobs();
    await emitLogs(run, 1, 2);
    await subscribe(other, jobId, { history: true, from_event_seq: 1 });
    await emitLogs(run, 1, 3);
    await other.find(({ event_seq }) => event_seq === 3);
    expect(said(other.numbered)).toEqual(["1", "2", "3"]);
  });

  test("is of no matter to the submitter of a job, or for a job that is not watched", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const stranger = await harness.rawSession(undefined, "mallory");
    const { jobId, run } = await started(puppet, owner);
    owner.send("job.unsubscribe", { job_id: jobId });
    stranger.send("job.unsubscribe", { job_id: jobId });
    stranger.send("job.unsubscribe", { job_id: "job_invented" });
    await stranger.listJobs();
    await emitLogs(run, 1);
    run.finish("done");
    await owner.end(jobId);
    expect(said(owner.numbered)).toEqual(["1", "done"]);
    expect(stranger.frames.filter(({ type }) => type === "session.error")).toEqual([]);
  });

  test("without a name is refused", async () => {
    await using harness = startHarness();
    const reply = await (await harness.rawSession()).ask("job.unsubscribe");
    expect(reply.payload.code).toBe("INVALID_REQUEST");
  });
});

describe("a subscription", () => {
  test("gives no authority to cancel", async () => {
    covers("V11-7.6-19");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const { jobId, run } = await started(puppet, owner);
    await subscribe(other, jobId);
    const refused = await other.ask("job.cancel", {}, { job_id: jobId });
    expect(refused).toMatchObject({ type: "session.error", payload: { code: "PERMISSION_DENIED" } });
    expect(run.context.signal.aborted).toBe(false);
    run.finish("done");
    expect((await other.end(jobId)).payload.final_status).toBe("success");
  });

  test("gives no authority to change anything else", async () => {
    covers("V11-7.6-20");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const other = await harness.rawSession();
    const asked = { lease_request: { "cost.budget": ["USD:5"] }, idempotency_key: "k" };
    const { jobId, run } = await started(puppet, owner, asked);
    const before = await subscribe(other, jobId);
    const body = { name: "cost.inference", value: 5, unit: "USD" };
    for (const [type, payload] of [
      ["job.submit", { agent: "puppet", input: null, ...asked, lease_request: { "cost.budget": ["USD:500"] } }],
      [
        "job.submit",
        { agent: "puppet", input: null, ...asked, lease_request: { "cost.budget": ["USD:5"], "fs.write": ["/**"] } },
      ],
      ["job.event", { kind: "metric", ts: "2026-01-01T00:00:00Z", body }],
      ["job.result", { final_status: "success", result: "forged" }],
      ["job.error", { final_status: "error", code: "INTERNAL_ERROR", message: "forged", retryable: true }],
      ["job.accepted", { job_id: jobId, lease: { "fs.write": ["/**"] } }],
      ["job.update", { lease: { "fs.write": ["/**"] } }],
      ["x-vendor.acme.lease", { lease: { "fs.write": ["/**"] } }],
      ["x-vendor.acme.input", { text: "do something else" }],
    ] as const) {
      const reply = await other.ask(type, payload, type === "job.submit" ? {} : { job_id: jobId });
      expect([type, reply.type]).toEqual([type, "session.error"]);
    }
    expect((await other.ask("job.submit", { agent: "puppet", input: null, ...asked })).payload.job_id).toBe(jobId);
    const after = await subscribe(other, jobId);
    expect({ ...after.payload, request_id: "" }).toEqual({ ...before.payload, request_id: "" });
    expect(run.context.lease).toEqual({ "cost.budget": ["USD:5"] });
    expect(new Map(run.context.budget)).toEqual(new Map([["USD", 5]]));
    run.finish("done");
    await Promise.all([owner.end(jobId), other.end(jobId)]);
    expect(said(owner.numbered)).toEqual(["done"]);
    expect(said(other.numbered)).toEqual(["done"]);
    expect(puppet.runs).toHaveLength(1);
  });

  test("of the real client tells the whole story, result included", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await (await harness.client()).submit({ agent: "puppet" });
    const run = await puppet.next();
    await emitLogs(run, 3);
    const watcher = await harness.client();
    const subscription = await watcher.subscribe(job.jobId, { history: true });
    await emitLogs(run, 2, 4);
    await run.context.streamResult().finalize("streamed");
    const seen: unknown[] = [];
    for await (const event of subscription) if (event.kind === "log") seen.push(event.body.message);
    expect(seen).toEqual(["1", "2", "3", "4", "5"]);
    expect((await subscription.done).result).toBe("streamed");
    expect(subscription.subscribed).toMatchObject({ replayed: true, currentStatus: "running" });
  });
});

test("the runtime names the sessions that follow a job", async () => {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const owner = await harness.rawSession();
  const other = await harness.rawSession();
  const { jobId, run } = await started(puppet, owner);
  const following = (): unknown[] =>
    [...harness.server.subscribers].map(([id, contexts]) => [id, [...contexts].map(({ sessionId }) => sessionId)]);
  expect(following()).toEqual([[jobId, [owner.sessionId]]]);
  await subscribe(other, jobId);
  expect(following()).toEqual([[jobId, [owner.sessionId, other.sessionId]]]);
  other.send("job.unsubscribe", { job_id: jobId });
  await other.listJobs();
  expect(following()).toEqual([[jobId, [owner.sessionId]]]);
  run.finish();
  await owner.end(jobId);
  expect(following()).toEqual([]);
});
