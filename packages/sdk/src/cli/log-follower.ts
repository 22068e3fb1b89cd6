/** A database of a runtime as it grows: what `tail FILE` reads. */
import { setTimeout as delay } from "node:timers/promises";
import type { LoggedEntry, LoggedJob } from "@arcp/core";
import type { JobRecord, Store } from "@arcp/runtime";

export interface FollowOptions {
  /** Begin with what is there already? */
  readonly history: boolean;
  /** Go on when everything was read? */
  readonly follows: boolean;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export interface Followed {
  readonly job: LoggedJob;
  readonly entry: LoggedEntry;
}

const POLL_MS = 200;
const PAGE = 500;
/** A clock that is set back does not hide a job, if it is not set back further. */
const OVERLAP_MS = 60_000;

/** How far a job has been read. */
interface Reading {
  readonly job: LoggedJob;
  n: number;
}

/** Each entry of each job once, those of one job in order. */
export class LogFollower {
  readonly #store: Store;
  readonly #options: FollowOptions;
  /** Jobs that have not ended, or whose end was not read yet. */
  readonly #open = new Map<string, Reading>();
  /** The latest jobs, which a look at the new ones may find again. */
  #known = new Map<string, number>();
  #latest = 0;

  constructor(store: Store, options: FollowOptions) {
    this.#store = store;
    this.#options = options;
  }

  async *entries(): AsyncGenerator<Followed, void> {
    const { history, follows, signal } = this.#options;
    if (!history) for await (const _ of this.#read());
    do {
      yield* this.#read();
      if (follows) await delay(POLL_MS, undefined, { signal }).catch(() => {});
    } while (follows && !signal.aborted);
  }

  /** Everything that is new now. */
  async *#read(): AsyncGenerator<Followed, void> {
    for await (const record of this.#newJobs()) {
      this.#open.set(record.id, { job: loggedJob(record), n: 0 });
      // One after the other while there are many: none of them has to wait for all.
      yield* this.#readJob(record.id);
    }
    for (const id of [...this.#open.keys()]) yield* this.#readJob(id);
  }

  async *#readJob(id: string): AsyncGenerator<Followed, void> {
    const reading = this.#open.get(id);
    if (reading === undefined) return;
    const { job } = reading;
    for await (const entry of this.#store.entries(job.jobId, reading.n)) {
      if (this.#options.signal.aborted) return;
      reading.n = entry.n;
      if (entry.type !== "job.event") this.#open.delete(id);
      yield { job, entry };
    }
  }

  async *#newJobs(): AsyncGenerator<JobRecord, void> {
    const since = this.#latest - OVERLAP_MS;
    for (let after: { createdAt: number; id: string } | undefined; ; ) {
      const place = after === undefined ? {} : { after };
      const page = await this.#store.listJobs({ principal: null, createdAfter: since, ...place, limit: PAGE });
      for (const job of page) {
        if (this.#known.has(job.id)) continue;
        this.#known.set(job.id, job.createdAt);
        this.#latest = Math.max(this.#latest, job.createdAt);
        yield job;
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      after = { createdAt: last.createdAt, id: last.id };
    }
    const oldest = this.#latest - OVERLAP_MS;
    this.#known = new Map([...this.#known].filter(([, createdAt]) => createdAt > oldest));
  }
}

function loggedJob({ id, budget: _budget, delegateId: _delegate, ...record }: JobRecord): LoggedJob {
  const { leaseConstraints, epoch: _epoch, lastN: _lastN, lastEventSeq: _seq, ...facts } = record;
  return { jobId: id, ...facts, ...(leaseConstraints === null ? {} : { leaseConstraints }) };
}
