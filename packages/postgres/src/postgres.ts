/** The store on PostgreSQL. */
import type { JobId, SessionId } from "@arcp/core";
import {
  type Batch,
  type CredentialRecord,
  type IdempotencyRecord,
  type JobHead,
  type JobRecord,
  type NodeFacts,
  type NodeId,
  type NodeMessage,
  type NodeRecord,
  type NodeUse,
  prunedRecord,
  type RetentionCuts,
  type SharedStore,
  StaleWriterError,
  StoreError,
  type TakenSession,
  type Use,
  type Wake,
} from "@arcp/runtime";
import { bigintArray, textArray } from "./arrays.ts";
import { auditRow, batchValues, digestOf } from "./batch.ts";
import { clientConfig, type Value } from "./connections.ts";
import { Database } from "./database.ts";
import { isNoPartition, isOutcomeUnknown, NotUpError } from "./failures.ts";
import { type PostgresOptions, type SettledOptions, settled } from "./options.ts";
import { PostgresReads } from "./reads.ts";
import { sweep } from "./retention.ts";
import {
  type CredentialRow,
  claimedRecord,
  credentialRecord,
  type IdempotencyRow,
  idempotencyRecord,
  JOB_COLUMNS,
  type JobRow,
  jobRecord,
  type LastRunRow,
  lastRunOf,
  type NodeRow,
  nodeRecord,
  type SessionRow,
  sessionRecord,
} from "./rows.ts";
import { storable, storableJson, stored } from "./texts.ts";
import { Wakes } from "./wakes.ts";

/** Rows of the audit that are deleted in one transaction. */
const PRUNED_ROWS = 1_000;
const DAY_MS = 86_400_000;
/** How long a node that was declared dead is told of. */
const LATELY_MS = 3_600_000;
/** What others have said before somebody asks, and can be seen only after that. */
const LATE_MS = 2_000;

interface Doubtful {
  readonly batch: number;
  readonly values: readonly Value[];
  readonly digest: string;
  /** A part of the batch by which it is known again, whatever has been taken out of it since. */
  readonly part: object | undefined;
}

/** What every attempt to store a batch has in common, and no other batch has. */
const partsOf = ({ entries, jobs, runs }: Batch): readonly object[] => [
  ...(entries.size > 0 ? [entries] : []),
  ...(jobs.length > 0 ? [jobs] : []),
  ...(runs.size > 0 ? [runs] : []),
];

/** What this process is, in one of its lives. */
interface Membership {
  readonly id: NodeId;
  /** Of the last batch that was sent. */
  batch: number;
  /** Epochs of the sessions that it has opened or taken. */
  readonly sessions: Map<SessionId, number>;
  /** Jobs that it has made or claimed, and that have not ended. */
  readonly jobs: Set<JobId>;
  /** The batch of which it is not known whether it is stored, as it was sent. */
  doubtful: Doubtful | undefined;
  /** May it have claimed jobs that it has not heard of? */
  hasClaimedUnheard: boolean;
  /** What others use is known as of then, by the server's clock. */
  usedSince: number;
}

/**
 * A store for any number of runtimes. Nothing connects before it is used. Rejects with StoreError: `unreachable` while the
 * server is not there, which passes; `denied`, `foreign`, `version`, `read_only`, and whatever a statement fails with.
 */
export function postgres(options: PostgresOptions): SharedStore {
  return new PostgresStore(settled(options));
}

class PostgresStore extends PostgresReads implements SharedStore {
  readonly isScarce = false;
  readonly #options: SettledOptions;
  readonly #wakes: Wakes;
  #node: Membership | undefined;
  /** Commits follow one another, and so do messages. */
  #lastCommit: Promise<unknown> = Promise.resolve();
  #lastSend: Promise<unknown> = Promise.resolve();
  #clockOffset: number | undefined;
  #isClosed = false;

