/** Trace context on the wire: where frames of both wires carry it, and how it is put there. */
import { OTEL_EXTENSION_NAME, parseTrace, type TraceContext, traceparentOf } from "@arcp/core";
import { parseTrace10, TRACE_EXTENSION_10 } from "@arcp/core/v1.0";
import { type Context, createTraceState, ROOT_CONTEXT, type SpanContext, TraceFlags, trace } from "@opentelemetry/api";
import { isMembers, type TracedFrame } from "./frame.ts";

/** Which wire a connection speaks: names in `extensions` differ, and wire 1.0 has `span_id`. */
export type Wire = "1.0" | "1.1";

/** The span of the last hop of a frame: what its extension says, unless that is of another trace than the frame. */
export function carriedIn({ extensions, trace_id }: TracedFrame): Context | undefined {
  const all = isMembers(extensions) ? extensions : {};
  const carried = all[OTEL_EXTENSION_NAME] ?? all[TRACE_EXTENSION_10];
  if (!isMembers(carried)) return undefined;
  const { traceparent, tracestate } = carried;
  const said = parseTrace({ trace_id, traceparent, tracestate });
  return said?.parentSpanId === undefined ? undefined : contextOf(said, said.parentSpanId);
}

/** Where a frame stands by its own members: in its sender's span or, if it names a trace alone, in that trace. */
export function saidIn({ trace_id, span_id, traceparent, tracestate }: TracedFrame): Context | undefined {
  // Beside the payload, wire 1.1 has `traceparent`, and wire 1.0 `span_id`.
  const said = parseTrace10({ trace_id, ...(traceparent === undefined && { span_id }) });
  const placed = parseTrace({ trace_id, traceparent, tracestate }) ?? said;
  if (placed === undefined) return undefined;
  return contextOf(placed, placed.parentSpanId ?? said?.parentSpanId ?? spanIdOf(placed.traceId));
}

const SPAN_DIGITS = 16;

/** What stands for a caller that named a trace alone: whoever sees the trace later has the same parent for it. */
const spanIdOf = (traceId: string): string => traceId.slice(SPAN_DIGITS).replace(/^0+$/, "0000000000000001");

function contextOf({ traceId, traceState, isUnsampled = false }: TraceContext, spanId: string): Context {
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId, isRemote: true },
    traceFlags: isUnsampled ? TraceFlags.NONE : TraceFlags.SAMPLED,
    ...(traceState !== undefined && { traceState: createTraceState(traceState) }),
  });
}

/**
 * The frame with the context of `span` in it. What is in the frame stays as it is, byte for byte, unless it has
 * extensions already.
 */
export function injected(text: string, frame: TracedFrame, span: SpanContext, wire: Wire): string {
  const traceState = span.traceState?.serialize();
  const traceparent = traceparentOf({
    ...{ traceId: span.traceId as TraceContext["traceId"], parentSpanId: span.spanId },
    isUnsampled: (span.traceFlags & TraceFlags.SAMPLED) === 0,
  });
  const carried = { traceparent, ...(traceState && { tracestate: traceState }) };
  const extension = { [wire === "1.0" ? TRACE_EXTENSION_10 : OTEL_EXTENSION_NAME]: carried };
  const members = {
    ...(frame.trace_id === undefined && { trace_id: span.traceId }),
    ...(wire === "1.0" && frame.span_id === undefined && { span_id: span.spanId }),
  };
  if (frame.extensions !== undefined) {
    const extensions = isMembers(frame.extensions) ? { ...frame.extensions, ...extension } : extension;
    return JSON.stringify({ ...frame, ...members, extensions });
  }
  return `${text.slice(0, text.lastIndexOf("}"))},${JSON.stringify({ ...members, extensions: extension }).slice(1)}`;
}
