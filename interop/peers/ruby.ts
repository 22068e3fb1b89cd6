/** The Ruby SDK's client. It names its session itself, reads flat names, and finds every answer by `reply_to`. */
import { FEATURES, newTrace, type PeerClient, uuidV7 } from "./client.ts";
import { all, answers, matches, oneOf, type Rule, requires, TRACE_ID } from "./rules.ts";

const agentsAreObjects: Rule = ({ payload }) =>
  (payload.capabilities?.agents ?? []).every((agent: unknown) => typeof agent === "object") ? [] : ["a flat agent"];

const leaseHasId: Rule = ({ payload }) =>
  payload.lease === undefined || typeof payload.lease.id === "string" ? [] : ["a lease without id"];

export const ruby: PeerClient = {
  name: "Ruby",
  newId: uuidV7,
  envelope: (sessionId) => ({ session_id: sessionId ?? `ses_${uuidV7()}`, trace_id: newTrace() }),
  hello: (token) => ({ type: "session.hello", payload: helloPayload(token) }),
  resume: (token, { sessionId, resumeToken, lastEventSeq }) => ({
    type: "session.hello",
    payload: { ...helloPayload(token), resume: { token: resumeToken, last_event_seq: lastEventSeq } },
    members: { session_id: sessionId },
  }),
  submit: (agent, input) => ({
    type: "job.submit",
    payload: {
      agent,
      input,
      lease_request: { capabilities: ["fs.read"], "cost.budget": ["USD:1.00"] },
      lease_constraints: {},
    },
  }),
  cancel: (jobId) => ({
    type: "job.cancel",
    payload: { job_id: jobId, reason: "enough" },
    members: { job_id: jobId },
  }),
  subscribe: (jobId) => ({ type: "job.subscribe", payload: { job_id: jobId, history: true } }),
  list: () => ({ type: "session.list_jobs", payload: { limit: 10 } }),
  goodbye: { type: "session.bye", payload: { reason: "done" } },
  afterGoodbye: undefined,
  isReply: (frame, requestId) => frame.type === "session.welcome" || frame.payload.reply_to === requestId,
  resultOf: (payload) => payload["result"],
  rules: {
    every: all(
      oneOf("arcp", ["1.1"]),
      requires({ id: "text", type: "text", session_id: "text", payload: "object" }),
      matches("trace_id", TRACE_ID),
      ({ event_seq }) => (event_seq === undefined || Number.isInteger(event_seq) ? [] : ["event_seq is not whole"]),
    ),
    byType: {
      "session.welcome": all(
        requires({
          "payload.runtime_name": "text",
          "payload.runtime_version": "text",
          "payload.capabilities": "object",
        }),
        requires({ "payload.resume_token": "text", "payload.resume_window_sec": "whole number" }),
        agentsAreObjects,
      ),
      "session.jobs": all(answers("payload.reply_to", "session.list_jobs"), requires({ "payload.jobs": "list" })),
      "job.accepted": all(
        answers("payload.reply_to", "job.submit"),
        requires({ "payload.job_id": "text", "payload.agent": "text" }),
        leaseHasId,
      ),
      "job.subscribed": answers("payload.reply_to", "job.subscribe"),
      "job.cancelled": requires({ "payload.job_id": "text" }),
      "job.event": requires({ job_id: "text", "payload.kind": "text" }),
      "job.result": requires({ "payload.job_id": "text", "payload.final_status": "text" }),
      "job.error": requires({ "payload.job_id": "text", "payload.final_status": "text", "payload.code": "text" }),
    },
  },
};

const helloPayload = (token: string): object => ({
  client_name: "ruby-client",
  client_version: "1.0.0",
  auth: { token },
  capabilities: { features: FEATURES, encodings: ["json"] },
});
