/** The chain of the audit: what is told by it, and what becomes of it when rows are changed, and when they grow old. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AuditVerifier, linked, NO_HASH, verifyAudit } from "../../packages/runtime/src/store/audit-chain.ts";
import { canonicalJson } from "../../packages/runtime/src/store/canonical-json.ts";
import { MIGRATIONS } from "../../packages/runtime/src/store/schema.ts";
import type { AuditRecord, AuditRow, Batch, Store } from "../../packages/runtime/src/store/store.ts";

const nothing: Batch = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], audit: [], credentials: [], records: [] },
};

const text = fc.string({ unit: "binary-ascii", maxLength: 12 }).map((value) => value.replaceAll("\0", ""));
const facts = fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }).map(canonicalJson);
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const record = fc.record({
  ...{ at: fc.nat(), action: text, principal: text, facts },
  sessionId: optional(text.map((id) => `sess_${id}` as const)),
  jobId: optional(text.map((id) => `job_${id}` as const)),
  ...{ remoteAddress: optional(fc.ipV4()), traceId: optional(text) },
}) as unknown as fc.Arbitrary<AuditRecord>;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "arcp-chain-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

let files = 0;
async function storeOf(records: readonly AuditRecord[]): Promise<{ readonly store: Store; readonly path: string }> {
  files += 1;
  const path = join(directory, `${files}.db`);
  const store = sqliteStore({ path, synchronous: "NORMAL" });
  // Several in a commit, and several commits.
  for (let n = 0; n < records.length; n += 3) await store.commit({ ...nothing, audit: records.slice(n, n + 3) });
  return { store, path };
}

async function verify(store: Store, expected?: string): Promise<AuditVerifier> {
  const verifier = new AuditVerifier(expected);
  for (let after: number | undefined; ; ) {
    const page = await store.readAudit(after, 4);
    for (const row of page) verifier.add(row);
    const last = page.at(-1);
    if (last === undefined) return verifier;
    after = last.seq;
  }
}

const some = (count: number): AuditRecord[] =>
  Array.from({ length: count }, (_, n) => ({ at: n, action: "job.ended", principal: "alice", facts: `{"n":${n}}` }));

describe("what is hashed", () => {
  test("is the canonical JSON of the row with the hash before it", () => {
    fc.assert(
      fc.property(record, record, (one, other) => {
        const first = linked(undefined, one);
        const second = linked(first, other);
        const { at, action, principal, sessionId, jobId, remoteAddress, traceId } = other;
        const members = {
          ...{ at, action, principal, session_id: sessionId, job_id: jobId, remote_address: remoteAddress },
          ...{ trace_id: traceId, facts: JSON.parse(other.facts), seq: 2, prev: first.hash },
        };
        expect(second.hash).toBe(createHash("sha256").update(canonicalJson(members)).digest("hex"));
      }),
    );
    expect(NO_HASH).toHaveLength(64);
  });

  test("is read again as it was written", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 8 }), async (records) => {
        const { store } = await storeOf(records);
        const verifier = await verify(store);
        expect(verifier.broken).toBeUndefined();
        expect(verifier.rows).toBe(records.length);
        await store.close();
      }),
      { numRuns: 12 },
    );
  });
});

/** One act of somebody who can write to the file. */
type Tampering =
  | { readonly kind: "edit"; readonly at: number; readonly column: string; readonly value: string | number | null }
  | { readonly kind: "delete"; readonly at: number }
  | { readonly kind: "duplicate"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly row: AuditRecord }
  | { readonly kind: "swap"; readonly at: number; readonly with: number };

