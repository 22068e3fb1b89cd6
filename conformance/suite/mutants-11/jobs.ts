/** Runtimes of wire 1.1 that are broken about jobs (§7.1 to §7.5, §12). */
import { having, lacking, type Message, type Mutant, nothing } from "../mutant.ts";
import { code, DONE, m, mended, outcome, refusing } from "./hands.ts";

export const jobsMutants: readonly Mutant[] = [
  // §7.1
  m("7.1-02", "submit/accepted", { says: { "job.accepted": lacking("accepted_at") } }),
  m("7.1-03", "submit/lease", {
    says: { "job.accepted": (frame) => void (frame.payload.lease["tool.call"] = ["suite.other.*"]) },
  }),
  m("7.1-05", "submit/accepted", { says: { "job.accepted": having({ lease: { "fs.read": ["/**"] } }) } }),
  m("7.1-06", "submit/lease", { says: { "job.accepted": lacking("lease_constraints") } }),
  m("7.1-07", "submit/lease", { says: { "job.accepted": having({ budget: { USD: 1 } }) } }),
  m("7.1-08", "submit/accepted", {
    says: { "job.accepted": having({ lease_constraints: { expires_at: "2030-01-01T00:00:00Z" } }) },
  }),
  m("7.1-09", "submit/accepted", { says: { "job.accepted": having({ budget: { USD: 1 } }) } }),
  m("7.1-11", "submit/accepted", {
    says: {
      "job.accepted": (frame, { held }) => {
        held.push(frame);
        return null;
      },
      "job.event": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  m("7.1-12", "submit/refused", {
    hears: { "job.submit": having({ agent: "suite.echo", lease_request: {}, lease_constraints: {} }) },
  }),
  // §7.2
  m("7.2-01", "idempotency/same", {
    says: {
      "job.accepted": (frame, { count }) => void (count === 2 && (frame.payload.accepted_at = "2020-01-01T00:00:00Z")),
    },
  }),
  m("7.2-02", "idempotency/other-session", { from: 1, hears: { "job.submit": lacking("idempotency_key") } }),
  m("7.2-03", "idempotency/other-principal", { from: 1, hears: { "job.submit": refusing("DUPLICATE_KEY") } }),
  m("7.2-05", "idempotency/other-session", { from: 1, says: { "job.event": nothing } }),
  m("7.2-06", "idempotency/same", { from: 1, says: { "job.result": nothing } }),
  m("7.2-07", "idempotency/conflict", { says: { "session.error": code("DUPLICATE_KEY", "INVALID_REQUEST") } }),
  m("9.5-08", "idempotency/conflict", {
    says: { "session.error": (frame, { count }) => void (count === 5 && (frame.payload.code = "INVALID_REQUEST")) },
  }),
  m("7.2-08", "idempotency/same", {
    hears: {
      "job.submit": (frame) =>
        void (Object.keys(frame.payload.input)[0] === "b" && delete frame.payload.idempotency_key),
    },
  }),
  m("7.2-09", "idempotency/at-once", { hears: { "job.submit": lacking("idempotency_key") } }),
  m("7.2-10", "idempotency/redelivered", {
    hears: { "job.submit": (frame, { count }) => void (count === 2 && (frame.id = `${frame.id}x`)) },
  }),
  // §7.3
  m("7.3-01", "lifecycle/running", {
    says: { "session.jobs": (frame) => frame.payload.jobs.forEach((job: Message) => void (job.status = "busy")) },
  }),
  m("7.3-02", "lifecycle/ends", { says: { "job.result": (frame) => [frame, { ...frame, id: `${frame.id}x` }] } }),
  m("7.3-03", "lifecycle/ends", {
    says: {
      "job.result": (frame) => [
        frame,
        {
          ...frame,
          id: `${frame.id}x`,
          type: "job.event",
          payload: { kind: "log", ts: new Date().toISOString(), body: {} },
        },
      ],
    },
  }),
  m("7.3-04", "lifecycle/ends", { says: { "job.result": having({ final_status: "ok" }) } }),
  m("7.3-05", "lifecycle/ends", { says: { "job.error": lacking("final_status") } }),
  m("7.3-07", "lifecycle/ends", { says: { "job.error": code("TIMEOUT", "TIMED_OUT") } }),
  // §7.4
  m("7.4-03", "cancel/acknowledged", { says: { "job.cancelled": nothing } }),
  m("7.4-04", "cancel/acknowledged", { says: { "job.error": having({ code: "ABORTED" }) } }),
  m("7.4-05", "cancel/acknowledged", {
    says: {
      "job.cancelled": (frame, { held }) => {
        held.push(frame);
        return null;
      },
      "job.error": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  m("7.4-06", "cancel/acknowledged", { says: { "job.error": nothing } }),
  m("7.4-07", "cancel/grace", { says: { "job.error": having({ final_status: "error" }) } }),
  m("7.4-10", "cancel/unknown", { says: { "session.error": having({ code: "INVALID_REQUEST" }) } }),
  m("7.4-11", "cancel/ended", {
    says: {
      "job.result": (frame, { held }) => void held.push({ ...frame, id: "msg_again" }),
      "session.error": (frame, { held }) => [frame, ...held.splice(0)],
    },
  }),
  m("7.4-08", "cancel/lease", outcome(1, 0, DONE)),
  // §7.5
  m("7.5-11", "versions/kept", {
    says: {
      "session.jobs": (frame) =>
        void frame.payload.jobs.forEach((job: Message) => void (job.agent = "suite.upgraded@9")),
    },
  }),
  m("7.5-02", "versions/grammar", {
    hears: { "job.submit": mended(({ agent }) => agent === "Foo", { agent: "suite.echo" }) },
  }),
  m("7.5-03", "versions/default", { says: { "job.accepted": having({ agent: "suite.versioned@2.0.0" }) } }),
  m("7.5-06", "versions/exact", {
    hears: { "job.submit": mended(({ agent }) => agent.endsWith("@9.9.9"), { agent: "suite.versioned" }) },
  }),
  m("7.5-07", "versions/exact", { says: { "session.error": code("AGENT_NOT_AVAILABLE", "JOB_NOT_FOUND") } }),
  m("7.5-08", "versions/exact", {
    hears: { "job.submit": mended(({ agent }) => agent.endsWith("@banana"), { agent: "suite.versioned" }) },
  }),
  // §12
  m("12-01", "errors/codes", { says: { "session.error": lacking("retryable") } }),
  m("12-02", "errors/codes", { says: { "session.error": having({ code: "WHATEVER" }) } }),
  m("12-03", "errors/own-code", { says: { "job.error": having({ code: "INTERNAL_ERROR" }) } }),
  m("12-07", "errors/fault", { says: { "job.error": having({ retryable: false }) } }),
];
