/** Notices that nothing but heartbeats is exchanged (§14). */
import type { Clock } from "@arcp/core";

export interface IdleLimitOptions {
  readonly clock: Clock;
  readonly limitMs: number;
  /** Looked at once per limit: is something going on that has nothing to say? */
  readonly isBusy: () => boolean;
  /** Called once, between one and two limits after the last use. */
  readonly onIdle: () => void;
}

export class IdleLimit {
  readonly #options: IdleLimitOptions;
  #wasUsed = false;
  #cancelTimer: () => void = () => {};

  constructor(options: IdleLimitOptions) {
    this.#options = options;
    this.#arm();
  }

  used(): void {
    this.#wasUsed = true;
  }

  stop(): void {
    this.#cancelTimer();
  }

  #arm(): void {
    const { clock, limitMs } = this.#options;
    this.#cancelTimer = clock.setTimer(() => this.#check(), limitMs);
  }

  #check(): void {
    const { isBusy, onIdle } = this.#options;
    if (!this.#wasUsed && !isBusy()) {
      onIdle();
      return;
    }
    this.#wasUsed = false;
    this.#arm();
  }
}
