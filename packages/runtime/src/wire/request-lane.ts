/**
 * Requests of one connection run one after another. What is read from the peer waits while too many of them wait, or
 * while the peer does not read what it is told.
 */
import type { Logger } from "@arcp/core";

/** Requests that wait at which no more are read. */
const MAX_WAITING = 256;

/** A request that waits for its turn. */
export interface Waiting<Order> {
  readonly order: Order;
  readonly run: () => Promise<void>;
}

export interface RequestLaneOptions<Order> {
  readonly setReading: (reads: boolean) => void;
  readonly isCongested: () => boolean;
  readonly drained: () => Promise<void>;
  readonly logger: Logger;
  /** Which of those that wait is next, by its place. Default: the first. */
  readonly next?: (waiting: readonly Waiting<Order>[]) => number;
}

export class RequestLane<Order = undefined> {
  readonly #options: RequestLaneOptions<Order>;
  readonly #waiting: Waiting<Order>[] = [];
  #isRunning = false;
  #isReading = true;
  #draining: Promise<void> | undefined;

  constructor(options: RequestLaneOptions<Order>) {
    this.#options = options;
  }

  /** Runs `run` in its turn. A request reports its own failures. */
  add(run: () => Promise<void>, ...[order]: Order extends undefined ? [] : [order: Order]): void {
    this.#waiting.push({ order: order as Order, run });
    this.#update();
    if (!this.#isRunning) void this.#runAll();
  }

  /** Something went out that no request waited for: nothing more is read while it has not left. */
  pace(): void {
    if (this.#draining === undefined && this.#options.isCongested()) void this.#drain();
  }

  async #runAll(): Promise<void> {
    this.#isRunning = true;
    // Never in the turn of the frame that brought it.
    await undefined;
    while (this.#waiting.length > 0) {
      const [next] = this.#waiting.splice(this.#options.next?.(this.#waiting) ?? 0, 1);
      try {
        await next?.run();
      } catch (error) {
        this.#options.logger.error({ err: error, invariant: true }, "a request threw");
      }
      if (this.#options.isCongested()) await this.#drain();
      else this.#update();
    }
    this.#isRunning = false;
  }

  #drain(): Promise<void> {
    this.#draining ??= this.#options.drained().finally(() => {
      this.#draining = undefined;
      this.#update();
    });
    this.#update();
    return this.#draining;
  }

  #update(): void {
    const limit = this.#isReading ? MAX_WAITING : MAX_WAITING / 2;
    const reads = this.#draining === undefined && this.#waiting.length < limit;
    if (reads === this.#isReading) return;
    this.#isReading = reads;
    this.#options.setReading(reads);
  }
}
