/** Runtimes of wire 1.0 that are broken about jobs (RFC §6.3, §10, §14, §18). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { answering, being, called, coded, m, refusing, returning, same } from "./hands.ts";

export const jobsMutants: readonly Mutant[] = [
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
  ...same(["6.1.1-15", "6.1.1-14", "6.4-02"], "jobs/same-id", {
    hears: { "tool.invoke": (frame, { count }) => void (count === 2 && (frame.id = "msg_another")) },
  }),
  m("6.4-07", "jobs/idempotency", {
    hears: {
      "tool.invoke": (frame, memory) =>
        memory.connection === 1 ? refusing("ALREADY_EXISTS")(frame, memory) : undefined,
    },
  }),
  ...same(["6.4-05", "6.4-06"], "jobs/idempotency", {
    from: 2,
    hears: { "tool.invoke": (frame) => void delete frame.idempotency_key },
  }),
  m("6.4-03", "jobs/idempotency", { from: 2, says: { "tool.result": called("tool.error") } }),
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
  m("14-03", "jobs/delegate", { says: { "job.accepted": (frame) => void delete frame.trace_id } }),
  m("14-02", "jobs/delegate", { hears: { "agent.delegate": refusing("UNIMPLEMENTED") } }),
  m("10.2-01", "jobs/states", { says: { "job.heartbeat": being("running", "resting") } }),
  m("10.2-02", "jobs/states", { says: { "job.heartbeat": being("queued", "running") } }),
  m("12.1-02", "jobs/states", { says: { "job.heartbeat": being("blocked", "running") } }),
  m("15.4-03", "jobs/states", {
    says: {
      "permission.request": (frame, { shared }) => void (shared.asking = frame.job_id),
      "job.heartbeat": (frame, { shared }) =>
        void (frame.job_id === shared.asking && Object.assign(frame.payload, { state: "running" })),
    },
  }),
  m("10.3-04", "jobs/silence", { says: { "job.failed": having({ code: "INTERNAL" }) } }),
  m("10.3-05", "jobs/silence", { says: { "tool.result": called("job.failed") } }),
  m("10.1-01", "jobs/retry", { says: { "tool.result": returning(/"attempts":3/g, '"attempts":1') } }),
  m("10.5-01", "jobs/interrupt", { says: { "human.input.request": nothing } }),
  m("10.5-02", "jobs/interrupt", {
    says: { "human.input.request": (frame) => [frame, { ...frame, id: "msg_end", type: "tool.error" }] },
  }),
  m("10.5-03", "jobs/not-agreed", { hears: { interrupt: answering("ack", {}) } }),
  m("10.6-04", "jobs/not-agreed", { hears: { "job.schedule": answering("ack", {}) } }),
  m("10.4-03", "jobs/last-checkpoint", { says: { "job.checkpoint": nothing } }),
  m("14-04", "jobs/handoff", { hears: { "agent.handoff": answering("job.accepted", { job_id: "job_x" }) } }),
  m("18.2-02", "jobs/codes", { says: { "tool.error": coded(1, { code: "QUOTA_EXCEEDED" }) } }),
  m("18.2-05", "jobs/codes", { says: { "tool.error": coded(2, { code: "UNKNOWN" }) } }),
  m("18.3-02", "jobs/codes", { says: { "tool.error": coded(2, { retryable: false }) } }),
  ...same(["18.3-01", "18.3-03"], "jobs/codes", { says: { nack: having({ retryable: true }) } }),
];
