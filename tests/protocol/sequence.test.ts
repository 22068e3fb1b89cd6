import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, type Run } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const range = (first: number, last: number): number[] =>
  Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => first + index);
const seqs = (frames: readonly Frame[]): (number | undefined)[] => frames.map(({ event_seq }) => event_seq);
/** The numbers that an agent wrote into its logs, per job, in the order in which they arrived. */
const messages = (frames: readonly Frame[]): string[] =>
  frames.filter(({ payload }) => payload.kind === "log").map(({ payload }) => payload.body.message);

async function submit(client: RawClient, puppet: Puppet): Promise<Run> {
  await client.submit("puppet");
  return puppet.next();
}

/** Resolves when everything numbered before for `client` has arrived: what is numbered arrives in order. */
async function drain(client: RawClient): Promise<void> {
  const { job_id } = (await client.submit("sentinel")).payload;
  await client.end(job_id);
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("three jobs of one session share one sequence, which rises in the order of sending", async () => {
    covers("V11-8.3-01", "V11-8.3-02", "V11-8.3-04");
    await using harness = startHarness({
      carrier,
      agents: {
        counter: async (input, context) => {
          const { count, size } = input as { count: number; size: number };
          for (let n = 1; n <= count; n += 1) {
            await context.log("info", String(n));
            if (n % 7 === 0) await context.emitEvent("x-vendor.acme.blob", { blob: "b".repeat(size) });
          }
          if (size > 0) throw new Error("this one fails");
          return count;
        },
      },
    });
    const client = await harness.rawSession();
    const inputs = [
      { count: 60, size: 0 },
      { count: 40, size: 100_000 },
      { count: 80, size: 0 },
    ];
    const jobs = await Promise.all(
      inputs.map(async (input) => (await client.ask("job.submit", submitOf(input))).job_id),
    );
    await Promise.all(jobs.map((jobId) => client.end(jobId as string)));
    const total = inputs.reduce((sum, { count }) => sum + count + Math.floor(count / 7) + 1, 0);
    expect(seqs(client.numbered)).toEqual(range(1, total));
    expect(new Set(client.numbered.map(({ type }) => type))).toEqual(new Set(["job.event", "job.result", "job.error"]));
    for (const [index, jobId] of jobs.entries()) {
      const count = inputs[index]?.count ?? 0;
      expect(messages(client.ofJob(jobId as string))).toEqual(range(1, count).map(String));
    }
  });

  test("numbers have no gap across connections that are lost again and again", async () => {
    covers("V11-8.3-03", "V11-8.3-04");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    let client = await harness.rawSession();
    const runs = [await submit(client, puppet), await submit(client, puppet)];
    const received: Frame[] = [];
    const rounds = 8;
    for (let round = 0; round < rounds; round += 1) {
      for (const run of runs) await emitLogs(run, 5, round * 10 + 1);
      // Some of it is read, some is lost on the way, some is emitted while nobody is there.
      await client.find(({ event_seq }) => event_seq === round * 20 + 5);
      await harness.disconnect(client);
      for (const run of runs) await emitLogs(run, 5, round * 10 + 6);
      const resumed = await harness.raw();
      const known = received.concat(client.numbered);
      expect((await resumed.resume(client, known.length)).type).toBe("session.welcome");
      received.push(...client.numbered);
      client = resumed;
    }
    for (const run of runs) run.finish();
    for (const { context } of runs) await client.end(context.jobId);
    received.push(...client.numbered);
    expect(seqs(received)).toEqual(range(1, rounds * 20 + 2));
    for (const { context } of runs) {
      const own = received.filter(({ job_id }) => job_id === context.jobId);
      expect(messages(own)).toEqual(range(1, rounds * 10).map(String));
    }
  });

  test("a job's events keep their order live, replayed and observed", async () => {
    covers("V11-8.3-04");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession();
    const run = await submit(owner, puppet);
    const job_id = run.context.jobId;
    await emitLogs(run, 20);
    const observer = await harness.rawSession();
    await observer.ask("job.subscribe", { job_id, history: true });
    await emitLogs(run, 20, 21);
    await owner.find(({ event_seq }) => event_seq === 40);
    await harness.disconnect(owner);
    const resumed = await harness.raw();
    await resumed.resume(owner, 10);
    await emitLogs(run, 20, 41);
    run.finish();
    for (const client of [resumed, observer]) await client.end(job_id);
    const all = range(1, 60).map(String);
    expect(messages(owner.ofJob(job_id))).toEqual(all.slice(0, 40));
    expect(messages(resumed.ofJob(job_id))).toEqual(all.slice(10));
    expect(messages(observer.ofJob(job_id))).toEqual(all);
    expect(seqs(observer.numbered)).toEqual(range(1, 61));
  });
});

