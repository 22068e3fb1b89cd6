import { ARCPError, InvalidRequestError, type JsonObject } from "@arcp/core";
import {
  artifactUri,
  buildEnvelope10,
  CLIENT_TYPES,
  decodeAnyMessage10,
  decodeClientMessage10,
  decodeRuntimeMessage10,
  hasCorePrefix,
  isExtensionType,
  JOB_STATES,
  newArtifactId,
  newCheckpointId,
  newLeaseId,
  newStreamId,
  newSubscriptionId,
  parseArtifactUri,
  priorityRank,
  RUNTIME_TYPES,
  TRUST_LEVELS,
} from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CLIENT_SAMPLES, frameOf, RUNTIME_SAMPLES, type Sample } from "./v1.0-samples.ts";

/** RFC §6.2, as it stands there. */
const CORE_TYPES = `
  session.open session.challenge session.authenticate session.accepted session.unauthenticated session.rejected
  session.refresh session.evicted session.close
  ping pong ack nack cancel cancel.accepted cancel.refused interrupt resume backpressure checkpoint.create
  checkpoint.restore
  tool.invoke tool.result tool.error job.accepted job.started job.progress job.heartbeat job.checkpoint job.completed
  job.failed job.cancelled job.schedule workflow.start workflow.complete agent.delegate agent.handoff
  stream.open stream.chunk stream.close stream.error
  human.input.request human.input.response human.choice.request human.choice.response human.input.cancelled
  permission.request permission.grant permission.deny lease.granted lease.extended lease.revoked lease.refresh
  subscribe subscribe.accepted subscribe.event unsubscribe subscribe.closed
  artifact.put artifact.fetch artifact.ref artifact.release
  event.emit log metric trace.span
`
  .trim()
  .split(/\s+/);

/** What a tool returned may be nothing. */
const NULL_IS_A_VALUE: ReadonlySet<string> = new Set([
  "tool.result value",
  "job.completed value",
  "workflow.complete outputs",
]);

type Decoder = (frame: JsonObject) => { readonly payload: unknown };

/** The error that `decode` throws for `frame`. */
function refusalOf(decode: Decoder, frame: JsonObject): ARCPError {
  try {
    decode(frame);
  } catch (error) {
    if (error instanceof ARCPError) return error;
    throw error;
  }
  throw new Error(`not refused: ${JSON.stringify(frame)}`);
}

const directions: readonly (readonly [string, Decoder, ReadonlySet<string>, Readonly<Record<string, Sample>>])[] = [
  ["client", decodeClientMessage10, CLIENT_TYPES, CLIENT_SAMPLES],
  ["runtime", decodeRuntimeMessage10, RUNTIME_TYPES, RUNTIME_SAMPLES],
];

test("every core type has a direction and a schema", () => {
  covers("V10-6.2-01");
  expect(CORE_TYPES).toHaveLength(66);
  expect(CORE_TYPES.filter((type) => !CLIENT_TYPES.has(type) && !RUNTIME_TYPES.has(type))).toEqual([]);
});

test("every type that is read is core or an addition with a core prefix", () => {
  covers("V10-6.2-02");
  const read = [...CLIENT_TYPES, ...RUNTIME_TYPES];
  expect(read.filter((type) => !hasCorePrefix(type) || isExtensionType(type))).toEqual([]);
});

