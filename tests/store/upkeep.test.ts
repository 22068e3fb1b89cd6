import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newJobId, type SessionId } from "@arcp/core";
import {
  backUpDatabase,
  type CredentialRecord,
  checkDatabase,
  compactDatabase,
  type DatabaseProblem,
  exportDatabase,
  fileBlobs,
  type SessionRecord,
  sqliteStore,
} from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { EMPTY, freshPath, putJob, storeFailure, temporaryDirectory } from "./files.ts";

const SESSION: SessionRecord = {
  ...{ id: "sess_1" as SessionId, principal: "alice", wire: "1.1", features: ["ack"], tokenHash: "hash-of-a-token" },
  ...{ previousTokenHash: null, mustAuthenticate: false, salt: "its-salt", ackedSeq: 0, detachedAt: 5, sentSeq: 3 },
  createdAt: 1,
};
const CREDENTIAL: CredentialRecord = {
  ...{ alias: "a1", credentialId: "c1", jobId: newJobId(), provisioner: "p", upstreamId: null, state: "live" },
  ...{ createdAt: 1, issuedAt: 2, expiresAt: null, revokingSince: null, attempts: 0, lastError: null, revokedAt: null },
};
const ARTIFACT = "ab12";

/** A database with something of everything, and the contents of an artifact beside it. */
async function filled(path = freshPath()) {
  const directory = `${path}.artifacts`;
  const store = sqliteStore({ path });
  const job = await putJob(store, 3);
  await using blobs = fileBlobs({ directory });
  await using writer = await blobs.create(ARTIFACT);
  await writer.write(Buffer.from("the content"));
  const blob = await writer.finish();
  await store.commit({
    ...{ ...EMPTY, sessions: [SESSION], runs: new Map([[SESSION.id, [{ seq: 1, jobId: job.id, n: 1, count: 3 }]]]) },
    follows: [{ sessionId: SESSION.id, jobId: job.id, isOn: true, n: 0 }],
    credentials: [CREDENTIAL],
    idempotency: [{ principal: "alice", key: "k", digest: "d", jobId: job.id, expiresAt: 9 }],
    audit: [1, 2, 3].map((at) => ({ at, action: "test", principal: "", facts: `{"fact":${at}}` })),
    records: [
      ...[{ kind: "artifact", id: ARTIFACT, principal: "alice", jobId: job.id, dueAt: 7 }].map((record) => ({
        ...record,
        data: JSON.stringify({ artifactId: "a", blob }),
      })),
      { kind: "step", id: "s", principal: "alice", jobId: job.id, dueAt: null, data: '{"value":1}' },
    ],
  });
  return { path, directory, store, job, blob };
}

async function problemsOf(path: string, readsBlobs = false): Promise<DatabaseProblem[]> {
  const problems: DatabaseProblem[] = [];
  await using blobs = fileBlobs({ directory: `${path}.artifacts` });
  await checkDatabase({ path, blobs, readsBlobs }, (problem) => problems.push(problem));
  return problems;
}

/** Does something to the file that no runtime does. */
function tamper(path: string, sql: string): void {
  const db = new Database(path);
  db.exec(sql);
  db.close();
}

