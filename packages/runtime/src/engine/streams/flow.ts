/**
 * What the readers of one stream have asked of its writer (RFC §11.2): so many chunks a second, so many bytes. The slowest
 * of them counts. What a reader asked for holds until it says something else, for {@link LIMIT_LASTS_MS} at most.
 */
import type { Clock } from "@arcp/core";

/** How long a reader is believed that has said nothing since. */
const LIMIT_LASTS_MS = 30_000;
/** How much a timer may be late without the rate suffering. */
const SLACK_MS = 10;
const MS_PER_SECOND = 1000;

/** What one reader can take. Nothing of both: it keeps up. */
export interface FlowLimit {
  /** Chunks; 0 stops the stream. */
  readonly ratePerSecond?: number | undefined;
  /** Bytes of content that it has room for until it says more; 0 stops the stream. */
  readonly roomBytes?: number | undefined;
}

interface Limit {
  readonly intervalMs: number;
  room: number;
  readonly until: number;
}

export class Flow {
  readonly #clock: Clock;
  /** By who asked. */
  readonly #limits = new Map<string, Limit>();
  /** When the last chunk went, or would have gone at the rate asked for. */
  #lastAt = 0;
  #wake: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Has anybody said what it can take? */
  get isLimited(): boolean {
    return this.#limits.size > 0;
  }

  /** `reader` can take so much, from now on. */
  limit(reader: string, { ratePerSecond, roomBytes }: FlowLimit): void {
    const now = this.#clock.monotonic();
    // What was written until now was written as fast as it came.
    if (this.#limits.size === 0) this.#lastAt = now;
    if (ratePerSecond === undefined && roomBytes === undefined) this.#limits.delete(reader);
    else {
      this.#limits.set(reader, {
        intervalMs: ratePerSecond === undefined ? 0 : MS_PER_SECOND / ratePerSecond,
        room: roomBytes ?? Number.POSITIVE_INFINITY,
        until: now + LIMIT_LASTS_MS,
      });
    }
    this.#wake();
  }

  /** `reader` is gone, and what it asked for with it. */
  forget(reader: string): void {
    if (this.#limits.delete(reader)) this.#wake();
  }

  /** Nobody has to wait any more. */
  close(): void {
    this.#limits.clear();
    this.#wake();
  }

  /** Bytes that every reader has room for. */
  get room(): number {
    let room = Number.POSITIVE_INFINITY;
    for (const limit of this.#limits.values()) room = Math.min(room, limit.room);
    return room;
  }

  /** What to wait for before the next chunk; `undefined` if it may go now. One at a time waits. */
  ready(): Promise<void> | undefined {
    return this.#limits.size === 0 || this.#delay() === 0 ? undefined : this.#wait();
  }

  /** A chunk of so many bytes has gone. */
  took(bytes: number): void {
    if (this.#limits.size === 0) return;
    let intervalMs = 0;
    for (const limit of this.#limits.values()) {
      limit.room -= bytes;
      intervalMs = Math.max(intervalMs, limit.intervalMs);
    }
    const now = this.#clock.monotonic();
    this.#lastAt = Math.max(this.#lastAt + intervalMs, now - SLACK_MS);
  }

  async #wait(): Promise<void> {
    for (let delay = this.#delay(); delay > 0; delay = this.#delay()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const stopTimer = this.#clock.setTimer(resolve, delay);
      await promise;
      stopTimer();
    }
  }

  /** Milliseconds after which to look again; 0 if a chunk may go now. */
  #delay(): number {
    const now = this.#clock.monotonic();
    let delay = 0;
    let lapse = Number.POSITIVE_INFINITY;
    for (const [reader, limit] of this.#limits) {
      if (limit.until <= now) {
        this.#limits.delete(reader);
        continue;
      }
      const isStopped = limit.room <= 0 || limit.intervalMs === Number.POSITIVE_INFINITY;
      const mine = isStopped ? limit.until - now : this.#lastAt + limit.intervalMs - now;
      if (mine <= 0) continue;
      delay = Math.max(delay, mine);
      lapse = Math.min(lapse, limit.until - now);
    }
    return Math.min(delay, lapse);
  }
}
