import type { JobId, LoggedEntry, LoggedJob, SessionId } from "@arcp/core";
import type Database from "better-sqlite3";
import { linked, prunedRecord } from "./audit-chain.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { isMemory } from "./file-health.ts";
import { askedPlace, auditPlace, type RowCipher, recordPlace } from "./row-cipher.ts";
import { assertSum, damaged, sumOf } from "./row-sums.ts";
import { EXPIRED } from "./schema.ts";
import { keyOf, SEGMENT_SIZE, spans } from "./segments.ts";
import { type EntryTuple, entryRow, openEntry } from "./sqlite-entries.ts";
import { type DatabaseFile, openAsGuest, openForReading, openForWriting } from "./sqlite-file.ts";
import { sweep, turn } from "./sqlite-retention.ts";
import {
  type AskedRow,
  type AuditTableRow,
  askedOf,
  askedSum,
  auditRow,
  CREDENTIAL_STATES,
  type CredentialRow,
  credentialRecord,
  credentialSum,
  factsSum,
  type IdempotencyRow,
  idempotencyRecord,
  idempotencySum,
  JOB_COLUMNS,
  type JobRow,
  jobRecord,
  type RecordRow,
  type RunRow,
  recordSum,
  type SessionRow,
  sessionRecord,
  sessionSum,
  stateSum,
  storedRecord,
} from "./sqlite-rows.ts";
import { ENTRIES_AT_ONCE, prepare, Statement } from "./sqlite-statements.ts";
import {
  type AuditHead,
  type AuditRecord,
  type AuditRow,
  type Batch,
  type CredentialQuery,
  type CredentialRecord,
  type Entry,
  type EntryCode,
  type FeedItem,
  type FeedRun,
  type IdempotencyRecord,
  type JobQuery,
  type JobRecord,
  loggedJob,
  messageTypeOf,
  type RecordQuery,
  type RetentionCuts,
  type SessionRecord,
  StaleWriterError,
  type Store,
  type StoredRecord,
} from "./store.ts";
import { guarded, isFull, StoreError, storeErrorOf } from "./store-error.ts";

/** Where the database is, and with which keys it is encrypted. */
export interface SqliteStoreOptions {
  /** The database file. Default: `:memory:`, which forgets everything with the process. */
  readonly path?: string;
  /**
   * `FULL` syncs every commit: what was acknowledged survives a power cut. `NORMAL` syncs less often: after a power cut
   * (not after a crash of the process) the last commits may be missing. Default: `FULL`.
   */
  readonly synchronous?: "FULL" | "NORMAL";
  /** Opens an existing file for reading only, whether a server uses it or not. Default: false. */
  readonly readOnly?: boolean;
  /**
   * Opens an existing file for writing beside the server that uses it, if one does: only for records that servers read anew
   * whenever they use them, and never for jobs and sessions. Default: false.
   */
  readonly isGuest?: boolean;
  /**
   * Encrypts the contents of entries, records and audit rows (AES-256-GCM): 32 random bytes each, the key in use first, and
   * behind it those that rows may still be encrypted with. Default: none, and nothing is encrypted.
   */
  readonly encryptionKeys?: readonly Uint8Array[];
}

/**
 * The embedded store: one SQLite file in WAL mode. One store at a time has it for writing, in all processes: until it is
 * closed, or its process is gone.
 *
 * @throws StoreError if the file cannot be had: `locked`, with the process that has it; `version` for a file of a newer
 * version; `foreign`, `corrupt`, `read_only`, `key`.
 */
export function sqliteStore(options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(options);
}

/** What the store remembers of a job that is being written to. */
interface OpenJob {
  readonly key: number;
  readonly epoch: number;
  /** The segments of the journal, in order; the first is made with the job. */
  readonly segments: number[];
  /** The batch in which the epoch was last compared. */
  checkedIn: number;
}

const PAGE_ROWS = 512;
/** Rows of the audit that are deleted in one transaction. */
const PRUNED_ROWS = 1_000;

