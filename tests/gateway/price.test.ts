/** Sums of money. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decimalOf, numberOf, parseDecimal, unitsOf } from "../../packages/gateway/src/amount.ts";
import { type ModelPrice, PriceTable } from "../../packages/gateway/src/price.ts";
import { covers } from "../support/covers.ts";

const NOTHING = { input: 0, cachedInput: 0, cacheWrite: 0, cacheWriteLong: 0, output: 0 };
const priceOf = (entry: ModelPrice) => {
  const price = new PriceTable({ model: entry }).priceOf("model");
  if (price === undefined) throw new Error("no price");
  return price;
};

test("each kind of token has its price, and the sum is exact", () => {
  covers("V11-9.6-07");
  const price = priceOf({ input: "3", output: "15", cachedInput: "0.3", cacheWrite: "3.75", cacheWriteLong: "6" });
  const cost = (usage: object): string => decimalOf(price.costOf({ ...NOTHING, ...usage }));
  expect(cost({ input: 1_000_000 })).toBe("3");
  expect(cost({ output: 1 })).toBe("0.000015");
  expect(cost({ cachedInput: 10 })).toBe("0.000003");
  expect(cost({ cacheWrite: 4 })).toBe("0.000015");
  expect(cost({ cacheWriteLong: 1, input: 1, output: 1 })).toBe("0.000024");
  // Ten times a tenth of a cent is a cent.
  const tenth = price.costOf({ ...NOTHING, output: 67 });
  expect(tenth * 1000n).toBe(price.costOf({ ...NOTHING, output: 67_000 }));
});

test("what is below the smallest unit is rounded up, once", () => {
  const price = priceOf({ input: "0.0001", output: "0" });
  expect(price.costOf({ ...NOTHING, input: 1 })).toBe(1n);
  expect(price.costOf({ ...NOTHING, input: 11 })).toBe(2n);
});

test("what is not said costs the most that it may", () => {
  const price = priceOf({ input: "1", output: "2" });
  expect(decimalOf(price.costOf({ ...NOTHING, cachedInput: 1000 }))).toBe("0.001");
  expect(decimalOf(price.costOf({ ...NOTHING, cacheWrite: 1000 }))).toBe("0.002");
  expect(decimalOf(price.costOf({ ...NOTHING, cacheWriteLong: 1000 }))).toBe("0.002");
});

test("no usage within its bound costs more than the bound, and what is affordable is within it", () => {
  const decimal = fc.integer({ min: 0, max: 10 ** 12 }).map((units) => decimalOf(BigInt(units)));
  const count = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(decimal, decimal, count, count, count, fc.boolean(), (input, output, read, written, spoken, caches) => {
      const price = priceOf({ input, output, cachedInput: decimalOf((parseDecimal(input) ?? 0n) / 2n) });
      const usage = { ...NOTHING, input: read, output: spoken, [caches ? "cacheWrite" : "cachedInput"]: written };
      const bound = price.bound(read + written, spoken, caches);
      expect(price.costOf(usage)).toBeLessThanOrEqual(bound);
      const tokens = price.affordable(bound, read + written, caches);
      expect(tokens).toBeGreaterThanOrEqual(spoken);
      if (tokens < 1e9) expect(price.bound(read + written, tokens, caches)).toBeLessThanOrEqual(bound);
    }),
  );
});

test("a name stands before a pattern, and patterns in their order", () => {
  const table = new PriceTable({
    "tier/*": { input: "1", output: "1" },
    "tier/**": { input: "2", output: "2" },
    "tier/best": { input: "3", output: "3" },
  });
  const inputOf = (model: string): string | undefined => {
    const price = table.priceOf(model);
    return price && decimalOf(price.costOf({ ...NOTHING, input: 1_000_000 }));
  };
  expect(["tier/best", "tier/fast", "tier/fast/new", "other"].map(inputOf)).toEqual(["3", "1", "2", undefined]);
  expect([...table.names]).toEqual(["tier/best"]);
});

test.each<[string, object]>([
  ["a number for a price", { input: 3, output: "1" }],
  ["a negative price", { input: "-3", output: "1" }],
  ["too many digits", { input: "0.0000000001", output: "1" }],
  ["no output", { input: "1" }],
  ["a limit of nothing", { input: "1", output: "1", maxOutputTokens: 0 }],
  ["no currency", { input: "1", output: "1", currency: "" }],
])("a price with %s is none", (_, entry) => {
  expect(() => new PriceTable({ model: entry as ModelPrice })).toThrow(TypeError);
});

test("numbers and units are the same decimals", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), (units) => {
      expect(unitsOf(numberOf(units))).toBe(units);
      expect(parseDecimal(decimalOf(units))).toBe(units);
    }),
  );
  expect(unitsOf(1e-7)).toBe(100n);
  expect(unitsOf(1e-10)).toBe(1n);
  expect(unitsOf(1e21)).toBe(10n ** 30n);
  expect(decimalOf(-1_500_000_000n)).toBe("-1.5");
});
