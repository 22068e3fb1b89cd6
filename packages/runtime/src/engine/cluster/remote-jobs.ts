/**
 * Jobs that other nodes run and sessions of this one show. What they write is numbered here, in the feeds of those sessions: a
 * session's numbers are given by its node alone, whoever runs its jobs.
 *
 * A wake-up says whose journals have grown. One that is lost costs time: everything is looked at once in a while anyway.
 */
import type { JobId, Logger } from "@arcp/core";
import type { JobHead, SharedStore } from "../../store/shared.ts";
import { type Entry, isTerminal } from "../../store/store.ts";
import { type Feed, type OptionalEntry, showHistory } from "../feed.ts";
import type { Job } from "../job.ts";

/** How far a feed has come in a job. */
interface Follower {
  n: number;
  /** Did its session submit the job? */
  readonly isOwn: boolean;
}

interface Cursor {
  readonly jobId: JobId;
  readonly followers: Map<Feed, Follower>;
  isReading: boolean;
  /** Has it grown since it was read last? */
  hasGrown: boolean;
}

/** Somebody who looks at jobs of other nodes, whichever those are. */
export interface JobObserver {
  /** These have grown; `undefined`: any may have. */
  wake(ids: ReadonlySet<JobId> | undefined): void;
  /** Called once a second. */
  poll(): Promise<void>;
  /** This node goes on with the job, of which so many entries are stored, when this resolves. */
  adopt(id: JobId, lastN: number): Promise<void>;
}

export interface RemoteJobsOptions {
  readonly store: Pick<SharedStore, "readJournal" | "heads">;
  readonly logger: Logger;
}

const PAGE = 512;
/** Jobs asked for at once. */
const MAX_HEADS = 1_000;
/** More than end while one is looked for in the store. */
const MAX_SHOWN = 4_096;

export class RemoteJobs {
  readonly #options: RemoteJobsOptions;
  readonly #cursors = new Map<JobId, Cursor>();
  /** The last jobs that were shown to their ends, with the feeds that they were shown in: who has looked before may not know it. */
  readonly #shown = new Map<JobId, WeakSet<Feed>>();
  readonly #watchers = new Map<JobId, Set<(head: JobHead) => void>>();
  readonly #observers = new Set<JobObserver>();

  constructor(options: RemoteJobsOptions) {
    this.#options = options;
  }

  /** Shows the job in `feed` from its entry `n + 1` on. It is looked at at once. `isOwn`: its session has submitted it. */
  follow(feed: Feed, jobId: JobId, n: number, isOwn: boolean): void {
    if (this.#shown.get(jobId)?.has(feed)) return;
    const cursor = this.#cursors.get(jobId) ?? { jobId, followers: new Map(), isReading: false, hasGrown: false };
    this.#cursors.set(jobId, cursor);
    if (!cursor.followers.has(feed)) cursor.followers.set(feed, { n, isOwn });
    this.#look(cursor);
  }

  /**
   * Calls `onHead` with where the job stands, at once, whenever it has grown, and once in a while, until what this returns is
   * called. For those to whom not the entries matter, but that there are some.
   */
  watch(jobId: JobId, onHead: (head: JobHead) => void): () => void {
    const watchers = this.#watchers.get(jobId) ?? new Set();
    this.#watchers.set(jobId, watchers);
    // Of its own: the same function may watch twice.
    const watcher = (head: JobHead): void => onHead(head);
    watchers.add(watcher);
    this.#tellHeads([jobId]);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(jobId) === watchers) this.#watchers.delete(jobId);
    };
  }

  /** Tells `observer` what happens, until what this returns is called. */
  observe(observer: JobObserver): () => void {
    this.#observers.add(observer);
    return () => void this.#observers.delete(observer);
  }

