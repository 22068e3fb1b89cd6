/** A clock that stands still until an example moves it: nights pass in no time, and nobody is ever late. */
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

  /** Moves the hands to `instant` (RFC 3339), and does on the way what is due, in order. */
  moveTo(instant: string): void {
    const end = Date.parse(instant);
    for (;;) {
      const [due] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.task();
    }
    this.#now = end;
  }
}
