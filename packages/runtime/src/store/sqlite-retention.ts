/**
 * Deletes what nobody can ask for any more, in transactions of a bounded number of rows: a commit of the runtime waits for
 * one of them at most, and whatever is killed in between leaves a database that is whole.
 */
import type { JobId } from "@arcp/core";
import type Database from "better-sqlite3";
import { EXPIRED } from "./schema.ts";
import { spans } from "./segments.ts";
import type { prepare } from "./sqlite-statements.ts";
import { ENTRY, type RetentionCuts } from "./store.ts";
import { guarded } from "./store-error.ts";

type Statements = ReturnType<typeof prepare>;

/** How long a reader that has been told where a journal begins may take to begin reading there. */
const TRIM_GRACE_MS = 60_000;

/** Rows that one transaction deletes, or one read looks at. */
const SLICE_ROWS = 1_000;

interface ExpiredRow {
  readonly key: number;
  readonly id: JobId;
  readonly status: string;
  readonly last_n: number;
  readonly ended_at: number;
}

interface TrimmedRow {
  readonly key: number;
  readonly first_n: number;
  readonly dropped_n: number;
}

/**
 * Resolves when everything that is due is gone, with the number of sessions and the ids of the jobs. Rejects with StoreError; what is gone by then stays gone.
 * `isNumberedMeanwhile`: was an entry of the job given a number in a session since this began?
 */
export async function sweep(
  db: Database.Database,
  sql: Statements,
  cuts: RetentionCuts,
  isNumberedMeanwhile: (jobKey: number) => boolean,
): Promise<{ readonly sessions: number; readonly jobs: readonly JobId[] }> {
  const work = new Sweep(db, sql, isNumberedMeanwhile);
  const sessions = await work.sessions(cuts.detachedBefore);
  const jobs = await work.jobs(cuts.endedBefore);
  await work.dropTrimmed(cuts.now - TRIM_GRACE_MS);
  if (cuts.eventsBefore !== undefined) await work.trim(cuts.eventsBefore, cuts.now);
  await work.repeat(() => sql.deleteJoblessCredentials.run(cuts.endedBefore, SLICE_ROWS).changes);
  await work.repeat(() => sql.deleteIdempotency.run(cuts.now, SLICE_ROWS).changes);
  return { sessions, jobs };
}

class Sweep {
  readonly #db: Database.Database;
  readonly #sql: Statements;
  readonly #isNumberedMeanwhile: (jobKey: number) => boolean;
  #numbered: ReadonlySet<number> | undefined;

  constructor(db: Database.Database, sql: Statements, isNumberedMeanwhile: (jobKey: number) => boolean) {
    this.#db = db;
    this.#sql = sql;
    this.#isNumberedMeanwhile = isNumberedMeanwhile;
  }

