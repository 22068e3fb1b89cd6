/** The jobs that have not ended, and the counts that caps are about. A job leaves when it ends. */
import type { JobId, SessionId } from "@arcp/core";
import { tooMany } from "./caps.ts";
import type { Job } from "./job.ts";

/** How many jobs there may be. */
export interface JobMax {
  readonly session: number;
  readonly principal: number;
  /** What other nodes leave of the principal's. Default: all. */
  readonly left?: number;
  /** The same of the session's. */
  readonly leftOfSession?: number;
}

/** What other nodes leave of what there may be. Rejects when the store does. */
export type OthersJobs = (session: SessionId, principal: string, max: JobMax) => Promise<JobMax>;

const increment = <Key>(counts: Map<Key, number>, key: Key, by: number): void => {
  const count = (counts.get(key) ?? 0) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
};

export class JobRegistry {
  readonly #jobs = new Map<JobId, Job>();
  readonly #perSession = new Map<SessionId, number>();
  readonly #perPrincipal = new Map<string, number>();
  readonly #assertStorage: () => void;

  /** `assertStorage` throws while no job can be stored. */
  constructor(assertStorage: () => void) {
    this.#assertStorage = assertStorage;
  }

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

  /** Keeps room for a job that is about to be added, until what it returns is called. Throws as {@link assertRoom}. */
  reserve(sessionId: SessionId, principal: string, max: JobMax): () => void {
    this.assertRoom(sessionId, principal, max);
    increment(this.#perSession, sessionId, 1);
    increment(this.#perPrincipal, principal, 1);
    return () => {
      increment(this.#perSession, sessionId, -1);
      increment(this.#perPrincipal, principal, -1);
    };
  }

  /** Throws {@link InternalError}, to be tried again later, when one more job would be too many, or cannot be stored. */
  assertRoom(sessionId: SessionId, principal: string, max: JobMax): void {
    this.#assertStorage();
    if ((this.#perSession.get(sessionId) ?? 0) >= (max.leftOfSession ?? max.session))
      throw tooMany("maxConcurrentJobs", max.session, "after_capacity");
    if ((this.#perPrincipal.get(principal) ?? 0) >= (max.left ?? max.principal)) {
      throw tooMany("maxConcurrentJobsPerPrincipal", max.principal, "after_capacity");
    }
  }
}
