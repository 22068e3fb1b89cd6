/**
 * Group commit: what jobs and sessions write during one turn of the event loop becomes one batch, one transaction.
 *
 * One commit is in flight at a time, so batches commit in the order in which they were filled. What waits for a batch
 * runs when it is durable: first the replies registered with {@link Journal.afterCommit}, in order, then the feeds.
 */
import { type Clock, InternalError, type JobId, type Logger, type SessionId } from "@arcp/core";
import {
  type AuditRecord,
  type Batch,
  type CredentialRecord,
  type Entry,
  type FeedRun,
  type FollowChange,
  type IdempotencyRecord,
  type JobChange,
  type JobRecord,
  type SessionRecord,
  StaleWriterError,
  type Store,
  type StoredRecord,
} from "../store/store.ts";
import { StoreError } from "../store/store-error.ts";
import { noMetrics, type RuntimeMetrics } from "./metrics/runtime-metrics.ts";
import { type StorageReason, StorageRoom } from "./storage-room.ts";

/** Somebody who must hear that a batch with runs of theirs is durable. */
export interface CommitListener {
  onCommitted(runs: readonly FeedRun[]): void;
}

class OpenBatch {
  readonly sessions = new Map<SessionId, SessionRecord>();
  readonly jobs: JobRecord[] = [];
  readonly idempotency: IdempotencyRecord[] = [];
  readonly entries = new Map<JobId, { readonly epoch: number; readonly list: Entry[] }>();
  readonly jobChanges = new Map<JobId, JobChange>();
  readonly runs = new Map<SessionId, FeedRun[]>();
  readonly follows: FollowChange[] = [];
  readonly audit: AuditRecord[] = [];
  readonly credentials = new Map<string, CredentialRecord>();
  readonly records = new Map<string, StoredRecord>();
  /** Not part of what is stored. */
  readonly callbacks: (() => void)[] = [];
  readonly listeners = new Map<SessionId, CommitListener>();
  /** Made when somebody waits for the batch. */
  durable: PromiseWithResolvers<void> | undefined;
  /** Is it of a life of this process that is over? */
  isDropped = false;
  entryCount = 0;
  bytes = 0;
}

/** Turns maps by id into what the store reads: as often as it has to, for a commit may be tried twice. */
const storable = (batch: OpenBatch): Batch => ({
  ...batch,
  sessions: [...batch.sessions.values()],
  credentials: [...batch.credentials.values()],
  records: [...batch.records.values()],
});

/** What belongs to others now. */
export interface Lost {
  readonly jobs: ReadonlySet<JobId>;
  readonly sessions: ReadonlySet<SessionId>;
}

/** What a process does that was declared dead: it begins anew. */
export interface Fencing {
  /** Lets go of everything, {@link Journal.drop} among it. Resolves when the process can commit again. */
  begin(): Promise<void>;
  /** The same when that was begun already, or is over. */
  settled(): Promise<void>;
}

/** Takes everything out of a batch that is about what was lost. */
function strip(batch: OpenBatch, { jobs, sessions }: Lost): void {
  for (const id of jobs) {
    batch.entries.delete(id);
    batch.jobChanges.delete(id);
  }
  for (const id of sessions) {
    batch.sessions.delete(id);
    batch.runs.delete(id);
    batch.listeners.delete(id);
  }
  const isLost = (jobId: JobId | null | undefined): boolean => jobId !== null && jobId !== undefined && jobs.has(jobId);
  remove(batch.jobs, ({ id }) => jobs.has(id));
  remove(batch.idempotency, ({ jobId }) => jobs.has(jobId));
  remove(batch.follows, ({ sessionId }) => sessions.has(sessionId));
  remove(batch.audit, ({ jobId }) => isLost(jobId));
  for (const [key, { jobId }] of batch.records) if (isLost(jobId)) batch.records.delete(key);
  for (const [alias, { jobId }] of batch.credentials) if (jobs.has(jobId)) batch.credentials.delete(alias);
}

