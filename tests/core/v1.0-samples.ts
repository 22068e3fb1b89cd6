/** For every type of wire 1.0 the least and the most that a sender may say, and what may not be said. */

type Members = Readonly<Record<string, unknown>>;

export interface Sample {
  /** The smallest payload. */
  readonly least: Members;
  /** A payload with every member of the RFC and of our own. */
  readonly most: Members;
  /** What the type needs of the envelope. */
  readonly envelope?: Members;
  /** Payloads, or envelope members, that are refused, each with the member that the refusal names. */
  readonly refused?: readonly (readonly [change: Members, path: string])[];
}

const AT = "2026-05-09T14:00:00Z";
const HUGE = "x".repeat(20_000);
const REF = { artifact_id: "art_1", uri: "arcp://session/sess_1/artifact/art_1", media_type: "text/plain", size: 3 };

const error: Sample = {
  least: { code: "NOT_FOUND", message: "no such thing" },
  most: {
    code: "UNAVAILABLE",
    message: "never",
    retryable: false,
    details: { retry_after_seconds: 30 },
    cause: { code: "INTERNAL", message: "below" },
    trace_id: "trace_1",
  },
  refused: [
    [{ code: undefined }, "payload.code"],
    [{ code: 3 }, "payload.code"],
    [{ message: 3 }, "payload.message"],
    [{ retryable: "yes" }, "payload.retryable"],
  ],
};

const target: readonly (readonly [Members, string])[] = [
  [{ target: "planet" }, "payload.target"],
  [{ target: undefined }, "payload.target"],
  [{ target_id: undefined }, "payload.target_id"],
  [{ target_id: "" }, "payload.target_id"],
];