describe("a check", () => {
  test("finds nothing wrong with a database that a runtime uses, and says what it has looked at", async () => {
    const { path, store, directory } = await filled();
    await using blobs = fileBlobs({ directory });
    const summary = await checkDatabase({ path, blobs, readsBlobs: true }, (problem) => {
      throw new Error(JSON.stringify(problem));
    });
    expect(summary).toEqual({ jobs: 1, entries: 3, sessions: 1, records: 2, auditRows: 3, blobs: 1 });
    await store.close();
  });

  test.each([
    ["an entry that is gone", "DELETE FROM entry WHERE key % 1048576 = 1", /^job_.*: 1 of its 3 entries are missing$/],
    [
      "an entry too many",
      "INSERT INTO entry SELECT key + 9, ts, 0, payload, null FROM entry LIMIT 1",
      /an entry 10, and 3/,
    ],
    ["an entry of no job", "INSERT INTO entry VALUES (5, 1, 0, '{}', null)", /^file: 1 entries belong to no job$/],
    ["an edited payload", `UPDATE entry SET payload = '{"kind":"lob"}' WHERE code = 20`, /entry 3: it is not what was/],
    [
      "an end that is none",
      "UPDATE entry SET code = 0, sum = null WHERE code = 20",
      /has ended, and its journal has no/,
    ],
    ["a second end", "UPDATE entry SET code = 20, sum = null WHERE key % 1048576 = 0", /ends with entry 1, 3/],
    [
      "a job that lives again",
      "UPDATE job SET ended_at = null, state_sum = null",
      /has not ended, and its journal ends/,
    ],
    ["another principal", "UPDATE job SET principal = 'mallory'", /^job_.*: it is not what was stored$/],
    ["another status", "UPDATE job SET status = 'error'", /^job_.*: it is not what was stored$/],
    [
      "a gap in the numbers",
      "UPDATE feed SET seq = 2, sum = null",
      /^sess_1: its numbers go on with 2 where 1 is due$/,
    ],
    ["a number of no entry", "UPDATE feed SET count = 4, sum = null", /numbers 1 to 4 stand for entries that job_/],
    ["a number of another entry", "UPDATE feed SET n = 2, count = 2", /^sess_1: what is stored of number 1 is not/],
    ["numbers of no session", "DELETE FROM session", /^session \d+: it has numbers, and is not there$/],
    ["a session of another", "UPDATE session SET principal = 'mallory'", /^sess_1: it is not what was stored$/],
    ["a lost subscription", "UPDATE follow SET job = 99", /^file: 1 subscriptions are of jobs or sessions that are/],
    ["an edited record", `UPDATE record SET data = '{"value":2}' WHERE kind = 'step'`, /^step s: it is not what was/],
    ["a revoked credential", "UPDATE credential SET state = 3", /^credential a1: it is not what was stored$/],
    ["a key of another job", "UPDATE idempotency SET job_id = 'job_2'", /^idempotency key k of alice: it is not what/],
    [
      "an edited audit",
      `UPDATE audit SET facts = '{"fact":9}' WHERE key = 2`,
      /^audit row 2: it is not what was written/,
    ],
    ["an audit with a hole", "DELETE FROM audit WHERE key = 2", /^audit row 3: row 2 is missing$/],
  ])("finds %s", async (_what, sql, expected) => {
    const { path, store } = await filled();
    await store.close();
    tamper(path, sql);
    const problems = await problemsOf(path);
    expect(problems.map(({ subject, message }) => `${subject}: ${message}`)).toContainEqual(
      expect.stringMatching(expected),
    );
  });

  test("finds a content that is gone, and, if it reads them, one that is another", async () => {
    const { path, directory, store, blob } = await filled();
    await store.close();
    const file = join(directory, blob.id);
    writeFileSync(file, "another one");
    expect(await problemsOf(path)).toEqual([]);
    const subject = `artifact ${ARTIFACT}`;
    const message = "its content cannot be read: the blob is not what it should be";
    expect(await problemsOf(path, true)).toEqual([{ subject, message }]);
    rmSync(file);
    expect(await problemsOf(path)).toEqual([{ subject, message: "its content is missing" }]);
  });

  test("says nothing of a journal that a sweep is about to delete", async () => {
    const { path, store } = await filled();
    await store.close();
    tamper(path, "UPDATE job SET status = 'expired'; DELETE FROM entry WHERE code = 20; DELETE FROM feed");
    expect(await problemsOf(path)).toEqual([]);
  });
});

