/** `@arcp/client`: submits jobs to a runtime and follows them. Runs in Node, pages and workers. */
export { ARCPClient, type ClientSignals, type ConnectOptions } from "./client.ts";
export { ProvisionedCredential } from "./credentials.ts";
export type { AcceptedJob, FinalStatus, JobResult } from "./job.ts";
export type { JobEvent, JobEventOf, ReservedEvent, VendorEvent } from "./job-events.ts";
export { type CancelOptions, JobHandle, type WaitOptions } from "./job-handle.ts";
export type { JobFilter, JobPage, JobSummary, ListOptions } from "./job-list.ts";
export { JobSubscription, type SubscribedJob } from "./job-subscription.ts";
export type { ConnectionState } from "./link.ts";
export type { ClientOptions, Compatibility, TokenSource } from "./options.ts";
export type { AnswerStatus, Question, QuestionAnswer, QuestionEnd } from "./questions.ts";
export type { ReconnectOptions, TransportFactory } from "./reconnect.ts";
export type { ResultPiece } from "./result-assembly.ts";
export type { RetryOptions } from "./retry.ts";
export type { ResumeInfo, SessionFacts, WelcomePayload } from "./session.ts";
export type { SubmitOptions } from "./submission.ts";
export type { SubscribeOptions } from "./subscriptions.ts";
