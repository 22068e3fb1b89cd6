/** How often a principal may do things: a bucket of tokens for each, which fills up again as time passes. */
import type { Clock } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import type { Use } from "../store/shared.ts";

/**
 * Per principal, over all of its sessions, and over all nodes. A whole period's worth may come at once. What other nodes let in
 * counts here half a second later, and is made up for by what comes next.
 */
export interface PrincipalRates {
  /** Jobs, schedules and delegations that are asked for. Default: as many as one likes. */
  readonly submitsPerMinute: number;
  /** Commands of any kind; signs of life and acknowledgements do not count. Default: as many as one likes. */
  readonly commandsPerSecond: number;
  /** Sessions that are opened, not those that are resumed. Default: as many as one likes. */
  readonly sessionsPerMinute: number;
}

/** The rates of one principal where none are given. */
export const DEFAULT_PRINCIPAL_RATES: PrincipalRates = {
  submitsPerMinute: Number.POSITIVE_INFINITY,
  commandsPerSecond: Number.POSITIVE_INFINITY,
  sessionsPerMinute: Number.POSITIVE_INFINITY,
};

/** It comes too often. `details.retry_after_seconds` says when to come back, in the words of both wires (RFC §18.3). */
export class RateExceededError extends CanonicalError {
  constructor(message: string, limit: string, retryAfterSeconds: number) {
    const details = { limit, retry: "after_capacity", retry_after_seconds: retryAfterSeconds };
    super("RESOURCE_EXHAUSTED", message, { details });
  }
}

const PERIODS_MS: { readonly [Rate in keyof PrincipalRates]: number } = {
  submitsPerMinute: 60_000,
  commandsPerSecond: 1_000,
  sessionsPerMinute: 60_000,
};

const RATES = Object.keys(PERIODS_MS) as (keyof PrincipalRates)[];

interface CountedUse {
  readonly name: string;
  readonly principal: string;
  value: number;
}

interface Bucket {
  left: number;
  /** When that was so, on the monotonic clock. */
  at: number;
}

/** Buckets that are kept before those that are full again are thrown away. */
const SWEEP_ABOVE = 1_000;

export class Rates {
  readonly #rates: PrincipalRates;
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #buckets: { readonly [Rate in keyof PrincipalRates]: Map<string, Bucket> } = {
    submitsPerMinute: new Map(),
    commandsPerSecond: new Map(),
    sessionsPerMinute: new Map(),
  };
  /** What was taken since the process began, of which others have not been told. */
  readonly #untold = new Map<string, CountedUse>();
  readonly #counted = new Map<string, CountedUse>();
  #sweepAbove = SWEEP_ABOVE;

  /** @throws TypeError for a rate below 1. */
  constructor(rates: PrincipalRates, clock: Pick<Clock, "monotonic">) {
    for (const [name, rate] of Object.entries(rates)) {
      if (!(rate >= 1)) throw new TypeError(`principalRates.${name}: at least 1`);
    }
    this.#rates = rates;
    this.#clock = clock;
  }

  /** Counts one more. @throws RateExceededError if that is too many; then it does not count. */
  take(principal: string, rate: keyof PrincipalRates): void {
    const max = this.#rates[rate];
    if (max === Number.POSITIVE_INFINITY) return;
    const now = this.#clock.monotonic();
    const buckets = this.#buckets[rate];
    const known = buckets.get(principal);
    const left = known === undefined ? max : this.#leftIn(known, rate, now);
    if (left < 1) {
      const seconds = Math.ceil(((1 - left) * PERIODS_MS[rate]) / max / 1000);
      throw new RateExceededError(`this principal is too quick (${rate} = ${max})`, rate, Math.max(seconds, 1));
    }
    buckets.set(principal, { left: left - 1, at: now });
    this.#tell(rate, principal);
    if (buckets.size > this.#sweepAbove) this.#sweep(rate, now);
  }

  /** Is anything counted? */
  get isLimited(): boolean {
    return Object.values(this.#rates).some((rate) => rate !== Number.POSITIVE_INFINITY);
  }

  /** What was let in since the process began, of what has changed since this was asked last. */
  news(): readonly Use[] {
    const news = [...this.#untold.values()].map(({ name, principal, value }) => ({ name, principal, value }));
    this.#untold.clear();
    return news;
  }

  /** From now on it is counted from nothing. */
  recount(): void {
    this.#counted.clear();
    this.#untold.clear();
  }

  /** Other nodes have let in `count` more. A bucket that this empties below nothing is in debt. */
  charge(name: string, principal: string, count: number): void {
    const rate = RATES.find((one) => one === name);
    if (rate === undefined || this.#rates[rate] === Number.POSITIVE_INFINITY) return;
    const now = this.#clock.monotonic();
    const buckets = this.#buckets[rate];
    const known = buckets.get(principal);
    const left = known === undefined ? this.#rates[rate] : this.#leftIn(known, rate, now);
    buckets.set(principal, { left: left - count, at: now });
    if (buckets.size > this.#sweepAbove) this.#sweep(rate, now);
  }

  #tell(rate: keyof PrincipalRates, principal: string): void {
    const key = `${rate} ${principal}`;
    const counted = this.#counted.get(key) ?? { name: rate, principal, value: 0 };
    counted.value += 1;
    this.#counted.set(key, counted);
    this.#untold.set(key, counted);
  }

  #leftIn({ left, at }: Bucket, rate: keyof PrincipalRates, now: number): number {
    const max = this.#rates[rate];
    return Math.min(max, left + ((now - at) * max) / PERIODS_MS[rate]);
  }

  /** A full bucket says nothing. Those that are left are of principals that are busy, so the next sweep waits for twice as many. */
  #sweep(rate: keyof PrincipalRates, now: number): void {
    const buckets = this.#buckets[rate];
    for (const [principal, bucket] of buckets) {
      if (this.#leftIn(bucket, rate, now) < this.#rates[rate]) continue;
      buckets.delete(principal);
      // Whoever is told of less than before knows that it was counted from nothing.
      this.#counted.delete(`${rate} ${principal}`);
    }
    this.#sweepAbove = Math.max(SWEEP_ABOVE, buckets.size * 2);
  }
}
