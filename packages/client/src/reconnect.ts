/** When and how long to try again after a connection was lost. */
import { ARCPError, type Clock, ResumeWindowExpiredError, type Transport, TransportError } from "@arcp/core";
import { onNetworkBack, sleep } from "./waiting.ts";

/** Opens one connection. `signal` aborts when it is no longer wanted. */
export type TransportFactory = (signal: AbortSignal) => Promise<Transport>;

/** How often and how soon a lost connection is made again, and what follows when the session is gone (§6.3). */
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

export interface ReconnectTask {
  readonly options: ReconnectOptions;
  readonly clock: Clock;
  /** How long the session can be resumed; 0 if it cannot. */
  readonly windowMs: number;
  /** Why the connection was lost. */
  readonly cause: ARCPError;
  /** How often connections were made before that did not last: the waits go on from there. */
  readonly earlierAttempts: number;
  /** Tries once, with the session of before or with a new one. */
  readonly attempt: (session: "resume" | "new") => Promise<void>;
  readonly onWait: (attempt: number, delayMs: number, cause: ARCPError) => void;
  readonly signal: AbortSignal;
}

/**
 * Connects again until it works; without further waiting when a page or worker hears that its network is back. Rejects
 * when it must not be tried any more: with {@link ResumeWindowExpiredError}, with what the runtime refused for good, with
 * the last cause after the last attempt, or with the signal's reason.
 */
export async function reconnect(task: ReconnectTask): Promise<void> {
  const { options, clock, signal } = task;
  const expiresAt = clock.monotonic() + task.windowMs;
  const mayReplace = options.onExpired === "reattach";
  let { cause } = task;
  let isExpired = false;
  for (let attempt = 1; ; attempt += 1) {
    isExpired ||= clock.monotonic() >= expiresAt;
    if (isExpired && !mayReplace) {
      throw new ResumeWindowExpiredError("the session could not be resumed in time", { cause });
    }
    if (options.maxAttempts !== undefined && attempt > options.maxAttempts) throw cause;
    const delayMs = backOffMs(task.earlierAttempts + attempt, options);
    task.onWait(attempt, delayMs, cause);
    await sleep(clock, delayMs, signal, onNetworkBack);
    try {
      await task.attempt(isExpired ? "new" : "resume");
      return;
    } catch (thrown) {
      signal.throwIfAborted();
      cause = toConnectError(thrown);
      // Some runtimes answer a token that they no longer know with UNAUTHENTICATED.
      const isGone = cause.code === "RESUME_WINDOW_EXPIRED" || (cause.code === "UNAUTHENTICATED" && !isExpired);
      if (isGone && mayReplace) isExpired = true;
      else if (!cause.retryable) throw cause;
    }
  }
}

/** Whatever a factory throws is a connection that could not be made, and worth another try. */
const toConnectError = (thrown: unknown): ARCPError =>
  thrown instanceof ARCPError
    ? thrown
    : new TransportError("the connection could not be made", { cause: thrown, retryable: true });
