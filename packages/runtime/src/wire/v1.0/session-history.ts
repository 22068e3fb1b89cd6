/**
 * What the jobs of one session have written, for an observer (RFC §13.3): from the session's feed, and, where that has
 * gaps because the session itself is not shown such entries, from the journals of its jobs.
 */
import type { JobId, TraceId } from "@arcp/core";
import type { JobRegistry } from "../../engine/job-registry.ts";
import type { Session } from "../../engine/session.ts";
import { ENTRY, type FeedItem, type JobRecord, type Store } from "../../store/store.ts";

export interface SessionHistoryOptions {
  readonly session: Session;
  readonly store: Store;
  readonly jobs: Pick<JobRegistry, "all">;
  /** May it be shown, and is it a job of this session? What the session merely watched is another session's. */
  readonly isOwn: (jobId: JobId) => Promise<boolean>;
  /** Where to begin: at that number of the feed, with what was written then or later. */
  readonly fromSeq: number;
  readonly fromTs: number;
  /** The last number to read. */
  readonly toSeq: number;
  /** What comes from a journal, entry `n` of a job, comes from here. */
  readonly onHidden: (jobId: JobId, n: number) => void;
}

/** How far a job has been read. */
interface Place {
  readonly n: number;
  readonly traceId: TraceId;
}

const PAGE_ITEMS = 256;
const PAGE_BYTES = 1024 * 1024;

/** What a job has written whose session is not known any more, and no feed with it. */
export async function* jobHistory(
  { id: jobId, traceId }: JobRecord,
  { store, fromTs, onHidden }: Pick<SessionHistoryOptions, "store" | "fromTs" | "onHidden">,
): AsyncGenerator<FeedItem> {
  for (let n = 1; ; n += PAGE_ITEMS) {
    const entries = await store.readJournal(jobId, n, n + PAGE_ITEMS - 1);
    for (const entry of entries) {
      onHidden(jobId, entry.n);
      if (entry.ts >= fromTs) yield { seq: 0, jobId, traceId, entry };
    }
    if (entries.length < PAGE_ITEMS) return;
  }
}

export class SessionHistory {
  readonly #options: SessionHistoryOptions;
  /** Jobs of the session whose end was not read yet. */
  readonly #reached = new Map<JobId, Place>();
  readonly #isOwn = new Map<JobId, boolean>();

  constructor(options: SessionHistoryOptions) {
    this.#options = options;
  }

  /** Each job's entries in order. Those that are in no feed have number 0. */
  async *items(): AsyncGenerator<FeedItem> {
    const { session, jobs, fromTs } = this.#options;
    const live = [...jobs.all()].filter(({ sessionId }) => sessionId === session.id);
    for await (const item of this.#feed()) {
      const { jobId, traceId, entry } = item;
      if (!(await this.#begin(jobId, traceId))) continue;
      yield* this.#hidden(jobId, entry.n - 1);
      if (entry.code === ENTRY.result || entry.code === ENTRY.error) this.#reached.delete(jobId);
      else this.#reached.set(jobId, { n: entry.n, traceId });
      if (entry.ts >= fromTs) yield item;
    }
    for (const { id, traceId } of live) await this.#begin(id, traceId);
    for (const jobId of this.#reached.keys()) yield* this.#hidden(jobId, Number.MAX_SAFE_INTEGER);
  }

  async *#feed(): AsyncGenerator<FeedItem> {
    const { session, store, fromSeq, toSeq } = this.#options;
    for (let seq = Math.max(0, fromSeq - 1); seq < toSeq; ) {
      const items = await store.readFeed(session.id, seq, Math.min(PAGE_ITEMS, toSeq - seq), PAGE_BYTES);
      const last = items.at(-1);
      if (last === undefined) return;
      yield* items;
      seq = last.seq;
    }
  }

  /** Is the job to be read? From the first time on it is known how far it has been. */
  async #begin(jobId: JobId, traceId: TraceId): Promise<boolean> {
    const known = this.#isOwn.get(jobId);
    if (known !== undefined) return known;
    const { session, store, fromSeq, isOwn } = this.#options;
    const own = await isOwn(jobId);
    this.#isOwn.set(jobId, own);
    if (!own) return false;
    const n = fromSeq > 0 ? await store.feedPosition(session.id, jobId, fromSeq) : 0;
    this.#reached.set(jobId, { n: n ?? 0, traceId });
    return true;
  }

  /** What follows in the journal and not in the feed, up to entry `toN`. */
  async *#hidden(jobId: JobId, toN: number): AsyncGenerator<FeedItem> {
    const { session, store, fromTs, onHidden } = this.#options;
    const place = this.#reached.get(jobId);
    if (place === undefined) return;
    const { traceId } = place;
    for (let n = place.n + 1; n <= toN; n += PAGE_ITEMS) {
      const entries = await store.readJournal(jobId, n, Math.min(n + PAGE_ITEMS - 1, toN));
      for (const entry of entries) {
        // It has a number, which was given after the last one to read.
        if (session.feed.shows(entry.code)) return;
        onHidden(jobId, entry.n);
        if (entry.ts >= fromTs) yield { seq: 0, jobId, traceId, entry };
      }
      if (entries.length < PAGE_ITEMS) return;
    }
  }
}
