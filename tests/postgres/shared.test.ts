/** What several nodes see of one another through PostgreSQL. */
import { newJobId, newSessionId, newTraceId } from "@arcp/core";
import {
  type Batch,
  type CredentialRecord,
  type JobRecord,
  type NodeId,
  type NodeMessage,
  type NodeRecord,
  type SessionRecord,
  type SharedStore,
  StaleWriterError,
  type StoredRecord,
  verifyAudit,
  type Wake,
} from "@arcp/runtime";
import pg from "pg";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { EMPTY, entriesOf } from "../store/files.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { nodeFacts, TestCluster, type TestNode } from "../support/postgres-nodes.ts";

const suite = describe.skipIf(reasonForNoPostgres() !== undefined);

const job = (overrides: Partial<JobRecord> = {}): JobRecord => ({
  ...{ id: newJobId(), sessionId: newSessionId(), principal: "alice", agent: "worker", agentVersion: "1.0.0" },
  ...{ status: "running", createdAt: 1_000, endedAt: null, lease: {}, leaseConstraints: null, parentJobId: null },
  ...{ delegateId: null, traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
  ...overrides,
});

const session = (overrides: Partial<SessionRecord> = {}): SessionRecord => ({
  ...{ id: newSessionId(), principal: "alice", wire: "1.1", features: [], tokenHash: "hash" },
  ...{ previousTokenHash: null, mustAuthenticate: false, salt: "s", ackedSeq: 0, detachedAt: null },
  ...{ sentSeq: null, createdAt: 1 },
  ...overrides,
});

const batch = (members: Partial<Batch>): Batch => ({ ...EMPTY, ...members });

const appended = (made: JobRecord, count: number): Partial<Batch> => ({
  entries: new Map([[made.id, { epoch: made.epoch, list: entriesOf(count) }]]),
  jobChanges: new Map([[made.id, { ...made, lastN: count }]]),
});

const runOf = (record: JobRecord): StoredRecord => ({
  ...{ kind: "run", id: record.id, principal: "alice", jobId: record.id, dueAt: null, data: "{}" },
});

async function stale(committing: Promise<unknown>): Promise<StaleWriterError> {
  const error = await committing.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof StaleWriterError) return error;
  throw new Error("it was not refused as stale", { cause: error });
}

/** Everything that a node is woken for. */
class Watch {
  readonly wakes: Wake[] = [];

  constructor({ store }: Pick<TestNode, "store">) {
    onTestFinished(store.watch((wake) => this.wakes.push(wake)));
  }

  /** Resolves with the first wake that is so. */
  next(isIt: (wake: Wake) => boolean): Promise<Wake> {
    return vi.waitUntil(() => this.wakes.find(isIt), { timeout: 10_000, interval: 5 });
  }

  /** Resolves when it listens, and forgets what it was told then. */
  async begun(): Promise<void> {
    await this.next(({ jobs }) => jobs === undefined);
    this.wakes.length = 0;
  }
}

