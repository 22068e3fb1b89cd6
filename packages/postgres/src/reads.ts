/** What is read from PostgreSQL, by nodes and by whoever only looks. */
import type { JobId, LoggedEntry, LoggedJob, SessionId } from "@arcp/core";
import {
  type AuditHead,
  type AuditRow,
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
  type SessionRecord,
  type StoredRecord,
  StoreError,
} from "@arcp/runtime";
import { Conditions } from "./conditions.ts";
import type { Database } from "./database.ts";
import {
  type AuditTableRow,
  auditRecord,
  CREDENTIAL_STATES,
  type CredentialRow,
  credentialRecord,
  type IdempotencyRow,
  idempotencyRecord,
  JOB_COLUMNS,
  type JobRow,
  jobRecord,
  type LastRunRow,
  lastRunOf,
  type RecordRow,
  type SessionRow,
  sessionRecord,
  storedRecord,
} from "./rows.ts";

const PAGE_ROWS = 512;
/** Journals whose place is known without asking. */
const MAX_PLACES = 10_000;

/** Where the entries of a job are. It never changes. */
interface Place {
  readonly key: number;
  readonly day: number;
}

export class PostgresReads {
  protected readonly db: Database;
  readonly #places = new Map<JobId, Place>();

  constructor(db: Database) {
    this.db = db;
  }

  async findJob(id: JobId): Promise<JobRecord | undefined> {
    const [row] = await this.db.steadily<JobRow>(`SELECT ${JOB_COLUMNS} FROM ${this.db.schema}.job WHERE id = $1`, [
      id,
    ]);
    return row && jobRecord(row);
  }

  async readAsked(id: JobId): Promise<string | undefined> {
    const [row] = await this.db.steadily<{ readonly asked: string | null }>(
      `SELECT asked FROM ${this.db.schema}.job WHERE id = $1`,
      [id],
    );
    return row?.asked ?? undefined;
  }

  async listJobs(query: JobQuery): Promise<readonly JobRecord[]> {
    const where = new Conditions();
    if (query.principal !== null) where.add("principal =", query.principal);
    if (query.status) where.oneOf("status", query.status);
    if (query.agent !== undefined) where.add("agent =", query.agent);
    if (query.agentVersion !== undefined) where.add("agent_version =", query.agentVersion);
    if (query.createdAfter !== undefined) where.add("created_at >", query.createdAfter);
    if (query.createdBefore !== undefined) where.add("created_at <", query.createdBefore);
    if (query.after) where.add("(created_at, id) >", query.after.createdAt, query.after.id);
    const rows = await this.db.steadily<JobRow>(
      `SELECT ${JOB_COLUMNS} FROM ${this.db.schema}.job ${where.text} ORDER BY created_at, id LIMIT ${where.bind(query.limit)}`,
      where.values,
    );
    return rows.map(jobRecord);
  }

  async readJournal(id: JobId, fromN: number, toN: number): Promise<readonly Entry[]> {
    const place = await this.#placeOf(id);
    if (place === undefined) throw new Error(`no job ${id}`);
    return this.#entries(id, place, fromN, toN);
  }

