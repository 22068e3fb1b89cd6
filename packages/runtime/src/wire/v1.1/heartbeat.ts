/** Liveness of one connection (§6.4): something goes out in every interval, two silent ones coming in mean loss. */
import type { Clock } from "@arcp/core";

export class Heartbeat {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #ping: () => void;
  readonly #lost: () => void;
  #sentAt: number;
  #receivedAt: number;
  #stopTimer: () => void = () => {};

  constructor(options: {
    readonly clock: Clock;
    readonly intervalMs: number;
    readonly ping: () => void;
    readonly lost: () => void;
  }) {
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#ping = options.ping;
    this.#lost = options.lost;
    this.#sentAt = options.clock.monotonic();
    this.#receivedAt = this.#sentAt;
    this.#arm();
  }

  sent(): void {
    this.#sentAt = this.#clock.monotonic();
  }

  received(): void {
    this.#receivedAt = this.#clock.monotonic();
  }

  stop(): void {
    this.#stopTimer();
  }

  #arm(): void {
    const due = Math.min(this.#sentAt + this.#intervalMs, this.#receivedAt + 2 * this.#intervalMs);
    this.#wait(Math.max(due - this.#clock.monotonic(), 1));
  }

  #wait(delayMs: number): void {
    const due = this.#clock.monotonic() + delayMs;
    this.#stopTimer = this.#clock.setTimer(() => this.#tick(due), delayMs);
  }

  #tick(due: number): void {
    const now = this.#clock.monotonic();
    if (now - due > this.#intervalMs / 4) {
      // This process was busy, or asleep: what the peer sent meanwhile has yet to be read.
      this.#wait(this.#intervalMs / 4);
      return;
    }
    if (now - this.#receivedAt >= 2 * this.#intervalMs) {
      this.#lost();
      return;
    }
    if (now - this.#sentAt >= this.#intervalMs) {
      this.#ping();
      this.sent();
    }
    this.#arm();
  }
}
