/** Liveness of one connection (§6.4), the same at both ends: pings when due, and notices when the other end is gone. */
import type { Clock } from "./clock.ts";

/** How often a peer is asked for a sign of life, and what follows when none comes (§6.4). */
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
 * Sends a ping when nothing was sent for one interval, and when nothing was heard for one: a peer that never pings by
 * itself shows that it is alive only when asked. Gives the connection up when nothing at all was heard for two.
 *
 * Silence proves nothing while nobody reads: not while reading is paused, and not while this process was too busy, or
 * asleep, to look.
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

  /** Reading was paused, or goes on. */
  setListening(isListening: boolean): void {
    this.#isListening = isListening;
    this.heard();
  }

  stop(): void {
    this.#cancelTimer();
  }

  #arm(delayMs: number): void {
    const { clock } = this.#options;
    const due = clock.monotonic() + delayMs;
    this.#cancelTimer = clock.setTimer(() => this.#check(due), delayMs);
  }

  #check(due: number): void {
    const { clock, intervalMs, ping, onLost } = this.#options;
    const now = clock.monotonic();
    if (now - due > intervalMs / 4) {
      // Late by far: what the peer sent meanwhile has yet to be read.
      this.#arm(intervalMs / 4);
      return;
    }
    const silentMs = this.#isListening ? now - this.#heardAt : 0;
    if (silentMs >= 2 * intervalMs) {
      onLost();
      return;
    }
    const idleMs = now - this.#sentAt;
    const isDue = idleMs >= intervalMs || (silentMs >= intervalMs && idleMs > 0);
    if (isDue) ping();
    const untilPing = intervalMs - (now - this.#sentAt);
    const untilLost = (silentMs < intervalMs ? intervalMs : 2 * intervalMs) - silentMs;
    this.#arm(Math.max(1, Math.min(untilPing, untilLost)));
  }
}
