/** `@arcp/client`: submits jobs to a runtime and follows them. Runs in Node, pages and workers. */
export type { AgentDescription, CheckedSubmission, CheckOptions, JobDescription } from "./agent-description.ts";
export { ARCPClient, type ClientSignals, type ConnectOptions } from "./client.ts";
export { ProvisionedCredential } from "./credentials.ts";
export type { AcceptedJob, FinalStatus, JobResult } from "./job.ts";
export type { JobEvent, JobEventOf, ReservedEvent, VendorEvent } from "./job-events.ts";
export { type CancelOptions, JobHandle, type WaitOptions } from "./job-handle.ts";
export type { JobFilter, JobOwner, JobPage, JobPlace, JobSummary, ListOptions } from "./job-list.ts";
export { JobSubscription, type SubscribedJob } from "./job-subscription.ts";
export { FrameTooLargeError } from "./line.ts";
export type { ConnectionState } from "./link.ts";
export type { ClientOptions, Compatibility, TokenSource } from "./options.ts";
export type { AnswerLink, AnswerStatus, Question, QuestionAnswer, QuestionEnd } from "./questions.ts";
export type { ReconnectOptions, TransportFactory } from "./reconnect.ts";
export type { ResultPiece } from "./result-assembly.ts";
export type { RetryOptions } from "./retry.ts";
export type { ResumeInfo, SessionFacts, WelcomePayload } from "./session.ts";
export type { SubmitOptions } from "./submission.ts";
export type { SubscribeOptions } from "./subscriptions.ts";
export type { ArtifactSource, FetchOptions, PutOptions } from "./v1.0/artifacts.ts";
export { type CancelOptions10, CancelRefusedError, type InterruptOptions } from "./v1.0/control.ts";
export type { ToolEvent, ToolEventFacts, ToolEventKind, ToolEventOf } from "./v1.0/events.ts";
export { Invocation } from "./v1.0/invocation.ts";
export type { Delegation, InvokeOptions, ScheduledWork, When, WorkTerms } from "./v1.0/invoking.ts";
export { type LeaseChange, Leases, type ToolLease } from "./v1.0/leases.ts";
export type { ToolConnectionState } from "./v1.0/link.ts";
export type {
  Challenge,
  ClientIdentity,
  Credentials,
  ToolClientOptions,
  ToolCompatibility,
  ToolReconnectOptions,
} from "./v1.0/options.ts";
export type {
  ChoiceAnswer,
  InputAnswer,
  PermissionAnswer,
  QuestionHandler,
  ToolQuestion,
} from "./v1.0/questions.ts";
export { Schedule } from "./v1.0/schedule.ts";
export type { ToolSessionFacts } from "./v1.0/session.ts";
export type { Flow } from "./v1.0/stream-flow.ts";
export { IncomingStream, type ReadOptions, type StreamChunk, type StreamEnd } from "./v1.0/streams.ts";
export { type ObservedEvent, type ObserveOptions, type ObserverFilter, Subscription } from "./v1.0/subscriptions.ts";
export {
  ARCPToolClient,
  type DataLoss,
  type ExtensionMessage,
  type ExtensionOptions,
  type Pong,
  type ToolClientSignals,
  type ToolCloseOptions,
  type ToolOpenOptions,
} from "./v1.0/tool-client.ts";
export type { AcceptedWork, ToolResult } from "./v1.0/work.ts";
