/** The runtime without wires: its parts, put together over one store. */
import { type Clock, InternalError, InvalidRequestError, type JobId, type Logger, type SessionId } from "@arcp/core";
import type { HeartbeatRecovery } from "@arcp/core/v1.0";
import { ENTRY, type JobRecord, type Store } from "../store/store.ts";
import type { OperationsFactory } from "./agent-operations.ts";
import { AgentRegistry } from "./agents.ts";
import { Artifacts, type ArtifactsOptions } from "./artifacts/artifacts.ts";
import { type CancelAuthority, Cancellation } from "./cancellation.ts";
import type { JobCaps, PrincipalCaps, SessionCaps } from "./caps.ts";
import { Checkpoints } from "./checkpoints.ts";
import { Credentials } from "./credentials/credentials.ts";
import type { CredentialProvisioner } from "./credentials/provisioner.ts";
import { type DelegationCaps, Delegations } from "./delegation.ts";
import type { HandoffConnector } from "./handoff.ts";
import { Job, type JobTools, type LeaseExpiryOptions } from "./job.ts";
import { JobRegistry } from "./job-registry.ts";
import { Journal } from "./journal.ts";
import { Launch } from "./launch.ts";
import { Budget } from "./lease/budget.ts";
import { type JobAuthorizationPolicy, Observation } from "./observation.ts";
import { People, type PeopleOptions } from "./people.ts";
import type { ScheduleLimits } from "./schedules/scheduler.ts";
import { Schedules } from "./schedules/schedules.ts";
import { SessionRegistry } from "./session-registry.ts";
import { Streams } from "./streams/streams.ts";
import { type LeasePolicy, Submission } from "./submission.ts";
import { Tap } from "./tap.ts";
import { ToolRegistry } from "./tools.ts";
import { Watchdogs } from "./watchdog.ts";

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
  readonly leaseExpiry: LeaseExpiryOptions;
  readonly delegationCaps: DelegationCaps;
  /** The models of jobs whose leases do not speak of models; `undefined`: none (§9.7). */
  readonly openModels: readonly string[] | undefined;
  readonly operations: OperationsFactory;
  readonly provisioners: readonly CredentialProvisioner[];
  readonly handoff: HandoffConnector | undefined;
  readonly scheduleLimits: Partial<ScheduleLimits>;
  /** What becomes of jobs whose agents fall silent, unless they were registered otherwise (RFC §10.3). */
  readonly heartbeatRecovery: HeartbeatRecovery;
  readonly artifacts: Pick<ArtifactsOptions, "blobs" | "caps" | "retention" | "mayRead">;
  /** Of questions to people and what they grant. */
  readonly people: Pick<PeopleOptions, "policy" | "schemas">;
  /** Called once when the store fails: connections must be given up. */
  readonly onStoreFailure: (error: unknown) => void;
}

const SWEEP_EVERY_MS = 60_000;

