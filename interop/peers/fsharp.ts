/** The F# SDK's client. It finds every answer, the welcome too, by an envelope id that repeats its request's. */
import { bareUlid, bearer, FEATURES, type PeerClient } from "./client.ts";
import { all, answers, oneOf, type Rule, requires } from "./rules.ts";

/** A body that lacks one of these members ends its receive loop; a level that it does not know drops the event. */
const body: Rule = ({ payload: { kind, body } }) => {
  if (kind === "log") return ["debug", "info", "warn", "error"].includes(body.level) ? [] : [`log level ${body.level}`];
  if (kind === "tool_call") return body.args === undefined ? ["tool_call without args"] : [];
  if (kind === "tool_result") return "result" in body || "error" in body ? [] : ["tool_result without outcome"];
  return [];
};

/** `null` is an error in place of a number, an object or a date. */
const noNullValues: Rule = ({ payload }) =>
  ["lease", "budget", "lease_constraints", "event_seq", "resume_window_sec"]
    .filter((name) => payload[name] === null)
    .map((name) => `${name}: null`);

export const fsharp: PeerClient = {
  name: "F#",
  newId: bareUlid,
  envelope: (sessionId) => (sessionId === undefined ? {} : { session_id: sessionId }),
  hello: (token) => ({
    type: "session.hello",
    payload: {
      client: { name: "fsharp-client", version: "1.0.0" },
      auth: bearer(token),
      capabilities: { encodings: ["json"], features: FEATURES },
    },
  }),
  resume: (_token, { sessionId, resumeToken, lastEventSeq }) => ({
    type: "session.resume",
    payload: { session_id: sessionId, resume_token: resumeToken, last_event_seq: lastEventSeq },
  }),
  submit: (agent, input) => ({
    type: "job.submit",
    payload: { agent, input, lease_constraints: { expires_at: dotnetInstant(Date.now() + 3_600_000) } },
  }),
  cancel: (jobId) => ({ type: "job.cancel", payload: { job_id: jobId, reason: "enough" } }),
  subscribe: (jobId) => ({ type: "job.subscribe", payload: { job_id: jobId, history: true } }),
  list: () => ({ type: "session.list_jobs", payload: {} }),
  goodbye: { type: "session.close", payload: {} },
  afterGoodbye: "session.closed",
  isReply: (frame, requestId) => frame.id === requestId,
  resultOf: (payload) => payload["result"],
  rules: {
    every: all(requires({ id: "non-empty text", type: "non-empty text", payload: "object" }), noNullValues),
    byType: {
      "session.welcome": all(
        answers("id", "session.hello", "session.resume"),
        requires({ session_id: "text", "payload.runtime": "object", "payload.resume_token": "text" }),
        requires({ "payload.resume_window_sec": "whole number" }),
        requires({ "payload.capabilities.encodings": "list", "payload.capabilities.features": "list" }),
        requires({ "payload.capabilities.agents": "list" }),
      ),
      "session.jobs": all(answers("id", "session.list_jobs"), requires({ "payload.jobs": "list" })),
      "job.accepted": all(
        answers("id", "job.submit"),
        requires({ "payload.job_id": "text", "payload.lease": "object", "payload.accepted_at": "text" }),
      ),
      "job.cancelled": answers("id", "job.cancel"),
      "job.subscribed": all(
        answers("id", "job.subscribe"),
        requires({ "payload.subscribed_from": "whole number", "payload.replayed": "boolean" }),
      ),
      "job.event": all(
        requires({ job_id: "text", event_seq: "whole number", "payload.kind": "text", "payload.ts": "text" }),
        requires({ "payload.body": "object" }),
        body,
      ),
      "job.result": all(
        requires({ job_id: "text", event_seq: "whole number" }),
        oneOf("payload.final_status", ["success"]),
      ),
      "job.error": requires({ job_id: "text", event_seq: "whole number", "payload.retryable": "boolean" }),
      "session.ping": requires({ "payload.nonce": "text", "payload.sent_at": "text" }),
    },
  },
};

/** As .NET writes an instant: seven digits and an offset. */
const dotnetInstant = (time: number): string => new Date(time).toISOString().replace("Z", "0000+00:00");