suite("nodes", () => {
  test("know each other by what they say of themselves", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const facts = nodeFacts(two.id, { jobs: 3, labels: { zone: "a" }, isDraining: true });
    expect(await one.store.beat(nodeFacts(one.id))).toHaveLength(2);
    await two.store.beat(facts);
    const [newest, oldest] = await one.store.nodes();
    expect(newest).toMatchObject({ ...facts, isUp: true, mustDrain: false });
    expect(oldest).toMatchObject({ id: one.id });
    expect(newest?.beatAt).toBeGreaterThanOrEqual(newest?.startedAt ?? Number.POSITIVE_INFINITY);
    expect(await cluster.store().nodes()).toHaveLength(2);
  });

  test("are declared dead when they have not said for their time that they live, and never live again", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    await cluster.expire(one.id);
    const nodes = await one.store.beat(nodeFacts(one.id));
    expect(nodes?.map(({ id, isUp }) => [id, isUp])).toEqual([
      [two.id, false],
      [one.id, true],
    ]);
    expect(await two.store.beat(nodeFacts(two.id))).toBeUndefined();
    expect(await two.store.beat(nodeFacts(two.id))).toBeUndefined();
    const [made, open] = [job(), session()];
    const error = await stale(two.store.commit(batch({ jobs: [made], sessions: [open] })));
    expect(error).toMatchObject({ jobs: [made.id], sessions: [open.id] });
    await stale(two.store.claimJobs(["worker@1.0.0"], 1));
  });

  test("one that is late but was not declared dead lives", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    await cluster.expire();
    expect(await one.store.beat(nodeFacts(one.id))).toMatchObject([{ id: one.id, isUp: true }]);
  });

  test("that could not be heard themselves give the others time: after the database was away, nobody is declared dead", async () => {
    const cluster = await TestCluster.make();
    const [one, two, three] = [await cluster.node(), await cluster.node(), await cluster.node()];
    await cluster.expire();
    const isUp = (nodes: readonly NodeRecord[] | undefined) =>
      [one, two, three].map((node) => nodes?.find(({ id }) => id === node.id)?.isUp);
    expect(isUp(await one.store.beat(nodeFacts(one.id)))).toEqual([true, true, true]);
    expect(isUp(await one.store.beat(nodeFacts(one.id)))).toEqual([true, true, true]);
    expect(isUp(await two.store.beat(nodeFacts(two.id)))).toEqual([true, true, true]);
    // Half of the time that it takes to be declared dead has passed, and the third one has not come back.
    await cluster.ask("UPDATE node SET back_at = back_at - ttl_ms / 2 - 1");
    expect(isUp(await one.store.beat(nodeFacts(one.id)))).toEqual([true, true, false]);
  });

  test("join anew under another name after they were declared dead", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    await one.store.commit(batch({ jobs: [job()] }));
    await cluster.kill();
    // What nobody owns waits until then.
    const kept = batch({ audit: [{ at: 1, action: "a", principal: "", facts: "{}" }] });
    await expect(one.store.commit(kept)).rejects.toMatchObject({ name: "StoreError", isTransient: true });
    await one.store.join(nodeFacts("node_again"), 60_000);
    await one.store.commit({ ...kept, jobs: [job()] });
    expect(await one.store.readAudit(undefined, 9)).toHaveLength(1);
    expect(await one.store.beat(nodeFacts("node_again"))).toMatchObject([
      { id: "node_again", isUp: true },
      { isUp: false },
    ]);
  });

  test("are asked to stop", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    await one.store.askToDrain(two.id);
    const nodes = await two.store.beat(nodeFacts(two.id));
    expect(nodes?.find(({ id }) => id === two.id)).toMatchObject({ mustDrain: true });
    expect(nodes?.find(({ id }) => id === one.id)).toMatchObject({ mustDrain: false });
  });

  test("nothing is committed before a process is one", async () => {
    const cluster = await TestCluster.make();
    await expect(cluster.store().commit(batch({ jobs: [job()] }))).rejects.toThrow("join() comes first");
  });

  test("one that leaves leaves its jobs to others, and its sessions without a transport", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [made, open] = [job(), session()];
    await one.store.commit(batch({ jobs: [made], sessions: [open] }));
    expect(await two.store.countSessions("alice")).toBe(1);
    expect(await two.store.countSessions("alice", two.id)).toBe(1);
    expect(await two.store.countSessions("alice", one.id)).toBe(0);
    await one.store.leave();
    expect(await two.store.countSessions("alice")).toBe(0);
    expect((await two.store.findSession(open.id))?.record).toMatchObject({
      sentSeq: 0,
      detachedAt: expect.any(Number),
    });
    expect(await two.store.claimJobs([], 9)).toMatchObject([{ id: made.id, epoch: 2 }]);
    await stale(one.store.commit(batch(appended(made, 1))));
  });

  test("sign with the same secret", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const secret = await one.store.secret();
    expect(secret).toHaveLength(32);
    expect(await two.store.secret()).toEqual(secret);
  });

  test("what two make at once is whole", async () => {
    const cluster = await TestCluster.make();
    const nodes = await Promise.all(Array.from({ length: 6 }, () => cluster.node()));
    expect(await nodes[0]?.store.nodes()).toHaveLength(6);
    await Promise.all(nodes.map(({ store }) => store.commit(batch({ jobs: [job()] }))));
  });
});

