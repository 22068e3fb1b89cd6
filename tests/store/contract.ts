/** What every store does, whatever it is made of: the same tests for each of them. */
import { type JobId, newJobId, newSessionId, newTraceId } from "@arcp/core";
import {
  type AuditRecord,
  type Batch,
  type CredentialRecord,
  type Entry,
  type FeedRun,
  type JobRecord,
  type SessionRecord,
  StaleWriterError,
  type Store,
  type StoredRecord,
  verifyAudit,
} from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { ENTRY } from "../../packages/runtime/src/store/store.ts";
import { EMPTY } from "./files.ts";

/** Where the stores of one test keep what they are given. */
export interface StorePlace {
  /** The first store. */
  open(): Promise<Store>;
  /** The store of the process that comes after one that died with `store` in its hands. */
  reopen(store: Store): Promise<Store>;
}

const ALL: Batch = EMPTY;

function job(overrides: Partial<JobRecord> = {}): JobRecord {
  return {
    ...{ id: newJobId(), sessionId: newSessionId(), principal: "alice", agent: "worker", agentVersion: "1.0.0" },
    ...{ status: "running", createdAt: 1_000, endedAt: null, lease: {}, leaseConstraints: null, parentJobId: null },
    ...{ delegateId: null, traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
    ...overrides,
  };
}

function session(overrides: Partial<SessionRecord> = {}): SessionRecord {
  const id = newSessionId();
  return {
    ...{ id, principal: "alice", wire: "1.1", features: [], tokenHash: `hash of ${id}`, previousTokenHash: null },
    ...{ mustAuthenticate: false, salt: "s", ackedSeq: 0, detachedAt: null, sentSeq: null, createdAt: 1 },
    ...overrides,
  };
}

const entry = (n: number, text = "", code: Entry["code"] = ENTRY.log): Entry => ({
  ...{ n, ts: 1_000 + n, code, payload: JSON.stringify({ n, text }) },
});

const entries = (fromN: number, toN: number, text?: string): Entry[] =>
  Array.from({ length: toN - fromN + 1 }, (_, index) => entry(fromN + index, text));

const written = (...journals: readonly (readonly [JobRecord, readonly Entry[]])[]): Batch["entries"] =>
  new Map(journals.map(([{ id, epoch }, list]) => [id, { epoch, list }]));

const changed = (...changes: readonly (JobRecord & { readonly lastN: number })[]): Batch["jobChanges"] =>
  new Map(
    changes.map(({ id, epoch, status, endedAt, budget, lastN, lastEventSeq }) => [
      id,
      { id, epoch, status, endedAt, budget, lastN, lastEventSeq },
    ]),
  );

const runs = (...list: readonly (readonly [SessionRecord, readonly FeedRun[]])[]): Batch["runs"] =>
  new Map(list.map(([{ id }, feed]) => [id, feed]));

const audited = (action: string, overrides: Partial<AuditRecord> = {}): AuditRecord => ({
  ...{ at: 1_000, action, principal: "alice", facts: "{}" },
  ...overrides,
});

const credential = (overrides: Partial<CredentialRecord> = {}): CredentialRecord => ({
  ...{ alias: "alias-1", credentialId: "cred_1", jobId: newJobId(), provisioner: "models", upstreamId: null },
  ...{ state: "intended", createdAt: 1, issuedAt: null, expiresAt: null, revokingSince: null, attempts: 0 },
  ...{ lastError: null, revokedAt: null },
  ...overrides,
});

const record = (id: string, overrides: Partial<StoredRecord> = {}): StoredRecord => ({
  ...{ kind: "thing", id, principal: "alice", jobId: null, dueAt: null, data: JSON.stringify({ id }) },
  ...overrides,
});

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** What the batch was refused for. Throws if it was not. */
async function stale(committing: Promise<void>): Promise<StaleWriterError> {
  try {
    await committing;
  } catch (error) {
    if (error instanceof StaleWriterError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const LATER = 1_000_000;
const CUTS = { detachedBefore: LATER, endedBefore: LATER, now: LATER };
/** What a client may call itself, and what is hard to keep. */
const STRANGE = "ä \u0000 \u{10FFFD} \u{10FFFD}0 '\"\\ 😀 \u{10FFFD}\u0000 {null} \\u0000";

export function storeContract(name: string, place: () => Promise<StorePlace>): void {
  async function opened(): Promise<{ readonly store: Store; readonly reopen: () => Promise<Store> }> {
    const where = await place();
    let store = await where.open();
    onTestFinished(() => store.close());
    return {
      store,
      reopen: async () => {
        store = await where.reopen(store);
        return store;
      },
    };
  }

  describe(`a store: ${name}`, () => {
    describe("jobs and journals", () => {
      test("gives back a job as it was stored", async () => {
        const { store } = await opened();
        const plain = job();
        const full = job({
          ...{ status: "success", endedAt: 2_000, lease: { "fs.read": ["/a/**"] }, budget: { USD: 1.5 } },
          ...{ leaseConstraints: { expires_at: "2030-01-01T00:00:00Z" }, parentJobId: plain.id, delegateId: "d1" },
          ...{ lastN: 7, lastEventSeq: 9, epoch: 3, agent: "über/agent" },
        });
        await store.commit({ ...ALL, jobs: [plain, full] });
        expect(await store.findJob(plain.id)).toEqual(plain);
        expect(await store.findJob(full.id)).toEqual(full);
        expect(await store.findJob(newJobId())).toBeUndefined();
      });

      test("keeps what a job was asked for beside it, and lists it without", async () => {
        const { store, reopen } = await opened();
        const [plain, asking] = [job(), job()];
        const asked = JSON.stringify({ input: { text: STRANGE, long: "x".repeat(60_000) }, max_runtime_sec: 5 });
        await store.commit({ ...ALL, jobs: [plain, { ...asking, asked }] });
        await store.commit({ ...ALL, jobChanges: changed({ ...asking, lastN: 0, lastEventSeq: 2 }) });
        expect(await store.readAsked(asking.id)).toBe(asked);
        expect(await store.readAsked(plain.id)).toBeUndefined();
        expect(await store.readAsked(newJobId())).toBeUndefined();
        const read = { ...asking, lastEventSeq: 2 };
        expect(await store.findJob(asking.id)).toEqual(read);
        expect(await store.listJobs({ principal: "alice", limit: 10 })).toContainEqual(read);
        const next = await reopen();
        const taken = (await next.takeOver(LATER)).find(({ job: { id } }) => id === asking.id);
        expect(taken?.job).toMatchObject({ id: asking.id, epoch: 2 });
        expect(await next.readAsked(asking.id)).toBe(asked);
      });

      test("stores a job that was made and changed in one batch as it has become", async () => {
        const { store } = await opened();
        const made = job();
        const ended = { ...made, status: "success" as const, endedAt: 5, lastN: 2, budget: { USD: 2 } };
        await store.commit({
          ...{ ...ALL, jobs: [made], entries: written([made, entries(1, 2)]), jobChanges: changed(ended) },
        });
        expect(await store.findJob(made.id)).toEqual(ended);
        expect(await store.readJournal(made.id, 1, 2)).toEqual(entries(1, 2));
      });

      test("appends to journals, in one batch to several", async () => {
        const { store } = await opened();
        const [one, two] = [job(), job()];
        await store.commit({
          ...{ ...ALL, jobs: [one, two], entries: written([one, entries(1, 2, "one")], [two, entries(1, 1, "two")]) },
        });
        await store.commit({
          ...{ ...ALL, entries: written([two, entries(2, 4, "two")], [one, entries(3, 3, "one")]) },
          jobChanges: changed({ ...one, lastN: 3, lastEventSeq: 3 }, { ...two, lastN: 4, status: "cancelled" }),
        });
        expect(await store.readJournal(one.id, 1, 3)).toEqual(entries(1, 3, "one"));
        expect(await store.readJournal(two.id, 2, 4)).toEqual(entries(2, 4, "two"));
        expect(await store.findJob(one.id)).toEqual({ ...one, lastN: 3, lastEventSeq: 3 });
        expect(await store.findJob(two.id)).toMatchObject({ lastN: 4, status: "cancelled", endedAt: null });
      });

      test("reads what there is of a range, and the codes alone", async () => {
        const { store } = await opened();
        const made = job();
        const list = [entry(1, "", ENTRY.accepted), entry(2, "", ENTRY.log), entry(3, "", ENTRY.result)];
        await store.commit({ ...ALL, jobs: [made], entries: written([made, list]) });
        expect(await store.readJournal(made.id, 2, 9)).toEqual(list.slice(1));
        expect(await store.readJournal(made.id, 4, 9)).toEqual([]);
        expect(await store.readCodes(made.id, 1, 2)).toEqual([ENTRY.accepted, ENTRY.log]);
        await expect(store.readJournal(newJobId(), 1, 1)).rejects.toThrow("no job");
      });

      test("keeps texts as they are, whatever is in them", async () => {
        const { store } = await opened();
        const strange = job({ principal: STRANGE, agent: STRANGE, agentVersion: STRANGE, lease: { [STRANGE]: [] } });
        const said = { n: 1, ts: 1, code: ENTRY.log, payload: JSON.stringify({ STRANGE, more: "\ud800" }) };
        const kept = record(STRANGE, { principal: STRANGE, data: JSON.stringify({ [STRANGE]: STRANGE }) });
        const key = { principal: STRANGE, key: STRANGE, digest: "d", jobId: strange.id, expiresAt: 1 };
        const done = audited("a", {
          principal: STRANGE,
          remoteAddress: STRANGE,
          facts: JSON.stringify({ a: STRANGE }),
        });
        await store.commit({
          ...{ ...ALL, jobs: [strange], entries: written([strange, [said]]), records: [kept] },
          ...{ idempotency: [key], audit: [done] },
        });
        expect(await store.findJob(strange.id)).toEqual(strange);
        expect(await store.listJobs({ principal: STRANGE, agent: STRANGE, limit: 2 })).toEqual([strange]);
        expect(await store.readJournal(strange.id, 1, 1)).toEqual([said]);
        expect(await store.findRecord("thing", STRANGE)).toEqual(kept);
        expect(await store.findIdempotency(STRANGE, STRANGE)).toEqual(key);
        expect(await store.readAudit(undefined, 1)).toMatchObject([done]);
        expect(await verifyAudit(store)).toMatchObject({ rows: 1, broken: undefined });
      });

      test("keeps large numbers and payloads", async () => {
        const { store } = await opened();
        const large = job({ createdAt: 8_640_000_000_000_000, lastEventSeq: Number.MAX_SAFE_INTEGER });
        const said = entry(1, "x".repeat(3_000_000));
        await store.commit({ ...ALL, jobs: [large], entries: written([large, [said]]) });
        expect(await store.findJob(large.id)).toEqual(large);
        expect(await store.readJournal(large.id, 1, 1)).toEqual([said]);
      });

      test("commits that are under way at once follow one another", async () => {
        const { store } = await opened();
        const made = job();
        const first = store.commit({ ...ALL, jobs: [made] });
        const more = Array.from({ length: 20 }, (_, index) =>
          store.commit({ ...ALL, entries: written([made, [entry(index + 1)]]) }),
        );
        await Promise.all([first, ...more]);
        expect(await store.readJournal(made.id, 1, 20)).toEqual(entries(1, 20));
      });
    });

    describe("a writer that no longer owns its job", () => {
      test("gets nothing in, and nothing of the batch is stored", async () => {
        const { store } = await opened();
        const [mine, other] = [job(), job()];
        const opening = session();
        await store.commit({ ...ALL, jobs: [mine, other] });
        await stale(
          store.commit({
            ...{ ...ALL, sessions: [opening], jobs: [job({ id: "job_new" as JobId })], records: [record("r")] },
            entries: written([mine, entries(1, 2)], [{ ...other, epoch: 2 }, entries(1, 1)]),
            jobChanges: changed({ ...mine, lastN: 2 }),
            audit: [audited("a")],
          }),
        );
        expect(await store.findJob(mine.id)).toEqual(mine);
        expect(await store.readJournal(mine.id, 1, 2)).toEqual([]);
        expect(await store.findJob("job_new" as JobId)).toBeUndefined();
        expect(await store.findSession(opening.id)).toBeUndefined();
        expect(await store.findRecord("thing", "r")).toBeUndefined();
        expect(await store.readAudit(undefined, 1)).toEqual([]);
      });

      test.each(["entries", "jobChanges"] as const)("is found by its %s", async (member) => {
        const { store } = await opened();
        const made = job();
        await store.commit({ ...ALL, jobs: [made] });
        const lost = { ...made, epoch: 0 };
        const batch = { entries: written([lost, entries(1, 1)]), jobChanges: changed(lost) };
        await stale(store.commit({ ...ALL, [member]: batch[member] }));
        await store.commit({ ...ALL, entries: written([made, entries(1, 1)]), jobChanges: changed(made) });
      });

      test("the writer of a job that there is not is one", async () => {
        const { store } = await opened();
        await stale(store.commit({ ...ALL, entries: written([job(), entries(1, 1)]) }));
        await stale(store.commit({ ...ALL, jobChanges: changed(job()) }));
      });

      test("others commit after it", async () => {
        const { store } = await opened();
        const made = job();
        const [bad, good] = [
          store.commit({ ...ALL, entries: written([made, entries(1, 1)]) }),
          store.commit({ ...ALL, jobs: [made], entries: written([made, entries(1, 1)]) }),
        ];
        await stale(bad);
        await good;
        expect(await store.readJournal(made.id, 1, 1)).toEqual(entries(1, 1));
      });
    });

    describe("sessions and feeds", () => {
      test("gives back a session as it was stored last, by its id and its tokens", async () => {
        const { store } = await opened();
        const first = session({ features: ["a", "b"], mustAuthenticate: true, wire: "1.0" });
        await store.commit({ ...ALL, sessions: [first] });
        expect(await store.findSession(first.id)).toEqual({ record: first, lastRun: null });
        expect(await store.findSessionByToken(first.tokenHash)).toBe(first.id);
        const then = {
          ...{ ...first, tokenHash: "new", previousTokenHash: first.tokenHash, ackedSeq: 4, features: [] },
          ...{ detachedAt: 9, sentSeq: 5 },
        };
        await store.commit({ ...ALL, sessions: [then] });
        expect(await store.findSession(first.id)).toEqual({ record: then, lastRun: null });
        expect(await store.findSessionByToken("new")).toBe(first.id);
        expect(await store.findSessionByToken(first.tokenHash)).toBe(first.id);
        expect(await store.findSessionByToken("none")).toBeUndefined();
        expect(await store.findSession(newSessionId())).toBeUndefined();
      });

      /** Two jobs, whose entries a session has numbered in turns: 1-2 of one, 1-3 of two, 3-4 of one. */
      async function numbered() {
        const { store, reopen } = await opened();
        const reader = session();
        const [one, two] = [job({ sessionId: reader.id }), job({ sessionId: reader.id })];
        await store.commit({
          ...{ ...ALL, sessions: [reader], jobs: [one, two] },
          entries: written([one, entries(1, 4, "one")], [two, entries(1, 3, "two")]),
          runs: runs([
            reader,
            [
              { seq: 1, jobId: one.id, n: 1, count: 2 },
              { seq: 3, jobId: two.id, n: 1, count: 3 },
              { seq: 6, jobId: one.id, n: 3, count: 2 },
            ],
          ]),
        });
        const expected = [
          ...[1, 2].map((n) => ({ jobId: one.id, traceId: one.traceId, entry: entry(n, "one") })),
          ...[1, 2, 3].map((n) => ({ jobId: two.id, traceId: two.traceId, entry: entry(n, "two") })),
          ...[3, 4].map((n) => ({ jobId: one.id, traceId: one.traceId, entry: entry(n, "one") })),
        ].map((item, index) => ({ seq: index + 1, ...item }));
        return { store, reopen, reader, one, two, expected };
      }

      test("reads a feed from any number on, at most so many", async () => {
        const { store, reader, expected } = await numbered();
        for (let after = 0; after <= 7; after += 1) {
          for (let limit = 1; limit <= 8; limit += 1) {
            const items = await store.readFeed(reader.id, after, limit, 1_000_000);
            expect(items).toEqual(expected.slice(after, after + limit));
          }
        }
        expect(await store.readFeed(newSessionId(), 0, 10, 100)).toEqual([]);
      });

      test("reads no more bytes than are wanted, but always one item", async () => {
        const { store, reader, expected } = await numbered();
        const bytes = expected[0]?.entry.payload.length ?? 0;
        expect(await store.readFeed(reader.id, 0, 10, 0)).toEqual(expected.slice(0, 1));
        expect(await store.readFeed(reader.id, 0, 10, bytes * 2)).toEqual(expected.slice(0, 2));
        expect(await store.readFeed(reader.id, 1, 10, bytes * 4)).toEqual(expected.slice(1, 5));
        expect(await store.readFeed(reader.id, 1, 10, Number.POSITIVE_INFINITY)).toEqual(expected.slice(1));
      });

      test("a run that has grown takes the place of what it was", async () => {
        const { store, reader, one, two, expected } = await numbered();
        await store.commit({
          ...{ ...ALL, entries: written([one, entries(5, 6, "one")]), jobChanges: changed({ ...one, lastN: 6 }) },
          runs: runs([reader, [{ seq: 6, jobId: one.id, n: 3, count: 4 }]]),
        });
        const items = await store.readFeed(reader.id, 7, 10, 1_000_000);
        expect(items.map(({ seq, entry: { n } }) => [seq, n])).toEqual([
          [8, 5],
          [9, 6],
        ]);
        expect((await store.readFeed(reader.id, 0, 7, 1_000_000)).length).toBe(expected.length);
        const found = await store.findSession(reader.id);
        expect(found?.lastRun).toEqual({ seq: 6, jobId: one.id, n: 3, count: 4 });
        await store.commit({ ...ALL, runs: runs([reader, [{ seq: 10, jobId: two.id, n: 1, count: 1 }]]) });
        expect((await store.findSession(reader.id))?.lastRun).toEqual({ seq: 10, jobId: two.id, n: 1, count: 1 });
      });

      test("knows how far a session had come in a journal", async () => {
        const { store, reader, one, two } = await numbered();
        const positions = async (id: JobId) =>
          Promise.all([0, 1, 2, 3, 4, 5, 6, 7, 99].map((seq) => store.feedPosition(reader.id, id, seq)));
        expect(await positions(one.id)).toEqual([0, 1, 2, 2, 2, 2, 3, 4, 4]);
        expect(await positions(two.id)).toEqual([0, 0, 0, 1, 2, 3, 3, 3, 3]);
        expect(await store.feedPosition(newSessionId(), one.id, 1)).toBeUndefined();
      });

      test("reads one long run in pieces", async () => {
        const { store } = await opened();
        const reader = session();
        const long = job();
        await store.commit({
          ...{ ...ALL, sessions: [reader], jobs: [long], entries: written([long, entries(1, 1_000)]) },
          runs: runs([reader, [{ seq: 1, jobId: long.id, n: 1, count: 1_000 }]]),
        });
        const seen: number[] = [];
        for (;;) {
          const items = await store.readFeed(reader.id, seen.length, 130, 1_000_000);
          if (items.length === 0) break;
          seen.push(...items.map(({ entry: { n } }) => n));
        }
        expect(seen).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
      });

      test("reads many short runs in one piece", async () => {
        const { store } = await opened();
        const reader = session();
        const pair = [job(), job()] as const;
        const list = Array.from({ length: 300 }, (_, index): FeedRun => {
          return { seq: index + 1, jobId: pair[index % 2 === 0 ? 0 : 1].id, n: Math.floor(index / 2) + 1, count: 1 };
        });
        await store.commit({
          ...{ ...ALL, sessions: [reader], jobs: pair },
          entries: written([pair[0], entries(1, 150, "0")], [pair[1], entries(1, 150, "1")]),
          runs: runs([reader, list]),
        });
        const items = await store.readFeed(reader.id, 100, 100, 1_000_000);
        expect(items.map(({ seq, jobId, entry: { n } }) => ({ seq, jobId, n, count: 1 }))).toEqual(
          list.slice(100, 200),
        );
      });
    });

    describe("listings", () => {
      test("lists jobs by time and id, in pages", async () => {
        const { store } = await opened();
        const made = [3, 1, 2, 2, 2].map((createdAt) => job({ createdAt }));
        await store.commit({ ...ALL, jobs: made });
        const sorted = [...made].sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
        const seen: JobRecord[] = [];
        for (;;) {
          const last = seen.at(-1);
          const page = await store.listJobs({ principal: "alice", limit: 2, ...(last && { after: last }) });
          if (page.length === 0) break;
          expect(page.length).toBeLessThanOrEqual(2);
          seen.push(...page);
        }
        expect(seen).toEqual(sorted);
        expect(await store.listJobs({ principal: null, limit: 9 })).toEqual(sorted);
      });

      test("lists only what is asked for", async () => {
        const { store } = await opened();
        const [a, b, c] = [
          job({ createdAt: 10, status: "pending", agent: "x" }),
          job({ createdAt: 20, principal: "bob", agentVersion: "2" }),
          job({ createdAt: 30, status: "success", endedAt: 31 }),
        ];
        await store.commit({ ...ALL, jobs: [a, b, c] });
        const ids = async (query: object) =>
          (await store.listJobs({ principal: null, limit: 9, ...query })).map(({ id }) => id);
        expect(await ids({ principal: "alice" })).toEqual([a.id, c.id]);
        expect(await ids({ status: ["success", "pending"] })).toEqual([a.id, c.id]);
        expect(await ids({ status: ["running"] })).toEqual([b.id]);
        expect(await ids({ agent: "x" })).toEqual([a.id]);
        expect(await ids({ agent: "worker", agentVersion: "2" })).toEqual([b.id]);
        expect(await ids({ createdAfter: 10 })).toEqual([b.id, c.id]);
        expect(await ids({ createdBefore: 30 })).toEqual([a.id, b.id]);
        expect(await ids({ createdAfter: 10, createdBefore: 30, principal: "alice" })).toEqual([]);
      });

      test("tells the whole history", async () => {
        const { store } = await opened();
        const list = Array.from({ length: 600 }, () => job());
        const told = job({ lastN: 3, status: "success", endedAt: 5, leaseConstraints: { expires_at: "x" } });
        const terminal = { n: 3, ts: 9, code: ENTRY.result, payload: '{"final_status":"success"}' } as const;
        await store.commit({ ...ALL, jobs: list });
        await store.commit({ ...ALL, jobs: [told], entries: written([told, [...entries(1, 2), terminal]]) });
        const jobs = await all(store.jobs());
        expect(jobs.map(({ jobId }) => jobId)).toEqual([...list, told].map(({ id }) => id));
        expect(jobs.at(-1)).toMatchObject({ endedAt: 5, leaseConstraints: { expires_at: "x" } });
        const history = await all(store.entries(told.id));
        expect(history.map(({ n, type }) => [n, type])).toEqual([
          [1, "job.event"],
          [2, "job.event"],
          [3, "job.result"],
        ]);
        expect(history[2]).toEqual({
          jobId: told.id,
          n: 3,
          ts: 9,
          type: "job.result",
          payload: { final_status: "success" },
        });
        expect(await all(store.entries(told.id, 2))).toEqual(history.slice(2));
        expect(await all(store.entries(newJobId()))).toEqual([]);
      });
    });

    describe("keys and records", () => {
      test("a key stands for the job that it was bound to last", async () => {
        const { store } = await opened();
        const [one, two] = [job(), job()];
        const key = { principal: "alice", key: "k", digest: "d1", jobId: one.id, expiresAt: 10 };
        await store.commit({ ...ALL, jobs: [one, two], idempotency: [key] });
        expect(await store.findIdempotency("alice", "k")).toEqual(key);
        expect(await store.findIdempotency("bob", "k")).toBeUndefined();
        const anew = { ...key, digest: "d2", jobId: two.id, expiresAt: 20 };
        await store.commit({ ...ALL, idempotency: [anew] });
        expect(await store.findIdempotency("alice", "k")).toEqual(anew);
      });

      test("records are replaced and deleted", async () => {
        const { store } = await opened();
        const [one, two] = [record("one"), record("two", { kind: "other", jobId: newJobId(), dueAt: 5 })];
        await store.commit({ ...ALL, records: new Set([one, two]) });
        expect(await store.findRecord("thing", "one")).toEqual(one);
        expect(await store.findRecord("other", "two")).toEqual(two);
        expect(await store.findRecord("other", "one")).toBeUndefined();
        const anew = record("one", { principal: "bob", jobId: newJobId(), dueAt: 7, data: "{}" });
        await store.commit({ ...ALL, records: [anew, { ...two, data: null }] });
        expect(await store.findRecord("thing", "one")).toEqual(anew);
        expect(await store.findRecord("other", "two")).toBeUndefined();
        await store.commit({ ...ALL, records: [{ ...anew, data: null }] });
        expect(await store.findRecord("thing", "one")).toBeUndefined();
      });

      test("lists records by id, byte by byte, in pages", async () => {
        const { store } = await opened();
        const ids = ["B", "a", "a-", "a1", "b", "ä", "é", "\u{1F600}", "\uFFFD"];
        await store.commit({ ...ALL, records: [...ids].reverse().map((id) => record(id)) });
        await store.commit({ ...ALL, records: [record("other", { kind: "another" })] });
        const seen: string[] = [];
        for (;;) {
          const last = seen.at(-1);
          const page = await store.listRecords({ kind: "thing", limit: 2, ...(last !== undefined && { after: last }) });
          if (page.length === 0) break;
          seen.push(...page.map(({ id }) => id));
        }
        expect(seen).toEqual([...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
      });

      test("lists records of a principal, of a job, and those that are due, the soonest first", async () => {
        const { store } = await opened();
        const jobId = newJobId();
        await store.commit({
          ...ALL,
          records: [
            record("a", { dueAt: 30 }),
            record("b", { dueAt: 10, principal: "bob" }),
            record("c", { dueAt: 20, jobId }),
            record("d", { jobId }),
            record("e", { dueAt: 10 }),
          ],
        });
        const ids = async (query: object) =>
          (await store.listRecords({ kind: "thing", limit: 9, ...query })).map(({ id }) => id);
        expect(await ids({ principal: "bob" })).toEqual(["b"]);
        expect(await ids({ jobId })).toEqual(["c", "d"]);
        expect(await ids({ dueBefore: 30 })).toEqual(["b", "e", "c"]);
        expect(await ids({ dueBefore: 31, limit: 2 })).toEqual(["b", "e"]);
        expect(await ids({ dueBefore: 31, principal: "alice" })).toEqual(["e", "c", "a"]);
      });
    });

    describe("credentials", () => {
      test("go forward, and a writer that would take one back is stale", async () => {
        const { store } = await opened();
        const live = credential({ state: "live", issuedAt: 2, upstreamId: "u" });
        await store.commit({ ...ALL, credentials: [credential()] });
        await store.commit({ ...ALL, credentials: [live] });
        await store.commit({ ...ALL, credentials: [{ ...live, attempts: 1, lastError: "e" }] });
        await stale(store.commit({ ...ALL, records: [record("r")], credentials: [credential()] }));
        expect(await store.findRecord("thing", "r")).toBeUndefined();
        const revoked: CredentialRecord = {
          ...{
            ...live,
            state: "revoked",
            revokingSince: 3,
            revokedAt: 4,
            attempts: 1,
            lastError: "e",
            jobId: live.jobId,
          },
        };
        const stored = { ...revoked, jobId: (await store.outstandingCredentials())[0]?.jobId as JobId };
        await store.commit({ ...ALL, credentials: [revoked] });
        expect(await store.outstandingCredentials()).toEqual([]);
        expect(await store.listCredentials({ limit: 9 })).toEqual([stored]);
      });

      test("are listed by time and alias, in pages, and by what is asked for", async () => {
        const { store } = await opened();
        const jobId = newJobId();
        const list = [
          credential({ alias: "c", createdAt: 1, jobId, state: "revoked" }),
          credential({ alias: "a", createdAt: 2, jobId, credentialId: "x" }),
          credential({ alias: "b", createdAt: 2, provisioner: "other", state: "live", expiresAt: 7 }),
        ];
        await store.commit({ ...ALL, credentials: [...list].reverse() });
        expect(await store.listCredentials({ limit: 2 })).toEqual(list.slice(0, 2));
        expect(await store.listCredentials({ limit: 2, after: { createdAt: 2, alias: "a" } })).toEqual(list.slice(2));
        expect(await store.listCredentials({ limit: 9, jobId })).toEqual(list.slice(0, 2));
        expect(await store.listCredentials({ limit: 9, jobId, credentialId: "x" })).toEqual([list[1]]);
        expect(await store.listCredentials({ limit: 9, provisioner: "other" })).toEqual([list[2]]);
        expect(await store.listCredentials({ limit: 9, states: ["live", "revoked"] })).toEqual([list[0], list[2]]);
        expect(await store.outstandingCredentials()).toEqual(list.slice(1));
      });
    });

    describe("the audit", () => {
      test("is a chain over all commits and processes", async () => {
        const { store, reopen } = await opened();
        const [sessionId, jobId] = [newSessionId(), newJobId()];
        const full = audited("two", {
          sessionId,
          jobId,
          remoteAddress: "::1",
          traceId: newTraceId(),
          facts: '{"a":1}',
        });
        expect(await store.auditHead()).toBeUndefined();
        await store.commit({ ...ALL, audit: [audited("one"), full] });
        const next = await reopen();
        await next.commit({ ...ALL, audit: [audited("three")] });
        const rows = await next.readAudit(undefined, 9);
        expect(rows.map(({ seq, action }) => [seq, action])).toEqual([
          [1, "one"],
          [2, "two"],
          [3, "three"],
        ]);
        expect(rows[1]).toMatchObject(full);
        expect(rows[0]).not.toHaveProperty("sessionId");
        expect(await next.readAudit(1, 1)).toEqual([rows[1]]);
        expect(await next.auditHead()).toEqual({ seq: 3, hash: rows[2]?.hash });
        expect(await verifyAudit(next, rows[1]?.hash)).toMatchObject({ rows: 3, broken: undefined });
      });

      test("is pruned from the beginning on, and the chain says so", async () => {
        const { store } = await opened();
        const times = [10, 20, 50, 30, 60];
        await store.commit({ ...ALL, audit: times.map((at) => audited(`at ${at}`, { at })) });
        expect(await store.pruneAudit(5, 100)).toBe(0);
        expect(await store.pruneAudit(40, 100)).toBe(2);
        const rows = await store.readAudit(undefined, 9);
        expect(rows.map(({ seq, action }) => [seq, action])).toEqual([
          [3, "at 50"],
          [4, "at 30"],
          [5, "at 60"],
          [6, "audit.pruned"],
        ]);
        expect(await verifyAudit(store)).toMatchObject({ firstSeq: 3, broken: undefined });
        await store.commit({ ...ALL, audit: [audited("after", { at: 101 })] });
        expect(await store.pruneAudit(1_000, 200)).toBe(5);
        expect(await verifyAudit(store)).toMatchObject({ firstSeq: 8, rows: 1, broken: undefined });
      });

      test("is pruned some thousands of rows at a time", async () => {
        const { store } = await opened();
        await store.commit({ ...ALL, audit: Array.from({ length: 2_500 }, (_, at) => audited("a", { at })) });
        const gone: number[] = [];
        for (let count = -1; count !== 0; ) {
          count = await store.pruneAudit(10_000, 20_000);
          gone.push(count);
        }
        expect(gone.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(2_500);
        expect(await verifyAudit(store)).toMatchObject({ broken: undefined });
      });
    });

    describe("taking over", () => {
      test("raises the epochs of what a dead writer left, and shuts it out", async () => {
        const { store, reopen } = await opened();
        const [own, follower] = [session(), session({ detachedAt: 3, sentSeq: 1 })];
        const [left, ended] = [job({ sessionId: own.id }), job({ status: "success", endedAt: 5 })];
        await store.commit({
          ...{ ...ALL, sessions: [own, follower], jobs: [left, ended], entries: written([left, entries(1, 2)]) },
          jobChanges: changed({ ...left, lastN: 2 }),
          runs: runs([own, [{ seq: 1, jobId: left.id, n: 1, count: 2 }]]),
          follows: [{ sessionId: follower.id, jobId: left.id, isOn: true, n: 0 }],
        });
        const next = await reopen();
        const taken = await next.takeOver(77);
        const mine = { ...left, lastN: 2, epoch: 2 };
        expect(taken).toEqual([{ job: mine, followers: [own.id, follower.id] }]);
        expect(await next.findJob(left.id)).toEqual(mine);
        expect((await next.findSession(own.id))?.record).toEqual({ ...own, detachedAt: 77, sentSeq: 2 });
        expect((await next.findSession(follower.id))?.record).toEqual(follower);
        await stale(next.commit({ ...ALL, entries: written([left, entries(3, 3)]) }));
        await next.commit({
          ...{ ...ALL, sessions: [{ ...own, ackedSeq: 1, detachedAt: 77 }], entries: written([mine, entries(3, 3)]) },
          jobChanges: changed({ ...mine, lastN: 3, status: "error", endedAt: 80 }),
          runs: runs(
            [own, [{ seq: 3, jobId: left.id, n: 3, count: 1 }]],
            [follower, [{ seq: 1, jobId: left.id, n: 1, count: 3 }]],
          ),
        });
        expect(await next.readFeed(follower.id, 0, 9, 1_000)).toHaveLength(3);
        expect(await next.takeOver(99)).toEqual([]);
      });

      test("names every session that follows a job once, and none that does no more", async () => {
        const { store, reopen } = await opened();
        const [own, follower, former] = [session(), session(), session()];
        const left = job({ sessionId: own.id });
        const follow = { jobId: left.id, isOn: true, n: 0 };
        await store.commit({
          ...{ ...ALL, sessions: [own, follower, former], jobs: [left] },
          follows: [own, follower, former].map(({ id }) => ({ ...follow, sessionId: id })),
        });
        await store.commit({ ...ALL, follows: [{ ...follow, sessionId: former.id, isOn: false }] });
        const next = await reopen();
        const [taken] = await next.takeOver(1);
        expect([...(taken?.followers ?? [])].sort()).toEqual([own.id, follower.id].sort());
      });

      test("in the order in which jobs were made", async () => {
        const { store, reopen } = await opened();
        const list = Array.from({ length: 30 }, (_, index) => job({ createdAt: 1_000 - index }));
        for (const made of list) await store.commit({ ...ALL, jobs: [made] });
        const next = await reopen();
        const taken = await next.takeOver(1);
        expect(taken.map(({ job: { id } }) => id)).toEqual(list.map(({ id }) => id));
      });
    });

    describe("a sweep", () => {
      test("takes sessions that were detached too long ago, with their feeds", async () => {
        const { store } = await opened();
        const [attached, young, old] = [
          session(),
          session({ detachedAt: LATER }),
          session({ detachedAt: 5, sentSeq: 0 }),
        ];
        const seen = job({ status: "success", endedAt: LATER });
        await store.commit({
          ...{ ...ALL, sessions: [attached, young, old], jobs: [seen], entries: written([seen, entries(1, 1)]) },
          runs: runs([old, [{ seq: 1, jobId: seen.id, n: 1, count: 1 }]]),
          follows: [{ sessionId: old.id, jobId: seen.id, isOn: true, n: 0 }],
        });
        expect(await store.sweep(CUTS)).toEqual({ sessions: 1, jobs: 0 });
        expect(await store.findSession(old.id)).toBeUndefined();
        expect(await store.readFeed(old.id, 0, 9, 99)).toEqual([]);
        expect(await store.findSession(attached.id)).toBeDefined();
        expect(await store.findSession(young.id)).toBeDefined();
        expect(await store.findJob(seen.id)).toEqual(seen);
      });

      test("takes jobs that ended too long ago, unless a session that is kept needs them", async () => {
        const { store } = await opened();
        const [kept, going] = [session(), session({ detachedAt: 5 })];
        const over = { status: "success", endedAt: 5 } as const;
        const [old, numbered, followed, unneeded] = [job(over), job(over), job(over), job(over)];
        const [live, young] = [job(), job({ ...over, endedAt: LATER })];
        const list = [old, numbered, followed, unneeded, live, young];
        await store.commit({
          ...{ ...ALL, sessions: [kept, going], jobs: list },
          entries: written(...list.map((made) => [made, entries(1, 2)] as const)),
          runs: runs(
            [kept, [{ seq: 1, jobId: numbered.id, n: 1, count: 1 }]],
            [going, [{ seq: 1, jobId: unneeded.id, n: 1, count: 1 }]],
          ),
          follows: [{ sessionId: kept.id, jobId: followed.id, isOn: true, n: 0 }],
        });
        expect(await store.sweep(CUTS)).toEqual({ sessions: 1, jobs: 2 });
        const left = await store.listJobs({ principal: null, limit: 9 });
        expect(left.map(({ id }) => id).sort()).toEqual([numbered, followed, live, young].map(({ id }) => id).sort());
        for (const { id } of [old, unneeded]) expect(await store.findJob(id)).toBeUndefined();
        for (const { id } of left) expect(await store.readJournal(id, 1, 2)).toEqual(entries(1, 2));
        expect(await store.readFeed(kept.id, 0, 9, 99)).toHaveLength(1);
        expect(await store.sweep(CUTS)).toEqual({ sessions: 0, jobs: 0 });
      });

      test("takes many and long ones", async () => {
        const { store } = await opened();
        const over = { status: "success", endedAt: 5 } as const;
        const [long, many] = [job(over), Array.from({ length: 2_200 }, () => job(over))];
        await store.commit({ ...ALL, jobs: [long, ...many], entries: written([long, entries(1, 3_000)]) });
        expect(await store.sweep(CUTS)).toEqual({ sessions: 0, jobs: 2_201 });
        expect(await store.listJobs({ principal: null, limit: 9 })).toEqual([]);
        expect(await all(store.entries(long.id))).toEqual([]);
      });

      test("shortens journals of jobs that ended too long ago, up to their results", async () => {
        const { store, reopen } = await opened();
        const ended = { status: "success", endedAt: 10 } as const;
        const plain = job({ ...ended, lastN: 2_500 });
        const streamed = job({ ...ended, lastN: 5 });
        const short = job({ ...ended, lastN: 1 });
        const young = job({ ...ended, endedAt: LATER, lastN: 3 });
        const chunk = (n: number): Entry => entry(n, "", ENTRY.result_chunk);
        const end = (n: number): Entry => entry(n, "", ENTRY.result);
        await store.commit({
          ...{ ...ALL, jobs: [plain, streamed, short, young] },
          entries: written(
            [plain, [...entries(1, 2_499), end(2_500)]],
            [streamed, [entry(1), entry(2), chunk(3), chunk(4), end(5)]],
            [short, [end(1)]],
            [young, [entry(1), entry(2), end(3)]],
          ),
        });
        const cuts = { detachedBefore: 0, endedBefore: 0, eventsBefore: LATER, now: LATER };
        for (const now of [LATER, LATER + 60_001]) {
          expect(await store.sweep({ ...cuts, now })).toEqual({ sessions: 0, jobs: 0 });
          expect(await store.findJob(plain.id)).toEqual({ ...plain, firstN: 2_500 });
          expect(await store.findJob(streamed.id)).toEqual({ ...streamed, firstN: 3 });
          expect(await store.findJob(short.id)).toEqual(short);
          expect(await store.readJournal(plain.id, 1, 2_500)).toEqual([end(2_500)]);
          expect(await store.readJournal(plain.id, 1, 100)).toEqual([]);
          expect(await store.readJournal(streamed.id, 2, 4)).toEqual([chunk(3), chunk(4)]);
          expect(await store.readCodes(streamed.id, 3, 5)).toEqual([9, 9, ENTRY.result]);
          expect((await all(store.entries(streamed.id))).map(({ n }) => n)).toEqual([3, 4, 5]);
          expect(await store.readJournal(young.id, 1, 3)).toEqual([entry(1), entry(2), end(3)]);
        }
        const again = await reopen();
        expect((await all(again.entries(plain.id))).map(({ n }) => n)).toEqual([2_500]);
        expect(await again.sweep({ ...cuts, endedBefore: LATER })).toEqual({ sessions: 0, jobs: 3 });
      });

      test("leaves the events of what a session that is kept has numbered or follows, and of children whose parents live", async () => {
        const { store } = await opened();
        const kept = session();
        const ended = { status: "success", endedAt: 10, lastN: 2 } as const;
        const [numbered, followed] = [job(ended), job(ended)];
        const parent = job();
        const child = job({ ...ended, parentJobId: parent.id });
        const late = job(ended);
        const list = [entry(1), entry(2, "", ENTRY.result)];
        const jobs = [numbered, followed, parent, child, late];
        await store.commit({
          ...{ ...ALL, sessions: [kept], jobs },
          entries: written(...jobs.filter((one) => one !== parent).map((one) => [one, list] as const)),
          runs: runs([kept, [{ seq: 1, jobId: numbered.id, n: 1, count: 2 }]]),
          follows: [{ sessionId: kept.id, jobId: followed.id, isOn: true, n: 2 }],
        });
        const cuts = { detachedBefore: 0, endedBefore: 0, eventsBefore: LATER, now: LATER };
        await store.sweep(cuts);
        expect(await store.findJob(late.id)).toMatchObject({ firstN: 2 });
        // Somebody had read where it begins before that, and numbers it from there.
        const run = { seq: 3, jobId: late.id, n: 1, count: 2 };
        await store.commit({ ...ALL, runs: runs([kept, [run]]) });
        await store.sweep({ ...cuts, now: LATER + 60_001 });
        for (const { id } of [numbered, followed, child]) expect(await store.readJournal(id, 1, 2)).toEqual(list);
        expect((await store.readFeed(kept.id, 2, 10, 1_000)).map(({ seq }) => seq)).toEqual([3, 4]);
      });

      test("takes keys that are too old, unless their jobs live", async () => {
        const { store } = await opened();
        const [live, ended] = [job(), job({ status: "success", endedAt: LATER })];
        const key = (name: string, jobId: JobId, expiresAt: number) => ({
          ...{ principal: "alice", key: name, digest: "d", jobId, expiresAt },
        });
        await store.commit({
          ...{ ...ALL, jobs: [live, ended] },
          idempotency: [key("live", live.id, 5), key("ended", ended.id, 5), key("young", ended.id, LATER)],
        });
        await store.sweep(CUTS);
        expect(await store.findIdempotency("alice", "live")).toBeDefined();
        expect(await store.findIdempotency("alice", "young")).toBeDefined();
        expect(await store.findIdempotency("alice", "ended")).toBeUndefined();
      });

      test("takes credentials that are dead with their jobs, and never one that is not", async () => {
        const { store } = await opened();
        const gone = job({ status: "success", endedAt: 5 });
        const dead = { state: "revoked", revokedAt: 6 } as const;
        await store.commit({
          ...{ ...ALL, jobs: [gone] },
          credentials: [
            credential({ alias: "dead", jobId: gone.id, ...dead }),
            credential({ alias: "alive", jobId: gone.id, state: "revoking" }),
            credential({ alias: "jobless", ...dead }),
            credential({ alias: "jobless and young", ...dead, revokedAt: LATER }),
          ],
        });
        await store.sweep(CUTS);
        const left = await store.listCredentials({ limit: 9 });
        expect(left.map(({ alias }) => alias).sort()).toEqual(["alive", "jobless and young"]);
      });
    });

    test("room is kept without harm", async () => {
      const { store } = await opened();
      await store.keepRoom();
      expect(store.isScarce).toBe(false);
    });

    test("closes, once or more often", async () => {
      const { store } = await opened();
      await store.close();
      await store.close();
    });
  });
}