const submitOf = (input: unknown): object => ({ agent: "counter", input });

test("a message that is replayed is the one that was sent: same id, same number, same time", async () => {
  covers("V11-8.3-03");
  const clock = new ManualClock();
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
  const client = await harness.rawSession(QUIET_FEATURES);
  const run = await submit(client, puppet);
  for (let n = 1; n <= 5; n += 1) {
    await emitLogs(run, 1, n);
    clock.advance(1000);
  }
  run.fail(new Error("over"));
  await client.end(run.context.jobId);
  await harness.disconnect(client);
  clock.advance(1000);
  const resumed = await harness.raw();
  await resumed.resume(client, 0, "alice", QUIET_FEATURES);
  await resumed.end(run.context.jobId);
  expect(resumed.numbered).toEqual(client.numbered);
});

/** What happens in one random history. Indices are taken modulo what there is. */
type Step =
  | { readonly do: "submit"; readonly session: number }
  | { readonly do: "emit"; readonly job: number; readonly count: number; readonly flushes: boolean }
  | { readonly do: "progress"; readonly job: number }
  | { readonly do: "finish"; readonly job: number; readonly fails: boolean }
  | { readonly do: "observe"; readonly job: number; readonly session: number; readonly history: boolean }
  | { readonly do: "leave"; readonly job: number; readonly session: number }
  | { readonly do: "reconnect"; readonly session: number }
  | { readonly do: "advance"; readonly ms: number };

const index = fc.nat({ max: 30 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant("submit" as const), session: index }) },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ do: fc.constant("emit" as const), job: index, count: fc.integer({ min: 1, max: 12 }) },
      flushes: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("progress" as const), job: index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("finish" as const), job: index, fails: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant("observe" as const), job: index, session: index, history: fc.boolean() },
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("leave" as const), job: index, session: index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reconnect" as const), session: index }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 5000 }) }),
  },
);

interface Observer {
  readonly session: SessionLog;
  readonly history: boolean;
  hasLeft: boolean;
  /** What the submitter's session had to hear of the job when the subscription was asked for, and answered, in entries. */
  readonly before: number;
  after: number;
}

interface JobLog {
  readonly run: Run;
  readonly owner: SessionLog;
  readonly observers: Observer[];
  emitted: number;
  isOver: boolean;
}

interface SessionLog {
  client: RawClient;
  /** Everything numbered, over all its connections. */
  readonly received: Frame[];
  readonly features: readonly string[];
}

class World {
  readonly #harness: Harness;
  readonly #clock: ManualClock;
  readonly #puppet: Puppet;
  readonly sessions: SessionLog[] = [];
  readonly jobs: JobLog[] = [];
  #progress = 0;

  constructor(harness: Harness, clock: ManualClock, puppet: Puppet) {
    this.#harness = harness;
    this.#clock = clock;
    this.#puppet = puppet;
  }

