/** Money and credits as exact decimals (§9.6): integers of 10^-9, never floats. */
import { InvalidRequestError, type Lease, LeaseSubsetViolationError } from "@arcp/core";
import type { Amounts } from "../operation.ts";

const SCALE_DIGITS = 9;
const SCALE = 10n ** BigInt(SCALE_DIGITS);
const AMOUNT = /^[A-Za-z][A-Za-z0-9_-]{0,31}:\d{1,15}(?:\.\d{1,9})?$/;

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/**
 * What is left of one currency. It may go below zero, because cost is reported after it was caused; what a child has
 * overspent is taken from its parent at once, so that no chain of children spends more than the first of them had.
 */
class Counter {
  readonly #parent: Counter | undefined;
  readonly #onChange: () => void;
  #units: bigint;
  /** Budgets that are not closed: the one that it began with, and those below whose leases do not name its currency. */
  #spenders = 0;
  /** Set aside for operations that are under way. */
  #held = 0n;
  /** What a closed counter keeps for operations that were under way when it was closed. */
  #kept = 0n;
  /** Whose it is, once this is closed, to be charged with what is still reported. */
  #heir: Counter | undefined;

  constructor(units: bigint, onChange: () => void, parent?: Counter) {
    this.#units = units;
    this.#onChange = onChange;
    this.#parent = parent;
  }

  get units(): bigint {
    return this.#units;
  }

  /** What is left and not set aside. */
  get available(): bigint {
    return this.#units - this.#held;
  }