/** What a client sends. */
export const CLIENT_SAMPLES: Readonly<Record<string, Sample>> = {
  "session.open": {
    least: {},
    most: {
      auth: { scheme: "bearer", token: "t" },
      client: { kind: "cli", version: "1.4.2", fingerprint: "sha256:f", principal: "alice" },
      capabilities: { streaming: true },
    },
    refused: [
      [{ auth: "bearer" }, "payload.auth"],
      [{ auth: { token: "t" } }, "payload.auth.scheme"],
      [{ auth: { scheme: "bearer", token: HUGE } }, "payload.auth.token"],
      [{ auth: { scheme: "mtls" }, client: { kind: "cli", version: "1" } }, "payload.client.fingerprint"],
      [{ client: "cli" }, "payload.client"],
      [{ client: { kind: 3 } }, "payload.client.kind"],
      [{ capabilities: { streaming: "yes" } }, "payload.capabilities.streaming"],
      [{ capabilities: [] }, "payload.capabilities"],
    ],
  },
  "session.authenticate": {
    least: { response: "answer" },
    most: { challenge_id: "ch_1", response: { signature: "s" }, auth: { scheme: "bearer", token: "t" } },
    refused: [
      [{ response: undefined }, "payload.response"],
      [{ response: null }, "payload.response"],
      [{ challenge_id: 3 }, "payload.challenge_id"],
      [{ auth: {} }, "payload.auth.scheme"],
    ],
  },
  "session.close": {
    least: {},
    most: { reason: "done", dispose_jobs: "detach" },
    refused: [[{ dispose_jobs: "forget" }, "payload.dispose_jobs"]],
  },
  "session.resume": {
    least: {},
    most: { session_id: "sess_1", resume_token: "rt_1", last_event_seq: 3, auth: { scheme: "bearer", token: "t" } },
    refused: [
      [{ last_event_seq: -1 }, "payload.last_event_seq"],
      [{ resume_token: HUGE }, "payload.resume_token"],
    ],
  },
  "session.ping": { least: {}, most: { nonce: "n", sent_at: AT }, refused: [[{ nonce: 3 }, "payload.nonce"]] },
  "session.pong": {
    least: {},
    most: { ping_nonce: "n", received_at: AT },
    refused: [[{ ping_nonce: 3 }, "payload.ping_nonce"]],
  },
  "session.ack": {
    least: { last_processed_seq: 3 },
    most: { last_processed_seq: 3 },
    refused: [[{ last_processed_seq: 1.5 }, "payload.last_processed_seq"]],
  },
  "session.list_jobs": {
    least: {},
    most: {
      filter: { status: ["running", "blocked"], agent: "echo", created_after: AT, created_before: AT },
      limit: 10,
      cursor: "c",
    },
    refused: [
      [{ filter: { status: ["asleep"] } }, "payload.filter.status.0"],
      [{ filter: { colour: "red" } }, "payload.filter"],
      [{ filter: { created_after: "yesterday" } }, "payload.filter.created_after"],
      [{ limit: 0 }, "payload.limit"],
    ],
  },
  ping: { least: {}, most: { nonce: "n", sent_at: AT }, refused: [[{ nonce: {} }, "payload.nonce"]] },
  pong: {
    least: {},
    most: { ack_for: "msg_0", received_at: AT, nonce: "n" },
    refused: [[{ ack_for: 3 }, "payload.ack_for"]],
  },
  ack: {
    least: {},
    most: { ack_for: "msg_0", received_at: AT, message: "done" },
    refused: [[{ ack_for: "" }, "payload.ack_for"]],
  },
  nack: { ...error, most: { ...error.most, ack_for: "msg_0" } },
  cancel: {
    least: { target: "job", target_id: "job_1" },
    most: { target: "stream", target_id: "str_1", reason: "user_aborted", deadline_ms: 5000 },
    refused: [
      ...target,
      [{ deadline_ms: -1 }, "payload.deadline_ms"],
      [{ deadline_ms: 0.5 }, "payload.deadline_ms"],
      [{ reason: HUGE }, "payload.reason"],
    ],
  },
  interrupt: {
    least: { target: "job", target_id: "job_1" },
    most: { target: "job", target_id: "job_1", prompt: "Stop and ask." },
    refused: [...target, [{ prompt: 3 }, "payload.prompt"]],
  },
  resume: {
    least: {},
    most: { after_message_id: "msg_0", checkpoint_id: "chk_1", include_open_streams: true },
    refused: [
      [{ after_message_id: 3 }, "payload.after_message_id"],
      [{ include_open_streams: "yes" }, "payload.include_open_streams"],
    ],
  },
  backpressure: {
    least: {},
    most: { desired_rate_per_second: 20, buffer_remaining_bytes: 65_536, reason: "queue full" },
    envelope: { stream_id: "str_1" },
    refused: [
      [{ desired_rate_per_second: -1 }, "payload.desired_rate_per_second"],
      [{ buffer_remaining_bytes: 1.5 }, "payload.buffer_remaining_bytes"],
    ],
  },
  "checkpoint.create": {
    least: {},
    most: { checkpoint_id: "chk_1", job_id: "job_1", label: "half", snapshot: { n: 1 } },
    refused: [[{ checkpoint_id: "with space" }, "payload.checkpoint_id"]],
  },
  "checkpoint.restore": {
    least: { checkpoint_id: "chk_1" },
    most: { checkpoint_id: "chk_1", job_id: "job_1" },
    refused: [[{ checkpoint_id: undefined }, "payload.checkpoint_id"]],
  },
  "tool.invoke": {
    least: { tool: "echo" },
    most: {
      tool: "echo",
      arguments: { n: 1 },
      durable: true,
      max_runtime_sec: 60,
      lease_request: { "fs.read": ["/data/**"] },
      cost_budget: ["USD:1"],
      lease_constraints: { expires_at: AT },
    },
    refused: [
      [{ tool: undefined }, "payload.tool"],
      [{ tool: "" }, "payload.tool"],
      [{ durable: "yes" }, "payload.durable"],
      [{ max_runtime_sec: 0 }, "payload.max_runtime_sec"],
      [{ lease_request: { "fs.read": "/data" } }, "payload.lease_request.fs.read"],
    ],
  },
  "job.schedule": {
    least: { job: { type: "tool.invoke", payload: { tool: "echo" } }, when: { after: 60 } },
    most: { job: { type: "workflow.start", payload: { workflow: "w" } }, when: { every: "FREQ=DAILY" } },
    refused: [
      [{ when: {} }, "payload.when"],
      [{ when: { at: AT, after: 3 } }, "payload.when"],
      [{ when: { at: "tomorrow" } }, "payload.when.at"],
      [{ when: { after: -1 } }, "payload.when.after"],
      [{ job: { type: "cancel", payload: {} } }, "payload.job.type"],
      [{ job: { type: "tool.invoke", payload: {} } }, "payload.job.payload.tool"],
    ],
  },
  "job.subscribe": {
    least: { job_id: "job_1" },
    most: { job_id: "job_1", from_event_seq: 0, history: true },
    refused: [
      [{ job_id: undefined }, "payload.job_id"],
      [{ from_event_seq: -1 }, "payload.from_event_seq"],
    ],
  },
  "job.unsubscribe": {
    least: { job_id: "job_1" },
    most: { job_id: "job_1" },
    refused: [[{ job_id: undefined }, "payload.job_id"]],
  },
  "workflow.start": {
    least: { workflow: "ingest" },
    most: { workflow: "ingest", inputs: { day: 1 }, durable: true },
    refused: [[{ workflow: undefined }, "payload.workflow"]],
  },
  "agent.delegate": {
    least: { target: "research-agent", task: "Summarise" },
    most: {
      target: "research-agent",
      task: "Summarise",
      context: { trace_id: "trace_1", shared_memory_ref: "art_1", permissions_inherited: ["filesystem.read"] },
    },
    refused: [
      [{ target: undefined }, "payload.target"],
      [{ task: undefined }, "payload.task"],
      [{ context: { permissions_inherited: "all" } }, "payload.context.permissions_inherited"],
    ],
  },
  "agent.handoff": {
    least: { to_runtime: { kind: "other" } },
    most: {
      to_runtime: { kind: "other", version: "1", fingerprint: "sha256:f" },
      job_id: "job_1",
      session_id: "sess_1",
      reason: "nearer",
    },
    refused: [
      [{ to_runtime: undefined }, "payload.to_runtime"],
      [{ to_runtime: { version: "1" } }, "payload.to_runtime.kind"],
    ],
  },
  "human.input.response": {
    least: { value: { branch: "main" } },
    most: { value: null, responded_by: "ntfy:phone", responded_at: AT },
    envelope: { correlation_id: "msg_0" },
    refused: [
      [{ value: undefined }, "payload.value"],
      [{ responded_by: 3 }, "payload.responded_by"],
      [{ $correlation_id: undefined }, "correlation_id"],
    ],
  },
  "human.choice.response": {
    least: { choice_id: "fix" },
    most: { choice_id: "fix", responded_by: "chat:operator", responded_at: AT },
    envelope: { correlation_id: "msg_0" },
    refused: [
      [{ choice_id: undefined }, "payload.choice_id"],
      [{ $correlation_id: undefined }, "correlation_id"],
    ],
  },
  "permission.grant": {
    least: {},
    most: {
      permission: "payment.refund.create",
      resource: "order:ord_4812",
      operation: "refund",
      lease_id: "lease_1",
      lease_seconds: 60,
      expires_at: AT,
      granted_by: "alice",
    },
    envelope: { correlation_id: "msg_0" },
    refused: [
      [{ lease_seconds: 0 }, "payload.lease_seconds"],
      [{ expires_at: "soon" }, "payload.expires_at"],
      [{ $correlation_id: undefined }, "correlation_id"],
    ],
  },
  "permission.deny": {
    least: {},
    most: { permission: "p", resource: "r", operation: "o", reason: "policy", denied_by: "alice" },
    envelope: { correlation_id: "msg_0" },
    refused: [
      [{ reason: 3 }, "payload.reason"],
      [{ $correlation_id: undefined }, "correlation_id"],
    ],
  },
  "lease.refresh": {
    least: { lease_id: "lease_1" },
    most: { lease_id: "lease_1", requested_seconds: 600 },
    refused: [
      [{ lease_id: undefined }, "payload.lease_id"],
      [{ requested_seconds: 0 }, "payload.requested_seconds"],
    ],
  },
  "lease.revoked": {
    least: { lease_id: "lease_1" },
    most: { lease_id: "lease_1", reason: "policy" },
    refused: [[{ lease_id: undefined }, "payload.lease_id"]],
  },
  subscribe: {
    least: {},
    most: {
      filter: {
        session_id: ["sess_1"],
        trace_id: ["trace_1"],
        job_id: ["job_1"],
        stream_id: ["str_1"],
        types: ["log"],
        min_priority: "high",
      },
      since: { after_message_id: "msg_0" },
    },
    refused: [
      [{ filter: { principal: ["bob"] } }, "payload.filter"],
      [{ filter: { types: [3] } }, "payload.filter.types.0"],
      [{ filter: { min_priority: "urgent" } }, "payload.filter.min_priority"],
      [{ since: { after_message_id: 3 } }, "payload.since.after_message_id"],
    ],
  },
  unsubscribe: {
    least: { subscription_id: "sub_1" },
    most: { subscription_id: "sub_1" },
    refused: [[{ subscription_id: undefined }, "payload.subscription_id"]],
  },
  "artifact.put": {
    least: { data: "aGk=" },
    most: {
      artifact_id: "art_1",
      media_type: "text/plain",
      data: "aGk=",
      encoding: "sidecar",
      size: 2,
      sha256: "00",
      ttl_seconds: 60,
    },
    refused: [
      [{ data: undefined }, "payload.data"],
      [{ encoding: "hex" }, "payload.encoding"],
      [{ size: -1 }, "payload.size"],
      [{ ttl_seconds: -1 }, "payload.ttl_seconds"],
    ],
  },
  "artifact.fetch": {
    least: { artifact_id: "art_1" },
    most: { artifact_id: "art_1" },
    refused: [
      [{ artifact_id: undefined }, "payload.artifact_id"],
      [{ artifact_id: undefined, uri: "https://example.com/x" }, "payload.artifact_id"],
    ],
  },
  "artifact.release": {
    least: { artifact_id: "art_1" },
    most: { artifact_id: "art_1" },
    refused: [[{ artifact_id: null }, "payload.artifact_id"]],
  },
};

