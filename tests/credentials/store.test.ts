import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JobId, newJobId, newTraceId, type SessionId } from "@arcp/core";
import { type Batch, type JobRecord, StaleWriterError, type Store, sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { MIGRATIONS } from "../../packages/runtime/src/store/schema.ts";
import type { CredentialRecord, CredentialState } from "../../packages/runtime/src/store/store.ts";

const EMPTY: Batch = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], audit: [], credentials: [], records: [] },
};

function jobRecord(overrides: Partial<JobRecord> = {}): JobRecord {
  return {
    ...{ id: newJobId(), sessionId: "sess_1" as SessionId, principal: "alice", agent: "worker", agentVersion: "1.0.0" },
    ...{ status: "success", createdAt: 1_000, endedAt: 2_000, lease: {}, leaseConstraints: null, parentJobId: null },
    ...{ delegateId: null, traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
    ...overrides,
  };
}

function credential(alias: string, overrides: Partial<CredentialRecord> = {}): CredentialRecord {
  return {
    ...{ alias, credentialId: "cred_1", jobId: "job_1" as JobId, provisioner: "gateway", upstreamId: null },
    ...{
      state: "intended",
      createdAt: 1_000,
      issuedAt: null,
      expiresAt: null,
      revokingSince: null,
      attempts: 0,
      lastError: null,
    },
    ...{ revokedAt: null },
    ...overrides,
  };
}

const put = (store: Store, ...credentials: CredentialRecord[]): Promise<void> =>
  store.commit({ ...EMPTY, credentials });
const aliasesOf = (records: readonly CredentialRecord[]): string[] => records.map(({ alias }) => alias);
const all = (store: Store): Promise<readonly CredentialRecord[]> => store.listCredentials({ limit: 100 });

async function inDirectory(run: (path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-credentials-"));
  try {
    await run(join(directory, "journal.db"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("credential records", () => {
  test("come back as they were put, and a later one replaces the one with its alias", () =>
    inDirectory(async (path) => {
      const first = sqliteStore({ path });
      const live = credential("a", { state: "live", upstreamId: "key_7", issuedAt: 1_500, expiresAt: 9_000 });
      await put(first, credential("a"));
      await put(first, live);
      await first.close();
      const second = sqliteStore({ path });
      expect(await all(second)).toEqual([live]);
      const attempts = { attempts: 3, lastError: "HTTP 500" };
      const revoking = { ...live, ...attempts, state: "revoking" as const, revokingSince: 5_000 };
      await put(second, revoking);
      expect(await all(second)).toEqual([revoking]);
      const revoked = { ...revoking, state: "revoked" as const, revokedAt: 6_000 };
      await put(second, revoked);
      expect(await all(second)).toEqual([revoked]);
      await second.close();
    }));

  test("are outstanding until they are revoked", async () => {
    const store = sqliteStore();
    const states: CredentialState[] = ["revoked", "revoking", "live", "intended"];
    await put(store, ...states.map((state, index) => credential(state, { state, createdAt: 10 - index })));
    expect(aliasesOf(await store.outstandingCredentials())).toEqual(["intended", "live", "revoking"]);
    await store.close();
  });

  test("are listed by job, state and provisioner, in pages", async () => {
    const store = sqliteStore();
    const jobId = "job_2" as JobId;
    await put(
      store,
      credential("c", { createdAt: 1 }),
      credential("b", { createdAt: 2, jobId, credentialId: "cred_2" }),
      credential("a", { createdAt: 2, jobId, state: "live", provisioner: "search" }),
    );
    const list = async (query: Omit<Parameters<Store["listCredentials"]>[0], "limit">, limit = 10) =>
      aliasesOf(await store.listCredentials({ ...query, limit }));
    expect(await list({})).toEqual(["c", "a", "b"]);
    expect(await list({ jobId })).toEqual(["a", "b"]);
    expect(await list({ jobId, credentialId: "cred_2" })).toEqual(["b"]);
    expect(await list({ states: ["live", "revoking"] })).toEqual(["a"]);
    expect(await list({ states: [] })).toEqual([]);
    expect(await list({ provisioner: "gateway" })).toEqual(["c", "b"]);
    expect(await list({ after: { createdAt: 1, alias: "c" } }, 1)).toEqual(["a"]);
    await store.close();
  });

  test.each([
    ["revoked", "revoking"],
    ["revoked", "live"],
    ["revoking", "live"],
    ["live", "intended"],
  ] as const)("a %s one does not become %s: the batch is refused whole", async (stored, written) => {
    const store = sqliteStore();
    await put(store, credential("a", { state: stored }));
    const job = jobRecord();
    const batch = { ...EMPTY, jobs: [job], credentials: [credential("b"), credential("a", { state: written })] };
    await expect(store.commit(batch)).rejects.toBeInstanceOf(StaleWriterError);
    expect(await all(store)).toEqual([credential("a", { state: stored })]);
    expect(await store.findJob(job.id)).toBeUndefined();
    await store.close();
  });

  test("become live in the batch that accepts their job, or not at all", async () => {
    const store = sqliteStore();
    const job = jobRecord({ status: "running", endedAt: null });
    await store.commit({ ...EMPTY, jobs: [job] });
    await put(store, credential("a", { jobId: job.id }));
    const again = { ...EMPTY, jobs: [job], credentials: [credential("a", { jobId: job.id, state: "live" as const })] };
    await expect(store.commit(again)).rejects.toThrow();
    expect((await all(store))[0]?.state).toBe("intended");
    await store.close();
  });

  test("are not touched by a take-over", async () => {
    const store = sqliteStore();
    const job = jobRecord({ status: "running", endedAt: null });
    const rows = [credential("a", { jobId: job.id, state: "live" }), credential("b", { state: "revoking" })];
    await store.commit({ ...EMPTY, jobs: [job], credentials: rows });
    expect((await store.takeOver(5_000)).map(({ job: { id } }) => id)).toEqual([job.id]);
    expect(await all(store)).toEqual(rows);
    await store.close();
  });
});

describe("retention", () => {
  const sweep = (store: Store, endedBefore: number) => store.sweep({ detachedBefore: 0, endedBefore, now: 0 });

  test("takes revoked credentials with their job, and never one that is not revoked", async () => {
    const store = sqliteStore();
    const [gone, kept] = [jobRecord({ endedAt: 2_000 }), jobRecord({ endedAt: 8_000 })];
    const revoked = { state: "revoked", revokedAt: 7_000 } as const;
    await store.commit({
      ...EMPTY,
      jobs: [gone, kept],
      credentials: [
        credential("gone-revoked", { ...revoked, jobId: gone.id }),
        credential("gone-revoking", { state: "revoking", jobId: gone.id }),
        credential("gone-live", { state: "live", jobId: gone.id }),
        credential("gone-intended", { jobId: gone.id }),
        credential("kept-revoked", { ...revoked, revokedAt: 1, jobId: kept.id }),
      ],
    });
    expect(await sweep(store, 5_000)).toEqual({ sessions: 0, jobs: 1 });
    expect(aliasesOf(await all(store))).toEqual(["gone-intended", "gone-live", "gone-revoking", "kept-revoked"]);
    await sweep(store, 1_000_000);
    expect(aliasesOf(await all(store))).toEqual(["gone-intended", "gone-live", "gone-revoking"]);
    await store.close();
  });

  test("takes revoked credentials without a job when they are as old as the jobs that go", async () => {
    const store = sqliteStore();
    await put(
      store,
      credential("old", { state: "revoked", revokedAt: 4_999 }),
      credential("new", { state: "revoked", revokedAt: 5_000 }),
      credential("intended"),
    );
    await sweep(store, 5_000);
    expect(aliasesOf(await all(store))).toEqual(["intended", "new"]);
    await store.close();
  });
});

describe("a file", () => {
  test("of version 1 is brought up to date with everything in it", () =>
    inDirectory(async (path) => {
      const old = new Database(path);
      old.exec(MIGRATIONS[0] as string);
      old.pragma("user_version = 1");
      const id = newJobId();
      old
        .prepare(
          `INSERT INTO job (id, session_id, principal, agent, agent_version, status, created_at, lease, trace_id, epoch,
            last_n, last_event_seq) VALUES (?, 's', 'alice', 'worker', '1.0.0', 'running', 1, '{}', 't', 1, 1, 0)`,
        )
        .run(id);
      old.prepare("INSERT INTO entry (key, ts, code, payload) SELECT key * 2 * 1048576, 7, 0, '{}' FROM job").run();
      old.close();

      expect(() => sqliteStore({ path, readOnly: true })).toThrow("the database is of version 1");
      const store = sqliteStore({ path });
      expect(await store.findJob(id)).toMatchObject({ id, delegateId: null, lastN: 1 });
      expect(await store.readJournal(id, 1, 1)).toEqual([{ n: 1, ts: 7, code: 0, payload: "{}" }]);
      await put(store, credential("a", { jobId: id }));
      await store.close();
      const reader = sqliteStore({ path, readOnly: true });
      expect(aliasesOf(await all(reader))).toEqual(["a"]);
      await reader.close();
    }));

  test("keeps what delegated a job", () =>
    inDirectory(async (path) => {
      const store = sqliteStore({ path });
      const job = jobRecord({ delegateId: "del_1", parentJobId: newJobId() });
      await store.commit({ ...EMPTY, jobs: [job] });
      expect(await store.findJob(job.id)).toEqual(job);
      await store.close();
    }));

  test("is durable if every commit is synced; memory is not", () =>
    inDirectory(async (path) => {
      const isDurable = async (options: Parameters<typeof sqliteStore>[0]): Promise<boolean> => {
        const store = sqliteStore(options);
        await store.close();
        return store.isDurable;
      };
      expect(await isDurable({ path })).toBe(true);
      expect(await isDurable({ path, synchronous: "NORMAL" })).toBe(false);
      expect(await isDurable({ path: ":memory:" })).toBe(false);
      expect(await isDurable({ path: "" })).toBe(false);
      expect(await isDurable({})).toBe(false);
    }));
});
