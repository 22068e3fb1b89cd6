import { randomBytes } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type JobId, newJobId, type SessionId } from "@arcp/core";
import {
  backUpDatabase,
  type CredentialRecord,
  type Entry,
  type SessionRecord,
  type Store,
  StoreError,
  sqliteStore,
} from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { EMPTY, entriesOf, freshPath, jobRecord, putJob, storeFailure } from "./files.ts";

/** Pseudo-random numbers, the same for the same seed (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

const SESSION: SessionRecord = {
  ...{ id: "sess_1" as SessionId, principal: "alice", wire: "1.1", features: [], tokenHash: "t".repeat(64) },
  ...{ previousTokenHash: null, mustAuthenticate: false, salt: "salt", ackedSeq: 0, detachedAt: 5, sentSeq: 400 },
  createdAt: 1,
};
const JOBS = 8;
const ENTRIES = 50;

const payloadOf = (job: number, n: number): string =>
  JSON.stringify({ kind: "log", body: { message: `entry ${n} of job ${job}: ${"lorem ipsum ".repeat(12)}` } });

const credentialOf = (index: number, jobId: JobId): CredentialRecord => ({
  ...{ alias: `alias-${index}`, credentialId: `c${index}`, jobId, provisioner: "upstream", upstreamId: null },
  ...{ state: "live", createdAt: index, issuedAt: 2, expiresAt: null, revokingSince: null, attempts: 0 },
  ...{ lastError: null, revokedAt: null },
});

/** Puts something of everything into a store, in batches; returns the ids of the jobs. */
async function fill(store: Store): Promise<JobId[]> {
  const ids: JobId[] = [];
  for (let index = 0; index < JOBS; index += 1) {
    const job = jobRecord({ id: newJobId(), lastN: ENTRIES, lease: { "fs.read": [`/srv/${index}/**`] } });
    const list: Entry[] = entriesOf(ENTRIES).map((entry) => ({ ...entry, payload: payloadOf(index, entry.n) }));
    await store.commit({
      ...{ ...EMPTY, sessions: [SESSION], jobs: [job], entries: new Map([[job.id, { epoch: 1, list }]]) },
      runs: new Map([[SESSION.id, [{ seq: index * ENTRIES + 1, jobId: job.id, n: 1, count: ENTRIES }]]]),
      records: [
        { kind: "step", id: `s${index}`, principal: "alice", jobId: job.id, dueAt: null, data: `{"value":${index}}` },
      ],
      idempotency: [{ principal: "alice", key: `k${index}`, digest: "d".repeat(64), jobId: job.id, expiresAt: 9 }],
      credentials: [credentialOf(index, job.id)],
      audit: [{ at: index, action: "test", principal: "alice", jobId: job.id, facts: `{"fact":${index}}` }],
    });
    ids.push(job.id);
  }
  return ids;
}

/** What a runtime reads of it: everything that a client or an agent can be shown. */
async function shown(store: Store, ids: readonly JobId[]): Promise<string> {
  const jobs = await Promise.all(ids.map((id) => store.findJob(id)));
  const there = ids.filter((_, index) => jobs[index] !== undefined);
  const journals = await Promise.all(there.map((id) => store.readJournal(id, 1, ENTRIES)));
  const feed = await store.readFeed(SESSION.id, 0, JOBS * ENTRIES, Number.POSITIVE_INFINITY);
  const session = await store.findSession(SESSION.id);
  const records = await store.listRecords({ kind: "step", limit: 100 });
  const credentials = await store.listCredentials({ limit: 100 });
  const keys = await Promise.all(ids.map((_, index) => store.findIdempotency("alice", `k${index}`)));
  return JSON.stringify({ jobs, journals, feed, session, records, credentials, keys });
}

/** `refused`: it is said that something is wrong. Otherwise what is shown. */
async function outcomeOf(path: string, ids: readonly JobId[], encryptionKeys: Buffer[] = []): Promise<string> {
  let store: Store;
  try {
    store = sqliteStore({ path, encryptionKeys });
  } catch (error) {
    if (error instanceof StoreError) return "refused";
    throw error;
  }
  try {
    return await shown(store, ids);
  } catch (error) {
    if (error instanceof StoreError) return "refused";
    throw error;
  } finally {
    await store.close().catch(() => {});
  }
}

