/** A broken runtime for each MUST and SHOULD of wire 1.0 that a case judges. */
import {
  answer,
  type Change,
  type Hand,
  having,
  lacking,
  type Message,
  type Mutant,
  mutant,
  nothing,
} from "./mutant.ts";

const m = (requirement: string, caseId: string, hand: Hand): Mutant => mutant(`V10-${requirement}`, caseId, hand);

/** The same hand for requirements that say the same. */
const same = (requirements: readonly string[], caseId: string, hand: Hand): readonly Mutant[] =>
  requirements.map((requirement) => m(requirement, caseId, hand));

/** Answers in the runtime's place. */
const answering =
  (type: string, payload: object): Change =>
  (message, { line }) => {
    line.toClient(answer(message, type, payload));
    return null;
  };

const refusing = (code: string): Change => answering("nack", { code, message: "broken" });
const capability = (name: string, value: unknown): Hand => ({
  says: { "session.accepted": (frame) => void (frame.payload.capabilities[name] = value) },
});
/** Something else in place of what the job returned. */
const returning =
  (pattern: RegExp, text: string): Change =>
  (frame) => [JSON.stringify(frame).replace(pattern, text)];
/** Heartbeats of one state tell of another. */
const being =
  (state: string, other: string): Change =>
  ({ payload }) =>
    void (payload.state === state && Object.assign(payload, { state: other }));
/** Something else about one of several failures. */
const coded =
  (place: number, members: object): Change =>
  ({ payload }, { count }) =>
    void (count === place && Object.assign(payload, members));
/** Something else about the metrics whose name ends like that. */
const measured =
  (name: string, members: object): Change =>
  ({ payload }) =>
    void (payload.name.endsWith(name) && Object.assign(payload, members));
const called =
  (type: string): Change =>
  (frame) =>
    void (frame.type = type);
const open = (frame: Message): boolean => frame.type === "session.open";

