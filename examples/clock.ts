/** A clock that stands still until an example moves it: a night passes in no time, and nobody is late on a slow machine. */
import type { Clock } from "@arcp/sdk";

interface Timer {
  readonly at: number;
  readonly task: () => void;
}

export class HandClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  /** `start`: RFC 3339. */
  constructor(start: string) {
    this.#now = Date.parse(start);
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  setTimer(task: () => void, delayMs: number): () => void {
    const timer = { at: this.#now + Math.max(delayMs, 0), task };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Moves the hands to `instant` (RFC 3339) at once, as for a machine that has slept, and does what is due by then, in order. */
  moveTo(instant: string): void {
    this.#now = Date.parse(instant);
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at);
      if (due === undefined) return;
      this.#timers.delete(due);
      due.task();
    }
  }
}