function flip(path: string, bit: number): void {
  const file = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, bit >> 3);
  byte[0] = (byte[0] as number) ^ (1 << (bit & 7));
  writeSync(file, byte, 0, 1, bit >> 3);
  closeSync(file);
}

/** A database whose process was killed: its last commits are in the log only. */
async function killed(path: string): Promise<{ readonly ids: JobId[]; readonly whole: string }> {
  const live = `${path}.live`;
  const store = sqliteStore({ path: live });
  const ids = await fill(store);
  const whole = await shown(store, ids);
  for (const suffix of ["", "-wal", "-open"]) copyFileSync(`${live}${suffix}`, `${path}${suffix}`);
  await store.close();
  return { ids, whole };
}

describe("one flipped bit", () => {
  test.each([
    ["open", 1, []],
    ["open", 2, []],
    ["encrypted", 3, [randomBytes(32)]],
  ])(
    "in the database (%s) is refused, or changes nothing that anybody is shown (seed %i)",
    async (_kind, seed, encryptionKeys) => {
      const random = randomOf(seed);
      const original = freshPath();
      const store = sqliteStore({ path: original, encryptionKeys });
      const ids = await fill(store);
      const whole = await shown(store, ids);
      await store.close();
      const content = readFileSync(original);
      const path = freshPath();
      let refused = 0;
      for (let round = 0; round < 100; round += 1) {
        const bit = random(content.length * 8);
        writeFileSync(path, content);
        flip(path, bit);
        const outcome = await outcomeOf(path, ids, encryptionKeys);
        if (outcome === "refused") refused += 1;
        else expect({ bit, outcome }).toEqual({ bit, outcome: whole });
        for (const suffix of ["-wal", "-shm", "-open"]) rmSync(`${path}${suffix}`, { force: true });
      }
      expect(refused).toBeGreaterThan(25);
    },
  );

  test("in the log is refused, or goes back to what was committed before", async () => {
    const random = randomOf(7);
    const original = freshPath();
    const { ids, whole } = await killed(original);
    const log = readFileSync(`${original}-wal`);
    const path = freshPath();
    // What can be left of it: the first jobs, up to some commit.
    const outcomes = new Set<string>();
    for (let round = 0; round < 100; round += 1) {
      copyFileSync(original, path);
      copyFileSync(`${original}-open`, `${path}-open`);
      writeFileSync(`${path}-wal`, log);
      flip(`${path}-wal`, random(log.length * 8));
      outcomes.add(await outcomeOf(path, ids));
      for (const suffix of ["-wal", "-shm", "-open"]) rmSync(`${path}${suffix}`, { force: true });
    }
    outcomes.delete("refused");
    const reference = JSON.parse(whole) as { journals: unknown[]; jobs: unknown[]; feed: unknown[] };
    for (const outcome of outcomes) {
      const { jobs, journals, feed } = JSON.parse(outcome) as typeof reference;
      const count = jobs.filter((job) => job !== null).length;
      expect(jobs.slice(0, count)).toEqual(reference.jobs.slice(0, count));
      expect(journals.slice(0, count)).toEqual(reference.journals.slice(0, count));
      expect(feed).toEqual(reference.feed.slice(0, count * ENTRIES));
    }
  });
});

