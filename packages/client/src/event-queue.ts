/** One consumer's unread items, as an async iterator. */

/** What a queue tells its owner. */
export interface QueueOwner {
  /** The unread items weigh more than the bound, or no longer do. */
  readonly onPressure: (isOver: boolean) => void;
  /** The consumer left, or has read the last item of an ended queue. Called once. */
  readonly onLeave: () => void;
}

export interface QueueBounds<Item> {
  /** Unread weight at which {@link QueueOwner.onPressure} asks the source to stop. The queue itself refuses nothing. */
  readonly highWater: number;
  /** What one item weighs. Default: 1. */
  readonly weigh?: (item: Item) => number;
}

interface Waiter<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

type Ending =
  | { readonly kind: "open" }
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly error: unknown };

const OPEN: Ending = { kind: "open" };
const ENDED: Ending = { kind: "ended" };
/** Read items are cut off the front of the array in batches of this many. */
const COMPACT_AT = 1024;

/**
 * Items in the order in which they were pushed. Nothing is ever dropped: above the high water the owner is told to
 * stop the source, and to go on when half of it has been read. Leaving the loop ends the queue.
 */
export class EventQueue<Item> implements AsyncIterableIterator<Item, undefined> {
  readonly #owner: QueueOwner;
  readonly #highWater: number;
  readonly #weigh: (item: Item) => number;
  #items: Item[] = [];
  #readItems = 0;
  #weight = 0;
  #isOver = false;
  #hasLeft = false;
  #ending: Ending = OPEN;
  #waiters: Waiter<Item>[] = [];

  constructor(owner: QueueOwner, bounds: QueueBounds<Item>) {
    this.#owner = owner;
    this.#highWater = bounds.highWater;
    this.#weigh = bounds.weigh ?? (() => 1);
  }

  /** The oldest item that the consumer has not taken; `undefined` once the source has ended. */
  get head(): Item | undefined {
    return this.#ending.kind === "open" ? this.#items[this.#readItems] : undefined;
  }

  push(item: Item): void {
    if (this.#ending.kind !== "open") return;
    const waiter = this.#waiters.shift();
    if (waiter) {
      waiter.resolve({ done: false, value: item });
      return;
    }
    this.#items.push(item);
    this.#weight += this.#weigh(item);
    if (!this.#isOver && this.#weight > this.#highWater) this.#setOver(true);
  }

  /** No more items come; the ones here can still be read. */
  end(): void {
    this.#finish(ENDED);
  }

  /** Fails the iteration after the items that are here. */
  fail(error: unknown): void {
    this.#finish({ kind: "failed", error });
  }

  next(): Promise<IteratorResult<Item, undefined>> {
    if (this.#readItems < this.#items.length) return Promise.resolve({ done: false, value: this.#take() });
    const ending = this.#ending;
    if (ending.kind === "open") {
      return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    }
    this.#leave();
    if (ending.kind === "ended") return Promise.resolve({ done: true, value: undefined });
    // A failure is thrown once; after that the iteration is over.
    this.#ending = ENDED;
    return Promise.reject(ending.error);
  }

  return(): Promise<IteratorResult<Item, undefined>> {
    this.#items = [];
    this.#readItems = 0;
    this.#weight = 0;
    this.#finish(ENDED);
    this.#leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #take(): Item {
    const item = this.#items[this.#readItems] as Item;
    this.#items[this.#readItems] = undefined as Item;
    this.#readItems += 1;
    if (this.#readItems === this.#items.length) {
      this.#items = [];
      this.#readItems = 0;
    } else if (this.#readItems >= COMPACT_AT) {
      this.#items = this.#items.slice(this.#readItems);
      this.#readItems = 0;
    }
    this.#weight -= this.#weigh(item);
    if (this.#isOver && this.#weight <= this.#highWater / 2) this.#setOver(false);
    return item;
  }

  #finish(ending: Ending): void {
    if (this.#ending.kind !== "open") return;
    this.#ending = ending;
    // What is unread of an ended source presses nobody.
    if (this.#isOver) this.#setOver(false);
    const waiters = this.#waiters;
    this.#waiters = [];
    if (waiters.length > 0) this.#leave();
    for (const waiter of waiters) {
      if (ending.kind === "failed") waiter.reject(ending.error);
      else waiter.resolve({ done: true, value: undefined });
    }
  }

  #setOver(isOver: boolean): void {
    this.#isOver = isOver;
    this.#owner.onPressure(isOver);
  }

  #leave(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#owner.onLeave();
  }
}
