/** OpenTelemetry for ARCP: spans of what transports carry, and the runtime's metrics through a meter. */
export { OTEL_EXTENSION_NAME } from "./carried-context.ts";
export type { TracedFrame } from "./frame.ts";
export { type WithTracingOptions, withTracing } from "./with-tracing.ts";
