/** Runtimes of wire 1.0 that are broken about subscriptions and resumption (RFC §13, §19). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { answering, called, m, refusing, same } from "./hands.ts";

export const observersMutants: readonly Mutant[] = [
  m("13.1-01", "subscriptions/live", { says: { "subscribe.accepted": lacking("subscription_id") } }),
  m("6.1.1-11", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (frame.payload.event.correlation_id = "msg_other") },
  }),
  m("13.1-02", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (frame.payload.event.payload = {}) },
  }),
  m("6.1.1-07", "subscriptions/live", {
    says: { "subscribe.event": (frame) => void (delete frame.subscription_id, delete frame.payload.subscription_id) },
  }),
  m("13.2-02", "subscriptions/live", {
    says: {
      "subscribe.event": (frame) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          payload: { ...frame.payload, event: { ...frame.payload.event, type: "metric" } },
        },
      ],
    },
  }),
  m("13.3-03", "subscriptions/live", {
    says: {
      "job.accepted": (frame, { shared }) => void (shared.early ??= frame.job_id),
      "subscribe.event": (frame, { shared }) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          payload: { ...frame.payload, event: { ...frame.payload.event, job_id: shared.early } },
        },
      ],
    },
  }),
  m("13.4-03", "subscriptions/live", {
    says: { "subscribe.closed": (frame) => void (delete frame.payload.code, delete frame.payload.reason) },
  }),
  m("13.3-01", "subscriptions/backfill", {
    says: { "subscribe.event": (_frame, { count }) => (count === 1 ? null : undefined) },
  }),
  m("13.3-02", "subscriptions/backfill", {
    says: { "subscribe.event": (frame) => (JSON.stringify(frame).includes("backfill_complete") ? null : undefined) },
  }),
  m("13.2-03", "subscriptions/unauthorised", {
    from: 1,
    hears: { subscribe: answering("subscribe.accepted", { subscription_id: "sub_x" }) },
  }),
  m("4.3-02", "resume/replay", { hears: { resume: refusing("NOT_FOUND") } }),
  m("9-02", "resume/replay", { from: 1, says: { "tool.result": (frame) => void (frame.session_id = "sess_other") } }),
  m("19-03", "resume/replay", { from: 1, says: { log: having({ message: "line ?" }) } }),
  m("19-04", "resume/replay", {
    says: {
      log: (frame, { shared }) => void (shared.first ??= frame),
      ack: (frame, { shared, connection }) => (connection === 1 ? [shared.first, frame] : undefined),
    },
  }),
  ...same(["19-07", "6.4-01"], "resume/replay", { from: 1, says: { "tool.result": nothing } }),
  m("9-04", "resume/other-principal", { from: 1, says: { nack: called("ack") } }),
  m("19-06", "resume/data-loss", { says: { nack: having({ code: "NOT_FOUND" }) } }),
];