  /** Adds to what is left; a cost is negative. */
  change(by: bigint): void {
    if (by === 0n) return;
    if (this.#heir !== undefined) {
      this.#heir.change(by);
      return;
    }
    const overspent = max(-this.#units, 0n);
    this.#units += by;
    this.#parent?.change(overspent - max(-this.#units, 0n));
    this.#onChange();
  }

  hold(units: bigint): void {
    this.#held += units;
  }

  /** Takes `cost` from the `held` units of one operation, and what goes beyond them from what is left. */
  settle(cost: bigint, held: bigint): void {
    const covered = min(cost, held);
    this.#held -= covered;
    const kept = min(covered, this.#kept);
    this.#kept -= kept;
    this.change(kept - cost);
  }

  release(held: bigint): void {
    this.#held -= held;
    const back = min(held, this.#kept);
    this.#kept -= back;
    this.#heir?.change(back);
  }

  /** One budget more spends from this. */
  join(): void {
    this.#spenders += 1;
  }

  /** One less: with the last, the parent gets what was not spent. What is reported from then on is the parent's. */
  leave(): void {
    this.#spenders -= 1;
    if (this.#parent === undefined || this.#spenders > 0 || this.#heir !== undefined) return;
    const left = max(this.#units, 0n);
    this.#kept = min(this.#held, left);
    this.#heir = this.#parent;
    this.#heir.change(left - this.#kept);
  }
}

/** Amounts that are set aside for one operation. */
export class Hold {
  readonly #held: Map<Counter, bigint>;

  constructor(held: Map<Counter, bigint>) {
    this.#held = held;
    for (const [counter, units] of held) counter.hold(units);
  }

  /** @internal The cost of the operation, or a part of it. */
  settle(counter: Counter, cost: bigint): void {
    const held = this.#held.get(counter) ?? 0n;
    this.#held.set(counter, held - min(held, cost));
    counter.settle(cost, held);
  }

  /** Gives back what the operation has not cost. Idempotent. */
  release(): void {
    for (const [counter, units] of this.#held) counter.release(units);
    this.#held.clear();
  }
}

/** A counter per currency. */
export class Budget {
  /** A child has its parent's counter for a currency that its own lease does not name. */
  readonly #counters: ReadonlyMap<string, Counter>;
  #isClosed = false;
  #listener: (currency: string) => void = () => {};

  private constructor(amounts: ReadonlyMap<string, bigint>, inherited: ReadonlyMap<string, Counter> = new Map()) {
    const own = [...amounts].map(([currency, units]): [string, Counter] => [
      currency,
      new Counter(units, () => this.#listener(currency), inherited.get(currency)),
    ]);
    this.#counters = new Map([...inherited, ...own]);
    for (const counter of this.#counters.values()) counter.join();
  }

  /**
   * The counters that `cost.budget` in `lease` starts with; `undefined` without it. Throws
   * {@link InvalidRequestError} for an amount that is not `currency:digits[.digits]`. Amounts of one currency add up.
   */
  static fromLease(lease: Lease): Budget | undefined {
    const amounts = amountsOf(lease);
    return amounts && new Budget(amounts);
  }

  /** Counters that stand at `remaining`: at the decimals that its numbers print as. */
  static fromRemaining(remaining: Amounts | ReadonlyMap<string, number>): Budget {
    const entries: Iterable<[string, number]> = remaining instanceof Map ? remaining : Object.entries(remaining);
    return new Budget(unitsBy(entries));
  }

  /**
   * The budget of a job with `lease` that was taken over, which stood at `remaining`: within that of its parent, if that
   * goes on too. What was reserved for it there is still taken.
   */
  static takenOver(remaining: Amounts, lease: Lease, parent: Budget | undefined): Budget {
    const inherited = parent === undefined ? new Map<string, Counter>() : parent.#counters;
    const own = amountsOf(lease);
    const isOwn = (currency: string): boolean => !inherited.has(currency) || own?.has(currency) === true;
    const amounts = Object.entries(remaining).filter(([currency]) => isOwn(currency));
    return new Budget(unitsBy(amounts), inherited);
  }

  /**
   * The budget of a delegated job with `lease`: what its `cost.budget` names is taken from here until {@link close}
   * gives back what was not spent; the other currencies are spent from here (§9.4), also after this was closed.
   *
   * @throws LeaseSubsetViolationError, and takes nothing, if less than that is left.
   */
  reserve(lease: Lease): Budget {
    const amounts = amountsOf(lease) ?? new Map<string, bigint>();
    const taken = [...amounts].map(([currency, units]) => ({ counter: this.#counterWith(currency, units), units }));
    for (const { counter, units } of taken) counter.change(-units);
    return new Budget(amounts, this.#counters);
  }

  /** The counter of `currency`, which has `units` to give. */
  #counterWith(currency: string, units: bigint): Counter {
    const counter = this.#counters.get(currency);
    if (counter !== undefined && units <= counter.available) return counter;
    throw new LeaseSubsetViolationError("the child's budget is above what its parent has left", {
      details: { capability: "cost.budget", currency, remaining: this.available().get(currency) ?? null },
    });
  }

  /**
   * Gives what is left back to the budget that this one was reserved from; what a delegated job still spends from here,
   * once that is closed too. Idempotent.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const counter of this.#counters.values()) counter.leave();
  }

  /** Calls `listener` with the currency whenever one of the counters that began here changes. */
  onChange(listener: (currency: string) => void): void {
    this.#listener = listener;
  }

  /** The first currency in which this is more than `limit`, compared exactly; one that `limit` lacks is more. */
  firstAbove(limit: Budget | undefined): string | undefined {
    for (const [currency, { units }] of this.#counters) {
      const most = limit === undefined ? undefined : limit.#counters.get(currency)?.units;
      if (most === undefined || units > most) return currency;
    }
    return undefined;
  }

  /** The first currency in which nothing is left that is not set aside. */
  firstExhausted(): string | undefined {
    for (const [currency, { available }] of this.#counters) if (available <= 0n) return currency;
    return undefined;
  }

  /** The first currency in which less than `amounts` is left that is not set aside; others do not count. */
  firstShort(amounts: Amounts): string | undefined {
    const short = Object.entries(amounts).find(([currency, amount]) => {
      const counter = this.#counters.get(currency);
      return counter !== undefined && unitsOf(amount) > counter.available;
    });
    return short?.[0];
  }

  /** Sets `amounts` aside; currencies that there is no counter for are left out. */
  hold(amounts: Amounts): Hold {
    const held = Object.entries(amounts).flatMap(([currency, amount]): [Counter, bigint][] => {
      const counter = this.#counters.get(currency);
      return counter === undefined ? [] : [[counter, unitsOf(amount)]];
    });
    return new Hold(new Map(held));
  }

  /**
   * Lowers the counter of `currency` by `cost`, by what `hold` has set aside first. Returns whether there is such a
   * counter and `cost` is a finite, non-negative number; otherwise nothing changes.
   */
  spend(currency: string, cost: number, hold?: Hold): boolean {
    const counter = this.#counters.get(currency);
    if (counter === undefined || !Number.isFinite(cost) || cost < 0) return false;
    if (hold === undefined) counter.change(-unitsOf(cost));
    else hold.settle(counter, unitsOf(cost));
    return true;
  }

  /** What is left of one currency; `undefined` if it is not budgeted. */
  remainingOf(currency: string): number | undefined {
    const counter = this.#counters.get(currency);
    return counter && numberOf(counter.units);
  }

  /** What is left, per currency. What is set aside is not taken off. */
  remaining(): ReadonlyMap<string, number> {
    return new Map([...this.#counters].map(([currency, { units }]) => [currency, numberOf(units)]));
  }

  /** What is left and not set aside, per currency. */
  available(): ReadonlyMap<string, number> {
    return new Map([...this.#counters].map(([currency, { available }]) => [currency, numberOf(available)]));
  }

  toJSON(): Record<string, number> {
    return Object.fromEntries(this.remaining());
  }
}

const unitsBy = (amounts: Iterable<[string, number]>): Map<string, bigint> =>
  new Map([...amounts].map(([currency, value]) => [currency, BigInt(Math.sign(value)) * unitsOf(Math.abs(value))]));

/** The counters that a lease starts with, per currency; empty without `cost.budget`. */
export const initialBudgetFromLease = (lease: Lease): ReadonlyMap<string, number> =>
  Budget.fromLease(lease)?.remaining() ?? new Map();

function amountsOf(lease: Lease): Map<string, bigint> | undefined {
  const amounts = lease["cost.budget"];
  if (amounts === undefined) return undefined;
  const units = new Map<string, bigint>();
  for (const amount of amounts) {
    if (!AMOUNT.test(amount)) {
      throw new InvalidRequestError(`not an amount: ${JSON.stringify(amount)}`, { details: { amount } });
    }
    const colon = amount.indexOf(":");
    const currency = amount.slice(0, colon);
    units.set(currency, (units.get(currency) ?? 0n) + unitsOf(amount.slice(colon + 1)));
  }
  return units;
}

/** The decimal that `value` prints as, rounded up to the smallest unit: a cost is never forgotten. */
function unitsOf(value: number | string): bigint {
  const text = String(value);
  const mantissa = text.replace(/e.*/, "");
  const exponent = Number(text.slice(mantissa.length + 1));
  const fraction = mantissa.replace(/\d+\.?/, "");
  const digits = BigInt(mantissa.replace(".", ""));
  const shift = SCALE_DIGITS + exponent - fraction.length;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return (digits + divisor - 1n) / divisor;
}

function numberOf(units: bigint): number {
  const [sign, size] = units < 0n ? ["-", -units] : ["", units];
  const fraction = (size % SCALE).toString().padStart(SCALE_DIGITS, "0");
  return Number(`${sign}${size / SCALE}.${fraction}`);
}
