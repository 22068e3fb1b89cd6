/** Money and credits as exact decimals (§9.6): integers of 10^-9, never floats. */
import { InvalidRequestError, type Lease } from "@arcp/core";

const SCALE_DIGITS = 9;
const SCALE = 10n ** BigInt(SCALE_DIGITS);
const AMOUNT = /^([A-Za-z][A-Za-z0-9_-]{0,31}):(\d{1,15})(?:\.(\d{1,9}))?$/;

/** A counter per currency. Counters may go below zero: cost is reported after it was caused. */
export class Budget {
  readonly #units: Map<string, bigint>;

  private constructor(units: Map<string, bigint>) {
    this.#units = units;
  }

  /**
   * The counters that `cost.budget` in `lease` starts with; `undefined` without it. Throws
   * {@link InvalidRequestError} for an amount that is not `currency:digits[.digits]`. Amounts of one currency add up.
   */
  static fromLease(lease: Lease): Budget | undefined {
    const amounts = lease["cost.budget"];
    if (amounts === undefined) return undefined;
    const units = new Map<string, bigint>();
    for (const amount of amounts) {
      const match = AMOUNT.exec(amount);
      if (!match) throw new InvalidRequestError(`not an amount: ${JSON.stringify(amount)}`, { details: { amount } });
      const [, currency = "", whole = "", fraction = ""] = match;
      const value = BigInt(whole) * SCALE + BigInt(fraction.padEnd(SCALE_DIGITS, "0"));
      units.set(currency, (units.get(currency) ?? 0n) + value);
    }
    return new Budget(units);
  }

  /** Counters that stand at `remaining`: at the decimals that its numbers print as. */
  static fromRemaining(remaining: ReadonlyMap<string, number>): Budget {
    const units = [...remaining].map(([currency, value]): [string, bigint] => [
      currency,
      value < 0 ? -unitsOf(-value) : unitsOf(value),
    ]);
    return new Budget(new Map(units));
  }

  /** The first currency in which this is more than `limit`, compared exactly; one that `limit` lacks is more. */
  firstAbove(limit: Budget | undefined): string | undefined {
    for (const [currency, units] of this.#units) {
      const most = limit === undefined ? undefined : limit.#units.get(currency);
      if (most === undefined || units > most) return currency;
    }
    return undefined;
  }

  /**
   * Lowers the counter of `currency` by `cost`. Returns whether there is such a counter and `cost` is a finite,
   * non-negative number; otherwise nothing changes.
   */
  spend(currency: string, cost: number): boolean {
    const left = this.#units.get(currency);
    if (left === undefined || !Number.isFinite(cost) || cost < 0) return false;
    this.#units.set(currency, left - unitsOf(cost));
    return true;
  }

  /** What is left, per currency. */
  remaining(): ReadonlyMap<string, number> {
    return new Map([...this.#units].map(([currency, units]) => [currency, numberOf(units)]));
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.remaining());
  }
}

/** The counters that a lease starts with, per currency; empty without `cost.budget`. */
export const initialBudgetFromLease = (lease: Lease): ReadonlyMap<string, number> =>
  Budget.fromLease(lease)?.remaining() ?? new Map();

/** The decimal that `value` prints as, rounded up to the smallest unit: a cost is never forgotten. */
function unitsOf(value: number): bigint {
  const text = value.toString();
  const [mantissa = "0", exponent = "0"] = text.split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const digits = BigInt(whole + fraction);
  const shift = SCALE_DIGITS + Number(exponent) - fraction.length;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return (digits + divisor - 1n) / divisor;
}

function numberOf(units: bigint): number {
  const sign = units < 0n ? "-" : "";
  const size = units < 0n ? -units : units;
  const fraction = (size % SCALE).toString().padStart(SCALE_DIGITS, "0");
  return Number(`${sign}${size / SCALE}.${fraction}`);
}
