/** The trace that a submission belongs to (§11): the one given, the caller's active span, or a new one. */
import { InvalidRequestError, newTraceId, parseTraceId, type TraceContext, type TraceId } from "@arcp/core";
import { isSpanContextValid, trace } from "@opentelemetry/api";

/** Throws {@link InvalidRequestError} for a given trace that is neither 32 hexadecimal characters nor a `traceparent`. */
export function callerTrace(given: string | undefined): TraceContext {
  if (given !== undefined) {
    const parsed = parseTraceId(given);
    if (parsed) return parsed;
    throw new InvalidRequestError("traceId: expected 32 hexadecimal characters or a traceparent");
  }
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return { traceId: newTraceId() };
  const traceState = active.traceState?.serialize();
  const context = { traceId: active.traceId as TraceId, parentSpanId: active.spanId };
  return traceState ? { ...context, traceState } : context;
}

/** The `traceparent` of a trace whose span is known. */
export const traceparentOf = ({ traceId, parentSpanId }: TraceContext): string | undefined =>
  parentSpanId === undefined ? undefined : `00-${traceId}-${parentSpanId}-01`;
