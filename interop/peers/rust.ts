/**
 * What the client of the Rust SDK reads (crate `arcp` 2.0.0): of each type that it knows, the members without which a frame
 * ends its session, without a word. Any other type ends it too.
 */
import { ERROR_CODES_10, PRIORITIES } from "@arcp/core/v1.0";

type Check = (value: unknown) => boolean;

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

const text: Check = (value) => typeof value === "string";
const number: Check = (value) => typeof value === "number";
const count: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const flag: Check = (value) => typeof value === "boolean";
const object: Check = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const list: Check = Array.isArray;
const anything: Check = (value) => value !== undefined;
const instant: Check = (value) => INSTANT.test(String(value));
const oneOf =
  (...words: readonly string[]): Check =>
  (value) =>
    words.includes(String(value));
const id =
  (prefix: string): Check =>
  (value) =>
    text(value) && String(value).startsWith(`${prefix}_`);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);

const code = oneOf(
  ...ERROR_CODES_10,
  ...["OK", "RATE_LIMITED", "BUDGET_EXHAUSTED", "LEASE_SUBSET_VIOLATION", "AGENT_VERSION_NOT_AVAILABLE"],
);
const failure = { code, message: text, retryable: optional(flag) };
const states = ["accepted", "queued", "running", "blocked", "paused", "completed", "failed", "cancelled"];
const REFERENCE = { artifact_id: id("art"), uri: text, media_type: text, size: count, expires_at: optional(instant) };
const reference: Check = (value) => object(value) && problemsOf(value as object, REFERENCE).length === 0;
const scope = { permission: text, resource: text, operation: text };
const lease = { lease_id: id("lease") };

const ENVELOPE: Readonly<Record<string, Check>> = {
  ...{ arcp: text, id: id("msg"), timestamp: instant, session_id: optional(id("sess")), job_id: optional(id("job")) },
  ...{ stream_id: optional(id("str")), subscription_id: optional(id("sub")), correlation_id: optional(id("msg")) },
  ...{ causation_id: optional(id("msg")), priority: oneOf(...PRIORITIES, "undefined"), event_seq: optional(count) },
};

const PAYLOADS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  "session.accepted": { session_id: id("sess"), runtime: object, capabilities: object, lease: optional(object) },
  "session.challenge": { challenge: text },
  "session.unauthenticated": failure,
  "session.rejected": failure,
  "session.refresh": { deadline: instant },
  "session.evicted": { code, reason: text },
  "session.pong": { ping_nonce: text, received_at: instant },
  "session.jobs": { request_id: text, jobs: list },
  ping: {},
  pong: {},
  ack: {},
  nack: failure,
  "cancel.accepted": {},
  "cancel.refused": { target_id: text, reason: text },
  "tool.result": { result_ref: optional(reference) },
  "tool.error": failure,
  "job.accepted": { job_id: id("job"), lease: optional(object), credentials: optional(list) },
  "job.started": { description: optional(text) },
  "job.progress": { percent: optional(number), message: optional(text) },
  "job.heartbeat": { sequence: count, deadline_ms: optional(count), state: oneOf(...states) },
  "job.completed": { result_ref: optional(reference), result_id: optional(text), result_size: optional(count) },
  "job.failed": failure,
  "job.cancelled": { reason: optional(text) },
  "job.result_chunk": {
    ...{ result_id: text, chunk_seq: count, data: text, encoding: oneOf("utf8", "base64"), more: flag },
  },
  "stream.open": { kind: oneOf("text", "binary", "event", "log", "metric", "thought") },
  "stream.chunk": { sequence: count, data: anything, redacted: oneOf("undefined", "true", "false") },
  "stream.close": {},
  "stream.error": failure,
  "permission.request": { ...scope, requested_lease_seconds: optional(count) },
  "lease.granted": { ...lease, ...scope, expires_at: instant },
  "lease.extended": { ...lease, expires_at: instant },
  "lease.revoked": { ...lease, reason: text },
  "subscribe.accepted": { subscription_id: id("sub") },
  "subscribe.event": { event: object },
  "subscribe.closed": { subscription_id: id("sub"), code, reason: text },
  "job.subscribed": { job_id: id("job"), current_status: text, agent: text, subscribed_from: count },
  "artifact.put": { media_type: text, data: text, sha256: optional(text) },
  "artifact.ref": { artifact: reference },
  "event.emit": { name: text },
  log: { level: oneOf("trace", "debug", "info", "warn", "error", "critical"), message: text },
  metric: { name: text, value: number, unit: text },
  "trace.span": { name: text, trace_id: text, span_id: text, start_time: instant, end_time: instant },
};

const problemsOf = (given: object, checks: Readonly<Record<string, Check>>): readonly string[] =>
  Object.entries(checks).flatMap(([member, check]) => {
    const value = (given as Record<string, unknown>)[member];
    return check(value) ? [] : [`${member}: ${JSON.stringify(value)}`];
  });

/** Why the client would not read a frame; empty for one that it reads. */
export function rustProblems(frame: { readonly type: string; readonly payload: object }): readonly string[] {
  const checks = PAYLOADS[frame.type];
  if (checks === undefined) return [`the type ${frame.type}`];
  const problems = [...problemsOf(frame, ENVELOPE), ...problemsOf(frame.payload, checks)];
  return problems.map((problem) => `${frame.type}: ${problem}`);
}
