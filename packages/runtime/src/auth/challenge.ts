/** What a client has to answer before it is believed (RFC §8.1). */
import { type Clock, type Identity, type JsonObject, UnauthenticatedError } from "@arcp/core";

/** What a client is asked, and who checks the answer (RFC §8.1). */
export interface ChallengeOptions {
  /** What the client has to know how to answer. */
  readonly type: string;
  /** Sent to the client. */
  readonly params: JsonObject;
  readonly clock: Clock;
  /** How long the client has. Default: 30,000. */
  readonly lifetimeMs?: number;
  /** Who has answered so. Throws {@link UnauthenticatedError} for a wrong answer. */
  readonly check: (response: unknown, signal: AbortSignal) => Promise<Identity>;
}

const LIFETIME_MS = 30_000;

/** Can be answered once, in time. It belongs to the connection that it was made for, and is gone with it. */
export class Challenge {
  readonly type: string;
  readonly params: JsonObject;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly #options: ChallengeOptions;
  readonly #deadline: number;
  #isAnswered = false;

  constructor(options: ChallengeOptions) {
    const { type, params, clock, lifetimeMs = LIFETIME_MS } = options;
    this.type = type;
    this.params = params;
    this.expiresAt = clock.now() + lifetimeMs;
    this.#deadline = clock.monotonic() + lifetimeMs;
    this.#options = options;
  }

  /** @throws UnauthenticatedError for a wrong answer, one that is too late, and any but the first. */
  async answer(response: unknown, signal: AbortSignal): Promise<Identity> {
    if (this.#isAnswered) throw new UnauthenticatedError("the challenge was answered already");
    this.#isAnswered = true;
    if (this.#options.clock.monotonic() >= this.#deadline) throw new UnauthenticatedError("the challenge has expired");
    return this.#options.check(response, signal);
  }
}