export const mutants10: readonly Mutant[] = [
  // RFC §4, §6
  m("6.1-01", "envelope/members", { says: { "job.accepted": (frame) => ["[1]", frame] } }),
  m("4.4-02", "envelope/members", { says: { log: (frame) => void delete frame.arcp } }),
  m("6.1.1-01", "envelope/members", { says: { "job.started": (frame) => void (frame.payload = []) } }),
  m("6.1.1-02", "envelope/members", { says: { log: (frame) => void (frame.id = "msg_same") } }),
  m("6.1.1-03", "envelope/members", { says: { log: (frame) => void (frame.timestamp = "today") } }),
  m("6.1.1-04", "envelope/members", { says: { log: (frame) => void delete frame.session_id } }),
  m("6.1.1-05", "envelope/members", { says: { "job.started": (frame) => void delete frame.job_id } }),
  m("6.1.1-09", "envelope/members", { says: { "tool.result": (frame) => void delete frame.correlation_id } }),
  m("17.2-01", "envelope/members", { says: { log: having({ level: "loud" }) } }),
  m("17.3-01", "envelope/members", { says: { metric: having({ value: "many" }) } }),
  m("6.4-08", "envelope/members", { says: { log: (_frame, { count }) => (count === 3 ? null : undefined) } }),
  m("6.1.1-17", "envelope/unknown-members", {
    hears: { "*": (frame) => (frame["x-odd"] === undefined ? undefined : null) },
  }),
  m("6.2-03", "envelope/unknown-members", { says: { pong: (frame) => void (frame.correlation_id = "msg_other") } }),
  m("6.2-01", "envelope/types", { hears: { "checkpoint.create": refusing("INVALID_ARGUMENT") } }),
  m("22-03", "envelope/body", { says: { "tool.result": returning(/\u00fc/g, "u") } }),
  m("6.5-04", "priority/order", {
    says: {
      "stream.chunk": (frame, { held, count }) => {
        if (count === 3) held.push(frame);
        return count === 3 ? null : count === 4 ? [frame, ...held] : undefined;
      },
    },
  }),
  m("6.5-05", "priority/critical", { says: { log: (frame) => void (frame.priority = "critical") } }),
  m("13.2-04", "subscriptions/priority", {
    hears: { subscribe: (frame) => void (frame.payload.filter.min_priority = "low") },
  }),
  m("6.3-08", "envelope/malformed", { says: { nack: nothing } }),
  m("4.4-01", "envelope/malformed", { says: { nack: having({ code: "NOT_FOUND" }) } }),
  m("21.3-01", "extensions/unknown", { hears: { "job.dance": nothing } }),
  ...same(["21.3-03", "4.7-01"], "extensions/unknown", { hears: { "arcpx.suite.dance.v1": nothing } }),
  m("21.2-02", "extensions/unknown", {
    hears: { "arcpx.suite.dance.v1": (_frame, { count }) => (count === 2 ? null : undefined) },
  }),
  m("18.2-07", "extensions/unknown", { hears: { "com.suite.dance.v1": nothing } }),
  m("21.3-02", "extensions/unknown", {
    hears: {
      "arcpx.suite.dance.v1": (frame, memory) =>
        frame.extensions ? refusing("UNIMPLEMENTED")(frame, memory) : undefined,
    },
  }),
  m("21.3-04", "extensions/unknown", {
    hears: { "arcpx.suite.dance.v1": (frame, { line }) => void (frame.extensions && line.hangUp("unknown type")) },
  }),
  m("6.1.1-13", "extensions/unknown", { says: { nack: (frame) => void (frame.extensions = "none") } }),
  // RFC §7, §8, §9
  ...same(["8.1-02", "22-01"], "session/accepted", { says: { "session.accepted": nothing } }),
  m("8.1-04", "session/accepted", { says: { "session.accepted": called("session.challenge") } }),
  m("8.1-05", "session/accepted", { says: { "session.accepted": lacking("session_id") } }),
  m("7-01", "session/accepted", capability("streaming", "yes")),
  m("7-02", "session/accepted", capability("durable_jobs", true)),
  m("7-04", "session/accepted", capability("human_input", true)),
  m("7-05", "session/accepted", capability("interrupt", "no")),
  m("21.2-01", "session/accepted", capability("extensions", ["arcpx.suite.none.v1"])),
  m("10.3-03", "session/accepted", capability("heartbeat_interval_seconds", "30")),
  m("10.3-06", "session/accepted", capability("heartbeat_recovery", "perhaps")),
  m("11.3-06", "session/accepted", capability("binary_encoding", [])),
  m("16.3-01", "session/accepted", capability("artifact_retention", undefined)),
  m("8.3-01", "session/accepted", { says: { "session.accepted": lacking("runtime") } }),
  m("8.2-02", "session/mtls", { hears: { "session.open": answering("session.accepted", { session_id: "s" }) } }),
  m("8.2-03", "session/mtls", {
    hears: {
      "session.open": (frame, memory) =>
        frame.payload.client.fingerprint
          ? answering("session.accepted", { session_id: "s" })(frame, memory)
          : undefined,
    },
  }),
  m("8.2-05", "session/signed-jwt", { hears: { "session.open": answering("session.accepted", { session_id: "s" }) } }),
  m("8.4-03", "session/refresh", { says: { "session.evicted": nothing } }),
  m("10.4-07", "session/cancelled", { says: { "session.evicted": nothing } }),
  m("8.5-02", "session/cancelled", { says: { "session.evicted": having({ code: "BECAUSE", reason: "BECAUSE" }) } }),
  m("8.5-03", "session/cancelled", { hears: { resume: refusing("DATA_LOSS") } }),
  m("7-03", "session/required", { says: { "session.rejected": having({ code: "NOT_FOUND" }) } }),
  m("8.2-01", "session/wrong-token", {
    hears: {
      "*": (frame, memory) =>
        open(frame) ? answering("session.accepted", { session_id: "s" })(frame, memory) : undefined,
    },
  }),
  m("8.2-07", "session/unknown-scheme", {
    hears: { "session.open": answering("session.accepted", { session_id: "s" }) },
  }),
  ...same(["8.2-06", "4.6-02"], "session/anonymous", {
    hears: { "session.open": answering("session.accepted", { session_id: "s" }) },
  }),
  m("4.6-01", "session/before", { hears: { ping: answering("pong", {}) } }),
  m("8.1-07", "session/before", { hears: { "session.open": nothing } }),
  ...same(["8.2-08", "13.1-03"], "session/principal", {
    says: {
      "subscribe.accepted": (_frame, { shared, line }) => void (shared.other = line),
      "tool.result": (frame, { shared }) => {
        shared.other?.toClient(
          JSON.stringify({
            ...frame,
            id: "msg_leak",
            type: "subscribe.event",
            job_id: undefined,
            payload: { event: frame },
          }),
        );
      },
    },
  }),
  m("9-05", "session/close", { hears: { "session.close": nothing } }),
  // RFC §6.3, §10
  m("6.3-02", "jobs/order", { says: { "job.accepted": nothing } }),
  m("6.3-03", "jobs/order", { says: { "job.started": nothing } }),
  ...same(["6.3-04", "10.2-03"], "jobs/order", {
    says: { "tool.result": (frame) => [frame, { ...frame, id: "msg_again" }] },
  }),
  m("6.3-05", "jobs/order", { says: { "tool.result": called("job.completed") } }),
  m("6.3-06", "jobs/durable", { says: { "job.completed": called("tool.result") } }),
  m("6.3-09", "jobs/refused", {
    says: { nack: (frame) => [frame, { ...frame, id: "msg_more", type: "job.started", payload: {} }] },
  }),
  m("18.1-01", "jobs/refused", { says: { nack: lacking("message") } }),
  m("18.2-01", "jobs/refused", { says: { nack: having({ code: "NOT_HERE" }) } }),
  m("18.2-04", "jobs/refused", { says: { nack: having({ code: "OK" }) } }),
  m("18.2-06", "jobs/refused", { says: { nack: having({ code: "INVALID_ARGUMENT" }) } }),
  ...same(["6.1.1-15", "6.1.1-14", "6.4-02"], "jobs/same-id", {
    hears: { "tool.invoke": (frame, { count }) => void (count === 2 && (frame.id = "msg_another")) },
  }),
  m("6.4-07", "jobs/idempotency", {
    hears: {
      "tool.invoke": (frame, memory) =>
        memory.connection === 1 ? refusing("ALREADY_EXISTS")(frame, memory) : undefined,
    },
  }),
  ...same(["6.4-05", "6.4-06"], "jobs/idempotency", {
    from: 2,
    hears: { "tool.invoke": (frame) => void delete frame.idempotency_key },
  }),
  m("6.4-03", "jobs/idempotency", { from: 2, says: { "tool.result": called("tool.error") } }),
  ...same(["10.3-07", "10.1-02"], "jobs/progress", { says: { "job.progress": nothing } }),
  m("10.1-03", "jobs/progress", { says: { "job.progress": having({ percent: 200 }) } }),
  m("10.4-02", "jobs/cancel", { says: { "cancel.accepted": nothing } }),
  m("10.4-04", "jobs/cancel", { says: { "job.cancelled": nothing } }),
  m("10.4-05", "jobs/cancel", { says: { "job.cancelled": called("tool.error") } }),
  m("10.4-09", "jobs/kill", {
    says: {
      "job.failed": having({ code: "CANCELLED" }),
      "job.cancelled": having({ code: "CANCELLED" }),
      "tool.error": having({ code: "CANCELLED" }),
    },
  }),
  m("10.4-10", "jobs/cancel-foreign", { from: 1, hears: { cancel: answering("cancel.accepted", {}) } }),
  m("4.3-03", "jobs/schedule", {
    hears: {
      "job.schedule": (frame, memory) =>
        Object.keys(frame.payload.when).length === 1 ? refusing("UNIMPLEMENTED")(frame, memory) : undefined,
    },
  }),
  m("10.6-02", "jobs/schedule", { hears: { "job.schedule": having({ when: { after: 3600 } }) } }),
  m("10.6-03", "jobs/schedule", { says: { "job.completed": nothing, "tool.result": nothing } }),
  m("14-03", "jobs/delegate", { says: { "job.accepted": (frame) => void delete frame.trace_id } }),
  m("14-02", "jobs/delegate", { hears: { "agent.delegate": refusing("UNIMPLEMENTED") } }),
  m("10.2-01", "jobs/states", { says: { "job.heartbeat": being("running", "resting") } }),
  m("10.2-02", "jobs/states", { says: { "job.heartbeat": being("queued", "running") } }),
  m("12.1-02", "jobs/states", { says: { "job.heartbeat": being("blocked", "running") } }),
  m("15.4-03", "jobs/states", {
    says: {
      "permission.request": (frame, { shared }) => void (shared.asking = frame.job_id),
      "job.heartbeat": (frame, { shared }) =>
        void (frame.job_id === shared.asking && Object.assign(frame.payload, { state: "running" })),
    },
  }),
  m("10.3-04", "jobs/silence", { says: { "job.failed": having({ code: "INTERNAL" }) } }),
  m("10.3-05", "jobs/silence", { says: { "tool.result": called("job.failed") } }),
  m("10.1-01", "jobs/retry", { says: { "tool.result": returning(/"attempts":3/g, '"attempts":1') } }),
  m("10.5-01", "jobs/interrupt", { says: { "human.input.request": nothing } }),
  m("10.5-02", "jobs/interrupt", {
    says: { "human.input.request": (frame) => [frame, { ...frame, id: "msg_end", type: "tool.error" }] },
  }),
  m("10.5-03", "jobs/not-agreed", { hears: { interrupt: answering("ack", {}) } }),
  m("10.6-04", "jobs/not-agreed", { hears: { "job.schedule": answering("ack", {}) } }),
  m("10.4-03", "jobs/last-checkpoint", { says: { "job.checkpoint": nothing } }),
  m("14-04", "jobs/handoff", { hears: { "agent.handoff": answering("job.accepted", { job_id: "job_x" }) } }),
  m("18.2-02", "jobs/codes", { says: { "tool.error": coded(1, { code: "QUOTA_EXCEEDED" }) } }),
  m("18.2-05", "jobs/codes", { says: { "tool.error": coded(2, { code: "UNKNOWN" }) } }),
  m("18.3-02", "jobs/codes", { says: { "tool.error": coded(2, { retryable: false }) } }),
  ...same(["18.3-01", "18.3-03"], "jobs/codes", { says: { nack: having({ retryable: true }) } }),
  // RFC §11
  m("10.4-06", "streams/cancel", { says: { "stream.error": having({ code: "ABORTED" }) } }),
  m("11-01", "streams/backpressure", { hears: { backpressure: refusing("UNIMPLEMENTED") } }),
  m("11.2-02", "streams/backpressure", { hears: { backpressure: nothing } }),
  m("22-04", "streams/sidecar", { kind: "websocket", ...capability("binary_encoding", ["base64"]) }),
  m("22-05", "streams/stdio", { kind: "stdio", ...capability("binary_encoding", ["base64", "sidecar"]) }),
  m("11.4-01", "streams/thought", { says: { "stream.chunk": having({ role: 7 }) } }),
  ...same(["11.1-01", "11.1-02"], "streams/text", { says: { "stream.open": lacking("kind") } }),
  m("11.1-05", "streams/text", { says: { "stream.close": nothing } }),
  m("6.1.1-06", "streams/text", { says: { "stream.chunk": (frame) => void (frame.stream_id = "str_other") } }),
  ...same(["11.3-01", "11.3-05"], "streams/binary", { says: { "stream.chunk": having({ data: "eA==" }) } }),
  m("11.4-02", "streams/thought", { says: { "stream.chunk": having({ redacted: false }) } }),
  // RFC §12, §15
  m("12.1-01", "people/input", { says: { "human.input.request": lacking("prompt") } }),
  m("12.4-01", "people/input", { says: { "human.input.request": lacking("expires_at") } }),
  m("12.1-05", "people/input", { says: { nack: called("ack") } }),
  m("12.1-04", "people/input", {
    says: {
      nack: (frame, { shared }) => [
        frame,
        { ...frame, id: "msg_end", type: "tool.result", correlation_id: undefined, job_id: shared.job },
      ],
      "job.accepted": (frame, { shared }) => void (shared.job = frame.job_id),
    },
  }),
  m("12.1-06", "people/input", {
    hears: {
      "human.input.response": (frame, memory) =>
        memory.count === 2 ? refusing("NOT_FOUND")(frame, memory) : undefined,
    },
  }),
  m("12.2-01", "people/choice", { says: { "human.choice.request": having({ options: [] }) } }),
  m("12.2-03", "people/choice", { says: { nack: called("ack") } }),
  m("12.3-01", "people/first", { says: { "tool.result": returning(/first/g, "second") } }),
  ...same(["12.3-03", "12.3-04"], "people/first", {
    from: 1,
    says: { "human.input.cancelled": nothing, "event.emit": nothing },
  }),
  m("12.4-02", "people/expiry", { says: { "human.input.cancelled": nothing } }),
  m("12.4-04", "people/expiry", { says: { "human.input.cancelled": having({ code: "CANCELLED" }) } }),
  m("12.4-05", "people/expiry", {
    says: { nack: (frame) => void Object.assign(frame, { type: "ack", payload: { status: "applied" } }) },
  }),
  m("12-01", "people/permission", {
    says: { "permission.request": (frame) => [frame, { ...frame, id: "msg_ask", type: "human.input.request" }] },
  }),
  m("15.4-02", "people/permission", { says: { "permission.request": lacking("operation") } }),
  m("15.4-05", "people/permission", { says: { "tool.result": returning(/"performed":true/g, '"performed":false') } }),
  m("15.1-01", "people/permission", {
    says: {
      "tool.result": (frame, memory) =>
        memory.count === 2 ? returning(/"performed":false/g, '"performed":true')(frame, memory) : undefined,
    },
  }),
  m("15.5-01", "people/permission", { says: { "lease.granted": lacking("lease_id") } }),
  m("15.4-01", "people/permission", { says: { "permission.request": nothing } }),
  m("15.4-06", "people/permission", { says: { "lease.granted": having({ resource: "/**" }) } }),
  m("15.5-02", "leases/refresh", { says: { "lease.extended": having({ expires_at: "2020-01-01T00:00:00Z" }) } }),
  m("15.5-04", "leases/refresh", { says: { "tool.result": returning(/"code":"[A-Z_]+"/g, '"code":"UNKNOWN"') } }),
  m("15.5-05", "leases/expiry", { hears: { "permission.grant": having({ lease_seconds: 30 }) } }),
  m("15.4-07", "people/entitled", { from: 1, hears: { "permission.grant": answering("ack", { status: "applied" }) } }),
  m("15.6-02", "people/elevation", {
    says: { metric: (frame) => (frame.payload.name.includes("trust") ? null : undefined) },
  }),
  m("15.3-01", "people/kinds-of-trust", {
    says: { "session.accepted": (frame) => void (frame.payload.runtime.trust_level = "almighty") },
  }),
  // RFC §13, §19
  m("13.1-01", "subscriptions/live", { says: { "subscribe.accepted": lacking("subscription_id") } }),
  m("6.1.1-11", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (frame.payload.event.correlation_id = "msg_other") },
  }),
  m("13.1-02", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (frame.payload.event.payload = {}) },
  }),
  m("6.1.1-07", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (delete frame.subscription_id, delete frame.payload.subscription_id) },
  }),
  m("13.2-02", "subscriptions/live", {
    says: {
      "subscribe.event": (frame) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          payload: { ...frame.payload, event: { ...frame.payload.event, type: "metric" } },
        },
      ],
    },
  }),
  m("13.3-03", "subscriptions/live", {
    says: {
      "job.accepted": (frame, { shared }) => void (shared.early ??= frame.job_id),
      "subscribe.event": (frame, { shared }) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          payload: { ...frame.payload, event: { ...frame.payload.event, job_id: shared.early } },
        },
      ],
    },
  }),
  m("13.4-03", "subscriptions/live", {
    says: { "subscribe.closed": (frame) => void (delete frame.payload.code, delete frame.payload.reason) },
  }),
  m("13.3-01", "subscriptions/backfill", {
    says: { "subscribe.event": (_frame, { count }) => (count === 1 ? null : undefined) },
  }),
  m("13.3-02", "subscriptions/backfill", {
    says: { "subscribe.event": (frame) => (JSON.stringify(frame).includes("backfill_complete") ? null : undefined) },
  }),
  m("13.2-03", "subscriptions/unauthorised", {
    from: 1,
    hears: { subscribe: answering("subscribe.accepted", { subscription_id: "sub_x" }) },
  }),
  m("4.3-02", "resume/replay", { hears: { resume: refusing("NOT_FOUND") } }),
  m("9-02", "resume/replay", { from: 1, says: { "tool.result": (frame) => void (frame.session_id = "sess_other") } }),
  m("19-03", "resume/replay", { from: 1, says: { log: having({ message: "line ?" }) } }),
  m("19-04", "resume/replay", {
    says: {
      log: (frame, { shared }) => void (shared.first ??= frame),
      ack: (frame, { shared, connection }) => (connection === 1 ? [shared.first, frame] : undefined),
    },
  }),
  ...same(["19-07", "6.4-01"], "resume/replay", { from: 1, says: { "tool.result": nothing } }),
  m("9-04", "resume/other-principal", { from: 1, says: { nack: called("ack") } }),
  m("19-06", "resume/data-loss", { says: { nack: having({ code: "NOT_FOUND" }) } }),
  // RFC §16, §17
  m("16.1-01", "artifacts/kept", { says: { "artifact.ref": lacking("size") } }),
  m("16.1-02", "artifacts/kept", { says: { "artifact.ref": having({ uri: "https://example.com/a" }) } }),
  m("16.2-02", "artifacts/kept", { says: { "artifact.ref": called("ack") } }),
  m("16.2-03", "artifacts/invalid", { says: { nack: called("artifact.ref") } }),
  m("16.2-04", "artifacts/kept", { says: { "artifact.put": having({ data: "" }) } }),
  m("16.2-05", "artifacts/foreign", { says: { nack: called("artifact.put") } }),
  m("16.3-03", "artifacts/kept", { says: { nack: having({ code: "INTERNAL" }) } }),
  m("17.3.1-03", "metrics/standard", {
    says: { metric: (frame) => (frame.payload.name === "latency.ms" ? null : undefined) },
  }),
  m("17.3.1-04", "metrics/standard", {
    says: { metric: (frame) => (frame.payload.name === "tool.invocations" ? null : undefined) },
  }),
  m("16.3-02", "artifacts/retention", { says: { nack: called("artifact.put") } }),
  m("17.3.1-01", "metrics/names", { says: { metric: measured("gpu.seconds", { unit: "s" }) } }),
  m("17.3.1-02", "metrics/names", { says: { metric: measured("tokens.used", { dims: { kind: "in" } }) } }),
  m("17.3.1-05", "metrics/names", { says: { metric: measured("cost.usd", { value: 0.1234567 }) } }),
  m("17.3.1-06", "metrics/names", { says: { metric: measured("suite.own", { name: "own" }) } }),
  ...same(["6.2-02", "21.1-01"], "names", { says: { log: (frame) => [frame, { ...frame, type: "acme.note" }] } }),
  m("21.1-02", "names", { says: { log: (frame) => void (frame["x-note"] = 1) } }),
  m("20-02", "names", { says: { log: (frame) => [frame, { ...frame, type: "resource.updated" }] } }),
  ...same(["6.1.1-08", "17.1-01"], "trace/ids", { says: { log: (frame) => void delete frame.span_id } }),
  m("17.1-03", "trace/spans", { says: { "trace.span": lacking("end_time") } }),
  m("10.3-01", "heartbeats", { says: { "job.heartbeat": nothing } }),
  m("10.3-02", "heartbeats", { says: { "job.heartbeat": lacking("sequence") } }),
];
