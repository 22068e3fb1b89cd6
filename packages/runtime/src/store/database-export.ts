/**
 * Everything in a database as lines of JSON, for other programs: to look things up, to move on, to keep.
 *
 * Resume tokens, of which there are only hashes, and salts are left out. Every line is an object with a member `type`.
 */
import type { JobId } from "@arcp/core";
import type Database from "better-sqlite3";
import type { RowCipher } from "./row-cipher.ts";
import { EXPIRED, MIGRATIONS } from "./schema.ts";
import { spans } from "./segments.ts";
import { type EntryTuple, openEntry } from "./sqlite-entries.ts";
import { openForReading } from "./sqlite-file.ts";
import {
  type AskedRow,
  type AuditTableRow,
  askedOf,
  auditRow,
  type CredentialRow,
  credentialRecord,
  type JobRow,
  jobRecord,
  type RecordRow,
  type SessionRow,
  sessionRecord,
  storedRecord,
} from "./sqlite-rows.ts";
import { ENTRY } from "./store.ts";
import { storeErrorOf } from "./store-error.ts";

/** The form of the lines; another number means another form. */
const FORMAT = 1;
const PAGE_ROWS = 512;
const NAMES = new Map<number, string>(Object.entries(ENTRY).map(([name, code]) => [code, name]));

/** A database that somebody wants to look at. */
export interface DatabaseAccess {
  readonly path: string;
  /** As of {@link sqliteStore}; needed if the file is encrypted. */
  readonly encryptionKeys?: readonly Uint8Array[];
}

/**
 * Line after line, without line ends: one state of the database, whatever is committed meanwhile. The file is open until the
 * iteration ends. Throws {@link StoreError}, also in the middle, for a row that is damaged.
 */
export function* exportDatabase(access: DatabaseAccess): Iterable<string> {
  const { db, cipher, close } = openForReading(access.path, access);
  try {
    // A transaction begins with what it reads first.
    db.exec("BEGIN; SELECT key FROM job LIMIT 1");
    yield* new Export(db, cipher).lines();
  } catch (error) {
    throw storeErrorOf(error);
  } finally {
    close();
  }
}

class Export {
  readonly #db: Database.Database;
  readonly #cipher: RowCipher | undefined;

  constructor(db: Database.Database, cipher: RowCipher | undefined) {
    this.#db = db;
    this.#cipher = cipher;
  }

