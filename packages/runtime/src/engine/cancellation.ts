/** Who may cancel what (§7.4), and what becomes of it. */
import { type ARCPError, InvalidRequestError, type JobId, JobNotFoundError, PermissionDeniedError } from "@arcp/core";
import type { JobRecord } from "../store/store.ts";
import { type Audit, bySession } from "./audit/audit.ts";
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
  readonly audit: Audit;
}

/** Characters of a client's reason that are recorded. */
const MAX_REASON = 256;

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
    return (reason, options) => this.stop(session, job, reason, options);
  }

  /** Tells the job to stop, in the name of a session that may. Does nothing if that is under way, or it has ended. */
  stop(
    session: Session,
    job: Job,
    reason: string | undefined,
    options?: { readonly graceMs: number; readonly overrun?: Outcome },
  ): void {
    if (job.isTerminal || job.isCancelling) return;
    const { audit, graceMs } = this.#options;
    const { id: jobId, traceId } = job;
    audit.record("job.cancelled", bySession(session, { jobId, traceId }), {
      by: "client",
      ...(reason !== undefined && { reason: reason.slice(0, MAX_REASON) }),
    });
    job.cancel(reason, options?.graceMs ?? graceMs, options?.overrun);
  }

  /** The live job, if `session` may stop it. Throws as {@link prepare} does. */
  async controlled(session: Session, jobId: JobId): Promise<Job> {
    const { findLive, findEnded } = this.#options;
    const job = findLive(jobId) ?? (await findEnded(jobId));
    const owner = job && ("submitterPrincipal" in job ? job.submitterPrincipal : job.principal);
    const details = { job_id: jobId };
    if (job === undefined || owner !== session.principal) {
      throw this.#refused(session, jobId, owner, new JobNotFoundError("there is no such job", { details }));
    }
    if (!this.#mayCancel(session, job)) {
      const refusal = new PermissionDeniedError("only the session that submitted a job may cancel it", { details });
      throw this.#refused(session, jobId, owner, refusal);
    }
    if (!("cancel" in job)) {
      throw new InvalidRequestError(`the job has ended already: ${job.status}`, {
        details: { ...details, status: job.status },
      });
    }
    return job;
  }

  #refused(session: Session, jobId: JobId, owner: string | undefined, refusal: ARCPError): ARCPError {
    const facts = { owner: owner ?? null, code: refusal.code };
    this.#options.audit.record("control.refused", bySession(session, { jobId }), facts);
    return refusal;
  }

  #mayCancel(session: Session, job: Job | JobRecord): boolean {
    const { authority, isSessionKept } = this.#options;
    if (job.sessionId === session.id || authority === "principal") return true;
    return authority === "session-or-orphan" && !isSessionKept(job.sessionId);
  }
}
