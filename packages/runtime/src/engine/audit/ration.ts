/**
 * How many rows refusals may cost: a few of every source, and not more than a disk can bear of all together. Those who are
 * let in have a share of their own, which those who are not cannot use up.
 */
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
/** 14,400 rows a day at most of those who were not let in, of some hundred bytes each. */
const STRANGERS_RATION: RationLimits = { burst: 500, perMinute: 10 };
/** As many again of all principals. */
const PRINCIPALS_RATION: RationLimits = { burst: 500, perMinute: 10 };

/** Sources that are remembered; beyond it, the one that was heard of longest ago has its burst again. */
const MAX_SOURCES = 2_000;
const MS_PER_MINUTE = 60_000;

/** Who has something refused. */
export interface RationSource {
  readonly name: string;
  /** Is it a principal, and not an address? */
  readonly isPrincipal: boolean;
}

export class Ration {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #strangers: Bucket;
  readonly #principals: Bucket;
  /** In the order in which they were last heard of. */
  readonly #sources = new Map<string, Bucket>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#strangers = { allowance: STRANGERS_RATION.burst, at: clock.monotonic() };
    this.#principals = { allowance: PRINCIPALS_RATION.burst, at: clock.monotonic() };
  }

  /** May there be one more row because of `source`? Then it is counted. */
  take({ name, isPrincipal }: RationSource): boolean {
    const key = `${isPrincipal} ${name}`;
    const bucket = this.#sources.get(key) ?? { allowance: SOURCE_RATION.burst, at: this.#clock.monotonic() };
    this.#sources.delete(key);
    this.#sources.set(key, bucket);
    const total = isPrincipal ? this.#principals : this.#strangers;
    if (this.#sources.size > MAX_SOURCES) this.#forgetOldest();
    this.#grow(bucket, SOURCE_RATION);
    this.#grow(total, isPrincipal ? PRINCIPALS_RATION : STRANGERS_RATION);
    if (bucket.allowance < 1 || total.allowance < 1) return false;
    bucket.allowance -= 1;
    total.allowance -= 1;
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
