/** What spans tell of a frame: names and bounds; never its contents. */
import { type Attributes, type SpanStatus, SpanStatusCode } from "@opentelemetry/api";

type Members = Readonly<Record<string, unknown>>;

/** One message, as far as it is looked at. Whatever a peer sent: no member is sure to have its type. */
export interface TracedFrame {
  readonly type: string;
  readonly id?: unknown;
  readonly session_id?: unknown;
  readonly job_id?: unknown;
  readonly trace_id?: unknown;
  readonly span_id?: unknown;
  readonly traceparent?: unknown;
  readonly tracestate?: unknown;
  readonly correlation_id?: unknown;
  readonly event_seq?: unknown;
  readonly extensions?: unknown;
  readonly payload?: unknown;
}

/** Signs of life and of reading: frequent, and nobody's work. */
const NOISE: ReadonlySet<string> = new Set([
  ...["session.ping", "session.pong", "session.heartbeat", "session.ack"],
  ...["ping", "pong", "ack", "job.heartbeat"],
]);

/** Everything but signs of life. */
export const isWorthTracing = ({ type }: TracedFrame): boolean => !NOISE.has(type);

/** `undefined` for what is no message: whoever decodes frames says so. */
export function readFrame(text: string): TracedFrame | undefined {
  try {
    const frame: unknown = JSON.parse(text);
    return isMembers(frame) && typeof frame["type"] === "string" ? (frame as unknown as TracedFrame) : undefined;
  } catch {
    return undefined; // The decoder of the frame reports it.
  }
}

export const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const payloadOf = ({ payload }: TracedFrame): Members => (isMembers(payload) ? payload : {});

/** Which job a frame is about. */
export const jobOf = (frame: TracedFrame): string | undefined =>
  textOf(frame.job_id) ?? textOf(payloadOf(frame)["job_id"]);

/** Which request a frame answers. */
export const requestOf = (frame: TracedFrame): string | undefined =>
  textOf(frame.correlation_id) ?? textOf(payloadOf(frame)["request_id"]);

/** Ids and names have at most 128 characters in the protocol; a peer may not care. */
const MAX_TEXT = 256;
const MAX_CAPABILITIES = 64;

export const textOf = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value.slice(0, MAX_TEXT) : undefined;

const BEGINNINGS: ReadonlySet<string> = new Set([
  ...["job.submit", "job.accepted", "tool.invoke", "workflow.start", "agent.delegate"],
]);

/** The attributes of a frame's span (§11). */
export function attributesOf(frame: TracedFrame, direction: "in" | "out"): Attributes {
  const { event_seq: seq } = frame;
  const payload = payloadOf(frame);
  const event = frame.type === "job.event" ? textOf(payload["kind"]) : undefined;
  const common: Attributes = {
    ...{ "arcp.direction": direction, "arcp.type": textOf(frame.type) },
    ...{ "arcp.id": textOf(frame.id), "arcp.session_id": textOf(frame.session_id), "arcp.job_id": jobOf(frame) },
    ...{ "arcp.trace_id": textOf(frame.trace_id), "arcp.event_kind": event },
    "arcp.event_seq": typeof seq === "number" ? seq : undefined,
  };
  if (!BEGINNINGS.has(frame.type)) return common;
  const { agent, tool, workflow, target, lease, lease_request, lease_constraints, budget } = payload;
  const granted = isMembers(lease) ? lease : lease_request;
  return {
    ...common,
    "arcp.agent": textOf(agent ?? tool ?? workflow ?? target),
    "arcp.lease.capabilities": isMembers(granted) ? Object.keys(granted).slice(0, MAX_CAPABILITIES) : undefined,
    "arcp.lease.expires_at": isMembers(lease_constraints) ? textOf(lease_constraints["expires_at"]) : undefined,
    "arcp.budget.remaining": isMembers(budget)
      ? Object.entries(budget).map(([currency, left]) => `${textOf(currency)}:${Number(left)}`)
      : undefined,
  };
}

const FAILURES: ReadonlySet<string> = new Set([
  ...["job.error", "session.error", "job.failed", "tool.error", "nack", "session.rejected", "session.unauthenticated"],
]);

/** An error by its code: its message is the peer's own words. */
export function statusOf(frame: TracedFrame): SpanStatus | undefined {
  if (!FAILURES.has(frame.type)) return undefined;
  const payload = payloadOf(frame);
  const nested = payload["error"];
  const code = textOf(payload["code"]) ?? (isMembers(nested) ? textOf(nested["code"]) : undefined);
  return { code: SpanStatusCode.ERROR, message: code ?? "unknown" };
}

const ENDS: ReadonlySet<string> = new Set([
  ...["job.result", "job.error", "job.completed", "job.failed", "job.cancelled", "tool.result", "tool.error"],
]);

/** Is this the last frame of its job? */
export const endsJob = ({ type }: TracedFrame): boolean => ENDS.has(type);
