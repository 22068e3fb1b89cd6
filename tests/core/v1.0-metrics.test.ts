import { checkMetric10, isMetricName10, METRICS_10 } from "@arcp/core/v1.0";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";

const UNITS = {
  "tokens.used": "tokens",
  "cost.usd": "usd",
  "gpu.seconds": "seconds",
  "tool.invocations": "count",
  "latency.ms": "ms",
  "bytes.in": "bytes",
  "bytes.out": "bytes",
  "errors.total": "count",
};

/** A dimension for the names that need one. */
const DIMS: Readonly<Record<string, Record<string, string>>> = {
  "tokens.used": { kind: "input", model: "m" },
  "latency.ms": { phase: "exec" },
  "errors.total": { code: "NOT_FOUND" },
};

test.each(Object.entries(UNITS))("%s is in %s", (name, unit) => {
  covers("V10-17.3.1-01");
  const metric = { name, value: 3, unit, dims: DIMS[name] ?? {} };
  expect(checkMetric10(metric)).toEqual(metric);
  expect(isMetricName10(name)).toBe(true);
  expect(() => checkMetric10({ ...metric, unit: "furlongs" })).toThrow(/^unit:/);
  expect(() => checkMetric10({ ...metric, value: Number.NaN })).toThrow(/^value:/);
});

test("there are eight standard names", () => {
  expect(Object.keys(METRICS_10).sort()).toEqual(Object.keys(UNITS).sort());
});

test.each([
  ["tokens.used", "kind", ["input", "output", "cache_read", "cache_write"]],
  ["latency.ms", "phase", ["queue", "exec", "total"]],
  ["errors.total", "code", ["INTERNAL", "BACKPRESSURE_OVERFLOW", "arcpx.acme.QUOTA_EXCEEDED"]],
] as const)("%s says which %s", (name, dim, values) => {
  covers("V10-17.3.1-02", "V10-17.3.1-03");
  const metric = { name, value: 1, unit: METRICS_10[name].unit };
  for (const value of values) expect(() => checkMetric10({ ...metric, dims: { [dim]: value } })).not.toThrow();
  for (const dims of [undefined, {}, { [dim]: "other" }, { [dim]: 3 }]) {
    expect(() => checkMetric10({ ...metric, dims })).toThrow(new RegExp(`^dims\\.${dim}:`));
  }
});

test.each([
  [0.0123, 0.0123],
  [0.1234567, 0.123457],
  [1e-9, 0],
  [12345.6789, 12345.6789],
])("a cost of %d is sent as %d", (value, sent) => {
  covers("V10-17.3.1-05");
  expect(checkMetric10({ name: "cost.usd", value, unit: "usd" }).value).toBe(sent);
});

test("any other name is namespaced", () => {
  covers("V10-17.3.1-06");
  const metric = { name: "arcpx.acme.cache_hit_ratio", value: 0.5, unit: "ratio" };
  expect(checkMetric10(metric)).toEqual(metric);
  expect(() => checkMetric10({ ...metric, unit: "" })).toThrow(/^unit:/);
  for (const name of ["cache_hit_ratio", "tokens", "x-acme.cache.hits", "toString", "cost.eur"]) {
    expect(() => checkMetric10({ ...metric, name }), name).toThrow(/^name:/);
  }
});