describe.each(directions)("what a %s sends", (_name, decode, types, samples) => {
  test("has a sample for every type", () => {
    expect(Object.keys(samples).sort()).toEqual([...types].sort());
  });

  test.each(Object.entries(samples))("%s is read at its least and at its most", (type, sample) => {
    expect(decode(frameOf(type, sample, sample.least))).toMatchObject({ type });
    expect(decode(frameOf(type, sample, sample.most))).toMatchObject({ type });
  });

  test.each(Object.entries(samples))("%s may have null for what may be absent", (type, sample) => {
    const whole = decode(frameOf(type, sample, sample.most)).payload;
    const optional = Object.keys(sample.most).filter((name) => !(name in sample.least));
    for (const name of optional.filter((name) => !NULL_IS_A_VALUE.has(`${type} ${name}`))) {
      const without = decode(frameOf(type, sample, sample.most, { [name]: undefined }));
      expect(without.payload, name).not.toEqual(whole);
      expect(decode(frameOf(type, sample, sample.most, { [name]: null })), name).toEqual(without);
    }
  });

  test.each(Object.entries(samples))("%s may have members that nobody knows", (type, sample) => {
    covers("V10-6.1.1-17");
    const known = decode(frameOf(type, sample, sample.most));
    expect(decode(frameOf(type, sample, sample.most, { $shoe_size: 44 }))).toEqual(known);
    expect(decode(frameOf(type, sample, sample.most, { shoe_size: 44 }))).toMatchObject(known);
  });

  const refused = Object.entries(samples).flatMap(([type, sample]) =>
    (sample.refused ?? []).map(([change, path]) => [type, path, change] as const),
  );
  test.each(refused)("%s with a wrong %s is refused and told so: %j", (type, path, change) => {
    const sample = samples[type] as Sample;
    const error = refusalOf(decode, frameOf(type, sample, sample.least, change));
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error.message).toMatch(new RegExp(`^${path.replaceAll(".", "\\.")}: `));
    expect(error.details).toEqual({ type, path });
  });

  test.each(["session.hello", "toString", "__proto__", "job.teleport", "arcpx.acme.audit.v1"])(
    "%s is no type",
    (type) => {
      const error = refusalOf(decode, {
        arcp: "1.0",
        id: "msg_1",
        type,
        timestamp: "2026-05-09T14:00:00Z",
        payload: {},
      });
      expect(error).toBeInstanceOf(InvalidRequestError);
      expect(error.details).toEqual({ type, path: "type" });
    },
  );
});

const ping = (members: JsonObject): JsonObject => ({
  arcp: "1.0",
  id: "msg_1",
  type: "ping",
  timestamp: "2026-05-09T14:00:00Z",
  payload: {},
  ...members,
});
const lasting = (members: JsonObject) => JSON.parse(JSON.stringify(decodeClientMessage10(ping(members)))) as JsonObject;