describe("a file that is not what it was", () => {
  test("with a damaged last page is refused, and it is said which file it is and what to do", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await fill(store);
    await store.close();
    const size = statSync(path).size;
    const file = openSync(path, "r+");
    writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, size - 4096);
    closeSync(file);
    const { reason, message } = await storeFailure(() => sqliteStore({ path }));
    expect(reason).toBe("corrupt");
    expect(message).toContain(path);
    expect(message).toContain("a backup brings it back");
  });

  test.each([100, 4096, 5_000])("with an end that is cut off is refused (%i bytes)", async (bytes) => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await fill(store);
    await store.close();
    truncateSync(path, statSync(path).size - bytes);
    expect((await storeFailure(() => sqliteStore({ path }))).reason).toBe("corrupt");
  });

  test("with a log that is cut off goes back to a commit, never to the middle of one", async () => {
    const path = freshPath();
    const { ids, whole } = await killed(path);
    const { journals } = JSON.parse(whole) as { journals: unknown[] };
    truncateSync(`${path}-wal`, Math.floor(statSync(`${path}-wal`).size * 0.6));
    const left = JSON.parse(await outcomeOf(path, ids)) as { jobs: unknown[]; journals: unknown[] };
    const count = left.jobs.filter((job) => job !== null).length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(JOBS);
    expect(left.journals.slice(0, count)).toEqual(journals.slice(0, count));
  });

  test("whose log was deleted after its process was killed is refused, until somebody says that it may be gone on with", async () => {
    const path = freshPath();
    const { ids, whole } = await killed(path);
    const log = `${path}-wal`;
    copyFileSync(log, `${path}.kept`);
    rmSync(log);
    const { reason, message } = await storeFailure(() => sqliteStore({ path }));
    expect([reason, message]).toEqual([
      "corrupt",
      `${log} is gone, and with it what was committed last: put it back or restore a backup; to go on without, delete ${path}-open`,
    ]);
    copyFileSync(`${path}.kept`, log);
    expect(await outcomeOf(path, ids)).toBe(whole);
    // Closed in order, it has no log, and needs none.
    expect([existsSync(log), existsSync(`${path}-open`)]).toEqual([false, false]);
    expect(await outcomeOf(path, ids)).toBe(whole);
  });

  test("that was restored beside the log of the one before is refused", async () => {
    const path = freshPath();
    const { ids, whole } = await killed(path);
    const copy = `${path}.copy`;
    backUpDatabase({ path, target: copy });
    const log = readFileSync(`${path}-wal`);
    copyFileSync(copy, path);
    for (const readOnly of [false, true]) {
      const { reason, message } = await storeFailure(() => sqliteStore({ path, readOnly }));
      expect([reason, message]).toEqual([
        "corrupt",
        `${path} is a copy, and ${path}-wal is not its log but another file's: put that with its own database`,
      ]);
    }
    expect(readFileSync(`${path}-wal`).equals(log)).toBe(true);
    for (const suffix of ["-wal", "-shm", "-open"]) rmSync(`${path}${suffix}`, { force: true });
    expect(await outcomeOf(path, ids)).toBe(whole);
  });

  test("whose process was killed is whole behind a link, too", async () => {
    const path = freshPath();
    const { ids, whole } = await killed(path);
    const link = freshPath();
    symlinkSync(path, link);
    expect(await outcomeOf(link, ids)).toBe(whole);
    expect([existsSync(`${path}-open`), existsSync(`${link}-open`)]).toEqual([false, false]);
  });

  test("without the log's index is as it was", async () => {
    const path = freshPath();
    const { ids, whole } = await killed(path);
    rmSync(`${path}-shm`, { force: true });
    expect(await outcomeOf(path, ids)).toBe(whole);
  });

  test("without its last entry says so", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const job = await putJob(store, 3);
    await store.close();
    const db = new Database(path);
    db.exec("UPDATE entry SET key = key + 1024 WHERE code = 20");
    db.close();
    const again = sqliteStore({ path });
    expect(await again.readJournal(job.id, 1, 2)).toHaveLength(2);
    expect((await storeFailure(() => again.readJournal(job.id, 1, 3))).reason).toBe("corrupt");
    expect((await storeFailure(() => again.readJournal(job.id, 3, 99))).reason).toBe("corrupt");
    await again.close();
  });

  test("with an edited entry shows the others, and not that one", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const job = await putJob(store, 3);
    await store.close();
    const db = new Database(path);
    db.exec(`UPDATE entry SET payload = '{"kind":"lie"}' WHERE key % 1048576 = 1`);
    db.close();
    const again = sqliteStore({ path });
    expect(await again.readJournal(job.id, 1, 1)).toHaveLength(1);
    const { reason, message } = await storeFailure(() => again.readJournal(job.id, 1, 3));
    expect(reason).toBe("corrupt");
    expect(message).toMatch(/^entry 2 of journal \d+ is damaged: `arcp db check` says what else is/);
    await again.close();
  });
});
