/** A schedule (RFC §10.6), and the record that it is between two runs of the runtime. */
import type { Store, StoredRecord } from "../../store/store.ts";
import { type Recurrence, recurrenceOf, type When } from "./recurrence.ts";

export interface Schedule {
  readonly id: string;
  readonly principal: string;
  readonly when: When;
  /** What is run, as it was asked for: JSON. */
  readonly job: unknown;
  /** What happens to an occurrence while the run before it lives. */
  readonly overlap: "skip" | "allow";
  /** All times are milliseconds since the epoch. */
  readonly acceptedAt: number;
  /** The next occurrence; in the past while it is paused, or has just become due. */
  readonly nextAt: number;
  readonly isPaused: boolean;
  readonly lastRunId: string | null;
  /** Occurrences that were run. */
  readonly runs: number;
  /** Occurrences that passed while nobody could run them, or while the run before lived. After a long time: at least. */
  readonly skipped: number;
  /** Occurrences whose run could not be started. */
  readonly failed: number;
}

export const SCHEDULE_KIND = "schedule";

/** Everything but the id and the principal, and the last instant of a rule that counts. */
type StoredSchedule = Omit<Schedule, "id" | "principal"> & { readonly last: number | null };

export function scheduleRecord(schedule: Schedule, recurrence: Recurrence): StoredRecord {
  const { id, principal, ...rest } = schedule;
  const data: StoredSchedule = { ...rest, last: recurrence.last ?? null };
  const dueAt = schedule.isPaused ? null : schedule.nextAt;
  return { kind: SCHEDULE_KIND, id, principal, jobId: null, dueAt, data: JSON.stringify(data) };
}

/** The record that deletes a schedule's. */
export const noScheduleRecord = ({ id, principal }: Schedule): StoredRecord => ({
  ...{ kind: SCHEDULE_KIND, id, principal, jobId: null, dueAt: null, data: null },
});

/** Throws for a record that {@link scheduleRecord} has not made. */
export function scheduleOf({ id, principal, data }: StoredRecord): {
  readonly schedule: Schedule;
  readonly recurrence: Recurrence;
} {
  const { last, ...rest } = JSON.parse(data ?? "null") as StoredSchedule;
  // What was let in once stays, whatever the limits are now.
  const options = { minIntervalSec: 0, last: last ?? undefined };
  return { schedule: { id, principal, ...rest }, recurrence: recurrenceOf(rest.when, rest.acceptedAt, options) };
}

const PAGE = 500;

/** Every schedule of a store, by id, for tools that only read. */
export async function* storedSchedules(store: Pick<Store, "listRecords">): AsyncGenerator<Schedule, void> {
  for (let after: string | undefined; ; ) {
    const place = after === undefined ? {} : { after };
    const records = await store.listRecords({ kind: SCHEDULE_KIND, limit: PAGE, ...place });
    for (const record of records) yield scheduleOf(record).schedule;
    if (records.length < PAGE) return;
    after = records.at(-1)?.id;
  }
}