suite("jobs of dead nodes", () => {
  test("are claimed by those that have their agents, or by anybody if they end with their process", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const [plain, durable, foreign] = [
      job({ createdAt: 3 }),
      job({ createdAt: 2 }),
      job({ createdAt: 1, agent: "foreign" }),
    ];
    await dead.store.commit(batch({ jobs: [plain, durable, foreign], records: [durable, foreign].map(runOf) }));
    const one = await cluster.node();
    expect(await one.store.claimJobs(["worker@1.0.0"], 9)).toEqual([]);
    await cluster.expire(one.id);
    await one.store.beat(nodeFacts(one.id));
    const claimed = await one.store.claimJobs(["worker@1.0.0"], 9);
    expect(claimed).toEqual([
      { ...durable, epoch: 2 },
      { ...plain, epoch: 2 },
    ]);
    expect(await one.store.claimJobs(["foreign@1.0.0"], 9)).toEqual([{ ...foreign, epoch: 2 }]);
    expect(await one.store.heads([plain.id])).toMatchObject([{ node: one.id }]);
  });

  test("no two nodes get the same one", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const jobs = Array.from({ length: 200 }, () => job());
    await dead.store.commit(batch({ jobs }));
    await cluster.kill();
    const nodes = await Promise.all(Array.from({ length: 3 }, () => cluster.node()));
    const claims = await Promise.all(
      nodes.map(async ({ store }) => {
        const mine: JobRecord[] = [];
        for (;;) {
          const some = await store.claimJobs([], 7);
          if (some.length === 0) return mine;
          mine.push(...some);
        }
      }),
    );
    const all = claims.flat();
    expect(all.length).toBe(200);
    expect(new Set(all.map(({ id }) => id)).size).toBe(200);
    expect(new Set(all.map(({ epoch }) => epoch))).toEqual(new Set([2]));
    for (const [index, mine] of claims.entries()) {
      const [first] = mine;
      if (first !== undefined) await nodes[index]?.store.commit(batch(appended(first, 1)));
    }
  });

  test("the batch of the one that was replaced names everything that it has lost, and stores nothing", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [lost, kept, taken] = [job(), job(), session()];
    await one.store.commit(batch({ jobs: [lost, kept], sessions: [taken] }));
    // As if it had been declared dead and had come back: only the epochs are left to tell.
    await cluster.ask("UPDATE job SET epoch = 2, node = $2 WHERE id = $1", [lost.id, two.id]);
    await two.store.takeSession(taken.id, "hash");
    const error = await stale(
      one.store.commit(
        batch({
          sessions: [{ ...taken, ackedSeq: 1 }],
          entries: new Map([lost, kept].map(({ id }) => [id, { epoch: 1, list: entriesOf(1) }])),
        }),
      ),
    );
    expect(error.jobs).toEqual([lost.id]);
    expect(error.sessions).toEqual([taken.id]);
    expect(await one.store.readJournal(kept.id, 1, 1)).toEqual([]);
    await one.store.commit(batch(appended(kept, 1)));
  });

  test("one is claimed by its name, whatever its agent", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [free, mine] = [job({ agent: "foreign", status: "pending", isForAnybody: true }), job()];
    await one.store.commit(batch({ jobs: [free, mine] }));
    expect(await two.store.claimJobs([], 1, mine.id)).toEqual([]);
    expect(await two.store.claimJobs([], 1, free.id)).toMatchObject([{ id: free.id, epoch: 2 }]);
  });
});

suite("jobs that share counters", () => {
  /** A job, its child, the child of that, which came in one batch, and one for which another node was asked. */
  async function family(dead: SharedStore) {
    const root = job({ createdAt: 1 });
    const child = job({ createdAt: 2, agent: "foreign", parentJobId: root.id, delegateId: "d1" });
    const grandchild = job({ createdAt: 3, parentJobId: child.id, delegateId: "d2" });
    const placed = job({
      createdAt: 4,
      parentJobId: child.id,
      delegateId: "d3",
      status: "pending",
      isForAnybody: true,
    });
    await dead.commit(batch({ jobs: [root], records: [runOf(root)] }));
    await dead.commit(batch({ jobs: [child, grandchild, placed], records: [child, grandchild].map(runOf) }));
    return { root, child, grandchild, placed };
  }
  const ids = (jobs: readonly JobRecord[]): string[] => jobs.map(({ id }) => id);

  test("are claimed together, by who has all of their agents", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const { root, child, grandchild, placed } = await family(dead.store);
    await cluster.kill();
    const one = await cluster.node();
    const claimed = await one.store.claimJobs(["worker@1.0.0"], 9);
    expect(claimed).toEqual([{ ...placed, epoch: 2, isForAnybody: true }]);
    expect(await one.store.claimJobs(["foreign@1.0.0"], 9)).toEqual([]);
    // One more than there is room for: families are not divided.
    expect(ids(await one.store.claimJobs(["worker@1.0.0", "foreign@1.0.0"], 1))).toEqual(
      ids([root, child, grandchild]),
    );
  });

  test("are claimed together with the one that is asked for, also when those above them have ended", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const { root, child, grandchild } = await family(dead.store);
    const ended = {
      id: child.id,
      epoch: 1,
      status: "success",
      endedAt: 5,
      budget: null,
      lastN: 0,
      lastEventSeq: 0,
    } as const;
    await dead.store.commit(batch({ jobChanges: new Map([[child.id, ended]]) }));
    await cluster.kill();
    const one = await cluster.node();
    expect(ids(await one.store.claimJobs([], 1, grandchild.id))).toEqual(ids([root, grandchild]));
  });

  test("are never divided among those who claim at once", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const families = await Promise.all(Array.from({ length: 12 }, () => family(dead.store)));
    await cluster.kill();
    const nodes = await Promise.all(Array.from({ length: 3 }, () => cluster.node()));
    const claims = await Promise.all(
      nodes.map(async ({ store }) => {
        const mine: string[] = [];
        for (;;) {
          const some = await store.claimJobs(["worker@1.0.0", "foreign@1.0.0"], 2);
          if (some.length === 0) return mine;
          mine.push(...ids(some));
        }
      }),
    );
    expect(new Set(claims.flat()).size).toBe(48);
    for (const { root, child, grandchild } of families) {
      const whose = ids([root, child, grandchild]).map((id) => claims.findIndex((mine) => mine.includes(id)));
      expect(new Set(whose).size).toBe(1);
    }
  });
});