  constructor(options: SettledOptions) {
    super(new Database(options));
    this.#options = options;
    const { listenUrl, schema, gatherMs } = options;
    this.#wakes = new Wakes({
      ...{ ask: this.db.ask, schema, gatherMs, listener: clientConfig({ ...options, url: listenUrl }) },
      clockOffset: () => this.#clockOffset,
      self: () => this.#node?.id,
    });
  }

  get isDurable(): boolean {
    return this.db.isDurable;
  }

  /** The room is the server's: a full disk is told of by the commit that it refuses. */
  async keepRoom(): Promise<void> {}

  async join(facts: NodeFacts, ttlMs: number): Promise<void> {
    await this.db.assertMember();
    await this.db.steadily(
      `INSERT INTO ${this.db.schema}.node (id, started_at, beat_at, ttl_ms, facts)
       SELECT $1, t, t, $2, $3 FROM ${this.db.schema}.now_ms() AS t ON CONFLICT (id) DO NOTHING`,
      [facts.id, Math.ceil(ttlMs), JSON.stringify(facts)],
    );
    this.#node = {
      ...{ id: facts.id, batch: 0, sessions: new Map(), jobs: new Set() },
      ...{ doubtful: undefined, hasClaimedUnheard: false, usedSince: 0 },
    };
  }

  async beat(facts: NodeFacts): Promise<readonly NodeRecord[] | undefined> {
    const askedAt = performance.now();
    const [row] = await this.db.steadily<{ is_alive: boolean; buried: string | null; now: number }>(
      `SELECT is_alive, array_to_json(buried)::text AS buried, ${this.db.schema}.now_ms() AS now FROM ${this.db.schema}.beat($1, $2)`,
      [this.#self.id, JSON.stringify(facts)],
    );
    if (row === undefined || !row.is_alive) return undefined;
    this.#clockOffset = row.now - (askedAt + performance.now()) / 2;
    if (row.buried !== null && row.buried !== "[]") this.#wakes.work();
    await this.db.keepDays();
    return this.#nodesSince(LATELY_MS);
  }

  async leave(): Promise<void> {
    const node = this.#node;
    if (node === undefined) return;
    await this.db.steadily(`SELECT ${this.db.schema}.leave($1)`, [node.id]);
    this.#wakes.work();
  }

  nodes(): Promise<readonly NodeRecord[]> {
    return this.#nodesSince(DAY_MS);
  }

  async #nodesSince(ms: number): Promise<readonly NodeRecord[]> {
    const rows = await this.db.steadily<NodeRow>(
      `SELECT facts, started_at, beat_at, ttl_ms, ${this.db.schema}.now_ms() AS now, is_up, must_drain FROM ${this.db.schema}.node
       WHERE is_up OR beat_at > ${this.db.schema}.now_ms() - $1 ORDER BY started_at DESC, id DESC`,
      [ms],
    );
    return rows.map(nodeRecord);
  }

  async askToDrain(node: NodeId): Promise<void> {
    await this.db.steadily(`UPDATE ${this.db.schema}.node SET must_drain = true WHERE id = $1`, [node]);
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
    await this.db.ask(
      `INSERT INTO ${this.db.schema}.message (receiver, sender, data, at)
       SELECT m.receiver, m.sender, m.data, ${this.db.schema}.now_ms()
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
    return this.db.ask<NodeMessage>(
      `WITH taken AS (DELETE FROM ${this.db.schema}.message WHERE receiver = $1 RETURNING key, sender, receiver, data)
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
    const { number, values } = this.#asSent(node, batch);
    try {
      await this.#store(node, number, values);
      node.doubtful = undefined;
    } catch (error) {
      if (error instanceof StoreError && isOutcomeUnknown(error.cause)) {
        node.doubtful = { batch: number, values, digest: digestOf(values), part: partsOf(batch)[0] };
      }
      if (error instanceof NotUpError) throw fenced(batch);
      if (error instanceof StaleWriterError) {
        node.doubtful = undefined;
        this.#lose(node, error);
      }
      throw error;
    }
    this.#tell(node, batch);
  }

  /**
   * A batch of which it is not known whether it is stored is sent again as it was, under the number that it had, though something of
   * it has been taken from this node since: if it was stored, all of it was, and if it was not, it is refused.
   */
  #asSent(node: Membership, batch: Batch): { readonly number: number; readonly values: readonly Value[] } {
    const { doubtful } = node;
    const isSame = [batch.entries, batch.jobs, batch.runs].some((part) => part === doubtful?.part);
    if (doubtful !== undefined && isSame) return { number: doubtful.batch, values: doubtful.values };
    const values = batchValues(batch, (id) => node.sessions.get(id) ?? 0);
    if (doubtful?.digest === digestOf(values)) return { number: doubtful.batch, values };
    node.batch += 1;
    return { number: node.batch, values };
  }

  async #store(node: Membership, number: number, values: readonly Value[]): Promise<void> {
    const { synchronousCommit } = this.#options;
    const all = [node.id, number, synchronousCommit, ...values];
    const statement = `SELECT ${this.db.schema}.commit_batch(${all.map((_, index) => `$${index + 1}`).join(", ")})`;
    try {
      await this.db.steadily(statement, all);
    } catch (error) {
      if (!isNoPartition(error)) throw error;
      await this.db.makeDays();
      await this.db.steadily(statement, all);
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

  async claimCredentials(
    provisioners: readonly string[],
    known: readonly string[],
  ): Promise<readonly CredentialRecord[]> {
    const rows = await this.db.steadily<CredentialRow>(
      `SELECT * FROM ${this.db.schema}.claim_credentials($1, $2, $3)`,
      [...[this.#self.id, textArray(provisioners.map(storable)), textArray(known.map(storable))]],
    );
    return rows.map(credentialRecord);
  }

  async orphanedCredentials(): Promise<readonly CredentialRecord[]> {
    const rows = await this.db.steadily<CredentialRow>(
      `SELECT c.* FROM ${this.db.schema}.credential c WHERE c.state < 3
       AND NOT EXISTS (SELECT FROM ${this.db.schema}.node n WHERE n.id = c.node AND n.is_up)
       ORDER BY c.created_at, c.alias LIMIT 1000`,
    );
    return rows.map(credentialRecord);
  }

  /** Takes the sessions of dead nodes that follow these jobs, too: only those are named. */
  async takeOver(
    now: number,
  ): Promise<readonly { readonly job: JobRecord; readonly followers: readonly SessionId[] }[]> {
    const node = this.#self;
    const [row] = await this.db.ask<{
      jobs: { job: JobRow; followers: SessionId[] | null }[] | null;
      sessions: { id: SessionId; epoch: number }[] | null;
    }>(`SELECT * FROM ${this.db.schema}.take_over($1, $2)`, [node.id, now]);
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
    const rows = await this.db.ask<JobRow>(`SELECT ${JOB_COLUMNS} FROM ${this.db.schema}.claim_jobs($1, $2, $3, $4)`, [
      ...[node.id, textArray(agents.map(storable)), Math.max(limit - unheard.length, 0), only ?? null],
    ]);
    node.hasClaimedUnheard = hasUnheard && only !== undefined;
    const claimed = [...unheard, ...rows.map(claimedRecord)];
    for (const { id } of claimed) node.jobs.add(id);
    return claimed;
  }

  /** Jobs that a claim has made this node's, and of which the answer was lost. */
  async #claimedUnheard(node: Membership): Promise<JobRecord[]> {
    const rows = await this.db.ask<JobRow>(
      `SELECT ${JOB_COLUMNS} FROM ${this.db.schema}.job WHERE node = $1 AND ended_at IS NULL AND id <> ALL ($2::text[])
       ORDER BY created_at, key`,
      [node.id, textArray([...node.jobs].map(storable))],
    );
    return rows.map(claimedRecord);
  }

  async releaseJobs(ids: readonly JobId[]): Promise<void> {
    const node = this.#self;
    await this.db.steadily(
      `UPDATE ${this.db.schema}.job SET node = NULL WHERE id = ANY ($1::text[]) AND node = $2 AND ended_at IS NULL`,
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
    return this.db.steadily<JobHead>(
      `SELECT id, session_id AS session, node, last_n AS "lastN", ended_at IS NOT NULL AS "isEnded"
       FROM ${this.db.schema}.job WHERE ${condition} ORDER BY key`,
      [textArray(ids.map(storable))],
    );
  }

  async takeSession(id: SessionId, tokenHash: string): Promise<TakenSession | undefined> {
    const node = this.#self;
    const [row] = await this.db.steadily<{
      taken: SessionRow | null;
      last_run: LastRunRow | null;
      follows: TakenSession["follows"];
    }>(`SELECT * FROM ${this.db.schema}.take_session($1, $2, $3)`, [node.id, id, tokenHash]);
    if (row === undefined || row.taken === null) return undefined;
    node.sessions.set(id, row.taken.epoch);
    this.#wakes.taken(id);
    return { record: sessionRecord(row.taken), lastRun: lastRunOf(row.last_run ?? undefined), follows: row.follows };
  }

  async bindKey(record: IdempotencyRecord): Promise<IdempotencyRecord> {
    const { principal, key, digest, jobId, expiresAt } = record;
    const [row] = await this.db.steadily<IdempotencyRow>(
      `SELECT * FROM ${this.db.schema}.bind_key($1, $2, $3, $4, $5, $6)`,
      [this.#self.id, principal, key, digest, jobId, expiresAt],
    );
    return idempotencyRecord(row as IdempotencyRow);
  }

  async releaseKey({ principal, key, jobId }: Pick<IdempotencyRecord, "principal" | "key" | "jobId">): Promise<void> {
    await this.db.steadily(
      `DELETE FROM ${this.db.schema}.idempotency i WHERE principal = $1 AND key = $2 AND job_id = $3
       AND NOT EXISTS (SELECT FROM ${this.db.schema}.job j WHERE j.id = i.job_id)`,
      [principal, key, jobId],
    );
  }

  async secret(): Promise<Uint8Array> {
    const [row] = await this.db.steadily<{ secret: Buffer }>(`SELECT secret FROM ${this.db.schema}.cluster`);
    return new Uint8Array((row as { secret: Buffer }).secret);
  }

  async countJobs(principal: string, except?: NodeId): Promise<number> {
    const [row] = await this.db.steadily<{ count: number }>(
      `SELECT count(*) FROM ${this.db.schema}.job WHERE principal = $1 AND ended_at IS NULL
       AND ($2::text IS NULL OR node IS DISTINCT FROM $2)`,
      [principal, except ?? null],
    );
    return row?.count ?? 0;
  }

  async countSessions(principal: string, except?: NodeId, detachedSince?: number): Promise<number> {
    const [row] = await this.db.steadily<{ count: number }>(
      `SELECT count(*) FROM ${this.db.schema}.session s LEFT JOIN ${this.db.schema}.node n ON n.id = s.node
       WHERE s.principal = $1 AND (s.detached_at IS NULL AND n.is_up OR s.detached_at >= $3)
       AND ($2::text IS NULL OR s.node IS DISTINCT FROM $2)`,
      [principal, except ?? null, detachedSince ?? null],
    );
    return row?.count ?? 0;
  }

  async exchangeUse(changed: readonly Use[]): Promise<readonly NodeUse[]> {
    const node = this.#self;
    const [row] = await this.db.steadily<{ asked_at: number; others: readonly NodeUse[] }>(
      `SELECT * FROM ${this.db.schema}.exchange_use($1, $2, $3, $4, $5)`,
      [
        node.id,
        textArray(changed.map(({ name }) => name)),
        textArray(changed.map(({ principal }) => storable(principal))),
        bigintArray(changed.map(({ value }) => value)),
        node.usedSince,
      ],
    );
    node.usedSince = (row?.asked_at ?? 0) - LATE_MS;
    return (row?.others ?? []).map((use) => ({ ...use, principal: stored(use.principal) }));
  }

  async pruneAudit(before: number, now: number): Promise<number> {
    // From the oldest row on: clocks may have gone back, and what is deleted is a beginning.
    const [old] = await this.db.steadily<{ first: number; through: number; hash: string }>(
      `WITH oldest AS MATERIALIZED (SELECT seq, at, hash FROM ${this.db.schema}.audit ORDER BY seq LIMIT $1)
       SELECT (SELECT min(seq) FROM oldest) AS first, seq AS through, hash FROM oldest
       WHERE seq < coalesce((SELECT min(seq) FROM oldest WHERE at >= $2), 9007199254740991) ORDER BY seq DESC LIMIT 1`,
      [PRUNED_ROWS, before],
    );
    if (old === undefined) return 0;
    const { first, through, hash } = old;
    const record = prunedRecord(now, { through, hash, rows: through - first + 1 });
    const [row] = await this.db.ask<{ rows: number }>(`SELECT ${this.db.schema}.prune_audit($1, $2, $3) AS rows`, [
      ...[first, through, storableJson([auditRow(record)])],
    ]);
    return row?.rows ?? 0;
  }

  async sweep(before: RetentionCuts): Promise<{ readonly sessions: number; readonly jobs: number }> {
    await this.db.makeDays();
    const gone = await sweep(this.db.ask, this.db.schema, before);
    await this.#forgetSessions();
    this.forgetPlaces();
    return gone;
  }

  /** Of sessions that are gone, or another node's, nothing needs to be known. */
  async #forgetSessions(): Promise<void> {
    const node = this.#node;
    if (node === undefined || node.sessions.size === 0) return;
    const known = [...node.sessions];
    const kept = await this.db.steadily<{ id: SessionId }>(
      `SELECT s.id FROM unnest($1::text[], $2::bigint[]) AS k(id, epoch)
       JOIN ${this.db.schema}.session s ON s.id = k.id WHERE s.epoch = k.epoch AND s.node = $3`,
      [textArray(known.map(([id]) => storable(id))), bigintArray(known.map(([, epoch]) => epoch)), node.id],
    );
    const isKept = new Set(kept.map(({ id }) => id));
    for (const [id, epoch] of known) {
      if (!isKept.has(id) && node.sessions.get(id) === epoch) node.sessions.delete(id);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#lastCommit;
    await this.#wakes.close();
    await this.db.close();
  }

  get #self(): Membership {
    if (this.#node === undefined) throw new Error("this process is no node: join() comes first");
    return this.#node;
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
