/**
 * Who is next: principals take turns, and within one principal the oldest is first, after those that something waits for.
 * An entry whose lane has no room lets the others of its principal pass; a principal none of whose entries may go keeps its
 * turn.
 */
export interface Queued {
  readonly principal: string;
  /** Entries of one lane go in order, or not at all: here, those of one version of an agent. */
  readonly lane: string;
  /** Does something wait for it that has begun? */
  readonly isAwaited: boolean;
}

/** What waits of one principal. */
interface Line<Entry> {
  /** Per lane, with those that are awaited apart, in the order of arrival. */
  readonly lanes: Map<string, Set<Entry>>;
  size: number;
}

export class FairOrder<Entry extends Queued> {
  /** The principal whose turn it is comes first. */
  readonly #lines = new Map<string, Line<Entry>>();
  readonly #arrivals = new Map<Entry, number>();
  #lastArrival = 0;

  get size(): number {
    return this.#arrivals.size;
  }

  sizeOf(principal: string): number {
    return this.#lines.get(principal)?.size ?? 0;
  }

  /** How many there are of each principal. */
  sizes(): (readonly [principal: string, size: number])[] {
    return [...this.#lines].map(([principal, { size }]) => [principal, size]);
  }

  /** Adds it behind all others of its principal; a principal that had none has its turn after all others. */
  add(entry: Entry): void {
    const { principal } = entry;
    const line = this.#lines.get(principal) ?? { lanes: new Map(), size: 0 };
    this.#lines.set(principal, line);
    const key = keyOf(entry);
    const entries = line.lanes.get(key) ?? new Set();
    line.lanes.set(key, entries.add(entry));
    line.size += 1;
    this.#arrivals.set(entry, ++this.#lastArrival);
  }

  /** Does nothing if it is not there. */
  remove(entry: Entry): void {
    const { principal } = entry;
    const line = this.#lines.get(principal);
    const key = keyOf(entry);
    const entries = line?.lanes.get(key);
    if (line === undefined || entries?.delete(entry) !== true) return;
    if (entries.size === 0) line.lanes.delete(key);
    line.size -= 1;
    if (line.size === 0) this.#lines.delete(principal);
    this.#arrivals.delete(entry);
  }

  /** Takes the next one that `mayGo`, which is asked about the first of each lane; `undefined` if there is none. */
  take(mayGo: (entry: Entry) => boolean): Entry | undefined {
    for (const [principal, line] of this.#lines) {
      const next = this.#firstOf(line, mayGo);
      if (next === undefined) continue;
      this.remove(next);
      // It has had its turn.
      if (this.#lines.delete(principal) && line.size > 0) this.#lines.set(principal, line);
      return next;
    }
    return undefined;
  }

  /** How many go before `entry`, itself included, if none has to let others pass and nobody comes or leaves. */
  positionOf(entry: Entry): number {
    const own = this.positionAmongOwn(entry) - 1;
    let before = own;
    let isBehind = false;
    for (const [principal, { size }] of this.#lines) {
      if (principal === entry.principal) isBehind = true;
      else before += Math.min(size, isBehind ? own : own + 1);
    }
    return before + 1;
  }

  /** The same, if its principal was the only one. */
  positionAmongOwn(entry: Entry): number {
    // The newest is asked about most, and is behind all others.
    if (!entry.isAwaited && this.#arrivals.get(entry) === this.#lastArrival) return this.sizeOf(entry.principal);
    let position = 1;
    for (const entries of this.#lines.get(entry.principal)?.lanes.values() ?? []) {
      for (const other of entries) {
        if (!this.#goesBefore(other, entry)) break;
        position += 1;
      }
    }
    return position;
  }

  #firstOf({ lanes }: Line<Entry>, mayGo: (entry: Entry) => boolean): Entry | undefined {
    let first: Entry | undefined;
    for (const entries of lanes.values()) {
      const [head] = entries;
      if (head === undefined || !mayGo(head)) continue;
      if (first === undefined || this.#goesBefore(head, first)) first = head;
    }
    return first;
  }

  /** Both are of one principal. */
  #goesBefore(one: Entry, other: Entry): boolean {
    if (one.isAwaited !== other.isAwaited) return one.isAwaited;
    return (this.#arrivals.get(one) ?? 0) < (this.#arrivals.get(other) ?? 0);
  }
}

const keyOf = ({ lane, isAwaited }: Queued): string => `${isAwaited ? "awaited " : ""}${lane}`;