export class Engine {
  readonly store: Store;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly agents = new AgentRegistry();
  readonly tools = new ToolRegistry();
  readonly jobs = new JobRegistry();
  readonly sessions: SessionRegistry;
  readonly credentials: Credentials;
  readonly artifacts: Artifacts;
  readonly streams: Streams;
  readonly checkpoints: Checkpoints;
  readonly watchdogs: Watchdogs;
  readonly submission: Submission;
  readonly observation: Observation;
  readonly cancellation: Cancellation;
  readonly people: People;
  readonly tap: Tap;
  readonly schedules: Schedules;
  /** How long a cancelled agent may take to stop, unless whoever cancels says otherwise. */
  readonly cancelGraceMs: number;
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
    this.cancelGraceMs = options.cancelGraceMs;
    this.journal = new Journal({ store, logger, onFailure: options.onStoreFailure });
    this.tap = new Tap(this.journal);
    this.sessions = new SessionRegistry(
      { journal: this.journal, store, clock, logger, backPressureThreshold: options.backPressureThreshold },
      {
        caps: options.principalCaps,
        resumeWindowMs: options.resumeWindowMs,
        onForgotten: (feeds) => {
          for (const job of this.jobs.all()) job.unfollowAll(feeds);
        },
        onOpened: (session) => this.people.interactions.welcome(session),
      },
    );
    this.#jobTools = {
      journal: this.journal,
      clock,
      logger,
      caps: options.jobCaps,
      leaseExpiry: options.leaseExpiry,
      maskOf: (jobId) => this.credentials.maskOf(jobId),
      runningJobs: () => this.jobs.size,
      tap: this.tap,
      pace: (job) => this.people.interrupts.pauseOf(job) ?? this.sessions.get(job.sessionId)?.pace(job),
      onEnded: (job) => this.jobs.remove(job),
    };
    const maxJobs = {
      session: options.sessionCaps.maxConcurrentJobs,
      principal: options.principalCaps.maxConcurrentJobs,
    };
    const { leasePolicy, openModels } = options;
    this.credentials = new Credentials({
      ...{ journal: this.journal, store, clock, logger },
      provisioners: options.provisioners,
    });
    this.artifacts = new Artifacts({ ...{ journal: this.journal, store, clock, logger }, ...options.artifacts });
    this.streams = new Streams({
      ...{ journal: this.journal, store, clock },
      sessionOf: (id) => this.sessions.get(id),
      cancellation: () => this.cancellation,
    });
    this.checkpoints = new Checkpoints({
      ...{ journal: this.journal, store, clock, jobs: this.jobs, retentionMs: options.jobRetentionMs },
      submission: () => this.submission,
      seqOf: (sessionId, jobId, n) => this.seqOf(sessionId, jobId, n),
    });
    this.watchdogs = new Watchdogs({
      ...{ clock, recovery: options.heartbeatRecovery },
      tell: (job, deadlineMs) => {
        for (const { sessionId } of job.followers) this.sessions.get(sessionId)?.beat(job, deadlineMs);
      },
    });
    const launch = new Launch({
      credentials: this.credentials,
      ...{ jobs: this.jobs, journal: this.journal, logger, jobTools: this.#jobTools, operations: options.operations },
      agentTools: {
        tools: this.tools,
        delegate: (parent, body) => delegations.delegate(parent, body),
        credentialsOf: (job) => this.credentials.jobCredentials(job.id),
        explain: (error) => this.credentials.explain(error),
        artifacts: this.artifacts,
        handoff: options.handoff,
        ...{ streams: this.streams, checkpoints: this.checkpoints, watchdogs: this.watchdogs },
        people: () => this.people,
      },
    });
    const delegations = new Delegations({
      ...{ agents: this.agents, jobs: this.jobs, journal: this.journal, store, clock, launch, leasePolicy, maxJobs },
      caps: options.delegationCaps,
      cancelGraceMs: options.cancelGraceMs,
      sessionOf: (job) => this.sessions.get(job.sessionId),
      pauseOf: (job) => this.people.interrupts.pauseOf(job),
    });
    this.submission = new Submission({
      ...{ agents: this.agents, jobs: this.jobs, journal: this.journal, store, clock, launch, leasePolicy, openModels },
      idempotencyTtlMs: options.idempotencyTtlMs,
      max: maxJobs,
    });
    this.schedules = new Schedules({
      ...{ journal: this.journal, store, clock, logger, jobs: this.jobs, sessions: this.sessions },
      submission: this.submission,
      limits: options.scheduleLimits,
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
    this.people = new People({
      ...{ journal: this.journal, store, clock, logger, sessions: this.sessions, jobs: this.jobs },
      ...{ ...options.people, cancellation: this.cancellation, retentionMs: options.jobRetentionMs },
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
    await this.schedules.close();
    for (const job of [...this.jobs.all()]) job.end({ status: "error", error: interrupted(reason) });
    await this.journal.flush();
    try {
      await this.credentials.close();
    } finally {
      await this.artifacts.close();
    }
  }

  /** §9.8.2: a new secret, the word of it, and the end of the old one. The event is stored without the secret. */
  async rotate(jobId: JobId, credentialId: string): Promise<void> {
    const issuance = await this.credentials.rotate(jobId, credentialId);
    if (!issuance.commit()) throw new InvalidRequestError("the job has ended");
    const body = { phase: "credential_rotated", id: credentialId };
    await this.jobs.get(jobId)?.emit(ENTRY.credential_rotated, "status", body);
    await this.journal.flush();
  }

  /** The number that entry `n` of a job has in a session's feed; `undefined` if it has none. */
  async seqOf(sessionId: SessionId, jobId: JobId, n: number): Promise<number | undefined> {
    let [low, high] = [1, this.sessions.get(sessionId)?.feed.committedHead ?? 0];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const position = await this.store.feedPosition(sessionId, jobId, middle);
      if (position === undefined) return undefined;
      if (position >= n) high = middle;
      else low = middle + 1;
    }
    return (await this.store.feedPosition(sessionId, jobId, low)) === n ? low : undefined;
  }

  /** The same for a store that has failed: nothing is waited for. */
  abort(reason: string): void {
    this.#stopSweep();
    void this.schedules.close();
    this.credentials.abort();
    this.artifacts.abort();
    for (const job of [...this.jobs.all()]) job.end({ status: "error", error: interrupted(reason) });
  }

  /** Ends the jobs of a process that is no more, in every feed that shows them. */
  async #recover(): Promise<void> {
    for (const { job: record, followers } of await this.store.takeOver(this.clock.now())) {
      const job = this.#takenOver(record);
      for (const id of followers) await this.#show(job, id);
      await this.streams.recover(job);
      await this.people.interactions.recover(job, (id) => this.sessions.load(id));
      job.end({ status: "error", error: interrupted("runtime_restarted") });
    }
    await this.journal.flush();
    await this.credentials.recover();
    this.artifacts.start();
    await this.schedules.start();
  }

  async #show(job: Job, sessionId: SessionId): Promise<void> {
    const session = await this.sessions.load(sessionId);
    if (session === undefined) return;
    job.follow(session.feed);
  }

  #takenOver(record: JobRecord): Job {
    const { id, sessionId, principal, agent, agentVersion, lease, leaseConstraints, parentJobId, createdAt } = record;
    const { budget, delegateId, epoch, lastN, lastEventSeq, traceId } = record;
    return new Job(
      {
        ...{ id, sessionId, principal, lease, leaseConstraints, parentJobId, createdAt, epoch },
        ...(delegateId !== null && { delegateId }),
        agent: { name: agent, version: agentVersion },
        budget: budget === null ? undefined : Budget.fromRemaining(budget),
        trace: { traceId },
        maxRuntimeMs: undefined,
        continues: { lastN, lastEventSeq },
      },
      this.#jobTools,
    );
  }

  #sweepLater(): void {
    this.#stopSweep = this.clock.setTimer(() => {
      Promise.all([this.sessions.sweep(this.#jobRetentionMs), this.checkpoints.sweep()])
        .then(() => this.people.interactions.sweep())
        .catch((error) => this.#logger.error({ err: error }, "the retention sweep failed"))
        .finally(() => this.#sweepLater());
    }, SWEEP_EVERY_MS);
  }
}

const interrupted = (reason: string): InternalError =>
  new InternalError("the runtime stopped while the job was running", { details: { reason } });
