/** The events of one source: kept until somebody reads them, then handed to every reader. */
import type { Backlog } from "./backlog.ts";
import type { EventQueue } from "./event-queue.ts";

export interface TapeBounds<Event> {
  /** Events kept for a first reader that does not exist yet; beyond it the oldest are dropped. */
  readonly maxKeptEvents: number;
  /** Unread events per reader at which reading from the connection stops. */
  readonly maxUnreadEvents: number;
  /** What one kept event weighs, and how much all of them may. Default: nothing. */
  readonly weigh?: (event: Event) => number;
  readonly maxKeptWeight?: number;
}

type Ending = { readonly error: unknown } | undefined;

export class EventTape<Event extends object> {
  readonly #backlog: Backlog;
  readonly #bounds: TapeBounds<Event>;
  readonly #weigh: (event: Event) => number;
  readonly #readers = new Set<EventQueue<Event>>();
  #kept: Event[] = [];
  #keptWeight = 0;
  #isRead = false;
  #ending: Ending;

  constructor(backlog: Backlog, bounds: TapeBounds<Event>) {
    this.#backlog = backlog;
    this.#bounds = bounds;
    this.#weigh = bounds.weigh ?? (() => 0);
  }

  /** Is anybody reading? */
  get hasReaders(): boolean {
    return this.#readers.size > 0;
  }

  /** Takes an event. */
  push(event: Event): void {
    if (this.#isRead) for (const reader of this.#readers) reader.push(event);
    else this.#keep(event);
  }

  /** No more events come: readers end after what they have, with `error` if there is one. Those to come, too. */
  finish(error?: unknown): void {
    this.#ending = { error };
    for (const reader of this.#readers) finish(reader, error);
    this.#readers.clear();
  }

  /** A new reader. The first one also gets what was kept for it. */
  read(signal: AbortSignal | undefined, onLeave: () => void = () => {}): EventQueue<Event> {
    const reader = this.#backlog.open<Event>({ highWater: this.#bounds.maxUnreadEvents }, signal, (queue) => {
      this.#readers.delete(queue);
      onLeave();
    });
    this.#isRead = true;
    const kept = this.#kept.slice(-this.#bounds.maxKeptEvents);
    this.#kept = [];
    for (const event of kept) reader.push(event);
    if (this.#ending) finish(reader, this.#ending.error);
    else this.#readers.add(reader);
    return reader;
  }

  #keep(event: Event): void {
    const { maxKeptEvents, maxKeptWeight = Number.POSITIVE_INFINITY } = this.#bounds;
    this.#kept.push(event);
    this.#keptWeight += this.#weigh(event);
    // Cut in batches, so that keeping one event costs the same however many there are.
    let surplus = this.#kept.length >= 2 * maxKeptEvents ? this.#kept.length - maxKeptEvents : 0;
    let weight = this.#keptWeight;
    for (let at = 0; at < surplus || weight > maxKeptWeight; at += 1) {
      weight -= this.#weigh(this.#kept[at] as Event);
      surplus = Math.max(surplus, at + 1);
    }
    if (surplus > 0) this.#kept.splice(0, surplus);
    this.#keptWeight = weight;
  }
}

function finish<Event>(reader: EventQueue<Event>, error: unknown): void {
  if (error === undefined) reader.end();
  else reader.fail(error);
}