  /** No two alike, so that an entry is known by its payload. */
  #nextProgress(): number {
    this.#progress += 1;
    return this.#progress;
  }

  async open(features: readonly string[]): Promise<void> {
    this.sessions.push({ client: await this.#harness.rawSession(features), received: [], features });
  }

  async take(next: Step): Promise<void> {
    const session = "session" in next ? this.sessions[next.session % this.sessions.length] : undefined;
    const job = "job" in next && this.jobs.length > 0 ? this.jobs[next.job % this.jobs.length] : undefined;
    if (next.do === "advance") this.#clock.advance(next.ms);
    else if (next.do === "submit" && session) await this.#submit(session);
    else if (next.do === "reconnect" && session) await this.#reconnect(session);
    else if (job === undefined) return;
    else if (next.do === "observe" && session) await this.#observe(job, session, next.history);
    else if (next.do === "leave" && session) this.#leave(job, session);
    else if (job.isOver) return;
    else if (next.do === "emit") await this.#emit(job, next.count, next.flushes);
    else if (next.do === "progress") void job.run.context.progress(this.#nextProgress());
    else if (next.do === "finish") {
      job.isOver = true;
      if (next.fails) job.run.fail(new Error("failed"));
      else job.run.finish("done");
    }
  }

  /** Ends every job, and waits until every session has heard everything. */
  async end(): Promise<void> {
    for (const [at, job] of this.jobs.entries()) {
      if (!job.isOver) await this.take({ do: "finish", job: at, fails: false });
    }
    for (const { client, received } of this.sessions) {
      await drain(client);
      received.push(...client.numbered);
    }
  }

  async #submit(owner: SessionLog): Promise<void> {
    const run = await submit(owner.client, this.#puppet);
    this.jobs.push({ run, owner, observers: [], emitted: 0, isOver: false });
  }

  async #emit(job: JobLog, count: number, flushes: boolean): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      job.emitted += 1;
      void job.run.context.log("info", String(job.emitted));
    }
    if (flushes) await job.run.context.flush();
  }

  /** A session observes a job at most once, so that every entry is due to it at most once. */
  async #observe(job: JobLog, session: SessionLog, history: boolean): Promise<void> {
    if (job.owner === session || job.observers.some((observer) => observer.session === session)) return;
    const before = job.emitted;
    const observer: Observer = { session, history, hasLeft: false, before, after: before };
    job.observers.push(observer);
    const reply = await session.client.ask("job.subscribe", { job_id: job.run.context.jobId, history });
    expect(reply.type).toBe("job.subscribed");
    observer.after = job.emitted;
  }

  #leave(job: JobLog, session: SessionLog): void {
    const observer = job.observers.find((known) => known.session === session);
    if (observer === undefined) return;
    observer.hasLeft = true;
    session.client.send("job.unsubscribe", { job_id: job.run.context.jobId });
  }

  async #reconnect(session: SessionLog): Promise<void> {
    const { client, received, features } = session;
    await this.#harness.disconnect(client);
    received.push(...client.numbered);
    const resumed = await this.#harness.raw();
    expect((await resumed.resume(client, received.length, "alice", features)).type).toBe("session.welcome");
    session.client = resumed;
  }
}

const ofJob = (frames: readonly Frame[], { run }: JobLog): readonly Frame[] =>
  frames.filter(({ job_id }) => job_id === run.context.jobId);

function checkObserver(job: JobLog, { session, history, hasLeft, before, after }: Observer): void {
  // Progress is comparable only where both have negotiated it.
  const hasProgress = session.features.includes("progress") && job.owner.features.includes("progress");
  const isShared = ({ payload }: Frame): boolean => payload.kind !== "progress" || hasProgress;
  const seen = ofJob(session.received, job).filter(isShared);
  const original = ofJob(job.owner.received, job).filter(isShared);
  // Every message is the submitter's, its time included; only the numbers are the observer's.
  const payloads = original.map(({ payload }) => JSON.stringify(payload));
  const first = seen.length === 0 ? 0 : payloads.indexOf(JSON.stringify(seen[0]?.payload));
  expect(seen.map(({ payload }) => JSON.stringify(payload))).toEqual(payloads.slice(first, first + seen.length));
  const said = messages(seen);
  if (history) expect(said.slice(0, before)).toEqual(range(1, before).map(String));
  else if (said.length > 0) expect(Number(said[0])).toBeGreaterThan(before);
  if (hasLeft) return;
  // From the answer on nothing is missing, up to the end.
  expect(said.slice(said.length - (job.emitted - after))).toEqual(range(after + 1, job.emitted).map(String));
  if (history) expect(seen).toHaveLength(original.length);
}

test("whatever happens, every session's numbers are 1, 2, 3, … and every job's story is whole and in order", async () => {
  covers("V11-8.3-01", "V11-8.3-02", "V11-8.3-03", "V11-8.3-04");
  const withoutProgress = ALL_FEATURES.filter((name) => name !== "progress" && name !== "heartbeat");
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const clock = new ManualClock();
      const puppet = new Puppet();
      await using harness = startHarness({
        agents: { puppet: puppet.handler, sentinel: () => "here" },
        server: { clock },
      });
      const world = new World(harness, clock, puppet);
      for (const features of [QUIET_FEATURES, withoutProgress, QUIET_FEATURES]) await world.open(features);
      await world.take({ do: "submit", session: 0 });
      for (const next of steps) await world.take(next);
      await world.end();

      for (const { received } of world.sessions) expect(seqs(received)).toEqual(range(1, received.length));
      for (const job of world.jobs) {
        const own = ofJob(job.owner.received, job);
        expect(messages(own)).toEqual(range(1, job.emitted).map(String));
        expect(own.filter(({ type }) => type !== "job.event").map(({ type }) => type)).toHaveLength(1);
        expect(own.at(-1)?.type).toMatch(/^job\.(result|error)$/);
        for (const observer of job.observers) checkObserver(job, observer);
      }
    }),
    { numRuns: 60 },
  );
});
