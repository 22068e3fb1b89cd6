/** The same as `corpus.ts` for wire 1.0. */
import { PLACEHOLDERS as AT } from "./corpus.ts";

const TIMESTAMP = "2026-01-01T00:00:00Z";
const CAPABILITIES = {
  ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
  ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
  ...{ anonymous: false, binary_encoding: ["base64", "sidecar"], extensions: ["arcpx.acme.a.v1"] },
};
const CLIENT = { kind: "fuzz", version: "1.0.0" };
const AUTH = { scheme: "bearer", token: "mallory" };
const OPEN = { auth: AUTH, client: CLIENT, capabilities: CAPABILITIES };

const frame = (type: string, payload: object, members: object = {}): string =>
  JSON.stringify({ arcp: "1.0", id: AT.id, type, timestamp: TIMESTAMP, session_id: AT.session, ...members, payload });

const first = (type: string, payload: object, members: object = {}): string =>
  frame(type, payload, { session_id: undefined, ...members });

/** The frame that opens a session in good order. */
export const open10 = (principal: string): string =>
  first("session.open", { ...OPEN, auth: { scheme: "bearer", token: principal } });

/** Frames that begin a connection. */
export const OPENING_FRAMES_10: readonly string[] = [
  open10("mallory"),
  open10("nobody"),
  first("session.open", {}),
  first("session.open", { ...OPEN, auth: { scheme: "none" }, capabilities: { ...CAPABILITIES, anonymous: true } }),
  first("session.open", { ...OPEN, auth: { scheme: "mtls" }, client: { ...CLIENT, fingerprint: "sha256:00" } }),
  first("session.open", { ...OPEN, auth: { scheme: "signed_jwt", token: "eyJhbGciOiJub25lIn0.e30." } }),
  first("session.open", { ...OPEN, auth: { scheme: "hmac-sha256", principal: "alice" } }),
  first("session.open", { auth: AUTH, client: CLIENT, capabilities: { binary_encoding: [], extensions: ["a.b.c"] } }),
  first("session.open", OPEN, { session_id: AT.session }),
  first("session.open", OPEN, { session_id: AT.foreignSession }),
  first("session.open", { ...OPEN, resume: { session_id: AT.session, after_message_id: AT.message } }),
  // Other SDKs: a resume token, and words that are objects.
  first("session.resume", { session_id: AT.session, resume_token: AT.token, last_event_seq: 0, auth: AUTH }),
  first("session.resume", { session_id: AT.foreignSession, resume_token: AT.foreignToken, auth: AUTH }),
  first("session.open", { ...OPEN, client: { kind: "arcp-rust", version: "2.0.0" } }),
  first("session.open", { ...OPEN, auth: { scheme: { type: "bearer" }, token: "mallory" } }),
  first("session.authenticate", { challenge_id: "chal_1", response: "00" }),
  first("ping", {}),
];

const REQUEST = { "fs.read": ["/workspace/**"], cost_budget: ["USD:5.00"] };
const PRICE = { permission: "fs.read", resource: "/workspace/**", operation: "read" };
const ABOUT = { job_id: AT.job };
const ABOUT_FOREIGN = { job_id: AT.foreignJob };

