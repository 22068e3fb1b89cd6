/** Who waits for a place, in the order of arrival. Whoever gives up leaves the line. */

interface Waiting {
  readonly enter: () => void;
  readonly refuse: (error: Error) => void;
}

export class WaitingLine {
  readonly #waiting = new Set<Waiting>();

  get length(): number {
    return this.#waiting.size;
  }

  /** Resolves when it is one's turn. Rejects when the line is sent away, or with the signal's reason. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const leave = (): void => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener("abort", giveUp);
      };
      const giveUp = (): void => waiting.refuse(signal?.reason);
      const waiting: Waiting = {
        enter: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      this.#waiting.add(waiting);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** Lets the first in. Returns whether there was one. */
  admit(): boolean {
    const [first] = this.#waiting;
    first?.enter();
    return first !== undefined;
  }

  /** Sends everybody away. */
  refuseAll(error: Error): void {
    for (const waiting of [...this.#waiting]) waiting.refuse(error);
  }
}
