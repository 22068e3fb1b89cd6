/** When and how long to try again after a connection was lost. */
import type { Transport } from "@arcp/core";

/** Opens one connection. `signal` aborts when it is no longer wanted. */
export type TransportFactory = (signal: AbortSignal) => Promise<Transport>;

export interface ReconnectOptions {
  /** The longest first wait. Each further one may be twice as long. Default: 250 ms. */
  readonly initialDelayMs?: number;
  /** The longest wait. Default: 15 000 ms. */
  readonly maxDelayMs?: number;
  /** Attempts per loss. Default: as many as the resume window allows. */
  readonly maxAttempts?: number;
  /**
   * What to do when the session can no longer be resumed. `fail` ends the client with ResumeWindowExpiredError. `reattach`
   * opens a fresh session, subscribes to the jobs that were live and submits again, by idempotency key, what was not yet
   * accepted. Default: `fail`.
   */
  readonly onExpired?: "fail" | "reattach";
  /** The form of the resume request: a member of `session.hello`, or the message `session.resume`. Default: `hello`. */
  readonly resumeForm?: "hello" | "resume";
  /** A number in [0, 1). Default: `Math.random`. */
  readonly random?: () => number;
}

const INITIAL_DELAY_MS = 250;
const MAX_DELAY_MS = 15_000;

/** How long to wait before attempt number `attempt` (1, 2, …): a random part of a bound that doubles each time. */
export function backOffMs(attempt: number, options: ReconnectOptions): number {
  const { initialDelayMs = INITIAL_DELAY_MS, maxDelayMs = MAX_DELAY_MS, random = Math.random } = options;
  return random() * Math.min(maxDelayMs, initialDelayMs * 2 ** Math.min(attempt - 1, 30));
}

const FOREVER_MS = 2 ** 31 - 1;

/**
 * Keeps the process running while nothing else would: between two connections there is no socket, and the clock's
 * timers do not count. Returns how to stop.
 */
export function keepProcessAlive(): () => void {
  const timer = setInterval(() => {}, FOREVER_MS);
  return () => clearInterval(timer);
}