  async #entries(id: JobId, { key, day }: Place, fromN: number, toN: number): Promise<Entry[]> {
    const rows = await this.db.tuples(
      `SELECT e.n, e.ts, e.code, e.payload, j.first_n FROM ${this.db.schema}.job j JOIN ${this.db.schema}.entry e
         ON e.day = $1 AND e.job = $2 AND e.n BETWEEN $3 AND $4 AND e.n >= j.first_n
       WHERE j.key = $2 ORDER BY e.n`,
      [day, key, fromN, toN],
    );
    const from = Math.max(fromN, Number(rows[0]?.[4] ?? 1));
    return rows.map(([n, ts, code, payload], index) => {
      if (n !== from + index) throw damaged(`entry ${from + index} of ${id}`);
      return { n, ts, code, payload } as Entry;
    });
  }

  async readCodes(id: JobId, fromN: number, toN: number): Promise<readonly EntryCode[]> {
    const place = await this.#placeOf(id);
    if (place === undefined) throw new Error(`no job ${id}`);
    const rows = await this.db.tuples(
      `SELECT code FROM ${this.db.schema}.entry WHERE day = $1 AND job = $2 AND n BETWEEN $3 AND $4 ORDER BY n`,
      [place.day, place.key, fromN, toN],
    );
    return rows.map(([code]) => code as EntryCode);
  }

  /** Kept, because it never changes: `undefined` if there is no such job. */
  async #placeOf(id: JobId): Promise<Place | undefined> {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const [place] = await this.db.steadily<Place>(`SELECT key, day FROM ${this.db.schema}.job WHERE id = $1`, [id]);
    if (place === undefined) return undefined;
    if (this.#places.size >= MAX_PLACES) this.#places.clear();
    this.#places.set(id, place);
    return place;
  }

  async readFeed(id: SessionId, afterSeq: number, limit: number, maxBytes: number): Promise<readonly FeedItem[]> {
    const rows = await this.db.tuples(`SELECT * FROM ${this.db.schema}.read_feed($1, $2, $3, $4)`, [
      ...[id, afterSeq, limit],
      Math.min(Math.floor(maxBytes), Number.MAX_SAFE_INTEGER),
    ]);
    return rows.map(([seq, jobId, traceId, n, ts, code, payload], index) => {
      if (index > 0 && seq !== (rows[index - 1]?.[0] as number) + 1) throw damaged(`the journal of ${String(jobId)}`);
      return { seq, jobId, traceId, entry: { n, ts, code, payload } } as FeedItem;
    });
  }

  async feedPosition(id: SessionId, jobId: JobId, seq: number): Promise<number | undefined> {
    const place = await this.#placeOf(jobId);
    if (place === undefined) throw new Error(`no job ${jobId}`);
    const [row] = await this.db.steadily<{ n: number | null }>(
      `SELECT (SELECT f.n + least($3 - f.seq, f.count - 1) FROM ${this.db.schema}.feed f
         WHERE f.session = s.key AND f.job = $2 AND f.seq <= $3 ORDER BY f.seq DESC LIMIT 1) AS n
       FROM ${this.db.schema}.session s WHERE s.id = $1`,
      [id, place.key, seq],
    );
    return row && (row.n ?? 0);
  }

  async findSession(
    id: SessionId,
  ): Promise<{ readonly record: SessionRecord; readonly lastRun: FeedRun | null } | undefined> {
    const [row] = await this.db.steadily<SessionRow & LastRunRow>(
      `SELECT s.*, r.* FROM ${this.db.schema}.session s LEFT JOIN LATERAL (${lastRun(this.db.schema, "s.key")}) r ON true WHERE s.id = $1`,
      [id],
    );
    return row && { record: sessionRecord(row), lastRun: lastRunOf(row) };
  }

  async findSessionByToken(hash: string): Promise<SessionId | undefined> {
    const [row] = await this.db.steadily<{ id: SessionId }>(
      `SELECT id FROM ${this.db.schema}.session WHERE token_hash = $1 OR previous_token_hash = $1`,
      [hash],
    );
    return row?.id;
  }

  async findIdempotency(principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    const [row] = await this.db.steadily<IdempotencyRow>(
      `SELECT * FROM ${this.db.schema}.idempotency WHERE principal = $1 AND key = $2`,
      [principal, key],
    );
    return row && idempotencyRecord(row);
  }

  async findRecord(kind: string, id: string): Promise<StoredRecord | undefined> {
    const [row] = await this.db.steadily<RecordRow>(
      `SELECT * FROM ${this.db.schema}.record WHERE kind = $1 AND id = $2`,
      [kind, id],
    );
    return row && storedRecord(row);
  }

  async listRecords(query: RecordQuery): Promise<readonly StoredRecord[]> {
    const where = new Conditions();
    where.add("kind =", query.kind);
    if (query.principal !== undefined) where.add("principal =", query.principal);
    if (query.jobId !== undefined) where.add("job_id =", query.jobId);
    if (query.dueBefore !== undefined) where.add("due_at <", query.dueBefore);
    if (query.after !== undefined) where.add("id >", query.after);
    const order = query.dueBefore === undefined ? "id" : "due_at, id";
    const rows = await this.db.steadily<RecordRow>(
      `SELECT * FROM ${this.db.schema}.record ${where.text} ORDER BY ${order} LIMIT ${where.bind(query.limit)}`,
      where.values,
    );
    return rows.map(storedRecord);
  }

  async outstandingCredentials(): Promise<readonly CredentialRecord[]> {
    const rows = await this.db.steadily<CredentialRow>(
      `SELECT * FROM ${this.db.schema}.credential WHERE state < 3 ORDER BY created_at, alias`,
    );
    return rows.map(credentialRecord);
  }

  async listCredentials(query: CredentialQuery): Promise<readonly CredentialRecord[]> {
    const where = new Conditions();
    if (query.jobId !== undefined) where.add("job_id =", query.jobId);
    if (query.credentialId !== undefined) where.add("credential_id =", query.credentialId);
    if (query.provisioner !== undefined) where.add("provisioner =", query.provisioner);
    if (query.states) {
      const states = query.states.map((state) => CREDENTIAL_STATES.indexOf(state));
      where.oneOf("state", states);
    }
    if (query.after) where.add("(created_at, alias) >", query.after.createdAt, query.after.alias);
    const rows = await this.db.steadily<CredentialRow>(
      `SELECT * FROM ${this.db.schema}.credential ${where.text} ORDER BY created_at, alias LIMIT ${where.bind(query.limit)}`,
      where.values,
    );
    return rows.map(credentialRecord);
  }

  async readAudit(afterSeq: number | undefined, limit: number): Promise<readonly AuditRow[]> {
    // A number that no row should have is looked at like any other.
    const rows = await this.db.steadily<AuditTableRow>(
      `SELECT * FROM ${this.db.schema}.audit WHERE seq > $1 ORDER BY seq LIMIT $2`,
      [afterSeq ?? Number.MIN_SAFE_INTEGER, limit],
    );
    return rows.map(auditRecord);
  }

  async auditHead(): Promise<AuditHead | undefined> {
    const [head] = await this.db.steadily<AuditHead>(
      `SELECT seq, hash FROM ${this.db.schema}.audit_head WHERE seq > 0`,
    );
    return head;
  }

  async *jobs(): AsyncIterable<LoggedJob> {
    for (let after = 0; ; ) {
      const rows = await this.db.steadily<JobRow>(
        `SELECT ${JOB_COLUMNS} FROM ${this.db.schema}.job WHERE key > $1 ORDER BY key LIMIT $2`,
        [after, PAGE_ROWS],
      );
      for (const row of rows) yield loggedJob(jobRecord(row));
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.key;
    }
  }

  async *entries(jobId: JobId, afterN = 0): AsyncIterable<LoggedEntry> {
    const [row] = await this.db.steadily<Place & { last_n: number }>(
      `SELECT key, day, last_n FROM ${this.db.schema}.job WHERE id = $1`,
      [jobId],
    );
    if (row === undefined) return;
    for (let n = afterN + 1; n <= row.last_n; n += PAGE_ROWS) {
      for (const entry of await this.#entries(jobId, row, n, Math.min(n + PAGE_ROWS - 1, row.last_n))) {
        yield { jobId, n: entry.n, ts: entry.ts, type: messageTypeOf(entry.code), payload: JSON.parse(entry.payload) };
      }
    }
  }

  /** Some journals may be gone. */
  protected forgetPlaces(): void {
    this.#places.clear();
  }
}

/** The query of a session's last run: the columns of {@link LastRunRow}. `session` is its key, in SQL. */
const lastRun = (schema: string, session: string): string =>
  `SELECT f.seq AS run_seq, j.id AS run_job, f.n AS run_n, f.count AS run_count
   FROM ${schema}.feed f JOIN ${schema}.job j ON j.key = f.job WHERE f.session = ${session}
   ORDER BY f.seq DESC LIMIT 1`;

const damaged = (subject: string): StoreError => new StoreError("corrupt", `${subject} is missing in the database`);
