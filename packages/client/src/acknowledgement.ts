/** When to tell the runtime what has been processed (§6.5). */
import type { Clock } from "@arcp/core";

/** The shortest time between two acknowledgements that the client sends by itself. */
const ACK_INTERVAL_MS = 250;

export interface AcknowledgementOptions {
  readonly clock: Clock;
  /** The highest number up to which every message has been received. */
  readonly received: () => number;
  /** The highest number up to which every message has been taken by its consumers. */
  readonly processed: () => number;
  readonly send: (seq: number) => void;
}

/** Sends `session.ack` at most every 250 ms, and only when there is something new to say. */
export class Acknowledgement {
  readonly #options: AcknowledgementOptions;
  #acked: number;
  #cancelTimer: (() => void) | undefined;

  constructor(options: AcknowledgementOptions, acked = 0) {
    this.#options = options;
    this.#acked = acked;
  }

  /** The highest number acknowledged so far. */
  get acked(): number {
    return this.#acked;
  }

  /** There may be something to say. */
  arm(): void {
    if (this.#acked >= this.#options.received()) return;
    this.#cancelTimer ??= this.#options.clock.setTimer(() => this.#fire(), ACK_INTERVAL_MS);
  }

  /** Acknowledges `seq` now. Does nothing if that is old news. */
  send(seq: number): void {
    if (seq <= this.#acked) return;
    this.#acked = seq;
    this.#options.send(seq);
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #fire(): void {
    this.#cancelTimer = undefined;
    this.send(this.#options.processed());
    // A consumer that lags will catch up without a further message to remind us.
    if (this.#acked < this.#options.received()) this.arm();
  }
}
