/** Callbacks by name. A callback that throws harms nobody but itself. */
export class Listeners<Signals extends object> {
  readonly #byName = new Map<keyof Signals, Set<(value: never) => void>>();
  readonly #onThrow: (thrown: unknown) => void;

  constructor(onThrow: (thrown: unknown) => void) {
    this.#onThrow = onThrow;
  }

  /** Returns a function that takes the listener away again. */
  add<Name extends keyof Signals>(name: Name, listener: (value: Signals[Name]) => void): () => void {
    const set = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, set);
    set.add(listener);
    return () => void set.delete(listener);
  }

  emit<Name extends keyof Signals>(name: Name, value: Signals[Name]): void {
    const set = this.#byName.get(name) as Set<(value: Signals[Name]) => void> | undefined;
    if (set === undefined) return;
    for (const listener of set) {
      try {
        listener(value);
      } catch (thrown) {
        this.#onThrow(thrown);
      }
    }
  }
}
