/** Runtimes of wire 1.0 that are broken about streams (RFC §11). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { capability, m, refusing, same } from "./hands.ts";

export const streamsMutants: readonly Mutant[] = [
  m("10.4-06", "streams/cancel", { says: { "stream.error": having({ code: "ABORTED" }) } }),
  m("11-01", "streams/backpressure", { hears: { backpressure: refusing("UNIMPLEMENTED") } }),
  m("11.2-02", "streams/backpressure", { hears: { backpressure: nothing } }),
  m("22-04", "streams/sidecar", { kind: "websocket", ...capability("binary_encoding", ["base64"]) }),
  m("22-05", "streams/stdio", { kind: "stdio", ...capability("binary_encoding", ["base64", "sidecar"]) }),
  m("11.4-01", "streams/thought", { says: { "stream.chunk": having({ role: 7 }) } }),
  ...same(["11.1-01", "11.1-02"], "streams/text", { says: { "stream.open": lacking("kind") } }),
  m("11.1-05", "streams/text", { says: { "stream.close": nothing } }),
  m("6.1.1-06", "streams/text", { says: { "stream.chunk": (frame) => void (frame.stream_id = "str_other") } }),
  ...same(["11.3-01", "11.3-05"], "streams/binary", { says: { "stream.chunk": having({ data: "eA==" }) } }),
  m("11.4-02", "streams/thought", { says: { "stream.chunk": having({ redacted: false }) } }),
];
