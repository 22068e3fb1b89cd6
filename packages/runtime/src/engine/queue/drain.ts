/** What happens to jobs when a runtime stops: it waits for them, for a time. */
import type { Clock, JobId } from "@arcp/core";
import type { DurableRun } from "../durable/durable-run.ts";
import type { Job } from "../job.ts";
import type { JobRegistry } from "../job-registry.ts";

/** What became of the jobs of a runtime that has stopped. */
export interface ShutdownReport {
  /** Jobs that ended while the runtime waited. */
  readonly finished: readonly JobId[];
  /** Durable jobs that had begun: the next runtime goes on with them. */
  readonly handedOver: readonly JobId[];
  /** Jobs that had not begun: the next runtime begins them. */
  readonly waiting: readonly JobId[];
  /** Jobs that ran out of time, and ended with an error that may be tried again. */
  readonly interrupted: readonly JobId[];
}

/**
 * Resolves when every job that has begun has ended or, if it is durable, can be put aside without a loss, but after `drainMs`
 * at the latest. Jobs that begin meanwhile are waited for as well.
 */
export async function drained(
  jobs: JobRegistry,
  durable: ReadonlyMap<Job, DurableRun>,
  clock: Clock,
  drainMs: number,
): Promise<void> {
  const seen = new Set<Job>();
  let isLate = drainMs <= 0;
  const late = Promise.withResolvers<void>();
  const stopTimer = clock.setTimer(() => {
    isLate = true;
    late.resolve();
  }, drainMs);
  for (;;) {
    const fresh = [...jobs.all()].filter((job) => job.isActive && !seen.has(job));
    if (fresh.length === 0 || isLate) break;
    const waits = fresh.map((job) => {
      seen.add(job);
      return durable.get(job)?.drain() ?? new Promise<void>((resolve) => job.whenEnded(resolve));
    });
    await Promise.race([Promise.all(waits), late.promise]);
  }
  stopTimer();
}
