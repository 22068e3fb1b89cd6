import type { TraceId } from "./ids.ts";

/** Where a job stands in a distributed trace (§11): the trace id and, when the caller gave one, its parent span. */
export interface TraceContext {
  readonly traceId: TraceId;
  /** 16 lowercase hexadecimal characters. */
  readonly parentSpanId?: string;
  readonly traceState?: string;
  /** Did the caller decide that nothing is recorded? Default: false. */
  readonly isUnsampled?: boolean;
}

const TRACE_ID = /^[0-9a-f]{32}$/;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const ZERO_TRACE = "0".repeat(32);
const ZERO_SPAN = "0".repeat(16);
const SAMPLED = 1;

/**
 * Reads a `trace_id` field: 32 hexadecimal characters, or a whole `traceparent`. Upper case is lowered.
 * Returns `undefined` for anything else, the all-zero id included: a malformed trace never fails a request.
 */
export function parseTraceId(value: unknown): TraceContext | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.toLowerCase();
  if (TRACE_ID.test(text)) return text === ZERO_TRACE ? undefined : { traceId: text as TraceId };
  const [, traceId, parentSpanId, flags = ""] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || parentSpanId === undefined || traceId === ZERO_TRACE || parentSpanId === ZERO_SPAN) {
    return undefined;
  }
  const isUnsampled = (Number.parseInt(flags, 16) & SAMPLED) === 0;
  return { traceId: traceId as TraceId, parentSpanId, ...(isUnsampled && { isUnsampled }) };
}

/** The `traceparent` of a trace whose span is known; `undefined` for another. */
export const traceparentOf = ({ traceId, parentSpanId, isUnsampled = false }: TraceContext): string | undefined =>
  parentSpanId === undefined ? undefined : `00-${traceId}-${parentSpanId}-${isUnsampled ? "00" : "01"}`;

/** Printable ASCII, as W3C Trace Context allows it at most. */
const TRACE_STATE = /^[\x20-\x7e]{1,512}$/;

/** The member of `extensions` in which wire 1.1 carries `traceparent` and `tracestate`. */
export const OTEL_EXTENSION_NAME = "x-vendor.opentelemetry.tracecontext";

/** Members of a message that may say where it stands. */
export interface TracedMessage {
  readonly trace_id?: unknown;
  readonly traceparent?: unknown;
  readonly tracestate?: unknown;
  readonly extensions?: unknown;
}

/**
 * The trace context of a message: `trace_id`, and the span and state that peers who know them put into the extension
 * {@link OTEL_EXTENSION_NAME}, or beside the trace as `traceparent` and `tracestate`. Those of another trace are ignored.
 */
export function parseTrace(message: TracedMessage): TraceContext | undefined {
  const named = parseTraceId(message.trace_id);
  return placeIn(named, carriedBy(message.extensions)) ?? placeIn(named, message) ?? named;
}

function carriedBy(extensions: unknown): TracedMessage {
  const carried = (extensions as Readonly<Record<string, unknown>> | null | undefined)?.[OTEL_EXTENSION_NAME];
  return typeof carried === "object" && carried !== null ? carried : {};
}

function placeIn(
  named: TraceContext | undefined,
  { traceparent, tracestate }: TracedMessage,
): TraceContext | undefined {
  const parent = parseTraceId(traceparent);
  const isSame = parent && (named === undefined || named.traceId === parent.traceId);
  const context = isSame ? parent : named;
  const hasState = typeof tracestate === "string" && TRACE_STATE.test(tracestate);
  if (context === undefined || (!isSame && !hasState)) return undefined;
  return hasState ? { ...context, traceState: tracestate } : context;
}
