/**
 * Valid frames of every message that a client may send, in the forms of this project's client and of others. Names in
 * `@…@` stand for what only a running server knows; they are valid ids themselves.
 */

export const PLACEHOLDERS = {
  /** An id that no frame had before. */
  id: "@id@",
  /** The session of the connection, one of its jobs, and its resume token. */
  session: "@session@",
  job: "@job@",
  token: "@token@",
  /** The highest number that the connection was sent; the quotes go with it. */
  seq: "@seq@",
  /** Of wire 1.0: the last of each that the connection was told of. */
  message: "@message@",
  stream: "@stream@",
  subscription: "@subscription@",
  artifact: "@artifact@",
  lease: "@lease@",
  checkpoint: "@checkpoint@",
  question: "@question@",
  /** The same of a session that belongs to somebody else. */
  foreignSession: "@foreign-session@",
  foreignJob: "@foreign-job@",
  foreignToken: "@foreign-token@",
  foreignMessage: "@foreign-message@",
  foreignStream: "@foreign-stream@",
  foreignSubscription: "@foreign-subscription@",
  foreignArtifact: "@foreign-artifact@",
  foreignLease: "@foreign-lease@",
  foreignCheckpoint: "@foreign-checkpoint@",
  foreignQuestion: "@foreign-question@",
} as const;

const { id, session, job, token, foreignSession, foreignJob, foreignToken } = PLACEHOLDERS;

