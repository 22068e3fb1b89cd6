/** Every job that this client knows of, by id. */
import type { JobId } from "@arcp/core";
import type { Backlog } from "./backlog.ts";
import { Job, type JobBounds } from "./job.ts";
import type { JobEvent } from "./job-events.ts";
import { type CancelOptions, JobHandle } from "./job-handle.ts";
import { RecentIds } from "./recent-ids.ts";
import type { Session } from "./session.ts";

/**
 * What the session has to do with a job.
 * `own`: submitted here. `delegated`: started by such a job. `observed`: only subscribed to.
 * `unknown`: its events came before any word of it, or the caller named it.
 */
export type JobRole = "own" | "delegated" | "observed" | "unknown";

/** Where a subscription stands, for making it again in another session. */
export interface SubscriptionPosition {
  /** A position in the submitter's stream. */
  readonly fromEventSeq: number | undefined;
  readonly history: boolean;
  /** {@link Job.eventCount} at that position. */
  readonly eventCount: number;
}

export interface EarlyEvent {
  readonly session: Session;
  readonly event: JobEvent;
}

export interface KnownJob {
  readonly job: Job;
  readonly handle: JobHandle;
  role: JobRole;
  /** How many of the caller's subscriptions look at it. */
  subscriptions: number;
  position: SubscriptionPosition | undefined;
  /** What came of the job while the reply that its history follows, or has followed, is still to come. */
  early: EarlyEvent[];
  /** Settles the job if the history passes this position without an ending. */
  endsAt: { readonly seq: number; readonly status: string } | undefined;
  /** Ids of its messages, where a runtime may send each of them twice: to the submitter and to the subscriber. */
  readonly seenIds: RecentIds;
  /** The last number seen, where another session numbered the messages. */
  foreignSeq: number;
}

/** Takes what came early: it is delivered, or comes again. */
export function takeEarly(known: KnownJob): JobEvent[] {
  return known.early.splice(0).map(({ event }) => event);
}

/** Jobs of which nothing is known but their events. Beyond it the one heard of first is forgotten. */
const MAX_UNKNOWN_JOBS = 256;
/** Ended and dismissed jobs that are remembered, so that what comes late for them is ignored. */
const MAX_REMEMBERED = 4096;

export class JobBook {
  readonly #live = new Map<JobId, KnownJob>();
  readonly #unknown = new Set<JobId>();
  /** Ended jobs; weakly, because a result may be large and the caller may not want it any more. */
  readonly #past = new Map<JobId, WeakRef<JobHandle> | undefined>();
  readonly #byHandle = new WeakMap<JobHandle, KnownJob>();
  readonly #backlog: Backlog;
  readonly #bounds: JobBounds;
  readonly #cancel: (jobId: JobId, options: CancelOptions) => Promise<void>;

  constructor(backlog: Backlog, bounds: JobBounds, cancel: (jobId: JobId, options: CancelOptions) => Promise<void>) {
    this.#backlog = backlog;
    this.#bounds = bounds;
    this.#cancel = cancel;
  }

  /** A job that has not ended. */
  find(jobId: JobId): KnownJob | undefined {
    return this.#live.get(jobId);
  }

  /** Is the job over, or no longer of interest? */
  isPast(jobId: JobId): boolean {
    return this.#past.has(jobId);
  }

  /** The jobs that have not ended. */
  live(): readonly KnownJob[] {
    return [...this.#live.values()];
  }

  /** The job, made known if it was not. Its role is only ever raised. */
  ensure(jobId: JobId, role: JobRole): KnownJob {
    const known = this.#live.get(jobId) ?? this.#create(jobId);
    if (role !== "unknown" && known.role === "unknown") {
      known.role = role;
      this.#unknown.delete(jobId);
    } else if (role === "own") known.role = role;
    // An ending that came before any word of the job was kept until now.
    if (known.job.isOver && known.role !== "unknown") this.retire(jobId);
    return known;
  }

  /** As {@link ensure}, or the job as it ended if the caller still holds it. */
  recall(jobId: JobId, role: JobRole): KnownJob {
    const handle = this.#past.get(jobId)?.deref();
    const past = handle && this.#byHandle.get(handle);
    if (past) return past;
    this.#past.delete(jobId);
    return this.ensure(jobId, role);
  }

  /** Moves a job that has ended, or that nobody looks at any more, out of the way. */
  retire(jobId: JobId): void {
    const known = this.#live.get(jobId);
    this.#live.delete(jobId);
    this.#unknown.delete(jobId);
    this.#past.set(jobId, known?.job.isOver ? new WeakRef(known.handle) : undefined);
    if (this.#past.size > MAX_REMEMBERED) this.#past.delete(this.#past.keys().next().value as JobId);
  }

  #create(jobId: JobId): KnownJob {
    const job = new Job(jobId, this.#backlog, this.#bounds);
    const handle = new JobHandle(job, (options) => this.#cancel(jobId, options));
    const known: KnownJob = {
      job,
      handle,
      role: "unknown",
      subscriptions: 0,
      position: undefined,
      early: [],
      endsAt: undefined,
      seenIds: new RecentIds(),
      foreignSeq: 0,
    };
    this.#live.set(jobId, known);
    this.#byHandle.set(handle, known);
    this.#unknown.add(jobId);
    if (this.#unknown.size > MAX_UNKNOWN_JOBS) this.retire(this.#unknown.values().next().value as JobId);
    return known;
  }
}