const ROWS = 7;
const place = fc.integer({ min: 1, max: ROWS });
const tampering: fc.Arbitrary<Tampering> = fc.oneof(
  fc.record({
    kind: fc.constant("edit" as const),
    at: place,
    ...{
      column: fc.constantFrom("action", "principal", "session_id", "job_id", "remote_address", "trace_id", "facts"),
    },
    value: text,
  }),
  fc.record({ kind: fc.constant("edit" as const), at: place, column: fc.constant("at"), value: fc.nat() }),
  fc.record({ kind: fc.constant("edit" as const), at: place, column: fc.constant("hash"), value: text }),
  fc.record({ kind: fc.constant("edit" as const), at: place, column: fc.constant("key"), value: fc.integer() }),
  fc.record({ kind: fc.constant("delete" as const), at: place }),
  fc.record({ kind: fc.constant("duplicate" as const), at: place }),
  fc.record({ kind: fc.constant("insert" as const), at: place, row: record }),
  fc.record({ kind: fc.constant("swap" as const), at: place, with: place }),
);

/** Does it, and tells whether anything is different then. */
function tamper(path: string, act: Tampering): boolean {
  const db = new Database(path);
  const rows = (): unknown => db.prepare("SELECT * FROM audit ORDER BY key").all();
  const before = JSON.stringify(rows());
  const columns = "at, action, principal, facts, session_id, job_id, remote_address, trace_id, hash";
  // From the end, because keys are unique.
  const shift = (from: number): void => {
    for (let key = ROWS; key >= from; key -= 1) db.prepare("UPDATE audit SET key = key + 1 WHERE key = ?").run(key);
  };
  try {
    if (act.kind === "edit") db.prepare(`UPDATE audit SET ${act.column} = ? WHERE key = ?`).run(act.value, act.at);
    else if (act.kind === "delete") db.prepare("DELETE FROM audit WHERE key = ?").run(act.at);
    else if (act.kind === "duplicate") {
      shift(act.at + 1);
      db.prepare(`INSERT INTO audit (key, ${columns}) SELECT key + 1, ${columns} FROM audit WHERE key = ?`).run(act.at);
    } else if (act.kind === "insert") {
      shift(act.at);
      const { at, action, principal, facts: said } = act.row;
      const { hash } = linked(undefined, act.row);
      db.prepare("INSERT INTO audit (key, at, action, principal, facts, hash) VALUES (?, ?, ?, ?, ?, ?)").run(
        ...[act.at, at, action, principal, said, hash],
      );
    } else if (act.at !== act.with) {
      const move = db.prepare("UPDATE audit SET key = ? WHERE key = ?");
      move.run(-1, act.at);
      move.run(act.at, act.with);
      move.run(act.with, -1);
    }
    return JSON.stringify(rows()) !== before;
  } catch (error) {
    // A key that is taken already.
    if ((error as { code?: string }).code?.startsWith("SQLITE_CONSTRAINT")) return false;
    throw error;
  } finally {
    db.close();
  }
}

describe("a row that is changed, taken out, put in or moved", () => {
  test("is told, wherever it is, by whoever knows the head", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: ROWS, maxLength: ROWS }), tampering, async (records, act) => {
        const { store, path } = await storeOf(records);
        const { head } = await verify(store);
        await store.close();
        if (!tamper(path, act)) return;
        const reader = sqliteStore({ path, readOnly: true });
        const verifier = await verify(reader, head?.hash);
        await reader.close();
        expect(verifier.broken).toBeDefined();
        // Without the head nothing but the end can be missing.
        const isEnd = act.kind === "delete" && act.at === ROWS;
        const again = sqliteStore({ path, readOnly: true });
        expect((await verify(again)).broken === undefined).toBe(isEnd);
        await again.close();
      }),
      { numRuns: 40 },
    );
  });

  test("is named: the first that does not fit", async () => {
    const { store, path } = await storeOf(some(ROWS));
    await store.close();
    tamper(path, { kind: "edit", at: 4, column: "principal", value: "mallory" });
    tamper(path, { kind: "delete", at: 6 });
    const reader = sqliteStore({ path, readOnly: true });
    expect((await verify(reader)).broken).toEqual({ seq: 4, reason: expect.stringContaining("not what was written") });
    await reader.close();
  });

  test("at the end, is told by the head that was known before, which may have been followed since", async () => {
    const { store, path } = await storeOf(some(ROWS));
    const { head } = await verify(store);
    await store.commit({ ...nothing, audit: some(2) });
    expect((await verify(store, head?.hash)).broken).toBeUndefined();
    await store.close();
    const db = new Database(path);
    db.prepare("DELETE FROM audit WHERE key >= ?").run(ROWS);
    db.close();
    const reader = sqliteStore({ path, readOnly: true });
    expect((await verify(reader)).broken).toBeUndefined();
    expect((await verify(reader, head?.hash)).broken).toMatchObject({ seq: ROWS });
    await reader.close();
  });
});