/** The sessions that have numbered something of these jobs in the batch. */
const numbering = (batch: OpenBatch, jobs: ReadonlySet<JobId>): SessionId[] =>
  [...batch.runs].filter(([, runs]) => runs.some(({ jobId }) => jobs.has(jobId))).map(([id]) => id);

function remove<Item>(list: Item[], isGone: (item: Item) => boolean): void {
  const kept = list.filter((item) => !isGone(item));
  if (kept.length < list.length) list.splice(0, list.length, ...kept);
}

export interface JournalOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: RuntimeMetrics;
  /** Called with why nothing can be stored, when that begins, and with nothing when it is over. Default: nobody is told. */
  readonly onRoom?: (reason: StorageReason | undefined) => void;
  /**
   * Called when others have taken jobs or sessions that there was something to write for: nothing of them is stored. With the
   * sessions that had numbered something of those jobs: they are read anew. Default: that is a failure.
   */
  readonly onLost?: ((lost: Lost) => void) | undefined;
  /** Default: to be declared dead is a failure. */
  readonly fencing?: Fencing | undefined;
  /** Nothing is committed before this resolves: what is written waits. Default: from the beginning on. */
  readonly opening?: Promise<void> | undefined;
  /** Called once when a commit fails: nothing can be promised to anyone after that. */
  readonly onFailure: (error: unknown) => void;
}

