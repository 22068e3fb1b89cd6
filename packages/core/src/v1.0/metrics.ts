/** The metrics that every runtime reports alike (RFC §17.3.1). */
import { InvalidRequestError } from "../errors.ts";
import { isErrorCode10 } from "./errors.ts";
import { isNamespaced } from "./names.ts";

interface MetricFacts {
  readonly unit: string;
  /** The dimension without which the metric says too little, and what it may be. */
  readonly dim?: { readonly name: string; readonly isKnown: (value: string) => boolean; readonly expected: string };
}

const oneOf = (name: string, ...values: readonly string[]): NonNullable<MetricFacts["dim"]> => ({
  name,
  isKnown: (value) => values.includes(value),
  expected: values.join(", "),
});

/** The standard names, each with its unit and the dimension that it has to have. */
export const METRICS_10 = {
  "tokens.used": { unit: "tokens", dim: oneOf("kind", "input", "output", "cache_read", "cache_write") },
  "cost.usd": { unit: "usd" },
  "gpu.seconds": { unit: "seconds" },
  "tool.invocations": { unit: "count" },
  "latency.ms": { unit: "ms", dim: oneOf("phase", "queue", "exec", "total") },
  "bytes.in": { unit: "bytes" },
  "bytes.out": { unit: "bytes" },
  "errors.total": {
    unit: "count",
    dim: {
      name: "code",
      isKnown: (value) => isErrorCode10(value) || isNamespaced(value),
      expected: "a code of RFC §18.2",
    },
  },
} as const satisfies Record<string, MetricFacts>;

/** A metric with a meaning that everybody shares (RFC §17.3.1). */
export type MetricName10 = keyof typeof METRICS_10;

/** Is it a metric with a meaning that everybody shares (RFC §17.3.1)? */
export const isMetricName10 = (name: string): name is MetricName10 => Object.hasOwn(METRICS_10, name);

/** A metric as wire 1.0 carries it (RFC §17.3). */
export interface Metric10 {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly dims?: Readonly<Record<string, unknown>> | undefined;
}

/** Fractional digits of `cost.usd` (RFC §17.3.1). */
const COST_DIGITS = 6;

/**
 * `metric` as it may be sent: `cost.usd` rounded to six fractional digits, anything else as it is.
 *
 * @throws InvalidRequestError that names the member which breaks RFC §17.3.1: a standard name with another unit or
 *   without its dimension, or any other name that is not namespaced.
 */
export function checkMetric10(metric: Metric10): Metric10 {
  const { name, value, unit, dims } = metric;
  if (!Number.isFinite(value)) throw refusal("value", "expected a finite number");
  if (!isMetricName10(name)) {
    if (!isNamespaced(name)) throw refusal("name", "expected a standard or a namespaced name (§17.3.1)");
    if (unit === "") throw refusal("unit", "expected a unit");
    return metric;
  }
  const known: MetricFacts = METRICS_10[name];
  if (unit !== known.unit) throw refusal("unit", `${name} is in ${known.unit}`);
  if (known.dim !== undefined) {
    const dim = dims?.[known.dim.name];
    if (typeof dim !== "string" || !known.dim.isKnown(dim)) {
      throw refusal(`dims.${known.dim.name}`, `expected ${known.dim.expected}`);
    }
  }
  return name === "cost.usd" ? { ...metric, value: Number(value.toFixed(COST_DIGITS)) } : metric;
}

const refusal = (path: string, problem: string): InvalidRequestError =>
  new InvalidRequestError(`${path}: ${problem}`, { details: { path } });