describe("an export", () => {
  test("has everything, in lines of JSON, but for hashes of tokens and salts", async () => {
    const { path, store, job } = await filled();
    const text = [...exportDatabase({ path })];
    const lines = text.map((line) => JSON.parse(line));
    expect(lines.map(({ type }) => type)).toEqual([
      ...["database", "job", "entry", "entry", "entry", "session", "number", "subscription", "idempotency"],
      ...["credential", "record", "record", "audit", "audit", "audit"],
    ]);
    expect(lines[1]).toEqual({ type: "job", ...job });
    expect(lines[4]).toEqual({
      ...{ type: "entry", jobId: job.id, n: 3, ts: 1002, kind: "result", payload: { kind: "log" } },
    });
    expect(lines[6]).toEqual({ type: "number", sessionId: SESSION.id, seq: 1, jobId: job.id, n: 1, count: 3 });
    expect(text.join()).not.toContain(SESSION.tokenHash);
    expect(text.join()).not.toContain(SESSION.salt);
    await store.close();
  });

  test("is of one state, whatever is committed meanwhile", async () => {
    const { path, store, job } = await filled();
    const lines = exportDatabase({ path })[Symbol.iterator]();
    lines.next();
    await putJob(store, 1);
    const rest: string[] = [];
    for (let next = lines.next(); next.done !== true; next = lines.next()) rest.push(next.value);
    const jobs = rest.map((line) => JSON.parse(line)).filter(({ type }) => type === "job");
    expect(jobs.map(({ id }) => id)).toEqual([job.id]);
    await store.close();
  });
});

test("a log that has grown under a reader becomes small again when that is gone", async () => {
  const { path, store } = await filled();
  const size = () => statSync(`${path}-wal`).size;
  const lines = exportDatabase({ path })[Symbol.iterator]();
  lines.next();
  for (let index = 0; index < 30; index += 1)
    await putJob(store, 100, {}, JSON.stringify({ text: "x".repeat(10_000) }));
  expect(size()).toBeGreaterThan(30_000_000);
  lines.return?.();
  // The next commit copies the log into the database, the one after that begins it anew.
  for (let index = 0; index < 3; index += 1) await putJob(store, 1);
  expect(size()).toBeLessThanOrEqual(16 * 1024 * 1024);
  await store.close();
});

describe("a backup", () => {
  test("is a database of its own, with the contents of its artifacts, for its owner alone", async () => {
    const { path, directory, store, blob } = await filled();
    const target = join(temporaryDirectory(), "copy.db");
    backUpDatabase({ path, blobDirectory: directory, target, blobTarget: `${target}.artifacts` });
    await putJob(store, 5);
    await store.close();
    expect(await problemsOf(target, true)).toEqual([]);
    expect(readFileSync(join(`${target}.artifacts`, blob.id), "utf8")).toBe("the content");
    if (process.platform !== "win32") expect(statSync(target).mode & 0o777).toBe(0o600);
    const copy = sqliteStore({ path: target });
    expect(await copy.listJobs({ principal: null, limit: 9 })).toHaveLength(1);
    await copy.close();
  });

  test("never takes the place of a file", async () => {
    const { path, store } = await filled();
    const target = join(temporaryDirectory(), "copy.db");
    writeFileSync(target, "precious");
    const { message } = await storeFailure(() => backUpDatabase({ path, target }));
    expect(message).toBe(`there is a file ${target} already`);
    expect(readFileSync(target, "utf8")).toBe("precious");
    await store.close();
  });
});

describe("compacting", () => {
  test("gives back the room of what was deleted", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await putJob(store, 5_000, {}, JSON.stringify({ text: "x".repeat(500) }));
    const kept = await putJob(store, 2, { endedAt: 9_000 });
    await store.sweep({ detachedBefore: 0, endedBefore: 5_000, now: 0 });
    await store.close();
    const { before, after } = compactDatabase(path);
    expect(before).toBeGreaterThan(2_000_000);
    expect(after).toBeLessThan(200_000);
    expect(statSync(path).size).toBe(after);
    expect(existsSync(`${path}-wal`)).toBe(false);
    const again = sqliteStore({ path });
    expect(await again.readJournal(kept.id, 1, 2)).toHaveLength(2);
    await again.close();
  });

  test("waits for nobody: it says who has the file", async () => {
    const { path, store } = await filled();
    const { reason, message } = await storeFailure(() => compactDatabase(path));
    expect([reason, message]).toEqual(["locked", `${path} is in use by another server (this process, ${process.pid})`]);
    await store.close();
  });
});