  *lines(): Iterable<string> {
    yield JSON.stringify({ type: "database", format: FORMAT, version: MIGRATIONS.length });
    yield* this.#jobs();
    for (const row of this.#paged<SessionRow>("session")) {
      const { tokenHash: _, previousTokenHash: __, salt: ___, ...session } = sessionRecord(row);
      yield JSON.stringify({ type: "session", ...session });
    }
    yield* this.#joined(
      "number",
      `SELECT session.id AS sessionId, feed.seq, job.id AS jobId, feed.n, feed.count, feed.session AS a, feed.seq AS b
       FROM feed JOIN session ON session.key = feed.session JOIN job ON job.key = feed.job
       WHERE (feed.session, feed.seq) > (?, ?) ORDER BY feed.session, feed.seq LIMIT ?`,
    );
    yield* this.#joined(
      "subscription",
      `SELECT session.id AS sessionId, job.id AS jobId, follow.job AS a, follow.session AS b
       FROM follow JOIN session ON session.key = follow.session JOIN job ON job.key = follow.job
       WHERE (follow.job, follow.session) > (?, ?) ORDER BY follow.job, follow.session LIMIT ?`,
    );
    yield* this.#joined(
      "idempotency",
      `SELECT principal, key, digest, job_id AS jobId, expires_at AS expiresAt, principal AS a, key AS b
       FROM idempotency WHERE (principal, key) > (?, ?) ORDER BY principal, key LIMIT ?`,
      ["", ""],
    );
    yield* this.#credentials();
    yield* this.#records();
    for (const row of this.#paged<AuditTableRow>("audit")) {
      const { facts, ...rest } = auditRow(row, this.#cipher);
      yield JSON.stringify({ type: "audit", ...rest, facts: JSON.parse(facts) });
    }
  }

  *#jobs(): Iterable<string> {
    const further = this.#db.prepare("SELECT key FROM segment WHERE job = ? ORDER BY ordinal").pluck();
    for (const row of this.#paged<JobRow & AskedRow>("job")) {
      if (row.status === EXPIRED) continue;
      const asked = askedOf(row, this.#cipher);
      yield JSON.stringify({
        type: "job",
        ...jobRecord(row),
        ...(asked !== undefined && { asked: JSON.parse(asked) }),
      });
      const segments = [row.key * 2, ...(further.all(row.key) as number[]).map((key) => key * 2 + 1)];
      for (const { from, to, firstN } of spans(segments, row.first_n, row.last_n)) {
        yield* this.#entries(row.id as JobId, from, to, firstN);
      }
    }
  }

  *#entries(jobId: JobId, from: number, to: number, firstN: number): Iterable<string> {
    const page = this.#db
      .prepare("SELECT key, ts, code, payload, sum FROM entry WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?")
      .raw();
    for (let next = from; next <= to; ) {
      const rows = page.all(next, to, PAGE_ROWS) as EntryTuple[];
      if (rows.length === 0) return;
      for (const row of rows) {
        const [key, ts, code] = row;
        const head = JSON.stringify({ type: "entry", jobId, n: firstN + (key - from), ts, kind: NAMES.get(code) });
        // The payload is JSON already.
        yield `${head.slice(0, -1)},"payload":${openEntry(row, `${jobId}, entry ${firstN + (key - from)}`, this.#cipher)}}`;
        next = key + 1;
      }
    }
  }

  *#credentials(): Iterable<string> {
    const page = this.#db.prepare("SELECT * FROM credential WHERE alias > ? ORDER BY alias LIMIT ?");
    for (let after: string | undefined = ""; after !== undefined; ) {
      const rows = page.all(after, PAGE_ROWS) as CredentialRow[];
      for (const row of rows) yield JSON.stringify({ type: "credential", ...credentialRecord(row) });
      after = rows.at(-1)?.alias;
    }
  }

  *#records(): Iterable<string> {
    const page = this.#db.prepare("SELECT * FROM record WHERE (kind, id) > (?, ?) ORDER BY kind, id LIMIT ?");
    for (let after: RecordRow | undefined = { kind: "", id: "" } as RecordRow; after !== undefined; ) {
      const rows = page.all(after.kind, after.id, PAGE_ROWS) as RecordRow[];
      for (const row of rows) {
        const { data, ...record } = storedRecord(row, this.#cipher);
        yield JSON.stringify({ type: "record", ...record, data: JSON.parse(data ?? "null") });
      }
      after = rows.at(-1);
    }
  }

  /** The rows of a table with an integer key. */
  *#paged<Row extends { readonly key: number }>(table: string): Iterable<Row> {
    const page = this.#db.prepare(`SELECT * FROM ${table} WHERE key > ? ORDER BY key LIMIT ?`);
    for (let after: number | undefined = Number.MIN_SAFE_INTEGER; after !== undefined; ) {
      const rows = page.all(after, PAGE_ROWS) as Row[];
      yield* rows;
      after = rows.at(-1)?.key;
    }
  }

  /** The rows of a query that goes on after the place (`a`, `b`) of the last one. */
  *#joined(type: string, sql: string, first: readonly (string | number)[] = [0, 0]): Iterable<string> {
    const page = this.#db.prepare(sql);
    for (let after: readonly (string | number)[] | undefined = first; after !== undefined; ) {
      const rows = page.all(...after, PAGE_ROWS) as { readonly a: string | number; readonly b: string | number }[];
      for (const { a: _, b: __, ...row } of rows) yield JSON.stringify({ type, ...row });
      const last = rows.at(-1);
      after = last && [last.a, last.b];
    }
  }
}