describe("the envelope", () => {
  test.each(["arcp", "id", "type", "timestamp", "payload"])("needs %s", (member) => {
    covers("V10-6.1.1-01", "V10-4.4-02");
    for (const absent of [undefined, null]) {
      const error = refusalOf(decodeClientMessage10, ping({ [member]: absent }));
      expect(error.details).toMatchObject({ path: member });
      expect(error).toBeInstanceOf(InvalidRequestError);
    }
  });

  test("needs no timestamp where that was asked for", () => {
    expect(decodeClientMessage10(ping({ timestamp: undefined }), { allowMissingTimestamp: true }).timestamp).toBe(
      undefined,
    );
    expect(() => decodeClientMessage10(ping({ timestamp: "noon" }), { allowMissingTimestamp: true })).toThrow(
      /^timestamp:/,
    );
  });

  test("has every member of the RFC", () => {
    covers("V10-6.1-01", "V10-6.1.1-16");
    const members = {
      source: "cli",
      target: "runtime",
      session_id: "sess_1",
      job_id: "job_1",
      stream_id: "str_1",
      subscription_id: "sub_1",
      trace_id: "trace_789",
      span_id: "00f067aa0ba902b7",
      parent_span_id: "span_0",
      correlation_id: "msg_0",
      causation_id: "01J5ZK8G6W0V3T9Y2Q4N7B1C5D",
      idempotency_key: "refund-ord_4812",
      priority: "critical",
      extensions: { "com.acme.audit": { ticket: 3 }, "arcpx.acme.cost.v2": 1, optional: true },
    };
    expect(lasting(members)).toEqual(ping(members));
    const nothing = Object.fromEntries(Object.keys(members).map((name) => [name, null]));
    expect(lasting(nothing)).toEqual(ping({}));
  });

  test.each([
    ["1", true],
    ["1.0", true],
    ["1.1", true],
    ["1.27", true],
  ])("of version %s is read", (arcp) => {
    covers("V10-4.4-02");
    expect(decodeClientMessage10(ping({ arcp })).arcp).toBe(arcp);
  });

  test.each(["2", "2.0", "0.9", "11"])("of version %s is of a protocol that is not spoken here", (arcp) => {
    const error = refusalOf(decodeClientMessage10, ping({ arcp, payload: 3 }));
    expect(error).toMatchObject({ canonicalCode: "UNIMPLEMENTED", details: { path: "arcp" } });
  });

  test.each([1, 1.1, "", "1.", "1.x", "one", {}, "1.0 "])("of version %j is malformed", (arcp) => {
    const error = refusalOf(decodeClientMessage10, ping({ arcp }));
    expect(error).toBeInstanceOf(InvalidRequestError);
    expect(error.details).toMatchObject({ path: "arcp" });
  });

  test.each([
    ["2026-05-07T21:30:00Z"],
    ["2026-05-07T21:30:00.123Z"],
    ["2026-05-07T21:30:00.123456Z"],
    ["2026-05-07T21:30:00.1234567+00:00"],
    ["2026-05-07T23:30:00+02:00"],
  ])("may be sent at %s", (timestamp) => {
    covers("V10-6.1.1-03");
    expect(decodeClientMessage10(ping({ timestamp })).timestamp).toBe(timestamp);
  });

  test.each(["yesterday", "2026-05-07", "2026-05-07T21:30:00", "2026-13-07T21:30:00Z", 1_746_653_400, ""])(
    "is not sent at %j",
    (timestamp) => {
      covers("V10-6.1.1-03");
      expect(refusalOf(decodeClientMessage10, ping({ timestamp })).details).toMatchObject({ path: "timestamp" });
    },
  );

  test.each(["id", "session_id", "job_id", "stream_id", "subscription_id", "correlation_id", "causation_id"])(
    "has 1 to 128 printable characters of ASCII for %s",
    (member) => {
      expect(lasting({ [member]: "!".repeat(128) })[member]).toBe("!".repeat(128));
      for (const id of ["", "x".repeat(129), "two words", "naïve", "line\n", 7]) {
        expect(refusalOf(decodeClientMessage10, ping({ [member]: id })).details).toMatchObject({ path: member });
      }
    },
  );

  test.each(["trace_id", "span_id", "parent_span_id"])("is read without a %s that is malformed", (member) => {
    for (const id of ["", "two words", 7, {}]) expect(lasting({ [member]: id })).toEqual(ping({}));
  });

  test("has a priority of four", () => {
    covers("V10-6.1.1-12");
    for (const priority of ["low", "normal", "high", "critical"]) {
      expect(decodeClientMessage10(ping({ priority })).priority).toBe(priority);
      expect(decodeClientMessage10(ping({ priority: { type: priority } })).priority).toBe(priority);
    }
    for (const priority of ["urgent", "HIGH", 3, {}, { type: "urgent" }]) {
      expect(refusalOf(decodeClientMessage10, ping({ priority })).details).toMatchObject({ path: "priority" });
    }
  });

  test("names its extensions", () => {
    covers("V10-6.1.1-13", "V10-21.1-01", "V10-21.1-02");
    for (const name of ["priority", "x-acme", "x-vendor.acme.audit", "acme.audit", "arcpx", "a..b.c"]) {
      const error = refusalOf(decodeClientMessage10, ping({ extensions: { [name]: 1 } }));
      expect(error.details).toEqual({ type: "ping", path: `extensions.${name}` });
    }
    for (const extensions of ["arcpx.acme.audit.v1", 3, []]) {
      expect(refusalOf(decodeClientMessage10, ping({ extensions })).details).toMatchObject({ path: "extensions" });
    }
  });

  test("is read alone when its type is somebody else's", () => {
    const frame = ping({ type: "arcpx.acme.audit.v1", payload: { any: "thing" }, extensions: { optional: true } });
    expect(decodeAnyMessage10(frame)).toMatchObject({
      type: "arcpx.acme.audit.v1",
      payload: { any: "thing" },
      extensions: { optional: true },
    });
    expect(refusalOf(decodeAnyMessage10, { ...frame, payload: [] }).details).toMatchObject({ path: "payload" });
    expect(refusalOf(decodeAnyMessage10, { ...frame, timestamp: undefined }).details).toMatchObject({
      path: "timestamp",
    });
  });
});

