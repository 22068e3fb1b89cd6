/**
 * Does a runtime, or a client, keep the protocol? The suites ask over the wire, with frames of their own, and share nothing
 * with the implementation but the requirements.
 */
export { BEHAVIOURS, type Behaviour } from "./behaviours.ts";
export type { Case, CaseRun, Outcome, Verdict } from "./case.ts";
export type { CarrierKind } from "./client/carrier.ts";
export { type ClientSuiteOptions, runClientSuite } from "./client/run.ts";
export { type Manifest, manifestSchema, parseManifest, REFERENCE_MANIFEST } from "./manifest.ts";
export type { RecordedFrame } from "./recording.ts";
export { badgeReport, shieldsReport } from "./report/badge.ts";
export { junitReport } from "./report/junit.ts";
export { type Counts, exitCodeOf, type Report, type Unseen } from "./report/report.ts";
export { type TextOptions, textReport } from "./report/text.ts";
export { type Level, type Requirement, requirementsOf, type Wire } from "./requirements.ts";
export type { RunOptions } from "./run.ts";
export { serverCases } from "./server/cases.ts";
export {
  type CommandOptions,
  type Connection,
  type ConnectionReader,
  commandTarget,
  type Target,
  type TransportKind,
  webSocketTarget,
} from "./server/connection.ts";
export { httpTarget } from "./server/http.ts";
export { runServerSuite, type ServerSuiteOptions, unseenByServerSuite } from "./server/run.ts";
