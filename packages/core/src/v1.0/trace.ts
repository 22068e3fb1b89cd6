/** Where a message of wire 1.0 stands in a trace (RFC §17.1). */
import { parseTrace, type TraceContext, traceparentOf } from "../trace.ts";

/** What `trace_id` and `span_id` have no room for: `tracestate`, and whether the trace is recorded. */
export const TRACE_EXTENSION_10 = "arcpx.opentelemetry.tracecontext.v1";

const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/;

interface TracedMessage {
  readonly trace_id?: unknown;
  readonly span_id?: unknown;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * The trace context of a message: `trace_id`, the sender's `span_id`, and what the extension says of the same trace.
 * `undefined` without a trace; a malformed one never fails a message.
 */
export function parseTrace10({ trace_id, span_id, extensions }: TracedMessage): TraceContext | undefined {
  const carried = extensions?.[TRACE_EXTENSION_10];
  const { traceparent, tracestate } = (typeof carried === "object" && carried !== null ? carried : {}) as {
    readonly traceparent?: unknown;
    readonly tracestate?: unknown;
  };
  const trace = parseTrace({ trace_id, traceparent, tracestate });
  return trace && typeof span_id === "string" && SPAN_ID.test(span_id) ? { ...trace, parentSpanId: span_id } : trace;
}

/** The members of an envelope that {@link parseTrace10} reads. */
export function traceMembers10(trace: TraceContext): {
  readonly trace_id: string;
  readonly span_id: string | undefined;
  readonly extensions?: Readonly<Record<string, unknown>>;
} {
  const { traceId: trace_id, parentSpanId: span_id, traceState, isUnsampled } = trace;
  const traceparent = traceparentOf(trace);
  if (traceparent === undefined || (traceState === undefined && isUnsampled !== true)) return { trace_id, span_id };
  const carried = { traceparent, ...(traceState !== undefined && { tracestate: traceState }) };
  return { trace_id, span_id, extensions: { [TRACE_EXTENSION_10]: carried } };
}
