/**
 * What was committed while its reader was a little behind, kept in memory: it need not be read from the store, and compared
 * with its checksum, an instant after it was written there. Who is further behind is sent what the store has.
 */
import type { LiveItem } from "./feed.ts";

/** Items that a reader may be behind. More than {@link Session.pace} lets a job get ahead by default. */
export const MAX_TAIL_ITEMS = 2048;
/** Bytes that a reader may be behind. */
const MAX_TAIL_BYTES = 1024 * 1024;
/** What is kept for all readers together. */
const MAX_BYTES = 32 * 1024 * 1024;
/** What an item takes besides its payload. */
const ITEM_BYTES = 200;

/** The memory that the tails of all readers share. */
export class TailRoom {
  #left: number;

  constructor(maxBytes: number = MAX_BYTES) {
    this.#left = maxBytes;
  }

  /** Bytes that nobody has taken. */
  get left(): number {
    return this.#left;
  }

  /** Returns false, and takes nothing, if there is no room for so many bytes. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#left += bytes;
  }
}

export class Tail {
  readonly #room: TailRoom;
  /** Without a gap, the oldest first. */
  #items: LiveItem[] = [];
  #bytes = 0;

  constructor(room: TailRoom) {
    this.#room = room;
  }

  /** The number of the oldest item; infinite if there is none. */
  get firstSeq(): number {
    return this.#items[0]?.seq ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Keeps `items`, which follow one another. Where they do not follow what there was, that is forgotten. Returns false, and
   * forgets everything, if it becomes too much.
   */
  add(items: readonly LiveItem[]): boolean {
    const [first] = items;
    if (first === undefined) return true;
    const last = this.#items.at(-1);
    if (last !== undefined && first.seq !== last.seq + 1) this.clear();
    const bytes = sizeOf(items);
    const isTooMuch = this.#items.length + items.length > MAX_TAIL_ITEMS || this.#bytes + bytes > MAX_TAIL_BYTES;
    if (isTooMuch || !this.#room.take(bytes)) {
      this.clear();
      return false;
    }
    this.#bytes += bytes;
    for (const item of items) this.#items.push(item);
    return true;
  }

  /** At most `count` items from `seq` on; none if `seq` is not among them. */
  from(seq: number, count: number): readonly LiveItem[] {
    const index = seq - this.firstSeq;
    return index < 0 ? [] : this.#items.slice(index, index + count);
  }

  /** Forgets the items up to `seq`: they were sent. */
  dropUpTo(seq: number): void {
    const sent = this.#items.splice(0, Math.max(0, seq + 1 - this.firstSeq));
    this.#free(sizeOf(sent));
  }

  clear(): void {
    this.#items = [];
    this.#free(this.#bytes);
  }

  #free(bytes: number): void {
    this.#bytes -= bytes;
    this.#room.give(bytes);
  }
}

const sizeOf = (items: readonly LiveItem[]): number =>
  items.reduce((sum, { entry }) => sum + entry.payload.length + ITEM_BYTES, 0);
