/** Runtimes of wire 1.1 that are broken about leases, budgets and credentials (§9). */
import { type Change, having, lacking, type Message, type Mutant } from "../mutant.ts";
import { DONE, event, left, m, mended, outcome, refusing } from "./hands.ts";

/** A refusal that is an acceptance. */
const taken: Change = (frame) => void Object.assign(frame, { type: "job.accepted", payload: { job_id: "job_more" } });

export const authorityMutants: readonly Mutant[] = [
  // §9.1 to §9.3
  m("9.1-01", "leases/covered", {
    hears: {
      "job.submit": mended(({ input }) => input.operations?.[3]?.capability === "tool.call", {
        lease_request: { "fs.read": ["/a/**"] },
      }),
    },
  }),
  ...["9.1-02", "9.3-01"].map((requirement) => m(requirement, "leases/covered", outcome(2, 1, DONE))),
  m("9.3-02", "leases/covered", outcome(2, 1, { performed: false, code: "INVALID_REQUEST" })),
  m("9.3-03", "leases/covered", {
    says: {
      "job.event": (frame) =>
        frame.payload.kind === "tool_result" && frame.payload.body.error && frame.event_seq > 9 ? null : undefined,
    },
  }),
  m("9.3-05", "leases/covered", {
    says: { "job.result": (frame, { count }) => void (count === 2 && (frame.type = "job.error")) },
  }),
  m("9.1-03", "leases/shape", {
    hears: { "job.submit": mended(({ lease_request }) => Array.isArray(lease_request), { lease_request: {} }) },
  }),
  m("9.2-02", "leases/shape", {
    hears: {
      "job.submit": mended(({ lease_request }) => lease_request["FS.Read"] !== undefined, { lease_request: {} }),
    },
  }),
  m("9.2-01", "leases/shape", {
    hears: {
      "job.submit": (frame, memory) =>
        frame.payload.lease_request["model.use"] ? refusing("INVALID_REQUEST")(frame, memory) : undefined,
    },
  }),
  m("9.2-03", "leases/globs", outcome(1, -1, DONE)),
  m("9.2-04", "leases/globs", outcome(2, -1, DONE)),
  m("9.2-05", "leases/globs", outcome(4, -1, DONE)),
  m("9.2-06", "leases/globs", outcome(5, -1, DONE)),
  m("14-03", "leases/canonical", outcome(1, -1, DONE)),
  m("9.1-04", "leases/unchanged", {
    says: { "session.jobs": (frame) => frame.payload.jobs.forEach((job: Message) => void (job.lease = {})) },
  }),
  // §9.5
  m("9.5-02", "expiry/form", {
    hears: {
      "job.submit": (frame) =>
        void (frame.payload.lease_constraints.expires_at = String(frame.payload.lease_constraints.expires_at).replace(
          "+00:00",
          "Z",
        )),
    },
  }),
  m("9.5-03", "expiry/form", {
    hears: {
      "job.submit": mended(({ lease_constraints }) => /Z$/.test(lease_constraints.expires_at), {
        lease_constraints: { expires_at: "2199-01-01T00:00:00Z" },
      }),
    },
  }),
  m("9.5-04", "expiry/operations", {
    says: {
      "job.event": event("tool_result", (body) =>
        Object.assign(body, { error: { code: "LEASE_EXPIRED", message: "", retryable: false } }),
      ),
    },
  }),
  m("9.5-05", "expiry/operations", {
    says: {
      "job.event": event(
        "tool_result",
        (body) => body.error && Object.assign(body.error, { code: "PERMISSION_DENIED" }),
      ),
      "job.error": having({ code: "PERMISSION_DENIED" }),
    },
  }),
  m("9.5-06", "expiry/operations", { says: { "job.error": having({ code: "PERMISSION_DENIED" }) } }),
  m("7.3-06", "expiry/operations", { says: { "job.error": having({ final_status: "timed_out" }) } }),
  m("12-05", "expiry/operations", {
    says: { "job.event": event("tool_result", (body) => body.error && Object.assign(body.error, { retryable: true })) },
  }),
  // §9.6, §9.7
  m("9.6-01", "budgets/grammar", {
    hears: {
      "job.submit": mended(({ lease_request }) => lease_request["cost.budget"][0] === "USD:-1", { lease_request: {} }),
    },
  }),
  m("9.6-02", "budgets/counted", { says: { "job.accepted": having({ budget: { USD: 5 } }) } }),
  m("9.6-03", "budgets/counted", left(1, { USD: 5, credits: 1000 })),
  m("9.6-04", "budgets/counted", left(2, { USD: 4 })),
  m("9.6-05", "budgets/counted", left(3, { USD: 6 })),
  m("9.6-06", "budgets/counted", left(4, { USD: 0 })),
  m("9.6-07", "budgets/exhausted", outcome(1, 0, DONE)),
  m("9.6-08", "budgets/exhausted", outcome(2, 1, DONE)),
  m("9.6-09", "budgets/exhausted", outcome(3, 0, DONE)),
  m("12-06", "budgets/exhausted", {
    says: { "job.event": event("tool_result", (body) => body.error && Object.assign(body.error, { retryable: true })) },
  }),
  m("9.6-10", "budgets/exhausted", {
    says: { "job.result": (frame, { count }) => void (count === 3 && (frame.type = "job.error")) },
  }),
  m("9.6-11", "budgets/overshoot", outcome(1, 0, { performed: false, code: "BUDGET_EXHAUSTED" })),
  m("9.7-01", "models/globs", outcome(1, -1, DONE)),
  m("9.7-02", "models/globs", outcome(2, -1, DONE)),
  // §9.8
  m("9.8.1-01", "credentials/issued", {
    says: { "job.accepted": (frame) => void delete frame.payload.credentials[0].endpoint },
  }),
  m("9.8.1-02", "credentials/rotated", {
    says: { "job.event": event("status", (body) => Object.assign(body, { id: "cred_other" })) },
  }),
  m("9.8.1-03", "credentials/issued", {
    says: { "job.accepted": (frame) => void (frame.payload.credentials[0].scheme = "basic") },
  }),
  m("9.8.3-04", "credentials/bounded", outcome(1, 1, DONE)),
  m("7.6-21", "credentials/observed", {
    from: 1,
    says: { "job.subscribed": having({ credentials: [{ id: "c" }] }) },
  }),
  m("14-20", "credentials/observed", {
    from: 1,
    says: { "session.jobs": (frame) => void frame.payload.jobs.forEach((job: Message) => void (job.credentials = [])) },
  }),
  m("14-19", "credentials/observed", {
    says: {
      "job.accepted": (frame, { shared }) => void (shared.value = frame.payload.credentials[0].value),
      "job.event": (frame, { shared, connection }) =>
        void (connection === 1 && (frame.payload.body.value = shared.value)),
    },
  }),
  // §14
  m("14-02", "bounds/tokens", {
    says: {
      "session.welcome": (frame, { connection }) => void (frame.payload.resume_token = `rt_${1000 + connection}`),
    },
  }),
  m("14-09", "bounds/jobs", { says: { "job.error": taken, "session.error": taken } }),
  m("14-10", "bounds/jobs", {
    says: {
      "job.error": having({ code: "RESOURCE_EXHAUSTED" }),
      "session.error": having({ code: "RESOURCE_EXHAUSTED" }),
    },
  }),
  m("14-24", "bounds/chunk", { says: { "job.error": (frame) => void (frame.type = "job.result") } }),
  m("14-25", "bounds/chunk", { says: { "job.error": having({ code: "RESOURCE_EXHAUSTED" }) } }),
  m("9.8.2-01", "credentials/issued", { says: { "job.accepted": lacking("credentials") } }),
  m("9.8.2-03", "credentials/issued", {
    says: { "job.accepted": (frame) => void (frame.payload.credentials[0].value = "same") },
  }),
  m("9.8.2-08", "credentials/rotated", { says: { "job.event": event("status", (body) => delete body.value) } }),
];
