import type { SessionId } from "@arcp/core";
import { type SessionRecord, type Store, sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { EMPTY, entriesOf, freshPath, jobRecord, putJob } from "./files.ts";

const LATER = 1_000_000;
const ALL = { detachedBefore: LATER, endedBefore: LATER, now: LATER };

const session = (id: string, detachedAt: number | null): SessionRecord => ({
  ...{ id: id as SessionId, principal: "alice", wire: "1.1", features: [], tokenHash: id, previousTokenHash: null },
  ...{ mustAuthenticate: false, salt: "s", ackedSeq: 0, detachedAt, sentSeq: null, createdAt: 1 },
});

/** Rows per table. */
function rowsOf(path: string, ...tables: readonly string[]): unknown[] {
  const db = new Database(path, { readonly: true });
  const counts = tables.map((table) => db.prepare(`SELECT count(*) FROM ${table}`).pluck().get());
  db.close();
  return counts;
}

/** Commits as often as it can until `work` is over; returns how often that was. */
async function commitsDuring(store: Store, work: Promise<unknown>): Promise<number> {
  let [count, isOver] = [0, false];
  const over = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await store.commit({ ...EMPTY, audit: [{ at: 1, action: "test", principal: "", facts: "{}" }] });
    count += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await over;
  return count;
}

describe("a sweep", () => {
  test("lets others commit after every slice of a journal, which nobody is shown meanwhile", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const long = await putJob(store, 20_000);
    const seen: unknown[] = [];
    const sweeping = store.sweep(ALL);
    const commits = commitsDuring(store, sweeping);
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(await store.findJob(long.id), await store.listJobs({ principal: null, limit: 10 }));
    expect(await commits).toBeGreaterThanOrEqual(20);
    expect(await sweeping).toMatchObject({ jobs: 1, sessions: 0 });
    expect(seen).toEqual([undefined, []]);
    expect(rowsOf(path, "job", "entry", "segment")).toEqual([0, 0, 0]);
    await store.close();
  });

  test("takes many jobs, keys and numbers in slices, too", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const jobs = Array.from({ length: 3_000 }, () => jobRecord({ lastN: 1 }));
    const entries = new Map(jobs.map(({ id }) => [id, { epoch: 1, list: entriesOf(1) }]));
    const idempotency = jobs.map(({ id }) => ({ principal: "alice", key: id, digest: "d", jobId: id, expiresAt: 5 }));
    const runs = jobs.map(({ id }, index) => ({ seq: index + 1, jobId: id, n: 1, count: 1 }));
    const gone = session("sess_gone", 3);
    await store.commit({
      ...{ ...EMPTY, sessions: [gone], jobs, entries, idempotency, runs: new Map([[gone.id, runs]]) },
    });
    const sweeping = store.sweep(ALL);
    // 3 slices of numbers, 6 of jobs with their entries, 3 of keys.
    expect(await commitsDuring(store, sweeping)).toBeGreaterThanOrEqual(12);
    expect(await sweeping).toMatchObject({ jobs: 3_000, sessions: 1 });
    expect(rowsOf(path, "job", "entry", "session", "feed", "idempotency")).toEqual([0, 0, 0, 0, 0]);
    await store.close();
  });

  test("leaves what a session that is kept has numbered or follows, and what is not due", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const kept = session("sess_kept", null);
    const numbered = jobRecord({ lastN: 1 });
    const followed = jobRecord({ lastN: 1 });
    const young = jobRecord({ lastN: 1, endedAt: LATER });
    const live = jobRecord({ lastN: 1, status: "running", endedAt: null });
    const old = jobRecord({ lastN: 1 });
    const jobs = [numbered, followed, young, live, old];
    await store.commit({
      ...{ ...EMPTY, sessions: [kept], jobs },
      entries: new Map(jobs.map(({ id }) => [id, { epoch: 1, list: entriesOf(1) }])),
      runs: new Map([[kept.id, [{ seq: 1, jobId: numbered.id, n: 1, count: 1 }]]]),
      follows: [{ sessionId: kept.id, jobId: followed.id, isOn: true, n: 0 }],
    });
    expect(await store.sweep(ALL)).toMatchObject({ jobs: 1, sessions: 0 });
    const left = await store.listJobs({ principal: null, limit: 10 });
    expect(left.map(({ id }) => id).sort()).toEqual([numbered, followed, young, live].map(({ id }) => id).sort());
    await store.close();
  });

  test("leaves a job that is given a number while it runs", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const kept = session("sess_kept", null);
    const [long, late] = [await putJob(store, 5_000), await putJob(store, 1, { endedAt: 3_000 })];
    await store.commit({ ...EMPTY, sessions: [kept] });
    const sweeping = store.sweep(ALL);
    await store.commit({ ...EMPTY, runs: new Map([[kept.id, [{ seq: 1, jobId: late.id, n: 1, count: 1 }]]]) });
    expect(await sweeping).toMatchObject({ jobs: 1 });
    expect(await store.findJob(long.id)).toBeUndefined();
    expect(await store.findJob(late.id)).toBeDefined();
    await store.close();
  });

  test("that is broken off is gone on with by the next, and shows nothing by halves", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const job = await putJob(store, 10_000);
    const sweeping = store.sweep(ALL);
    await new Promise((resolve) => setImmediate(resolve));
    await store.close();
    await expect(sweeping).rejects.toThrow();
    expect(rowsOf(path, "job")).toEqual([1]);
    const again = sqliteStore({ path });
    expect(await again.findJob(job.id)).toBeUndefined();
    expect(await again.takeOver(LATER)).toEqual([]);
    expect(await again.sweep(ALL)).toMatchObject({ jobs: 1 });
    expect(rowsOf(path, "job", "entry")).toEqual([0, 0]);
    await again.close();
  });
});
