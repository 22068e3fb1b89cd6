/** Runtimes of wire 1.0 that are broken about sessions (RFC §7 to §9). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { answering, called, capability, m, open, refusing, same } from "./hands.ts";

export const sessionsMutants: readonly Mutant[] = [
  ...same(["8.1-02", "22-01"], "session/accepted", { says: { "session.accepted": nothing } }),
  m("8.1-04", "session/accepted", { says: { "session.accepted": called("session.challenge") } }),
  m("8.1-05", "session/accepted", { says: { "session.accepted": lacking("session_id") } }),
  m("7-01", "session/accepted", capability("streaming", "yes")),
  m("7-02", "session/accepted", capability("durable_jobs", true)),
  m("7-04", "session/accepted", capability("human_input", true)),
  m("7-05", "session/accepted", capability("interrupt", "no")),
  m("21.2-01", "session/accepted", capability("extensions", ["arcpx.suite.none.v1"])),
  m("10.3-03", "session/accepted", capability("heartbeat_interval_seconds", "30")),
  m("10.3-06", "session/accepted", capability("heartbeat_recovery", "perhaps")),
  m("11.3-06", "session/accepted", capability("binary_encoding", [])),
  m("16.3-01", "session/accepted", capability("artifact_retention", undefined)),
  m("8.3-01", "session/accepted", { says: { "session.accepted": lacking("runtime") } }),
  m("8.2-02", "session/mtls", { hears: { "session.open": answering("session.accepted", { session_id: "s" }) } }),
  m("8.2-03", "session/mtls", {
    hears: {
      "session.open": (frame, memory) =>
        frame.payload.client.fingerprint
          ? answering("session.accepted", { session_id: "s" })(frame, memory)
          : undefined,
    },
  }),
  m("8.2-05", "session/signed-jwt", { hears: { "session.open": answering("session.accepted", { session_id: "s" }) } }),
  m("8.4-03", "session/refresh", { says: { "session.evicted": nothing } }),
  m("10.4-07", "session/cancelled", { says: { "session.evicted": nothing } }),
  m("8.5-02", "session/cancelled", { says: { "session.evicted": having({ code: "BECAUSE", reason: "BECAUSE" }) } }),
  m("8.5-03", "session/cancelled", { hears: { resume: refusing("DATA_LOSS") } }),
  m("7-03", "session/required", { says: { "session.rejected": having({ code: "NOT_FOUND" }) } }),
  m("8.2-01", "session/wrong-token", {
    hears: {
      "*": (frame, memory) =>
        open(frame) ? answering("session.accepted", { session_id: "s" })(frame, memory) : undefined,
    },
  }),
  m("8.2-07", "session/unknown-scheme", {
    hears: { "session.open": answering("session.accepted", { session_id: "s" }) },
  }),
  ...same(["8.2-06", "4.6-02"], "session/anonymous", {
    hears: { "session.open": answering("session.accepted", { session_id: "s" }) },
  }),
  m("4.6-01", "session/before", { hears: { ping: answering("pong", {}) } }),
  m("8.1-07", "session/before", { hears: { "session.open": nothing } }),
  ...same(["8.2-08", "13.1-03"], "session/principal", {
    says: {
      "subscribe.accepted": (_frame, { shared, line }) => void (shared.other = line),
      "tool.result": (frame, { shared }) => {
        shared.other?.toClient(
          JSON.stringify({
            ...frame,
            id: "msg_leak",
            type: "subscribe.event",
            job_id: undefined,
            payload: { event: frame },
          }),
        );
      },
    },
  }),
  m("9-05", "session/close", { hears: { "session.close": nothing } }),
];