/** What other SDKs send, and how it is read. */
const clientForms: readonly (readonly [form: string, frame: JsonObject, read: object])[] = [
  [
    "arguments that are null",
    { type: "tool.invoke", payload: { tool: "echo", arguments: null } },
    { payload: { arguments: {} } },
  ],
  ["arguments that are absent", { type: "tool.invoke", payload: { tool: "echo" } }, { payload: { arguments: {} } }],
  [
    "arguments that are no object",
    { type: "tool.invoke", payload: { tool: "echo", arguments: 0 } },
    { payload: { arguments: 0 } },
  ],
  [
    "a lease with underscores and its expiry",
    {
      type: "tool.invoke",
      payload: {
        tool: "echo",
        lease_request: {
          cost_budget: ["USD:1"],
          model_use: ["fast/*"],
          expires_at: "2026-05-09T14:00:00Z",
          "fs.read": ["/a"],
        },
      },
    },
    {
      payload: {
        lease_request: { "cost.budget": ["USD:1"], "model.use": ["fast/*"], "fs.read": ["/a"] },
        lease_constraints: { expires_at: "2026-05-09T14:00:00Z" },
      },
    },
  ],
  [
    "a budget beside the arguments",
    { type: "tool.invoke", payload: { tool: "echo", cost_budget: ["USD:1"] } },
    { payload: { lease_request: { "cost.budget": ["USD:1"] } } },
  ],
  [
    "a version in the payload and a fingerprint in the credentials",
    {
      type: "session.open",
      payload: { arcp: "1.0", auth: { scheme: "mtls", fingerprint: "sha256:f" }, client: { kind: "f", version: "1" } },
    },
    { payload: { auth: { scheme: "mtls" }, client: { kind: "f", fingerprint: "sha256:f" } } },
  ],
  [
    "a scheme as an object",
    { type: "session.open", payload: { auth: { scheme: { type: "none" } } } },
    { payload: { auth: { scheme: "none" } } },
  ],
  [
    "jobs to detach",
    { type: "session.close", payload: { reason: null, detach: true } },
    { payload: { dispose_jobs: "detach" } },
  ],
  [
    "jobs not to detach",
    { type: "session.close", payload: { detach: false } },
    { payload: { dispose_jobs: "cancel" } },
  ],
  [
    "the session to resume on the envelope",
    { type: "session.resume", session_id: "sess_1", payload: { resume_token: "rt" } },
    { session_id: "sess_1" },
  ],
  [
    "the session to resume in the payload",
    { type: "session.resume", payload: { session_id: "sess_1", resume_token: "rt" } },
    { session_id: "sess_1" },
  ],
  [
    "an interrupt of a job id",
    { type: "interrupt", payload: { job_id: "01J5ZK8G6W0V3T9Y2Q4N7B1C5D", reason: "wait" } },
    { payload: { target: "job", target_id: "01J5ZK8G6W0V3T9Y2Q4N7B1C5D", prompt: "wait" } },
  ],
  [
    "a cancel of a job id",
    { type: "cancel", payload: { target: "job", job_id: "job_1" } },
    { payload: { target: "job", target_id: "job_1" } },
  ],
  [
    "a target as an object",
    { type: "cancel", payload: { target: { type: "stream" }, target_id: "str_1" } },
    { payload: { target: "stream", target_id: "str_1" } },
  ],
  [
    "a lease to refresh by other words",
    { type: "lease.refresh", payload: { lease_id: "l", extend_seconds: 60 } },
    { payload: { requested_seconds: 60 } },
  ],
  [
    "a grant of seconds only",
    { type: "permission.grant", correlation_id: "msg_0", payload: { lease_seconds: 60 } },
    { payload: { lease_seconds: 60 } },
  ],
  [
    "an answer of nobody",
    { type: "human.input.response", correlation_id: "msg_0", payload: { value: false, responded_by: null } },
    { payload: { value: false, responded_by: undefined } },
  ],
  [
    "an id to unsubscribe on the envelope",
    { type: "unsubscribe", subscription_id: "sub_1", payload: {} },
    { subscription_id: "sub_1", payload: { subscription_id: "sub_1" } },
  ],
  [
    "an id to unsubscribe in the payload",
    { type: "unsubscribe", payload: { subscription_id: "sub_1" } },
    { subscription_id: "sub_1" },
  ],
  [
    "a filter of nothing",
    { type: "subscribe", payload: { filter: null, since: null } },
    { payload: { filter: {}, since: undefined } },
  ],
  [
    "a filter of empty lists",
    { type: "subscribe", payload: { filter: { types: [], job_id: null, min_priority: { type: "high" } } } },
    { payload: { filter: { types: undefined, job_id: undefined, min_priority: "high" } } },
  ],
  [
    "a filter of one",
    { type: "subscribe", payload: { filter: { types: "log" } } },
    { payload: { filter: { types: ["log"] } } },
  ],
  ["everything since the beginning", { type: "subscribe", payload: { since: {} } }, { payload: { since: {} } }],
  [
    "bytes that follow",
    { type: "artifact.put", payload: { encoding: "sidecar", byte_length: 9 } },
    { payload: { encoding: "sidecar", size: 9, media_type: "application/octet-stream" } },
  ],
  [
    "an artifact by its address",
    { type: "artifact.fetch", payload: { uri: "arcp://session/s/artifact/art_1" } },
    { payload: { artifact_id: "art_1" } },
  ],
  [
    "a job on the envelope of a checkpoint",
    { type: "checkpoint.restore", job_id: "job_1", payload: { checkpoint_id: "c" } },
    { job_id: "job_1" },
  ],
  [
    "a job in the payload of a checkpoint",
    { type: "checkpoint.create", payload: { job_id: "job_1" } },
    { job_id: "job_1" },
  ],
  [
    "a job on the envelope of a subscription",
    { type: "job.subscribe", job_id: "job_1", payload: {} },
    { job_id: "job_1", payload: { job_id: "job_1" } },
  ],
  [
    "inputs by another name",
    { type: "workflow.start", payload: { workflow: "w", arguments: { a: 1 } } },
    { payload: { inputs: { a: 1 } } },
  ],
  [
    "other schedules that are null",
    {
      type: "job.schedule",
      payload: { job: { type: "tool.invoke", payload: { tool: "t" } }, when: { at: null, every: null, after: 0 } },
    },
    { payload: { when: { after: 0 }, job: { payload: { tool: "t", arguments: {} } } } },
  ],
  [
    "an identity by another name",
    { type: "agent.handoff", payload: { runtime: { kind: "other" } } },
    { payload: { to_runtime: { kind: "other" } } },
  ],
  [
    "an alias of a code",
    { type: "nack", payload: { code: "RATE_LIMITED", message: "m" } },
    { payload: { code: "RESOURCE_EXHAUSTED", retryable: true } },
  ],
];

