/** OpenTelemetry for ARCP: spans of what transports carry, and the runtime's metrics through a meter. */
export { OTEL_EXTENSION_NAME } from "@arcp/core";
export type { TracedFrame } from "./frame.ts";
export { meterInstruments } from "./meter-instruments.ts";
export { type WithTracingOptions, withTracing } from "./with-tracing.ts";
