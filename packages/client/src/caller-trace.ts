/** The trace that a submission belongs to (§11): the one given, the caller's active span, or a new one. */
import { InvalidRequestError, newTraceId, parseTraceId, type TraceContext, type TraceId } from "@arcp/core";
import { isSpanContextValid, TraceFlags, trace } from "@opentelemetry/api";

/** Throws {@link InvalidRequestError} for a given trace that is neither 32 hexadecimal characters nor a `traceparent`. */
export function callerTrace(given: string | undefined): TraceContext {
  if (given !== undefined) {
    const parsed = parseTraceId(given);
    if (parsed) return parsed;
    throw new InvalidRequestError("traceId: expected 32 hexadecimal characters or a traceparent");
  }
  return activeTrace() ?? { traceId: newTraceId() };
}

/** Where the caller's active span stands; `undefined` without one. */
export function activeTrace(): TraceContext | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return undefined;
  const traceState = active.traceState?.serialize();
  const isUnsampled = (active.traceFlags & TraceFlags.SAMPLED) === 0;
  return {
    ...{ traceId: active.traceId as TraceId, parentSpanId: active.spanId },
    ...(traceState && { traceState }),
    ...(isUnsampled && { isUnsampled }),
  };
}
