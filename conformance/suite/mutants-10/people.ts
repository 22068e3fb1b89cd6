/** Runtimes of wire 1.0 that are broken about questions, permissions and leases (RFC §12, §15). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { answering, called, m, refusing, returning, same } from "./hands.ts";

export const peopleMutants: readonly Mutant[] = [
  m("12.1-01", "people/input", { says: { "human.input.request": lacking("prompt") } }),
  m("12.4-01", "people/input", { says: { "human.input.request": lacking("expires_at") } }),
  m("12.1-05", "people/input", { says: { nack: called("ack") } }),
  m("12.1-04", "people/input", {
    says: {
      nack: (frame, { shared }) => [
        frame,
        { ...frame, id: "msg_end", type: "tool.result", correlation_id: undefined, job_id: shared.job },
      ],
      "job.accepted": (frame, { shared }) => void (shared.job = frame.job_id),
    },
  }),
  m("12.1-06", "people/input", {
    hears: {
      "human.input.response": (frame, memory) =>
        memory.count === 2 ? refusing("NOT_FOUND")(frame, memory) : undefined,
    },
  }),
  m("12.2-01", "people/choice", { says: { "human.choice.request": having({ options: [] }) } }),
  m("12.2-03", "people/choice", { says: { nack: called("ack") } }),
  m("12.3-01", "people/first", { says: { "tool.result": returning(/first/g, "second") } }),
  ...same(["12.3-03", "12.3-04"], "people/first", {
    from: 1,
    says: { "human.input.cancelled": nothing, "event.emit": nothing },
  }),
  m("12.4-02", "people/expiry", { says: { "human.input.cancelled": nothing } }),
  m("12.4-04", "people/expiry", { says: { "human.input.cancelled": having({ code: "CANCELLED" }) } }),
  m("12.4-05", "people/expiry", {
    says: { nack: (frame) => void Object.assign(frame, { type: "ack", payload: { status: "applied" } }) },
  }),
  m("12-01", "people/permission", {
    says: { "permission.request": (frame) => [frame, { ...frame, id: "msg_ask", type: "human.input.request" }] },
  }),
  m("15.4-02", "people/permission", { says: { "permission.request": lacking("operation") } }),
  m("15.4-05", "people/permission", { says: { "tool.result": returning(/"performed":true/g, '"performed":false') } }),
  m("15.1-01", "people/permission", {
    says: {
      "tool.result": (frame, memory) =>
        memory.count === 2 ? returning(/"performed":false/g, '"performed":true')(frame, memory) : undefined,
    },
  }),
  m("15.5-01", "people/permission", { says: { "lease.granted": lacking("lease_id") } }),
  m("15.4-01", "people/permission", { says: { "permission.request": nothing } }),
  m("15.4-06", "people/permission", { says: { "lease.granted": having({ resource: "/**" }) } }),
  m("15.5-02", "leases/refresh", { says: { "lease.extended": having({ expires_at: "2020-01-01T00:00:00Z" }) } }),
  m("15.5-04", "leases/refresh", { says: { "tool.result": returning(/"code":"[A-Z_]+"/g, '"code":"UNKNOWN"') } }),
  m("15.5-05", "leases/expiry", { hears: { "permission.grant": having({ lease_seconds: 30 }) } }),
  m("15.4-07", "people/entitled", { from: 1, hears: { "permission.grant": answering("ack", { status: "applied" }) } }),
  m("15.6-02", "people/elevation", {
    says: { metric: (frame) => (frame.payload.name.includes("trust") ? null : undefined) },
  }),
  m("15.3-01", "people/kinds-of-trust", {
    says: { "session.accepted": (frame) => void (frame.payload.runtime.trust_level = "almighty") },
  }),
];
