/** The way to other runtimes (RFC §14): a job is handed over to one that has proven who it is. */
import type { JsonObject, Lease, LeaseConstraints, TraceContext } from "@arcp/core";

/** Who takes a job over, and what it is to do. */
export interface HandoffRequest {
  /** The name by which the operator knows the runtime. */
  readonly runtime: string;
  readonly agent: string;
  readonly input: unknown;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints;
  /** Tells the receiving runtime that it has the job already. */
  readonly idempotencyKey: string;
  /** Where the job that is handed over stands in its trace (RFC §17.1). */
  readonly trace: TraceContext;
}

/** The other side's word that the job is its own now. */
export interface HandoffReceipt {
  /** Its identity, verified. */
  readonly runtime: { readonly kind: string; readonly version: string; readonly fingerprint: string };
  readonly jobId: string;
  readonly sessionId: string;
}

/**
 * Connects to other runtimes. It rejects, and nothing was handed over, if the runtime cannot be reached, is not the one
 * that the operator named, or refuses.
 */
export interface HandoffConnector {
  /** The names that it knows. */
  readonly runtimes: readonly string[];
  handoff(request: HandoffRequest, signal: AbortSignal): Promise<HandoffReceipt>;
}

/** What `agent.handoff` says of a job that has gone (RFC §14). */
export const handoffBody = ({ runtime, jobId, sessionId }: HandoffReceipt, agent: string): JsonObject => ({
  ...{ to_runtime: runtime, job_id: jobId, session_id: sessionId, agent },
});
