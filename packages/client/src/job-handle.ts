import type { JobId } from "@arcp/core";
import type { ProvisionedCredential } from "./credentials.ts";
import type { AcceptedJob, FinalStatus, Job, JobResult } from "./job.ts";
import type { JobEvent } from "./job-events.ts";
import type { ResultPiece } from "./result-assembly.ts";

/** Options of every call that waits for an answer. */
export interface WaitOptions {
  /** Ends the wait, which then throws the signal's reason. What was sent is not taken back. */
  readonly signal?: AbortSignal;
}

/** How {@link JobHandle.cancel} asks for the end of a job (§7.4). */
export interface CancelOptions extends WaitOptions {
  /** Why; the runtime passes it on in `job.cancelled`. */
  readonly reason?: string;
}

/**
 * A job: one that this client submitted, or one that such a job delegated to.
 *
 * Iterating gives its events in order and ends when the job does, however it ends; how it ended is told by
 * {@link done}. If the client can no longer learn of the ending (closed, connection lost for good), the iteration throws.
 */
export class JobHandle implements AsyncIterable<JobEvent, undefined> {
  readonly #job: Job;
  readonly #cancel: (options: CancelOptions) => Promise<void>;

  /** @internal */
  constructor(job: Job, cancel: (options: CancelOptions) => Promise<void>) {
    this.#job = job;
    this.#cancel = cancel;
  }

  get jobId(): JobId {
    return this.#job.jobId;
  }

  /** What the runtime granted when it accepted the job (§7.1). */
  get accepted(): AcceptedJob {
    return this.#job.accepted;
  }

  /** The job's provisioned credentials (§9.8). Their values are gone once the job has ended. */
  get credentials(): readonly ProvisionedCredential[] {
    return this.#job.accepted.credentials;
  }

  /** How the job ended; `undefined` while that is not known. */
  get finalStatus(): FinalStatus | undefined {
    return this.#job.finalStatus;
  }

  /**
   * Resolves with the result, or rejects with the typed error of `job.error` (§7.3, §12). Also rejects when the client
   * is closed or the session is lost for good. Never causes an unhandled rejection.
   */
  get done(): Promise<JobResult> {
    return this.#job.done;
  }

  /**
   * A new iterator over the job's events. The first one begins with the events that came before it, as far as they were
   * kept ({@link ClientOptions.maxKeptEvents}); a later one begins with what comes next. An iterator that is not read
   * stops the whole connection once {@link ClientOptions.maxUnreadEvents} wait in it: read it, or leave it.
   */
  events(options: WaitOptions = {}): AsyncIterableIterator<JobEvent, undefined> {
    return this.#job.events(options.signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<JobEvent, undefined> {
    return this.events();
  }

  /**
   * The decoded pieces of a streamed result in order (§8.4), for results that should not be collected: `done` then
   * resolves without `result`. Called when the job has ended already, it gives the result that was collected as one piece.
   * Throws what `done` rejects with.
   */
  resultStream(options: WaitOptions = {}): AsyncIterable<ResultPiece, void> {
    return this.#job.resultPieces(options.signal);
  }

  /** Asks for the job's cancellation (§7.4). Resolves when the runtime has agreed to it, or the job is over. */
  cancel(reason?: string | CancelOptions): Promise<void> {
    return this.#cancel(typeof reason === "string" ? { reason } : (reason ?? {}));
  }
}
