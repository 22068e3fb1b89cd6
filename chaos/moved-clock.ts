/** The clock of a runtime under test: the machine's, moved by whoever tests it. */
import type { Clock } from "@arcp/core";

/** How far the clocks are from the machine's, in milliseconds. */
export interface ClockOffset {
  /** Of the wall clock: somebody has set it. */
  readonly wallMs: number;
  /** Of both clocks: the machine was asleep. */
  readonly asleepMs: number;
}

interface Timer {
  readonly task: () => void;
  readonly dueAt: number;
  handle: ReturnType<typeof setTimeout> | undefined;
}

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export class MovedClock implements Clock {
  #offset: ClockOffset;
  readonly #timers = new Set<Timer>();

  constructor(offset: ClockOffset) {
    this.#offset = offset;
  }

  now(): number {
    return Date.now() + this.#offset.wallMs + this.#offset.asleepMs;
  }

  monotonic(): number {
    return performance.now() + this.#offset.asleepMs;
  }

  setTimer(task: () => void, delayMs: number): () => void {
    const timer: Timer = { task, dueAt: this.monotonic() + Math.max(delayMs, 0), handle: undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => {
      clearTimeout(timer.handle);
      this.#timers.delete(timer);
    };
  }

  /** Timers follow the monotonic clock: what became due while the machine slept runs now. */
  move(offset: ClockOffset): void {
    this.#offset = offset;
    for (const timer of [...this.#timers].sort((a, b) => a.dueAt - b.dueAt)) {
      clearTimeout(timer.handle);
      this.#arm(timer);
    }
  }

  #arm(timer: Timer): void {
    const restMs = Math.max(timer.dueAt - this.monotonic(), 0);
    timer.handle = setTimeout(
      () => {
        if (timer.dueAt > this.monotonic() + 1) return this.#arm(timer);
        this.#timers.delete(timer);
        timer.task();
      },
      Math.min(restMs, MAX_TIMEOUT_MS),
    );
    timer.handle.unref();
  }
}