const runtimeForms: readonly (readonly [form: string, frame: JsonObject, read: object])[] = [
  [
    "a session on the envelope only",
    { type: "session.accepted", session_id: "s", payload: { runtime: null, capabilities: null, lease: null } },
    { session_id: "s", payload: { session_id: "s", runtime: { kind: "unknown" }, lease: undefined } },
  ],
  [
    "a level of trust that nobody knows",
    {
      type: "session.accepted",
      payload: { session_id: "s", runtime: { kind: "r", version: "1", trust_level: "cosmic" } },
    },
    { payload: { runtime: { trust_level: undefined } } },
  ],
  [
    "a reason for a message",
    { type: "session.rejected", payload: { code: "UNAUTHENTICATED", reason: "no" } },
    { payload: { message: "no", retryable: false } },
  ],
  [
    "details that are null",
    { type: "session.rejected", payload: { code: "UNAUTHENTICATED", message: "no", details: null } },
    { payload: { details: undefined } },
  ],
  [
    "a refusal with a reason only",
    { type: "session.unauthenticated", payload: { reason: "no" } },
    { payload: { code: "UNAUTHENTICATED", message: "no" } },
  ],
  [
    "a challenge that is a nonce",
    { type: "session.challenge", payload: { scheme: "signed_jwt", nonce: "n" } },
    { payload: { type: "signed_jwt", challenge: "n", params: {} } },
  ],
  [
    "a bare challenge",
    { type: "session.challenge", payload: { challenge: "c" } },
    { payload: { type: "challenge", challenge: "c" } },
  ],
  [
    "a deadline as an instant",
    { type: "session.refresh", payload: { deadline: "2026-05-09T14:00:00Z" } },
    { payload: { deadline: "2026-05-09T14:00:00Z" } },
  ],
  [
    "an eviction by its code in lower case",
    { type: "session.evicted", payload: { reason: "cancelled" } },
    { payload: { code: "CANCELLED", reason: "cancelled" } },
  ],
  [
    "an eviction for a reason",
    { type: "session.evicted", payload: { code: "ABORTED", reason: "shutting down" } },
    { payload: { code: "ABORTED", message: "shutting down" } },
  ],
  [
    "an answer named in the payload",
    { type: "nack", payload: { code: "NOT_FOUND", message: "m", ack_for: "msg_0" } },
    { correlation_id: "msg_0" },
  ],
  [
    "an answer named twice",
    { type: "ack", correlation_id: "msg_0", payload: { ack_for: "msg_9" } },
    { correlation_id: "msg_0" },
  ],
  [
    "a note",
    { type: "ack", correlation_id: "msg_0", payload: { detail: "released" } },
    { payload: { message: "released" } },
  ],
  [
    "a detail that is no text",
    { type: "ack", correlation_id: "msg_0", payload: { detail: { n: 1 } } },
    { payload: { message: undefined } },
  ],
  [
    "a refusal in somebody's words",
    { type: "cancel.refused", payload: { target_id: "job_1", reason: "already terminal" } },
    { payload: { reason: "already terminal" } },
  ],
  [
    "a job on the envelope only",
    { type: "job.accepted", job_id: "job_1", payload: { detail: null } },
    { job_id: "job_1", payload: { job_id: "job_1" } },
  ],
  ["a job in the payload only", { type: "job.started", payload: { job_id: "job_1" } }, { job_id: "job_1" }],
  [
    "a job that failed before it was",
    { type: "job.failed", payload: { code: "DUPLICATE_KEY", message: "m" } },
    { job_id: undefined, payload: { code: "DUPLICATE_KEY" } },
  ],
  ["a result by another name", { type: "tool.result", payload: { result: 3 } }, { payload: { value: 3 } }],
  [
    "a value and no reference",
    { type: "job.completed", payload: { value: 0, result_ref: null } },
    { payload: { value: 0, result_ref: undefined } },
  ],
  [
    "outputs by another name",
    { type: "workflow.complete", payload: { result: { a: 1 } } },
    { payload: { outputs: { a: 1 } } },
  ],
  [
    "a kind as an object",
    { type: "stream.open", stream_id: "s", payload: { kind: { type: "thought" } } },
    { payload: { kind: "thought" } },
  ],
  [
    "a kind that nobody knows",
    { type: "stream.open", stream_id: "s", payload: { kind: "hologram" } },
    { payload: { kind: "event" } },
  ],
  [
    "the job of a stream in its payload",
    { type: "stream.open", stream_id: "s", payload: { kind: "text", related_job_id: "job_1" } },
    { job_id: "job_1" },
  ],
  [
    "an event",
    { type: "stream.chunk", stream_id: "s", payload: { event: { a: 1 } } },
    { payload: { data: { a: 1 }, redacted: false } },
  ],
  [
    "a thought",
    { type: "stream.chunk", stream_id: "s", payload: { role: "assistant_thought", content: "hm" } },
    { payload: { data: "hm", content: "hm", role: "assistant_thought" } },
  ],
  [
    "a question that anything answers",
    { type: "human.input.request", payload: { prompt: "?", response_schema: null, expires_at: null } },
    { payload: { response_schema: {}, expires_at: undefined, destinations: [] } },
  ],
  [
    "one destination",
    { type: "human.input.request", payload: { prompt: "?", destination: "phone" } },
    { payload: { destinations: ["phone"] } },
  ],
  [
    "a choice for when nobody answers",
    { type: "human.choice.request", payload: { prompt: "?", options: [{ id: "a" }], default_choice_id: "a" } },
    { payload: { default: "a", options: [{ id: "a", label: "a" }] } },
  ],
  [
    "a question withdrawn for a reason",
    { type: "human.input.cancelled", payload: { code: "DEADLINE_EXCEEDED", reason: "late" } },
    { payload: { code: "DEADLINE_EXCEEDED", message: "late" } },
  ],
  [
    "an event of a subscription that is not named",
    { type: "subscribe.event", payload: { event: { type: "subscription.backfill_complete" }, sequence: null } },
    { payload: { event: { type: "subscription.backfill_complete" } } },
  ],
  [
    "a subscription closed on the envelope",
    { type: "subscribe.closed", subscription_id: "sub_1", payload: { code: "OK", reason: "unsubscribed" } },
    { subscription_id: "sub_1", payload: { code: "OK" } },
  ],
  [
    "an artifact with its content",
    { type: "artifact.ref", payload: { artifact_id: "a", data: "aGk=" } },
    { payload: { data: "aGk=" } },
  ],
  [
    "an event named by its type",
    { type: "event.emit", payload: { type: "subscription.backfill_complete", attrs: { a: 1 } } },
    { payload: { name: "subscription.backfill_complete", attributes: { a: 1 } } },
  ],
  ["a level in upper case", { type: "log", payload: { level: "WARN", message: "m" } }, { payload: { level: "warn" } }],
  [
    "dimensions",
    { type: "metric", payload: { name: "tokens.used", value: 1, unit: "tokens", dimensions: { kind: "input" } } },
    { payload: { dims: { kind: "input" } } },
  ],
];

