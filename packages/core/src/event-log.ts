import type { ErrorPayload } from "./errors.ts";
import type { JobId, SessionId } from "./ids.ts";
import type { Lease, LeaseConstraints } from "./messages/job.ts";
import type { JobStatus } from "./messages/session.ts";

/** A job as the log has it. */
export interface LoggedJob {
  readonly jobId: JobId;
  readonly sessionId: SessionId;
  readonly principal: string;
  readonly agent: string;
  readonly agentVersion: string | null;
  readonly status: JobStatus;
  readonly lease: Lease;
  readonly leaseConstraints?: LeaseConstraints;
  readonly parentJobId: JobId | null;
  readonly traceId: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch; `null` while the job is not terminal. */
  readonly endedAt: number | null;
}

/** One journal entry: an event, or the job's one terminal message. */
export interface LoggedEntry {
  readonly jobId: JobId;
  /** Position in the job's journal: 1, 2, 3, … */
  readonly n: number;
  /** Milliseconds since the epoch. */
  readonly ts: number;
  readonly type: "job.event" | "job.result" | "job.error";
  readonly payload: { readonly [member: string]: unknown } | ErrorPayload;
}

/** The committed history of a runtime, for replay tools and audits (§6.3). Reading never changes it. */
export interface EventLog {
  /** Every job, oldest first. */
  jobs(): AsyncIterable<LoggedJob>;
  /** The entries of one job after position `afterN`, in order. Nothing for an unknown job. */
  entries(jobId: JobId, afterN?: number): AsyncIterable<LoggedEntry>;
  close(): Promise<void>;
}
