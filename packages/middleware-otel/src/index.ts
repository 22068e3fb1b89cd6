/** OpenTelemetry for ARCP: spans of what transports carry, the runtime's metrics through a meter, and logs. */
export { OTEL_EXTENSION_NAME } from "@arcp/core";
export type { TracedFrame } from "./frame.ts";
export { type EmittedLog, type LogEmitter, logWriter } from "./log-writer.ts";
export { meterInstruments } from "./meter-instruments.ts";
export { type WithTracingOptions, withTracing } from "./with-tracing.ts";
