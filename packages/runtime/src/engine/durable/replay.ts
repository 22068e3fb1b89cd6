/**
 * What is on record is given back to the agent in the order in which it came about, one thing per turn of the event loop:
 * branches that run at the same time then go on in the order in which they went on before, and say the same in the same order.
 */

/** An agent that waits for something besides its steps may ask late: so many turns are waited for whatever comes first. */
const PATIENCE_TURNS = 100;

interface Waiting {
  /** `undefined` for what is not on record: it comes after everything that is. */
  readonly order: number | undefined;
  readonly release: () => void;
}

export class Replay {
  /** What was not given back yet, in the order in which it came about. */
  #left: number[];
  #waiting: Waiting[] = [];
  #turns = 0;
  #isScheduled = false;

  constructor(orders: Iterable<number>) {
    this.#left = [...orders].sort((a, b) => b - a);
  }

  /** Resolves when it is the turn of what came about as the `order`th; `undefined` if nothing has to be waited for. */
  turn(order?: number): Promise<void> | undefined {
    if (order === undefined && this.#left.length === 0 && this.#waiting.length === 0) return undefined;
    return new Promise((release) => {
      this.#waiting.push({ order, release });
      this.#schedule();
    });
  }

  /** From now on nothing is waited for. */
  end(): void {
    this.#left = [];
    for (const { release } of this.#waiting.splice(0)) release();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#release();
      this.#schedule();
    });
  }

  #release(): void {
    const next = this.#left.at(-1);
    const first = this.#waiting.reduce<Waiting | undefined>(
      (least, one) => ((one.order ?? Infinity) < (least?.order ?? Infinity) ? one : least),
      undefined,
    );
    this.#turns += 1;
    if (next !== undefined && first?.order !== next && this.#turns < PATIENCE_TURNS) return;
    this.#turns = 0;
    if (first === undefined) {
      for (const { release } of this.#waiting.splice(0)) release();
      return;
    }
    this.#waiting = this.#waiting.filter((one) => one !== first);
    if (first.order === next) this.#left.pop();
    else this.#left = this.#left.filter((order) => order !== first.order);
    first.release();
  }
}
