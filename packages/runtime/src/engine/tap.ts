/** Everything that jobs write, as it becomes durable: for observers of many jobs at once (RFC §13). */
import type { Entry } from "../store/store.ts";
import type { Job } from "./job.ts";
import type { Journal } from "./journal.ts";

/** A durable entry. */
export interface Tapped {
  readonly job: Job;
  readonly entry: Entry;
  /** Its number in the session that the job belongs to; 0 if that is not shown it, or is forgotten. */
  readonly seq: number;
}

export type Listener = (written: readonly Tapped[]) => void;

export class Tap {
  readonly #journal: Journal;
  readonly #listeners = new Set<Listener>();
  #written: Tapped[] = [];

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** Nobody listens most of the time, and then nothing is collected. */
  get isOpen(): boolean {
    return this.#listeners.size > 0;
  }

  /** Hands everything that is written from now on to `listener`, in order, in batches. Returns what ends that. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Takes an entry of the open batch. */
  add(written: Tapped): void {
    this.#written.push(written);
    if (this.#written.length > 1) return;
    this.#journal.afterCommit(() => {
      const batch = this.#written;
      this.#written = [];
      for (const listener of [...this.#listeners]) listener(batch);
    });
  }
}