suite("jobs for anybody", () => {
  test("are claimed by those that have their agents, the oldest first", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const free = [3, 1, 2].map((createdAt) => job({ createdAt, status: "pending", isForAnybody: true }));
    await one.store.commit(batch({ jobs: free }));
    expect(await one.store.heads(free.map(({ id }) => id))).toMatchObject(free.map(() => ({ node: null })));
    expect(await two.store.claimJobs(["other@1"], 9)).toEqual([]);
    const first = await two.store.claimJobs(["worker@1.0.0"], 2);
    expect(first.map(({ createdAt, epoch }) => [createdAt, epoch])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(await one.store.claimJobs(["worker@1.0.0"], 9)).toMatchObject([{ createdAt: 3 }]);
  });

  test("what a node gives back is anybody's, as it was stored last", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [mine, others] = [job(), job()];
    await one.store.commit(batch({ jobs: [mine] }));
    await two.store.commit(batch({ jobs: [others] }));
    await one.store.releaseJobs([mine.id, others.id, newJobId()]);
    expect(await one.store.heads([others.id])).toMatchObject([{ node: two.id }]);
    expect(await two.store.claimJobs(["worker@1.0.0"], 9)).toEqual([{ ...mine, epoch: 2 }]);
    await stale(one.store.commit(batch(appended(mine, 1))));
  });

  test("a claim whose answer was lost is told of with the next one", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    const free = job({ status: "pending", isForAnybody: true });
    await one.store.commit(batch({ jobs: [free, job()] }));
    await cluster.ask("SELECT * FROM claim_jobs($1, '{worker@1.0.0}', 9, NULL)", [one.id]);
    expect(await one.store.claimJobs(["worker@1.0.0"], 9)).toEqual([]);
    // Its own claim fails in the middle.
    await cluster.ask("ALTER FUNCTION claim_jobs RENAME TO claim_jobs_of_others");
    await expect(one.store.claimJobs(["worker@1.0.0"], 9)).rejects.toThrow();
    await cluster.ask("ALTER FUNCTION claim_jobs_of_others RENAME TO claim_jobs");
    expect(await one.store.claimJobs(["worker@1.0.0"], 9)).toMatchObject([{ id: free.id, epoch: 2 }]);
  });

  test("where jobs stand", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    const [live, ended] = [job(), job({ status: "success", endedAt: 5, lastN: 7 })];
    await one.store.commit(batch({ jobs: [live, ended] }));
    expect(await one.store.heads([live.id, newJobId(), ended.id])).toEqual([
      { id: live.id, session: live.sessionId, node: one.id, lastN: 0, isEnded: false },
      { id: ended.id, session: ended.sessionId, node: one.id, lastN: 7, isEnded: true },
    ]);
    expect(await one.store.liveJobsOf([live.sessionId, ended.sessionId])).toMatchObject([{ id: live.id }]);
    expect(await one.store.countJobs("alice")).toBe(1);
    expect(await one.store.countJobs("bob")).toBe(0);
    expect(await one.store.countJobs("alice", one.id)).toBe(0);
  });
});

suite("credentials of dead nodes", () => {
  const credential = (alias: string, overrides: Partial<CredentialRecord> = {}): CredentialRecord => ({
    ...{
      alias,
      credentialId: `of ${alias}`,
      jobId: newJobId(),
      provisioner: "models",
      upstreamId: null,
      state: "live",
    },
    ...{ createdAt: 1, issuedAt: 1, expiresAt: null, revokingSince: null, attempts: 0, lastError: null },
    ...{ revokedAt: null, ...overrides },
  });

  test("are revoked by one node, those that are not dead and whose provisioners it has", async () => {
    const cluster = await TestCluster.make();
    const dead = await cluster.node();
    const credentials = [
      ...["a", "b", "c"].map((alias) => credential(alias)),
      credential("dead", { state: "revoked", revokedAt: 3 }),
      credential("foreign", { provisioner: "other" }),
    ];
    await dead.store.commit(batch({ credentials }));
    const [one, two] = [await cluster.node(), await cluster.node()];
    for (const { store } of [one, two]) expect(await store.claimCredentials(["models"], [])).toEqual([]);
    await cluster.ask("UPDATE node SET is_up = false WHERE id = $1", [dead.id]);
    const claimed = await Promise.all([one, two].map(({ store }) => store.claimCredentials(["models"], [])));
    const all = claimed.flat();
    expect(all.map(({ alias }) => alias).sort()).toEqual(["a", "b", "c"]);
    expect(all.every(({ state, revokingSince }) => state === "revoking" && revokingSince !== null)).toBe(true);
    // What is known is not told again, and what was not heard of is.
    const [winner, mine] = claimed[0]?.length ? [one, claimed[0]] : [two, claimed[1] ?? []];
    const aliases = mine.map(({ alias }) => alias);
    expect(await winner.store.claimCredentials(["models"], aliases)).toEqual([]);
    expect(await winner.store.claimCredentials(["models"], [])).toHaveLength(aliases.length);
  });

  test("keep the memory of their node, for as long as somebody must revoke them", async () => {
    const cluster = await TestCluster.make();
    const [dead, empty] = [await cluster.node(), await cluster.node()];
    await dead.store.commit(batch({ credentials: [credential("a")] }));
    await cluster.kill();
    await cluster.ask("UPDATE node SET beat_at = 0");
    const one = await cluster.node();
    await one.store.beat(nodeFacts(one.id));
    const left = (await cluster.ask<{ id: NodeId }>("SELECT id FROM node")).map(({ id }) => id);
    expect(left.sort()).toEqual([dead.id, one.id].sort());
    expect(left).not.toContain(empty.id);
    expect(await one.store.claimCredentials(["models"], [])).toMatchObject([{ alias: "a", state: "revoking" }]);
  });
});

