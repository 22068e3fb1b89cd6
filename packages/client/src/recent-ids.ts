/** Ids that are remembered for a while: a message that is delivered twice counts once (§5.1). */
const MAX_IDS = 512;

export class RecentIds {
  readonly #ids = new Set<string>();
  readonly #maxIds: number;

  /** @param maxIds How many are remembered. */
  constructor(maxIds = MAX_IDS) {
    this.#maxIds = maxIds;
  }

  /** Remembers `id`. Returns whether it is new. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    if (this.#ids.size > this.#maxIds) this.#ids.delete(this.#ids.values().next().value as string);
    return true;
  }
}
