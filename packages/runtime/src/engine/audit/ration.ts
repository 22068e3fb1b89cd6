/** How many rows refusals may cost: a few of every source, and not more than a disk can bear of all together. */
import type { Clock } from "@arcp/core";

interface Bucket {
  allowance: number;
  /** When that was so, by the monotonic clock. */
  at: number;
}

export interface RationLimits {
  /** Rows at once. */
  readonly burst: number;
  readonly perMinute: number;
}

/** One who is wrong again and again is told of often enough. */
const SOURCE_RATION: RationLimits = { burst: 20, perMinute: 6 };
/** 14,400 rows a day at most, of some hundred bytes each. */
const TOTAL_RATION: RationLimits = { burst: 500, perMinute: 10 };

/** Sources that are remembered; beyond it, the one that was heard of longest ago has its burst again. */
const MAX_SOURCES = 2_000;
const MS_PER_MINUTE = 60_000;

export class Ration {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #total: Bucket;
  /** In the order in which they were last heard of. */
  readonly #sources = new Map<string, Bucket>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#total = { allowance: TOTAL_RATION.burst, at: clock.monotonic() };
  }

  /** May there be one more row because of `source`? Then it is counted. */
  take(source: string): boolean {
    const bucket = this.#sources.get(source) ?? { allowance: SOURCE_RATION.burst, at: this.#clock.monotonic() };
    this.#sources.delete(source);
    this.#sources.set(source, bucket);
    if (this.#sources.size > MAX_SOURCES) this.#forgetOldest();
    this.#grow(bucket, SOURCE_RATION);
    this.#grow(this.#total, TOTAL_RATION);
    if (bucket.allowance < 1 || this.#total.allowance < 1) return false;
    bucket.allowance -= 1;
    this.#total.allowance -= 1;
    return true;
  }

  #forgetOldest(): void {
    const oldest = this.#sources.keys().next().value;
    if (oldest !== undefined) this.#sources.delete(oldest);
  }

  #grow(bucket: Bucket, { burst, perMinute }: RationLimits): void {
    const now = this.#clock.monotonic();
    bucket.allowance = Math.min(burst, bucket.allowance + ((now - bucket.at) * perMinute) / MS_PER_MINUTE);
    bucket.at = now;
  }
}
