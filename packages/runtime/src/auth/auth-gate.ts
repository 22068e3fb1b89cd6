/** The one way to a verifier: limited per address, in number and in time, and silent about what went wrong inside. */
import {
  type Clock,
  InvalidRequestError,
  type Logger,
  PermissionDeniedError,
  type TransportPeer,
  UnauthenticatedError,
} from "@arcp/core";
import { callUpstream } from "../engine/credentials/upstream-call.ts";
import { abortable } from "./abortable.ts";
import {
  AttemptLimiter,
  type AttemptLimits,
  AttemptsExhaustedError,
  DEFAULT_ATTEMPT_LIMITS,
} from "./attempt-limiter.ts";
import { WaitingLine } from "./waiting-line.ts";

/** How much the gate lets through. */
export interface AuthGateOptions {
  readonly clock: Clock;
  /** Hears of verifiers that fail, and why credentials are not valid. */
  readonly logger: Logger;
  /** Wrong credentials per remote address. Default: {@link DEFAULT_ATTEMPT_LIMITS}. */
  readonly attempts?: Partial<AttemptLimits> | "unlimited" | undefined;
  /** Until a verification has to be over, waiting included. Default: 5000. */
  readonly timeoutMs?: number;
  /** Verifications at one time, over all addresses; others wait. Default: 64. */
  readonly maxConcurrent?: number;
  /** Verifications that wait. One more is refused. Default: 20,000. */
  readonly maxWaiting?: number;
}

const VERIFY_TIMEOUT_MS = 5_000;
const MAX_CONCURRENT = 64;
const MAX_WAITING = 20_000;

/**
 * Lets only so many verify credentials at once, each only for so long, and addresses that were wrong too often not at
 * all.
 */
export class AuthGate {
  readonly #options: AuthGateOptions;
  readonly #limiter: AttemptLimiter | undefined;
  readonly #line = new WaitingLine();
  #running = 0;

  constructor(options: AuthGateOptions) {
    const { attempts, clock } = options;
    this.#options = options;
    this.#limiter =
      attempts === "unlimited" ? undefined : new AttemptLimiter({ ...DEFAULT_ATTEMPT_LIMITS, ...attempts, clock });
  }

  /**
   * What `verify` returns. Its signal aborts when the time is up, and `verify` is not waited for then.
   *
   * @throws UnauthenticatedError, InvalidRequestError and PermissionDeniedError as `verify` does; their causes are logged
   * and go no further. Whatever else it throws is logged, and is an UnauthenticatedError that says nothing of it, and that
   * may be tried again.
   * @throws AttemptsExhaustedError for an address that was wrong too often, and for more than can wait.
   */
  async pass<Outcome>(
    peer: TransportPeer,
    verify: (signal: AbortSignal) => Promise<Outcome>,
    signal?: AbortSignal,
  ): Promise<Outcome> {
    const { clock, logger, timeoutMs = VERIFY_TIMEOUT_MS } = this.#options;
    const run = (stop: AbortSignal) => this.#inTurn(() => abortable(verify(stop), stop), stop);
    const limited = (stop: AbortSignal): Promise<Outcome> =>
      this.#limiter === undefined ? run(stop) : this.#limiter.run(peer.remoteAddress, () => run(stop), stop);
    try {
      return await callUpstream(limited, { clock, timeoutMs, ...(signal && { signal }) }).answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof UnauthenticatedError) throw this.#withoutCause(error, peer);
      if (isRefusal(error)) throw error;
      logger.error({ err: error }, "a credential could not be verified");
      throw new UnauthenticatedError("the credential could not be verified", { retryable: true });
    }
  }

  /** What is wrong with a credential is for the operator alone. */
  #withoutCause(error: UnauthenticatedError, { remoteAddress }: TransportPeer): UnauthenticatedError {
    if (error.cause === undefined) return error;
    this.#options.logger.warn({ err: error.cause, remoteAddress }, "a credential is not valid");
    const { message, retryable, details } = error;
    return new UnauthenticatedError(message, { retryable, ...(details && { details }) });
  }

  async #inTurn<Outcome>(verify: () => Promise<Outcome>, signal: AbortSignal): Promise<Outcome> {
    const { maxConcurrent = MAX_CONCURRENT, maxWaiting = MAX_WAITING } = this.#options;
    if (this.#running < maxConcurrent) this.#running += 1;
    else if (this.#line.length >= maxWaiting)
      throw new AttemptsExhaustedError("too many verifications at once", "verifications", 1);
    else await this.#line.wait(signal);
    try {
      return await verify();
    } finally {
      // The place goes to the next, if there is one.
      if (!this.#line.admit()) this.#running -= 1;
    }
  }
}

/** Made for the client to read, besides an {@link UnauthenticatedError}. */
const isRefusal = (error: unknown): boolean =>
  error instanceof InvalidRequestError ||
  error instanceof PermissionDeniedError ||
  error instanceof AttemptsExhaustedError;
