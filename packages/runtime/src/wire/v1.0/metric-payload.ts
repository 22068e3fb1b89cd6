/** Metrics as wire 1.0 names them (RFC §17.3.1): the standard concepts by their names and units, all others namespaced. */
import type { JsonObject } from "@arcp/core";
import { isNamespaced } from "@arcp/core/v1.0";

const UNITS: ReadonlyMap<string, string> = new Map([
  ["tokens.used", "tokens"],
  ["cost.usd", "usd"],
  ["gpu.seconds", "seconds"],
  ["tool.invocations", "count"],
  ["latency.ms", "ms"],
  ["bytes.in", "bytes"],
  ["bytes.out", "bytes"],
  ["errors.total", "count"],
]);

/** Of `cost.usd`: six fractional digits. */
const MICRO = 1_000_000;
/** Names that agents made up for themselves. */
const OWN = "arcpx.agent.";

/** The payload of `metric` for the body of a metric event. */
export function metricPayload10({ name, value, unit, dimensions, dims: given, ...rest }: JsonObject): JsonObject {
  const dims = (dimensions ?? given ?? {}) as JsonObject;
  const text = String(name);
  const standard = UNITS.get(text);
  if (text.startsWith("cost.") && text !== "cost.budget.remaining" && (unit === "USD" || standard !== undefined)) {
    const kind = text.slice("cost.".length);
    const more = standard === undefined ? { kind, ...dims } : dims;
    return { name: "cost.usd", value: Math.round(Number(value) * MICRO) / MICRO, unit: "usd", dims: more, ...rest };
  }
  if (standard !== undefined) return { name: text, value, unit: standard, dims, ...rest };
  return { name: isNamespaced(text) ? text : `${OWN}${text}`, value, unit: unit ?? "1", dims, ...rest };
}
