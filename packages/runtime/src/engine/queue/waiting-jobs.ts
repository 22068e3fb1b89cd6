/**
 * Jobs that were accepted and have not begun, as the store keeps them: such a job is begun later, by whichever runtime has
 * room for it first, and nothing of it is lost. What a durable job was asked for is kept with its run; here is the rest.
 */
import type { JobId } from "@arcp/core";
import type { JobRecord, Store } from "../../store/store.ts";
import type { Agent, AgentRegistry } from "../agents.ts";
import type { StoredRun } from "../durable/records.ts";
import type { Job } from "../job.ts";
import type { Journal } from "../journal.ts";

/** What a job was asked for that is not durable: one per job that waits, gone when it begins. */
const WAITING_KIND = "waiting";

/** What it takes to begin it. */
export interface StoredWaiting {
  readonly run: StoredRun;
  /** The data of the checkpoint that it goes on from. */
  readonly restored?: unknown;
}

export interface WaitingJobsOptions {
  readonly journal: Journal;
  readonly store: Pick<Store, "findRecord">;
  readonly agents: AgentRegistry;
}

/** A job that was taken over, and whose agent is not there yet. */
interface Parked {
  readonly job: Job;
  readonly begin: (agent: Agent) => void;
}

export class WaitingJobs {
  readonly #options: WaitingJobsOptions;
  readonly #parked = new Map<JobId, Parked>();
  /** Those of which something is stored. */
  readonly #kept = new Set<JobId>();
  #isOpen = false;

  constructor(options: WaitingJobsOptions) {
    this.#options = options;
    options.agents.whenRegistered(() => this.#wake());
  }

  /** Keeps what `job` was asked for, in the batch that says that it waits. */
  keep(job: Job, waiting: StoredWaiting): void {
    this.#kept.add(job.id);
    this.#put(job, waiting);
    job.whenEnded(() => this.forget(job));
  }

  /** Keeps the same for another process, which takes the job. */
  hand(job: Job, waiting: StoredWaiting): void {
    this.#put(job, waiting);
  }

  /** It has begun, or never will. */
  forget(job: Job): void {
    if (this.#kept.delete(job.id)) this.#put(job, undefined);
  }

  /** What is stored of a job that was left behind; `undefined` unless it is not durable, and had not begun. */
  async read({ id, status }: JobRecord): Promise<StoredWaiting | undefined> {
    const record = status === "pending" ? await this.#options.store.findRecord(WAITING_KIND, id) : undefined;
    if (typeof record?.data !== "string") return undefined;
    this.#kept.add(id);
    return JSON.parse(record.data) as StoredWaiting;
  }

  /** Calls `begin` as soon as the agent of `job` is there, and {@link open} was called. */
  park(job: Job, begin: (agent: Agent) => void): void {
    this.#parked.set(job.id, { job, begin });
    job.whenEnded(() => {
      this.#parked.delete(job.id);
      this.forget(job);
    });
    this.#wake();
  }

  /** From now on jobs are begun, in the order in which they were parked. */
  open(): void {
    this.#isOpen = true;
    this.#wake();
  }

  #wake(): void {
    if (!this.#isOpen) return;
    for (const { job, begin } of [...this.#parked.values()]) {
      const agent = this.#options.agents.find(job.agent, job.agentVersion);
      if (agent === undefined) continue;
      this.#parked.delete(job.id);
      begin(agent);
    }
  }

  #put(job: Job, document: StoredWaiting | undefined): void {
    const data = document === undefined ? null : JSON.stringify(document);
    const facts = { id: job.id, principal: job.submitterPrincipal, jobId: job.id, dueAt: null };
    this.#options.journal.putRecord({ kind: WAITING_KIND, ...facts, data });
  }
}
