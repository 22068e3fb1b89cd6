/** Runtimes of wire 1.1 that are broken about sessions (§6). */
import { answer, having, lacking, type Message, type Mutant, nothing, twice } from "../mutant.ts";
import { FEATURES, m, mended, refusing } from "./hands.ts";

export const sessionsMutants: readonly Mutant[] = [
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
  m("6.2-15", "resume/window", {
    hears: {
      "session.hello": (frame, memory) =>
        frame.payload.resume ? refusing("RESUME_WINDOW_EXPIRED")(frame, memory) : undefined,
    },
  }),
  m("6.5-03", "resume/window", {
    onlyResumed: true,
    says: { "job.event": (frame) => (frame.event_seq < 3 ? null : undefined) },
  }),
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
];
