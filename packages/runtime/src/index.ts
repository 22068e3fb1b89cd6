/** `@arcp/runtime`: the server side of the Agent Runtime Control Protocol. */
export { type BearerVerifier, type Identity, StaticBearerVerifier } from "@arcp/core";
export {
  AttemptLimiter,
  type AttemptLimiterOptions,
  type AttemptLimits,
  AttemptsExhaustedError,
  DEFAULT_ATTEMPT_LIMITS,
} from "./auth/attempt-limiter.ts";
export { AuthGate, type AuthGateOptions } from "./auth/auth-gate.ts";
export {
  type AuthOutcome,
  AuthSchemes,
  type AuthSchemesOptions,
  anonymousIdentity,
  type PendingChallenge,
  type VerifiedIdentity,
} from "./auth/auth-schemes.ts";
export { Challenge, type ChallengeOptions } from "./auth/challenge.ts";
export { type IdentityClaims, identityIn } from "./auth/claims.ts";
export { CredentialWatch, type CredentialWatchOptions } from "./auth/credential-watch.ts";
export { type HeldSecret, type HmacOptions, hmacVerifier } from "./auth/hmac-challenge.ts";
export { type JwtOptions, jwtVerifier } from "./auth/jwt.ts";
export { type CertificateName, type FindCertified, type MtlsOptions, mtlsVerifier } from "./auth/mtls.ts";
export { type OAuth2Options, oauth2Verifier } from "./auth/oauth2.ts";
export { type AuthRequest, bearerVerifier, type SchemeVerifier, TokenScheme, type TrustOption } from "./auth/scheme.ts";
export type { AgentInputSchema, StandardJsonSchema } from "./engine/agent-input.ts";
export type {
  AgentFetch,
  AgentFetchInit,
  AgentFileSystem,
  FileEntry,
  FileFacts,
  FileWriteOptions,
} from "./engine/agent-operations.ts";
export type { AgentHandler, AgentOptions, DurableTerms } from "./engine/agents.ts";
export type { ArtifactRef, ArtifactView } from "./engine/artifacts/artifact.ts";
export type { ArtifactReadPolicy } from "./engine/artifacts/artifacts.ts";
export {
  type ArtifactCaps,
  type ArtifactRetention,
  DEFAULT_ARTIFACT_CAPS,
  DEFAULT_ARTIFACT_RETENTION,
} from "./engine/artifacts/caps.ts";
export { type AuditPolicy, DEFAULT_AUDIT_POLICY } from "./engine/audit/audit.ts";
export type { AuditAction, AuditFacts } from "./engine/audit/catalogue.ts";
export type { CancelAuthority } from "./engine/cancellation.ts";
export {
  DEFAULT_JOB_CAPS,
  DEFAULT_PRINCIPAL_CAPS,
  DEFAULT_SESSION_CAPS,
  type JobCaps,
  type PrincipalCaps,
  type SessionCaps,
} from "./engine/caps.ts";
export type { Checkpoint, CheckpointHandler, CheckpointOptions } from "./engine/checkpoints.ts";
export type { NodeOptions } from "./engine/cluster/cluster.ts";
export type { JobCredential } from "./engine/credentials/job-credential.ts";
export type {
  CredentialProvisioner,
  CredentialReference,
  CredentialRequest,
  IssuedCredential,
} from "./engine/credentials/provisioner.ts";
export type {
  DelegatedEvent,
  DelegatedJob,
  Delegation,
  DelegationAccepted,
  DelegationResult,
} from "./engine/delegated-job.ts";
export {
  DEFAULT_DELEGATION_CAPS,
  type DelegationCaps,
} from "./engine/delegation.ts";
export type { StepContext, StepOptions } from "./engine/durable/durable-run.ts";
export type { Grant } from "./engine/grants/grant.ts";
export type { PermissionOptions } from "./engine/grants/grants.ts";
export { DEFAULT_GRANT_POLICY, type GrantPolicy, type MaxElevation } from "./engine/grants/policy.ts";
export type { HandoffConnector, HandoffReceipt, HandoffRequest } from "./engine/handoff.ts";
export {
  type AnsweringSession,
  type InteractionPolicy,
  QUORUM_EXTENSION,
  type QuestionView,
} from "./engine/interactions/audience.ts";
export type { InterruptHandler, Interruption } from "./engine/interactions/interrupts.ts";
export type {
  ChoiceOption,
  HumanChoiceOptions,
  HumanInputOptions,
  QuestionOptions,
} from "./engine/interactions/request.ts";
export type { Job } from "./engine/job.ts";
export type {
  AgentHeartbeatOptions,
  ArtifactContent,
  JobContext,
  ModelUse,
  ModelUseOptions,
  ProgressOptions,
  PutArtifactOptions,
  ResultChunkInput,
  ThoughtOptions,
} from "./engine/job-context.ts";
export { initialBudgetFromLease } from "./engine/lease/budget.ts";
export { isReservedCapabilityName, isValidCapabilityName } from "./engine/lease/capability.ts";
export { assertLeaseConstraintsSubset, validateLeaseConstraints } from "./engine/lease/constraints.ts";
export { compileGlob, type Glob, matchGlob } from "./engine/lease/glob.ts";
export { type LeaseOperationContext, validateLeaseOp } from "./engine/lease/operation.ts";
export { type LeaseShapeOptions, validateLeaseShape } from "./engine/lease/shape.ts";
export { assertLeaseSubset, isLeaseSubset, type LeaseSubsetOptions } from "./engine/lease/subset.ts";
export { canonicalizeTarget } from "./engine/lease/target.ts";
export { METRICS } from "./engine/metrics/catalogue.ts";
export type { JobAuthorizationPolicy, JobView } from "./engine/observation.ts";
export type { Amounts, Guard, Operation, OperationCost, OperationOptions } from "./engine/operation.ts";
export type { HumanChoice, HumanInput, Provenance } from "./engine/people.ts";
export type { ShutdownReport } from "./engine/queue/drain.ts";
export { type ConcurrencyCaps, DEFAULT_CONCURRENCY } from "./engine/queue/job-queue.ts";
export { DEFAULT_PRINCIPAL_RATES, type PrincipalRates, RateExceededError } from "./engine/rates.ts";
export type { FinalizeOptions, ResultStream, WriteOptions } from "./engine/result-stream.ts";
export type { RetryTerms } from "./engine/retry.ts";
export { storedSchedules } from "./engine/schedules/schedule.ts";
export { DEFAULT_SCHEDULE_LIMITS, type ScheduleLimits } from "./engine/schedules/scheduler.ts";
export type { AgentSpan } from "./engine/spans.ts";
export type { JobStream, OpenStreamOptions } from "./engine/streams/job-stream.ts";
export type { StreamData, StreamLog, StreamThought } from "./engine/streams/stream-content.ts";
export type { LeasePolicy } from "./engine/submission.ts";
export type { Tool, ToolContext } from "./engine/tools.ts";
export type { HeartbeatTerms } from "./engine/watchdog.ts";
export {
  assertWebhooks,
  DEFAULT_WEBHOOK_SETTINGS,
  type WebhookEndpoint,
  type WebhookOptions,
} from "./engine/webhooks/endpoint.ts";
export {
  forgetWebhooks,
  retryWebhooks,
  type StoredWebhook,
  storedEndpoints,
  storedWebhooks,
} from "./engine/webhooks/outbox.ts";
export { MetricsRegistry, type MetricsRegistryOptions } from "./metrics/registry.ts";
export type { AgentFileSystemOptions } from "./operations/files/agent-file-system.ts";
export type { Resolve } from "./operations/network/destination.ts";
export type { NetworkOptions } from "./operations/network/fetch.ts";
export { DEFAULT_FETCH_LIMITS, type FetchLimits } from "./operations/network/limits.ts";
export type { OperationsOptions } from "./operations/operations.ts";
export { type LiteLLMOptions, litellmProvisioner } from "./provisioners/litellm.ts";
export { explainUpstreamRefusal } from "./provisioners/upstream-refusal.ts";
export { type RestHandler, type RestOptions, restApi } from "./rest/rest-api.ts";
export {
  ARCPServer,
  type ARCPServerOptions,
  type CloseOptions,
  type RuntimeIdentity,
  type Unreadiness,
} from "./server.ts";
export { type JobManager, SessionContext } from "./session-context.ts";
export {
  type AuditVerdict,
  auditRows,
  auditTexts,
  type BrokenLink,
  prunedRecord,
  verifyAudit,
} from "./store/audit-chain.ts";
export {
  BlobError,
  type BlobFailure,
  type BlobRange,
  type BlobStore,
  type BlobWriter,
  type ListedBlob,
  type StoredBlob,
} from "./store/blobs.ts";
export { type FileBlobsOptions, fileBlobs, temporaryBlobs } from "./store/blobs-files.ts";
export {
  checkDatabase,
  type DatabaseCheckOptions,
  type DatabaseProblem,
  type DatabaseSummary,
} from "./store/database-check.ts";
export { type DatabaseAccess, exportDatabase } from "./store/database-export.ts";
export { type Rekeyed, type RekeyOptions, rekeyDatabase } from "./store/database-rekey.ts";
export { type BackupOptions, backUpDatabase, type Compacted, compactDatabase } from "./store/database-upkeep.ts";
export { lockFile } from "./store/file-lock.ts";
export {
  type Followed,
  isShared,
  type JobHead,
  type NodeFacts,
  type NodeId,
  type NodeMessage,
  type NodeRecord,
  type NodeUse,
  type SharedStore,
  type TakenSession,
  type Use,
  type Wake,
} from "./store/shared.ts";
export { type SqliteStoreOptions, sqliteStore } from "./store/sqlite.ts";
export {
  type AuditHead,
  type AuditRecord,
  type AuditRow,
  type Batch,
  type CredentialQuery,
  type CredentialRecord,
  type CredentialState,
  ENTRY,
  type Entry,
  type EntryCode,
  type FeedItem,
  type FeedRun,
  type IdempotencyRecord,
  type JobQuery,
  type JobRecord,
  loggedJob,
  messageTypeOf,
  type RecordQuery,
  type RetentionCuts,
  type SessionRecord,
  StaleWriterError,
  type Store,
  type StoredRecord,
} from "./store/store.ts";
export { StoreError, type StoreFailure } from "./store/store-error.ts";
export { type SentMessage, SessionReplay } from "./wire/session-replay.ts";
export type { MessageHandler } from "./wire/v1.1/connection.ts";