  /** Runs `work`, which returns how many rows it has deleted, until there are no more. */
  async repeat(work: () => number): Promise<void> {
    while (this.#slice(work) > 0) await turn();
  }

  async sessions(detachedBefore: number): Promise<number> {
    const sql = this.#sql;
    let count = 0;
    for (;;) {
      const key = sql.expiredSession.get(detachedBefore) as number | undefined;
      if (key === undefined) return count;
      await this.repeat(() => sql.deleteFeed.run(key, key, SLICE_ROWS).changes);
      this.#slice(() => {
        sql.deleteFollows.run(key);
        sql.deleteSession.run(key);
      });
      count += 1;
      await turn();
    }
  }

  async jobs(endedBefore: number): Promise<JobId[]> {
    const gone: JobId[] = [];
    let after: readonly [endedAt: number, key: number] = [Number.MIN_SAFE_INTEGER, 0];
    for (;;) {
      const rows = this.#sql.expiredJobs.all(endedBefore, ...after, SLICE_ROWS) as ExpiredRow[];
      const last = rows.at(-1);
      if (last === undefined) return gone;
      after = [last.ended_at, last.key];
      await this.#readNumbered();
      for (const batch of batches(rows)) {
        const unneeded = batch.filter(({ key, status }) => status === EXPIRED || !this.#isKept(key));
        await this.#deleteJobs(unneeded);
        gone.push(...unneeded.map(({ id }) => id));
      }
    }
  }

  /** Shows nobody the events of jobs that ended before any more, from now on. */
  async trim(endedBefore: number, now: number): Promise<void> {
    let after: readonly [endedAt: number, key: number] = [Number.MIN_SAFE_INTEGER, 0];
    for (;;) {
      const rows = this.#sql.untrimmed.all(endedBefore, ...after, SLICE_ROWS) as ExpiredRow[];
      const last = rows.at(-1);
      if (last === undefined) return;
      after = [last.ended_at, last.key];
      await this.#readNumbered();
      for (const { key, status, last_n } of rows) {
        if (status === EXPIRED || this.#isKept(key)) continue;
        const first = await this.#firstOfResult(key, last_n);
        this.#slice(() => this.#sql.trimJob.run(first, now, key));
      }
      await turn();
    }
  }

  /** Deletes what nobody has been shown since then, unless somebody had begun to. */
  async dropTrimmed(trimmedBefore: number): Promise<void> {
    const sql = this.#sql;
    for (let after = 0; ; ) {
      const rows = sql.trimmed.all(trimmedBefore, after, SLICE_ROWS) as TrimmedRow[];
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.key;
      await this.#readNumbered();
      for (const { key, first_n, dropped_n } of rows) {
        if (this.#isKept(key)) continue;
        const segments = this.#segments(key);
        for (let n = dropped_n; n < first_n - 1; ) {
          const from = n + 1;
          n = Math.min(n + SLICE_ROWS, first_n - 1);
          this.#slice(() => {
            for (const span of spans(segments, from, n)) sql.deleteEntries.run(span.from, span.to);
            sql.dropEntries.run(n, key);
          });
          await turn();
        }
      }
    }
  }

  /** The position of the first piece of a streamed result, or of the end. */
  async #firstOfResult(key: number, last_n: number): Promise<number> {
    for (const { from, to, firstN } of spans(this.#segments(key), 1, last_n)) {
      for (let start = from; start <= to; start += SLICE_ROWS) {
        const end = Math.min(start + SLICE_ROWS - 1, to);
        const found = this.#sql.firstOfCode.get(start, end, ENTRY.result_chunk) as number | null;
        if (found !== null) return firstN + (found - from);
        if (to - from > SLICE_ROWS) await turn();
      }
    }
    return last_n;
  }

  /** Has a session that is kept numbered its entries, or does one follow it? */
  #isKept(key: number): boolean {
    const isNumbered = this.#numbered?.has(key) === true || this.#isNumberedMeanwhile(key);
    return isNumbered || this.#sql.isFollowed.get(key) === 1;
  }

  /** One pass over the feeds, and only if there is a job to ask for. */
  async #readNumbered(): Promise<void> {
    this.#numbered ??= await this.#numberedJobs();
  }

  /** The keys of the jobs with entries that have numbers in a session. */
  async #numberedJobs(): Promise<ReadonlySet<number>> {
    const keys = new Set<number>();
    let after: readonly [session: number, seq: number] = [0, 0];
    for (;;) {
      const rows = this.#sql.feedAfter.all(...after, SLICE_ROWS) as [number, number, number][];
      for (const [, , job] of rows) keys.add(job);
      const last = rows.at(-1);
      if (last === undefined) return keys;
      after = [last[0], last[1]];
      await turn();
    }
  }

  async #deleteJobs(rows: readonly ExpiredRow[]): Promise<void> {
    const [first] = rows;
    if (first === undefined) return;
    // Only a journal that is longer than a slice comes alone: nobody is shown it while it goes.
    if (rows.length === 1 && first.last_n > SLICE_ROWS) await this.#shorten(first);
    this.#slice(() => {
      for (const row of rows) this.#deleteJob(row);
    });
    await turn();
  }

  async #shorten({ key, last_n }: ExpiredRow): Promise<void> {
    const sql = this.#sql;
    this.#slice(() => sql.expireJob.run(key));
    for (const { from, to } of spans(this.#segments(key), 1, last_n)) {
      for (let start = from; start <= to; start += SLICE_ROWS) {
        this.#slice(() => sql.deleteEntries.run(start, Math.min(start + SLICE_ROWS - 1, to)));
        await turn();
      }
    }
  }

  #deleteJob({ key, id, last_n }: ExpiredRow): void {
    const sql = this.#sql;
    for (const { from, to } of spans(this.#segments(key), 1, Math.max(last_n, 1))) sql.deleteEntries.run(from, to);
    sql.deleteSegments.run(key);
    sql.deleteJobFollows.run(key);
    sql.deleteCredentialsOfJob.run(id);
    sql.deleteJob.run(key);
  }

  #segments(jobKey: number): number[] {
    const further = this.#sql.segments.all(jobKey) as number[];
    return [jobKey * 2, ...further.map((key) => key * 2 + 1)];
  }

  #slice<Result>(work: () => Result): Result {
    return guarded(() => this.#db.transaction(work).immediate());
  }
}

/** Jobs in groups with no more entries than a slice, but for a single one that has more by itself. */
function* batches(rows: readonly ExpiredRow[]): Iterable<readonly ExpiredRow[]> {
  let batch: ExpiredRow[] = [];
  let size = 0;
  for (const row of rows) {
    const cost = row.last_n + 1;
    if (batch.length > 0 && size + cost > SLICE_ROWS) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(row);
    size += cost;
  }
  if (batch.length > 0) yield batch;
}

/** Lets whatever else is under way go on. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
