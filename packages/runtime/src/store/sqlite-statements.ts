/** Every statement of the embedded store, prepared once. */
import type Database from "better-sqlite3";
import { EXPIRED } from "./schema.ts";
import { JOB_COLUMNS } from "./sqlite-rows.ts";
import { storeErrorOf } from "./store-error.ts";

/** A prepared statement, which throws StoreError; `iterate` throws what SQLite throws. */
export class Statement {
  readonly #statement: Database.Statement;

  constructor(statement: Database.Statement) {
    this.#statement = statement;
  }

  run(...values: unknown[]): Database.RunResult {
    try {
      return this.#statement.run(...values);
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  get(...values: unknown[]): unknown {
    try {
      return this.#statement.get(...values);
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  all(...values: unknown[]): unknown[] {
    try {
      return this.#statement.all(...values);
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  iterate(...values: unknown[]): IterableIterator<unknown> {
    return this.#statement.iterate(...values);
  }
}

/** Entries that one statement writes, where so many are written. */
export const ENTRIES_AT_ONCE = 32;

const insertEntries = (count: number): string =>
  `INSERT INTO entry (key, ts, code, payload, sum) VALUES ${Array(count).fill("(?, ?, ?, ?, ?)").join(", ")}`;

export function prepare(db: Database.Database) {
  const statement = (sql: string): Statement => new Statement(db.prepare(sql));
  /** Returns the first column alone. */
  const value = (sql: string): Statement => new Statement(db.prepare(sql).pluck());
  /** Returns rows as arrays. */
  const tuples = (sql: string): Statement => new Statement(db.prepare(sql).raw());
  const run =
    "feed.seq, feed.job, job.id AS jobId, job.trace_id AS traceId, feed.n, feed.count, feed.session, feed.sum";
  const runs = `SELECT ${run} FROM feed JOIN job ON job.key = feed.job`;
  return {
    begin: statement("BEGIN IMMEDIATE"),
    commit: statement("COMMIT"),
    rollback: statement("ROLLBACK"),
    insertJob: statement(
      `INSERT INTO job (id, session_id, principal, agent, agent_version, status, created_at, ended_at, lease,
        lease_constraints, parent_job_id, trace_id, budget, epoch, last_n, last_event_seq, delegate_id,
        facts_sum, state_sum, asked, asked_sum)
       VALUES (@id, @session_id, @principal, @agent, @agent_version, @status, @created_at, @ended_at, @lease,
        @lease_constraints, @parent_job_id, @trace_id, @budget, @epoch, @last_n, @last_event_seq, @delegate_id,
        @facts_sum, @state_sum, @asked, @asked_sum)`,
    ),
    changeJob: statement(
      "UPDATE job SET status = ?, ended_at = ?, budget = ?, last_n = ?, last_event_seq = ?, state_sum = ? WHERE key = ? AND epoch = ?",
    ),
    job: statement(`SELECT ${JOB_COLUMNS} FROM job WHERE id = ? AND status <> '${EXPIRED}'`),
    jobsAfter: statement(
      `SELECT ${JOB_COLUMNS} FROM job WHERE key > ? AND status <> '${EXPIRED}' ORDER BY key LIMIT ?`,
    ),
    asked: statement(`SELECT id, asked, asked_sum FROM job WHERE id = ? AND status <> '${EXPIRED}'`),
    jobKeyAndEpoch: statement("SELECT key, epoch FROM job WHERE id = ?"),
    epoch: value("SELECT epoch FROM job WHERE key = ?"),
    detachSessions: statement(
      `UPDATE session SET detached_at = ?, sent_seq =
        (SELECT coalesce(max(seq + count - 1), 0) FROM feed WHERE feed.session = session.key) WHERE detached_at IS NULL`,
    ),
    raiseEpochs: statement("UPDATE job SET epoch = epoch + 1 WHERE ended_at IS NULL"),
    unfinished: statement(`SELECT ${JOB_COLUMNS} FROM job WHERE ended_at IS NULL ORDER BY key`),
    expiredJobs: statement(
      "SELECT key, id, status, last_n, ended_at FROM job WHERE ended_at < ? AND (ended_at, key) > (?, ?) ORDER BY ended_at, key LIMIT ?",
    ),
    // A parent that has not ended may still have to read what its children said.
    untrimmed: statement(
      `SELECT key, id, status, first_n, last_n, ended_at FROM job
       WHERE trimmed_at IS NULL AND ended_at < ? AND (ended_at, key) > (?, ?) AND NOT EXISTS
         (SELECT 1 FROM job parent WHERE parent.id = job.parent_job_id AND parent.ended_at IS NULL)
       ORDER BY ended_at, key LIMIT ?`,
    ),
    trimmed: statement(
      "SELECT key, first_n, dropped_n FROM job WHERE dropped_n < first_n - 1 AND trimmed_at < ? AND key > ? ORDER BY key LIMIT ?",
    ),
    trimJob: statement("UPDATE job SET first_n = ?, trimmed_at = ? WHERE key = ?"),
    dropEntries: statement("UPDATE job SET dropped_n = ? WHERE key = ?"),
    firstN: value("SELECT first_n FROM job WHERE key = ?"),
    firstOfCode: value("SELECT min(key) FROM entry WHERE key BETWEEN ? AND ? AND code = ?"),
    isFollowed: value("SELECT 1 FROM follow WHERE job = ? LIMIT 1"),
    expireJob: statement(`UPDATE job SET status = '${EXPIRED}' WHERE key = ?`),
    feedAfter: tuples("SELECT session, seq, job FROM feed WHERE (session, seq) > (?, ?) ORDER BY session, seq LIMIT ?"),
    deleteJob: statement("DELETE FROM job WHERE key = ?"),
    insertSegment: statement("INSERT INTO segment (job, ordinal) VALUES (?, ?)"),
    segments: value("SELECT key FROM segment WHERE job = ? ORDER BY ordinal"),
    deleteSegments: statement("DELETE FROM segment WHERE job = ?"),
    insertEntry: statement(insertEntries(1)),
    /** Of {@link ENTRIES_AT_ONCE}, in one array: a step of SQLite's machine costs as much as a small row. */
    insertEntries: statement(insertEntries(ENTRIES_AT_ONCE)),
    entries: tuples("SELECT key, ts, code, payload, sum FROM entry WHERE key BETWEEN ? AND ? ORDER BY key"),
    codes: value("SELECT code FROM entry WHERE key BETWEEN ? AND ? ORDER BY key"),
    deleteEntries: statement("DELETE FROM entry WHERE key BETWEEN ? AND ?"),
    putSession: value(
      `INSERT INTO session (id, principal, wire, features, token_hash, previous_token_hash, salt, acked_seq,
        detached_at, created_at, must_authenticate, sent_seq, sum)
       VALUES (@id, @principal, @wire, @features, @token_hash, @previous_token_hash, @salt, @acked_seq, @detached_at,
        @created_at, @must_authenticate, @sent_seq, @sum)
       ON CONFLICT (id) DO UPDATE SET principal = excluded.principal, wire = excluded.wire, salt = excluded.salt,
        created_at = excluded.created_at, features = excluded.features, token_hash = excluded.token_hash,
        previous_token_hash = excluded.previous_token_hash, acked_seq = excluded.acked_seq,
        detached_at = excluded.detached_at, must_authenticate = excluded.must_authenticate,
        sent_seq = excluded.sent_seq, sum = excluded.sum
       RETURNING key`,
    ),
    session: statement("SELECT * FROM session WHERE id = ?"),
    sessionKey: value("SELECT key FROM session WHERE id = ?"),
    sessionByToken: value("SELECT id FROM session WHERE token_hash = ? OR previous_token_hash = ?"),
    expiredSession: value("SELECT key FROM session WHERE detached_at IS NOT NULL AND detached_at < ? LIMIT 1"),
    deleteSession: statement("DELETE FROM session WHERE key = ?"),
    putRun: statement(
      `INSERT INTO feed (session, seq, job, n, count, sum) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (session, seq) DO UPDATE SET count = excluded.count, sum = excluded.sum`,
    ),
    // From the run that holds the next number, which begins at or before it.
    runsAfter: statement(
      `${runs} WHERE feed.session = ? AND feed.seq + feed.count - 1 > ? AND feed.seq >= coalesce(
        (SELECT max(seq) FROM feed WHERE session = ? AND seq <= ? + 1), 0) ORDER BY feed.seq LIMIT ?`,
    ),
    lastRun: statement(`${runs} WHERE feed.session = ? ORDER BY feed.seq DESC LIMIT 1`),
    lastRunOfJob: statement(
      `${runs} WHERE feed.session = ? AND feed.job = ? AND feed.seq <= ? ORDER BY feed.seq DESC LIMIT 1`,
    ),
    // The last numbers first: what is left is whole at any time.
    deleteFeed: statement(
      `DELETE FROM feed WHERE session = ? AND seq >=
        (SELECT min(seq) FROM (SELECT seq FROM feed WHERE session = ? ORDER BY seq DESC LIMIT ?))`,
    ),
    follow: statement("INSERT OR IGNORE INTO follow (job, session) VALUES (?, ?)"),
    unfollow: statement("DELETE FROM follow WHERE job = ? AND session = ?"),
    followers: value("SELECT session.id FROM follow JOIN session ON session.key = follow.session WHERE follow.job = ?"),
    deleteFollows: statement("DELETE FROM follow WHERE session = ?"),
    deleteJobFollows: statement("DELETE FROM follow WHERE job = ?"),
    putIdempotency: statement(
      `INSERT INTO idempotency (principal, key, digest, job_id, expires_at, sum)
       VALUES (@principal, @key, @digest, @job_id, @expires_at, @sum)
       ON CONFLICT (principal, key) DO UPDATE SET digest = excluded.digest, job_id = excluded.job_id,
        expires_at = excluded.expires_at, sum = excluded.sum`,
    ),
    idempotency: statement("SELECT * FROM idempotency WHERE principal = ? AND key = ?"),
    deleteIdempotency: statement(
      `DELETE FROM idempotency WHERE (principal, key) IN (
        SELECT principal, key FROM idempotency WHERE expires_at < ? AND NOT EXISTS
          (SELECT 1 FROM job WHERE job.id = idempotency.job_id AND job.ended_at IS NULL) LIMIT ?)`,
    ),
    putCredential: statement(
      `INSERT INTO credential (alias, credential_id, job_id, provisioner, upstream_id, state, created_at, issued_at,
        expires_at, revoking_since, attempts, last_error, revoked_at, sum)
       VALUES (@alias, @credential_id, @job_id, @provisioner, @upstream_id, @state, @created_at, @issued_at,
        @expires_at, @revoking_since, @attempts, @last_error, @revoked_at, @sum)
       ON CONFLICT (alias) DO UPDATE SET credential_id = excluded.credential_id, job_id = excluded.job_id,
        provisioner = excluded.provisioner, created_at = excluded.created_at, upstream_id = excluded.upstream_id, state = excluded.state,
        issued_at = excluded.issued_at, expires_at = excluded.expires_at, revoking_since = excluded.revoking_since, attempts = excluded.attempts,
        last_error = excluded.last_error, revoked_at = excluded.revoked_at, sum = excluded.sum
       WHERE credential.state <= excluded.state`,
    ),
    outstandingCredentials: statement("SELECT * FROM credential WHERE state < 3 ORDER BY created_at, alias"),
    deleteCredentialsOfJob: statement("DELETE FROM credential WHERE job_id = ? AND state = 3"),
    // Of jobs that never were, or that went before their credentials could.
    deleteJoblessCredentials: statement(
      `DELETE FROM credential WHERE alias IN (
        SELECT alias FROM credential WHERE state = 3 AND revoked_at < ?
          AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = credential.job_id) LIMIT ?)`,
    ),
    putRecord: statement(
      `INSERT INTO record (kind, id, principal, job_id, due_at, data, sum) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (kind, id) DO UPDATE SET principal = excluded.principal, job_id = excluded.job_id,
        due_at = excluded.due_at, data = excluded.data, sum = excluded.sum`,
    ),
    deleteRecord: statement("DELETE FROM record WHERE kind = ? AND id = ?"),
    record: statement("SELECT * FROM record WHERE kind = ? AND id = ?"),
    appendAudit: statement(
      `INSERT INTO audit (key, at, action, principal, session_id, job_id, remote_address, trace_id, facts, hash)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    auditHead: statement("SELECT key AS seq, hash FROM audit ORDER BY key DESC LIMIT 1"),
    auditAfter: statement("SELECT * FROM audit WHERE key > ? ORDER BY key LIMIT ?"),
    // Walks from the oldest row on: the clock may have gone back, and what is deleted is a beginning.
    oldAudit: statement(
      `WITH oldest AS MATERIALIZED (SELECT key, at, hash FROM audit ORDER BY key LIMIT ?)
       SELECT key AS seq, hash FROM oldest WHERE key < coalesce(
         (SELECT min(key) FROM oldest WHERE at >= ?), 9007199254740991) ORDER BY key DESC LIMIT 1`,
    ),
    deleteAudit: statement("DELETE FROM audit WHERE key <= ?"),
  };
}
