/** Runtimes of wire 1.1 that are broken about observation, events, results and traces (§7.6, §7.7, §8, §11). */
import { answer, having, lacking, type Message, type Mutant, nothing } from "../mutant.ts";
import { event, m, refusing } from "./hands.ts";

export const observationMutants: readonly Mutant[] = [
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
  // §11
  m("11-02", "trace/generated", { says: { "job.accepted": lacking("trace_id") } }),
  m("11-03", "trace/kept", { says: { "job.accepted": having({ trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" }) } }),
];
