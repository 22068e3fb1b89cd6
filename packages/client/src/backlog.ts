/** What the consumers of one client have not read yet, and whether that is reason to stop reading the connection. */
import { EventQueue, type QueueBounds } from "./event-queue.ts";
import { onAbort } from "./waiting.ts";

/** The number that an item came with, if it has one. */
const seqOf = (item: object | undefined): number | undefined =>
  item !== undefined && "seq" in item && typeof item.seq === "number" ? item.seq : undefined;

export class Backlog {
  readonly #queues = new Set<{ readonly head: object | undefined }>();
  readonly #apply: (isPaused: boolean) => void;
  #queuesOver = 0;
  #isPaused = false;

  /** `apply` is told when reading should stop, and when it should go on. */
  constructor(apply: (isPaused: boolean) => void) {
    this.#apply = apply;
  }

  /** Opens a queue for one consumer. `onLeave` runs when the consumer is done with it; `signal` fails it. */
  open<Item extends object>(
    bounds: QueueBounds<Item>,
    signal: AbortSignal | undefined,
    onLeave: (queue: EventQueue<Item>) => void,
  ): EventQueue<Item> {
    const queue: EventQueue<Item> = new EventQueue<Item>(
      {
        onPressure: (isOver) => this.#count(isOver ? 1 : -1),
        onLeave: () => {
          this.#queues.delete(queue);
          release();
          onLeave(queue);
        },
      },
      bounds,
    );
    this.#queues.add(queue);
    const release = onAbort(signal, (reason) => queue.fail(reason));
    return queue;
  }

  get isOver(): boolean {
    return this.#queuesOver > 0;
  }

  /** The lowest number that a consumer has not taken yet. */
  get lowestUnread(): number | undefined {
    let lowest: number | undefined;
    for (const queue of this.#queues) {
      const seq = seqOf(queue.head);
      if (seq !== undefined && (lowest === undefined || seq < lowest)) lowest = seq;
    }
    return lowest;
  }

  #count(change: 1 | -1): void {
    this.#queuesOver += change;
    if (this.isOver === this.#isPaused) return;
    this.#isPaused = this.isOver;
    this.#apply(this.#isPaused);
  }
}
