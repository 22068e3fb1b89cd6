import type { JobId, LoggedEntry, LoggedJob, SessionId } from "@arcp/core";
import Database from "better-sqlite3";
import { MIGRATIONS, SEGMENT_SIZE } from "./schema.ts";
import {
  type Batch,
  type Entry,
  type EntryCode,
  type FeedItem,
  type FeedRun,
  type IdempotencyRecord,
  type JobQuery,
  type JobRecord,
  messageTypeOf,
  type SessionRecord,
  StaleWriterError,
  type Store,
} from "./store.ts";

export interface SqliteStoreOptions {
  /** The database file. Default: `:memory:`, which forgets everything with the process. */
  readonly path?: string;
  /**
   * `FULL` syncs every commit: what was acknowledged survives a power cut. `NORMAL` syncs less often: after a power cut
   * (not after a crash of the process) the last commits may be missing. Default: `FULL`.
   */
  readonly synchronous?: "FULL" | "NORMAL";
  /** Opens an existing file for reading only, without taking it over from a running server. Default: false. */
  readonly readOnly?: boolean;
}

/** The embedded store: one SQLite file in WAL mode, written by one process. Throws if the file cannot be opened. */
export function sqliteStore(options: SqliteStoreOptions = {}): Store {
  return new SqliteStore(options);
}

interface JobRow {
  key: number;
  id: string;
  session_id: string;
  principal: string;
  agent: string;
  agent_version: string;
  status: string;
  created_at: number;
  ended_at: number | null;
  lease: string;
  lease_constraints: string | null;
  parent_job_id: string | null;
  trace_id: string;
  budget: string | null;
  epoch: number;
  last_n: number;
  last_event_seq: number;
}

interface SessionRow {
  key: number;
  id: string;
  principal: string;
  wire: string;
  features: string;
  token_hash: string;
  previous_token_hash: string | null;
  salt: string;
  acked_seq: number;
  detached_at: number | null;
  created_at: number;
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

class SqliteStore implements Store {
  readonly #db: Database.Database;
  readonly #sql: ReturnType<typeof prepare>;
  readonly #jobs = new Map<JobId, OpenJob>();
  readonly #sessionKeys = new Map<SessionId, number>();
  #batchNumber = 0;