/** Frames of a session that is open. */
export const SESSION_FRAMES_10: readonly string[] = [
  frame("ping", { nonce: "n" }),
  frame("session.ping", { nonce: "n", sent_at: TIMESTAMP }),
  frame("ack", { ack_for: AT.message, checkpoint_id: AT.checkpoint }),
  frame("nack", { code: "INTERNAL", message: "no", ack_for: AT.message }),
  frame("session.ack", { last_processed_seq: 0 }),
  frame("session.list_jobs", { filter: { status: ["running"] }, limit: 3 }),
  frame("session.close", { reason: "done", dispose_jobs: "cancel" }),
  frame("session.close", { detach: true }),
  frame("session.authenticate", { auth: AUTH }),
  frame("session.open", OPEN),
  frame("tool.invoke", { tool: "echo", arguments: { text: "hello" } }),
  frame("tool.invoke", { tool: "stream", arguments: { events: 20, chunks: 3 } }, { priority: "critical" }),
  frame("tool.invoke", { tool: "hold", arguments: {}, max_runtime_sec: 3600, durable: true }),
  frame("tool.invoke", { tool: "fail", arguments: "why" }, { idempotency_key: "key-1" }),
  frame("tool.invoke", { tool: "ask", arguments: {}, lease_request: REQUEST }, { trace_id: "trace_1" }),
  frame("tool.invoke", { tool: "choose" }),
  frame("tool.invoke", { tool: "grant" }),
  frame("tool.invoke", { tool: "streams", arguments: { kind: "text", events: 12 } }),
  frame("tool.invoke", { tool: "streams", arguments: { kind: "binary", events: 3 } }),
  frame("tool.invoke", { tool: "nothing-of-that-name" }),
  frame("workflow.start", { workflow: "echo", inputs: [1] }),
  frame("agent.delegate", { target: "echo", task: "do it", context: { trace_id: "t" } }, ABOUT),
  frame("agent.handoff", { to_runtime: { kind: "r", fingerprint: "sha256:00" } }, ABOUT),
  frame("job.schedule", { job: { type: "tool.invoke", payload: { tool: "echo" } }, when: { after: 3600 } }),
  frame("job.schedule", {
    job: { type: "tool.invoke", payload: { tool: "echo" } },
    when: { every: "DTSTART:20300101T000000Z\nRRULE:FREQ=DAILY;BYHOUR=9" },
  }),
  frame("job.schedule", {
    job: { type: "workflow.start", payload: { workflow: "echo" } },
    when: { at: "2099-01-01T00:00:00Z" },
  }),
  frame("cancel", { target: "job", target_id: AT.job, reason: "enough", deadline_ms: 10 }),
  frame("cancel", { target: "job", target_id: AT.foreignJob }),
  frame("cancel", { target: "stream", target_id: AT.stream }),
  frame("cancel", { target: "stream", target_id: AT.foreignStream }),
  frame("cancel", { target: "session", target_id: AT.foreignSession }),
  frame("interrupt", { target: "job", target_id: AT.job, prompt: "look here" }),
  frame("interrupt", { target: "job", target_id: AT.foreignJob, prompt: "look here" }),
  frame("job.subscribe", { job_id: AT.job, history: true, from_event_seq: 0 }),
  frame("job.subscribe", { job_id: AT.foreignJob, history: true }),
  frame("job.unsubscribe", ABOUT),
  frame("checkpoint.create", { label: "here", snapshot: { a: 1 } }, ABOUT),
  frame("checkpoint.create", {}, ABOUT_FOREIGN),
  frame("checkpoint.restore", { checkpoint_id: AT.checkpoint }, ABOUT),
  frame("checkpoint.restore", { checkpoint_id: AT.foreignCheckpoint }, ABOUT_FOREIGN),
  frame("resume", { after_message_id: AT.message, include_open_streams: true }),
  frame("resume", { checkpoint_id: AT.checkpoint }),
  frame("resume", { after_message_id: AT.foreignMessage }),
  frame("backpressure", { desired_rate_per_second: 1, buffer_remaining_bytes: 0 }, { stream_id: AT.stream }),
  frame("backpressure", { desired_rate_per_second: 0 }, { stream_id: AT.foreignStream }),
  frame("human.input.response", { value: "yes", responded_by: "oscar" }, { correlation_id: AT.question }),
  frame("human.choice.response", { choice_id: "b" }, { correlation_id: AT.question }),
  frame("human.input.response", { value: "mine" }, { correlation_id: AT.foreignQuestion }),
  frame("permission.grant", { ...PRICE, lease_seconds: 60 }, { correlation_id: AT.question }),
  frame("permission.grant", { lease_id: AT.foreignLease, lease_seconds: 60 }, { correlation_id: AT.foreignQuestion }),
  frame("permission.deny", { reason: "no" }, { correlation_id: AT.question }),
  frame("lease.refresh", { lease_id: AT.lease, requested_seconds: 60 }),
  frame("lease.refresh", { lease_id: AT.foreignLease, requested_seconds: 60 }),
  frame("lease.revoked", { lease_id: AT.lease, reason: "enough" }),
  frame("lease.revoked", { lease_id: AT.foreignLease }),
  frame("subscribe", {}),
  frame("subscribe", { filter: { session_id: [AT.foreignSession], types: "tool.result" } }),
  frame("subscribe", { filter: { job_id: AT.foreignJob }, since: { after_message_id: AT.foreignMessage } }),
  frame("subscribe", {
    filter: { trace_id: ["trace_1"], min_priority: "low" },
    since: { after_message_id: AT.message },
  }),
  frame("unsubscribe", { subscription_id: AT.subscription }),
  frame("unsubscribe", { subscription_id: AT.foreignSubscription }),
  frame("artifact.put", { media_type: "text/plain", data: "aGVsbG8=", ttl_seconds: 60 }),
  frame("artifact.put", { artifact_id: AT.foreignArtifact, data: "aGVsbG8=" }),
  frame("artifact.put", { encoding: "sidecar", byte_length: 4 }),
  frame("artifact.put", { data: "aGVsbG8=", sha256: "0".repeat(64) }),
  frame("artifact.fetch", { artifact_id: AT.artifact, offset: 1, length: 2 }),
  frame("artifact.fetch", { artifact_id: AT.foreignArtifact }),
  frame("artifact.release", { artifact_id: AT.artifact }),
  frame("artifact.release", { artifact_id: AT.foreignArtifact }),
  frame("arcpx.acme.a.v1", {}),
  frame("arcpx.acme.b.v1", {}, { extensions: { optional: true } }),
  frame("ping", {}, { session_id: AT.foreignSession }),
];

/** Every valid frame of wire 1.0. */
export const ALL_FRAMES_10: readonly string[] = [...OPENING_FRAMES_10, ...SESSION_FRAMES_10];
