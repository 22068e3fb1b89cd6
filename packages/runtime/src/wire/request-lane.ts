/**
 * Requests of one connection run one after another. What is read from the peer waits while too many of them wait, or
 * while the peer does not read what it is told.
 */
import type { Logger } from "@arcp/core";

/** Requests that wait at which no more are read. */
const MAX_WAITING = 256;

export class RequestLane {
  readonly #setReading: (reads: boolean) => void;
  readonly #isCongested: () => boolean;
  readonly #drained: () => Promise<void>;
  readonly #logger: Logger;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isReading = true;
  #draining: Promise<void> | undefined;

  constructor(options: {
    readonly setReading: (reads: boolean) => void;
    readonly isCongested: () => boolean;
    readonly drained: () => Promise<void>;
    readonly logger: Logger;
  }) {
    this.#setReading = options.setReading;
    this.#isCongested = options.isCongested;
    this.#drained = options.drained;
    this.#logger = options.logger;
  }

  /** Runs `task` after those before it. A task reports its own failures. */
  add(task: () => Promise<void>): void {
    this.#waiting += 1;
    this.#update();
    this.#last = this.#last
      .then(task)
      .catch((error) => this.#logger.error({ err: error, invariant: true }, "a request threw"))
      .then(() => {
        this.#waiting -= 1;
        return this.#isCongested() ? this.#drain() : this.#update();
      });
  }

  /** Something went out that no request waited for: nothing more is read while it has not left. */
  pace(): void {
    if (this.#draining === undefined && this.#isCongested()) void this.#drain();
  }

  #drain(): Promise<void> {
    this.#draining ??= this.#drained().finally(() => {
      this.#draining = undefined;
      this.#update();
    });
    this.#update();
    return this.#draining;
  }

  #update(): void {
    const limit = this.#isReading ? MAX_WAITING : MAX_WAITING / 2;
    const reads = this.#draining === undefined && this.#waiting < limit;
    if (reads === this.#isReading) return;
    this.#isReading = reads;
    this.#setReading(reads);
  }
}
