/** Steps that take too long, and sleeps. */
import { type Clock, InvalidRequestError, TimeoutError } from "@arcp/core";
import type { Job } from "../job.ts";
import { assertRetryTerms, pause, type RetryTerms } from "../retry.ts";

/** When a sleep is over: whichever comes first, so that a wall clock that is set back makes none longer. */
export interface WakeUp {
  /** By the wall clock, in milliseconds since the epoch. */
  readonly wakeAt: number;
  /** Milliseconds that pass; absent for a sleep until a date. A restart counts them anew. */
  readonly withinMs?: number;
}

/** Resolves at the time that `wakeUp` says, by the clock as it is then. Rejects as soon as the job is told to stop. */
export async function sleepUntil(job: Job, clock: Clock, wakeUp: WakeUp): Promise<void> {
  const { wakeAt, withinMs = Number.POSITIVE_INFINITY } = wakeUp;
  const beganAt = clock.monotonic();
  const left = (): number => Math.min(wakeAt - clock.now(), withinMs - (clock.monotonic() - beganAt));
  for (let rest = left(); rest > 0; rest = left()) await pause(job, clock, Math.min(rest, MAX_TIMER_MS));
}

/** Timers of longer than this end at once in Node; and a clock that is set forward is noticed. */
const MAX_TIMER_MS = 60_000;

/** @throws InvalidRequestError for options that make no sense. */
export function assertStepOptions({
  retry,
  timeoutMs,
}: {
  readonly retry?: RetryTerms | undefined;
  readonly timeoutMs?: number | undefined;
}): void {
  if (retry !== undefined) assertRetryTerms(retry);
  if (timeoutMs === undefined || (Number.isFinite(timeoutMs) && timeoutMs > 0)) return;
  throw new InvalidRequestError("the timeoutMs of a step is a number of milliseconds above zero");
}

/** What `act` returns, if that is in time and before the job is told to stop. */
export async function inTime<Value>(
  job: Job,
  clock: Clock,
  timeoutMs: number | undefined,
  name: string,
  act: (signal: AbortSignal) => Value | Promise<Value>,
): Promise<Value> {
  if (timeoutMs === undefined) return act(job.signal);
  const late = new AbortController();
  const { promise, reject } = Promise.withResolvers<never>();
  const stopTimer = clock.setTimer(() => {
    const error = new TimeoutError(`step ${name} took longer than ${timeoutMs} ms`);
    late.abort(error);
    reject(error);
  }, timeoutMs);
  try {
    return await Promise.race([act(AbortSignal.any([job.signal, late.signal])), promise]);
  } finally {
    stopTimer();
  }
}
