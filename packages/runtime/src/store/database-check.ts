/** Is everything in a database what it should be? Reads one state of it, whether a runtime uses it or not. */
import type Database from "better-sqlite3";
import { AuditVerifier } from "./audit-chain.ts";
import { BlobError, type BlobStore, type StoredBlob } from "./blobs.ts";
import type { DatabaseAccess } from "./database-export.ts";
import type { RowCipher } from "./row-cipher.ts";
import { sumOf } from "./row-sums.ts";
import { EXPIRED } from "./schema.ts";
import { SEGMENT_SIZE, spans } from "./segments.ts";
import { type EntryTuple, openEntry } from "./sqlite-entries.ts";
import { openForReading } from "./sqlite-file.ts";
import {
  type AskedRow,
  type AuditTableRow,
  askedOf,
  auditRow,
  type CredentialRow,
  credentialRecord,
  type IdempotencyRow,
  idempotencyRecord,
  type JobRow,
  jobRecord,
  type RecordRow,
  type SessionRow,
  sessionRecord,
  storedRecord,
} from "./sqlite-rows.ts";
import { isTerminal } from "./store.ts";
import { StoreError, storeErrorOf } from "./store-error.ts";

/** Something in the database that is not what it should be. */
export interface DatabaseProblem {
  /** What it is about: `file`, or a job, a session, a record, a row of the audit. */
  readonly subject: string;
  readonly message: string;
}

/** What {@link checkDatabase} has looked at. */
export interface DatabaseSummary {
  readonly jobs: number;
  readonly entries: number;
  readonly sessions: number;
  readonly records: number;
  readonly auditRows: number;
  readonly blobs: number;
}

/** Which database is looked through, and how closely. */
export interface DatabaseCheckOptions extends DatabaseAccess {
  /** Where the contents of artifacts are. Default: they are not looked at. */
  readonly blobs?: BlobStore;
  /** Reads contents to their ends, and compares their digests. Default: looks whether they are there, and how long. */
  readonly readsBlobs?: boolean;
}

interface FeedRow {
  readonly session: number;
  readonly seq: number;
  readonly job: number;
  readonly n: number;
  readonly count: number;
  readonly sum: number | null;
}

interface Counted {
  readonly id: string;
  readonly lastN: number;
}

/** SQLite's own check stops after so many errors. */
const MAX_FILE_ERRORS = 100;
/** The kind of records that name blobs. */
const ARTIFACT_KIND = "artifact";

/**
 * Looks at the pages of the file, at the journal of every job, at every feed, record and row of the audit, and at the contents
 * that records name; calls `onProblem` for everything that is wrong.
 *
 * @throws StoreError if the file cannot be opened, or is too damaged to be read on.
 */
export async function checkDatabase(
  options: DatabaseCheckOptions,
  onProblem: (problem: DatabaseProblem) => void,
): Promise<DatabaseSummary> {
  const { db, cipher, close } = openForReading(options.path, options);
  try {
    const check = new Check(db, cipher, onProblem);
    const rows = check.rows();
    const blobs = options.blobs === undefined ? 0 : await check.blobs(options.blobs, options.readsBlobs === true);
    return { ...rows, blobs };
  } catch (error) {
    throw storeErrorOf(error);
  } finally {
    close();
  }
}

class Check {
  readonly #db: Database.Database;
  readonly #cipher: RowCipher | undefined;
  readonly #onProblem: (problem: DatabaseProblem) => void;
  readonly #jobs = new Map<number, Counted>();
  readonly #blobs = new Map<string, StoredBlob>();

  constructor(db: Database.Database, cipher: RowCipher | undefined, onProblem: (problem: DatabaseProblem) => void) {
    this.#db = db;
    this.#cipher = cipher;
    this.#onProblem = onProblem;
  }

  /** All of it in one transaction: one state of the database, whatever is committed meanwhile. */
  rows(): Omit<DatabaseSummary, "blobs"> {
    return this.#db.transaction(() => {
      if (!this.#checkPages()) throw new StoreError("corrupt", "the file is damaged: what is in it is not looked at");
      const entries = this.#checkJournals();
      const sessions = this.#checkSessions();
      this.#checkFeeds(sessions);
      this.#checkFollows();
      this.#checkPromises();
      const records = this.#checkRecords();
      const auditRows = this.#checkAudit();
      return { jobs: this.#jobs.size, entries, sessions: sessions.size, records, auditRows };
    })();
  }

