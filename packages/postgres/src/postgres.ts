/** The store on PostgreSQL. */
import type { JobId, LoggedEntry, LoggedJob, SessionId } from "@arcp/core";
import {
  type AuditHead,
  type AuditRow,
  type Batch,
  type CredentialQuery,
  type CredentialRecord,
  type Entry,
  type EntryCode,
  type FeedItem,
  type FeedRun,
  type IdempotencyRecord,
  type JobHead,
  type JobQuery,
  type JobRecord,
  loggedJob,
  messageTypeOf,
  type NodeFacts,
  type NodeId,
  type NodeMessage,
  type NodeRecord,
  prunedRecord,
  type RecordQuery,
  type RetentionCuts,
  type SessionRecord,
  type SharedStore,
  StaleWriterError,
  type StoredRecord,
  StoreError,
  type TakenSession,
  type Wake,
} from "@arcp/runtime";
import { bigintArray, textArray } from "./arrays.ts";
import { auditRow, batchValues, digestOf } from "./batch.ts";
import { Conditions } from "./conditions.ts";
import { type Ask, Connections, clientConfig, type Value } from "./connections.ts";
import { isNoPartition, isOutcomeUnknown, NotUpError } from "./failures.ts";
import { type OpenedSchema, openSchema, quoted } from "./migration.ts";
import { type PostgresOptions, settled } from "./options.ts";
import { sweep } from "./retention.ts";
import {
  type AuditTableRow,
  auditRecord,
  CREDENTIAL_STATES,
  type CredentialRow,
  credentialRecord,
  type IdempotencyRow,
  idempotencyRecord,
  type JobRow,
  jobRecord,
  type LastRunRow,
  lastRunOf,
  type NodeRow,
  nodeRecord,
  type RecordRow,
  type SessionRow,
  sessionRecord,
  storedRecord,
} from "./rows.ts";
import { storable, storableJson } from "./texts.ts";
import { Wakes } from "./wakes.ts";

const PAGE_ROWS = 512;
/** Rows of the audit that are deleted in one transaction. */
const PRUNED_ROWS = 1_000;
/** Between two attempts at what can be done twice, while the server does not answer. */
const RETRY_MS = [20, 100, 300, 1_000, 2_000] as const;
/** How often partitions for the days to come are looked after. */
const DAYS_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** How long a node that was declared dead is told of. */
const LATELY_MS = 3_600_000;
/** Journals whose place is known without asking. */
const MAX_PLACES = 10_000;

/** Where the entries of a job are. It never changes. */
interface Place {
  readonly key: number;
  readonly day: number;
}

/** What this process is, in one of its lives. */
interface Membership {
  readonly id: NodeId;
  /** Of the last batch that was sent. */
  batch: number;
  /** Epochs of the sessions that it has opened or taken. */
  readonly sessions: Map<SessionId, number>;
  /** Jobs that it has made or claimed, and that have not ended. */
  readonly jobs: Set<JobId>;
  /** The batch of which it is not known whether it is stored. */
  doubtful: { readonly batch: number; readonly digest: string } | undefined;
  /** May it have claimed jobs that it has not heard of? */
  hasClaimedUnheard: boolean;
}

/**
 * A store for any number of runtimes. Nothing connects before it is used. Rejects with StoreError: `unreachable` while the
 * server is not there, which passes; `denied`, `foreign`, `version`, `read_only`, and whatever a statement fails with.
 */
export function postgres(options: PostgresOptions): SharedStore {
  return new PostgresStore(options);
}