/** Entries of one turn, over all jobs, after which emitters are asked to wait for the commit. */
const TURN_ENTRIES = 1024;
/** The least that one job may write in a turn, however many jobs there are. */
const MIN_JOB_ENTRIES = 8;
/** The most that one job may write in a turn. */
const MAX_JOB_ENTRIES = 256;
/** Bytes of one turn after which every emitter is asked to wait. */
const TURN_BYTES = 1024 * 1024;
/** Bytes that wait for a store without room. Beyond it nothing is held back any more: the runtime stops. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;

export class Journal {
  /** Whether there is room for more. */
  readonly room: StorageRoom;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #metrics: RuntimeMetrics;
  readonly #logger: Logger;
  readonly #onLost: ((lost: Lost) => void) | undefined;
  readonly #fencing: Fencing | undefined;
  readonly #onFailure: (error: unknown) => void;
  #open = new OpenBatch();
  #committing: OpenBatch | undefined;
  #isScheduled = false;
  #isOpen = true;
  #failure: unknown;
  #isClosing = false;

  constructor(options: JournalOptions) {
    const {
      store,
      clock,
      logger,
      metrics = noMetrics,
      onRoom = () => {},
      onLost,
      fencing,
      opening,
      onFailure,
    } = options;
    this.room = new StorageRoom({ store, clock, logger, onChange: onRoom });
    this.#store = store;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#logger = logger;
    this.#onLost = onLost;
    this.#fencing = fencing;
    this.#onFailure = onFailure;
    if (opening !== undefined) void this.#openWith(opening);
  }

  async #openWith(opening: Promise<void>): Promise<void> {
    this.#isOpen = false;
    try {
      await opening;
    } catch {
      // Whoever opens it says so, and ends the runtime.
      return;
    }
    this.#isOpen = true;
    if (!isEmpty(this.#open)) this.#schedule();
  }

  addJob(job: JobRecord): void {
    this.#open.jobs.push(job);
    this.#schedule();
  }

  addIdempotency(record: IdempotencyRecord): void {
    this.#open.idempotency.push(record);
    this.#schedule();
  }

  /** Appends an entry. Returns how many this job has written in this turn. */
  append(jobId: JobId, epoch: number, entry: Entry): number {
    const batch = this.#open;
    let journal = batch.entries.get(jobId);
    if (journal === undefined) {
      journal = { epoch, list: [] };
      batch.entries.set(jobId, journal);
    }
    batch.entryCount += 1;
    batch.bytes += entry.payload.length;
    this.#schedule();
    if (this.room.stall !== undefined && this.#waitingBytes > MAX_WAITING_BYTES) this.room.hurry();
    return journal.list.push(entry);
  }

  /** Has this job written in this turn? */
  hasWritten(jobId: JobId): boolean {
    return this.#open.entries.has(jobId);
  }

  putJobChange(change: JobChange): void {
    this.#open.jobChanges.set(change.id, change);
    this.#schedule();
  }

  putSession(session: SessionRecord): void {
    this.#open.sessions.set(session.id, session);
    this.#schedule();
  }

  putFollow(change: FollowChange): void {
    this.#open.follows.push(change);
    this.#schedule();
  }

  addAudit(record: AuditRecord): void {
    this.#open.audit.push(record);
    this.#open.bytes += record.facts.length;
    this.#schedule();
  }

  putCredential(credential: CredentialRecord): void {
    this.#open.credentials.set(credential.alias, credential);
    this.#schedule();
  }

  putRecord(record: StoredRecord): void {
    const { records } = this.#open;
    const key = `${record.kind} ${record.id}`;
    const before = records.get(key);
    // What this batch makes it may change; what it deletes it does not make again.
    if (record.mustExist !== true || before === undefined) records.set(key, record);
    else if (before.data !== null) records.set(key, { ...record, mustExist: before.mustExist === true });
    this.#schedule();
  }

  /** The runs that this batch holds for a session; the feed extends the last of them in place. */
  runsOf(sessionId: SessionId, listener: CommitListener): FeedRun[] {
    const batch = this.#open;
    let runs = batch.runs.get(sessionId);
    if (runs === undefined) {
      runs = [];
      batch.runs.set(sessionId, runs);
      batch.listeners.set(sessionId, listener);
      this.#schedule();
    }
    return runs;
  }

  /** Runs `callback` when everything written until now is durable, after the callbacks registered before it. */
  afterCommit(callback: () => void): void {
    this.#open.callbacks.push(callback);
    this.#schedule();
  }

  /** Resolves when everything written until now is durable, after its callbacks. Rejects when a commit has failed. */
  flush(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const last = isEmpty(this.#open) ? this.#committing : this.#open;
    if (last === undefined) return Promise.resolve();
    if (last.durable === undefined) {
      last.durable = Promise.withResolvers<void>();
      // Whoever waits hears of a failure; that nobody does is no error of its own.
      last.durable.promise.catch(() => {});
    }
    return last.durable.promise;
  }

  /** Has a job with `written` entries in this turn, one of `runningJobs`, written its share of it? */
  isShareUsed(written: number, runningJobs: number): boolean {
    const share = Math.min(Math.max(Math.floor(TURN_ENTRIES / runningJobs), MIN_JOB_ENTRIES), MAX_JOB_ENTRIES);
    return written >= share || this.#open.bytes >= TURN_BYTES;
  }

  /** From now on a batch that the store has no room for is tried once more, and then given up. Idempotent. */
  close(): void {
    this.#isClosing = true;
    this.room.close();
  }

  /** Nothing is committed any more: this process has no part in the store from now on. Idempotent. */
  end(): void {
    this.#failure ??= new InternalError("the runtime is closed");
    this.room.close();
  }

  /** Forgets what is not stored yet of these sessions: they are read anew. What is on its way to the store may arrive there. */
  disown(sessions: ReadonlySet<SessionId>): void {
    const lost = { jobs: new Set<JobId>(), sessions };
    strip(this.#open, lost);
    // Should it have to be sent again.
    if (this.#committing !== undefined) strip(this.#committing, lost);
  }

  /**
   * Forgets what is not stored yet: whatever it is about belongs to others. Who waits for it hears that it is not durable. A batch
   * that is on its way to the store may arrive there all the same.
   */
  drop(): void {
    const open = this.#open;
    this.#open = new OpenBatch();
    for (const batch of [this.#committing, open]) if (batch !== undefined) discard(batch);
  }

  /** Bytes that wait to be committed. */
  get uncommittedBytes(): number {
    return this.#open.bytes;
  }

  #schedule(): void {
    if (!this.#isOpen || this.#isScheduled || this.#committing !== undefined || this.#failure !== undefined) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      void this.#commit();
    });
  }

  async #commit(): Promise<void> {
    const batch = this.#open;
    this.#open = new OpenBatch();
    this.#committing = batch;
    if (!(await this.#persist(batch))) return;
    this.room.committed();
    this.#committing = undefined;
    if (batch.isDropped) {
      if (!isEmpty(this.#open)) this.#schedule();
      return;
    }
    for (const callback of batch.callbacks) this.#run(callback);
    for (const [id, listener] of batch.listeners) this.#run(() => listener.onCommitted(batch.runs.get(id) ?? []));
    batch.durable?.resolve();
    if (!isEmpty(this.#open)) this.#schedule();
  }

  /** A batch that was put back whole is kept, with everything in it, until it is stored. Returns false if it never will be. */
  async #persist(batch: OpenBatch): Promise<boolean> {
    let isLast = false;
    for (;;) {
      const startedAt = this.#clock.monotonic();
      const measured = (outcome: "stored" | "failed"): void =>
        this.#metrics.committed(outcome, batch.entryCount, this.#clock.monotonic() - startedAt);
      try {
        await this.#store.commit(storable(batch));
        measured("stored");
        return true;
      } catch (error) {
        measured("failed");
        if (this.#failure !== undefined) return false;
        if (await this.#hasBegunAnew(error, batch)) return true;
        if (this.#hasLost(error, batch)) continue;
        const canWait = error instanceof StoreError && error.isTransient && !isLast;
        if (!canWait || this.#waitingBytes > MAX_WAITING_BYTES) {
          this.#fail(error, batch);
          return false;
        }
        isLast = this.#isClosing;
        if (!isLast) await this.room.stalled(error);
      }
    }
  }

  /** Others own some of what the batch is about: without that, it can be stored. */
  #hasLost(error: unknown, batch: OpenBatch): boolean {
    if (this.#onLost === undefined || !(error instanceof StaleWriterError)) return false;
    if (error.jobs.length + error.sessions.length === 0) return false;
    const jobs = new Set(error.jobs);
    const sessions = new Set([...error.sessions, ...numbering(batch, jobs), ...numbering(this.#open, jobs)]);
    this.#onLost({ jobs, sessions });
    // Whoever was told may have written some last words.
    strip(batch, { jobs, sessions });
    strip(this.#open, { jobs, sessions });
    return true;
  }

  /** This process was declared dead: nothing of the batch is stored. Resolves when the next one can be. */
  async #hasBegunAnew(error: unknown, batch: OpenBatch): Promise<boolean> {
    const isFenced = error instanceof StaleWriterError && error.isFenced;
    if (this.#fencing === undefined || !(isFenced || batch.isDropped)) return false;
    await (batch.isDropped ? this.#fencing.settled() : this.#fencing.begin());
    return true;
  }

  get #waitingBytes(): number {
    return this.#open.bytes + (this.#committing?.bytes ?? 0);
  }

  #run(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#logger.error({ err: error, invariant: true }, "a commit callback threw");
    }
  }

  #fail(error: unknown, batch: OpenBatch): void {
    this.#failure = error;
    this.room.close();
    batch.durable?.reject(error);
    this.#open.durable?.reject(error);
    this.#logger.error({ err: error, invariant: true }, "a commit failed: nothing more will be acknowledged");
    this.#onFailure(error);
  }
}

function discard(batch: OpenBatch): void {
  batch.isDropped = true;
  batch.durable?.promise.catch(() => {});
  batch.durable?.reject(new InternalError("this runtime was declared dead", { details: { reason: "taken_over" } }));
}

const isEmpty = (batch: OpenBatch): boolean =>
  batch.sessions.size === 0 &&
  batch.jobs.length === 0 &&
  batch.idempotency.length === 0 &&
  batch.entries.size === 0 &&
  batch.jobChanges.size === 0 &&
  batch.runs.size === 0 &&
  batch.follows.length === 0 &&
  batch.audit.length === 0 &&
  batch.credentials.size === 0 &&
  batch.records.size === 0 &&
  batch.callbacks.length === 0;
