/** Trying a request again (§12: clients respect `retryable`). */
import { ARCPError, type Clock } from "@arcp/core";
import { backOffMs } from "./reconnect.ts";
import { sleep } from "./waiting.ts";

/** How often a refused submission is tried again. Only what the runtime calls retryable is (§12). */
export interface RetryOptions {
  /** How often to try in all. */
  readonly attempts: number;
  /** The longest first wait; each further one may be twice as long. Default: 250 ms. */
  readonly initialDelayMs?: number;
  /** The longest wait. Default: 15 000 ms. */
  readonly maxDelayMs?: number;
}

/**
 * Runs `attempt` until it succeeds, fails with an error that is not retryable, or has been tried often enough.
 * Rejects with the last error, or the signal's reason.
 */
export async function withRetry<Value>(
  attempt: () => Promise<Value>,
  options: RetryOptions,
  clock: Clock,
  random: () => number,
  signal: AbortSignal | undefined,
): Promise<Value> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (thrown) {
      const mayRetry = thrown instanceof ARCPError && thrown.retryable && tried < options.attempts;
      if (!mayRetry) throw thrown;
      const delayMs = backOffMs(tried, { ...options, random });
      await sleep(clock, Math.max(delayMs, floorMs(thrown)), signal);
    }
  }
}

const MS_PER_SECOND = 1000;

/** How long the runtime wants to be left alone at least (RFC §18.3). */
function floorMs({ details }: ARCPError): number {
  const seconds = details?.["retry_after_seconds"];
  return typeof seconds === "number" && seconds > 0 ? seconds * MS_PER_SECOND : 0;
}
