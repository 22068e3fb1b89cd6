/** The jobs that have not ended, and the counts that caps are about. A job leaves when it ends. */
import { InternalError, type JobId, type SessionId } from "@arcp/core";
import type { Job } from "./job.ts";

const increment = <Key>(counts: Map<Key, number>, key: Key, by: number): void => {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
};

export class JobRegistry {
  readonly #jobs = new Map<JobId, Job>();
  readonly #perSession = new Map<SessionId, number>();
  readonly #perPrincipal = new Map<string, number>();

  get size(): number {
    return this.#jobs.size;
  }

  get(id: JobId): Job | undefined {
    return this.#jobs.get(id);
  }

  all(): IterableIterator<Job> {
    return this.#jobs.values();
  }

  add(job: Job): void {
    this.#jobs.set(job.id, job);
    increment(this.#perSession, job.sessionId, 1);
    increment(this.#perPrincipal, job.submitterPrincipal, 1);
  }

  remove(job: Job): void {
    if (!this.#jobs.delete(job.id)) return;
    increment(this.#perSession, job.sessionId, -1);
    increment(this.#perPrincipal, job.submitterPrincipal, -1);
  }

  /** Throws {@link InternalError}, to be tried again later, when one more job would be too many. */
  assertRoom(
    sessionId: SessionId,
    principal: string,
    max: { readonly session: number; readonly principal: number },
  ): void {
    if ((this.#perSession.get(sessionId) ?? 0) >= max.session) throw full("maxConcurrentJobs", max.session);
    if ((this.#perPrincipal.get(principal) ?? 0) >= max.principal) {
      throw full("maxConcurrentJobsPerPrincipal", max.principal);
    }
  }
}

const full = (limit: string, max: number): InternalError =>
  new InternalError(`too many jobs at once (${limit} = ${max})`, { details: { limit, max, retry: "after_capacity" } });
