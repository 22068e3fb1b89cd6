/** What a job is from its beginning, and how it ends. */
import type { ARCPError, JobId, Lease, LeaseConstraints, SessionId, TraceContext } from "@arcp/core";
import type { EntryCode } from "../store/store.ts";
import type { Budget } from "./lease/budget.ts";

/** How a job ends. */
export type Outcome =
  /** `members` are JSON text: what stands beside `job_id` and `final_status` in `job.result`; may be empty. */
  | { readonly status: "success"; readonly members: string }
  | { readonly status: "error" | "cancelled" | "timed_out"; readonly error: ARCPError };

/** What happens when a lease is over (§9.5). */
export interface LeaseExpiryOptions {
  /** How long after `expires_at` operations still pass, for clocks that differ. */
  readonly graceMs: number;
  /** How long an agent may go on after its first refused operation. */
  readonly unwindMs: number;
  /** Does a job end at `expires_at` even if its agent tries nothing? */
  readonly endsIdleJobs: boolean;
}

/** What a job that was asked for over wire 1.0 answers. */
export interface JobOrigin {
  /** The id of the command. */
  readonly commandId: string;
  /** How it ends: with `tool.result` or `tool.error`, or with `job.completed` or `job.failed` (RFC §6.3). */
  readonly mode: "tool" | "durable";
  /** What was asked for: `tool.invoke`, `workflow.start`, … */
  readonly command: string;
  /** Of a run of a schedule: the occurrence that it is for, in milliseconds since the epoch. */
  readonly occurrenceAt?: number;
}

/** Of a job whose agent is called again: what it has told. */
export interface EventMemory {
  /** Is the event in the journal? `body` is JSON. Each event is asked about once. */
  hasTold(code: EntryCode, body: string): boolean;
  /** An id for its next operation. */
  newCallId(): string;
}

export interface JobFacts {
  readonly id: JobId;
  readonly sessionId: SessionId;
  readonly principal: string;
  readonly agent: { readonly name: string; readonly version: string };
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | null;
  readonly budget: Budget | undefined;
  readonly parentJobId: JobId | null;
  readonly delegateId?: string | undefined;
  /** `undefined` for a job that was submitted over wire 1.1. */
  readonly origin?: JobOrigin | undefined;
  /** Was it issued credentials? Then what its agent says is masked (§9.8, §14). */
  readonly hasCredentials?: boolean;
  /** How many jobs stand above it; 0 for one that a client submitted. */
  readonly depth?: number;
  /** The models of a job whose lease does not speak of models; `undefined`: none (§9.7). */
  readonly openModels?: readonly string[] | undefined;
  readonly trace: TraceContext;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly maxRuntimeMs: number | undefined;
  /** Was its agent called before, in another life of the runtime? Then it is shown as running until it is called again. */
  readonly hasBegun?: boolean;
  /** What is left of that, for a job that was taken over. Default: all of it. */
  readonly remainingMs?: number | undefined;
  /** What is known of the agent's events already: they are not written again. */
  readonly memory?: EventMemory | undefined;
  readonly epoch: number;
  /** Where the journal of a job that was taken over stands. */
  readonly continues?: { readonly lastN: number; readonly lastEventSeq: number };
}
