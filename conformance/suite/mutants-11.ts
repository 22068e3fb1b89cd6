/** A broken runtime for each MUST and SHOULD of wire 1.1 that a case judges. */
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
  twice,
} from "./mutant.ts";

const m = (requirement: string, caseId: string, hand: Hand): Mutant => mutant(`V11-${requirement}`, caseId, hand);

const FEATURES = [
  "ack",
  "list_jobs",
  "subscribe",
  "lease_expires_at",
  "cost.budget",
  "model.use",
  "progress",
  "result_chunk",
  "agent_versions",
];

/** Changes the body of events of one kind. */
const event =
  (kind: string, change: (body: Message, message: Message) => unknown): Change =>
  (message) => {
    if (message.payload.kind === kind) change(message.payload.body, message);
  };

/** Refuses what the client asks, without asking the runtime. */
const refusing =
  (code: string): Change =>
  (message, { line }) => {
    line.toClient(answer(message, "session.error", { code, message: "broken", retryable: false }));
    return null;
  };

/** Changes one outcome in the result of the job that ends as the `job`th of its connection. */
const outcome = (job: number, place: number, value: object): Hand => ({
  says: {
    "job.result": (message, memory) => {
      const { outcomes } = message.payload.result ?? {};
      if (memory.count !== job) return;
      outcomes[place < 0 ? outcomes.length + place : place] = value;
    },
  },
});
const DONE = { performed: true, code: null };
const ACCEPTED = { accepted: true, code: null };
const left = (job: number, value: object): Hand => ({
  says: {
    "job.result": (message, memory) =>
      void (memory.count === job && Object.assign(message.payload.result, { left: value })),
  },
});
const code =
  (from: string, to: string): Change =>
  (message) => {
    if (message.payload.code === from) message.payload.code = to;
  };
const first =
  (change: Change): Change =>
  (message, memory) =>
    memory.count === 1 ? change(message, memory) : undefined;
/** The runtime's agents on a submission that is wrong in one way. */
const mended =
  (isWrong: (payload: Message) => boolean, members: object): Change =>
  (message) => {
    if (isWrong(message.payload)) Object.assign(message.payload, members);
  };

