/** The TypeScript SDK's client. It drops a frame that does not fit without a word, and then waits for it. */
import { bearer, FEATURES, type PeerClient, prefixedUlid } from "./client.ts";
import {
  all,
  answers,
  CODES,
  items,
  matches,
  noNulls,
  oneOf,
  optional,
  type Rule,
  requires,
  TRACE_ID,
} from "./rules.ts";

/** Codes whose `retryable` it knows better than the peer. */
const FIXED_RETRYABLE: Readonly<Record<string, boolean>> = {
  INTERNAL_ERROR: true,
  LEASE_EXPIRED: false,
  BUDGET_EXHAUSTED: false,
};

const error: Rule = all(
  requires({ "payload.message": "non-empty text", "payload.retryable": "boolean" }),
  oneOf("payload.code", CODES),
  ({ payload }) => {
    const fixed = FIXED_RETRYABLE[payload.code];
    return fixed === undefined || payload.retryable === fixed ? [] : [`${payload.code} must be retryable: ${fixed}`];
  },
);

const numbered = optional({ event_seq: "positive whole number" });

const agents: Rule = ({ payload }) => {
  const list = payload.capabilities?.agents ?? [];
  const isFlat = list.every((agent: unknown) => typeof agent === "string");
  return isFlat || list.every((agent: { versions?: unknown }) => Array.isArray(agent.versions))
    ? []
    : ["agents are neither all names nor all objects with versions"];
};

export const typescript: PeerClient = {
  name: "TypeScript",
  newId: prefixedUlid,
  envelope: (sessionId) => (sessionId === undefined ? {} : { session_id: sessionId }),
  hello: (token) => ({ type: "session.hello", payload: helloPayload(token) }),
  resume: (token, { sessionId, resumeToken, lastEventSeq }) => ({
    type: "session.hello",
    payload: {
      ...helloPayload(token),
      resume: { session_id: sessionId, resume_token: resumeToken, last_event_seq: lastEventSeq },
    },
  }),
  submit: (agent, input) => ({ type: "job.submit", payload: { agent, input } }),
  cancel: (jobId) => ({ type: "job.cancel", payload: { reason: "enough" }, members: { job_id: jobId } }),
  subscribe: (jobId) => ({ type: "job.subscribe", payload: { job_id: jobId, history: true, from_event_seq: 0 } }),
  list: () => ({ type: "session.list_jobs", payload: { filter: { status: ["running"] }, limit: 10 } }),
  goodbye: { type: "session.bye", payload: { reason: "done" } },
  afterGoodbye: undefined,
  isReply: (frame, requestId, isKnown) => {
    if (frame.type === "session.jobs") return frame.payload.request_id === requestId;
    if (frame.type === "job.accepted") return !isKnown(frame.payload.job_id);
    return frame.type === "session.welcome" || frame.type === "job.subscribed" || frame.type === "job.cancelled";
  },
  resultOf: (payload) => payload["result"],
  rules: {
    every: all(
      oneOf("arcp", ["1.1"]),
      requires({ id: "non-empty text", type: "non-empty text", payload: "object" }),
      matches("trace_id", TRACE_ID),
      // It takes a welcome without one.
      (frame, exchange) =>
        frame.type === "session.welcome" ? [] : requires({ session_id: "non-empty text" })(frame, exchange),
      noNulls("next_cursor", "parent_job_id"),
    ),
    byType: {
      "session.welcome": all(
        requires({
          "payload.runtime.name": "non-empty text",
          "payload.runtime.version": "non-empty text",
          "payload.resume_token": "non-empty text",
          "payload.resume_window_sec": "positive whole number",
          "payload.capabilities": "object",
        }),
        optional({ "payload.heartbeat_interval_sec": "positive whole number" }),
        agents,
      ),
      "session.error": error,
      "session.jobs": all(
        answers("payload.request_id", "session.list_jobs"),
        ({ payload }) => ("next_cursor" in payload ? [] : ["next_cursor is missing"]),
        items("payload.jobs", {
          job_id: "text",
          agent: "text",
          status: "text",
          lease: "object",
          created_at: "text",
          last_event_seq: "whole number",
        }),
      ),
      "job.accepted": all(
        requires({ "payload.job_id": "text", "payload.agent": "text", "payload.lease": "object" }),
        requires({ "payload.accepted_at": "text", job_id: "text" }),
        ({ payload }) =>
          Object.values(payload.budget ?? {}).every(Number.isFinite) ? [] : ["a budget that is not of numbers"],
        ({ payload }) => (payload.parent_job_id === null ? ["parent_job_id: null"] : []),
      ),
      "job.cancelled": requires({ job_id: "text" }),
      "job.subscribed": all(
        requires({ "payload.job_id": "text", "payload.agent": "text", "payload.lease": "object" }),
        requires({ "payload.current_status": "text", "payload.subscribed_from": "whole number" }),
        requires({ "payload.replayed": "boolean" }),
      ),
      "job.event": all(
        requires({ job_id: "text", "payload.kind": "text", "payload.ts": "text", "payload.body": "anything" }),
        numbered,
      ),
      "job.result": all(
        requires({ job_id: "text" }),
        oneOf("payload.final_status", ["success"]),
        numbered,
        ({ payload }) =>
          payload.result !== undefined && payload.result_id !== undefined ? ["both result and result_id"] : [],
      ),
      "job.error": all(
        requires({ job_id: "text" }),
        oneOf("payload.final_status", ["error", "cancelled", "timed_out"]),
        error,
        numbered,
      ),
    },
  },
};

const helloPayload = (token: string): object => ({
  client: { name: "typescript-client", version: "1.1.0" },
  auth: bearer(token),
  capabilities: { features: FEATURES, encodings: ["json"] },
});
