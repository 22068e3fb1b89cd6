import { expect, test } from "vitest";
import { Budget } from "../../packages/runtime/src/engine/lease/budget.ts";

const parent = (): Budget => Budget.fromRemaining({ USD: 4, EUR: 7 });
const left = (budget: Budget): Record<string, number> => Object.fromEntries(budget.remaining());

test("of a job that goes on by itself, every counter stands where it stood", () => {
  const lease = { "cost.budget": ["USD:5", "EUR:3"] };
  expect(left(Budget.takenOver({ USD: 2.5, EUR: 1 }, lease, undefined))).toEqual({ USD: 2.5, EUR: 1 });
  expect(left(Budget.takenOver({ USD: 2.5 }, {}, undefined))).toEqual({ USD: 2.5 });
});

test("of a job whose parent goes on, what its lease names is its own, and the rest its parent's", () => {
  const child = Budget.takenOver({ USD: 1.5, EUR: 3 }, { "cost.budget": ["USD:2"] }, parent());
  expect(left(child)).toEqual({ USD: 1.5, EUR: 7 });
});

test("of one whose lease names nothing, what its parent has is its parent's, and what it has not its own", () => {
  expect(left(Budget.takenOver({ USD: 1, GBP: 2 }, {}, parent()))).toEqual({ USD: 4, EUR: 7, GBP: 2 });
});
