/** Runtimes of wire 1.1 that are broken about transports and envelopes (§4, §5). */
import { lacking, type Mutant, nothing } from "../mutant.ts";
import { m } from "./hands.ts";

export const envelopeMutants: readonly Mutant[] = [
  // §4
  m("4-01", "transport/websocket", { kind: "websocket", says: { "session.welcome": nothing } }),
  m("4.1-04", "transport/path", { kind: "websocket", isEverywhere: true }),
  m("4.1-02", "transport/binary", {
    kind: "websocket",
    bytes: (bytes, line) => line.toRuntime(Buffer.from(bytes).toString("utf8")),
  }),
  m("4-02", "transport/stdio", { kind: "stdio", says: { "session.welcome": nothing } }),
  m("4.2-01", "transport/lines", {
    kind: "stdio",
    bytes: (bytes, line) => line.toRuntime(Buffer.from(bytes).toString("utf8").trim()),
  }),
  m("4.2-02", "transport/lines", {
    kind: "stdio",
    says: { "job.result": (frame) => void (frame.payload.result = frame.payload.result.replace(/\r?\n/g, " ")) },
  }),
  m("4.2-03", "transport/stdio", { kind: "stdio", says: { "session.welcome": (frame) => ["listening", frame] } }),
  m("4-04", "handshake/welcome", { says: { "session.welcome": nothing } }),
  m("4.1-01", "envelope/members", { says: { "job.accepted": (frame) => ["[1]", frame] } }),
  // §5
  m("5.1-01", "envelope/members", { says: { "job.event": (frame) => void (frame.arcp = "2") } }),
  m("5.1-02", "envelope/members", { says: { "job.event": (frame) => void (frame.id = "msg_same") } }),
  m("5.1-05", "envelope/members", { says: { "job.accepted": (frame) => void delete frame.session_id } }),
  m("5.1-06", "handshake/welcome", { says: { "session.welcome": (frame) => void delete frame.session_id } }),
  m("5.1-08", "envelope/members", { says: { "job.event": (frame) => void (frame.trace_id = "XYZ") } }),
  m("5.1-09", "envelope/members", { says: { "job.event": (frame) => void delete frame.job_id } }),
  m("5.1-10", "envelope/members", { says: { "job.event": (frame) => void delete frame.event_seq } }),
  m("5.1-11", "envelope/members", { says: { "session.jobs": (frame) => void (frame.event_seq = 7) } }),
  m("6.4-11", "envelope/members", { says: { "session.pong": (frame) => void (frame.event_seq = 7) } }),
  m("5.1-12", "envelope/members", { says: { "job.event": (frame) => void (frame.payload = []) } }),
  m("5.1-04", "envelope/malformed", { hears: { "*": (frame) => (frame.type === undefined ? null : undefined) } }),
  m("12-04", "envelope/malformed", { broken: () => undefined }),
  m("5.1-13", "envelope/unknown-members", {
    hears: { "*": (frame) => (frame["x-foo"] === undefined ? undefined : null) },
  }),
  m("5.2-01", "handshake/welcome", {
    says: { "session.welcome": (frame) => void (frame.payload.capabilities.encodings = ["cbor"]) },
  }),
  m("5.2-02", "envelope/text", { says: { "job.result": (frame) => void (frame.payload.result.astral = "??") } }),
  m("5.2-03", "envelope/integers", { hears: { "session.ack": nothing } }),
  m("8.4-11", "results/inline", { says: { "job.result": lacking("result") } }),
  m("5.1-03", "envelope/ids", { says: { "job.event": (frame, { count }) => void (frame.id = `msg_${count}`) } }),
];
