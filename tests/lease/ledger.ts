/**
 * What budgets count (§9.4, §9.6), from the definition: every figure is summed anew from all that has happened. Slow, and
 * nothing of it is the runtime's.
 */

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

const sum = (all: Iterable<bigint>): bigint => [...all].reduce((total, one) => total + one, 0n);

/** The number that stands for so many of 10^-9. */
export const shown = (units: bigint): number => Number(`${units}e-9`);

/** An amount of a lease. */
export const amountOf = (currency: string, units: bigint): string => {
  const digits = String(units).padStart(10, "0");
  return `${currency}:${digits.slice(0, -9)}.${digits.slice(-9)}`;
};

export type Units = Readonly<Record<string, bigint>>;

/** One currency of a budget that names it. */
export class Account {
  readonly #initial: bigint;
  readonly #children: Account[] = [];
  readonly #estimates: Estimate[] = [];
  #spent = 0n;
  #end: { readonly left: bigint; readonly held: bigint } | undefined;

  constructor(initial: bigint, parent?: Account) {
    this.#initial = initial;
    if (parent !== undefined) parent.#children.push(this);
  }

  get #used(): bigint {
    return this.#spent + sum(this.#children.map((child) => child.#drawn));
  }

  /** What its parent does not have because of it: what it was given, or more if it has overspent; at last what it used. */
  get #drawn(): bigint {
    return this.#end === undefined ? max(this.#initial, this.#used) : this.#used + this.#kept;
  }

  /** What was left at the end is kept as far as it was held then, and no longer than that. */
  get #kept(): bigint {
    if (this.#end === undefined) return 0n;
    const { left, held } = this.#end;
    return max(min(max(left, 0n), held) - (held - this.held), 0n);
  }

  get held(): bigint {
    return sum(this.#estimates.map((estimate) => estimate.of(this)));
  }

  get left(): bigint {
    return this.#end?.left ?? this.#initial - this.#used;
  }

  get available(): bigint {
    return this.left - this.held;
  }

  spend(units: bigint): void {
    this.#spent += units;
  }

  /** `estimate` holds something of this. */
  expect(estimate: Estimate): void {
    this.#estimates.push(estimate);
  }

  close(): void {
    this.#end = { left: this.left, held: this.held };
  }
}

/** What an operation may still cost. */
export class Estimate {
  readonly #units = new Map<Account, bigint>();

  add(account: Account, units: bigint): void {
    this.#units.set(account, units);
    account.expect(this);
  }

  of(account: Account): bigint {
    return this.#units.get(account) ?? 0n;
  }

  settle(account: Account, cost: bigint): void {
    this.#units.set(account, max(this.of(account) - cost, 0n));
  }

  release(): void {
    this.#units.clear();
  }
}

/** A job's accounts: its own, and its parent's for the currencies that its lease does not name. */
export class Ledger {
  readonly accounts: ReadonlyMap<string, Account>;
  /** Of `accounts`, those that began here. */
  readonly own: ReadonlyMap<string, Account>;
  readonly #parent: Ledger | undefined;
  readonly #children: Ledger[] = [];
  #isClosed = false;

  constructor(units: Units, parent?: Ledger) {
    const inherited = parent?.accounts ?? new Map<string, Account>();
    this.own = new Map(Object.entries(units).map(([name, own]) => [name, new Account(own, inherited.get(name))]));
    this.accounts = new Map([...inherited, ...this.own]);
    this.#parent = parent;
    if (parent !== undefined) parent.#children.push(this);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Does this job, or one below it, still spend from `account`? */
  #spends(account: Account): boolean {
    if (!this.#isClosed && [...this.accounts.values()].includes(account)) return true;
    return this.#children.some((child) => child.#spends(account));
  }

  /** Closes what nobody spends from any more, here and above; not what the first job has, which is nobody else's. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#settle([...this.accounts.values()]);
  }

  #settle(left: readonly Account[]): void {
    if (this.#parent === undefined) return;
    for (const account of this.own.values()) {
      if (left.includes(account) && !this.#spends(account)) account.close();
    }
    this.#parent.#settle(left);
  }
}