suite("sessions that move", () => {
  test("are taken with their token, or the one before it, and whoever had them is shut out", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const open = session({ tokenHash: "now", previousTokenHash: "before" });
    await one.store.commit(batch({ sessions: [open] }));
    expect(await two.store.takeSession(open.id, "wrong")).toBeUndefined();
    expect(await two.store.takeSession(newSessionId(), "now")).toBeUndefined();
    expect(await two.store.takeSession(open.id, "before")).toEqual({ record: open, lastRun: null, follows: [] });
    const error = await stale(one.store.commit(batch({ sessions: [{ ...open, ackedSeq: 1 }] })));
    expect(error.sessions).toEqual([open.id]);
    await two.store.commit(batch({ sessions: [{ ...open, ackedSeq: 2 }] }));
    expect(await one.store.takeSession(open.id, "now")).toMatchObject({ record: { ackedSeq: 2 } });
    await stale(two.store.commit(batch({ sessions: [open] })));
    // Whoever takes from itself goes on.
    expect(await one.store.takeSession(open.id, "now")).toBeDefined();
    await one.store.commit(batch({ sessions: [{ ...open, ackedSeq: 3 }] }));
  });

  test("no number is given by a node that has lost the session", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const open = session();
    const made = job({ sessionId: open.id });
    const numbered = (seq: number) => ({ runs: new Map([[open.id, [{ seq, jobId: made.id, n: seq, count: 1 }]]]) });
    await one.store.commit(batch({ sessions: [open], jobs: [made], ...appended(made, 3), ...numbered(1) }));
    await two.store.takeSession(open.id, "hash");
    const error = await stale(one.store.commit(batch(numbered(2))));
    expect(error).toMatchObject({ jobs: [], sessions: [open.id] });
    await two.store.commit(batch(numbered(2)));
    expect(await one.store.readFeed(open.id, 0, 9, 9_999)).toHaveLength(2);
    const follow = { sessionId: open.id, jobId: made.id, isOn: true, n: 0 };
    expect((await stale(one.store.commit(batch({ follows: [follow] })))).sessions).toEqual([open.id]);
  });

  test("come with the jobs that they show, and how far they have numbered them", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const open = session();
    const own = job({ sessionId: open.id });
    const [fresh, behind, over, through] = [
      job({ sessionId: open.id }),
      job({ status: "success", endedAt: 5 }),
      job({ status: "success", endedAt: 5 }),
      job(),
    ];
    const all = [own, fresh, behind, over, through];
    await one.store.commit(
      batch({
        ...{ sessions: [open], jobs: all.map((made) => ({ ...made, lastN: 4 })) },
        entries: new Map(all.map(({ id }) => [id, { epoch: 1, list: entriesOf(4) }])),
        runs: new Map([
          [
            open.id,
            [
              { seq: 1, jobId: own.id, n: 1, count: 2 },
              { seq: 3, jobId: over.id, n: 1, count: 4 },
              { seq: 7, jobId: own.id, n: 3, count: 1 },
              { seq: 8, jobId: behind.id, n: 1, count: 1 },
            ],
          ],
        ]),
        follows: [
          { sessionId: open.id, jobId: behind.id, isOn: true, n: 0 },
          { sessionId: open.id, jobId: over.id, isOn: true, n: 0 },
          { sessionId: open.id, jobId: through.id, isOn: true, n: 4 },
        ],
      }),
    );
    expect(await two.store.takeSession(open.id, "hash")).toEqual({
      record: open,
      lastRun: { seq: 8, jobId: behind.id, n: 1, count: 1 },
      follows: [
        { jobId: own.id, n: 3, isOwn: true },
        { jobId: fresh.id, n: 0, isOwn: true },
        { jobId: behind.id, n: 1, isOwn: false },
        { jobId: through.id, n: 4, isOwn: false },
      ],
    });
  });

  test("nobody opens a session that another node has", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const open = session();
    await one.store.commit(batch({ sessions: [open] }));
    expect((await stale(two.store.commit(batch({ sessions: [open] })))).sessions).toEqual([open.id]);
  });

  test("those of a dead node are not attached any more", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const open = session();
    const made = job({ sessionId: open.id });
    const runs = new Map([[open.id, [{ seq: 1, jobId: made.id, n: 1, count: 3 }]]]);
    await one.store.commit(batch({ sessions: [open], jobs: [made], ...appended(made, 3), runs }));
    expect(await two.store.countSessions("alice")).toBe(1);
    await cluster.expire(two.id);
    await two.store.beat(nodeFacts(two.id));
    expect(await two.store.countSessions("alice")).toBe(0);
    const taken = await two.store.takeSession(open.id, "hash");
    expect(taken?.record).toMatchObject({ sentSeq: 3, detachedAt: expect.any(Number) });
  });
});

