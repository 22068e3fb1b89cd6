/** Runtimes of wire 1.1 that are broken about delegation (§9.4, §10). */
import type { Message, Mutant } from "../mutant.ts";
import { ACCEPTED, event, first, m, outcome } from "./hands.ts";

export const delegationMutants: readonly Mutant[] = [
  // §9.4, §10
  ...["10.1-01", "8.2-09"].map((requirement) =>
    m(requirement, "delegation/child", {
      says: { "job.event": event("delegate", (body) => delete body.lease_request) },
    }),
  ),
  m("9.4-03", "delegation/child", outcome(2, 0, { accepted: false, code: "LEASE_SUBSET_VIOLATION" })),
  m("10.1-02", "delegation/child", {
    says: { "job.accepted": (frame) => (frame.payload.parent_job_id ? null : undefined) },
  }),
  m("10.1-03", "delegation/child", { says: { "job.result": first((frame) => void (frame.event_seq += 100)) } }),
  ...["10.3-01", "11-04"].map((requirement) =>
    m(requirement, "delegation/child", {
      says: {
        "job.accepted": (frame) =>
          void (frame.payload.parent_job_id && (frame.payload.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736")),
      },
    }),
  ),
  m("10.1-04", "delegation/agents", outcome(1, 0, ACCEPTED)),
  m("10.2-03", "delegation/agents", {
    says: {
      "job.result": (frame) => [
        {
          ...frame,
          id: "msg_e",
          event_seq: undefined,
          job_id: undefined,
          type: "session.error",
          payload: { code: "PERMISSION_DENIED", message: "", retryable: false },
        },
        frame,
      ],
    },
  }),
  m("9.4-01", "delegation/subset", {
    says: {
      "job.result": (frame) =>
        void (
          frame.payload.result?.outcomes?.length === 3 &&
          !frame.payload.result.outcomes[0].accepted &&
          (frame.payload.result.outcomes[0] = ACCEPTED)
        ),
    },
  }),
  m("10.2-02", "delegation/subset", {
    says: {
      "job.event": event(
        "tool_result",
        (body) => body.error && Object.assign(body.error, { code: "PERMISSION_DENIED" }),
      ),
    },
  }),
  m("9.4-02", "delegation/subset", {
    says: {
      "job.result": (frame) =>
        void (frame.payload.result?.outcomes?.length === 2 && (frame.payload.result.outcomes[1] = ACCEPTED)),
    },
  }),
  m("9.4-04", "delegation/subset", {
    says: {
      "job.result": (frame, { shared }) => {
        const { outcomes } = frame.payload.result ?? {};
        if (outcomes?.length === 3 && outcomes.every(({ accepted }: Message) => !accepted)) outcomes[0] = ACCEPTED;
        shared.none = true;
      },
    },
  }),
  ...[
    ["9.4-10", 4],
    ["10.2-01", 5],
  ].map(([requirement, table]) =>
    m(String(requirement), "delegation/subset", {
      says: {
        "job.result": (frame, { shared }) => {
          const { outcomes } = frame.payload.result ?? {};
          if (outcomes === undefined) return;
          shared.tables = (shared.tables ?? 0) + 1;
          if (shared.tables === Number(table) + 1) outcomes[1] = ACCEPTED;
        },
      },
    }),
  ),
  m("9.4-05", "delegation/budget", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[0] = ACCEPTED)),
    },
  }),
  m("9.4-06", "delegation/budget", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[1] = ACCEPTED)),
    },
  }),
  m("10.2-04", "delegation/budget", {
    says: { "job.accepted": (frame) => void (frame.payload.parent_job_id && (frame.payload.budget = { USD: 9 })) },
  }),
  m("9.4-07", "delegation/expiry", {
    says: {
      "job.result": (frame) => void (frame.payload.result?.outcomes && (frame.payload.result.outcomes[0] = ACCEPTED)),
    },
  }),
  m("9.4-09", "delegation/expiry", {
    says: { "job.accepted": (frame) => void (frame.payload.parent_job_id && delete frame.payload.lease_constraints) },
  }),
];
