/** The Python SDK's client. Its models are strict: a frame that does not fit ends its reader, and every job with it. */
import { bareUlid, bearer, type PeerClient } from "./client.ts";
import { all, answers, items, matches, oneOf, optional, type Rule, requires } from "./rules.ts";

const ID = /^(?:[a-z]+_)?[0-9A-HJKMNP-TV-Z]{26}$|^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
/** Not all zeros. */
const TRACE = /^(?!0{32}$)[0-9a-f]{32}$/;

const textBudget: Rule = ({ payload }) =>
  Object.values(payload.budget ?? {}).every((amount) => typeof amount === "string") ? [] : ["a budget of numbers"];

export const python: PeerClient = {
  name: "Python",
  newId: bareUlid,
  envelope: (sessionId) => (sessionId === undefined ? {} : { session_id: sessionId }),
  hello: (token) => ({ type: "session.hello", payload: helloPayload(token) }),
  resume: (token, { sessionId, resumeToken, lastEventSeq }) => ({
    type: "session.hello",
    payload: {
      ...helloPayload(token),
      resume: { session_id: sessionId, resume_token: resumeToken, last_event_seq: lastEventSeq },
    },
  }),
  submit: (agent, input) => ({
    type: "job.submit",
    payload: { agent, input, lease_request: { "cost.budget": ["USD:1.00"] } },
  }),
  cancel: (jobId) => ({ type: "job.cancel", payload: { reason: "client.cancel" }, members: { job_id: jobId } }),
  subscribe: (jobId) => ({
    type: "job.subscribe",
    payload: { job_id: jobId, history: true },
    members: { job_id: jobId },
  }),
  list: () => ({ type: "session.list_jobs", payload: {} }),
  goodbye: { type: "session.bye", payload: { reason: "client.close" } },
  afterGoodbye: undefined,
  isReply: (frame, requestId) =>
    frame.type === "session.welcome" || frame.type === "job.cancelled" || frame.payload.request_id === requestId,
  resultOf: (payload) => payload["result"],
  rules: {
    every: all(
      oneOf("arcp", ["1.1"]),
      requires({ id: "text", type: "text" }),
      matches("id", ID),
      matches("trace_id", TRACE),
      optional({ event_seq: "positive whole number", payload: "object" }),
    ),
    byType: {
      "session.welcome": all(
        requires({ "payload.runtime.name": "text", "payload.runtime.version": "text" }),
        requires({ "payload.session_id": "text", "payload.resume_token": "text", "payload.accepted_at": "text" }),
      ),
      "session.ping": requires({ "payload.nonce": "text", "payload.sent_at": "text" }),
      "session.jobs": all(
        answers("payload.request_id", "session.list_jobs"),
        items("payload.jobs", { job_id: "text", agent: "text", status: "text", submitted_at: "text" }),
      ),
      "job.accepted": all(
        answers("payload.request_id", "job.submit"),
        requires({ "payload.job_id": "text", "payload.agent": "text", "payload.accepted_at": "text" }),
        textBudget,
      ),
      "job.subscribed": all(
        answers("payload.request_id", "job.subscribe"),
        requires({ "payload.job_id": "text", "payload.agent": "text", "payload.current_status": "text" }),
        requires({ "payload.subscribed_from": "whole number" }),
      ),
      "job.event": requires({ job_id: "text", "payload.kind": "text" }),
      "job.result": all(
        requires({ job_id: "text", "payload.completed_at": "text" }),
        oneOf("payload.final_status", ["success", "cancelled", "timed_out"]),
      ),
      "job.error": all(
        requires({ job_id: "text", "payload.code": "text", "payload.message": "text", "payload.completed_at": "text" }),
        oneOf("payload.final_status", ["error"]),
      ),
    },
  },
};

/** It offers nine features, and an empty list of agents of its own. */
const helloPayload = (token: string): object => ({
  client: { name: "python-client", version: "1.1.0" },
  auth: bearer(token),
  capabilities: {
    encodings: ["json"],
    features: [
      "heartbeat",
      "ack",
      "list_jobs",
      "subscribe",
      "lease_expires_at",
      "cost.budget",
      "progress",
      "result_chunk",
      "agent_versions",
    ],
    agents: [],
  },
});
