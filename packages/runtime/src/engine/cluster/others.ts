/** How much of something a principal, or a session, has on other nodes, for caps that hold over all of them. */
import type { Clock } from "@arcp/core";

export interface OthersOptions {
  readonly clock: Clock;
  /** Asks the store. */
  readonly count: (whose: string) => Promise<number>;
  /** Is there any other node? */
  readonly arePresent: () => boolean;
}

/** Further than this from the cap, or with half of it left, what was counted lately will do; not as near as that. */
const FAR = 500;
const NEAR = 25;
const LATELY_MS = 1_000;
const MAX_KNOWN = 10_000;

/**
 * Counts are of what is stored: what two nodes accept at the same moment neither of them counts, so a cap may be exceeded by
 * what the other nodes are about to store.
 */
export class Others {
  readonly #options: OthersOptions;
  readonly #known = new Map<string, { readonly count: number; readonly at: number }>();

  constructor(options: OthersOptions) {
    this.#options = options;
  }

  /** What of `max` the other nodes leave. Rejects when the store does. */
  async leave(whose: string, max: number): Promise<number> {
    const { clock, count, arePresent } = this.#options;
    if (!arePresent()) return max;
    const known = this.#known.get(whose);
    const now = clock.monotonic();
    if (known !== undefined && now - known.at < LATELY_MS && max - known.count > Math.min(FAR, Math.max(NEAR, max / 2)))
      return max - known.count;
    const counted = await count(whose);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(whose, { count: counted, at: now });
    return max - counted;
  }
}
