/** The numbering of one session's stream, seen from its reader (§8.3). */

/** What a number says about the message that carries it. */
export type SequenceVerdict = "unnumbered" | "next" | "duplicate" | "gap";

export class SequenceTracker {
  #last: number;

  constructor(last = 0) {
    this.#last = last;
  }

  /** The highest number up to which nothing is missing. */
  get last(): number {
    return this.#last;
  }

  /** Judges `seq`, a positive integer, and counts it when it is the next one. */
  take(seq: number | undefined): SequenceVerdict {
    if (seq === undefined) return "unnumbered";
    if (seq <= this.#last) return "duplicate";
    if (seq !== this.#last + 1) return "gap";
    this.#last = seq;
    return "next";
  }

  /** Accepts that what lies before `seq` will not come. */
  skipTo(seq: number): void {
    if (seq > this.#last) this.#last = seq;
  }
}
