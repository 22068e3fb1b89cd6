/** Deletes what nobody can ask for any more, one short transaction after the other. */
import { ENTRY, type RetentionCuts } from "@arcp/runtime";
import type { Ask } from "./connections.ts";

/** How long a reader that has been told where a journal begins may take to begin reading there. */
const TRIM_GRACE_MS = 60_000;

/** Rows that one transaction deletes. */
const SLICE_ROWS = 1_000;

interface TrimSlice {
  readonly looked: number;
  readonly last_ended: number;
  readonly last_key: number;
}

interface JobSlice extends TrimSlice {
  readonly gone: number;
}

/** Another node does it at the moment. */
class Occupied extends Error {}

/** Resolves with how much went. What another node is about to delete is left to it. `schema` is quoted. */
export async function sweep(
  ask: Ask,
  schema: string,
  { detachedBefore, endedBefore, eventsBefore, now }: RetentionCuts,
): Promise<{ readonly sessions: number; readonly jobs: number }> {
  const gone = { sessions: 0, jobs: 0 };
  const count = async (call: string, values: readonly (string | number)[]): Promise<number> => {
    const [row] = await ask<{ rows: number }>(`SELECT ${schema}.${call} AS rows`, values);
    if (row === undefined || row.rows < 0) throw new Occupied();
    return row.rows;
  };
  const repeat = async (call: string, values: readonly (string | number)[]): Promise<number> => {
    for (let total = 0; ; ) {
      const rows = await count(call, values);
      if (rows === 0) return total;
      total += rows;
    }
  };
  try {
    gone.sessions = await repeat("sweep_sessions($1, $2)", [detachedBefore, SLICE_ROWS]);
    await repeat("sweep_feeds($1)", [SLICE_ROWS]);
    for (let after: readonly [endedAt: number, key: number] = [Number.MIN_SAFE_INTEGER, 0]; ; ) {
      const values = [endedBefore, ...after, SLICE_ROWS];
      const [slice] = await ask<JobSlice>(`SELECT * FROM ${schema}.sweep_jobs($1, $2, $3, $4)`, values);
      if (slice === undefined || slice.looked < 0) throw new Occupied();
      gone.jobs += slice.gone;
      if (slice.looked === 0) break;
      after = [slice.last_ended, slice.last_key];
    }
    // What goes with its day need not be deleted row by row.
    await count("drop_days()", []);
    await repeat("sweep_entries($1)", [SLICE_ROWS]);
    await repeat("sweep_rest($1, $2, $3)", [endedBefore, now, SLICE_ROWS]);
    await repeat("drop_trimmed($1, $2)", [now - TRIM_GRACE_MS, SLICE_ROWS]);
    for (let after: readonly [endedAt: number, key: number] = [Number.MIN_SAFE_INTEGER, 0]; ; ) {
      if (eventsBefore === undefined) break;
      const values = [eventsBefore, now, ...after, SLICE_ROWS, ENTRY.result_chunk];
      const [slice] = await ask<TrimSlice>(`SELECT * FROM ${schema}.trim_jobs($1, $2, $3, $4, $5, $6)`, values);
      if (slice === undefined || slice.looked < 0) throw new Occupied();
      if (slice.looked === 0) break;
      after = [slice.last_ended, slice.last_key];
    }
  } catch (error) {
    if (!(error instanceof Occupied)) throw error;
  }
  return gone;
}