suite("keys", () => {
  const record = (key: string, overrides = {}) => ({
    ...{ principal: "alice", key, digest: "d", jobId: newJobId(), expiresAt: 8_000_000_000_000 },
    ...overrides,
  });

  test("of many that bind one key at once, all are told of the same job", async () => {
    const cluster = await TestCluster.make();
    const nodes = await Promise.all(Array.from({ length: 3 }, () => cluster.node()));
    for (let round = 0; round < 10; round += 1) {
      const bound = await Promise.all([...nodes, ...nodes].map(({ store }) => store.bindKey(record(`key ${round}`))));
      expect(new Set(bound.map(({ jobId }) => jobId)).size).toBe(1);
    }
  });

  test("stand for a job that lives, and for one whose time is not over", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [live, ended, over] = [job(), job({ status: "success", endedAt: 5 }), job({ status: "success", endedAt: 5 })];
    const keys = [
      record("live", { jobId: live.id, expiresAt: 5 }),
      record("ended", { jobId: ended.id }),
      record("over", { jobId: over.id, expiresAt: 5 }),
    ];
    for (const key of keys) expect(await one.store.bindKey(key)).toEqual(key);
    await one.store.commit(batch({ jobs: [live, ended, over], idempotency: keys }));
    const anew = keys.map(({ key }) => record(key));
    const bound = await Promise.all(anew.map((key) => two.store.bindKey(key)));
    expect(bound).toEqual([keys[0], keys[1], anew[2]]);
  });

  test("stand for a job that a living node is about to store, and for none of a dead one", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [first, second] = [record("k"), record("k")];
    await one.store.bindKey(first);
    expect(await two.store.bindKey(second)).toEqual(first);
    await cluster.expire(two.id);
    await two.store.beat(nodeFacts(two.id));
    expect(await two.store.bindKey(second)).toEqual(second);
  });

  test("are free again when the job was refused, and not when it was stored", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [refused, next] = [record("k"), record("k")];
    await one.store.bindKey(refused);
    await one.store.releaseKey(next);
    expect(await two.store.bindKey(next)).toEqual(refused);
    await one.store.releaseKey(refused);
    expect(await two.store.bindKey(next)).toEqual(next);
    await two.store.commit(batch({ jobs: [job({ id: next.jobId })], idempotency: [next] }));
    await two.store.releaseKey(next);
    expect(await one.store.findIdempotency("alice", "k")).toEqual(next);
  });
});

suite("messages", () => {
  const message = (from: NodeId, to: NodeId, data: string): NodeMessage => ({ from, to, data });

  test("arrive once, in the order of their sender", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const texts = Array.from({ length: 50 }, (_, index) => `${index} \u0000 ä`);
    const sending = texts.map((text) => one.store.send([message(one.id, two.id, text), message(one.id, one.id, text)]));
    await Promise.all(sending);
    expect(await two.store.receive()).toEqual(texts.map((text) => message(one.id, two.id, text)));
    expect(await two.store.receive()).toEqual([]);
    expect(await one.store.receive()).toHaveLength(50);
  });

  test("of two who ask at once, one gets them", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    await one.store.send(Array.from({ length: 20 }, (_, index) => message(one.id, two.id, `${index}`)));
    const received = await Promise.all(Array.from({ length: 4 }, () => two.store.receive()));
    expect(received.flat()).toHaveLength(20);
  });

  test("for the dead are thrown away", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    await one.store.send([message(one.id, two.id, "x")]);
    await cluster.expire(one.id);
    await one.store.beat(nodeFacts(one.id));
    expect(await cluster.ask("SELECT * FROM message")).toEqual([]);
  });
});