const base = { arcp: "1.0", id: "01J5ZK8G6W0V3T9Y2Q4N7B1C5D", timestamp: "2026-05-09T14:00:00.1234567+00:00" };

describe("other SDKs", () => {
  test.each(clientForms)("write %s", (_form, frame, read) => {
    expect(decodeClientMessage10({ ...base, ...frame })).toMatchObject(read);
  });

  test.each(runtimeForms)("answer with %s", (_form, frame, read) => {
    expect(decodeRuntimeMessage10({ ...base, ...frame })).toMatchObject(read);
  });
});

describe("what the RFC leaves to words", () => {
  const said = (type: string, payload: object) =>
    decodeRuntimeMessage10({ ...base, type, job_id: "job_1", stream_id: "str_1", payload }).payload;

  test("eight states of a job", () => {
    covers("V10-10.2-01");
    const states = ["accepted", "queued", "running", "blocked", "paused", "completed", "failed", "cancelled"];
    expect(JOB_STATES).toEqual(states);
    for (const state of states) expect(said("job.heartbeat", { sequence: 1, state })).toMatchObject({ state });
  });

  test("six kinds of stream, and event for any other", () => {
    covers("V10-11.1-01", "V10-11.1-02", "V10-11.1-03");
    for (const kind of ["text", "binary", "event", "log", "metric", "thought"]) {
      expect(said("stream.open", { kind })).toMatchObject({ kind });
    }
    expect(said("stream.open", { kind: "hologram" })).toMatchObject({ kind: "event" });
    expect(() => said("stream.open", {})).toThrow(/^payload\.kind:/);
  });

  test("six levels of log", () => {
    covers("V10-17.2-01");
    for (const level of ["trace", "debug", "info", "warn", "error", "critical"]) {
      expect(said("log", { level, message: "m" })).toEqual({ level, message: "m" });
    }
  });

  test("four levels of trust", () => {
    covers("V10-15.3-01");
    expect(TRUST_LEVELS).toEqual(["untrusted", "constrained", "trusted", "privileged"]);
    for (const trust_level of TRUST_LEVELS) {
      const runtime = { kind: "r", version: "1", trust_level };
      expect(said("session.accepted", { session_id: "s", runtime })).toMatchObject({ runtime });
    }
  });

  test("three things to cancel", () => {
    covers("V10-10.4-01");
    for (const target of ["job", "stream", "session"]) {
      const payload = { target, target_id: "id_1", reason: "user_aborted", deadline_ms: 5000 };
      expect(decodeClientMessage10({ ...base, type: "cancel", payload }).payload).toEqual(payload);
    }
  });

  test("one time for a scheduled job", () => {
    covers("V10-10.6-02");
    const job = { type: "tool.invoke", payload: { tool: "echo" } };
    const scheduled = (when: object) =>
      decodeClientMessage10({ ...base, type: "job.schedule", payload: { job, when } });
    const times = [{ at: "2026-05-09T14:00:00Z" }, { every: "FREQ=DAILY;COUNT=3" }, { after: 60 }];
    for (const when of times) expect(scheduled(when).payload).toMatchObject({ when });
    expect(() => scheduled({})).toThrow(/^payload\.when:/);
    for (const [first, second] of [
      [0, 1],
      [1, 2],
      [0, 2],
    ] as const) {
      expect(() => scheduled({ ...times[first], ...times[second] })).toThrow(/^payload\.when:/);
    }
  });
});

