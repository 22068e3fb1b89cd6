/** Trees of budgets against a ledger that is summed anew after each step. {@link runs} says how to try more of them. */
import { ARCPError, type Lease } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Budget, type Hold } from "../../packages/runtime/src/engine/lease/budget.ts";
import { covers } from "../support/covers.ts";
import { type Account, amountOf, Estimate, Ledger, shown, type Units } from "./ledger.ts";
import { report, runs, SCALE, TIMEOUT_MS } from "./scale.ts";

vi.setConfig({ testTimeout: TIMEOUT_MS });

/** A budget, and what the ledger says of it. */
interface Job {
  readonly budget: Budget;
  readonly ledger: Ledger;
}

interface Operation {
  readonly job: Job;
  readonly hold: Hold;
  readonly estimate: Estimate;
}

type Step =
  | { readonly kind: "spend"; readonly who: number; readonly currency: string; readonly units: bigint }
  | { readonly kind: "settle"; readonly which: number; readonly currency: string; readonly units: bigint }
  | { readonly kind: "hold" | "reserve"; readonly who: number; readonly units: Units }
  | { readonly kind: "release"; readonly which: number }
  | { readonly kind: "close"; readonly who: number };

type Kind = Step["kind"];

const CURRENCIES = ["USD", "EUR"];
/** What no budget has. */
const UNKNOWN = "x_1-Y";

/** So few that sums meet their bounds: of which units, it does not matter. */
const few = (max: number) => fc.integer({ min: 0, max });
const nobody = fc.nat({ max: 99 });
const currency = fc.constantFrom(...Array(5).fill(CURRENCIES).flat(), UNKNOWN);

function stepsOf(unit: bigint, kinds: readonly Kind[]): fc.Arbitrary<Step[]> {
  const units = few(40).map((count) => BigInt(count) * unit);
  const amounts = fc
    .uniqueArray(fc.tuple(currency, units), { selector: ([name]) => name, maxLength: 2 })
    .map((all): Units => Object.fromEntries(all));
  const one: { readonly [Name in Kind]: fc.Arbitrary<Step> } = {
    spend: fc.record({ kind: fc.constant("spend"), who: nobody, currency, units }),
    settle: fc.record({ kind: fc.constant("settle"), which: nobody, currency, units }),
    hold: fc.record({ kind: fc.constant("hold"), who: nobody, units: amounts }),
    reserve: fc.record({ kind: fc.constant("reserve"), who: nobody, units: amounts }),
    release: fc.record({ kind: fc.constant("release"), which: nobody }),
    close: fc.record({ kind: fc.constant("close"), who: nobody }),
  };
  return fc.array(fc.oneof(...kinds.map((kind) => one[kind])), { maxLength: 60, size: "max" });
}

/** The smallest units of all, and some that need every digit. */
const unit = fc.constantFrom(1n, 1_000n, 123_456_789n, 10n ** 9n);

const leaseOf = (units: Units): Lease => ({
  "cost.budget": Object.entries(units).map(([name, one]) => amountOf(name, one)),
});
const numbersOf = (units: Units): Record<string, number> =>
  Object.fromEntries(Object.entries(units).map(([name, one]) => [name, shown(one)]));

/** Every job of a tree, and every operation that one of them began. */
class Tree {
  readonly jobs: Job[] = [];
  readonly operations: Operation[] = [];
  /** Costs that were taken, per currency. */
  readonly spent = new Map<string, bigint>();
  #told: string[] = [];

  constructor(units: Units) {
    this.#join(Budget.fromLease(leaseOf(units)) as Budget, new Ledger(units));
  }

  get root(): Job {
    return this.jobs[0] as Job;
  }

  #join(budget: Budget, ledger: Ledger): void {
    const index = this.jobs.push({ budget, ledger }) - 1;
    budget.onChange((name) => this.#told.push(told(index, name, budget.remainingOf(name))));
  }

  /** What listeners were told since this was last asked, sorted. */
  heard(): string[] {
    const all = this.#told.sort();
    this.#told = [];
    return all;
  }

  take(step: Step): void {
    if (step.kind === "release") this.#release(pick(this.operations, step.which));
    else if (step.kind === "settle") this.#settle(pick(this.operations, step.which), step.currency, step.units);
    else {
      const job = pick(this.jobs, step.who) as Job;
      if (step.kind === "spend") this.#spend(job, step.currency, step.units);
      else if (step.kind === "close") close(job);
      // What has ended neither acts nor delegates.
      else if (job.ledger.isClosed) return;
      else if (step.kind === "hold") this.#hold(job, step.units);
      else this.#reserve(job, step.units);
    }
  }