suite("wake-ups", () => {
  test("tell others of jobs that grew or were made, of sessions that were taken, of messages and of work", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [here, there] = [new Watch(one), new Watch(two)];
    await Promise.all([here.begun(), there.begun()]);
    await two.store.beat(nodeFacts(two.id));
    const open = session();
    const made = job({ sessionId: open.id });
    const [child, another] = [job({ sessionId: open.id, parentJobId: made.id }), job()];
    await one.store.commit(batch({ sessions: [open], jobs: [made, child, another], ...appended(made, 1) }));
    const grown = await there.next(({ jobs }) => jobs?.has(made.id) === true);
    expect(grown.sentAgoMs).toBeGreaterThanOrEqual(0);
    expect(grown.sentAgoMs).toBeLessThan(5_000);
    // Of a job that its own session has asked for nobody else needs to hear.
    expect((await there.next(({ made: list }) => list.size > 0)).made).toEqual(
      new Map([child, another].map(({ id, sessionId }) => [id, sessionId])),
    );
    await one.store.send([{ from: one.id, to: two.id, data: "x" }]);
    await there.next(({ hasMessages }) => hasMessages);
    await one.store.releaseJobs([made.id]);
    await there.next(({ hasWork }) => hasWork);
    await two.store.takeSession(open.id, "hash");
    await here.next(({ sessions }) => sessions.has(open.id));
    // Nobody is told of what it did itself.
    expect(here.wakes.filter(({ jobs }) => jobs?.has(made.id))).toEqual([]);
    expect(there.wakes.filter(({ sessions }) => sessions.size > 0)).toEqual([]);
  });

  test("are one for much that happens at once, and name everything or say so", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node({ wakeMs: 200 }), await cluster.node()];
    const there = new Watch(two);
    await there.begun();
    const open = session();
    const many = Array.from({ length: 500 }, () => job({ sessionId: open.id }));
    const children = many.slice(0, 50).map(({ id }) => job({ sessionId: open.id, parentJobId: id }));
    const entries = new Map(many.map(({ id }) => [id, { epoch: 1, list: entriesOf(1) }]));
    await one.store.commit(batch({ sessions: [open], jobs: [...many, ...children], entries }));
    await vi.waitUntil(() => there.wakes.flatMap(({ made }) => [...made]).length === 50, { timeout: 10_000 });
    expect(there.wakes[0]?.jobs).toBeUndefined();
    expect(there.wakes.length).toBeLessThanOrEqual(4);
  });

  test("come again when the connection that listens was lost, with everything that may have been missed", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const there = new Watch(two);
    await there.begun();
    await cluster.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1", [
      `LISTEN "arcp_${cluster.schema}"`,
    ]);
    await there.next(({ jobs, hasMessages, hasWork }) => jobs === undefined && hasMessages && hasWork);
    const made = job();
    await one.store.commit(batch({ jobs: [made], ...appended(made, 1) }));
    await there.next(({ jobs }) => jobs?.has(made.id) === true);
  });

  test("end with the watching", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const wakes: Wake[] = [];
    const stop = two.store.watch((wake) => wakes.push(wake));
    await vi.waitUntil(() => wakes.length > 0, { timeout: 10_000 });
    stop();
    stop();
    const other = new Watch({ store: cluster.store() });
    await other.begun();
    const made = job();
    await one.store.commit(batch({ jobs: [made], ...appended(made, 1) }));
    await other.next(({ jobs }) => jobs?.has(made.id) === true);
    expect(wakes).toHaveLength(1);
  });
});

suite("the audit of several nodes", () => {
  test("is one chain, however many append at once", async () => {
    const cluster = await TestCluster.make();
    const nodes = await Promise.all(Array.from({ length: 3 }, () => cluster.node()));
    await Promise.all(
      nodes.flatMap(({ store }) =>
        Array.from({ length: 20 }, (_, at) =>
          store.commit(batch({ audit: [{ at, action: "a", principal: "p", facts: "{}" }] })),
        ),
      ),
    );
    const rows = (await nodes[0]?.store.readAudit(undefined, 100)) ?? [];
    expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
    expect(await verifyAudit(nodes[1]?.store as TestNode["store"])).toMatchObject({ rows: 60, broken: undefined });
  });
});

/** Somebody who reads the log for long, as a dump does. Resolves when it has begun. */
async function longReader({ url, schema }: TestCluster): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query("BEGIN");
  await client.query(`SELECT count(*) FROM "${schema}".entry`);
}

/** A day in the past, with every job that there is. Returns whether its partition is there. */
async function pastDay(cluster: TestCluster): Promise<() => Promise<boolean>> {
  const day = Math.floor(Date.now() / 86_400_000) - 10;
  await cluster.ask(`CREATE TABLE entry_${day} PARTITION OF entry FOR VALUES FROM (${day}) TO (${day + 1})`);
  await cluster.ask("UPDATE entry SET day = $1", [day]);
  await cluster.ask("UPDATE job SET day = $1", [day]);
  return async () => {
    const [row] = await cluster.ask<{ isThere: boolean }>(
      `SELECT to_regclass('entry_${day}') IS NOT NULL AS "isThere"`,
    );
    return row?.isThere === true;
  };
}

