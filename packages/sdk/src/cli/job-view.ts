/** What watching a job shows, whoever it is shown to. */
import type { ConnectionState, FinalStatus, JobEvent, JobResult } from "@arcp/client";
import type { ARCPError, Lease } from "@arcp/core";

/** What is known of a job when one begins to watch it. */
export interface WatchedJob {
  readonly jobId: string;
  readonly agent: string | undefined;
  readonly lease: Lease;
  readonly expiresAt: string | undefined;
  /** What is left per currency. */
  readonly budget: Readonly<Record<string, number>> | undefined;
  readonly traceId: string | undefined;
  /** `submitted` by this command, or `observed`. */
  readonly relation: "submitted" | "observed";
}

/** A job that the watched one, or one of its children, handed a part of its authority to (§10). */
export interface WatchedChild {
  readonly jobId: string;
  readonly parentJobId: string | undefined;
  readonly delegateId: string | undefined;
  readonly agent: string | undefined;
  readonly lease: Lease;
  readonly expiresAt: string | undefined;
}

/** How a job ended, as a view shows it. */
export type Outcome =
  | { readonly status: "success"; readonly result: JobResult; readonly savedTo: string | undefined }
  | { readonly status: Exclude<FinalStatus, "success">; readonly error: ARCPError };

/** Calls come in this order: `onJob`, events, children and connection states, then `onEnd` or `onDetach`, then `close`. */
export interface JobView {
  onJob(job: WatchedJob): Promise<void>;
  /** Resolves when the next event may come: a slow reader slows the runtime down, not this process's memory up. */
  onEvent(event: JobEvent): Promise<void>;
  onChild(child: WatchedChild): Promise<void>;
  /** `error` is `undefined` after success. */
  onChildEnd(child: WatchedChild, status: FinalStatus, error: ARCPError | undefined): Promise<void>;
  onConnection(state: ConnectionState): void;
  onEnd(outcome: Outcome): Promise<void>;
  /** The user no longer watches; the job goes on. */
  onDetach(jobId: string): Promise<void>;
  close(): void;
}
