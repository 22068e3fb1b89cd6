/** What budgets count, figure by figure. What holds of every tree of them is in `budget-properties.test.ts`. */
import { ARCPError } from "@arcp/core";
import { initialBudgetFromLease, validateLeaseShape } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { Budget } from "../../packages/runtime/src/engine/lease/budget.ts";
import { covers } from "../support/covers.ts";

const leaseOf = (...amounts: readonly string[]) => ({ "cost.budget": amounts });

const budgetOf = (...amounts: readonly string[]): Budget => Budget.fromLease(leaseOf(...amounts)) as Budget;

/** What `budget` has left, and what of that is not set aside. */
const figures = (budget: Budget): object => ({
  left: Object.fromEntries(budget.remaining()),
  free: Object.fromEntries(budget.available()),
});

function refusalOf(run: () => unknown): object {
  try {
    run();
  } catch (error) {
    if (error instanceof ARCPError) return { code: error.code, message: error.message, details: error.details };
    throw error;
  }
  throw new Error("not refused");
}

describe("amounts", () => {
  test.each([
    ["USD:5", { USD: 5 }],
    ["USD:05.00", { USD: 5 }],
    ["USD:0.000000001", { USD: 1e-9 }],
    ["USD:10.05", { USD: 10.05 }],
    ["x:999999999999999.999999999", { x: 1e15 }],
    ["x:999999999999999", { x: 999_999_999_999_999 }],
    ["x:123456789012345.5", { x: 123_456_789_012_345.5 }],
    ["A1_b-2:3", { "A1_b-2": 3 }],
    [`a${"1".repeat(31)}:3`, { [`a${"1".repeat(31)}`]: 3 }],
  ])("%s is one", (amount, numbers) => {
    expect(budgetOf(amount).toJSON()).toStrictEqual(numbers);
    expect(initialBudgetFromLease(leaseOf(amount))).toEqual(new Map(Object.entries(numbers)));
  });

  test.each([
    ...["", "USD", "USD:", ":5", " USD:5", "1USD:5", "-USD:5", "USD:5 ", "USD:5x", "USD:5\n", "US D:5", "USD::5"],
    ...["USD:x5", "USD:.5", "USD:5.", "USD:5.x", "USD:5.0.0", "USD:5,0", "USD:-1", "USD:+1", "USD:1e3"],
    ...["USD:0.0000000001", "x:1000000000000000", `a${"1".repeat(32)}:3`],
  ])("%j is none", (amount) => {
    covers("V11-9.6-01");
    expect(refusalOf(() => budgetOf("EUR:1", amount))).toStrictEqual({
      ...{ code: "INVALID_REQUEST", message: `not an amount: ${JSON.stringify(amount)}`, details: { amount } },
    });
  });

  test("are looked at where a lease is", () => {
    expect(refusalOf(() => validateLeaseShape(leaseOf("USD: 5")))).toMatchObject({
      message: 'not an amount: "USD: 5"',
    });
  });

  test("of one currency add up, in the order in which currencies are named first", () => {
    const budget = budgetOf("EUR:0.1", "USD:1", "EUR:0.2");
    expect([...budget.remaining()]).toEqual([
      ["EUR", 0.3],
      ["USD", 1],
    ]);
    expect(JSON.stringify({ budget })).toBe('{"budget":{"EUR":0.3,"USD":1}}');
  });

  test("may be none at all", () => {
    expect(Budget.fromLease({ "fs.read": ["/a"] })).toBeUndefined();
    expect(initialBudgetFromLease({})).toEqual(new Map());
    expect(budgetOf().remaining()).toEqual(new Map());
  });
});

describe("numbers", () => {
  test.each([
    ["0", 0],
    ["0", -0],
    ["-0.12", -0.12],
    ["-1", -1],
    ["-0.05", -0.05],
    ["10.5", 10.5],
    ["12.25", 12.25],
    ["0.0000001", 1e-7],
    ["0.000000125", 1.25e-7],
    ["0.000000001", 1e-9],
    ["1500000000000000000000", 1.5e21],
    ["1e300", 1e300],
  ])("%s is what a counter stands at", (text, number) => {
    const left = Number(text);
    for (const remaining of [{ USD: number }, new Map([["USD", number]])]) {
      expect(Budget.fromRemaining(remaining).remainingOf("USD")).toBe(left);
    }
  });

  test.each([
    ["0.000000001", 1e-10],
    ["0.000000001", 5e-324],
    ["0.000000001", 9.99e-10],
    ["0.000000002", 1.000000001e-9],
    ["1.000000001", 1.0000000001],
    ["1.234567891", 1.23456789012],
  ])("%s is taken where %d is spent: a cost is rounded up", (taken, cost) => {
    const budget = budgetOf("USD:2");
    expect(budget.spend("USD", cost)).toBe(true);
    expect(budget.remainingOf("USD")).toBe(Number((2 - Number(taken)).toFixed(9)));
  });
});

