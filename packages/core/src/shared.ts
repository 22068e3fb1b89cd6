/** What `@arcp/core` exports on every platform. */
export {
  type BearerVerifier,
  hmacSha256Hex,
  type Identity,
  type OnlyQuestion,
  PERMISSIONS,
  type Permission,
  StaticBearerVerifier,
  sha256Hex,
  type TrustLevel,
} from "./auth.ts";
export { type Clock, systemClock } from "./clock.ts";
export * from "./errors.ts";
export type { EventLog, LoggedEntry, LoggedJob } from "./event-log.ts";
export * from "./features.ts";
export { decodeFrame, frameBytes, type JsonObject } from "./frame.ts";
export { Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
export * from "./ids.ts";
export {
  type Counter,
  type Histogram,
  type Instruments,
  joinedInstruments,
  type MetricFacts,
  type MetricLabels,
  noInstruments,
  type Observation,
} from "./instruments.ts";
export { CLIENT_FRAME_LIMITS, type FrameLimits, RUNTIME_FRAME_LIMITS } from "./limits.ts";
export { createLogger, type Logger, rootLogger, silentLogger } from "./logger.ts";
export * from "./messages/index.ts";
export { PendingRegistry } from "./pending.ts";
export { REDACTED, redactedJson } from "./redaction.ts";
export { type SessionPhase, SessionState } from "./session-state.ts";
export { OTEL_EXTENSION_NAME, parseTrace, parseTraceId, type TraceContext, traceparentOf } from "./trace.ts";
export { type CompressionOptions, compressionOf } from "./transport/compression.ts";
export { type FetchUpgradeOptions, FetchUpgrades } from "./transport/fetch-upgrades.ts";
export { ForwardingTransport } from "./transport/forwarding.ts";
export type { HostedSocket, HostedWebSocketTransport } from "./transport/hosted-websocket.ts";
export { type HttpConnectOptions, HttpTransport } from "./transport/http.ts";
export {
  type FrameFate,
  MemoryTransport,
  type MemoryTransportOptions,
  pairMemoryTransports,
} from "./transport/memory.ts";
export {
  type CertificateNames,
  CLOSE_TOO_LARGE,
  isLoopbackHost,
  type Transport,
  type TransportClose,
  TransportError,
  type TransportPeer,
} from "./transport/transport.ts";
export {
  isAllowedHost,
  isLoopbackAddress,
  LOOPBACK_NAMES,
  type TlsProxyRule,
  urlOfRequest,
} from "./transport/upgrade-rules.ts";
export type { WebSocketConnectOptions } from "./transport/websocket-url.ts";
