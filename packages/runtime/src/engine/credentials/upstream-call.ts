/** One call of an upstream, which may fail, hang, or answer when nobody waits any more. */
import { type Clock, TimeoutError } from "@arcp/core";

export interface UpstreamCall<Result> {
  /** What it returned, or why it is not waited for any longer. */
  readonly answer: Promise<Result>;
  /** What it returned in the end, however late. Perhaps never settles. */
  readonly outcome: Promise<Result>;
}

/**
 * Calls `act` with a signal that aborts after `timeoutMs`, or when `signal` does. The answer rejects then, even if
 * `act` takes no notice.
 */
export function callUpstream<Result>(
  act: (signal: AbortSignal) => Promise<Result>,
  { clock, timeoutMs, signal }: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): UpstreamCall<Result> {
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal?.reason);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  const stopTimer = clock.setTimer(
    () => stop.abort(new TimeoutError("the upstream did not answer in time")),
    timeoutMs,
  );
  const outcome = (async () => {
    stop.signal.throwIfAborted();
    return act(stop.signal);
  })();
  const givenUp = new Promise<never>((_, reject) => {
    stop.signal.addEventListener("abort", () => reject(stop.signal.reason), { once: true });
  });
  const answer = Promise.race([outcome, givenUp]).finally(() => {
    stopTimer();
    signal?.removeEventListener("abort", onAbort);
  });
  return { answer, outcome };
}

const WORD = /^[A-Za-z][A-Za-z0-9_]{0,39}$/;
const MAX_CAUSES = 4;

/**
 * What an error of an upstream may be called in a record or a log: its HTTP status, its code or its name. Never its
 * message, which is the upstream's text and may hold a secret.
 */
export function nameOfFailure(error: unknown): string {
  let cause = error;
  for (let depth = 0; depth < MAX_CAUSES && typeof cause === "object" && cause !== null; depth += 1) {
    const { status, code, cause: inner } = cause as { status?: unknown; code?: unknown; cause?: unknown };
    if (typeof status === "number" && Number.isInteger(status)) return `HTTP ${status}`;
    if (typeof code === "string" && WORD.test(code)) return code;
    cause = inner;
  }
  return error instanceof Error && WORD.test(error.name) ? error.name : "unknown";
}

const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
const TRANSIENT_CODE = /^(ECONNREFUSED|ECONNRESET|EPIPE|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|UND_ERR_SOCKET)$/;

/** May the same call go well a little later? Not if it took its time: nobody waits that long twice. */
export function isTransient(error: unknown): boolean {
  const name = nameOfFailure(error);
  const status = /^HTTP (\d+)$/.exec(name)?.[1];
  return status === undefined ? TRANSIENT_CODE.test(name) : TRANSIENT_STATUS.has(Number(status));
}

/** How long the upstream asks to be left alone, if it says so. */
export function retryAfterOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { retryAfterMs } = error as { retryAfterMs?: unknown };
  return typeof retryAfterMs === "number" && retryAfterMs > 0 ? retryAfterMs : undefined;
}
