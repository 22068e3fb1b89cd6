/** The ids of the commands that a connection has heard: a message that arrives twice is carried out once (RFC §6.4). */
const MAX_SEEN = 4096;

export class SeenCommands {
  readonly #ids = new Set<string>();

  /** Returns false if `id` was heard before, and not so many others since. */
  add(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    const oldest = this.#ids.size > MAX_SEEN ? this.#ids.keys().next().value : undefined;
    if (oldest !== undefined) this.#ids.delete(oldest);
    return true;
  }

  forget(id: string): void {
    this.#ids.delete(id);
  }
}
