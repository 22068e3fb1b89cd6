/**
 * Everything that other nodes' jobs write, for one who observes many jobs at once (RFC §13): read from the store as it grows. What
 * one job writes comes once and in order, wherever that job goes.
 */
import type { JobId, Logger } from "@arcp/core";
import type { JobHead, NodeId, SharedStore } from "../../store/shared.ts";
import { type Entry, isTerminal, type JobRecord } from "../../store/store.ts";
import type { RemoteJobs } from "./remote-jobs.ts";

export interface RemoteReaderOptions {
  readonly store: Pick<SharedStore, "findJob" | "listJobs" | "heads" | "readJournal">;
  readonly remote: RemoteJobs;
  readonly logger: Logger;
  readonly self: () => NodeId;
  /** Does this process run it? */
  readonly isHere: (id: JobId) => boolean;
  /** Whose jobs may be wanted; `null`: anybody's. */
  readonly principal: string | null;
  readonly wants: (job: JobRecord) => boolean;
  /** Called with what a job has written, in order. What it rejects with is logged. */
  readonly onWritten: (job: JobRecord, entries: readonly Entry[]) => Promise<void>;
}

interface Cursor {
  readonly job: JobRecord;
  n: number;
  reading: Promise<void> | undefined;
  hasGrown: boolean;
}

const PAGE = 500;
/** Looks, one a second, between two for jobs that nobody has told of. */
const LOOKS_PER_CENSUS = 5;
/** A job of another node may have been made so much earlier by that node's clock. */
const OVERLAP_MS = 60_000;

export class RemoteReader {
  readonly #options: RemoteReaderOptions;
  readonly #cursors = new Map<JobId, Cursor>();
  /** How far jobs of this process have been shown by it: another one may go on with them. */
  readonly #shown = new Map<JobId, number>();
  /** What needs no look any more, with when it was made. */
  #done = new Map<JobId, number>();
  #since = 0;
  #looks = 0;
  #isClosed = false;
  #stop: () => void = () => {};

  constructor(options: RemoteReaderOptions) {
    this.#options = options;
  }

