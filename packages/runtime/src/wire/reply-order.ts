/** Replies leave in the order of their requests, whichever is ready first: some clients tell them apart by nothing else. */

interface Slot {
  send: (() => void) | undefined;
}

export class ReplyOrder {
  readonly #slots: Slot[] = [];

  get size(): number {
    return this.#slots.length;
  }

  /** Takes the next place. The function returned fills it; what it is given runs once every earlier place is filled. */
  open(): (send: () => void) => void {
    const slot: Slot = { send: undefined };
    this.#slots.push(slot);
    return (send) => {
      slot.send = send;
      this.#flush();
    };
  }

  #flush(): void {
    for (let send = this.#slots[0]?.send; send !== undefined; send = this.#slots[0]?.send) {
      this.#slots.shift();
      send();
    }
  }
}