  #pay(name: string, cost: bigint): void {
    this.spent.set(name, (this.spent.get(name) ?? 0n) + cost);
  }

  #spend({ budget, ledger }: Job, name: string, cost: bigint): void {
    const account = ledger.accounts.get(name);
    expect(budget.spend(name, shown(cost))).toBe(account !== undefined);
    account?.spend(cost);
    if (account !== undefined) this.#pay(name, cost);
  }

  #settle(operation: Operation | undefined, name: string, cost: bigint): void {
    if (operation === undefined) return;
    const { job, hold, estimate } = operation;
    const account = job.ledger.accounts.get(name);
    expect(job.budget.spend(name, shown(cost), hold)).toBe(account !== undefined);
    if (account === undefined) return;
    account.spend(cost);
    estimate.settle(account, cost);
    this.#pay(name, cost);
  }

  #release(operation: Operation | undefined): void {
    operation?.hold.release();
    operation?.estimate.release();
  }

  #hold(job: Job, units: Units): void {
    const estimate = new Estimate();
    this.operations.push({ job, hold: job.budget.hold(numbersOf(units)), estimate });
    for (const [name, one] of Object.entries(units)) {
      const account = job.ledger.accounts.get(name);
      if (account !== undefined) estimate.add(account, one);
    }
  }

  #reserve({ budget, ledger }: Job, units: Units): void {
    const refused = Object.entries(units).find(([name, one]) => one > (ledger.accounts.get(name)?.available ?? -1n));
    try {
      const child = budget.reserve(leaseOf(units));
      expect(refused).toBeUndefined();
      this.#join(child, new Ledger(units, ledger));
    } catch (error) {
      if (!(error instanceof ARCPError) || refused === undefined) throw error;
      const [name] = refused;
      const account = ledger.accounts.get(name);
      const remaining = account === undefined ? null : shown(account.available);
      expect(error).toMatchObject({ code: "LEASE_SUBSET_VIOLATION", details: { currency: name, remaining } });
    }
  }

  /** Ends every job and every operation, in the order that `turns` has. */
  fell(turns: readonly number[]): void {
    const ends = [
      ...this.jobs.map((job) => () => close(job)),
      ...this.operations.map((operation) => () => this.#release(operation)),
    ];
    for (const turn of turns) ends.splice(turn % Math.max(ends.length, 1), 1)[0]?.();
    for (const end of ends) end();
  }
}

function close({ budget, ledger }: Job): void {
  budget.close();
  ledger.close();
}

const pick = <Value>(all: readonly Value[], index: number): Value | undefined => all[index % all.length];
const told = (index: number, name: string, remaining: number | undefined): string => `${index} ${name} ${remaining}`;

function figuresOf(job: Job): object {
  const figures = (of: (account: Account) => bigint) =>
    new Map([...job.ledger.accounts].map(([n, a]) => [n, shown(of(a))]));
  return {
    remaining: figures(({ left }) => left),
    available: figures(({ available }) => available),
    exhausted: [...job.ledger.accounts].find(([, { available }]) => available <= 0n)?.[0],
  };
}

const shownBy = ({ budget }: Job): object => ({
  remaining: budget.remaining(),
  available: budget.available(),
  exhausted: budget.firstExhausted(),
});

/** What is left in each account, by the job that it began with. */
const leftIn = ({ jobs }: Tree): Map<Account, [index: number, name: string, left: bigint]> =>
  new Map(
    jobs.flatMap(({ ledger }, index) =>
      [...ledger.own].map(([name, account]): [Account, [number, string, bigint]] => [
        account,
        [index, name, account.left],
      ]),
    ),
  );

const EVERY_KIND: readonly Kind[] = ["spend", "settle", "hold", "reserve", "reserve", "release", "close"];