class SqliteStore implements Store {
  readonly #file: DatabaseFile;
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof prepare>;
  /** `undefined`: nothing is encrypted. */
  readonly #cipher: RowCipher | undefined;
  readonly #jobs = new Map<JobId, OpenJob>();
  readonly #sessionKeys = new Map<SessionId, number>();
  #batchNumber = 0;
  readonly isDurable: boolean;
  /** `undefined`: nothing can be set aside. */
  readonly #reserve: DiskReserve | undefined;
  #isScarce = false;
  /** The jobs whose entries were given numbers since a sweep began; `undefined` while there is none. */
  #numberedMeanwhile: Set<number> | undefined;

  constructor(options: SqliteStoreOptions) {
    const { path = ":memory:", synchronous = "FULL", readOnly = false, isGuest = false } = options;
    const open = readOnly ? openForReading : isGuest ? openAsGuest : openForWriting;
    this.#file = open(path, options);
    this.#db = this.#file.db;
    this.#cipher = this.#file.cipher;
    this.isDurable = !isMemory(path) && synchronous === "FULL";
    if (!isMemory(path) && !readOnly && !isGuest) this.#reserve = new DiskReserve(path);
    try {
      this.#sql = prepare(this.#db);
    } catch (error) {
      this.#file.close();
      throw storeErrorOf(error);
    }
  }

  get isScarce(): boolean {
    return this.#isScarce;
  }

  async keepRoom(): Promise<void> {
    try {
      if (this.#reserve !== undefined) this.#isScarce = !(await this.#reserve.fill());
    } catch (cause) {
      throw new StoreError("failed", "no room can be set aside for the database", { cause });
    }
  }

  async commit(batch: Batch): Promise<void> {
    this.#withReserve(() => this.#commit(batch));
  }

  /** Does `work` once more with what was set aside, if there is no other room for it. */
  #withReserve<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (this.#reserve === undefined || !isFull(error)) throw error;
      this.#isScarce = true;
      if (!this.#reserve.release()) throw error;
      return work();
    }
  }

  #commit(batch: Batch): void {
    this.#batchNumber += 1;
    this.#sql.begin.run();
    try {
      this.#apply(batch);
      this.#sql.commit.run();
    } catch (error) {
      if (this.#db.inTransaction) this.#sql.rollback.run();
      // What was learnt in the transaction is not so.
      this.#jobs.clear();
      this.#sessionKeys.clear();
      throw error;
    }
    for (const change of batch.jobChanges.values()) if (change.endedAt !== null) this.#jobs.delete(change.id);
  }

  #apply(batch: Batch): void {
    const sql = this.#sql;
    for (const session of batch.sessions) this.#putSession(session);
    // A job that was made and changed in one batch is written once, as it has become.
    for (const job of batch.jobs) this.#insertJob({ ...job, ...batch.jobChanges.get(job.id) });
    const isNew = new Set(batch.jobs.map(({ id }) => id));
    for (const { principal, key, digest, jobId, expiresAt } of batch.idempotency) {
      const row = { principal, key, digest, job_id: jobId, expires_at: expiresAt };
      sql.putIdempotency.run({ ...row, sum: idempotencySum(row) });
    }
    for (const [id, { epoch, list }] of batch.entries) this.#append(this.#openJob(id, epoch), list);
    for (const change of batch.jobChanges.values()) {
      if (isNew.has(change.id)) continue;
      const { key, epoch } = this.#openJob(change.id, change.epoch);
      const budget = change.budget === null ? null : JSON.stringify(change.budget);
      const { status, endedAt, lastN, lastEventSeq } = change;
      const sum = stateSum({ status, ended_at: endedAt, budget, last_n: lastN, last_event_seq: lastEventSeq });
      const { changes } = sql.changeJob.run(status, endedAt, budget, lastN, lastEventSeq, sum, key, epoch);
      if (changes !== 1) throw new StaleWriterError(`job ${change.id} belongs to another writer`);
    }
    for (const [id, runs] of batch.runs) {
      const session = this.#sessionKey(id);
      for (const run of runs) {
        const job = this.#jobKey(run.jobId);
        const sum = sumOf(session, run.seq, job, run.n, run.count);
        sql.putRun.run(session, run.seq, job, run.n, run.count, sum);
        this.#numberedMeanwhile?.add(job);
      }
    }
    for (const { sessionId, jobId, isOn } of batch.follows) {
      const statement = isOn ? sql.follow : sql.unfollow;
      statement.run(this.#jobKey(jobId), this.#sessionKey(sessionId));
    }
    if (batch.audit.length > 0) this.#appendAudit(batch.audit);
    for (const credential of batch.credentials) this.#putCredential(credential);
    for (const { kind, id, principal, jobId, dueAt, data } of batch.records) {
      if (data === null) sql.deleteRecord.run(kind, id);
      else this.#putRecord({ kind, id, principal, job_id: jobId, due_at: dueAt, data });
    }
  }

