/** The machine's clock, ahead of time by as much as it was moved. Timers take as long as they take. */
import { type Clock, systemClock } from "@arcp/sdk";

export class ShiftedClock implements Clock {
  #aheadMs = 0;

  readonly setTimer = systemClock.setTimer;

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}
