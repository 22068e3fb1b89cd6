/** The Go SDK's client. It waits for one acceptance at a time, and finds refusals by `payload.request_id`. */
import { bearer, FEATURES, newTrace, type PeerClient, uuidV7 } from "./client.ts";
import { all, answers, items, optional, type Rule, requires } from "./rules.ts";

const agentsAreObjects: Rule = ({ payload }) =>
  (payload.capabilities?.agents ?? []).every((agent: unknown) => typeof agent === "object") ? [] : ["a flat agent"];

/** Its numbers of progress are unsigned integers. */
const wholeProgress: Rule = ({ payload: { kind, body } }) =>
  kind !== "progress" || [body.current, body.total ?? 0].every(Number.isInteger) ? [] : ["a fraction as progress"];

export const go: PeerClient = {
  name: "Go",
  newId: uuidV7,
  envelope: (sessionId) => (sessionId === undefined ? {} : { session_id: sessionId }),
  hello: (token) => ({ type: "session.hello", payload: helloPayload(token) }),
  resume: (token, { sessionId, resumeToken, lastEventSeq }) => ({
    type: "session.hello",
    payload: {
      ...helloPayload(token),
      resume: { session_id: sessionId, resume_token: resumeToken, last_event_seq: lastEventSeq },
    },
  }),
  submit: (agent, input) => ({ type: "job.submit", payload: { agent, input }, members: { trace_id: newTrace() } }),
  cancel: (jobId) => ({ type: "job.cancel", payload: { reason: "enough" }, members: { job_id: jobId } }),
  subscribe: (jobId) => ({ type: "job.subscribe", payload: { job_id: jobId, history: true } }),
  list: () => ({ type: "session.list_jobs", payload: {} }),
  goodbye: { type: "session.close", payload: {} },
  afterGoodbye: "session.closed",
  isReply: (frame, requestId, isKnown) => {
    if (frame.type === "session.jobs" || frame.type === "session.error") return frame.payload.request_id === requestId;
    if (frame.type === "job.accepted") return !isKnown(frame.payload.job_id);
    return frame.type === "session.welcome" || frame.type === "job.subscribed" || frame.type === "job.cancelled";
  },
  resultOf: (payload) => payload["output"],
  rules: {
    every: requires({ type: "non-empty text", payload: "object" }),
    byType: {
      "session.welcome": all(requires({ session_id: "text", "payload.resume_token": "text" }), agentsAreObjects),
      "session.error": all(requires({ "payload.code": "text", "payload.retryable": "boolean" })),
      "session.jobs": all(
        answers("payload.request_id", "session.list_jobs"),
        items("payload.jobs", { job_id: "text" }),
      ),
      "job.accepted": requires({ "payload.job_id": "text", "payload.lease": "object" }),
      "job.event": all(
        requires({ job_id: "text", "payload.kind": "text", "payload.ts": "text" }),
        optional({ event_seq: "positive whole number" }),
        wholeProgress,
      ),
      "job.result": requires({ job_id: "text", "payload.final_status": "text" }),
      "job.error": requires({ job_id: "text", "payload.code": "text" }),
    },
  },
};

const helloPayload = (token: string): object => ({
  client: { name: "go-client", version: "1.1.0" },
  auth: bearer(token),
  capabilities: { encodings: ["json"], features: FEATURES },
});
