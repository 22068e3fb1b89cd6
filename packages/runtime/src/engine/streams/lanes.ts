/**
 * Which of the streams of one session go first while its connection is congested (RFC §6.5): those of a lower priority
 * wait for those of a higher one. What is written is never reordered: a stream waits before it writes.
 */
import type { Priority } from "@arcp/core/v1.0";

/** Of so many chunks at least one is of the stream that waits: nobody starves. */
const SHARE = 10;

const RANKS: Readonly<Record<Priority, number>> = { low: 0, normal: 1, high: 2, critical: 3 };

/** One open stream among those of its session. */
export interface Lane {
  /** What to wait for before the next chunk; `undefined` if it may go now. */
  ready(): Promise<void> | undefined;
  /** A chunk was written. */
  wrote(): void;
  /** The stream has ended, and whoever waits here goes on. */
  leave(): void;
}

export class Lanes {
  /** What lasts as long as the connection is congested, within bounds; `undefined` if it is not. */
  readonly #congestion: () => Promise<void> | undefined;
  readonly #onEmpty: () => void;
  readonly #open = [0, 0, 0, 0];
  readonly #written = [0, 0, 0, 0];
  #changed: PromiseWithResolvers<void> | undefined;

  constructor(options: { readonly congestion: () => Promise<void> | undefined; readonly onEmpty: () => void }) {
    this.#congestion = options.congestion;
    this.#onEmpty = options.onEmpty;
  }

  enter(priority: Priority): Lane {
    const rank = RANKS[priority];
    let isOver = false;
    this.#count(this.#open, rank, 1);
    return {
      ready: () => {
        if (sumAbove(this.#open, rank) === 0) return undefined;
        const congestion = this.#congestion();
        return congestion && this.#wait(congestion, rank, () => isOver);
      },
      wrote: () => this.#count(this.#written, rank, 1),
      leave: () => {
        if (isOver) return;
        isOver = true;
        this.#count(this.#open, rank, -1);
        if (this.#open.every((count) => count === 0)) this.#onEmpty();
      },
    };
  }

  async #wait(congestion: Promise<void>, rank: number, isOver: () => boolean): Promise<void> {
    let isEased = false;
    void congestion.then(() => {
      isEased = true;
      this.#tell();
    });
    const from = sumAbove(this.#written, rank);
    while (!isEased && !isOver() && sumAbove(this.#open, rank) > 0) {
      if (sumAbove(this.#written, rank) - from >= SHARE - 1) return;
      this.#changed ??= Promise.withResolvers<void>();
      await this.#changed.promise;
    }
  }

  #count(counts: number[], rank: number, by: number): void {
    counts[rank] = (counts[rank] ?? 0) + by;
    this.#tell();
  }

  #tell(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}

const sumAbove = (counts: readonly number[], rank: number): number =>
  counts.reduce((sum, count, at) => (at > rank ? sum + count : sum), 0);
