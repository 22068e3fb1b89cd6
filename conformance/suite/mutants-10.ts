/** A broken runtime for each MUST of wire 1.0 that a case judges. */
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
  ...same(["6.1.1-15", "6.4-02"], "jobs/same-id", {
    hears: { "tool.invoke": (frame, { count }) => void (count === 2 && (frame.id = "msg_another")) },
  }),
  m("6.4-07", "jobs/idempotency", { from: 2, hears: { "tool.invoke": refusing("ALREADY_EXISTS") } }),
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
  m("14-02", "jobs/delegate", { hears: { "agent.delegate": refusing("UNIMPLEMENTED") } }),
  // RFC §11
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
  m("12.3-03", "people/first", { from: 1, says: { "human.input.cancelled": nothing, "event.emit": nothing } }),
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
  // RFC §13, §19
  m("13.1-01", "subscriptions/live", { says: { "subscribe.accepted": lacking("subscription_id") } }),
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
  m("19-07", "resume/replay", { from: 1, says: { "tool.result": nothing } }),
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
  m("10.3-01", "heartbeats", { says: { "job.heartbeat": nothing } }),
  m("10.3-02", "heartbeats", { says: { "job.heartbeat": lacking("sequence") } }),
];