describe("rows that have grown old", () => {
  test("go from the beginning, and a row stands for them", async () => {
    const { store } = await storeOf(some(ROWS));
    expect(await store.pruneAudit(3, 100)).toBe(3);
    const rows = await store.readAudit(undefined, 100);
    expect(rows.map(({ seq }) => seq)).toEqual([4, 5, 6, 7, 8]);
    expect(rows.at(-1)).toMatchObject({ at: 100, action: "audit.pruned", principal: "" });
    expect(JSON.parse((rows.at(-1) as AuditRow).facts)).toEqual({ hash: expect.any(String), rows: 3, through: 3 });
    expect((await verify(store)).broken).toBeUndefined();
    // Once more, and then everything, the row that stood for the first too.
    expect(await store.pruneAudit(5, 101)).toBe(2);
    expect((await verify(store)).broken).toBeUndefined();
    expect(await store.pruneAudit(1000, 102)).toBe(4);
    expect((await store.readAudit(undefined, 100)).map(({ seq }) => seq)).toEqual([10]);
    expect((await verify(store)).broken).toBeUndefined();
    await store.close();
  });

  test("stay while a row before them is young: what goes is a beginning", async () => {
    const { store } = await storeOf([...some(2), { ...(some(1)[0] as AuditRecord), at: 50 }, ...some(3)]);
    expect(await store.pruneAudit(10, 100)).toBe(2);
    expect(await store.pruneAudit(10, 100)).toBe(0);
    expect((await verify(store)).broken).toBeUndefined();
    await store.close();
  });

  test("may go as the chain is read", async () => {
    const { store } = await storeOf(some(2_500));
    let pages = 0;
    const verdict = await verifyAudit({
      readAudit: async (after, limit) => {
        pages += 1;
        // After the first page of the first reading, what comes next is deleted.
        if (pages === 2) while ((await store.pruneAudit(1_800, 9_999)) > 0);
        return store.readAudit(after, limit);
      },
    });
    expect(verdict).toMatchObject({ firstSeq: 1_801, broken: undefined });
    await store.close();
  });

  test("cannot be followed by others that go without a word", async () => {
    const { store, path } = await storeOf(some(ROWS));
    await store.pruneAudit(3, 100);
    await store.close();
    const db = new Database(path);
    db.exec("DELETE FROM audit WHERE key = 4");
    db.close();
    const reader = sqliteStore({ path, readOnly: true });
    expect((await verify(reader)).broken).toEqual({ seq: 5, reason: expect.stringContaining("retention") });
    await reader.close();
  });
});

test("an audit from before there was a chain is one from then on", async () => {
  const path = join(directory, "old.db");
  const db = new Database(path);
  for (const step of MIGRATIONS.slice(0, 4)) db.exec(step);
  db.pragma("user_version = 4");
  const insert = db.prepare("INSERT INTO audit (at, action, principal, facts) VALUES (?, 'job.subscribe', 'alice', ?)");
  for (let n = 0; n < 5; n += 1) insert.run(n, `{"session_id":"sess_1","job_id":"job_${n}"}`);
  db.close();
  const store = sqliteStore({ path });
  await store.commit({ ...nothing, audit: some(1) });
  const verifier = await verify(store);
  expect(verifier.broken).toBeUndefined();
  expect(verifier.rows).toBe(6);
  expect((await store.readAudit(undefined, 1))[0]?.facts).toBe('{"job_id":"job_0","session_id":"sess_1"}');
  await store.close();
});
