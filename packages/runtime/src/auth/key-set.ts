/** The keys of an issuer, kept for a while and asked for anew when a token names one that is not there. */
import type { Clock, JsonObject, Logger } from "@arcp/core";
import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWTHeaderParameters } from "jose";
import { abortable } from "./abortable.ts";
import { Issuer, IssuerError } from "./issuer.ts";

/** The key that a token names. Throws a JOSEError if there is none, or more than one. */
export type SelectKey = (header: JWTHeaderParameters) => Promise<CryptoKey>;

export interface RemoteKeySetOptions {
  /** Where the issuer publishes its keys (RFC 7517). */
  readonly url: URL;
  readonly clock: Clock;
  /** Hears of keys that cannot be had while older ones still do. */
  readonly logger: Logger;
  readonly timeoutMs: number;
  /** After which keys are asked for again. */
  readonly maxAgeMs: number;
  /** Between two questions, whatever tokens name. */
  readonly coolDownMs: number;
}

interface Held {
  readonly select: SelectKey;
  /** On the monotonic clock. */
  readonly at: number;
}

const MAX_KEYS = 100;
/** While the issuer cannot be reached, its last keys do for so long. */
const MAX_STALE_MS = 3_600_000;
/** Without any keys nobody gets in, so the issuer is asked again sooner. */
const RETRY_MS = 1_000;

export class RemoteKeySet {
  readonly #options: RemoteKeySetOptions;
  readonly #issuer: Issuer;
  #held: Held | undefined;
  #mayAskAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #lastFailure: unknown;

  /** @throws TypeError for a URL that is not `https:`, or `http:` within this machine. */
  constructor(options: RemoteKeySetOptions) {
    this.#options = options;
    this.#issuer = new Issuer(options);
  }

  /**
   * The key that the header names. Asks the issuer at most once, and at most once per cool-down.
   *
   * @throws JOSEError if the issuer has no such key, IssuerError if it cannot be asked.
   */
  async select(header: JWTHeaderParameters, signal: AbortSignal | undefined): Promise<CryptoKey> {
    const held = this.#isFresh() && this.#held ? this.#held : await this.#renewed(signal);
    try {
      return await held.select(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      return (await this.#renewed(signal)).select(header);
    }
  }

  #age(): number {
    return this.#held === undefined ? Number.POSITIVE_INFINITY : this.#options.clock.monotonic() - this.#held.at;
  }

  #isFresh(): boolean {
    return this.#age() < this.#options.maxAgeMs;
  }

  /** What the issuer says now, if it may be asked; otherwise what it said last. Everybody waits for one question. */
  async #renewed(signal: AbortSignal | undefined): Promise<Held> {
    if (this.#asking === undefined && this.#options.clock.monotonic() >= this.#mayAskAt) {
      this.#asking = this.#ask().finally(() => {
        this.#asking = undefined;
      });
    }
    if (this.#asking !== undefined) await abortable(this.#asking, signal);
    if (this.#held !== undefined && this.#age() < Math.max(MAX_STALE_MS, this.#options.maxAgeMs)) return this.#held;
    throw new IssuerError("there are no keys of the issuer", { cause: this.#lastFailure });
  }

  /** Never rejects: what went wrong is told by whoever needs the keys, or logged. */
  async #ask(): Promise<void> {
    const { clock, coolDownMs, logger } = this.#options;
    this.#mayAskAt = clock.monotonic() + coolDownMs;
    try {
      const answer = await this.#issuer.ask({ method: "GET" });
      this.#held = { select: selectFrom(answer), at: clock.monotonic() };
    } catch (error) {
      this.#lastFailure = error;
      if (this.#held === undefined) this.#mayAskAt = clock.monotonic() + Math.min(RETRY_MS, coolDownMs);
      else logger.warn({ err: error }, "the keys of an issuer could not be renewed");
    }
  }
}

function selectFrom(answer: JsonObject): SelectKey {
  const { keys } = answer;
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) throw new IssuerError("the issuer's answer is no set of keys");
  try {
    return createLocalJWKSet(answer as unknown as JSONWebKeySet);
  } catch (cause) {
    throw new IssuerError("the issuer's answer is no set of keys", { cause });
  }
}
