/** Runtimes of wire 1.0 that are broken about envelopes, names and priorities (RFC §4, §6, §21). */
import { having, type Mutant, nothing } from "../mutant.ts";
import { m, refusing, returning, same } from "./hands.ts";

export const envelopeMutants: readonly Mutant[] = [
  m("6.1-01", "envelope/members", { says: { "job.accepted": (frame) => ["[1]", frame] } }),
  m("4.4-02", "envelope/members", { says: { log: (frame) => void delete frame.arcp } }),
  m("6.1.1-01", "envelope/members", { says: { "job.started": (frame) => void (frame.payload = []) } }),
  m("6.1.1-02", "envelope/members", { says: { log: (frame) => void (frame.id = "msg_same") } }),
  m("6.1.1-03", "envelope/members", { says: { log: (frame) => void (frame.timestamp = "today") } }),
  m("6.1.1-04", "envelope/members", { says: { log: (frame) => void delete frame.session_id } }),
  m("6.1.1-05", "envelope/members", { says: { "job.started": (frame) => void delete frame.job_id } }),
  m("6.1.1-09", "envelope/members", { says: { "tool.result": (frame) => void delete frame.correlation_id } }),
  m("17.2-01", "envelope/members", { says: { log: having({ level: "loud" }) } }),
  m("17.3-01", "envelope/members", { says: { metric: having({ value: "many" }) } }),
  m("6.4-08", "envelope/members", { says: { log: (_frame, { count }) => (count === 3 ? null : undefined) } }),
  m("6.1.1-17", "envelope/unknown-members", {
    hears: { "*": (frame) => (frame["x-odd"] === undefined ? undefined : null) },
  }),
  m("6.2-03", "envelope/unknown-members", { says: { pong: (frame) => void (frame.correlation_id = "msg_other") } }),
  m("6.2-01", "envelope/types", { hears: { "checkpoint.create": refusing("INVALID_ARGUMENT") } }),
  m("22-03", "envelope/body", { says: { "tool.result": returning(/\u00fc/g, "u") } }),
  m("6.5-04", "priority/order", {
    says: {
      "stream.chunk": (frame, { held, count }) => {
        if (count === 3) held.push(frame);
        return count === 3 ? null : count === 4 ? [frame, ...held] : undefined;
      },
    },
  }),
  m("6.5-05", "priority/critical", { says: { log: (frame) => void (frame.priority = "critical") } }),
  m("13.2-04", "subscriptions/priority", {
    hears: { subscribe: (frame) => void (frame.payload.filter.min_priority = "low") },
  }),
  m("6.3-08", "envelope/malformed", { says: { nack: nothing } }),
  m("4.4-01", "envelope/malformed", { says: { nack: having({ code: "NOT_FOUND" }) } }),
  m("21.3-01", "extensions/unknown", { hears: { "job.dance": nothing } }),
  ...same(["21.3-03", "4.7-01"], "extensions/unknown", { hears: { "arcpx.suite.dance.v1": nothing } }),
  m("21.2-02", "extensions/unknown", {
    hears: { "arcpx.suite.dance.v1": (_frame, { count }) => (count === 2 ? null : undefined) },
  }),
  m("18.2-07", "extensions/unknown", { hears: { "com.suite.dance.v1": nothing } }),
  m("21.3-02", "extensions/unknown", {
    hears: {
      "arcpx.suite.dance.v1": (frame, memory) =>
        frame.extensions ? refusing("UNIMPLEMENTED")(frame, memory) : undefined,
    },
  }),
  m("21.3-04", "extensions/unknown", {
    hears: { "arcpx.suite.dance.v1": (frame, { line }) => void (frame.extensions && line.hangUp("unknown type")) },
  }),
  m("6.1.1-13", "extensions/unknown", { says: { nack: (frame) => void (frame.extensions = "none") } }),
];
