/** Liveness of one connection (§6.4): pings when idle, and notices when the other side is gone. */
import type { Clock } from "@arcp/core";

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** `heartbeat_interval_sec` in milliseconds. */
  readonly intervalMs: number;
  /** Sends a `session.ping`. */
  readonly ping: () => void;
  /** Two whole intervals passed without any message. Called at most once. */
  readonly onLost: () => void;
}

/**
 * Sends a ping when nothing was sent, or nothing was heard, for one interval; gives the connection up when nothing at
 * all was heard for two. While the reader is paused, silence proves nothing and is not counted.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #sentAt: number;
  #heardAt: number;
  #isListening = true;
  #cancelTimer: () => void = () => {};

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#sentAt = options.clock.monotonic();
    this.#heardAt = this.#sentAt;
    this.#arm(options.intervalMs);
  }

  /** A message left. */
  sent(): void {
    this.#sentAt = this.#options.clock.monotonic();
  }

  /** A message arrived. */
  heard(): void {
    this.#heardAt = this.#options.clock.monotonic();
  }

  setListening(isListening: boolean): void {
    this.#isListening = isListening;
    this.heard();
  }

  stop(): void {
    this.#cancelTimer();
  }

  #arm(delayMs: number): void {
    this.#cancelTimer = this.#options.clock.setTimer(() => this.#check(), delayMs);
  }

  #check(): void {
    const { clock, intervalMs, ping, onLost } = this.#options;
    const now = clock.monotonic();
    const silentMs = this.#isListening ? now - this.#heardAt : 0;
    if (silentMs >= 2 * intervalMs) {
      onLost();
      return;
    }
    const idleMs = now - this.#sentAt;
    // A peer that never pings by itself shows that it is alive only when asked.
    const isDue = idleMs >= intervalMs || (silentMs >= intervalMs && idleMs > 0);
    if (isDue) ping();
    const untilPing = intervalMs - (now - this.#sentAt);
    const untilLost = (silentMs < intervalMs ? intervalMs : 2 * intervalMs) - silentMs;
    this.#arm(Math.max(1, Math.min(untilPing, untilLost)));
  }
}