describe("what we send", () => {
  test("has a version, an id and what it was given", () => {
    covers("V10-4.4-02", "V10-6.1.1-01", "V10-6.1.1-02");
    const timestamp = "2026-05-09T14:00:00.000Z";
    const sent = () =>
      buildEnvelope10({ type: "ping", timestamp, payload: {}, session_id: "sess_1", job_id: undefined });
    const frame = JSON.parse(JSON.stringify(sent()));
    expect(frame).toEqual({
      ...{ arcp: "1.0", id: expect.stringMatching(/^msg_[0-9A-Z]{26}$/), type: "ping", timestamp },
      ...{ payload: {}, session_id: "sess_1" },
    });
    expect(decodeClientMessage10(frame)).toMatchObject(frame);
    expect(new Set(Array.from({ length: 100 }, () => sent().id)).size).toBe(100);
    expect(buildEnvelope10({ arcp: "1.1", id: "msg_1", type: "ping", timestamp, payload: {} })).toMatchObject({
      arcp: "1.1",
      id: "msg_1",
    });
  });

  test("names what it makes by its kind", () => {
    const made = [newStreamId(), newSubscriptionId(), newLeaseId(), newArtifactId(), newCheckpointId()];
    for (const [index, prefix] of ["str", "sub", "lease", "art", "chk"].entries()) {
      expect(made[index]).toMatch(new RegExp(`^${prefix}_[0-9A-Z]{26}$`));
    }
  });

  test("addresses artifacts by session and id", () => {
    covers("V10-16.1-02");
    const uri = artifactUri("sess_1", "art_1");
    expect(uri).toBe("arcp://session/sess_1/artifact/art_1");
    expect(parseArtifactUri(uri)).toEqual({ sessionId: "sess_1", artifactId: "art_1" });
    const others = ["https://example.com/art_1", "arcp://session//artifact/art_1", `${uri}/x`, `x${uri}`, ""];
    for (const other of others) expect(parseArtifactUri(other), other).toBeUndefined();
  });

  test("ranks priorities, and none as normal", () => {
    covers("V10-6.1.1-12");
    const ranks = (["low", "normal", "high", "critical"] as const).map(priorityRank);
    expect(ranks).toEqual([0, 1, 2, 3]);
    expect(priorityRank(undefined)).toBe(1);
  });
});