suite("days", () => {
  test("are made and left alone while somebody reads for long, and nobody waits", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node({ queryTimeoutMs: 5_000 });
    const old = job({ status: "success", endedAt: 5 });
    await one.store.commit(batch({ jobs: [old], ...appended(old, 2) }));
    const isThere = await pastDay(cluster);
    const tomorrow = Math.floor(Date.now() / 86_400_000) + 1;
    await cluster.ask(`DROP TABLE entry_${tomorrow}`);
    await longReader(cluster);
    const made = job();
    const sweeping = one.store.sweep({ detachedBefore: 0, endedBefore: 500, now: 0 });
    await one.store.commit(batch({ jobs: [made], ...appended(made, 1) }));
    expect(await sweeping).toEqual({ sessions: 0, jobs: 1 });
    expect(await cluster.ask(`SELECT * FROM entry_${tomorrow}`)).toEqual([]);
    expect(await isThere()).toBe(true);
    expect(await cluster.ask("SELECT * FROM garbage")).toEqual([]);
  });

  test("are dropped when no job of them is left, and not before", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    const [kept, gone] = [job({ status: "success", endedAt: 900 }), job({ status: "success", endedAt: 5 })];
    await one.store.commit(batch({ jobs: [kept, gone], ...appended(gone, 2) }));
    const isThere = await pastDay(cluster);
    const cuts = { detachedBefore: 0, now: 0 };
    expect(await one.store.sweep({ ...cuts, endedBefore: 500 })).toEqual({ sessions: 0, jobs: 1 });
    expect(await isThere()).toBe(true);
    expect(await cluster.ask("SELECT * FROM entry")).toEqual([]);
    expect(await one.store.sweep({ ...cuts, endedBefore: 1_000 })).toEqual({ sessions: 0, jobs: 1 });
    expect(await isThere()).toBe(false);
    expect(await cluster.ask("SELECT * FROM garbage")).toEqual([]);
  });

  test("a commit makes the day that it needs", async () => {
    const cluster = await TestCluster.make();
    const one = await cluster.node();
    const made = job();
    const tables = await cluster.ask<{ name: string }>(
      "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'entry'::regclass",
    );
    for (const { name } of tables) await cluster.ask(`DROP TABLE ${name}`);
    await one.store.commit(batch({ jobs: [made], ...appended(made, 1) }));
    expect(await one.store.readJournal(made.id, 1, 1)).toHaveLength(1);
  });

  test("a job that a session is about to follow is not swept away under it", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const [over, open] = [job({ status: "success", endedAt: 5 }), session()];
    await one.store.commit(batch({ jobs: [over], sessions: [open] }));
    // The commit of the follow stands still after it has found the job.
    await cluster.ask(`
      CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('${cluster.schema}')); RETURN NEW; END $$;
      CREATE TRIGGER hold BEFORE INSERT ON follow FOR EACH ROW EXECUTE FUNCTION hold();`);
    const holder = new pg.Client({ connectionString: cluster.url });
    await holder.connect();
    await holder.query("SELECT pg_advisory_lock(hashtext($1))", [cluster.schema]);
    const following = one.store.commit(batch({ follows: [{ sessionId: open.id, jobId: over.id, isOn: true, n: 0 }] }));
    const waiting = `SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
      AND objid = (hashtext('${cluster.schema}')::bigint & 4294967295)::oid`;
    await vi.waitUntil(async () => (await cluster.ask(waiting)).length > 0, { timeout: 10_000 });
    const cuts = { detachedBefore: 0, endedBefore: 10, now: 0 };
    expect(await two.store.sweep(cuts)).toEqual({ sessions: 0, jobs: 0 });
    await holder.end();
    await following;
    expect(await two.store.sweep(cuts)).toEqual({ sessions: 0, jobs: 0 });
    expect(await one.store.findJob(over.id)).toEqual(over);
    await one.store.commit(batch({ follows: [{ sessionId: open.id, jobId: over.id, isOn: false, n: 0 }] }));
    expect(await two.store.sweep(cuts)).toEqual({ sessions: 0, jobs: 1 });
    const gone = await stale(
      one.store.commit(batch({ follows: [{ sessionId: open.id, jobId: over.id, isOn: true, n: 0 }] })),
    );
    expect(gone.jobs).toEqual([over.id]);
  });

  test("of two nodes that sweep at once, none fails", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [await cluster.node(), await cluster.node()];
    const jobs = Array.from({ length: 1_500 }, () => job({ status: "success", endedAt: 5 }));
    await one.store.commit(batch({ jobs }));
    const cuts = { detachedBefore: 10, endedBefore: 10, now: 10 };
    const swept = await Promise.all([one, two, one, two].map(({ store }) => store.sweep(cuts)));
    const rest = await one.store.sweep(cuts);
    expect([...swept, rest].reduce((sum, { jobs: count }) => sum + count, 0)).toBe(1_500);
    expect(await cluster.ask("SELECT * FROM garbage")).toEqual([]);
  });
});