const FEATURES = [
  ...["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "model.use"],
  ...["provisioned_credentials", "progress", "result_chunk", "agent_versions"],
];
const CAPABILITIES = { encodings: ["json"], features: FEATURES };
const AUTH = { scheme: "bearer", token: "mallory" };
const CLIENT = { name: "fuzz", version: "1.0.0" };

type Shape = { readonly type: string; readonly payload: object; readonly [member: string]: unknown };

const frame = ({ type, payload, ...members }: Shape): string =>
  JSON.stringify({ arcp: "1.1", id, type, session_id: session, ...members, payload });

const first = (shape: Shape): string => frame({ session_id: undefined, ...shape });

/** The frame that opens a connection in good order. */
export const hello = (principal: string): string =>
  first({
    type: "session.hello",
    payload: { client: CLIENT, auth: { scheme: "bearer", token: principal }, capabilities: CAPABILITIES },
  });

const resumeOf = (sessionId: string, resumeToken: string, seq: number): object => ({
  ...{ client: CLIENT, auth: AUTH, capabilities: CAPABILITIES },
  resume: { session_id: sessionId, resume_token: resumeToken, last_event_seq: seq },
});

/** Frames that begin a connection. */
export const OPENING_FRAMES: readonly string[] = [
  hello("mallory"),
  hello("nobody"),
  first({ type: "session.hello", payload: {} }),
  first({ type: "session.hello", payload: { auth: AUTH, capabilities: { encodings: ["json"] } } }),
  first({
    type: "session.hello",
    payload: { auth: AUTH, capabilities: { features: ["progress", "x-vendor.acme.a"] } },
  }),
  first({ type: "session.hello", arcp: "1", payload: { client: CLIENT, auth: AUTH, capabilities: CAPABILITIES } }),
  first({ type: "session.hello", payload: resumeOf(session, token, 0) }),
  first({ type: "session.hello", payload: resumeOf(session, token, 3) }),
  first({ type: "session.hello", payload: resumeOf(foreignSession, foreignToken, 0) }),
  first({ type: "session.hello", payload: resumeOf(foreignSession, token, 0) }),
  first({ type: "session.resume", payload: { session_id: session, resume_token: token, last_event_seq: 0 } }),
  first({ type: "session.resume", payload: { resume_token: token, last_event_seq: 1, auth: AUTH } }),
  first({ type: "session.resume", payload: { resume_token: foreignToken, last_event_seq: 0, auth: AUTH } }),
  // Flat names, and a session id of the client's own making.
  first({
    type: "session.hello",
    session_id: "sess_of_mine",
    payload: { client_name: "fuzz", client_version: "1", auth: AUTH, capabilities: CAPABILITIES },
  }),
  // Replies that repeat the request's id.
  first({
    type: "session.hello",
    id: "01JABCDEFGHJKMNPQRSTVWXYZ0",
    payload: { client: CLIENT, auth: AUTH, capabilities: CAPABILITIES },
  }),
  // The same with an inventory of agents.
  first({
    type: "session.hello",
    id: "01JABCDEFGHJKMNPQRSTVWXYZ1",
    payload: { client: CLIENT, auth: AUTH, capabilities: { ...CAPABILITIES, agents: [] } },
  }),
  // Results that are read as output.
  first({
    type: "session.hello",
    id: "0190a5b0-7c00-7abc-8def-0123456789ab",
    payload: { client: CLIENT, auth: AUTH, capabilities: CAPABILITIES },
  }),
];

const LEASE = { "fs.read": ["/workspace/**"], "tool.call": ["search.*"], "cost.budget": ["USD:5.00", "credits:100"] };

/** Frames of a session that is open. */
export const SESSION_FRAMES: readonly string[] = [
  frame({ type: "session.ping", payload: { nonce: "n1", sent_at: "2026-01-01T00:00:00Z" } }),
  frame({ type: "session.pong", payload: { ping_nonce: "n1", received_at: "2026-01-01T00:00:00Z" } }),
  frame({ type: "session.ack", payload: { last_processed_seq: 0 } }),
  frame({ type: "session.ack", payload: { last_processed_seq: PLACEHOLDERS.seq } }),
  frame({ type: "session.list_jobs", payload: {} }),
  frame({
    type: "session.list_jobs",
    payload: {
      filter: {
        status: ["running", "success"],
        agent: "echo@0.0.0",
        created_after: "2020-01-01T00:00:00Z",
        created_before: "2100-01-01T00:00:00+01:00",
      },
      limit: 2,
      cursor: null,
    },
  }),
  frame({ type: "session.close", payload: { reason: "done" } }),
  frame({ type: "session.bye", payload: {} }),
  frame({ type: "job.submit", payload: { agent: "echo", input: { text: "hello", list: [1, 2.5, true, null] } } }),
  frame({
    type: "job.submit",
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    payload: { agent: "stream", input: { events: 20 } },
  }),
  frame({
    type: "job.submit",
    payload: { agent: "stream", input: { events: 5, chunks: 3 }, idempotency_key: "key-1" },
  }),
  frame({ type: "job.submit", payload: { agent: "hold", input: null, max_runtime_sec: 3600 } }),
  frame({ type: "job.submit", payload: { agent: "fail", input: "why" } }),
  frame({
    type: "job.submit",
    payload: {
      agent: "echo@0.0.0",
      input: 1,
      lease_request: LEASE,
      lease_constraints: { expires_at: "2099-01-01T00:00:00Z" },
      idempotency_key: "key-2",
    },
  }),
  frame({ type: "job.cancel", job_id: job, payload: { reason: "enough" } }),
  frame({ type: "job.cancel", payload: { job_id: job } }),
  frame({ type: "job.cancel", job_id: foreignJob, payload: {} }),
  frame({ type: "job.subscribe", payload: { job_id: job, history: true, from_event_seq: 1 } }),
  frame({ type: "job.subscribe", payload: { job_id: job, history: true } }),
  frame({ type: "job.subscribe", payload: { job_id: job } }),
  frame({ type: "job.subscribe", payload: { job_id: foreignJob, history: true } }),
  frame({ type: "job.unsubscribe", payload: { job_id: job } }),
  frame({ type: "job.unsubscribe", job_id: foreignJob, payload: {} }),
  frame({ type: "session.ping", session_id: foreignSession, payload: {} }),
];

/** Frames that are not the protocol's own: a vendor's, and a client's that has another form of lease. */
export const OTHER_FRAMES: readonly string[] = [
  frame({ type: "x-vendor.acme.ping", payload: {} }),
  frame({ type: "x-vendor.acme.ping", extensions: { optional: true }, payload: { a: 1 } }),
  // A lease as a list of names.
  frame({
    type: "job.submit",
    payload: { agent: "echo", input: 1, lease_request: { id: "lse_1", capabilities: ["fs.read"], expires_at: null } },
  }),
];

/** Every valid frame, with 0 for the numbers that only a server knows. */
export const ALL_FRAMES: readonly string[] = [...OPENING_FRAMES, ...SESSION_FRAMES].map((text) =>
  text.replace(`"${PLACEHOLDERS.seq}"`, "0"),
);
