/**
 * A session's feed: an ordered, run-length coded index over the journals of the jobs that the session follows. It is
 * the only thing that assigns `event_seq` (§8.3): 1, 2, 3, … without a gap, once and for good.
 */
import type { JobId, SessionId } from "@arcp/core";
import type { Entry, EntryCode, FeedRun } from "../store/store.ts";
import type { JobOrigin } from "./job-facts.ts";
import type { CommitListener, Journal } from "./journal.ts";

/** What a feed needs to know of a job to show its entries. */
export interface FollowedJob {
  readonly id: JobId;
  readonly traceId: string;
  /** What it answers, if it was asked for over wire 1.0. */
  readonly origin: JobOrigin | undefined;
}

/** An entry with the number that it has in one session, on its way to be delivered from memory. */
export interface LiveItem {
  readonly seq: number;
  readonly job: FollowedJob;
  readonly entry: Entry;
}

type OpenRun = { -readonly [Member in keyof FeedRun]: FeedRun[Member] };

export class Feed implements CommitListener {
  readonly sessionId: SessionId;
  readonly #journal: Journal;
  /** Kinds that this session has not negotiated are left out, and take no number (§6.2). */
  readonly #shows: (code: EntryCode) => boolean;
  readonly #onCommitted: (items: readonly LiveItem[]) => void;
  #head: number;
  #committedHead: number;
  #lastRun: OpenRun | undefined;
  /** The list that the last run was put into; another list means that another batch is open. */
  #lastRuns: FeedRun[] | undefined;
  #live: LiveItem[] = [];
  #keepsLive = false;
  #isClosed = false;

  constructor(options: {
    readonly sessionId: SessionId;
    readonly journal: Journal;
    readonly lastRun: FeedRun | null;
    readonly shows: (code: EntryCode) => boolean;
    readonly onCommitted: (items: readonly LiveItem[]) => void;
  }) {
    this.sessionId = options.sessionId;
    this.#journal = options.journal;
    this.#shows = options.shows;
    this.#onCommitted = options.onCommitted;
    this.#lastRun = options.lastRun === null ? undefined : { ...options.lastRun };
    this.#head = options.lastRun === null ? 0 : options.lastRun.seq + options.lastRun.count - 1;
    this.#committedHead = this.#head;
  }

  /** The highest number assigned. */
  get head(): number {
    return this.#head;
  }

  /** The highest number whose entry is durable: what may be sent. */
  get committedHead(): number {
    return this.#committedHead;
  }

  shows(code: EntryCode): boolean {
    return this.#shows(code);
  }

  /** Whether committed items are handed over from memory, or only counted because the reader will read the store. */
  keepLive(keeps: boolean): void {
    this.#keepsLive = keeps;
    if (!keeps) this.#live = [];
  }

  /** Another object numbers the session's entries from now on: this one gives none any more. */
  close(): void {
    this.#isClosed = true;
    this.#live = [];
  }

  /** Numbers one new entry. Returns its number, or 0 if this session is not shown such entries. */
  add(job: FollowedJob, entry: Entry): number {
    if (this.#isClosed || !this.#shows(entry.code)) return 0;
    this.#extend(job.id, entry.n, 1);
    if (this.#keepsLive) this.#live.push({ seq: this.#head, job, entry });
    return this.#head;
  }

  /** Numbers `count` entries that the journal already holds, from `n` on. They are delivered from the store. */
  addHistory(jobId: JobId, n: number, count: number): void {
    if (count <= 0 || this.#isClosed) return;
    this.keepLive(false);
    this.#extend(jobId, n, count);
  }

  /** The same for entries that another node has written; those that this session is not shown take no number. */
  addStored(jobId: JobId, entries: readonly Entry[]): void {
    let shown = 0;
    for (const [index, { code, n }] of entries.entries()) {
      const isShown = this.#shows(code);
      if (isShown) shown += 1;
      if (shown > 0 && (!isShown || index === entries.length - 1)) {
        this.addHistory(jobId, isShown ? n - shown + 1 : n - shown, shown);
        shown = 0;
      }
    }
  }

  onCommitted(runs: readonly FeedRun[]): void {
    const last = runs.at(-1);
    if (last !== undefined) this.#committedHead = last.seq + last.count - 1;
    const items = this.#live;
    // A batch may fill up while the one before it is on its way: only what is durable goes out.
    const isAll = (items.at(-1)?.seq ?? 0) <= this.#committedHead;
    const durable = isAll ? items : items.filter(({ seq }) => seq <= this.#committedHead);
    this.#live = isAll ? [] : items.slice(durable.length);
    this.#onCommitted(durable);
  }

  #extend(jobId: JobId, n: number, count: number): void {
    const runs = this.#journal.runsOf(this.sessionId, this);
    const last = this.#lastRun;
    const continues = last !== undefined && last.jobId === jobId && last.n + last.count === n;
    if (continues && this.#lastRuns === runs) last.count += count;
    else {
      const run = continues ? { ...last, count: last.count + count } : { seq: this.#head + 1, jobId, n, count };
      runs.push(run);
      this.#lastRun = run;
      this.#lastRuns = runs;
    }
    this.#head += count;
  }
}

/** An entry of a kind that a session may not have negotiated. */
export type OptionalEntry = readonly [n: number, code: EntryCode];

/** Numbers entries `fromN` to `lastN` of a job, without those of the `optional` ones that the session is not shown. */
export function showHistory(
  feed: Feed,
  jobId: JobId,
  fromN: number,
  lastN: number,
  optional: readonly OptionalEntry[],
): void {
  let next = fromN;
  for (const [n, code] of optional) {
    if (n < next || n > lastN || feed.shows(code)) continue;
    feed.addHistory(jobId, next, n - next);
    next = n + 1;
  }
  feed.addHistory(jobId, next, lastN - next + 1);
}
