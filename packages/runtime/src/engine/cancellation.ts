/** Who may cancel what (§7.4), and what becomes of it. */
import { InvalidRequestError, type JobId, JobNotFoundError, PermissionDeniedError } from "@arcp/core";
import type { JobRecord } from "../store/store.ts";
import type { Job, Outcome } from "./job.ts";
import type { Session } from "./session.ts";

/**
 * Who may cancel a job: the session that submitted it; any session of the same principal; or, in between, any session
 * of the same principal once the submitting session can no longer come back.
 */
export type CancelAuthority = "session" | "principal" | "session-or-orphan";

export interface CancellationOptions {
  readonly findLive: (id: JobId) => Job | undefined;
  readonly findEnded: (id: JobId) => Promise<JobRecord | undefined>;
  /** Can the session still be resumed, or is it attached? */
  readonly isSessionKept: (session: Job["sessionId"]) => boolean;
  readonly authority: CancelAuthority;
  readonly graceMs: number;
}

export class Cancellation {
  readonly #options: CancellationOptions;

  constructor(options: CancellationOptions) {
    this.#options = options;
  }

  /**
   * Checks that `session` may cancel the job, and returns what does it. Throws {@link JobNotFoundError} for a job that
   * the session may not know of, {@link PermissionDeniedError} for one that is not its own to cancel, and
   * {@link InvalidRequestError} with `details.status` for one that has ended.
   */
  async prepare(
    session: Session,
    jobId: JobId,
  ): Promise<(reason: string | undefined, options?: { readonly graceMs: number; readonly overrun: Outcome }) => void> {
    const job = await this.controlled(session, jobId);
    return (reason, options) => void job.cancel(reason, options?.graceMs ?? this.#options.graceMs, options?.overrun);
  }

  /** The live job, if `session` may stop it. Throws as {@link prepare} does. */
  async controlled(session: Session, jobId: JobId): Promise<Job> {
    const { findLive, findEnded } = this.#options;
    const job = findLive(jobId) ?? (await findEnded(jobId));
    const owner = job && ("submitterPrincipal" in job ? job.submitterPrincipal : job.principal);
    if (job === undefined || owner !== session.principal) {
      throw new JobNotFoundError("there is no such job", { details: { job_id: jobId } });
    }
    if (!this.#mayCancel(session, job)) {
      throw new PermissionDeniedError("only the session that submitted a job may cancel it", {
        details: { job_id: jobId },
      });
    }
    if (!("cancel" in job)) {
      throw new InvalidRequestError(`the job has ended already: ${job.status}`, {
        details: { job_id: jobId, status: job.status },
      });
    }
    return job;
  }

  #mayCancel(session: Session, job: Job | JobRecord): boolean {
    const { authority, isSessionKept } = this.#options;
    if (job.sessionId === session.id || authority === "principal") return true;
    return authority === "session-or-orphan" && !isSessionKept(job.sessionId);
  }
}