describe("a counter", () => {
  test("is lowered by what is spent in its currency, also below zero", () => {
    covers("V11-9.6-03", "V11-9.6-04");
    const budget = budgetOf("USD:1", "EUR:1");
    expect(budget.spend("USD", 0.3)).toBe(true);
    expect(budget.spend("USD", 0)).toBe(true);
    expect(budget.toJSON()).toEqual({ USD: 0.7, EUR: 1 });
    expect(budget.spend("USD", 1)).toBe(true);
    expect(budget.toJSON()).toEqual({ USD: -0.3, EUR: 1 });
    expect([budget.remainingOf("USD"), budget.remainingOf("EUR"), budget.remainingOf("JPY")]).toEqual([
      ...[-0.3, 1, undefined],
    ]);
  });

  test("is not touched by what is no cost of its own", () => {
    covers("V11-9.6-04", "V11-9.6-05");
    const budget = budgetOf("USD:1");
    const hold = budget.hold({ USD: 0.5 });
    for (const held of [undefined, hold]) {
      expect(budget.spend("JPY", 1, held)).toBe(false);
      for (const cost of [-1, -1e-9, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        expect(budget.spend("USD", cost, held)).toBe(false);
      }
    }
    expect(figures(budget)).toEqual({ left: { USD: 1 }, free: { USD: 0.5 } });
  });

  test("is used up when nothing of it is free", () => {
    covers("V11-9.6-09");
    expect(budgetOf("USD:0.000000001").firstExhausted()).toBeUndefined();
    expect(budgetOf("USD:1", "EUR:0", "JPY:0").firstExhausted()).toBe("EUR");
    const budget = budgetOf("USD:1", "EUR:1");
    const hold = budget.hold({ EUR: 1 });
    expect(budget.firstExhausted()).toBe("EUR");
    hold.release();
    expect(budget.firstExhausted()).toBeUndefined();
    budget.spend("USD", 2);
    expect(budget.firstExhausted()).toBe("USD");
    expect(budgetOf().firstExhausted()).toBeUndefined();
  });

  test("is short of an estimate that is above what is free", () => {
    const budget = budgetOf("USD:1", "EUR:2");
    budget.hold({ EUR: 1.5 });
    expect(budget.firstShort({ USD: 1, EUR: 0.5 })).toBeUndefined();
    expect(budget.firstShort({ USD: 1.000000001, EUR: 0.6 })).toBe("USD");
    expect(budget.firstShort({ EUR: 0.6, USD: 2 })).toBe("EUR");
    expect(budget.firstShort({ JPY: 9, EUR: 0.5 })).toBeUndefined();
    expect(budget.firstShort({})).toBeUndefined();
  });
});

describe("what is set aside", () => {
  test("is not free, and nothing that is left goes with it", () => {
    const budget = budgetOf("USD:1", "EUR:1");
    budget.hold({ USD: 0.6, JPY: 5 });
    budget.hold({ USD: 0.25, EUR: 0.5 });
    expect(figures(budget)).toEqual({ left: { USD: 1, EUR: 1 }, free: { USD: 0.15, EUR: 0.5 } });
  });

  test("pays for its operation first; more than that comes from what is free", () => {
    const budget = budgetOf("USD:1");
    const hold = budget.hold({ USD: 0.5 });
    expect(budget.spend("USD", 0.2, hold)).toBe(true);
    expect(figures(budget)).toEqual({ left: { USD: 0.8 }, free: { USD: 0.5 } });
    budget.spend("USD", 0.4, hold);
    expect(figures(budget)).toEqual({ left: { USD: 0.4 }, free: { USD: 0.4 } });
    budget.spend("USD", 0.1, hold);
    expect(figures(budget)).toEqual({ left: { USD: 0.3 }, free: { USD: 0.3 } });
    hold.release();
    expect(figures(budget)).toEqual({ left: { USD: 0.3 }, free: { USD: 0.3 } });
  });

  test("pays in its own currencies, and for nothing once it was given back", () => {
    const budget = budgetOf("USD:1", "EUR:1");
    const hold = budget.hold({ USD: 0.5 });
    expect(budget.spend("EUR", 0.4, hold)).toBe(true);
    expect(figures(budget)).toEqual({ left: { USD: 1, EUR: 0.6 }, free: { USD: 0.5, EUR: 0.6 } });
    hold.release();
    hold.release();
    expect(figures(budget)).toEqual({ left: { USD: 1, EUR: 0.6 }, free: { USD: 1, EUR: 0.6 } });
    budget.spend("USD", 0.5, hold);
    expect(figures(budget)).toEqual({ left: { USD: 0.5, EUR: 0.6 }, free: { USD: 0.5, EUR: 0.6 } });
  });
});

describe("the budget of a delegated job", () => {
  test("is taken from its parent's, and what is not spent goes back once", () => {
    const parent = budgetOf("USD:10", "EUR:5");
    const child = parent.reserve(leaseOf("USD:1.5", "USD:2.5"));
    expect(parent.toJSON()).toEqual({ USD: 6, EUR: 5 });
    expect([...child.remaining()]).toEqual([
      ["USD", 4],
      ["EUR", 5],
    ]);
    child.spend("USD", 1);
    expect([parent.remainingOf("USD"), child.remainingOf("USD")]).toEqual([6, 3]);
    child.close();
    child.close();
    expect([parent.remainingOf("USD"), child.remainingOf("USD")]).toEqual([9, 3]);
  });

  test("is its parent's own where it names none", () => {
    const parent = budgetOf("USD:10");
    const child = parent.reserve({ "fs.read": ["/a"] });
    child.spend("USD", 4);
    const hold = child.hold({ USD: 1 });
    expect(figures(parent)).toEqual({ left: { USD: 6 }, free: { USD: 5 } });
    child.close();
    expect(figures(parent)).toEqual({ left: { USD: 6 }, free: { USD: 5 } });
    hold.release();
    expect(figures(parent)).toEqual({ left: { USD: 6 }, free: { USD: 6 } });
  });

  test("is at most what is free", () => {
    covers("V11-9.4-05", "V11-9.4-06");
    const message = "the child's budget is above what its parent has left";
    const refused = (currency: string, remaining: number | null) => ({
      ...{ code: "LEASE_SUBSET_VIOLATION", message, details: { capability: "cost.budget", currency, remaining } },
    });
    const parent = budgetOf("USD:10", "EUR:5", "JPY:0");
    parent.hold({ USD: 4 });
    expect(refusalOf(() => parent.reserve(leaseOf("EUR:5", "USD:6.000000001")))).toStrictEqual(refused("USD", 6));
    expect(refusalOf(() => parent.reserve(leaseOf("USD:1", "GBP:0")))).toStrictEqual(refused("GBP", null));
    expect(refusalOf(() => parent.reserve(leaseOf("JPY:1")))).toStrictEqual(refused("JPY", 0));
    expect(refusalOf(() => parent.reserve(leaseOf("USD:x")))).toMatchObject({ code: "INVALID_REQUEST" });
    expect(parent.toJSON()).toEqual({ USD: 10, EUR: 5, JPY: 0 });
    expect(parent.reserve(leaseOf("USD:6", "EUR:5", "JPY:0")).toJSON()).toEqual({ USD: 6, EUR: 5, JPY: 0 });
    expect(figures(parent)).toEqual({ left: { USD: 4, EUR: 0, JPY: 0 }, free: { USD: 0, EUR: 0, JPY: 0 } });
  });

  test("that is overspent is its parent's debt at once, up to the first job", () => {
    covers("V11-10.2-04");
    const first = budgetOf("USD:10");
    const second = first.reserve(leaseOf("USD:5"));
    const third = second.reserve(leaseOf("USD:2"));
    const left = () => [first, second, third].map((budget) => budget.remainingOf("USD"));
    third.spend("USD", 3);
    expect(left()).toEqual([5, 2, -1]);
    third.spend("USD", 4);
    expect(left()).toEqual([3, -2, -5]);
    third.close();
    expect(left()).toEqual([3, -2, -5]);
    second.close();
    expect(left()).toEqual([3, -2, -5]);
    third.spend("USD", 1);
    expect(left()).toEqual([2, -2, -5]);
  });

  test("goes back where its parent has ended too", () => {
    const first = budgetOf("USD:10");
    const second = first.reserve(leaseOf("USD:5"));
    const third = second.reserve(leaseOf("USD:2"));
    second.close();
    expect(first.remainingOf("USD")).toBe(8);
    third.spend("USD", 0.5);
    third.close();
    expect(first.remainingOf("USD")).toBe(9.5);
    expect(second.remainingOf("USD")).toBe(3);
  });

  test("is kept after its end for operations that are under way, as far as there was something left", () => {
    const parent = budgetOf("USD:10");
    const child = parent.reserve(leaseOf("USD:5"));
    const [one, other] = [child.hold({ USD: 1 }), child.hold({ USD: 2 })];
    child.close();
    expect(parent.remainingOf("USD")).toBe(7);
    child.spend("USD", 0.25, one);
    expect(parent.remainingOf("USD")).toBe(7);
    one.release();
    expect(parent.remainingOf("USD")).toBe(7.75);
    child.spend("USD", 3, other);
    expect(parent.remainingOf("USD")).toBe(6.75);
    other.release();
    child.spend("USD", 1, other);
    expect(figures(parent)).toEqual({ left: { USD: 5.75 }, free: { USD: 5.75 } });
  });

  test("keeps nothing that was not left", () => {
    const parent = budgetOf("USD:10");
    const child = parent.reserve(leaseOf("USD:5"));
    const hold = child.hold({ USD: 4 });
    child.spend("USD", 3);
    child.close();
    expect(parent.remainingOf("USD")).toBe(5);
    child.spend("USD", 3, hold);
    expect(parent.remainingOf("USD")).toBe(4);
    hold.release();
    expect(parent.remainingOf("USD")).toBe(4);
  });

  test("keeps what was left once, for all operations together", () => {
    const parent = budgetOf("USD:10");
    const child = parent.reserve(leaseOf("USD:5"));
    const [one, other] = [child.hold({ USD: 2 }), child.hold({ USD: 2 })];
    child.spend("USD", 2);
    child.close();
    expect(parent.remainingOf("USD")).toBe(5);
    one.release();
    other.release();
    expect(parent.remainingOf("USD")).toBe(8);
  });

  test("bounds those below it for as long as they spend from it", () => {
    covers("V11-10.2-04");
    const first = budgetOf("USD:10");
    const second = first.reserve(leaseOf("USD:5"));
    const [third, fourth] = [second.reserve({}), second.reserve({ "cost.budget": [] })];
    second.close();
    second.close();
    expect(figures(third)).toEqual({ left: { USD: 5 }, free: { USD: 5 } });
    third.spend("USD", 3);
    expect(refusalOf(() => fourth.reserve(leaseOf("USD:2.5")))).toMatchObject({ details: { remaining: 2 } });
    third.close();
    expect([first, fourth].map((budget) => budget.remainingOf("USD"))).toEqual([5, 2]);
    fourth.spend("USD", 1);
    expect([first, fourth].map((budget) => budget.remainingOf("USD"))).toEqual([5, 1]);
    fourth.close();
    expect(first.remainingOf("USD")).toBe(6);
  });

  test("goes back once, whoever is made of it afterwards", () => {
    const first = budgetOf("USD:10");
    const second = first.reserve(leaseOf("USD:5"));
    second.close();
    second.reserve({}).close();
    expect(first.remainingOf("USD")).toBe(10);
  });

  test("of nobody is the first job's, which has nothing to give back", () => {
    const first = budgetOf("USD:10");
    first.close();
    first.spend("USD", 4);
    const child = first.reserve(leaseOf("USD:1"));
    child.close();
    first.close();
    expect(figures(first)).toEqual({ left: { USD: 6 }, free: { USD: 6 } });
  });
});

describe("a listener", () => {
  /** Budgets by name, each of which writes down what it was told. */
  function told(budgets: Readonly<Record<string, Budget>>): string[] {
    const all: string[] = [];
    for (const [name, budget] of Object.entries(budgets)) {
      budget.onChange((currency) => all.push(`${name} ${currency} ${budget.remainingOf(currency)}`));
    }
    return all;
  }

  test("is told of each change of what is left, after it", () => {
    const budget = budgetOf("USD:10", "EUR:5");
    const heard = told({ budget });
    budget.spend("USD", 4);
    budget.spend("USD", 0);
    budget.spend("JPY", 1);
    budget.spend("EUR", -1);
    const hold = budget.hold({ USD: 1, EUR: 1 });
    hold.release();
    budget.spend("EUR", 5, hold);
    budget.close();
    expect(heard).toEqual(["budget USD 6", "budget EUR 0"]);
  });

  test("is told of what was reserved and given back", () => {
    const parent = budgetOf("USD:10", "EUR:5", "JPY:1");
    const heard = told({ parent });
    const child = parent.reserve(leaseOf("EUR:2", "JPY:0", "USD:1"));
    expect(heard.splice(0)).toEqual(["parent EUR 3", "parent USD 9"]);
    child.spend("USD", 1);
    child.close();
    expect(heard).toEqual(["parent EUR 5"]);
  });

  test("is told of the counters that began with it, parents first", () => {
    const parent = budgetOf("USD:10", "EUR:5");
    const child = parent.reserve(leaseOf("USD:1"));
    const heard = told({ parent, child });
    child.spend("EUR", 1);
    child.spend("USD", 1);
    child.spend("USD", 1);
    child.close();
    child.spend("USD", 1);
    expect(heard).toEqual(["parent EUR 4", "child USD 0", "parent USD 8", "child USD -1", "parent USD 7"]);
  });

  test("is the last one that was set", () => {
    const budget = budgetOf("USD:10");
    const [first, second] = [told({ first: budget }), told({ second: budget })];
    budget.spend("USD", 1);
    expect([first, second]).toEqual([[], ["second USD 9"]]);
  });
});
