/** Agents that are called again after a failure that may pass (RFC §10.1): in the same job, told by a `status` event. */
import { type ARCPError, type Clock, InvalidRequestError } from "@arcp/core";
import { ENTRY } from "../store/store.ts";
import { agentError } from "./agent-failure.ts";
import type { Job } from "./job.ts";

/** How often, and after how long, an agent is called again. Only after errors that are `retryable`, unless their details say `retry: "never"`. */
export interface RetryTerms {
  /** Calls in all. */
  readonly maxAttempts: number;
  /** Before the second call; doubled before each further one. Default: 1000. */
  readonly initialDelayMs?: number;
  /** Default: 60,000. */
  readonly maxDelayMs?: number;
}

const MAX_ATTEMPTS = 100;
const MS_PER_SECOND = 1000;

/** @throws InvalidRequestError for terms that make no sense. */
export function assertRetryTerms({ maxAttempts, initialDelayMs = 0, maxDelayMs = 0 }: RetryTerms): void {
  const areDelays = [initialDelayMs, maxDelayMs].every((ms) => Number.isFinite(ms) && ms >= 0);
  if (Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= MAX_ATTEMPTS && areDelays) return;
  throw new InvalidRequestError(`retry: maxAttempts is 1 to ${MAX_ATTEMPTS}, and delays are not negative`);
}

export interface RetryTools {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Can the agent still begin anew? Not if a part of its result is out. */
  readonly mayRepeat: () => boolean;
  /** Calls that have failed before. Default: none. */
  readonly failures?: number;
  /** What a wait comes to that is no work. */
  readonly rest: (wait: Promise<void>) => Promise<void>;
  /** Called when the agent is going to be called again, in `delayMs`. */
  readonly onRetry?: (failure: ARCPError, delayMs: number) => void;
}

/** May the same be done again, and come to something else? */
export const mayPass = ({ retryable, details }: ARCPError): boolean => retryable && details?.["retry"] !== "never";

/** What `call` returns in the end. Rejects with the failure of the last call. */
export async function withRetries<Result>(
  job: Job,
  terms: RetryTerms,
  call: () => Promise<Result>,
  { clock, random, mayRepeat, failures = 0, rest, onRetry }: RetryTools,
): Promise<Result> {
  for (let attempt = failures + 1; ; attempt += 1) {
    try {
      return await call();
    } catch (thrown) {
      const error = agentError(thrown);
      const isOver = attempt >= terms.maxAttempts || !mayPass(error) || !mayRepeat();
      if (isOver || job.isTerminal || job.stopReason !== undefined) throw thrown;
      const delayMs = delayBefore(attempt, error, terms, random);
      const message = `attempt ${attempt + 1} of ${terms.maxAttempts} in ${delayMs} ms, after ${error.code}: ${error.message}`;
      onRetry?.(error, delayMs);
      await job.announce(ENTRY.status, "status", { phase: "retrying", message });
      await rest(pause(job, clock, delayMs));
    }
  }
}

/** Milliseconds: doubled each time, with jitter, and no less than the error asks for (RFC §18.3). */
export function delayBefore(attempt: number, { details }: ARCPError, terms: RetryTerms, random: () => number): number {
  const { initialDelayMs = 1_000, maxDelayMs = 60_000 } = terms;
  const jittered = Math.min(initialDelayMs * 2 ** (attempt - 1), maxDelayMs) * (0.5 + random() / 2);
  const asked = details?.["retry_after_seconds"];
  const floor = typeof asked === "number" && asked > 0 ? Math.min(asked * MS_PER_SECOND, maxDelayMs) : 0;
  return Math.round(Math.max(jittered, floor));
}

/** Resolves after `ms`. Rejects as soon as the job is told to stop. */
export function pause(job: Job, clock: Clock, ms: number): Promise<void> {
  const { signal } = job;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stopTimer();
      reject(signal.reason);
    };
    const stopTimer = clock.setTimer(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