const stream: Pick<Sample, "envelope"> = { envelope: { stream_id: "str_1" } };
const noStream: readonly [Members, string] = [{ $stream_id: undefined }, "stream_id"];

/** What a runtime sends. */
export const RUNTIME_SAMPLES: Readonly<Record<string, Sample>> = {
  "session.challenge": {
    least: {},
    most: { challenge_id: "ch_1", type: "nonce", params: { n: 1 }, challenge: "c", expires_at: AT },
    refused: [[{ params: [] }, "payload.params"]],
  },
  "session.accepted": {
    least: { session_id: "sess_1" },
    most: {
      session_id: "sess_1",
      runtime: { kind: "r", version: "1", fingerprint: "sha256:f", trust_level: "trusted" },
      capabilities: { streaming: true },
      lease: { expires_at: AT },
      resume_token: "rt_1",
    },
    refused: [
      [{ session_id: undefined }, "payload.session_id"],
      [{ runtime: 3 }, "payload.runtime"],
    ],
  },
  "session.unauthenticated": {
    least: {},
    most: { code: "HEARTBEAT_LOST", message: "wrong" },
    refused: [[{ code: 3 }, "payload.code"]],
  },
  "session.rejected": error,
  "session.refresh": {
    least: {},
    most: { reason: "expiring", deadline_ms: 5000, deadline: AT, challenge_id: "ch_1", challenge: "c" },
    refused: [[{ deadline_ms: -1 }, "payload.deadline_ms"]],
  },
  "session.evicted": {
    least: {},
    most: { reason: "upgrade", code: "ABORTED", message: "bye", allow_resume: false },
    refused: [[{ reason: 3 }, "payload.reason"]],
  },
  "session.close": CLIENT_SAMPLES["session.close"] as Sample,
  "session.closed": { least: {}, most: { reason: "done" }, refused: [[{ reason: 3 }, "payload.reason"]] },
  "session.resumed": {
    least: { session_id: "sess_1" },
    most: { session_id: "sess_1", resume_token: "rt_2", replayed_from: 3, replayed: true },
    refused: [[{ session_id: undefined }, "payload.session_id"]],
  },
  "session.ping": CLIENT_SAMPLES["session.ping"] as Sample,
  "session.pong": CLIENT_SAMPLES["session.pong"] as Sample,
  "session.jobs": {
    least: {},
    most: {
      request_id: "msg_0",
      jobs: [{ job_id: "job_1", agent: "echo", status: "running", created_at: AT }],
      next_cursor: "c",
    },
    refused: [[{ jobs: [{ job_id: "job_1" }] }, "payload.jobs.0.agent"]],
  },
  ping: CLIENT_SAMPLES["ping"] as Sample,
  pong: CLIENT_SAMPLES["pong"] as Sample,
  ack: CLIENT_SAMPLES["ack"] as Sample,
  nack: CLIENT_SAMPLES["nack"] as Sample,
  "cancel.accepted": {
    least: {},
    most: { target: "job", target_id: "job_1" },
    refused: [[{ target_id: 3 }, "payload.target_id"]],
  },
  "cancel.refused": {
    least: {},
    most: { target: "job", target_id: "job_1", reason: "already_terminal" },
    refused: [[{ reason: 3 }, "payload.reason"]],
  },
  backpressure: CLIENT_SAMPLES["backpressure"] as Sample,
  "tool.result": {
    least: {},
    most: { value: { n: 1 }, result_ref: REF },
    refused: [[{ result_ref: { uri: "u" } }, "payload.result_ref.artifact_id"]],
  },
  "tool.error": error,
  "job.accepted": {
    least: { job_id: "job_1" },
    most: { job_id: "job_1", accepted_at: AT, state: "queued", lease: {}, credentials: [] },
    refused: [
      [{ job_id: undefined }, "job_id"],
      [{ job_id: 3 }, "payload.job_id"],
    ],
  },
  "job.started": {
    least: {},
    most: { job_id: "job_1", started_at: AT },
    refused: [[{ started_at: 3 }, "payload.started_at"]],
  },
  "job.progress": {
    least: {},
    most: { job_id: "job_1", percent: 42, message: "Embedding", current: 4, total: 9, units: "files" },
    refused: [[{ percent: "42" }, "payload.percent"]],
  },
  "job.heartbeat": {
    least: { sequence: 0 },
    most: { job_id: "job_1", sequence: 17, deadline_ms: 60_000, state: "running" },
    refused: [[{ sequence: -1 }, "payload.sequence"]],
  },
  "job.checkpoint": {
    least: { checkpoint_id: "chk_1" },
    most: { job_id: "job_1", checkpoint_id: "chk_1", label: "half", data_ref: "art_1", snapshot: {} },
    refused: [[{ checkpoint_id: undefined }, "payload.checkpoint_id"]],
  },
  "job.completed": {
    least: {},
    most: { job_id: "job_1", value: 1, result_ref: REF, result_id: "res_1", result_size: 9, summary: "s" },
    refused: [[{ result_ref: "art_1" }, "payload.result_ref"]],
  },
  "job.failed": { ...error, most: { ...error.most, job_id: "job_1" } },
  "job.cancelled": {
    least: {},
    most: { job_id: "job_1", reason: "user_aborted", source: "client", code: "CANCELLED", message: "stopped" },
    refused: [[{ reason: 3 }, "payload.reason"]],
  },
  "job.result_chunk": {
    least: { result_id: "res_1", chunk_seq: 0, data: "x", encoding: "utf8", more: false },
    most: { result_id: "res_1", chunk_seq: 0, data: "x", encoding: "utf8", more: false },
    refused: [[{ encoding: "hex" }, "payload.encoding"]],
  },
  "job.subscribed": {
    least: {},
    most: { job_id: "job_1", current_status: "running", agent: "echo", subscribed_from: 3, replayed: true },
    refused: [[{ job_id: 3 }, "payload.job_id"]],
  },
  "workflow.complete": {
    least: {},
    most: { job_id: "job_1", outputs: { rows: 3 }, result_ref: REF },
    refused: [[{ result_ref: {} }, "payload.result_ref.artifact_id"]],
  },
  "agent.delegate": CLIENT_SAMPLES["agent.delegate"] as Sample,
  "agent.handoff": CLIENT_SAMPLES["agent.handoff"] as Sample,
  "stream.open": {
    ...stream,
    least: { kind: "text" },
    most: { kind: "thought", content_type: "text/plain", encoding: "utf-8", related_job_id: "job_1" },
    refused: [[{ kind: undefined }, "payload.kind"], noStream],
  },
  "stream.chunk": {
    ...stream,
    least: {},
    most: {
      sequence: 0,
      data: "aGk=",
      content: "thinking",
      content_type: "application/octet-stream",
      encoding: "base64",
      sha256: "00",
      byte_length: 2,
      role: "assistant_thought",
      redacted: true,
    },
    refused: [[{ sequence: -1 }, "payload.sequence"], [{ redacted: "no" }, "payload.redacted"], noStream],
  },
  "stream.close": {
    ...stream,
    least: {},
    most: { reason: "done", total_chunks: 3 },
    refused: [[{ total_chunks: 0.5 }, "payload.total_chunks"], noStream],
  },
  "stream.error": { ...error, ...stream, refused: [...(error.refused ?? []), noStream] },
  "human.input.request": {
    least: { prompt: "Which branch?" },
    most: {
      prompt: "Which branch?",
      response_schema: { type: "object" },
      default: { branch: "main" },
      expires_at: AT,
      destination: "phone",
    },
    refused: [
      [{ prompt: undefined }, "payload.prompt"],
      [{ response_schema: "object" }, "payload.response_schema"],
    ],
  },
  "human.input.response": CLIENT_SAMPLES["human.input.response"] as Sample,
  "human.input.cancelled": {
    least: {},
    most: { code: "DEADLINE_EXCEEDED", message: "too late", reason: "expired", details: { n: 1 } },
    refused: [[{ code: 3 }, "payload.code"]],
  },
  "human.choice.request": {
    least: { prompt: "How?", options: [{ id: "fix" }] },
    most: {
      prompt: "How?",
      options: [{ id: "fix", label: "Fix", description: "Fix and run again" }],
      default: "fix",
      expires_at: AT,
      destinations: ["phone", "mail"],
    },
    refused: [
      [{ options: [] }, "payload.options"],
      [{ options: [{ label: "Fix" }] }, "payload.options.0.id"],
    ],
  },
  "human.choice.response": CLIENT_SAMPLES["human.choice.response"] as Sample,
  "permission.request": {
    least: { permission: "p", resource: "r", operation: "o" },
    most: { permission: "p", resource: "r", operation: "o", reason: "why", requested_lease_seconds: 300 },
    refused: [
      [{ permission: undefined }, "payload.permission"],
      [{ resource: undefined }, "payload.resource"],
      [{ operation: undefined }, "payload.operation"],
      [{ requested_lease_seconds: 0 }, "payload.requested_lease_seconds"],
    ],
  },
  "lease.granted": {
    least: { lease_id: "lease_1" },
    most: { lease_id: "lease_1", permission: "p", resource: "r", operation: "o", expires_at: AT },
    refused: [[{ lease_id: undefined }, "payload.lease_id"]],
  },
  "lease.extended": {
    least: { lease_id: "lease_1", expires_at: AT },
    most: { lease_id: "lease_1", expires_at: AT },
    refused: [[{ expires_at: undefined }, "payload.expires_at"]],
  },
  "lease.revoked": CLIENT_SAMPLES["lease.revoked"] as Sample,
  "subscribe.accepted": {
    least: { subscription_id: "sub_1" },
    most: { subscription_id: "sub_1" },
    refused: [[{ subscription_id: undefined }, "payload.subscription_id"]],
  },
  "subscribe.event": {
    least: { event: { type: "log" } },
    most: { subscription_id: "sub_1", event: { type: "log" } },
    refused: [[{ event: undefined }, "payload.event"]],
  },
  "subscribe.closed": {
    least: {},
    most: { subscription_id: "sub_1", reason: "evicted", code: "UNAUTHENTICATED", message: "m" },
    refused: [[{ reason: 3 }, "payload.reason"]],
  },
  unsubscribe: CLIENT_SAMPLES["unsubscribe"] as Sample,
  "artifact.put": CLIENT_SAMPLES["artifact.put"] as Sample,
  "artifact.ref": {
    least: { artifact_id: "art_1" },
    most: { ...REF, sha256: "00", expires_at: AT, data: "aGk=" },
    refused: [[{ artifact_id: undefined }, "payload.artifact_id"]],
  },
  "event.emit": {
    least: { name: "n" },
    most: { name: "n", value: 1, attributes: { a: 1 } },
    refused: [[{ name: undefined }, "payload.name"]],
  },
  log: {
    least: { level: "trace", message: "m" },
    most: { level: "critical", message: "m", attributes: { attempt: 2 } },
    refused: [
      [{ level: "loud" }, "payload.level"],
      [{ message: undefined }, "payload.message"],
    ],
  },
  metric: {
    least: { name: "n", value: 1 },
    most: { name: "tokens.used", value: 1, unit: "tokens", dims: { kind: "input" } },
    refused: [
      [{ name: undefined }, "payload.name"],
      [{ value: "1" }, "payload.value"],
    ],
  },
  "trace.span": {
    least: { name: "s" },
    most: {
      trace_id: "t",
      span_id: "s",
      parent_span_id: "p",
      name: "s",
      start_time: AT,
      end_time: AT,
      duration_ms: 5,
      status: "ok",
      attributes: { a: 1 },
    },
    refused: [[{ name: undefined }, "payload.name"]],
  },
};

/** The frame of a sample: members that begin with `$` are the envelope's. */
export function frameOf(type: string, sample: Sample, payload: Members, change: Members = {}): Members {
  const members = Object.entries({ ...payload, ...change });
  const pick = (isOfEnvelope: boolean) =>
    members
      .filter(([name]) => name.startsWith("$") === isOfEnvelope)
      .map(([name, value]) => [isOfEnvelope ? name.slice(1) : name, value] as const);
  const envelope = { arcp: "1.0", id: "msg_1", timestamp: AT, ...sample.envelope };
  return { ...envelope, type, payload: Object.fromEntries(pick(false)), ...Object.fromEntries(pick(true)) };
}