  /**
   * Begins after entry `from` of each job that has not ended, by default after the last that it has. `now`: milliseconds since the
   * epoch. Rejects when the store does.
   */
  async begin(now: number, from?: (job: JobRecord) => Promise<number>): Promise<void> {
    this.#since = now - OVERLAP_MS;
    // Whoever writes from here on is heard.
    this.#stop = this.#options.remote.observe(this);
    for await (const job of this.#jobs({ status: ["pending", "running"] })) {
      this.#follow(job, (await from?.(job)) ?? job.lastN);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#cursors.clear();
  }

  /** An entry of a job of this process was shown. */
  note(job: { readonly id: JobId; readonly createdAt: number }, { n, code }: Entry): void {
    if (isTerminal(code)) {
      this.#shown.delete(job.id);
      this.#done.set(job.id, job.createdAt);
    } else this.#shown.set(job.id, n);
  }

  /** These have grown, of others'; `undefined`: any may have. */
  wake(ids: ReadonlySet<JobId> | undefined): void {
    for (const id of ids ?? this.#cursors.keys()) {
      const cursor = this.#cursors.get(id);
      if (cursor !== undefined) this.#look(cursor);
      else if (!this.#options.isHere(id) && !this.#done.has(id)) this.#meet(id);
    }
  }

  /** Once a second. Rejects when the store does. */
  async poll(): Promise<void> {
    this.#looks += 1;
    if (this.#looks % LOOKS_PER_CENSUS !== 0) return;
    const { store, self } = this.#options;
    for (const { id, lastN } of await this.#heads([...this.#cursors.keys()])) {
      const cursor = this.#cursors.get(id);
      if (cursor !== undefined && cursor.n < lastN) this.#look(cursor);
    }
    const unknown = new Map<JobId, JobRecord>();
    let latest = this.#since;
    for await (const job of this.#jobs({ createdAfter: this.#since })) {
      latest = Math.max(latest, job.createdAt - OVERLAP_MS);
      const isKnown = this.#cursors.has(job.id) || this.#done.has(job.id) || this.#shown.has(job.id);
      if (!isKnown && !this.#options.isHere(job.id)) unknown.set(job.id, job);
    }
    for (const { id, node } of unknown.size === 0 ? [] : await store.heads([...unknown.keys()])) {
      const job = unknown.get(id);
      if (job !== undefined && node !== self()) this.#follow(job, 0);
    }
    this.#since = latest;
    this.#done = new Map([...this.#done].filter(([, createdAt]) => createdAt > latest));
  }

  /** This process goes on with the job, of which `lastN` entries are stored: resolves when all of them have been shown. */
  async adopt(id: JobId, lastN: number): Promise<void> {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) return;
    await cursor.reading;
    if (cursor.n < lastN) {
      this.#look(cursor);
      await cursor.reading;
    }
    this.#cursors.delete(id);
    this.#shown.set(id, cursor.n);
  }

  async *#jobs(query: {
    readonly status?: ["pending", "running"];
    readonly createdAfter?: number;
  }): AsyncIterable<JobRecord> {
    const { store, principal, wants } = this.#options;
    for (let after: { createdAt: number; id: string } | undefined; !this.#isClosed; ) {
      const page = await store.listJobs({ principal, ...query, ...(after && { after }), limit: PAGE });
      for (const job of page) if (wants(job)) yield job;
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = { createdAt: last.createdAt, id: last.id };
    }
  }

  async #heads(ids: readonly JobId[]): Promise<JobHead[]> {
    const all: JobHead[] = [];
    for (let from = 0; from < ids.length; from += PAGE) {
      all.push(...(await this.#options.store.heads(ids.slice(from, from + PAGE))));
    }
    return all;
  }

  #meet(id: JobId): void {
    const { store, logger, wants } = this.#options;
    store.findJob(id).then(
      (job) => {
        if (job === undefined) return;
        if (wants(job)) this.#follow(job, this.#shown.get(id) ?? (job.createdAt > this.#since ? 0 : job.lastN));
        else this.#done.set(id, job.createdAt);
      },
      (err) => logger.warn({ err, jobId: id }, "a job of another node could not be looked at"),
    );
  }

  #follow(job: JobRecord, n: number): void {
    // While it was looked for, it may have been found, have been read to its end, or have come here.
    const isKnown = this.#cursors.has(job.id) || this.#done.has(job.id) || this.#options.isHere(job.id);
    if (isKnown || this.#isClosed) return;
    const cursor: Cursor = { job, n, reading: undefined, hasGrown: false };
    this.#shown.delete(job.id);
    this.#cursors.set(job.id, cursor);
    this.#look(cursor);
  }

  #look(cursor: Cursor): void {
    cursor.hasGrown = true;
    cursor.reading ??= this.#read(cursor)
      .catch((err) => this.#options.logger.warn({ err, jobId: cursor.job.id }, "a journal could not be read"))
      .finally(() => {
        cursor.reading = undefined;
      });
  }

  async #read(cursor: Cursor): Promise<void> {
    const { store, onWritten } = this.#options;
    const { job } = cursor;
    while (cursor.hasGrown && !this.#isClosed && this.#cursors.get(job.id) === cursor) {
      cursor.hasGrown = false;
      const entries = await store.readJournal(job.id, cursor.n + 1, cursor.n + PAGE);
      const last = entries.at(-1);
      if (last === undefined || this.#isClosed) return;
      cursor.n = last.n;
      await onWritten(job, entries);
      if (isTerminal(last.code)) {
        this.#cursors.delete(job.id);
        this.#done.set(job.id, job.createdAt);
      } else if (entries.length === PAGE) cursor.hasGrown = true;
    }
  }
}
