/** The runtime without wires: its parts, put together over one store. */
import { type Clock, InternalError, type Logger, type SessionId } from "@arcp/core";
import type { JobRecord, Store } from "../store/store.ts";
import { AgentRegistry } from "./agents.ts";
import { type CancelAuthority, Cancellation } from "./cancellation.ts";
import type { JobCaps, PrincipalCaps, SessionCaps } from "./caps.ts";
import { Job, type JobTools } from "./job.ts";
import { JobRegistry } from "./job-registry.ts";
import { Journal } from "./journal.ts";
import { Budget } from "./lease/budget.ts";
import { type JobAuthorizationPolicy, Observation } from "./observation.ts";
import { SessionRegistry } from "./session-registry.ts";
import { type LeasePolicy, Submission } from "./submission.ts";

export interface EngineOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sessionCaps: SessionCaps;
  readonly principalCaps: PrincipalCaps;
  readonly jobCaps: JobCaps;
  readonly resumeWindowMs: number;
  readonly cancelGraceMs: number;
  readonly idempotencyTtlMs: number;
  readonly jobRetentionMs: number;
  readonly backPressureThreshold: number;
  readonly jobAuthorizationPolicy: JobAuthorizationPolicy | undefined;
  readonly hidesForeignJobs: boolean;
  readonly cancelAuthority: CancelAuthority;
  readonly leasePolicy: LeasePolicy;
  /** Called once when the store fails: connections must be given up. */
  readonly onStoreFailure: (error: unknown) => void;
}

const SWEEP_EVERY_MS = 60_000;

export class Engine {
  readonly store: Store;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly agents = new AgentRegistry();
  readonly jobs = new JobRegistry();
  readonly sessions: SessionRegistry;
  readonly submission: Submission;
  readonly observation: Observation;
  readonly cancellation: Cancellation;
  /** Resolves when the jobs that a dead process left behind have been dealt with. */
  readonly ready: Promise<void>;
  readonly #logger: Logger;
  readonly #jobTools: JobTools;
  readonly #jobRetentionMs: number;
  #stopSweep: () => void = () => {};

  constructor(options: EngineOptions) {
    const { store, clock, logger } = options;
    this.store = store;
    this.clock = clock;
    this.#logger = logger;
    this.#jobRetentionMs = options.jobRetentionMs;
    this.journal = new Journal({ store, logger, onFailure: options.onStoreFailure });
    this.sessions = new SessionRegistry(
      { journal: this.journal, store, clock, logger, backPressureThreshold: options.backPressureThreshold },
      {
        caps: options.principalCaps,
        resumeWindowMs: options.resumeWindowMs,
        onForgotten: (feeds) => {
          for (const job of this.jobs.all()) job.unfollowAll(feeds);
        },
      },
    );
    this.#jobTools = {
      journal: this.journal,
      clock,
      logger,
      caps: options.jobCaps,
      runningJobs: () => this.jobs.size,
      pace: (job) => this.sessions.get(job.sessionId)?.pace(job),
      onEnded: (job) => this.jobs.remove(job),
    };
    this.submission = new Submission({
      ...{ agents: this.agents, jobs: this.jobs, journal: this.journal, store, clock, logger },
      jobTools: this.#jobTools,
      leasePolicy: options.leasePolicy,
      idempotencyTtlMs: options.idempotencyTtlMs,
      max: { session: options.sessionCaps.maxConcurrentJobs, principal: options.principalCaps.maxConcurrentJobs },
    });
    this.observation = new Observation({
      ...{ jobs: this.jobs, journal: this.journal, store, clock },
      policy: options.jobAuthorizationPolicy,
      hidesForeignJobs: options.hidesForeignJobs,
    });
    this.cancellation = new Cancellation({
      findLive: (id) => this.jobs.get(id),
      findEnded: async (id) => {
        await this.journal.flush();
        return store.findJob(id);
      },
      isSessionKept: (id) => this.sessions.get(id) !== undefined,
      authority: options.cancelAuthority,
      graceMs: options.cancelGraceMs,
    });
    this.ready = this.#recover();
    this.ready.then(() => this.#sweepLater(), options.onStoreFailure);
  }

  /**
   * Ends what is running with a retryable error that names `reason`, and resolves when that is durable. The store stays
   * open.
   */
  async close(reason: string): Promise<void> {
    this.#stopSweep();
    for (const job of [...this.jobs.all()]) job.end({ status: "error", error: interrupted(reason) });
    await this.journal.flush();
  }

  /** Ends the jobs of a process that is no more, in every feed that shows them. */
  async #recover(): Promise<void> {
    for (const { job: record, followers } of await this.store.takeOver(this.clock.now())) {
      const job = this.#takenOver(record);
      for (const id of followers) await this.#show(job, id);
      job.end({ status: "error", error: interrupted("runtime_restarted") });
    }
    await this.journal.flush();
  }

  async #show(job: Job, sessionId: SessionId): Promise<void> {
    const session = await this.sessions.load(sessionId);
    if (session === undefined) return;
    job.follow(session.feed);
  }

  #takenOver(record: JobRecord): Job {
    const { id, sessionId, principal, agent, agentVersion, lease, leaseConstraints, parentJobId, createdAt } = record;
    const { delegateId, epoch, lastN, lastEventSeq, traceId } = record;
    return new Job(
      {
        ...{ id, sessionId, principal, lease, leaseConstraints, parentJobId, createdAt, epoch },
        ...(delegateId !== null && { delegateId }),
        agent: { name: agent, version: agentVersion },
        budget: Budget.fromLease(lease),
        trace: { traceId },
        maxRuntimeMs: undefined,
        continues: { lastN, lastEventSeq },
      },
      this.#jobTools,
    );
  }

  #sweepLater(): void {
    this.#stopSweep = this.clock.setTimer(() => {
      this.sessions
        .sweep(this.#jobRetentionMs)
        .catch((error) => this.#logger.error({ err: error }, "the retention sweep failed"))
        .finally(() => this.#sweepLater());
    }, SWEEP_EVERY_MS);
  }
}

const interrupted = (reason: string): InternalError =>
  new InternalError("the runtime stopped while the job was running", { details: { reason } });
