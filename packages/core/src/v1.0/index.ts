/** `@arcp/core/v1.0`: the messages, errors, capabilities and names of wire 1.0. Needs no Node. */
export { TRUST_LEVELS, type TrustLevel } from "../auth.ts";
export { type ArtifactRef10, artifactUri, parseArtifactUri } from "./artifact.ts";
export {
  type ArtifactRetention,
  type BinaryEncoding,
  CAPABILITY_FLAGS,
  type Capabilities10,
  type CapabilityFlag,
  capabilitiesOf,
  DEFAULT_HEARTBEAT_SECONDS,
  type HeartbeatRecovery,
  negotiate10,
  type ToolInventoryEntry,
} from "./capabilities.ts";
export { CANCEL_TARGETS, type CancelTarget } from "./control.ts";
export {
  type AnyMessage10,
  buildEnvelope10,
  type EnvelopeParts10,
  newArtifactId,
  newCheckpointId,
  newLeaseId,
  newStreamId,
  newSubscriptionId,
  PRIORITIES,
  type Priority,
  priorityRank,
  WIRE_VERSION_10,
} from "./envelope.ts";
export {
  CanonicalError,
  codeOf10,
  ERROR_CODES_10,
  type ErrorCause10,
  type ErrorCode10,
  type ErrorPayload10,
  type ErrorPayloadLike10,
  errorFromV10,
  errorToV10,
  isErrorCode10,
  isRetryableByDefault10,
  type ReceivedError10,
} from "./errors.ts";
export { JOB_STATES, type JobState10, type Schedule10 } from "./job.ts";
export {
  CLIENT_TYPES,
  type ClientMessage10,
  type ClientMessageType10,
  type DecodeOptions10,
  decodeAnyMessage10,
  decodeClientMessage10,
  decodeRuntimeMessage10,
  type Message10,
  type MessageOf10,
  type PayloadOf10,
  RUNTIME_TYPES,
  type RuntimeMessage10,
  type RuntimeMessageType10,
} from "./messages.ts";
export { checkMetric10, isMetricName10, METRICS_10, type Metric10, type MetricName10 } from "./metrics.ts";
export { hasCorePrefix, isExtensionType, isNamespaced, isVersionedExtensionType } from "./names.ts";
export { AUTH_SCHEMES, type AuthScheme } from "./session.ts";
export { STREAM_KINDS, type StreamKind } from "./stream.ts";
export type { SubscriptionFilter10 } from "./subscription.ts";
export { LOG_LEVELS_10, type LogLevel10 } from "./telemetry.ts";
export { parseTrace10, TRACE_EXTENSION_10, traceMembers10 } from "./trace.ts";