describe("a tree of budgets, whatever happens to it in whatever order", () => {
  const start = fc.record({ USD: few(100), EUR: few(100) });
  const history = unit.chain((one) =>
    fc.record({
      begun: start.map(({ USD, EUR }): Units => ({ USD: BigInt(USD) * one, EUR: BigInt(EUR) * one })),
      steps: stepsOf(one, EVERY_KIND),
      turns: fc.array(nobody, { maxLength: 20 }),
    }),
  );

  test("shows what the ledger says, and tells of each counter that has changed, once and afterwards", () => {
    covers("V11-9.6-02", "V11-9.6-07", "V11-10.2-04");
    let taken = 0;
    let changes = 0;
    fc.assert(
      fc.property(history, ({ begun, steps }) => {
        const tree = new Tree(begun);
        for (const step of steps) {
          const before = leftIn(tree);
          tree.take(step);
          const changed = [...leftIn(tree)]
            .filter(([account, [, , left]]) => before.has(account) && before.get(account)?.[2] !== left)
            .map(([, [index, name, left]]) => told(index, name, shown(left)));
          expect(tree.heard()).toEqual(changed.sort());
          for (const job of tree.jobs) expect(shownBy(job)).toEqual(figuresOf(job));
          taken += 1;
          changes += changed.length;
        }
      }),
      runs(1_000),
    );
    report("steps", { taken, changes });
    expect(changes).toBeGreaterThan(taken / 5);
  });

  test("has back what was not spent, once, when all of it has ended", () => {
    fc.assert(
      fc.property(history, ({ begun, steps, turns }) => {
        const tree = new Tree(begun);
        for (const step of steps) tree.take(step);
        tree.fell(turns);
        tree.fell(turns);
        const left = Object.entries(begun).map(([name, units]) => [name, shown(units - (tree.spent.get(name) ?? 0n))]);
        expect(tree.root.budget.remaining()).toEqual(new Map(left as [string, number][]));
        expect(tree.root.budget.available()).toEqual(new Map(left as [string, number][]));
      }),
      runs(1_000),
    );
  });

  test("is never spent below zero if every cost was held before", () => {
    let held = 0;
    fc.assert(
      fc.property(
        unit.chain((one) =>
          stepsOf(one, ["hold", "settle", "release", "reserve", "close"]).map((steps) => ({ one, steps })),
        ),
        ({ one, steps }) => {
          const tree = new Tree({ USD: 100n * one, EUR: 50n * one });
          for (const step of steps) {
            if (step.kind === "hold") {
              const { budget } = pick(tree.jobs, step.who) as Job;
              if (budget.firstExhausted() !== undefined || budget.firstShort(numbersOf(step.units)) !== undefined)
                continue;
              held += 1;
            }
            if (step.kind === "settle") {
              const operation = pick(tree.operations, step.which);
              const account = operation?.job.ledger.accounts.get(step.currency);
              if (account === undefined || step.units > (operation?.estimate.of(account) ?? 0n)) continue;
            }
            tree.take(step);
            for (const { budget } of tree.jobs) {
              for (const left of [...budget.remaining().values(), ...budget.available().values()]) {
                if (left < 0) expect([step, left]).toBe("not below zero");
              }
            }
          }
        },
      ),
      runs(1_000),
    );
    report("operations", { held });
    expect(held).toBeGreaterThan(100 * SCALE);
  });
});

describe("an amount", () => {
  const digits = fc.bigInt({ min: 0n, max: 10n ** 24n - 1n });
  const limit = (units: bigint) => Budget.fromLease({ "cost.budget": [amountOf("USD", units)] }) as Budget;

  test("of a lease is the nearest number", () => {
    fc.assert(
      fc.property(digits, (units) => {
        const lease: Lease = { "cost.budget": [amountOf("USD", units)] };
        expect(Budget.fromLease(lease)?.remaining()).toEqual(new Map([["USD", shown(units)]]));
      }),
      runs(1_000),
    );
  });

  test("that is a number is the decimal that it prints as, rounded up", () => {
    const double = fc.double({ min: 0, max: 999_999_999_999_999, noNaN: true });
    const decimal = fc.tuple(fc.nat(), fc.integer({ min: -20, max: 5 })).map(([n, e]) => Number(`${n}e${e}`));
    fc.assert(
      fc.property(fc.oneof(double, decimal), (value) => {
        const [mantissa = "", exponent = ""] = value.toExponential().split("e");
        const shift = 9 + Number(exponent) - (mantissa.length - 1 - Number(mantissa.includes(".")));
        const whole = BigInt(mantissa.replace(".", ""));
        const scale = 10n ** BigInt(Math.abs(shift));
        const units = shift < 0 ? (whole + scale - 1n) / scale : whole * scale;
        const budget = Budget.fromRemaining({ USD: value });
        expect(budget.firstAbove(limit(units))).toBeUndefined();
        if (units > 0n) expect(budget.firstAbove(limit(units - 1n))).toBe("USD");
        const owed = Budget.fromRemaining({ USD: -value });
        expect(owed.remaining()).toEqual(new Map([["USD", shown(-units)]]));
      }),
      runs(2_000),
    );
  });
});
