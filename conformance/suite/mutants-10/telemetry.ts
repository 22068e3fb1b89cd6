/** Runtimes of wire 1.0 that are broken about artifacts, metrics and traces (RFC §16, §17). */
import { having, lacking, type Mutant, nothing } from "../mutant.ts";
import { called, m, measured, same } from "./hands.ts";

export const telemetryMutants: readonly Mutant[] = [
  m("16.1-01", "artifacts/kept", { says: { "artifact.ref": lacking("size") } }),
  m("16.1-02", "artifacts/kept", { says: { "artifact.ref": having({ uri: "https://example.com/a" }) } }),
  m("16.2-02", "artifacts/kept", { says: { "artifact.ref": called("ack") } }),
  m("16.2-03", "artifacts/invalid", { says: { nack: called("artifact.ref") } }),
  m("16.2-04", "artifacts/kept", { says: { "artifact.put": having({ data: "" }) } }),
  m("16.2-05", "artifacts/foreign", { says: { nack: called("artifact.put") } }),
  m("16.3-03", "artifacts/kept", { says: { nack: having({ code: "INTERNAL" }) } }),
  m("17.3.1-03", "metrics/standard", {
    says: { metric: (frame) => (frame.payload.name === "latency.ms" ? null : undefined) },
  }),
  m("17.3.1-04", "metrics/standard", {
    says: { metric: (frame) => (frame.payload.name === "tool.invocations" ? null : undefined) },
  }),
  m("16.3-02", "artifacts/retention", { says: { nack: called("artifact.put") } }),
  m("17.3.1-01", "metrics/names", { says: { metric: measured("gpu.seconds", { unit: "s" }) } }),
  m("17.3.1-02", "metrics/names", { says: { metric: measured("tokens.used", { dims: { kind: "in" } }) } }),
  m("17.3.1-05", "metrics/names", { says: { metric: measured("cost.usd", { value: 0.1234567 }) } }),
  m("17.3.1-06", "metrics/names", { says: { metric: measured("suite.own", { name: "own" }) } }),
  ...same(["6.2-02", "21.1-01"], "names", { says: { log: (frame) => [frame, { ...frame, type: "acme.note" }] } }),
  m("21.1-02", "names", { says: { log: (frame) => void (frame["x-note"] = 1) } }),
  m("20-02", "names", { says: { log: (frame) => [frame, { ...frame, type: "resource.updated" }] } }),
  ...same(["6.1.1-08", "17.1-01"], "trace/ids", { says: { log: (frame) => void delete frame.span_id } }),
  m("17.1-03", "trace/spans", { says: { "trace.span": lacking("end_time") } }),
  m("10.3-01", "heartbeats", { says: { "job.heartbeat": nothing } }),
  m("10.3-02", "heartbeats", { says: { "job.heartbeat": lacking("sequence") } }),
];
