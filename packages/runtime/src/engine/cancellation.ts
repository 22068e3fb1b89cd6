/** Who may cancel what (§7.4), and what becomes of it. */
import {
  type ARCPError,
  type ErrorPayload,
  errorFromWire,
  InternalError,
  InvalidRequestError,
  type JobId,
  JobNotFoundError,
  PermissionDeniedError,
} from "@arcp/core";
import type { JobRecord } from "../store/store.ts";
import type { Access } from "./access.ts";
import { type Audit, bySession } from "./audit/audit.ts";
import { type ActorFacts, actorFacts, actorOf, type Elsewhere } from "./cluster/elsewhere.ts";
import type { Job } from "./job.ts";
import type { Outcome } from "./job-facts.ts";
import type { Actor } from "./session.ts";

/**
 * Who may cancel a job: the session that submitted it; any session of the same principal; or, in between, any session
 * of the same principal once the submitting session can no longer come back.
 */
export type CancelAuthority = "session" | "principal" | "session-or-orphan";

export interface CancellationOptions {
  readonly findLive: (id: JobId) => Job | undefined;
  readonly findStored: (id: JobId) => Promise<JobRecord | undefined>;
  /** Can the session still be resumed, or is it attached? */
  readonly isSessionKept: (session: Job["sessionId"]) => boolean | Promise<boolean>;
  /** The other nodes; `undefined`: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
  readonly authority: CancelAuthority;
  readonly graceMs: number;
  readonly audit: Audit;
  /** Knows who may stop jobs of others. */
  readonly access: Pick<Access, "controlsAll">;
}

export interface CancelTerms {
  /** How long the agent may take. Default: the operator's. */
  readonly graceMs?: number;
  /** How it ends if it takes longer. Default: cancelled. */
  readonly overrun?: Outcome;
}

interface RemoteCancel {
  readonly actor: ActorFacts;
  readonly jobId: JobId;
  readonly reason?: string | undefined;
  readonly graceMs?: number | undefined;
  readonly overrun?: ErrorPayload | undefined;
}

/** Characters of a client's reason that are recorded. */
const MAX_REASON = 256;

export class Cancellation {
  readonly #options: CancellationOptions;

  constructor(options: CancellationOptions) {
    this.#options = options;
  }

  /**
   * Checks that `session` may cancel the job, and returns what does it; for a job of another node that is done by then. Throws
   * {@link JobNotFoundError} for a job that the session may not know of, {@link PermissionDeniedError} for one that is not its
   * own to cancel, and {@link InvalidRequestError} with `details.status` for one that has ended.
   */
  async prepare(
    session: Actor,
    jobId: JobId,
    reason: string | undefined,
    terms: CancelTerms = {},
  ): Promise<() => void> {
    const job = await this.#mine(session, jobId);
    if ("cancel" in job) return () => this.stop(session, job, reason, terms);
    const { elsewhere } = this.#options;
    if (elsewhere === undefined || job.endedAt !== null) throw hasEnded(job);
    await elsewhere.call(jobId, "job.cancel", { actor: actorFacts(session), jobId, reason, ...remoteTerms(terms) });
    return () => {};
  }

  /** The same as another node asks for it. */
  readonly cancelFor = async ({ actor, jobId, reason, graceMs, overrun }: RemoteCancel): Promise<void> => {
    const session = actorOf(actor);
    const job = await this.controlled(session, jobId);
    const error = overrun && errorFromWire(overrun);
    this.stop(session, job, reason, {
      ...(graceMs !== undefined && { graceMs }),
      ...(error && { overrun: { status: "error", error } }),
    });
  };

  /** Tells the job to stop, in the name of a session that may. Does nothing if that is under way, or it has ended. */
  stop(session: Actor, job: Job, reason: string | undefined, terms: CancelTerms = {}): void {
    if (job.isTerminal || job.isCancelling) return;
    const { audit, graceMs } = this.#options;
    const { id: jobId, traceId } = job;
    audit.record("job.cancelled", bySession(session, { jobId, traceId }), {
      by: "client",
      ...(reason !== undefined && { reason: reason.slice(0, MAX_REASON) }),
    });
    job.cancel(reason, terms.graceMs ?? graceMs, terms.overrun);
  }

  /** The live job of this process, if `session` may stop it. Throws as {@link prepare} does. */
  async controlled(session: Actor, jobId: JobId): Promise<Job> {
    const job = await this.#mine(session, jobId);
    if (!("cancel" in job)) throw hasEnded(job);
    return job;
  }

  /** Does another node run the job? Throws as {@link prepare} does. */
  async isElsewhere(session: Actor, jobId: JobId): Promise<boolean> {
    if (this.#options.findLive(jobId) !== undefined) return false;
    const job = await this.#mine(session, jobId);
    return !("cancel" in job) && job.endedAt === null;
  }

  /** The job, if `session` may stop it and it has not ended: with its record alone if it is another node's. */
  async #mine(session: Actor, jobId: JobId): Promise<Job | JobRecord> {
    const { findLive, findStored } = this.#options;
    const job = findLive(jobId) ?? (await findStored(jobId));
    const owner = job && ("submitterPrincipal" in job ? job.submitterPrincipal : job.principal);
    const details = { job_id: jobId };
    const isControlled = owner !== undefined && this.#options.access.controlsAll(session, owner);
    if (job === undefined || (owner !== session.principal && !isControlled)) {
      throw this.#refused(session, jobId, owner, new JobNotFoundError("there is no such job", { details }));
    }
    if (!isControlled && !(await this.#mayCancel(session, job))) {
      const refusal = new PermissionDeniedError("only the session that submitted a job may cancel it", { details });
      throw this.#refused(session, jobId, owner, refusal);
    }
    return job;
  }

  #refused(session: Actor, jobId: JobId, owner: string | undefined, refusal: ARCPError): ARCPError {
    const facts = { owner: owner ?? null, code: refusal.code };
    this.#options.audit.record("control.refused", bySession(session, { jobId }), facts);
    return refusal;
  }

  async #mayCancel(session: Actor, job: Job | JobRecord): Promise<boolean> {
    const { authority, isSessionKept } = this.#options;
    if (job.sessionId === session.id || authority === "principal") return true;
    return authority === "session-or-orphan" && !(await isSessionKept(job.sessionId));
  }
}

const hasEnded = ({ id, status, endedAt }: JobRecord): ARCPError => {
  const details = { job_id: id, status };
  // Its node is gone, and no other one has it yet.
  if (endedAt === null) {
    return new InternalError("the job is between two nodes", {
      retryable: true,
      details: { ...details, reason: "moving" },
    });
  }
  return new InvalidRequestError(`the job has ended already: ${status}`, { details });
};

const remoteTerms = ({ graceMs, overrun }: CancelTerms): Pick<RemoteCancel, "graceMs" | "overrun"> => ({
  graceMs,
  overrun: overrun !== undefined && "error" in overrun ? overrun.error.toWire() : undefined,
});
