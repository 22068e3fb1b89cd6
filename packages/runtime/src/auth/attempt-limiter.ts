/** How often one address may be wrong about who it is. */
import { type Clock, UnauthenticatedError } from "@arcp/core";
import { RateExceededError } from "../engine/rates.ts";
import { parseAddress } from "../operations/network/address.ts";
import { WaitingLine } from "./waiting-line.ts";

/** How often an address may show credentials that are not valid. */
export interface AttemptLimits {
  /** Failed attempts that are forgiven per minute. */
  readonly perMinute: number;
  /** Failed attempts in a row, after which the address has to wait. At least 1. */
  readonly burst: number;
}

/** The limits of failed attempts where none are given. */
export const DEFAULT_ATTEMPT_LIMITS: AttemptLimits = { perMinute: 60, burst: 20 };

/** How often an address may be wrong, and how many addresses are remembered. */
export interface AttemptLimiterOptions extends AttemptLimits {
  readonly clock: Pick<Clock, "monotonic">;
  /** Addresses that are remembered; beyond it, what failed longest ago is forgotten. Default: 10,000. */
  readonly maxAddresses?: number;
  /** Attempts of one address that wait for others of it to end. One more is refused. Default: 20,000. */
  readonly maxWaiting?: number;
}

/** Too many failed attempts, or too many attempts at once. `details.retry_after_seconds` says when to come back. */
export class AttemptsExhaustedError extends RateExceededError {}

/** What one address may do. It is kept only as long as it is less than others may. */
interface Account {
  /** Failures that it has left; a fraction of one grows back. */
  allowance: number;
  /** When that was so. */
  at: number;
  running: number;
  readonly line: WaitingLine;
}

const MS_PER_MINUTE = 60_000;
const MAX_ADDRESSES = 10_000;
const MAX_WAITING = 20_000;

/**
 * A bucket of failures per remote address: only those that are wrong use it up. As many attempts of an address run at one
 * time as it has failures left, so that a hundred guesses at once are no better than a hundred in a row; others wait.
 *
 * IPv6 addresses count by their first 64 bits, which is what one customer has.
 */
export class AttemptLimiter {
  readonly #options: AttemptLimiterOptions;
  readonly #accounts = new Map<string, Account>();

  /** @throws TypeError for limits that let nobody in. */
  constructor(options: AttemptLimiterOptions) {
    const { perMinute, burst } = options;
    if (!(perMinute > 0 && Number.isFinite(perMinute) && burst >= 1 && Number.isFinite(burst)))
      throw new TypeError("limits of attempts: perMinute is above 0, and burst at least 1");
    this.#options = options;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#accounts.size;
  }

  /**
   * Runs `attempt`, now or when others of the same address have ended. What it throws counts as a failure if it is an
   * {@link UnauthenticatedError}. A connection without an address, inside this machine, is not limited.
   *
   * @throws AttemptsExhaustedError without running it, and the signal's reason if it waited too long.
   */
  async run<Result>(
    address: string | undefined,
    attempt: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    if (address === undefined) return attempt();
    const network = networkOf(address);
    const account = this.#account(network);
    await this.#enter(account, signal);
    let hasFailed = false;
    try {
      return await attempt();
    } catch (error) {
      hasFailed = error instanceof UnauthenticatedError;
      throw error;
    } finally {
      this.#leave(network, account, hasFailed);
    }
  }

  #account(network: string): Account {
    const known = this.#accounts.get(network);
    if (known !== undefined) return known;
    this.#makeRoom();
    const { burst, clock } = this.#options;
    const account = { allowance: burst, at: clock.monotonic(), running: 0, line: new WaitingLine() };
    this.#accounts.set(network, account);
    return account;
  }

  /** Accounts are in the order of their last failures. Those in use stay: there are no more of them than connections. */
  #makeRoom(): void {
    if (this.#accounts.size < (this.#options.maxAddresses ?? MAX_ADDRESSES)) return;
    for (const [network, account] of this.#accounts) {
      if (isInUse(account)) continue;
      this.#accounts.delete(network);
      return;
    }
  }

  async #enter(account: Account, signal: AbortSignal | undefined): Promise<void> {
    if (account.line.length === 0 && this.#begin(account)) return;
    if (account.running === 0) throw this.#exhausted(account);
    if (account.line.length >= (this.#options.maxWaiting ?? MAX_WAITING))
      throw new AttemptsExhaustedError("too many attempts at once", "authAttemptsWaiting", 1);
    await account.line.wait(signal);
  }

  /** Takes a place, if there is one. */
  #begin(account: Account): boolean {
    this.#grow(account);
    if (account.running + 1 > account.allowance) return false;
    account.running += 1;
    return true;
  }

  #leave(network: string, account: Account, hasFailed: boolean): void {
    account.running -= 1;
    this.#grow(account);
    if (hasFailed) {
      account.allowance -= 1;
      // To the end of the order.
      this.#accounts.delete(network);
      this.#accounts.set(network, account);
    }
    while (account.line.length > 0 && this.#begin(account)) account.line.admit();
    if (account.running === 0) account.line.refuseAll(this.#exhausted(account));
    if (!isInUse(account) && account.allowance >= this.#options.burst) this.#accounts.delete(network);
  }

  #grow(account: Account): void {
    const { clock, perMinute, burst } = this.#options;
    const now = clock.monotonic();
    account.allowance = Math.min(burst, account.allowance + ((now - account.at) * perMinute) / MS_PER_MINUTE);
    account.at = now;
  }

  #exhausted({ allowance }: Account): AttemptsExhaustedError {
    const seconds = Math.ceil(((1 - allowance) * MS_PER_MINUTE) / this.#options.perMinute / 1000);
    return new AttemptsExhaustedError(
      "too many attempts with credentials that are not valid",
      "authAttempts",
      Math.max(seconds, 1),
    );
  }
}

const isInUse = ({ running, line }: Account): boolean => running > 0 || line.length > 0;

/** What one owner has: an IPv4 address, 64 bits of IPv6. */
function networkOf(address: string): string {
  const bytes = parseAddress(address);
  if (bytes === undefined) return address;
  const isMapped = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff;
  return bytes.length === 4 || isMapped ? bytes.subarray(-4).join(".") : bytes.subarray(0, 8).join(":");
}
