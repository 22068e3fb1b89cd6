/** What may end a call before its time: its job, its agent, and clocks. */
import type { Clock } from "@arcp/core";

/**
 * Lasts from the call to the end of the response's body. Its owner calls {@link Lifetime.end} once there is nothing
 * left to interrupt.
 */
export class Lifetime {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  /** Each takes back a listener or a timer. */
  readonly #undo = new Set<() => void>();

  constructor(clock: Clock, sources: readonly (AbortSignal | undefined)[]) {
    this.#clock = clock;
    for (const source of sources) {
      if (source === undefined) continue;
      const abort = (): void => this.abort(source.reason);
      source.addEventListener("abort", abort);
      this.#undo.add(() => source.removeEventListener("abort", abort));
    }
    const aborted = sources.find((source) => source?.aborted);
    if (aborted !== undefined) this.abort(aborted.reason);
  }

  /** Aborts with the reason of whatever comes first. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Sets a time limit. Returns what lifts it. */
  limit(delayMs: number, reason: () => unknown): () => void {
    const stop = this.#clock.setTimer(() => this.abort(reason()), delayMs);
    const lift = (): void => {
      stop();
      this.#undo.delete(lift);
    };
    this.#undo.add(lift);
    return lift;
  }

  /** Returns what `promise` resolves to, or throws the signal's reason if that comes first. */
  async wait<Value>(promise: Promise<Value>): Promise<Value> {
    const { signal } = this;
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort);
    try {
      const value = await Promise.race([promise, aborted.promise]);
      signal.throwIfAborted();
      return value;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Interrupts whatever is under way. */
  abort(reason: unknown): void {
    this.end();
    this.#controller.abort(reason);
  }

  /** Nothing interrupts from now on. */
  end(): void {
    for (const undo of this.#undo) undo();
    this.#undo.clear();
  }
}