class PostgresStore implements SharedStore {
  readonly isScarce = false;
  readonly #options: ReturnType<typeof settled>;
  readonly #schema: string;
  readonly #connections: Connections;
  readonly #wakes: Wakes;
  readonly #places = new Map<JobId, Place>();
  #opening: Promise<OpenedSchema> | undefined;
  #hasOpened = false;
  #isSynced = true;
  #node: Membership | undefined;
  /** Commits follow one another, and so do messages. */
  #lastCommit: Promise<unknown> = Promise.resolve();
  #lastSend: Promise<unknown> = Promise.resolve();
  #clockOffset: number | undefined;
  #daysMadeAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: PostgresOptions) {
    this.#options = settled(options);
    const { url, listenUrl, schema, maxConnections, gatherMs } = this.#options;
    this.#schema = quoted(schema);
    this.#connections = new Connections({ ...this.#options, url, max: maxConnections });
    this.#wakes = new Wakes({
      ...{ ask: this.#connections.ask, schema, gatherMs, listener: clientConfig({ ...this.#options, url: listenUrl }) },
      clockOffset: () => this.#clockOffset,
      self: () => this.#node?.id,
    });
  }

  get isDurable(): boolean {
    return this.#options.synchronousCommit !== "off" && this.#isSynced;
  }

  /** The room is the server's: a full disk is told of by the commit that it refuses. */
  async keepRoom(): Promise<void> {}

  async join(facts: NodeFacts, ttlMs: number): Promise<void> {
    await this.#steadily(
      `INSERT INTO ${this.#schema}.node (id, started_at, beat_at, ttl_ms, facts)
       SELECT $1, t, t, $2, $3 FROM ${this.#schema}.now_ms() AS t ON CONFLICT (id) DO NOTHING`,
      [facts.id, Math.ceil(ttlMs), JSON.stringify(facts)],
    );
    this.#node = {
      ...{ id: facts.id, batch: 0, sessions: new Map(), jobs: new Set() },
      ...{ doubtful: undefined, hasClaimedUnheard: false },
    };
    this.#daysMadeAt = performance.now();
  }

  async beat(facts: NodeFacts): Promise<readonly NodeRecord[] | undefined> {
    const askedAt = performance.now();
    const [row] = await this.#steadily<{ is_alive: boolean; buried: string | null; now: number }>(
      `SELECT is_alive, array_to_json(buried)::text AS buried, ${this.#schema}.now_ms() AS now FROM ${this.#schema}.beat($1, $2)`,
      [this.#self.id, JSON.stringify(facts)],
    );
    if (row === undefined || !row.is_alive) return undefined;
    this.#clockOffset = row.now - (askedAt + performance.now()) / 2;
    if (row.buried !== null && row.buried !== "[]") this.#wakes.work();
    if (askedAt - this.#daysMadeAt > DAYS_MS) await this.#makeDays();
    return this.#nodesSince(LATELY_MS);
  }

  async leave(): Promise<void> {
    const node = this.#node;
    if (node === undefined) return;
    await this.#steadily(`SELECT ${this.#schema}.leave($1)`, [node.id]);
    this.#wakes.work();
  }

  nodes(): Promise<readonly NodeRecord[]> {
    return this.#nodesSince(DAY_MS);
  }

  async #nodesSince(ms: number): Promise<readonly NodeRecord[]> {
    const rows = await this.#steadily<NodeRow>(
      `SELECT facts, started_at, beat_at, ttl_ms, ${this.#schema}.now_ms() AS now, is_up, must_drain FROM ${this.#schema}.node
       WHERE is_up OR beat_at > ${this.#schema}.now_ms() - $1 ORDER BY started_at DESC, id DESC`,
      [ms],
    );
    return rows.map(nodeRecord);
  }

  async askToDrain(node: NodeId): Promise<void> {
    await this.#steadily(`UPDATE ${this.#schema}.node SET must_drain = true WHERE id = $1`, [node]);
  }

  watch(onWake: (wake: Wake) => void): () => void {
    return this.#wakes.watch(onWake);
  }

  send(messages: readonly NodeMessage[]): Promise<void> {
    return this.#inOrder(messages);
  }

  #inOrder(messages: readonly NodeMessage[]): Promise<void> {
    const sending = this.#lastSend.then(() => this.#send(messages));
    this.#lastSend = sending.catch(() => {
      // Whoever sent it hears of that.
    });
    return sending;
  }

  async #send(messages: readonly NodeMessage[]): Promise<void> {
    if (messages.length === 0) return;
    await this.#ask(
      `INSERT INTO ${this.#schema}.message (receiver, sender, data, at)
       SELECT m.receiver, m.sender, m.data, ${this.#schema}.now_ms()
       FROM unnest($1::text[], $2::text[], $3::text[]) AS m(receiver, sender, data)`,
      [
        textArray(messages.map(({ to }) => to)),
        textArray(messages.map(({ from }) => from)),
        textArray(messages.map(({ data }) => storable(data))),
      ],
    );
    this.#wakes.sent(messages.map(({ to }) => to));
  }

  async receive(): Promise<readonly NodeMessage[]> {
    return this.#ask<NodeMessage>(
      `WITH taken AS (DELETE FROM ${this.#schema}.message WHERE receiver = $1 RETURNING key, sender, receiver, data)
       SELECT sender AS "from", receiver AS "to", data FROM taken ORDER BY key`,
      [this.#self.id],
    );
  }

  commit(batch: Batch): Promise<void> {
    // What comes after one that has failed is not held up by it.
    const committing = this.#lastCommit.then(() => this.#commit(batch));
    this.#lastCommit = committing.catch(() => {});
    return committing;
  }

  async #commit(batch: Batch): Promise<void> {
    const node = this.#self;
    // A session that is not known here is opened by this: it is refused if another node has it.
    for (const { id } of batch.sessions) if (!node.sessions.has(id)) node.sessions.set(id, 1);
    const values = batchValues(batch, (id) => node.sessions.get(id) ?? 0);
    const number = this.#batchNumber(node, values);
    try {
      await this.#store(node, number, values);
      node.doubtful = undefined;
    } catch (error) {
      if (error instanceof StoreError && isOutcomeUnknown(error.cause)) {
        node.doubtful = { batch: number, digest: digestOf(values) };
      }
      if (error instanceof NotUpError) throw fenced(batch);
      if (error instanceof StaleWriterError) this.#lose(node, error);
      throw error;
    }
    this.#tell(node, batch);
  }

  /** The number under which the batch was sent before, if it was not known whether it was stored; otherwise the next. */
  #batchNumber(node: Membership, values: readonly Value[]): number {
    const { doubtful } = node;
    if (doubtful !== undefined && doubtful.digest === digestOf(values)) return doubtful.batch;
    node.batch += 1;
    return node.batch;
  }

  async #store(node: Membership, number: number, values: readonly Value[]): Promise<void> {
    const { synchronousCommit } = this.#options;
    const all = [node.id, number, synchronousCommit, ...values];
    const statement = `SELECT ${this.#schema}.commit_batch(${all.map((_, index) => `$${index + 1}`).join(", ")})`;
    try {
      await this.#steadily(statement, all);
    } catch (error) {
      if (!isNoPartition(error)) throw error;
      await this.#makeDays();
      await this.#steadily(statement, all);
    }
  }

  #lose(node: Membership, { jobs, sessions }: StaleWriterError): void {
    for (const id of jobs) node.jobs.delete(id);
    for (const id of sessions) node.sessions.delete(id);
  }

  #tell(node: Membership, { jobs, jobChanges, entries }: Batch): void {
    for (const { id, sessionId, parentJobId, endedAt, isForAnybody } of jobs) {
      if (isForAnybody === true) this.#wakes.work();
      else if (endedAt === null) node.jobs.add(id);
      // Its session may be another node's: of a job that was delegated or scheduled.
      if (parentJobId !== null || !node.sessions.has(sessionId)) this.#wakes.made(id, sessionId);
    }
    for (const { id, endedAt } of jobChanges.values()) if (endedAt !== null) node.jobs.delete(id);
    if (entries.size + jobChanges.size > 0) this.#wakes.grown([...entries.keys(), ...jobChanges.keys()]);
  }

  async findJob(id: JobId): Promise<JobRecord | undefined> {
    const [row] = await this.#steadily<JobRow>(`SELECT * FROM ${this.#schema}.job WHERE id = $1`, [id]);
    return row && jobRecord(row);
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
    const rows = await this.#steadily<JobRow>(
      `SELECT * FROM ${this.#schema}.job ${where.text} ORDER BY created_at, id LIMIT ${where.bind(query.limit)}`,
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
    const rows = await this.#tuples(
      `SELECT n, ts, code, payload FROM ${this.#schema}.entry
       WHERE day = $1 AND job = $2 AND n BETWEEN $3 AND $4 ORDER BY n`,
      [day, key, fromN, toN],
    );
    return rows.map(([n, ts, code, payload], index) => {
      if (n !== fromN + index) throw damaged(`entry ${fromN + index} of ${id}`);
      return { n, ts, code, payload } as Entry;
    });
  }

  async readCodes(id: JobId, fromN: number, toN: number): Promise<readonly EntryCode[]> {
    const place = await this.#placeOf(id);
    if (place === undefined) throw new Error(`no job ${id}`);
    const rows = await this.#tuples(
      `SELECT code FROM ${this.#schema}.entry WHERE day = $1 AND job = $2 AND n BETWEEN $3 AND $4 ORDER BY n`,
      [place.day, place.key, fromN, toN],
    );
    return rows.map(([code]) => code as EntryCode);
  }

  /** Kept, because it never changes: `undefined` if there is no such job. */
  async #placeOf(id: JobId): Promise<Place | undefined> {
    const known = this.#places.get(id);
    if (known !== undefined) return known;
    const [place] = await this.#steadily<Place>(`SELECT key, day FROM ${this.#schema}.job WHERE id = $1`, [id]);
    if (place === undefined) return undefined;
    if (this.#places.size >= MAX_PLACES) this.#places.clear();
    this.#places.set(id, place);
    return place;
  }

  async readFeed(id: SessionId, afterSeq: number, limit: number, maxBytes: number): Promise<readonly FeedItem[]> {
    const rows = await this.#tuples(`SELECT * FROM ${this.#schema}.read_feed($1, $2, $3, $4)`, [
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
    const [row] = await this.#steadily<{ n: number | null }>(
      `SELECT (SELECT f.n + least($3 - f.seq, f.count - 1) FROM ${this.#schema}.feed f
         WHERE f.session = s.key AND f.job = $2 AND f.seq <= $3 ORDER BY f.seq DESC LIMIT 1) AS n
       FROM ${this.#schema}.session s WHERE s.id = $1`,
      [id, place.key, seq],
    );
    return row && (row.n ?? 0);
  }

  async findSession(
    id: SessionId,
  ): Promise<{ readonly record: SessionRecord; readonly lastRun: FeedRun | null } | undefined> {
    const [row] = await this.#steadily<SessionRow & LastRunRow>(
      `SELECT s.*, r.* FROM ${this.#schema}.session s LEFT JOIN LATERAL (${this.#lastRun("s.key")}) r ON true WHERE s.id = $1`,
      [id],
    );
    return row && { record: sessionRecord(row), lastRun: lastRunOf(row) };
  }

  #lastRun(session: string): string {
    return `SELECT f.seq AS run_seq, j.id AS run_job, f.n AS run_n, f.count AS run_count
      FROM ${this.#schema}.feed f JOIN ${this.#schema}.job j ON j.key = f.job WHERE f.session = ${session}
      ORDER BY f.seq DESC LIMIT 1`;
  }

  async findSessionByToken(hash: string): Promise<SessionId | undefined> {
    const [row] = await this.#steadily<{ id: SessionId }>(
      `SELECT id FROM ${this.#schema}.session WHERE token_hash = $1 OR previous_token_hash = $1`,
      [hash],
    );
    return row?.id;
  }

  async findIdempotency(principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    const [row] = await this.#steadily<IdempotencyRow>(
      `SELECT * FROM ${this.#schema}.idempotency WHERE principal = $1 AND key = $2`,
      [principal, key],
    );
    return row && idempotencyRecord(row);
  }

  async findRecord(kind: string, id: string): Promise<StoredRecord | undefined> {
    const [row] = await this.#steadily<RecordRow>(`SELECT * FROM ${this.#schema}.record WHERE kind = $1 AND id = $2`, [
      kind,
      id,
    ]);
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
    const rows = await this.#steadily<RecordRow>(
      `SELECT * FROM ${this.#schema}.record ${where.text} ORDER BY ${order} LIMIT ${where.bind(query.limit)}`,
      where.values,
    );
    return rows.map(storedRecord);
  }

  async outstandingCredentials(): Promise<readonly CredentialRecord[]> {
    const rows = await this.#steadily<CredentialRow>(
      `SELECT * FROM ${this.#schema}.credential WHERE state < 3 ORDER BY created_at, alias`,
    );
    return rows.map(credentialRecord);
  }

  async claimCredentials(
    provisioners: readonly string[],
    known: readonly string[],
  ): Promise<readonly CredentialRecord[]> {
    const rows = await this.#steadily<CredentialRow>(`SELECT * FROM ${this.#schema}.claim_credentials($1, $2, $3)`, [
      ...[this.#self.id, textArray(provisioners.map(storable)), textArray(known.map(storable))],
    ]);
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
    const rows = await this.#steadily<CredentialRow>(
      `SELECT * FROM ${this.#schema}.credential ${where.text} ORDER BY created_at, alias LIMIT ${where.bind(query.limit)}`,
      where.values,
    );
    return rows.map(credentialRecord);
  }

  /** Takes the sessions of dead nodes that follow these jobs, too: only those are named. */
  async takeOver(
    now: number,
  ): Promise<readonly { readonly job: JobRecord; readonly followers: readonly SessionId[] }[]> {
    const node = this.#self;
    const [row] = await this.#ask<{
      jobs: { job: JobRow; followers: SessionId[] | null }[] | null;
      sessions: { id: SessionId; epoch: number }[] | null;
    }>(`SELECT * FROM ${this.#schema}.take_over($1, $2)`, [node.id, now]);
    for (const { id, epoch } of row?.sessions ?? []) node.sessions.set(id, epoch);
    return (row?.jobs ?? []).map(({ job, followers }) => {
      node.jobs.add(job.id);
      return { job: jobRecord(job), followers: followers ?? [] };
    });
  }

  async claimJobs(agents: readonly string[], limit: number, only?: JobId): Promise<readonly JobRecord[]> {
    const node = this.#self;
    const hasUnheard = node.hasClaimedUnheard;
    const unheard = hasUnheard && only === undefined ? await this.#claimedUnheard(node) : [];
    node.hasClaimedUnheard = true;
    const rows = await this.#ask<JobRow>(`SELECT * FROM ${this.#schema}.claim_jobs($1, $2, $3, $4)`, [
      ...[node.id, textArray(agents.map(storable)), Math.max(limit - unheard.length, 0), only ?? null],
    ]);
    node.hasClaimedUnheard = hasUnheard && only !== undefined;
    const claimed = [...unheard, ...rows.map(jobRecord)];
    for (const { id } of claimed) node.jobs.add(id);
    return claimed;
  }

  /** Jobs that a claim has made this node's, and of which the answer was lost. */
  async #claimedUnheard(node: Membership): Promise<JobRecord[]> {
    const rows = await this.#ask<JobRow>(
      `SELECT * FROM ${this.#schema}.job WHERE node = $1 AND ended_at IS NULL AND id <> ALL ($2::text[])
       ORDER BY created_at, key`,
      [node.id, textArray([...node.jobs].map(storable))],
    );
    return rows.map(jobRecord);
  }

  async releaseJobs(ids: readonly JobId[]): Promise<void> {
    const node = this.#self;
    await this.#steadily(
      `UPDATE ${this.#schema}.job SET node = NULL WHERE id = ANY ($1::text[]) AND node = $2 AND ended_at IS NULL`,
      [textArray(ids.map(storable)), node.id],
    );
    for (const id of ids) node.jobs.delete(id);
    this.#wakes.work();
  }

  heads(ids: readonly JobId[]): Promise<readonly JobHead[]> {
    return this.#heads("id = ANY ($1::text[])", ids);
  }

  liveJobsOf(sessions: readonly SessionId[]): Promise<readonly JobHead[]> {
    return this.#heads("session_id = ANY ($1::text[]) AND ended_at IS NULL", sessions);
  }

  #heads(condition: string, ids: readonly string[]): Promise<readonly JobHead[]> {
    return this.#steadily<JobHead>(
      `SELECT id, session_id AS session, node, last_n AS "lastN", ended_at IS NOT NULL AS "isEnded"
       FROM ${this.#schema}.job WHERE ${condition} ORDER BY key`,
      [textArray(ids.map(storable))],
    );
  }

  async takeSession(id: SessionId, tokenHash: string): Promise<TakenSession | undefined> {
    const node = this.#self;
    const [row] = await this.#steadily<{
      taken: SessionRow | null;
      last_run: LastRunRow | null;
      follows: TakenSession["follows"];
    }>(`SELECT * FROM ${this.#schema}.take_session($1, $2, $3)`, [node.id, id, tokenHash]);
    if (row === undefined || row.taken === null) return undefined;
    node.sessions.set(id, row.taken.epoch);
    this.#wakes.taken(id);
    return { record: sessionRecord(row.taken), lastRun: lastRunOf(row.last_run ?? undefined), follows: row.follows };
  }

  async bindKey(record: IdempotencyRecord): Promise<IdempotencyRecord> {
    const { principal, key, digest, jobId, expiresAt } = record;
    const [row] = await this.#steadily<IdempotencyRow>(
      `SELECT * FROM ${this.#schema}.bind_key($1, $2, $3, $4, $5, $6)`,
      [this.#self.id, principal, key, digest, jobId, expiresAt],
    );
    return idempotencyRecord(row as IdempotencyRow);
  }

  async releaseKey({ principal, key, jobId }: Pick<IdempotencyRecord, "principal" | "key" | "jobId">): Promise<void> {
    await this.#steadily(
      `DELETE FROM ${this.#schema}.idempotency i WHERE principal = $1 AND key = $2 AND job_id = $3
       AND NOT EXISTS (SELECT FROM ${this.#schema}.job j WHERE j.id = i.job_id)`,
      [principal, key, jobId],
    );
  }

  async secret(): Promise<Uint8Array> {
    const [row] = await this.#steadily<{ secret: Buffer }>(`SELECT secret FROM ${this.#schema}.cluster`);
    return new Uint8Array((row as { secret: Buffer }).secret);
  }

  async countJobs(principal: string, except?: NodeId): Promise<number> {
    const [row] = await this.#steadily<{ count: number }>(
      `SELECT count(*) FROM ${this.#schema}.job WHERE principal = $1 AND ended_at IS NULL
       AND ($2::text IS NULL OR node IS DISTINCT FROM $2)`,
      [principal, except ?? null],
    );
    return row?.count ?? 0;
  }

  async countSessions(principal: string, except?: NodeId): Promise<number> {
    const [row] = await this.#steadily<{ count: number }>(
      `SELECT count(*) FROM ${this.#schema}.session s JOIN ${this.#schema}.node n ON n.id = s.node
       WHERE s.principal = $1 AND s.detached_at IS NULL AND n.is_up
       AND ($2::text IS NULL OR n.id <> $2)`,
      [principal, except ?? null],
    );
    return row?.count ?? 0;
  }

  async readAudit(afterSeq: number | undefined, limit: number): Promise<readonly AuditRow[]> {
    // A number that no row should have is looked at like any other.
    const rows = await this.#steadily<AuditTableRow>(
      `SELECT * FROM ${this.#schema}.audit WHERE seq > $1 ORDER BY seq LIMIT $2`,
      [afterSeq ?? Number.MIN_SAFE_INTEGER, limit],
    );
    return rows.map(auditRecord);
  }

  async auditHead(): Promise<AuditHead | undefined> {
    const [head] = await this.#steadily<AuditHead>(`SELECT seq, hash FROM ${this.#schema}.audit_head WHERE seq > 0`);
    return head;
  }

  async pruneAudit(before: number, now: number): Promise<number> {
    // From the oldest row on: clocks may have gone back, and what is deleted is a beginning.
    const [old] = await this.#steadily<{ first: number; through: number; hash: string }>(
      `WITH oldest AS MATERIALIZED (SELECT seq, at, hash FROM ${this.#schema}.audit ORDER BY seq LIMIT $1)
       SELECT (SELECT min(seq) FROM oldest) AS first, seq AS through, hash FROM oldest
       WHERE seq < coalesce((SELECT min(seq) FROM oldest WHERE at >= $2), 9007199254740991) ORDER BY seq DESC LIMIT 1`,
      [PRUNED_ROWS, before],
    );
    if (old === undefined) return 0;
    const { first, through, hash } = old;
    const record = prunedRecord(now, { through, hash, rows: through - first + 1 });
    const [row] = await this.#ask<{ rows: number }>(`SELECT ${this.#schema}.prune_audit($1, $2, $3) AS rows`, [
      ...[first, through, storableJson([auditRow(record)])],
    ]);
    return row?.rows ?? 0;
  }

  async sweep(before: RetentionCuts): Promise<{ readonly sessions: number; readonly jobs: number }> {
    await this.#makeDays();
    const gone = await sweep(this.#ask, this.#schema, before);
    await this.#forgetSessions();
    this.#places.clear();
    return gone;
  }

  /** Of sessions that are gone, or another node's, nothing needs to be known. */
  async #forgetSessions(): Promise<void> {
    const node = this.#node;
    if (node === undefined || node.sessions.size === 0) return;
    const known = [...node.sessions];
    const kept = await this.#steadily<{ id: SessionId }>(
      `SELECT s.id FROM unnest($1::text[], $2::bigint[]) AS k(id, epoch)
       JOIN ${this.#schema}.session s ON s.id = k.id WHERE s.epoch = k.epoch AND s.node = $3`,
      [textArray(known.map(([id]) => storable(id))), bigintArray(known.map(([, epoch]) => epoch)), node.id],
    );
    const isKept = new Set(kept.map(({ id }) => id));
    for (const [id, epoch] of known) {
      if (!isKept.has(id) && node.sessions.get(id) === epoch) node.sessions.delete(id);
    }
  }

  async *jobs(): AsyncIterable<LoggedJob> {
    for (let after = 0; ; ) {
      const rows = await this.#steadily<JobRow>(
        `SELECT * FROM ${this.#schema}.job WHERE key > $1 ORDER BY key LIMIT $2`,
        [after, PAGE_ROWS],
      );
      for (const row of rows) yield loggedJob(jobRecord(row));
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.key;
    }
  }

  async *entries(jobId: JobId, afterN = 0): AsyncIterable<LoggedEntry> {
    const [row] = await this.#steadily<Place & { last_n: number }>(
      `SELECT key, day, last_n FROM ${this.#schema}.job WHERE id = $1`,
      [jobId],
    );
    if (row === undefined) return;
    for (let n = afterN + 1; n <= row.last_n; n += PAGE_ROWS) {
      for (const entry of await this.#entries(jobId, row, n, Math.min(n + PAGE_ROWS - 1, row.last_n))) {
        yield { jobId, n: entry.n, ts: entry.ts, type: messageTypeOf(entry.code), payload: JSON.parse(entry.payload) };
      }
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#lastCommit;
    await this.#wakes.close();
    await this.#connections.close();
  }

  get #self(): Membership {
    if (this.#node === undefined) throw new Error("this process is no node: join() comes first");
    return this.#node;
  }

  #opened(): Promise<OpenedSchema> {
    this.#opening ??= openSchema(this.#connections, this.#options).then(
      (opened) => {
        this.#isSynced = opened.isSynced;
        this.#hasOpened = true;
        return opened;
      },
      (error: unknown) => {
        // What was wrong may be put right.
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  async #makeDays(): Promise<void> {
    await this.#steadily(`SELECT ${this.#schema}.make_days()`);
    this.#daysMadeAt = performance.now();
  }

  /** Once. */
  readonly #ask: Ask = async <Row>(text: string, values: readonly Value[] = []): Promise<Row[]> => {
    await this.#opened();
    return this.#connections.ask<Row>(text, values);
  };

  /** What does no harm when it is done twice: again and again for a while, if the server is not there any more. */
  #steadily<Row>(text: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.#again(() => this.#ask<Row>(text, values));
  }

  async #tuples(text: string, values: readonly Value[]) {
    return this.#again(async () => {
      await this.#opened();
      return this.#connections.tuples(text, values);
    });
  }

  async #again<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await work();
      } catch (error) {
        const delayMs = RETRY_MS[failures];
        const mayPass = error instanceof StoreError && error.reason === "unreachable";
        if (!mayPass || delayMs === undefined || this.#isClosed || !this.#hasOpened) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }
}

/**
 * What a dead node's batch is refused with: everything in it that somebody owns is others'. What nobody owns can be stored
 * when the process has joined anew.
 */
function fenced({ jobs, entries, jobChanges, sessions, runs, follows }: Batch): Error {
  const lost = {
    jobs: [...new Set([...jobs.map(({ id }) => id), ...entries.keys(), ...jobChanges.keys()])],
    sessions: [
      ...new Set([...[...sessions].map(({ id }) => id), ...runs.keys(), ...follows.map(({ sessionId }) => sessionId)]),
    ],
  };
  const error = new NotUpError(lost);
  return lost.jobs.length + lost.sessions.length > 0 ? error : new StoreError("busy", error.message);
}

const damaged = (subject: string): StoreError => new StoreError("corrupt", `${subject} is missing in the database`);