  constructor({ path = ":memory:", synchronous = "FULL", readOnly = false }: SqliteStoreOptions) {
    this.#db = new Database(path, { readonly: readOnly, fileMustExist: readOnly, timeout: 5_000 });
    if (!readOnly) {
      this.#db.pragma("journal_mode = WAL");
      this.#db.pragma(`synchronous = ${synchronous}`);
      migrate(this.#db);
    }
    this.#sql = prepare(this.#db);
  }

  async commit(batch: Batch): Promise<void> {
    this.#batchNumber += 1;
    this.#sql.begin.run();
    try {
      this.#apply(batch);
      this.#sql.commit.run();
    } catch (error) {
      if (this.#db.inTransaction) this.#sql.rollback.run();
      for (const job of batch.jobs) this.#jobs.delete(job.id);
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
      sql.putIdempotency.run(principal, key, digest, jobId, expiresAt);
    }
    for (const [id, { epoch, list }] of batch.entries) this.#append(this.#openJob(id, epoch), list);
    for (const change of batch.jobChanges.values()) {
      if (isNew.has(change.id)) continue;
      const { key, epoch } = this.#openJob(change.id, change.epoch);
      const budget = change.budget === null ? null : JSON.stringify(change.budget);
      const { status, endedAt, lastN, lastEventSeq } = change;
      const { changes } = sql.changeJob.run(status, endedAt, budget, lastN, lastEventSeq, key, epoch);
      if (changes !== 1) throw new StaleWriterError(`job ${change.id} belongs to another writer`);
    }
    for (const [id, runs] of batch.runs) {
      const session = this.#sessionKey(id);
      for (const run of runs) sql.putRun.run(session, run.seq, this.#jobKey(run.jobId), run.n, run.count);
    }
    for (const { sessionId, jobId, isOn } of batch.follows) {
      const statement = isOn ? sql.follow : sql.unfollow;
      statement.run(this.#jobKey(jobId), this.#sessionKey(sessionId));
    }
    for (const { at, action, principal, facts } of batch.audit) sql.audit.run(at, action, principal, facts);
  }

  #putSession(session: SessionRecord): void {
    const { id, principal, wire, tokenHash, previousTokenHash, salt, ackedSeq, detachedAt, createdAt } = session;
    const features = session.features.join(" ");
    const key = this.#sql.putSession.get(
      id,
      principal,
      wire,
      features,
      tokenHash,
      previousTokenHash,
      salt,
      ackedSeq,
      detachedAt,
      createdAt,
    ) as number;
    this.#sessionKeys.set(id, key);
  }

  #insertJob(job: JobRecord): void {
    const { lastInsertRowid } = this.#sql.insertJob.run(
      job.id,
      job.sessionId,
      job.principal,
      job.agent,
      job.agentVersion,
      job.status,
      job.createdAt,
      job.endedAt,
      JSON.stringify(job.lease),
      job.leaseConstraints === null ? null : JSON.stringify(job.leaseConstraints),
      job.parentJobId,
      job.traceId,
      job.budget === null ? null : JSON.stringify(job.budget),
      job.epoch,
      job.lastN,
      job.lastEventSeq,
    );
    const key = Number(lastInsertRowid);
    // A job's first segment has the job's own key, doubled: further segments take the odd numbers.
    this.#jobs.set(job.id, { key, epoch: job.epoch, segments: [key * 2], checkedIn: this.#batchNumber });
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
    const insert = this.#sql.insertEntry;
    for (const { n, ts, code, payload } of list) {
      const ordinal = Math.floor((n - 1) / SEGMENT_SIZE);
      if (ordinal >= job.segments.length) {
        const { lastInsertRowid } = this.#sql.insertSegment.run(job.key, ordinal);
        job.segments.push(Number(lastInsertRowid) * 2 + 1);
      }
      insert.run(keyOf(job.segments, n), ts, code, payload);
    }
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

  async listJobs(query: JobQuery): Promise<readonly JobRecord[]> {
    const where: string[] = [];
    const values: (string | number)[] = [];
    const add = (condition: string, ...bound: (string | number)[]): void => {
      where.push(condition);
      values.push(...bound);
    };
    if (query.principal !== null) add("principal = ?", query.principal);
    if (query.status) add(`status IN (${query.status.map(() => "?").join(", ")})`, ...query.status);
    if (query.agent !== undefined) add("agent = ?", query.agent);
    if (query.agentVersion !== undefined) add("agent_version = ?", query.agentVersion);
    if (query.createdAfter !== undefined) add("created_at > ?", query.createdAfter);
    if (query.createdBefore !== undefined) add("created_at < ?", query.createdBefore);
    if (query.after) add("(created_at, id) > (?, ?)", query.after.createdAt, query.after.id);
    const condition = where.length === 0 ? "" : `WHERE ${where.join(" AND ")}`;
    const statement = this.#db.prepare(`SELECT * FROM job ${condition} ORDER BY created_at, id LIMIT ?`);
    return (statement.all(...values, query.limit) as JobRow[]).map(jobRecord);
  }

  async readJournal(id: JobId, fromN: number, toN: number): Promise<readonly Entry[]> {
    return this.#entries(this.#jobKey(id), fromN, toN);
  }

  async readCodes(id: JobId, fromN: number, toN: number): Promise<readonly EntryCode[]> {
    const segments = this.#segments(this.#jobKey(id));
    return spans(segments, fromN, toN).flatMap(({ from, to }) => this.#sql.codes.all(from, to) as EntryCode[]);
  }

  /** Entries `fromN` to `toN`, or as many as fit `maxBytes` after the first. */
  #entries(jobKey: number, fromN: number, toN: number, maxBytes = Number.POSITIVE_INFINITY): Entry[] {
    const list: Entry[] = [];
    let bytes = 0;
    for (const { from, to, firstN } of spans(this.#segments(jobKey), fromN, toN)) {
      for (const row of this.#sql.entries.iterate(from, to) as Iterable<[number, number, EntryCode, string]>) {
        bytes += row[3].length;
        if (list.length > 0 && bytes > maxBytes) return list;
        list.push({ n: firstN + (row[0] - from), ts: row[1], code: row[2], payload: row[3] });
      }
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
      const skip = Math.max(afterSeq + 1 - run.seq, 0);
      const toN = Math.min(run.n + run.count - 1, run.n + skip + (limit - items.length) - 1);
      const entries = this.#entries(run.job, run.n + skip, toN, maxBytes - bytes);
      for (const entry of entries) {
        bytes += entry.payload.length;
        if (items.length > 0 && bytes > maxBytes) return items;
        const seq = run.seq + (entry.n - run.n);
        items.push({ seq, jobId: run.jobId as JobId, traceId: run.traceId as FeedItem["traceId"], entry });
      }
      if (items.length >= limit || entries.length < toN - (run.n + skip) + 1) break;
    }
    return items;
  }

  async feedPosition(id: SessionId, jobId: JobId, seq: number): Promise<number | undefined> {
    const session = this.#sql.sessionKey.get(id) as number | undefined;
    if (session === undefined) return undefined;
    const run = this.#sql.lastRunOfJob.get(session, this.#jobKey(jobId), seq) as RunRow | undefined;
    return run === undefined ? 0 : run.n + Math.min(seq - run.seq, run.count - 1);
  }

  async findSession(
    id: SessionId,
  ): Promise<{ readonly record: SessionRecord; readonly lastRun: FeedRun | null } | undefined> {
    const row = this.#sql.session.get(id) as SessionRow | undefined;
    if (row === undefined) return undefined;
    const run = this.#sql.lastRun.get(row.key) as RunRow | undefined;
    return {
      record: sessionRecord(row),
      lastRun: run ? { seq: run.seq, jobId: run.jobId as JobId, n: run.n, count: run.count } : null,
    };
  }

  async findSessionByToken(hash: string): Promise<SessionId | undefined> {
    return this.#sql.sessionByToken.get(hash, hash) as SessionId | undefined;
  }

  async findIdempotency(principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    const row = this.#sql.idempotency.get(principal, key) as
      | { digest: string; job_id: string; expires_at: number }
      | undefined;
    return row && { principal, key, digest: row.digest, jobId: row.job_id as JobId, expiresAt: row.expires_at };
  }

  async takeOver(
    now: number,
  ): Promise<readonly { readonly job: JobRecord; readonly followers: readonly SessionId[] }[]> {
    return this.#db
      .transaction(() => {
        this.#sql.raiseEpochs.run();
        this.#sql.detachSessions.run(now);
        return (this.#sql.unfinished.all() as JobRow[]).map((row) => ({
          job: jobRecord(row),
          followers: [...new Set([row.session_id as SessionId, ...(this.#sql.followers.all(row.key) as SessionId[])])],
        }));
      })
      .immediate();
  }

  async sweep(before: {
    readonly detachedBefore: number;
    readonly endedBefore: number;
    readonly now: number;
  }): Promise<{ readonly sessions: number; readonly jobs: number }> {
    return this.#db
      .transaction(() => {
        const sql = this.#sql;
        const sessions = sql.expiredSessions.all(before.detachedBefore) as number[];
        for (const key of sessions) {
          sql.deleteFeed.run(key);
          sql.deleteFollows.run(key);
          sql.deleteSession.run(key);
        }
        if (sessions.length > 0) this.#sessionKeys.clear();
        const jobs = sql.expiredJobs.all(before.endedBefore) as { key: number; id: JobId; last_n: number }[];
        for (const { key, id, last_n } of jobs) {
          for (const { from, to } of spans(this.#segments(key), 1, Math.max(last_n, 1)))
            sql.deleteEntries.run(from, to);
          sql.deleteSegments.run(key);
          sql.deleteJobFollows.run(key);
          sql.deleteJob.run(key);
          this.#jobs.delete(id);
        }
        sql.deleteIdempotency.run(before.now);
        return { sessions: sessions.length, jobs: jobs.length };
      })
      .immediate();
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
      for (const entry of this.#entries(row.key, n, Math.min(n + PAGE_ROWS - 1, row.last_n))) {
        yield { jobId, n: entry.n, ts: entry.ts, type: messageTypeOf(entry.code), payload: JSON.parse(entry.payload) };
      }
    }
  }

  async close(): Promise<void> {
    if (this.#db.open) this.#db.close();
  }
}

interface RunRow {
  readonly seq: number;
  readonly job: number;
  readonly jobId: string;
  readonly traceId: string;
  readonly n: number;
  readonly count: number;
}

function keyOf(segments: readonly number[], n: number): number {
  const ordinal = Math.floor((n - 1) / SEGMENT_SIZE);
  return (segments[ordinal] as number) * SEGMENT_SIZE + ((n - 1) % SEGMENT_SIZE);
}

/** The key ranges that hold positions `fromN` to `toN`, one per segment. */
function spans(
  segments: readonly number[],
  fromN: number,
  toN: number,
): { readonly from: number; readonly to: number; readonly firstN: number }[] {
  const list: { from: number; to: number; firstN: number }[] = [];
  for (let n = fromN; n <= toN; ) {
    const segmentEnd = (Math.floor((n - 1) / SEGMENT_SIZE) + 1) * SEGMENT_SIZE;
    const last = Math.min(toN, segmentEnd);
    if (Math.floor((n - 1) / SEGMENT_SIZE) >= segments.length) break;
    list.push({ from: keyOf(segments, n), to: keyOf(segments, last), firstN: n });
    n = last + 1;
  }
  return list;
}

function jobRecord(row: JobRow): JobRecord {
  return {
    id: row.id as JobId,
    sessionId: row.session_id as SessionId,
    principal: row.principal,
    agent: row.agent,
    agentVersion: row.agent_version,
    status: row.status as JobRecord["status"],
    createdAt: row.created_at,
    endedAt: row.ended_at,
    lease: JSON.parse(row.lease),
    leaseConstraints: row.lease_constraints === null ? null : JSON.parse(row.lease_constraints),
    parentJobId: row.parent_job_id as JobId | null,
    traceId: row.trace_id as JobRecord["traceId"],
    budget: row.budget === null ? null : JSON.parse(row.budget),
    epoch: row.epoch,
    lastN: row.last_n,
    lastEventSeq: row.last_event_seq,
  };
}

function loggedJob(job: JobRecord): LoggedJob {
  const { id, sessionId, principal, agent, agentVersion, status, lease, parentJobId, traceId, createdAt, endedAt } =
    job;
  const facts = { jobId: id, sessionId, principal, agent, agentVersion, status, lease, parentJobId };
  const constraints = job.leaseConstraints === null ? {} : { leaseConstraints: job.leaseConstraints };
  return { ...facts, ...constraints, traceId, createdAt, endedAt };
}

function sessionRecord(row: SessionRow): SessionRecord {
  return {
    id: row.id as SessionId,
    principal: row.principal,
    wire: row.wire,
    features: row.features === "" ? [] : row.features.split(" "),
    tokenHash: row.token_hash,
    previousTokenHash: row.previous_token_hash,
    salt: row.salt,
    ackedSeq: row.acked_seq,
    detachedAt: row.detached_at,
    createdAt: row.created_at,
  };
}

function migrate(db: Database.Database): void {
  const version = db.pragma("user_version", { simple: true }) as number;
  if (version > MIGRATIONS.length) {
    throw new Error(`the database is of version ${version}, this program knows up to ${MIGRATIONS.length}`);
  }
  for (let step = version; step < MIGRATIONS.length; step += 1) {
    db.transaction(() => {
      db.exec(MIGRATIONS[step] as string);
      db.pragma(`user_version = ${step + 1}`);
    }).immediate();
  }
}

function prepare(db: Database.Database) {
  /** A statement that returns the first column alone. */
  const value = (sql: string): Database.Statement => db.prepare(sql).pluck();
  const run = "feed.seq, feed.job, job.id AS jobId, job.trace_id AS traceId, feed.n, feed.count";
  const runs = `SELECT ${run} FROM feed JOIN job ON job.key = feed.job`;
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
    insertJob: db.prepare(
      `INSERT INTO job (id, session_id, principal, agent, agent_version, status, created_at, ended_at, lease,
        lease_constraints, parent_job_id, trace_id, budget, epoch, last_n, last_event_seq)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    changeJob: db.prepare(
      "UPDATE job SET status = ?, ended_at = ?, budget = ?, last_n = ?, last_event_seq = ? WHERE key = ? AND epoch = ?",
    ),
    job: db.prepare("SELECT * FROM job WHERE id = ?"),
    jobsAfter: db.prepare("SELECT * FROM job WHERE key > ? ORDER BY key LIMIT ?"),
    jobKeyAndEpoch: db.prepare("SELECT key, epoch FROM job WHERE id = ?"),
    epoch: value("SELECT epoch FROM job WHERE key = ?"),
    detachSessions: db.prepare("UPDATE session SET detached_at = ? WHERE detached_at IS NULL"),
    raiseEpochs: db.prepare("UPDATE job SET epoch = epoch + 1 WHERE ended_at IS NULL"),
    unfinished: db.prepare("SELECT * FROM job WHERE ended_at IS NULL ORDER BY key"),
    // One pass over the feeds, and only if there is a job to ask for.
    expiredJobs: db.prepare(
      `WITH expired AS MATERIALIZED (SELECT key, id, last_n FROM job WHERE ended_at < ? LIMIT 1000)
       SELECT key, id, last_n FROM expired WHERE key NOT IN (
         SELECT DISTINCT job FROM feed WHERE EXISTS (SELECT 1 FROM expired))`,
    ),
    deleteJob: db.prepare("DELETE FROM job WHERE key = ?"),
    insertSegment: db.prepare("INSERT INTO segment (job, ordinal) VALUES (?, ?)"),
    segments: value("SELECT key FROM segment WHERE job = ? ORDER BY ordinal"),
    deleteSegments: db.prepare("DELETE FROM segment WHERE job = ?"),
    insertEntry: db.prepare("INSERT INTO entry (key, ts, code, payload) VALUES (?, ?, ?, ?)"),
    entries: db.prepare("SELECT key, ts, code, payload FROM entry WHERE key BETWEEN ? AND ? ORDER BY key").raw(),
    codes: value("SELECT code FROM entry WHERE key BETWEEN ? AND ? ORDER BY key"),
    deleteEntries: db.prepare("DELETE FROM entry WHERE key BETWEEN ? AND ?"),
    putSession: value(
      `INSERT INTO session (id, principal, wire, features, token_hash, previous_token_hash, salt, acked_seq,
        detached_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET features = excluded.features, token_hash = excluded.token_hash,
        previous_token_hash = excluded.previous_token_hash, acked_seq = excluded.acked_seq,
        detached_at = excluded.detached_at
       RETURNING key`,
    ),
    session: db.prepare("SELECT * FROM session WHERE id = ?"),
    sessionKey: value("SELECT key FROM session WHERE id = ?"),
    sessionByToken: value("SELECT id FROM session WHERE token_hash = ? OR previous_token_hash = ?"),
    expiredSessions: value("SELECT key FROM session WHERE detached_at IS NOT NULL AND detached_at < ?"),
    deleteSession: db.prepare("DELETE FROM session WHERE key = ?"),
    putRun: db.prepare(
      `INSERT INTO feed (session, seq, job, n, count) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (session, seq) DO UPDATE SET count = excluded.count`,
    ),
    // From the run that holds the next number, which begins at or before it.
    runsAfter: db.prepare(
      `${runs} WHERE feed.session = ? AND feed.seq + feed.count - 1 > ? AND feed.seq >= coalesce(
        (SELECT max(seq) FROM feed WHERE session = ? AND seq <= ? + 1), 0) ORDER BY feed.seq LIMIT ?`,
    ),
    lastRun: db.prepare(`${runs} WHERE feed.session = ? ORDER BY feed.seq DESC LIMIT 1`),
    lastRunOfJob: db.prepare(
      `${runs} WHERE feed.session = ? AND feed.job = ? AND feed.seq <= ? ORDER BY feed.seq DESC LIMIT 1`,
    ),
    deleteFeed: db.prepare("DELETE FROM feed WHERE session = ?"),
    follow: db.prepare("INSERT OR IGNORE INTO follow (job, session) VALUES (?, ?)"),
    unfollow: db.prepare("DELETE FROM follow WHERE job = ? AND session = ?"),
    followers: value("SELECT session.id FROM follow JOIN session ON session.key = follow.session WHERE follow.job = ?"),
    deleteFollows: db.prepare("DELETE FROM follow WHERE session = ?"),
    deleteJobFollows: db.prepare("DELETE FROM follow WHERE job = ?"),
    putIdempotency: db.prepare(
      `INSERT INTO idempotency (principal, key, digest, job_id, expires_at) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (principal, key) DO UPDATE SET digest = excluded.digest, job_id = excluded.job_id,
        expires_at = excluded.expires_at`,
    ),
    idempotency: db.prepare("SELECT digest, job_id, expires_at FROM idempotency WHERE principal = ? AND key = ?"),
    deleteIdempotency: db.prepare(
      `DELETE FROM idempotency WHERE expires_at < ? AND NOT EXISTS
        (SELECT 1 FROM job WHERE job.id = idempotency.job_id AND job.ended_at IS NULL)`,
    ),
    audit: db.prepare("INSERT INTO audit (at, action, principal, facts) VALUES (?, ?, ?, ?)"),
  };
}