  /** Resolves when whoever looks at jobs of others has seen what is stored of this one, which this node goes on with. */
  async adopted(id: JobId, lastN: number): Promise<void> {
    await Promise.all([...this.#observers].map((observer) => observer.adopt(id, lastN)));
  }

  /** Is it shown by any session of this node? */
  has(jobId: JobId): boolean {
    return this.#cursors.has(jobId);
  }

  /** Is what is left of it still to be shown in `feed`, its end included? */
  isFollowing(feed: Feed, jobId: JobId): boolean {
    return this.#cursors.get(jobId)?.followers.has(feed) ?? false;
  }

  /** Is it shown in `feed`, or was it shown there to its end? */
  isFollowedBy(feed: Feed, jobId: JobId): boolean {
    return this.isFollowing(feed, jobId) || (this.#shown.get(jobId)?.has(feed) ?? false);
  }

  /** Was the job shown to `feed` because it was asked for? */
  isSubscribed(feed: Feed, jobId: JobId): boolean {
    return this.#cursors.get(jobId)?.followers.get(feed)?.isOwn === false;
  }

  /** Shows `feed` no more of the jobs that it was shown because they were asked for. Returns them, and how far it had come in each. */
  leaveSubscribed(feed: Feed): readonly { readonly jobId: JobId; readonly n: number }[] {
    const left = [...this.#cursors.values()].flatMap(({ jobId, followers }) => {
      const follower = followers.get(feed);
      return follower?.isOwn === false ? [{ jobId, n: follower.n }] : [];
    });
    for (const { jobId } of left) this.unfollow(feed, jobId);
    return left;
  }

  unfollow(feed: Feed, jobId: JobId): void {
    const cursor = this.#cursors.get(jobId);
    if (cursor?.followers.delete(feed) && cursor.followers.size === 0) this.#cursors.delete(jobId);
  }

  /** The same for every job: their sessions are gone. */
  unfollowAll(feeds: ReadonlySet<Feed>): void {
    for (const { jobId } of [...this.#cursors.values()]) for (const feed of feeds) this.unfollow(feed, jobId);
  }

  /** These have grown; `undefined`: any may have. */
  wake(jobs: ReadonlySet<JobId> | undefined): void {
    for (const observer of this.#observers) observer.wake(jobs);
    const watched = [...this.#watchers.keys()].filter((id) => jobs?.has(id) ?? true);
    if (watched.length > 0) this.#tellHeads(watched);
    if (jobs === undefined || jobs.size > this.#cursors.size) {
      for (const cursor of this.#cursors.values()) if (jobs?.has(cursor.jobId) ?? true) this.#look(cursor);
    } else {
      for (const id of jobs) {
        const cursor = this.#cursors.get(id);
        if (cursor !== undefined) this.#look(cursor);
      }
    }
  }

  /** Looks for those that have grown without anybody having said so. Rejects when the store does. */
  async poll(): Promise<void> {
    await Promise.all([...this.#observers].map((observer) => observer.poll()));
    this.#tellHeads([...this.#watchers.keys()]);
    const ids = [...this.#cursors.keys()];
    for (let from = 0; from < ids.length; from += MAX_HEADS) {
      for (const { id, lastN, isEnded } of await this.#options.store.heads(ids.slice(from, from + MAX_HEADS))) {
        const cursor = this.#cursors.get(id);
        if (cursor === undefined) continue;
        if ([...cursor.followers.values()].some(({ n }) => n < lastN)) this.#look(cursor);
        else if (isEnded) this.#finish(cursor);
      }
    }
  }

  /**
   * The job is this node's now, and has not gone on yet: those that showed it follow it directly. `optional`: its entries of kinds
   * that a session may not have negotiated.
   */
  adopt(job: Job, optional: readonly OptionalEntry[]): void {
    const cursor = this.#cursors.get(job.id);
    if (cursor === undefined) return;
    this.#cursors.delete(job.id);
    for (const [feed, { n }] of cursor.followers) {
      showHistory(feed, job.id, n + 1, job.lastN, optional);
      job.follow(feed);
    }
  }

  #tellHeads(ids: readonly JobId[]): void {
    const { store, logger } = this.#options;
    for (let from = 0; from < ids.length; from += MAX_HEADS) {
      store.heads(ids.slice(from, from + MAX_HEADS)).then(
        (heads) => {
          for (const head of heads) for (const tell of this.#watchers.get(head.id) ?? []) tell(head);
        },
        (err) => logger.warn({ err }, "where jobs of other nodes stand could not be read"),
      );
    }
  }

  #look(cursor: Cursor): void {
    cursor.hasGrown = true;
    if (cursor.isReading) return;
    cursor.isReading = true;
    this.#read(cursor)
      .catch((err) => this.#options.logger.warn({ err, jobId: cursor.jobId }, "the journal of a job could not be read"))
      .finally(() => {
        cursor.isReading = false;
      });
  }

  async #read(cursor: Cursor): Promise<void> {
    while (cursor.hasGrown && this.#cursors.get(cursor.jobId) === cursor) {
      cursor.hasGrown = false;
      const from = Math.min(...[...cursor.followers.values()].map(({ n }) => n)) + 1;
      const entries = await this.#options.store.readJournal(cursor.jobId, from, from + PAGE - 1);
      if (this.#cursors.get(cursor.jobId) !== cursor) return;
      this.#number(cursor, entries);
      const last = entries.at(-1);
      if (last !== undefined && isTerminal(last.code)) this.#finish(cursor);
      else if (entries.length === PAGE) cursor.hasGrown = true;
    }
  }

  /** Everything of the job was numbered. */
  #finish({ jobId, followers }: Cursor): void {
    this.#cursors.delete(jobId);
    const feeds = this.#shown.get(jobId) ?? new WeakSet();
    for (const feed of followers.keys()) feeds.add(feed);
    this.#shown.set(jobId, feeds);
    const [oldest] = this.#shown.keys();
    if (this.#shown.size > MAX_SHOWN && oldest !== undefined) this.#shown.delete(oldest);
  }

  #number({ jobId, followers }: Cursor, entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    for (const [feed, follower] of followers) {
      const unseen = entries.filter(({ n }) => n > follower.n);
      feed.addStored(jobId, unseen);
      follower.n = Math.max(follower.n, last.n);
    }
  }
}
