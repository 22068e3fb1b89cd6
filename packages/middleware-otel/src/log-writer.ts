/** The lines of a log as log records of OpenTelemetry. */
import { type Context, ROOT_CONTEXT, TraceFlags, trace } from "@opentelemetry/api";

/** What is told of one line. */
export interface EmittedLog {
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** As the data model of OpenTelemetry has it: DEBUG 5, INFO 9, WARN 13, ERROR 17. */
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** With the span that the line names, if it names one. */
  readonly context: Context;
}

/** The part of a logger of OpenTelemetry that is used. */
export interface LogEmitter {
  emit(record: EmittedLog): void;
}

const SEVERITY: Readonly<Record<string, number>> = { debug: 5, info: 9, warn: 13, error: 17 };
/** Members with names of their own in the conventions of the protocol (§11). */
const NAMES: Readonly<Record<string, string>> = { jobId: "arcp.job_id", sessionId: "arcp.session_id" };
const MAX_VALUE = 8_192;
const MAX_ATTRIBUTES = 64;

/**
 * What `createLogger` is given to write with: tells `logger` each line, which has no secrets any more by then. A line that names
 * its trace and its span belongs to them; with a trace alone it has the attribute `trace_id`. What is no line of a log is left out.
 */
export function logWriter(logger: LogEmitter): (line: string) => void {
  return (line) => {
    const record = recordOf(line);
    if (record !== undefined) logger.emit(record);
  };
}

function recordOf(line: string): EmittedLog | undefined {
  const parsed = parse(line);
  if (parsed === undefined) return undefined;
  const { level, time, msg, err, traceId, spanId, ...fields } = parsed;
  const span = { traceId: String(traceId), spanId: String(spanId), traceFlags: TraceFlags.SAMPLED };
  const hasSpan = typeof traceId === "string" && typeof spanId === "string";
  const all: Readonly<Record<string, unknown>> = {
    ...(!hasSpan && traceId !== undefined && { trace_id: traceId }),
    ...exceptionOf(err),
    ...fields,
  };
  const told = Object.entries(all).filter(([, value]) => value !== undefined && value !== null);
  return {
    timestamp: Date.parse(String(time)) || Date.now(),
    ...{ severityNumber: SEVERITY[String(level)] ?? 0, severityText: String(level).toUpperCase() },
    body: String(msg ?? ""),
    attributes: Object.fromEntries(
      told.slice(0, MAX_ATTRIBUTES).map(([name, value]) => [NAMES[name] ?? name, shownOf(value)]),
    ),
    context: hasSpan ? trace.setSpanContext(ROOT_CONTEXT, span) : ROOT_CONTEXT,
  };
}

function parse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // It is no line of a log.
  }
}

/** By the semantic conventions. What is no error is told as it is. */
function exceptionOf(err: unknown): object {
  if (err === undefined) return {};
  if (typeof err !== "object" || err === null) return { "exception.message": err };
  const { name, message, stack } = err as Readonly<Record<string, unknown>>;
  return { "exception.type": name, "exception.message": message, "exception.stacktrace": stack };
}

function shownOf(value: unknown): string | number | boolean {
  if (typeof value === "number" || typeof value === "boolean") return value;
  return (typeof value === "string" ? value : JSON.stringify(value)).slice(0, MAX_VALUE);
}