  /** Contents that are gone because their record is, by now, are no problem. Resolves with how many there are. */
  async blobs(store: BlobStore, reads: boolean): Promise<number> {
    const isNamed = this.#db.prepare("SELECT 1 FROM record WHERE kind = ? AND id = ?");
    for (const [id, blob] of this.#blobs) {
      const problem = await problemOf(store, blob, reads);
      if (problem === undefined || isNamed.get(ARTIFACT_KIND, id) === undefined) continue;
      this.#report(`artifact ${id}`, `its content ${problem}`);
    }
    return this.#blobs.size;
  }

  #report(subject: string, message: string): void {
    this.#onProblem({ subject, message });
  }

  /** What `read` returns; `undefined`, and a problem, if that finds the row damaged. */
  #readable<Result>(subject: string, read: () => Result): Result | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof StoreError || error instanceof SyntaxError)) throw error;
      this.#report(subject, "it is not what was stored");
      return undefined;
    }
  }

  #checkPages(): boolean {
    const lines = this.#db.pragma(`integrity_check(${MAX_FILE_ERRORS})`) as { readonly integrity_check: string }[];
    const errors = lines.map(({ integrity_check }) => integrity_check).filter((line) => line !== "ok");
    for (const error of errors) this.#report("file", error);
    return errors.length === 0;
  }

  /** Every journal has its entries from the first that is kept to the last without a gap, and an end if, and only if, its job has ended. */
  #checkJournals(): number {
    const counting = this.#db.prepare("SELECT count(*) FROM entry WHERE key BETWEEN ? AND ?").pluck();
    let known = 0;
    for (const row of this.#db.prepare("SELECT * FROM job").iterate() as Iterable<JobRow & AskedRow>) {
      this.#jobs.set(row.key, { id: row.id, lastN: row.last_n });
      const segments = this.#segments(row.key);
      for (const segment of segments) {
        known += counting.get(segment * SEGMENT_SIZE, (segment + 1) * SEGMENT_SIZE - 1) as number;
      }
      // A sweep is about to delete the rest of it.
      if (row.status === EXPIRED) continue;
      this.#readable(row.id, () => jobRecord(row));
      this.#readable(row.id, () => JSON.parse(askedOf(row, this.#cipher) ?? "null"));
      this.#checkJournal(row, segments);
    }
    const all = this.#db.prepare("SELECT count(*) FROM entry").pluck().get() as number;
    if (all !== known) this.#report("file", `${all - known} entries belong to no job`);
    return all;
  }

  #segments(job: number): number[] {
    const further = this.#db.prepare("SELECT key FROM segment WHERE job = ? ORDER BY ordinal").pluck();
    return [job * 2, ...(further.all(job) as number[]).map((key) => key * 2 + 1)];
  }

  #checkJournal({ id, first_n, dropped_n, last_n, ended_at }: JobRow, segments: readonly number[]): void {
    const entries = this.#db.prepare("SELECT key, ts, code, payload, sum FROM entry WHERE key BETWEEN ? AND ?").raw();
    const ends: number[] = [];
    let count = 0;
    const highest = segments.length * SEGMENT_SIZE;
    for (const { from, to, firstN } of spans(segments, 1, highest)) {
      for (const row of entries.iterate(from, to) as Iterable<EntryTuple>) {
        const n = firstN + (row[0] - from);
        if (n > last_n) this.#report(id, `there is an entry ${n}, and ${last_n} is its last one`);
        else if (n <= dropped_n) this.#report(id, `there is an entry ${n}, and up to ${dropped_n} they are deleted`);
        else if (n >= first_n) count += 1;
        if (isTerminal(row[2])) ends.push(n);
        this.#readable(`${id}, entry ${n}`, () => JSON.parse(openEntry(row, id, this.#cipher)));
      }
    }
    const kept = last_n - first_n + 1;
    if (count !== kept) this.#report(id, `${kept - count} of its ${kept} entries are missing`);
    const expected = ended_at === null ? "" : String(last_n);
    if (ends.join() === expected) return;
    if (ended_at === null) this.#report(id, `it has not ended, and its journal ends with entry ${ends.join(", ")}`);
    else if (ends.length === 0) this.#report(id, "it has ended, and its journal has no end");
    else this.#report(id, `entry ${last_n} is its last one, and its journal ends with entry ${ends.join(", ")}`);
  }

  /** The ids of the sessions, by their keys. */
  #checkSessions(): Map<number, string> {
    const sessions = this.#db.prepare("SELECT * FROM session").all() as SessionRow[];
    for (const row of sessions) this.#readable(row.id, () => sessionRecord(row));
    return new Map(sessions.map(({ key, id }) => [key, id]));
  }

  /** Numbers of a session follow one another from 1 on, and each stands for an entry that there is. */
  #checkFeeds(sessions: ReadonlyMap<number, string>): void {
    let expected = 1;
    let current: number | undefined;
    const runs = this.#db.prepare("SELECT session, seq, job, n, count, sum FROM feed ORDER BY session, seq");
    for (const run of runs.iterate() as Iterable<FeedRow>) {
      if (run.session !== current) expected = 1;
      current = run.session;
      const name = sessions.get(run.session) ?? `session ${run.session}`;
      if (!sessions.has(run.session)) this.#report(name, "it has numbers, and is not there");
      if (run.seq !== expected) this.#report(name, `its numbers go on with ${run.seq} where ${expected} is due`);
      expected = run.seq + run.count;
      this.#checkRun(name, run);
    }
  }

  #checkRun(name: string, { session, seq, job, n, count, sum }: FeedRow): void {
    if (sum !== null && sum !== sumOf(session, seq, job, n, count)) {
      this.#report(name, `what is stored of number ${seq} is not what was stored`);
    }
    const known = this.#jobs.get(job);
    if (known === undefined) this.#report(name, `number ${seq} stands for an entry of a job that is not there`);
    else if (count < 1 || n < 1 || n + count - 1 > known.lastN) {
      this.#report(name, `numbers ${seq} to ${seq + count - 1} stand for entries that ${known.id} does not have`);
    }
  }

  #checkFollows(): void {
    const lost = this.#db.prepare(
      "SELECT count(*) FROM follow WHERE job NOT IN (SELECT key FROM job) OR session NOT IN (SELECT key FROM session)",
    );
    const count = lost.pluck().get() as number;
    if (count > 0) this.#report("file", `${count} subscriptions are of jobs or sessions that are not there`);
  }

  /** Secrets that have to be revoked, and jobs that keys stand for. */
  #checkPromises(): void {
    for (const row of this.#db.prepare("SELECT * FROM credential").iterate() as Iterable<CredentialRow>) {
      this.#readable(`credential ${row.alias}`, () => credentialRecord(row));
    }
    for (const row of this.#db.prepare("SELECT * FROM idempotency").iterate() as Iterable<IdempotencyRow>) {
      this.#readable(`idempotency key ${row.key} of ${row.principal}`, () => idempotencyRecord(row));
    }
  }

  #checkRecords(): number {
    let count = 0;
    for (const row of this.#db.prepare("SELECT * FROM record").iterate() as Iterable<RecordRow>) {
      count += 1;
      const data = this.#readable(`${row.kind} ${row.id}`, () => {
        return JSON.parse(storedRecord(row, this.#cipher).data ?? "null") as { readonly blob?: StoredBlob };
      });
      if (row.kind === ARTIFACT_KIND && data?.blob !== undefined) this.#blobs.set(row.id, data.blob);
    }
    return count;
  }

  #checkAudit(): number {
    const verifier = new AuditVerifier();
    const rows = this.#db.prepare("SELECT * FROM audit ORDER BY key");
    for (const row of rows.iterate() as Iterable<AuditTableRow>) {
      const read = this.#readable(`audit row ${row.key}`, () => auditRow(row, this.#cipher));
      if (read !== undefined) verifier.add(read);
    }
    const { broken } = verifier;
    if (broken !== undefined) this.#report(`audit row ${broken.seq}`, broken.reason);
    return verifier.rows;
  }
}

/** What is wrong with a content; `undefined` if nothing is. */
async function problemOf(store: BlobStore, blob: StoredBlob, reads: boolean): Promise<string | undefined> {
  try {
    for await (const _ of store.read(blob, reads ? undefined : { offset: 0, length: 1 }));
    return undefined;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    return error.reason === "missing" ? "is missing" : `cannot be read: ${error.message}`;
  }
}