  /** A statement whose text depends on what is asked. */
  #prepared(sql: string): Statement {
    return guarded(() => new Statement(this.#db.prepare(sql)));
  }

  #putSession(session: SessionRecord): void {
    const { id, principal, wire, salt } = session;
    const row = {
      ...{ id, principal, wire, salt, features: session.features.join(" ") },
      ...{ token_hash: session.tokenHash, previous_token_hash: session.previousTokenHash },
      ...{ acked_seq: session.ackedSeq, created_at: session.createdAt },
      must_authenticate: session.mustAuthenticate ? 1 : 0,
    };
    const place = { detached_at: session.detachedAt, sent_seq: session.sentSeq };
    this.#sessionKeys.set(id, this.#sql.putSession.get({ ...row, ...place, sum: sessionSum(row) }) as number);
  }

  #putRecord(row: Omit<RecordRow, "sum">): void {
    const { kind, id, principal, job_id, due_at } = row;
    const data = this.#cipher?.seal(recordPlace(kind, id, principal, job_id), row.data) ?? row.data;
    this.#sql.putRecord.run(kind, id, principal, job_id, due_at, data, recordSum({ ...row, data }));
  }

  #putCredential(credential: CredentialRecord): void {
    const row = {
      ...{ alias: credential.alias, credential_id: credential.credentialId, job_id: credential.jobId },
      ...{ provisioner: credential.provisioner, upstream_id: credential.upstreamId },
      ...{ state: CREDENTIAL_STATES.indexOf(credential.state), created_at: credential.createdAt },
      ...{ issued_at: credential.issuedAt, expires_at: credential.expiresAt, attempts: credential.attempts },
      ...{ revoking_since: credential.revokingSince, last_error: credential.lastError },
      revoked_at: credential.revokedAt,
    };
    const { changes } = this.#sql.putCredential.run({ ...row, sum: credentialSum(row) });
    if (changes !== 1) throw new StaleWriterError(`credential ${credential.alias} belongs to another writer`);
  }

  /** Within the transaction: the head that is read is the one that is followed. */
  #appendAudit(records: readonly AuditRecord[]): void {
    let head = this.#sql.auditHead.get() as AuditHead | undefined;
    for (const record of records) {
      const row = linked(head, record);
      const { seq, at, action, principal, sessionId, jobId, remoteAddress, traceId, facts, hash } = row;
      const optional = [sessionId ?? null, jobId ?? null, remoteAddress ?? null, traceId ?? null];
      const stored = this.#cipher?.seal(auditPlace(seq), facts) ?? facts;
      this.#sql.appendAudit.run(seq, at, action, principal, ...optional, stored, hash);
      head = row;
    }
  }

  #insertJob(job: JobRecord): void {
    const facts = {
      ...{ id: job.id, session_id: job.sessionId, principal: job.principal, agent: job.agent },
      ...{ agent_version: job.agentVersion, created_at: job.createdAt, lease: JSON.stringify(job.lease) },
      lease_constraints: job.leaseConstraints === null ? null : JSON.stringify(job.leaseConstraints),
      ...{ parent_job_id: job.parentJobId, trace_id: job.traceId, delegate_id: job.delegateId },
    };
    const state = {
      ...{ status: job.status, ended_at: job.endedAt, last_n: job.lastN, last_event_seq: job.lastEventSeq },
      budget: job.budget === null ? null : JSON.stringify(job.budget),
    };
    const sums = { facts_sum: factsSum(facts), state_sum: stateSum(state) };
    const asked = this.#askedColumns(job);
    const { lastInsertRowid } = this.#sql.insertJob.run({ ...facts, ...state, ...sums, ...asked, epoch: job.epoch });
    const key = Number(lastInsertRowid);
    // A job's first segment has the job's own key, doubled: further segments take the odd numbers.
    this.#jobs.set(job.id, { key, epoch: job.epoch, segments: [key * 2], checkedIn: this.#batchNumber });
  }

  #askedColumns({ id, asked: text }: JobRecord): Pick<AskedRow, "asked" | "asked_sum"> {
    if (text === undefined) return { asked: null, asked_sum: null };
    const asked = this.#cipher?.seal(askedPlace(id), text) ?? text;
    return { asked, asked_sum: askedSum({ id, asked }) };
  }

  /** The job as a writer with `epoch` may write to it. Throws {@link StaleWriterError} if it may not. */
  #openJob(id: JobId, epoch: number): OpenJob {
    let job = this.#jobs.get(id);
    if (job === undefined) {
      const row = this.#sql.jobKeyAndEpoch.get(id) as { key: number; epoch: number } | undefined;
      if (row === undefined) throw new StaleWriterError(`job ${id} does not exist`);
      job = { key: row.key, epoch: row.epoch, segments: this.#segments(row.key), checkedIn: 0 };
      this.#jobs.set(id, job);
    }
    if (job.checkedIn !== this.#batchNumber) {
      if (job.epoch !== epoch || this.#sql.epoch.get(job.key) !== epoch) {
        this.#jobs.delete(id);
        throw new StaleWriterError(`job ${id} belongs to another writer`);
      }
      job.checkedIn = this.#batchNumber;
    }
    return job;
  }

  #segments(jobKey: number): number[] {
    const further = this.#sql.segments.all(jobKey) as number[];
    return [jobKey * 2, ...further.map((key) => key * 2 + 1)];
  }

  #append(job: OpenJob, list: readonly Entry[]): void {
    const { insertEntry, insertEntries } = this.#sql;
    let rows: EntryTuple[] = [];
    for (const { n, ts, code, payload } of list) {
      const ordinal = Math.floor((n - 1) / SEGMENT_SIZE);
      if (ordinal >= job.segments.length) {
        const { lastInsertRowid } = this.#sql.insertSegment.run(job.key, ordinal);
        job.segments.push(Number(lastInsertRowid) * 2 + 1);
      }
      rows.push(entryRow(keyOf(job.segments, n), ts, code, payload, this.#cipher));
      if (rows.length < ENTRIES_AT_ONCE) continue;
      insertEntries.run(rows.flat());
      rows = [];
    }
    for (const row of rows) insertEntry.run(row);
  }

  #jobKey(id: JobId): number {
    const open = this.#jobs.get(id);
    if (open) return open.key;
    const row = this.#sql.jobKeyAndEpoch.get(id) as { key: number } | undefined;
    if (row === undefined) throw new Error(`no job ${id}`);
    return row.key;
  }

  #sessionKey(id: SessionId): number {
    const known = this.#sessionKeys.get(id);
    if (known !== undefined) return known;
    const key = this.#sql.sessionKey.get(id) as number | undefined;
    if (key === undefined) throw new Error(`no session ${id}`);
    this.#sessionKeys.set(id, key);
    return key;
  }

  async findJob(id: JobId): Promise<JobRecord | undefined> {
    const row = this.#sql.job.get(id) as JobRow | undefined;
    return row && jobRecord(row);
  }

  async readAsked(id: JobId): Promise<string | undefined> {
    const row = this.#sql.asked.get(id) as AskedRow | undefined;
    return row && askedOf(row, this.#cipher);
  }

  async listJobs(query: JobQuery): Promise<readonly JobRecord[]> {
    const { where, values, add } = conditions();
    add("status <> ?", EXPIRED);
    if (query.principal !== null) add("principal = ?", query.principal);
    if (query.status) add(oneOf("status", query.status), ...query.status);
    if (query.agent !== undefined) add("agent = ?", query.agent);
    if (query.agentVersion !== undefined) add("agent_version = ?", query.agentVersion);
    if (query.createdAfter !== undefined) add("created_at > ?", query.createdAfter);
    if (query.createdBefore !== undefined) add("created_at < ?", query.createdBefore);
    if (query.after) add("(created_at, id) > (?, ?)", query.after.createdAt, query.after.id);
    const statement = this.#prepared(`SELECT ${JOB_COLUMNS} FROM job ${where()} ORDER BY created_at, id LIMIT ?`);
    return (statement.all(...values, query.limit) as JobRow[]).map(jobRecord);
  }

  async readJournal(id: JobId, fromN: number, toN: number): Promise<readonly Entry[]> {
    return this.#wholeEntries(id, this.#jobKey(id), fromN, toN);
  }

  /** As many as there are. An entry whose key is damaged is not found where it should be: the last one, too, is missed. */
  #wholeEntries(id: JobId, jobKey: number, fromN: number, toN: number): Entry[] {
    const from = Math.max(fromN, (this.#sql.firstN.get(jobKey) as number | undefined) ?? 1);
    const list = this.#entries(jobKey, from, toN);
    if (list.length > toN - from) return list;
    const job = this.#sql.job.get(id) as JobRow | undefined;
    const expected = Math.min(toN, job?.last_n ?? 0) - from + 1;
    if (list.length < expected) throw damaged(`entry ${from + list.length} of journal ${jobKey}`);
    return list;
  }

  async readCodes(id: JobId, fromN: number, toN: number): Promise<readonly EntryCode[]> {
    const segments = this.#segments(this.#jobKey(id));
    return spans(segments, fromN, toN).flatMap(({ from, to }) => this.#sql.codes.all(from, to) as EntryCode[]);
  }

  /** Entries `fromN` to `toN`, or as many as fit `maxBytes` after the first. */
  #entries(jobKey: number, fromN: number, toN: number, maxBytes = Number.POSITIVE_INFINITY): Entry[] {
    const list: Entry[] = [];
    let bytes = 0;
    try {
      for (const { from, to, firstN } of spans(this.#segments(jobKey), fromN, toN)) {
        for (const row of this.#sql.entries.iterate(from, to) as Iterable<EntryTuple>) {
          const n = firstN + (row[0] - from);
          if (n !== fromN + list.length) throw damaged(`entry ${fromN + list.length} of journal ${jobKey}`);
          const payload = openEntry(row, `entry ${n} of journal ${jobKey}`, this.#cipher);
          bytes += payload.length;
          if (list.length > 0 && bytes > maxBytes) return list;
          list.push({ n, ts: row[1], code: row[2], payload });
        }
      }
    } catch (error) {
      throw storeErrorOf(error);
    }
    return list;
  }

  async readFeed(id: SessionId, afterSeq: number, limit: number, maxBytes: number): Promise<readonly FeedItem[]> {
    const items: FeedItem[] = [];
    let bytes = 0;
    const session = this.#sql.sessionKey.get(id) as number | undefined;
    if (session === undefined) return items;
    const runs = this.#sql.runsAfter.all(session, afterSeq, session, afterSeq, limit) as RunRow[];
    for (const run of runs) {
      assertRun(run);
      const skip = Math.max(afterSeq + 1 - run.seq, 0);
      const toN = Math.min(run.n + run.count - 1, run.n + skip + (limit - items.length) - 1);
      const entries = this.#entries(run.job, run.n + skip, toN, maxBytes - bytes);
      for (const entry of entries) {
        bytes += entry.payload.length;
        if (items.length > 0 && bytes > maxBytes) return items;
        const seq = run.seq + (entry.n - run.n);
        items.push({ seq, jobId: run.jobId as JobId, traceId: run.traceId as FeedItem["traceId"], entry });
      }
      if (items.length >= limit) break;
      if (entries.length < toN - (run.n + skip) + 1) {
        if (entries.length === 0) throw damaged(`the journal of ${run.jobId}`);
        break;
      }
    }
    return items;
  }

  async feedPosition(id: SessionId, jobId: JobId, seq: number): Promise<number | undefined> {
    const session = this.#sql.sessionKey.get(id) as number | undefined;
    if (session === undefined) return undefined;
    const run = this.#sql.lastRunOfJob.get(session, this.#jobKey(jobId), seq) as RunRow | undefined;
    if (run !== undefined) assertRun(run);
    return run === undefined ? 0 : run.n + Math.min(seq - run.seq, run.count - 1);
  }

  async findSession(
    id: SessionId,
  ): Promise<{ readonly record: SessionRecord; readonly lastRun: FeedRun | null } | undefined> {
    const row = this.#sql.session.get(id) as SessionRow | undefined;
    if (row === undefined) return undefined;
    const run = this.#sql.lastRun.get(row.key) as RunRow | undefined;
    if (run !== undefined) assertRun(run);
    return {
      record: sessionRecord(row),
      lastRun: run ? { seq: run.seq, jobId: run.jobId as JobId, n: run.n, count: run.count } : null,
    };
  }

  async findSessionByToken(hash: string): Promise<SessionId | undefined> {
    return this.#sql.sessionByToken.get(hash, hash) as SessionId | undefined;
  }

  async findIdempotency(principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    const row = this.#sql.idempotency.get(principal, key) as IdempotencyRow | undefined;
    return row && idempotencyRecord(row);
  }

  async outstandingCredentials(): Promise<readonly CredentialRecord[]> {
    return (this.#sql.outstandingCredentials.all() as CredentialRow[]).map(credentialRecord);
  }

  async listCredentials(query: CredentialQuery): Promise<readonly CredentialRecord[]> {
    const { where, values, add } = conditions();
    if (query.jobId !== undefined) add("job_id = ?", query.jobId);
    if (query.credentialId !== undefined) add("credential_id = ?", query.credentialId);
    if (query.provisioner !== undefined) add("provisioner = ?", query.provisioner);
    if (query.states)
      add(oneOf("state", query.states), ...query.states.map((state) => CREDENTIAL_STATES.indexOf(state)));
    if (query.after) add("(created_at, alias) > (?, ?)", query.after.createdAt, query.after.alias);
    const statement = this.#prepared(`SELECT * FROM credential ${where()} ORDER BY created_at, alias LIMIT ?`);
    return (statement.all(...values, query.limit) as CredentialRow[]).map(credentialRecord);
  }

  async findRecord(kind: string, id: string): Promise<StoredRecord | undefined> {
    const row = this.#sql.record.get(kind, id) as RecordRow | undefined;
    return row && storedRecord(row, this.#cipher);
  }

  async listRecords(query: RecordQuery): Promise<readonly StoredRecord[]> {
    const { where, values, add } = conditions();
    add("kind = ?", query.kind);
    if (query.principal !== undefined) add("principal = ?", query.principal);
    if (query.jobId !== undefined) add("job_id = ?", query.jobId);
    if (query.dueBefore !== undefined) add("due_at < ?", query.dueBefore);
    if (query.after !== undefined) add("id > ?", query.after);
    const order = query.dueBefore === undefined ? "id" : "due_at, id";
    const statement = this.#prepared(`SELECT * FROM record ${where()} ORDER BY ${order} LIMIT ?`);
    return (statement.all(...values, query.limit) as RecordRow[]).map((row) => storedRecord(row, this.#cipher));
  }

  async takeOver(
    now: number,
  ): Promise<readonly { readonly job: JobRecord; readonly followers: readonly SessionId[] }[]> {
    const work = this.#db.transaction(() => {
      this.#sql.raiseEpochs.run();
      this.#sql.detachSessions.run(now);
      return (this.#sql.unfinished.all() as JobRow[]).map((row) => ({
        job: jobRecord(row),
        followers: [...new Set([row.session_id as SessionId, ...(this.#sql.followers.all(row.key) as SessionId[])])],
      }));
    });
    return this.#withReserve(() => guarded(work.immediate));
  }

  async sweep(before: RetentionCuts): Promise<{ readonly sessions: number; readonly jobs: number }> {
    const numbered = new Set<number>();
    this.#numberedMeanwhile = numbered;
    const { sessions, jobs } = await sweep(this.#db, this.#sql, before, (job) => numbered.has(job)).finally(() => {
      this.#numberedMeanwhile = undefined;
    });
    if (sessions > 0) this.#sessionKeys.clear();
    for (const id of jobs) this.#jobs.delete(id);
    return { sessions, jobs: jobs.length };
  }

  async readAudit(afterSeq: number | undefined, limit: number): Promise<readonly AuditRow[]> {
    // A number that no row should have is looked at like any other.
    return (this.#sql.auditAfter.all(afterSeq ?? Number.MIN_SAFE_INTEGER, limit) as AuditTableRow[]).map((row) =>
      auditRow(row, this.#cipher),
    );
  }

  async auditHead(): Promise<AuditHead | undefined> {
    return this.#sql.auditHead.get() as AuditHead | undefined;
  }

  async pruneAudit(before: number, now: number): Promise<number> {
    const count = guarded(
      this.#db.transaction(() => {
        const last = this.#sql.oldAudit.get(PRUNED_ROWS, before) as AuditHead | undefined;
        if (last === undefined) return 0;
        const { seq: through, hash } = last;
        // The row that stands for them follows the chain as it is, and is there before they are gone.
        const [first] = this.#sql.auditAfter.all(0, 1) as AuditTableRow[];
        const rows = through - (first?.key ?? through) + 1;
        this.#appendAudit([prunedRecord(now, { through, hash, rows })]);
        return this.#sql.deleteAudit.run(through).changes;
      }).immediate,
    );
    await turn();
    return count;
  }

  async *jobs(): AsyncIterable<LoggedJob> {
    let after = 0;
    for (;;) {
      const rows = this.#sql.jobsAfter.all(after, PAGE_ROWS) as JobRow[];
      for (const row of rows) yield loggedJob(jobRecord(row));
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.key;
    }
  }

  async *entries(jobId: JobId, afterN = 0): AsyncIterable<LoggedEntry> {
    const row = this.#sql.job.get(jobId) as JobRow | undefined;
    if (row === undefined) return;
    for (let n = afterN + 1; n <= row.last_n; n += PAGE_ROWS) {
      for (const entry of this.#wholeEntries(jobId, row.key, n, Math.min(n + PAGE_ROWS - 1, row.last_n))) {
        yield { jobId, n: entry.n, ts: entry.ts, type: messageTypeOf(entry.code), payload: JSON.parse(entry.payload) };
      }
    }
  }

  async close(): Promise<void> {
    await this.#reserve?.close();
    this.#file.close();
  }
}

const assertRun = ({ session, seq, job, n, count, sum }: RunRow): void =>
  assertSum(sum, sumOf(session, seq, job, n, count), `number ${seq} of the session ${session}`);

/** The conditions of a query, which are added one by one, with the values that they bind. */
function conditions() {
  const list: string[] = [];
  const values: (string | number)[] = [];
  const add = (condition: string, ...bound: readonly (string | number)[]): void => {
    list.push(condition);
    values.push(...bound);
  };
  return { values, add, where: () => (list.length === 0 ? "" : `WHERE ${list.join(" AND ")}`) };
}

const oneOf = (column: string, values: readonly unknown[]): string =>
  `${column} IN (${values.map(() => "?").join(", ")})`;
