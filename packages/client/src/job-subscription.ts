import { CancelledError, type JobId, type Lease, type MessageOf } from "@arcp/core";
import { type ProvisionedCredential, readCredentials } from "./credentials.ts";
import { type FinalStatus, type Job, type JobResult, readConstraints, readLease } from "./job.ts";
import type { JobEvent } from "./job-events.ts";
import type { WaitOptions } from "./job-handle.ts";
import { type JobOwner, readEndedAt, readOwner } from "./job-list.ts";
import type { ResultPiece } from "./result-assembly.ts";

/** What `job.subscribed` said (§7.6): the observer's view of the job's authority. */
export interface SubscribedJob {
  readonly jobId: JobId;
  readonly currentStatus: string | undefined;
  readonly agent: string | undefined;
  readonly lease: Lease;
  readonly leaseConstraints: { readonly expiresAt?: string } | undefined;
  /** Counters per currency at the time of the subscription. */
  readonly budget: Readonly<Record<string, number>> | undefined;
  /** Only for the principal that submitted the job. */
  readonly credentials: readonly ProvisionedCredential[];
  readonly parentJobId: JobId | undefined;
  readonly traceId: string | undefined;
  /** Live events come after this position in this session's stream. */
  readonly subscribedFrom: number | undefined;
  /** Was buffered history replayed? */
  readonly replayed: boolean;
  /** The job's position in its submitter's stream, where the runtime says so: where a new subscription can begin. */
  readonly jobLastEventSeq: number | undefined;
  /** When it ended; `undefined` while it lives, and with runtimes that do not say. */
  readonly endedAt: string | undefined;
  /** Whose it is, where the runtime says so: to those who may observe jobs of others. */
  readonly owner: JobOwner | undefined;
  /** Part of the requested history is no longer held. */
  readonly isHistoryTruncated: boolean;
}

export function readSubscribed(jobId: JobId, payload: MessageOf<"job.subscribed">["payload"]): SubscribedJob {
  const jobLastEventSeq = payload["job_last_event_seq"];
  return {
    jobId,
    currentStatus: payload.current_status,
    agent: payload.agent,
    lease: readLease(payload.lease),
    leaseConstraints: readConstraints(payload.lease_constraints),
    budget: payload.budget,
    credentials: readCredentials(payload.credentials),
    parentJobId: payload.parent_job_id,
    traceId: payload.trace_id,
    subscribedFrom: payload.subscribed_from,
    replayed: payload.replayed === true,
    jobLastEventSeq: typeof jobLastEventSeq === "number" ? jobLastEventSeq : undefined,
    endedAt: readEndedAt(payload),
    owner: readOwner(payload),
    isHistoryTruncated: payload["history_truncated"] === true,
  };
}

/**
 * A job that this client observes (§7.6). It cannot be cancelled through a subscription. Iterating works as for a
 * {@link JobHandle}.
 */
export class JobSubscription implements AsyncIterable<JobEvent, undefined> {
  readonly jobId: JobId;
  /** What the runtime said of the job when the subscription was made. */
  readonly subscribed: SubscribedJob;
  /**
   * Resolves or rejects as the job ends. Rejects with {@link CancelledError} after {@link unsubscribe}. Never causes an
   * unhandled rejection. A runtime that does not forward endings to subscribers leaves it open until the client closes.
   */
  readonly done: Promise<JobResult>;
  readonly #job: Job;
  readonly #onUnsubscribe: () => void;
  readonly #reject: (error: unknown) => void;
  readonly #iterators = new Set<AsyncIterableIterator<JobEvent, undefined>>();
  #isActive = true;

  /** @internal */
  constructor(job: Job, subscribed: SubscribedJob, onUnsubscribe: () => void) {
    this.jobId = job.jobId;
    this.subscribed = subscribed;
    this.#job = job;
    this.#onUnsubscribe = onUnsubscribe;
    const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
    this.done = promise;
    this.#reject = reject;
    job.done.then(resolve, reject);
    promise.catch(() => {
      // As for JobHandle.done.
    });
  }

  /** How the job ended; `undefined` while that is not known. */
  get finalStatus(): FinalStatus | undefined {
    return this.#job.finalStatus;
  }

  /** A new iterator over the events; see {@link JobHandle.events}. It ends with the job or the subscription. */
  events(options: WaitOptions = {}): AsyncIterableIterator<JobEvent, undefined> {
    const iterator: AsyncIterableIterator<JobEvent, undefined> = this.#job.events(options.signal, () =>
      this.#iterators.delete(iterator),
    );
    this.#iterators.add(iterator);
    if (!this.#isActive) void iterator.return?.();
    return iterator;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<JobEvent, undefined> {
    return this.events();
  }

  /** The decoded pieces of a streamed result; see {@link JobHandle.resultStream}. */
  resultStream(options: WaitOptions = {}): AsyncIterable<ResultPiece, void> {
    return this.#job.resultPieces(options.signal);
  }

  /** Ends the subscription and its iterators. Idempotent; the job goes on. */
  unsubscribe(): void {
    if (!this.#isActive) return;
    this.#isActive = false;
    for (const iterator of this.#iterators) void iterator.return?.();
    this.#reject(new CancelledError("the subscription was ended by the caller"));
    this.#onUnsubscribe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unsubscribe();
  }
}