export const mutants11: readonly Mutant[] = [
  // §4
  m("4-01", "transport/websocket", { kind: "websocket", says: { "session.welcome": nothing } }),
  m("4.1-02", "transport/binary", {
    kind: "websocket",
    bytes: (bytes, line) => line.toRuntime(Buffer.from(bytes).toString("utf8")),
  }),
  m("4-02", "transport/stdio", { kind: "stdio", says: { "session.welcome": nothing } }),
  m("4.2-01", "transport/lines", {
    kind: "stdio",
    bytes: (bytes, line) => line.toRuntime(Buffer.from(bytes).toString("utf8").trim()),
  }),
  m("4.2-02", "transport/lines", {
    kind: "stdio",
    says: { "job.result": (frame) => void (frame.payload.result = frame.payload.result.replace(/\r?\n/g, " ")) },
  }),
  m("4.2-03", "transport/stdio", { kind: "stdio", says: { "session.welcome": (frame) => ["listening", frame] } }),
  m("4-04", "handshake/welcome", { says: { "session.welcome": nothing } }),
  m("4.1-01", "envelope/members", { says: { "job.accepted": (frame) => ["[1]", frame] } }),
  // §5
  m("5.1-01", "envelope/members", { says: { "job.event": (frame) => void (frame.arcp = "2") } }),
  m("5.1-02", "envelope/members", { says: { "job.event": (frame) => void (frame.id = "msg_same") } }),
  m("5.1-05", "envelope/members", { says: { "job.accepted": (frame) => void delete frame.session_id } }),
  m("5.1-06", "handshake/welcome", { says: { "session.welcome": (frame) => void delete frame.session_id } }),
  m("5.1-08", "envelope/members", { says: { "job.event": (frame) => void (frame.trace_id = "XYZ") } }),
  m("5.1-09", "envelope/members", { says: { "job.event": (frame) => void delete frame.job_id } }),
  m("5.1-10", "envelope/members", { says: { "job.event": (frame) => void delete frame.event_seq } }),
  m("5.1-11", "envelope/members", { says: { "session.jobs": (frame) => void (frame.event_seq = 7) } }),
  m("6.4-11", "envelope/members", { says: { "session.pong": (frame) => void (frame.event_seq = 7) } }),
  m("5.1-12", "envelope/members", { says: { "job.event": (frame) => void (frame.payload = []) } }),
  m("5.1-04", "envelope/malformed", { hears: { "*": (frame) => (frame.type === undefined ? null : undefined) } }),
  m("12-04", "envelope/malformed", { broken: () => undefined }),
  m("5.1-13", "envelope/unknown-members", {
    hears: { "*": (frame) => (frame["x-foo"] === undefined ? undefined : null) },
  }),
  m("5.2-01", "handshake/welcome", {
    says: { "session.welcome": (frame) => void (frame.payload.capabilities.encodings = ["cbor"]) },
  }),
  m("5.2-02", "envelope/text", { says: { "job.result": (frame) => void (frame.payload.result.astral = "??") } }),
  m("5.2-03", "envelope/integers", { hears: { "session.ack": nothing } }),
  m("8.4-11", "results/inline", { says: { "job.result": lacking("result") } }),
  m("5.1-03", "envelope/ids", { says: { "job.event": (frame, { count }) => void (frame.id = `msg_${count}`) } }),
  // §6.1, §6.2
  m("6.1-02", "authentication/wrong-token", { says: { "session.error": nothing } }),
  m("6.1-03", "authentication/wrong-token", { hidesEnd: true }),
  m("6.1-04", "authentication/hello-first", {
    hears: {
      "job.submit": (frame, { line, connection }) =>
        void (connection === 0 && line.toClient(answer(frame, "job.accepted", { job_id: "job_x" }))),
    },
  }),
  m("6.2-02", "handshake/welcome", { says: { "session.welcome": lacking("resume_window_sec") } }),
  m("6.2-03", "handshake/inventory", {
    says: { "session.welcome": (frame) => void (frame.payload.capabilities.agents = []) },
  }),
  m("6.2-05", "handshake/features", {
    says: { "session.welcome": (frame) => void frame.payload.capabilities.features.push("progress") },
  }),
  m("6.2-06", "handshake/no-capabilities", {
    says: {
      "job.accepted": (frame) => [
        frame,
        {
          ...frame,
          id: "msg_ping",
          type: "session.ping",
          correlation_id: undefined,
          job_id: undefined,
          payload: { nonce: "n", sent_at: new Date().toISOString() },
        },
      ],
    },
  }),
  ...["6.2-07", "15-01"].map((requirement) =>
    m(requirement, "handshake/features", {
      says: { "session.welcome": (frame) => void frame.payload.capabilities.features.push("flying") },
    }),
  ),
  m("6.2-08", "handshake/features", {
    says: { "session.welcome": (frame) => void frame.payload.capabilities.features.push("zzz") },
  }),
  m("6.2-09", "handshake/no-capabilities", { says: { "session.welcome": nothing } }),
  m("6.2-10", "results/inline", {
    says: {
      "job.result": (frame) => [
        {
          ...frame,
          id: `${frame.id}x`,
          type: "job.event",
          payload: { kind: "result_chunk", ts: new Date().toISOString(), body: {} },
        },
        frame,
      ],
    },
  }),
  m("6.2-11", "handshake/not-negotiated", {
    hears: { "session.hello": (frame) => void (frame.payload.capabilities.features = FEATURES) },
  }),
  m("6.2-12", "handshake/not-negotiated-fields", {
    hears: {
      "job.submit": (frame) => void (delete frame.payload.lease_request, delete frame.payload.lease_constraints),
    },
  }),
  m("6.2-13", "handshake/welcome", { says: { "session.welcome": lacking("resume_token") } }),
  m("6.2-16", "handshake/welcome", { says: { "session.welcome": having({ heartbeat_interval_sec: 0 }) } }),
  // §6.3
  m("6.3-01", "resume/replay", {
    says: {
      "session.welcome": (frame, { shared }) =>
        void (frame.payload.resume_token = shared.token ??= frame.payload.resume_token),
    },
  }),
  m("6.3-02", "resume/rotated", {
    says: { "session.welcome": (frame, { shared }) => void (shared.token = frame.payload.resume_token) },
    hears: {
      "session.hello": (frame, { shared }) =>
        void (frame.payload.resume && (frame.payload.resume.resume_token = shared.token)),
    },
  }),
  m("6.3-04", "resume/first-message", { hears: { "session.resume": nothing } }),
  m("6.3-05", "resume/replay", { onlyResumed: true, hears: { "session.hello": nothing } }),
  m("6.3-06", "resume/replay", {
    onlyResumed: true,
    says: { "session.welcome": (frame) => void (frame.session_id = "sess_other") },
  }),
  m("6.3-07", "resume/replay", {
    onlyResumed: true,
    says: { "job.event": (frame) => (frame.event_seq === 7 ? null : undefined) },
  }),
  m("6.3-08", "resume/replay", {
    hears: { "session.hello": (frame) => void (frame.payload.resume && (frame.payload.resume.last_event_seq = 0)) },
  }),
  m("6.3-09", "resume/replay", { onlyResumed: true, says: { "job.event": having({ ts: "2020-01-01T00:00:00Z" }) } }),
  m("6.3-10", "resume/while-it-works", { onlyResumed: true, says: { "job.event": twice, "job.result": twice } }),
  m("6.3-11", "resume/while-it-works", {
    says: { "job.event": (frame, { connection }) => (connection === 0 && frame.event_seq === 2 ? null : undefined) },
  }),
  m("8.3-03", "resume/while-it-works", {
    says: { "job.event": (frame, { connection }) => (connection === 0 && frame.event_seq === 3 ? null : undefined) },
  }),
  m("7.3-08", "resume/while-it-works", {
    says: { "job.result": (frame) => void Object.assign(frame, { type: "job.error" }) },
  }),
  m("6.3-12", "resume/no-gap", {
    hears: { "session.ack": nothing },
    says: { "job.event": (frame, { isResumed }) => (isResumed && frame.event_seq === 3 ? null : undefined) },
  }),
  m("6.3-13", "resume/refused", { hidesEnd: true }),
  m("6.3-14", "resume/refused", {
    says: { "session.welcome": (frame, { shared }) => void (shared.token ??= frame.payload.resume_token) },
    hears: {
      "session.hello": (frame, { shared }) =>
        void (frame.payload.resume && (frame.payload.resume.resume_token = shared.token)),
    },
  }),
  m("6.3-16", "resume/cancel", { onlyResumed: true, hears: { "job.cancel": refusing("PERMISSION_DENIED") } }),
  // §6.4 to §6.7
  m("6.4-01", "heartbeat/runtime-pings", { says: { "session.ping": nothing } }),
  m("6.4-02", "heartbeat/runtime-pings", {
    says: { "session.ping": (_frame, { count }) => (count > 1 ? null : undefined) },
  }),
  m("6.4-03", "heartbeat/runtime-pings", { says: { "session.ping": lacking("nonce") } }),
  m("6.4-04", "heartbeat/pong", { says: { "session.pong": nothing } }),
  m("6.4-06", "heartbeat/pong", { says: { "session.pong": having({ ping_nonce: "another" }) } }),
  m("6.4-08", "heartbeat/sign-of-life", {
    hears: { "session.ack": (_frame, { line, count }) => void (count === 2 && line.hangUp("too quiet")) },
  }),
  m("6.4-09", "heartbeat/loss", { says: { "job.result": (frame) => void (frame.type = "job.error") } }),
  m("6.4-10", "heartbeat/loss", {
    hears: {
      "session.hello": (frame, memory) =>
        frame.payload.resume ? refusing("RESUME_WINDOW_EXPIRED")(frame, memory) : undefined,
    },
  }),
  m("6.5-06", "ack/uncounted", {
    hears: { "session.ack": (frame, { line }) => void line.toClient(JSON.stringify({ ...frame, event_seq: 1 })) },
  }),
  m("6.5-07", "ack/is-not-resume", {
    hears: { "session.hello": (frame) => void (frame.payload.resume && (frame.payload.resume.last_event_seq = 10)) },
  }),
  m("6.6-02", "listing/entry", { says: { "session.jobs": having({ request_id: "another" }) } }),
  m("6.6-03", "listing/entry", { says: { "session.jobs": lacking("next_cursor") } }),
  m("6.6-04", "listing/entry", {
    says: { "session.jobs": (frame) => frame.payload.jobs.forEach((job: Message) => void delete job.created_at) },
  }),
  m("7.5-10", "listing/entry", { says: { "job.accepted": having({ agent: "suite.echo@9.9.9" }) } }),
  m("6.6-05", "listing/filters", {
    hears: {
      "session.list_jobs": mended(({ filter }) => Object.keys(filter).length === 0, {
        filter: { status: ["success"] },
      }),
    },
  }),
  m("6.6-06", "listing/filters", {
    hears: { "session.list_jobs": (frame) => void delete frame.payload.filter.status },
  }),
  m("6.6-07", "listing/filters", { hears: { "session.list_jobs": (frame) => void delete frame.payload.filter.agent } }),
  m("6.6-08", "listing/filters", {
    hears: { "session.list_jobs": (frame) => void delete frame.payload.filter.created_after },
  }),
  m("6.6-09", "listing/pages", {
    says: { "session.jobs": (frame) => void (frame.payload.jobs.length === 3 && frame.payload.jobs.pop()) },
  }),
  m("6.6-10", "listing/other-session", { says: { "session.jobs": having({ jobs: [] }) } }),
  m("6.6-13", "listing/other-session", {
    hears: {
      "session.list_jobs": (frame, { line, shared }) => {
        line.toRuntime(
          JSON.stringify({
            ...frame,
            id: "msg_more",
            type: "job.subscribe",
            payload: { job_id: shared.job, history: true },
          }),
        );
      },
    },
    says: { "job.accepted": (frame, { shared }) => void (shared.job = frame.job_id) },
  }),
  ...["6.6-12", "14-11"].map((requirement) =>
    m(requirement, "listing/other-principal", {
      says: {
        "job.accepted": (frame, { shared }) => void (shared.job ??= frame.job_id),
        "session.jobs": (frame, { shared }) => void frame.payload.jobs.push({ job_id: shared.job }),
      },
    }),
  ),
  m("6.7-02", "close/acknowledged", { says: { "session.closed": nothing } }),
  m("6.7-03", "close/jobs-go-on", { says: { "job.result": (frame) => void (frame.type = "job.error") } }),
  m("6.7-04", "close/jobs-go-on", {
    hears: {
      "session.hello": (frame, memory) =>
        frame.payload.resume ? refusing("RESUME_WINDOW_EXPIRED")(frame, memory) : undefined,
    },
  }),
  m("6.7-06", "close/bye", { hears: { "session.bye": nothing } }),
  // §7.1
  m("7.1-02", "submit/accepted", { says: { "job.accepted": lacking("accepted_at") } }),
  m("7.1-03", "submit/lease", {
    says: { "job.accepted": (frame) => void (frame.payload.lease["tool.call"] = ["suite.other.*"]) },
  }),
  m("7.1-05", "submit/accepted", { says: { "job.accepted": having({ lease: { "fs.read": ["/**"] } }) } }),
  m("7.1-06", "submit/lease", { says: { "job.accepted": lacking("lease_constraints") } }),
  m("7.1-07", "submit/lease", { says: { "job.accepted": having({ budget: { USD: 1 } }) } }),
  m("7.1-08", "submit/accepted", {
    says: { "job.accepted": having({ lease_constraints: { expires_at: "2030-01-01T00:00:00Z" } }) },
  }),
  m("7.1-09", "submit/accepted", { says: { "job.accepted": having({ budget: { USD: 1 } }) } }),
  m("7.1-11", "submit/accepted", {
    says: {
      "job.accepted": (frame, { held }) => {
        held.push(frame);
        return null;
      },
      "job.event": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  m("7.1-12", "submit/refused", {
    hears: { "job.submit": having({ agent: "suite.echo", lease_request: {}, lease_constraints: {} }) },
  }),
  // §7.2
  m("7.2-01", "idempotency/same", {
    says: {
      "job.accepted": (frame, { count }) => void (count === 2 && (frame.payload.accepted_at = "2020-01-01T00:00:00Z")),
    },
  }),
  m("7.2-02", "idempotency/other-session", { from: 1, hears: { "job.submit": lacking("idempotency_key") } }),
  m("7.2-03", "idempotency/other-principal", { from: 1, hears: { "job.submit": refusing("DUPLICATE_KEY") } }),
  m("7.2-05", "idempotency/other-session", { from: 1, says: { "job.event": nothing } }),
  m("7.2-06", "idempotency/same", { from: 1, says: { "job.result": nothing } }),
  m("7.2-07", "idempotency/conflict", { says: { "session.error": code("DUPLICATE_KEY", "INVALID_REQUEST") } }),
  m("9.5-08", "idempotency/conflict", {
    says: { "session.error": (frame, { count }) => void (count === 5 && (frame.payload.code = "INVALID_REQUEST")) },
  }),
  m("7.2-08", "idempotency/same", {
    hears: {
      "job.submit": (frame) =>
        void (Object.keys(frame.payload.input)[0] === "b" && delete frame.payload.idempotency_key),
    },
  }),
  m("7.2-09", "idempotency/at-once", { hears: { "job.submit": lacking("idempotency_key") } }),
  m("7.2-10", "idempotency/redelivered", {
    hears: { "job.submit": (frame, { count }) => void (count === 2 && (frame.id = `${frame.id}x`)) },
  }),
  // §7.3
  m("7.3-01", "lifecycle/running", {
    says: { "session.jobs": (frame) => frame.payload.jobs.forEach((job: Message) => void (job.status = "busy")) },
  }),
  m("7.3-02", "lifecycle/ends", { says: { "job.result": (frame) => [frame, { ...frame, id: `${frame.id}x` }] } }),
  m("7.3-03", "lifecycle/ends", {
    says: {
      "job.result": (frame) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          type: "job.event",
          payload: { kind: "log", ts: new Date().toISOString(), body: {} },
        },
      ],
    },
  }),
  m("7.3-04", "lifecycle/ends", { says: { "job.result": having({ final_status: "ok" }) } }),
  m("7.3-05", "lifecycle/ends", { says: { "job.error": lacking("final_status") } }),
  m("7.3-07", "lifecycle/ends", { says: { "job.error": code("TIMEOUT", "TIMED_OUT") } }),
  // §7.4
  m("7.4-03", "cancel/acknowledged", { says: { "job.cancelled": nothing } }),
  m("7.4-04", "cancel/acknowledged", { says: { "job.error": having({ code: "ABORTED" }) } }),
  m("7.4-05", "cancel/acknowledged", {
    says: {
      "job.cancelled": (frame, { held }) => {
        held.push(frame);
        return null;
      },
      "job.error": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  m("7.4-06", "cancel/acknowledged", { says: { "job.error": nothing } }),
  m("7.4-07", "cancel/grace", { says: { "job.error": having({ final_status: "error" }) } }),
  m("7.4-10", "cancel/unknown", { says: { "session.error": having({ code: "INVALID_REQUEST" }) } }),
  m("7.4-11", "cancel/ended", {
    says: {
      "job.result": (frame, { held }) => void held.push({ ...frame, id: "msg_again" }),
      "session.error": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  // §7.5
  m("7.5-02", "versions/grammar", {
    hears: { "job.submit": mended(({ agent }) => agent === "Foo", { agent: "suite.echo" }) },
  }),
  m("7.5-03", "versions/default", { says: { "job.accepted": having({ agent: "suite.versioned@2.0.0" }) } }),
  m("7.5-06", "versions/exact", {
    hears: { "job.submit": mended(({ agent }) => agent.endsWith("@9.9.9"), { agent: "suite.versioned" }) },
  }),
  m("7.5-07", "versions/exact", { says: { "session.error": code("AGENT_NOT_AVAILABLE", "JOB_NOT_FOUND") } }),
  m("7.5-08", "versions/exact", {
    hears: { "job.submit": mended(({ agent }) => agent.endsWith("@banana"), { agent: "suite.versioned" }) },
  }),
  // §12
  m("12-01", "errors/codes", { says: { "session.error": lacking("retryable") } }),
  m("12-02", "errors/codes", { says: { "session.error": having({ code: "WHATEVER" }) } }),
  m("12-03", "errors/own-code", { says: { "job.error": having({ code: "INTERNAL_ERROR" }) } }),
  m("12-07", "errors/fault", { says: { "job.error": having({ retryable: false }) } }),
  // §7.6, §7.7
  m("7.6-03", "subscribe/acknowledgement", { says: { "job.subscribed": lacking("current_status") } }),
  m("7.6-04", "subscribe/history", {
    from: 1,
    says: { "job.event": (frame) => (frame.payload.body.message === "line 0" ? null : undefined) },
  }),
  ...["7.6-08", "8.3-04"].map((requirement) =>
    m(requirement, "subscribe/history", {
      from: 1,
      says: { "job.event": (frame) => (frame.payload.body.message === "line 5" ? null : undefined) },
    }),
  ),
  m("7.6-05", "subscribe/live", {
    from: 1,
    hears: { "job.subscribe": having({ history: true, from_event_seq: 0 }) },
    says: { "job.subscribed": having({ replayed: false }) },
  }),
  m("7.6-06", "subscribe/live", { says: { "job.subscribed": having({ replayed: true }) } }),
  m("7.6-09", "subscribe/history", { says: { "job.subscribed": having({ replayed: false }) } }),
  m("7.6-10", "subscribe/history", {
    from: 1,
    says: {
      "job.event": (frame) => void (frame.event_seq += frame.event_seq > 4 ? 1 : 0),
      "job.error": (frame) => void (frame.event_seq += 1),
    },
  }),
  m("7.6-11", "subscribe/history", { from: 1, says: { "job.error": (frame) => void (frame.type = "job.result") } }),
  m("7.6-12", "subscribe/acknowledgement", { says: { "job.subscribed": having({ lease: {} }) } }),
  m("7.6-13", "subscribe/acknowledgement", { says: { "job.subscribed": having({ budget: { USD: 5 } }) } }),
  m("7.6-14", "subscribe/other-principal", {
    says: {
      "job.accepted": (frame, { shared }) => void (shared.job = frame.job_id),
      "session.error": (frame, { shared }) => [
        frame,
        {
          ...frame,
          id: "msg_leak",
          correlation_id: undefined,
          type: "job.event",
          job_id: shared.job,
          event_seq: 1,
          payload: { kind: "log" },
        },
      ],
    },
  }),
  ...["7.6-15", "7.7-03"].map((requirement) =>
    m(requirement, "subscribe/history", { from: 1, hears: { "job.subscribe": refusing("PERMISSION_DENIED") } }),
  ),
  m("7.6-16", "subscribe/other-principal", { says: { "session.error": having({ code: "INVALID_REQUEST" }) } }),
  m("7.6-17", "subscribe/unknown", { says: { "session.error": having({ code: "INVALID_REQUEST" }) } }),
  ...["7.6-19", "14-12"].map((requirement) =>
    m(requirement, "subscribe/no-authority", {
      from: 1,
      hears: { "job.cancel": (frame, { line }) => (line.toClient(answer(frame, "job.cancelled", {})), null) },
    }),
  ),
  m("7.6-20", "subscribe/no-authority", {
    says: {
      "session.jobs": (frame) =>
        frame.payload.jobs.forEach((job: Message) => void (job.lease = { "fs.read": ["/**"] })),
    },
  }),
  m("7.6-22", "subscribe/history", { from: 1, says: { "job.event": having({ ts: "2020-01-01T00:00:00Z" }) } }),
  m("7.6-23", "subscribe/owner-leaves", { from: 1, says: { "job.result": nothing } }),
  // §8
  m("8.1-01", "events/kinds", { says: { "job.event": lacking("ts") } }),
  m("8.2-01", "events/kinds", { says: { "job.event": event("log", (body) => delete body.message) } }),
  m("8.2-02", "events/kinds", { says: { "job.event": event("thought", (body) => delete body.text) } }),
  m("8.2-03", "events/kinds", { says: { "job.event": event("tool_call", (body) => delete body.tool) } }),
  m("8.2-04", "events/kinds", {
    says: { "job.event": event("tool_result", (body) => Object.assign(body, { result: 1, error: {} })) },
  }),
  m("8.2-05", "events/kinds", {
    says: { "job.event": event("tool_result", (body) => Object.assign(body, { call_id: "call_other" })) },
  }),
  m("8.2-06", "events/kinds", { says: { "job.event": event("status", (body) => delete body.phase) } }),
  m("8.2-07", "events/kinds", {
    says: { "job.event": event("metric", (body) => Object.assign(body, { value: "1" })) },
  }),
  m("8.2-08", "events/kinds", { says: { "job.event": event("artifact_ref", (body) => delete body.uri) } }),
  m("8.2.1-01", "events/progress", {
    says: { "job.event": event("progress", (body) => Object.assign(body, { current: -1 })) },
  }),
  m("8.2.1-04", "events/progress", { says: { "job.result": having({ result: "complete" }) } }),
  m("8.3-01", "events/sequence", {
    says: { "job.event": (frame) => void (frame.event_seq === 6 && (frame.event_seq = 5)) },
  }),
  m("8.3-02", "events/sequence", {
    says: {
      "job.event": (frame, { held }) => {
        if (frame.event_seq !== 5) return [frame, ...held.splice(0)];
        held.push(frame);
        return null;
      },
    },
  }),
  m("8.4-02", "results/chunks", { says: { "job.event": event("result_chunk", (body) => delete body.data) } }),
  m("8.4-03", "results/chunks", {
    says: { "job.event": event("result_chunk", (body) => Object.assign(body, { result_id: `res_${body.chunk_seq}` })) },
  }),
  m("8.4-04", "results/chunks", {
    says: { "job.event": event("result_chunk", (body) => Object.assign(body, { chunk_seq: body.chunk_seq + 1 })) },
  }),
  m("8.4-05", "results/chunks", {
    says: { "job.event": event("result_chunk", (body) => Object.assign(body, { encoding: "latin1" })) },
  }),
  m("8.4-07", "results/chunks", {
    says: { "job.event": event("result_chunk", (body) => Object.assign(body, { more: true })) },
  }),
  m("8.4-08", "results/chunks", { says: { "job.result": lacking("result_id") } }),
  m("8.4-09", "results/chunks", { says: { "job.result": having({ result: "as well" }) } }),
  m("8.2.1-03", "events/progress-total", {
    says: {
      "job.result": (frame) => {
        const payload = { kind: "progress", ts: new Date().toISOString(), body: { current: 11, total: 10 } };
        return [{ ...frame, id: `${frame.id}x`, type: "job.event", payload }, frame];
      },
    },
  }),
  m("8.4-06", "results/encodings", {
    says: { "job.event": event("result_chunk", (body) => void (body.encoding = "base64")) },
  }),
  // §9.1 to §9.3
  m("9.1-01", "leases/covered", {
    hears: {
      "job.submit": mended(({ input }) => input.operations?.[3]?.capability === "tool.call", {
        lease_request: { "fs.read": ["/a/**"] },
      }),
    },
  }),
  ...["9.1-02", "9.3-01"].map((requirement) => m(requirement, "leases/covered", outcome(2, 1, DONE))),
  m("9.3-02", "leases/covered", outcome(2, 1, { performed: false, code: "INVALID_REQUEST" })),
  m("9.3-03", "leases/covered", {
    says: {
      "job.event": (frame) =>
        frame.payload.kind === "tool_result" && frame.payload.body.error && frame.event_seq > 9 ? null : undefined,
    },
  }),
  m("9.3-05", "leases/covered", {
    says: { "job.result": (frame, { count }) => void (count === 2 && (frame.type = "job.error")) },
  }),
  m("9.1-03", "leases/shape", {
    hears: { "job.submit": mended(({ lease_request }) => Array.isArray(lease_request), { lease_request: {} }) },
  }),
  m("9.2-02", "leases/shape", {
    hears: {
      "job.submit": mended(({ lease_request }) => lease_request["FS.Read"] !== undefined, { lease_request: {} }),
    },
  }),
  m("9.2-01", "leases/shape", {
    hears: {
      "job.submit": (frame, memory) =>
        frame.payload.lease_request["model.use"] ? refusing("INVALID_REQUEST")(frame, memory) : undefined,
    },
  }),
  m("9.2-03", "leases/globs", outcome(1, -1, DONE)),
  m("9.2-04", "leases/globs", outcome(2, -1, DONE)),
  m("9.2-05", "leases/globs", outcome(4, -1, DONE)),
  m("9.2-06", "leases/globs", outcome(5, -1, DONE)),
  m("14-03", "leases/canonical", outcome(1, -1, DONE)),
  m("9.1-04", "leases/unchanged", {
    says: { "session.jobs": (frame) => frame.payload.jobs.forEach((job: Message) => void (job.lease = {})) },
  }),
  // §9.5
  m("9.5-02", "expiry/form", {
    hears: {
      "job.submit": (frame) =>
        void (frame.payload.lease_constraints.expires_at = String(frame.payload.lease_constraints.expires_at).replace(
          "+00:00",
          "Z",
        )),
    },
  }),
  m("9.5-03", "expiry/form", {
    hears: {
      "job.submit": mended(({ lease_constraints }) => /Z$/.test(lease_constraints.expires_at), {
        lease_constraints: { expires_at: "2199-01-01T00:00:00Z" },
      }),
    },
  }),
  m("9.5-04", "expiry/operations", {
    says: {
      "job.event": event("tool_result", (body) =>
        Object.assign(body, { error: { code: "LEASE_EXPIRED", message: "", retryable: false } }),
      ),
    },
  }),
  m("9.5-05", "expiry/operations", {
    says: {
      "job.event": event(
        "tool_result",
        (body) => body.error && Object.assign(body.error, { code: "PERMISSION_DENIED" }),
      ),
      "job.error": having({ code: "PERMISSION_DENIED" }),
    },
  }),
  m("9.5-06", "expiry/operations", { says: { "job.error": having({ code: "PERMISSION_DENIED" }) } }),
  m("7.3-06", "expiry/operations", { says: { "job.error": having({ final_status: "timed_out" }) } }),
  m("12-05", "expiry/operations", {
    says: { "job.event": event("tool_result", (body) => body.error && Object.assign(body.error, { retryable: true })) },
  }),
  // §9.6, §9.7
  m("9.6-01", "budgets/grammar", {
    hears: {
      "job.submit": mended(({ lease_request }) => lease_request["cost.budget"][0] === "USD:-1", { lease_request: {} }),
    },
  }),
  m("9.6-02", "budgets/counted", { says: { "job.accepted": having({ budget: { USD: 5 } }) } }),
  m("9.6-03", "budgets/counted", left(1, { USD: 5, credits: 1000 })),
  m("9.6-04", "budgets/counted", left(2, { USD: 4 })),
  m("9.6-05", "budgets/counted", left(3, { USD: 6 })),
  m("9.6-06", "budgets/counted", left(4, { USD: 0 })),
  m("9.6-07", "budgets/exhausted", outcome(1, 0, DONE)),
  m("9.6-08", "budgets/exhausted", outcome(2, 1, DONE)),
  m("9.6-09", "budgets/exhausted", outcome(3, 0, DONE)),
  m("12-06", "budgets/exhausted", {
    says: { "job.event": event("tool_result", (body) => body.error && Object.assign(body.error, { retryable: true })) },
  }),
  m("9.6-10", "budgets/exhausted", {
    says: { "job.result": (frame, { count }) => void (count === 3 && (frame.type = "job.error")) },
  }),
  m("9.6-11", "budgets/overshoot", outcome(1, 0, { performed: false, code: "BUDGET_EXHAUSTED" })),
  m("9.7-01", "models/globs", outcome(1, -1, DONE)),
  m("9.7-02", "models/globs", outcome(2, -1, DONE)),
  // §9.8
  m("9.8.1-01", "credentials/issued", {
    says: { "job.accepted": (frame) => void delete frame.payload.credentials[0].endpoint },
  }),
  m("9.8.1-02", "credentials/rotated", {
    says: { "job.event": event("status", (body) => Object.assign(body, { id: "cred_other" })) },
  }),
  m("9.8.1-03", "credentials/issued", {
    says: { "job.accepted": (frame) => void (frame.payload.credentials[0].scheme = "basic") },
  }),
  m("9.8.2-01", "credentials/issued", { says: { "job.accepted": lacking("credentials") } }),
  m("9.8.2-03", "credentials/issued", {
    says: { "job.accepted": (frame) => void (frame.payload.credentials[0].value = "same") },
  }),
  m("9.8.2-08", "credentials/rotated", { says: { "job.event": event("status", (body) => delete body.value) } }),
  // §9.4, §10
  ...["10.1-01", "8.2-09"].map((requirement) =>
    m(requirement, "delegation/child", {
      says: { "job.event": event("delegate", (body) => delete body.lease_request) },
    }),
  ),
  m("9.4-03", "delegation/child", outcome(2, 0, { accepted: false, code: "LEASE_SUBSET_VIOLATION" })),
  m("10.1-02", "delegation/child", {
    says: { "job.accepted": (frame) => (frame.payload.parent_job_id ? null : undefined) },
  }),
  m("10.1-03", "delegation/child", { says: { "job.result": first((frame) => void (frame.event_seq += 100)) } }),
  ...["10.3-01", "11-04"].map((requirement) =>
    m(requirement, "delegation/child", {
      says: {
        "job.accepted": (frame) =>
          void (frame.payload.parent_job_id && (frame.payload.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736")),
      },
    }),
  ),
  m("10.1-04", "delegation/agents", outcome(1, 0, ACCEPTED)),
  m("10.2-03", "delegation/agents", {
    says: {
      "job.result": (frame) => [
        {
          ...frame,
          id: "msg_e",
          event_seq: undefined,
          job_id: undefined,
          type: "session.error",
          payload: { code: "PERMISSION_DENIED", message: "", retryable: false },
        },
        frame,
      ],
    },
  }),
  m("9.4-01", "delegation/subset", {
    says: {
      "job.result": (frame) =>
        void (
          frame.payload.result?.outcomes?.length === 3 &&
          !frame.payload.result.outcomes[0].accepted &&
          (frame.payload.result.outcomes[0] = ACCEPTED)
        ),
    },
  }),
  m("10.2-02", "delegation/subset", {
    says: {
      "job.event": event(
        "tool_result",
        (body) => body.error && Object.assign(body.error, { code: "PERMISSION_DENIED" }),
      ),
    },
  }),
  m("9.4-02", "delegation/subset", {
    says: {
      "job.result": (frame) =>
        void (frame.payload.result?.outcomes?.length === 2 && (frame.payload.result.outcomes[1] = ACCEPTED)),
    },
  }),
  m("9.4-04", "delegation/subset", {
    says: {
      "job.result": (frame, { shared }) => {
        const { outcomes } = frame.payload.result ?? {};
        if (outcomes?.length === 3 && outcomes.every(({ accepted }: Message) => !accepted)) outcomes[0] = ACCEPTED;
        shared.none = true;
      },
    },
  }),
  ...[
    ["9.4-10", 4],
    ["10.2-01", 5],
  ].map(([requirement, table]) =>
    m(String(requirement), "delegation/subset", {
      says: {
        "job.result": (frame, { shared }) => {
          const { outcomes } = frame.payload.result ?? {};
          if (outcomes === undefined) return;
          shared.tables = (shared.tables ?? 0) + 1;
          if (shared.tables === Number(table) + 1) outcomes[1] = ACCEPTED;
        },
      },
    }),
  ),
  m("9.4-05", "delegation/budget", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[0] = ACCEPTED)),
    },
  }),
  m("9.4-06", "delegation/budget", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[1] = ACCEPTED)),
    },
  }),
  m("10.2-04", "delegation/budget", {
    says: { "job.accepted": (frame) => void (frame.payload.parent_job_id && (frame.payload.budget = { USD: 9 })) },
  }),
  m("9.4-07", "delegation/expiry", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[0] = ACCEPTED)),
    },
  }),
  m("9.4-09", "delegation/expiry", {
    says: { "job.accepted": (frame) => void (frame.payload.parent_job_id && delete frame.payload.lease_constraints) },
  }),
  // §11
  m("11-02", "trace/generated", { says: { "job.accepted": lacking("trace_id") } }),
  m("11-03", "trace/kept", { says: { "job.accepted": having({ trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" }) } }),
];
