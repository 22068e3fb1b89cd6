/** The messages that tell of what happens (RFC §17, and event.emit in §6.2). */
import { z } from "zod";
import { absentOr, jsonObject } from "../messages/envelope.ts";
import { anything, entityId, message10, needed, word } from "./envelope.ts";

const openText = absentOr(z.string());
const attributes = { attributes: absentOr(jsonObject), attrs: absentOr(jsonObject) };

/** RFC §6.2, §13.3. Peers name the event in `name` or in `type`, and what it brings in `value` or in `data`. */
export const eventEmit = message10(
  "event.emit",
  z
    .object({ name: openText, type: openText, value: anything, data: anything, ...attributes })
    .transform(({ name, type, value, data, attributes, attrs }, context) => ({
      name: needed(name ?? type, ["name"], context),
      value: value ?? data,
      attributes: attributes ?? attrs ?? {},
    })),
);

/** RFC §17.2. */
export const LOG_LEVELS_10 = ["trace", "debug", "info", "warn", "error", "critical"] as const;
/** How much a log entry matters (RFC §17.2). */
export type LogLevel10 = (typeof LOG_LEVELS_10)[number];

const level = z.preprocess((given) => (typeof given === "string" ? given.toLowerCase() : given), word(LOG_LEVELS_10));

/** RFC §17.2. */
export const log = message10("log", z.object({ level, message: z.string(), attributes: absentOr(jsonObject) }));

/** RFC §17.3. `dimensions` is what wire 1.1 calls `dims`. */
export const metric = message10(
  "metric",
  z
    .object({
      name: z.string().min(1),
      value: z.number(),
      unit: openText,
      dims: absentOr(jsonObject),
      dimensions: absentOr(jsonObject),
    })
    .transform(({ name, value, unit, dims, dimensions }) => ({
      name,
      value,
      unit: unit ?? "",
      dims: dims ?? dimensions ?? {},
    })),
);

/** RFC §17.1. Its payload is not given there: a span of OpenTelemetry, in the members that SDKs send. */
export const traceSpan = message10(
  "trace.span",
  z.looseObject({
    trace_id: absentOr(entityId),
    span_id: absentOr(entityId),
    parent_span_id: absentOr(entityId),
    name: z.string(),
    start_time: openText,
    end_time: openText,
    duration_ms: absentOr(z.number()),
    status: absentOr(z.string()).catch(undefined),
    attributes: absentOr(jsonObject),
  }),
);
