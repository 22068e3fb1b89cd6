/** The runtime without wires: its parts, put together over one store. */
import {
  type AgentInventoryEntry,
  type Clock,
  InternalError,
  InvalidRequestError,
  type JobId,
  type Logger,
  type SessionId,
} from "@arcp/core";
import type { HeartbeatRecovery } from "@arcp/core/v1.0";
import { isShared, type SharedStore } from "../store/shared.ts";
import { ENTRY, type Store } from "../store/store.ts";
import { Access, hasTenant, isSameTenant } from "./access.ts";
import type { OperationsFactory } from "./agent-operations.ts";
import { AgentRegistry } from "./agents.ts";
import { Artifacts, type ArtifactsOptions } from "./artifacts/artifacts.ts";
import { Audit, type AuditPolicy } from "./audit/audit.ts";
import { type CancelAuthority, Cancellation } from "./cancellation.ts";
import type { JobCaps, PrincipalCaps, SessionCaps } from "./caps.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { Cluster, NodeOptions } from "./cluster/cluster.ts";
import type { Elsewhere } from "./cluster/elsewhere.ts";
import { Member } from "./cluster/member.ts";
import { ROTATE_CREDENTIAL, SCHEDULE_CHANGED, serveNodes } from "./cluster/node-methods.ts";
import { Others } from "./cluster/others.ts";
import { RemoteReader, type RemoteReaderOptions } from "./cluster/remote-reader.ts";
import { Credentials } from "./credentials/credentials.ts";
import { Orphans } from "./credentials/orphans.ts";
import type { CredentialProvisioner } from "./credentials/provisioner.ts";
import { type DelegationCaps, Delegations } from "./delegation.ts";
import { DurableJobs } from "./durable/durable-jobs.ts";
import type { DurableRunOptions } from "./durable/durable-run.ts";
import type { HandoffConnector } from "./handoff.ts";
import type { Job, JobTools } from "./job.ts";
import type { LeaseExpiryOptions } from "./job-facts.ts";
import { type JobMax, JobRegistry } from "./job-registry.ts";
import { Journal } from "./journal.ts";
import { Launch } from "./launch.ts";
import { type MetricsOptions, RuntimeMetrics } from "./metrics/runtime-metrics.ts";
import { type JobAuthorizationPolicy, Observation } from "./observation.ts";
import { People, type PeopleOptions } from "./people.ts";
import { drained, type ShutdownReport } from "./queue/drain.ts";
import { type ConcurrencyCaps, JobQueue } from "./queue/job-queue.ts";
import { WaitingJobs } from "./queue/waiting-jobs.ts";
import { type PrincipalRates, Rates } from "./rates.ts";
import { interrupted, RESTARTED, Recovery } from "./recovery.ts";
import type { ScheduleLimits } from "./schedules/scheduler.ts";
import { Schedules } from "./schedules/schedules.ts";
import type { Session } from "./session.ts";
import { SessionRegistry } from "./session-registry.ts";
import { type StorageReason, storageSentence } from "./storage-room.ts";
import { Streams } from "./streams/streams.ts";
import { type LeasePolicy, Submission } from "./submission.ts";
import { TailRoom } from "./tail.ts";
import { Tap } from "./tap.ts";
import { ToolRegistry } from "./tools.ts";
import { Watchdogs } from "./watchdog.ts";
import type { PostWebhook } from "./webhooks/courier.ts";
import type { WebhookSettings } from "./webhooks/endpoint.ts";
import { Webhooks } from "./webhooks/webhooks.ts";

export interface EngineOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sessionCaps: SessionCaps;
  readonly principalCaps: PrincipalCaps;
  readonly principalRates: PrincipalRates;
  readonly jobCaps: JobCaps;
  readonly concurrency: ConcurrencyCaps;
  readonly resumeWindowMs: number;
  readonly cancelGraceMs: number;
  readonly idempotencyTtlMs: number;
  readonly jobRetentionMs: number;
  readonly keepsInputs: boolean;
  /** Of the events of jobs that have ended; not longer than the jobs. */
  readonly eventRetentionMs: number;
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
  /** Who the runtime is, to whoever audits. */
  readonly runtime: { readonly name: string; readonly version: string };
  readonly auditPolicy: AuditPolicy;
  readonly metrics: MetricsOptions;
  readonly artifacts: Pick<ArtifactsOptions, "blobs" | "caps" | "retention" | "mayRead">;
  /** Of questions to people and what they grant. */
  readonly people: Pick<PeopleOptions, "policy" | "schemas">;
  readonly webhooks: { readonly settings: WebhookSettings; readonly post: PostWebhook };
  /** This process among others, if the store is one that several share. */
  readonly node: NodeOptions;
  /** Somebody has asked this node to stop. */
  readonly onMustDrain: () => void;
  /** Called once when the store fails: connections must be given up. */
  readonly onStoreFailure: (error: unknown) => void;
}

const SWEEP_EVERY_MS = 60_000;
/** Jobs that are told when there is no room left. */
const MAX_TOLD_JOBS = 256;

export class Engine {
  readonly store: Store;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly audit: Audit;
  readonly metrics: RuntimeMetrics;
  readonly agents = new AgentRegistry();
  readonly tools = new ToolRegistry();
  readonly jobs = new JobRegistry(() => this.journal.room.assertForWork());
  readonly sessions: SessionRegistry;
  readonly access: Access;
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
  readonly webhooks: Webhooks;
  readonly schedules: Schedules;
  readonly durableJobs: DurableJobs;
  readonly queue: JobQueue;
  /** How long a cancelled agent may take to stop, unless whoever cancels says otherwise. */
  readonly cancelGraceMs: number;
  /** Resolves when the jobs that a dead process left behind have been dealt with. */
  readonly ready: Promise<void>;
  readonly #logger: Logger;
  readonly #jobTools: JobTools;
  readonly #retention: { readonly jobMs: number; readonly eventMs: number };
  readonly #recovery: Recovery;
  /** Is this process a node? If there may be several. */
  readonly #joined = Promise.withResolvers<void>();
  readonly #delegations: Delegations;
  readonly #durableTools: DurableRunOptions;
  readonly #waitingJobs: WaitingJobs;
  /** This process among others over the same store; `undefined`: it has the store to itself. */
  readonly #member: Member | undefined;
  /** Credentials that nobody revokes; `undefined` without other nodes: whatever this process knows of is its own. */
  readonly #orphans: Orphans | undefined;
  /** The jobs that have ended since the runtime began to wait for them; `undefined` while it does not. */
  #finished: JobId[] | undefined;
  #stopSweep: () => void = () => {};

  constructor(options: EngineOptions) {
    const { store, clock, logger } = options;
    this.store = store;
    this.clock = clock;
    this.#logger = logger;
    this.#retention = { jobMs: options.jobRetentionMs, eventMs: options.eventRetentionMs };
    this.cancelGraceMs = options.cancelGraceMs;
    const shared = isShared(store) ? store : undefined;
    const metrics = new RuntimeMetrics(options.metrics);
    this.metrics = metrics;
    this.journal = new Journal({
      ...{ store, clock, logger, metrics, onFailure: options.onStoreFailure },
      // What is to be audited may come before this process is a node.
      opening: shared && this.#joined.promise,
      onRoom: (reason) => this.#tellJobs(reason),
      ...(shared && {
        onLost: (lost) => this.#member?.onLost(lost),
        fencing: {
          begin: async () => this.cluster?.rejoin(),
          settled: async () => this.cluster?.settled(),
        },
      }),
    });
    const others = (count: (whose: string) => Promise<number>): Others | undefined =>
      shared && new Others({ clock, count, arePresent: () => this.#member?.arePresent === true });
    const othersOfPrincipal = others(
      (principal) => shared?.countJobs(principal, this.cluster?.id) ?? Promise.resolve(0),
    );
    const othersOfSession = others(async (session) => {
      const jobs = (await shared?.liveJobsOf([session as SessionId])) ?? [];
      return jobs.filter(({ node }) => node !== this.cluster?.id).length;
    });
    const othersJobs =
      othersOfPrincipal &&
      othersOfSession &&
      (async (session: SessionId, principal: string, max: JobMax): Promise<JobMax> => ({
        ...max,
        left: await othersOfPrincipal.leave(principal, max.principal),
        leftOfSession: await othersOfSession.leave(session, max.session),
      }));
    const { name, version } = options.runtime;
    const audit = new Audit({
      ...{ journal: this.journal, clock, metrics },
      ...{ policy: options.auditPolicy, runtime: { name, version } },
    });
    this.audit = audit;
    this.tap = new Tap(this.journal);
    this.webhooks = new Webhooks({
      ...{ ...options.webhooks, journal: this.journal, store, clock, logger, audit, metrics, shared },
      random: Math.random,
    });
    const rates = new Rates(options.principalRates, clock);
    this.access = new Access({
      ...{ rates, audit, policy: options.jobAuthorizationPolicy, hidesForeignJobs: options.hidesForeignJobs },
    });
    this.sessions = new SessionRegistry(
      {
        ...{ journal: this.journal, store, clock, logger, metrics, tailRoom: new TailRoom() },
        backPressureThreshold: options.backPressureThreshold,
      },
      {
        caps: options.principalCaps,
        rates,
        onPermitted: (session) => this.observation.reconsider(session),
        resumeWindowMs: options.resumeWindowMs,
        audit,
        onForgotten: (feeds) => {
          for (const job of this.jobs.all()) job.unfollowAll(feeds);
          this.cluster?.remote.unfollowAll(feeds);
        },
        shared,
        others: others(async (principal) => {
          const since = clock.now() - options.resumeWindowMs;
          return (await shared?.countSessions(principal, this.cluster?.id, since)) ?? 0;
        }),
        onTaken: async (session, follows) => this.#member?.onSessionTaken(session, follows),
        onOpened: (session) => this.people.interactions.welcome(session),
      },
    );
    this.#jobTools = {
      journal: this.journal,
      clock,
      logger,
      audit,
      metrics,
      caps: options.jobCaps,
      leaseExpiry: options.leaseExpiry,
      maskOf: (jobId) => this.credentials.maskOf(jobId),
      runningJobs: () => this.jobs.size,
      doubt: () => this.cluster?.doubt,
      tap: this.tap,
      webhooks: this.webhooks,
      pace: (job) =>
        this.#roomFor(job) ?? this.people.interrupts.pauseOf(job) ?? this.sessions.get(job.sessionId)?.pace(job),
      onEnded: (job) => {
        this.jobs.remove(job);
        this.#finished?.push(job.id);
      },
    };
    const maxJobs = {
      session: options.sessionCaps.maxConcurrentJobs,
      principal: options.principalCaps.maxConcurrentJobs,
    };
    const { leasePolicy, openModels } = options;
    this.credentials = new Credentials({
      ...{ journal: this.journal, store, clock, logger, audit },
      provisioners: options.provisioners,
    });
    this.#orphans =
      shared &&
      new Orphans({
        ...{ store: shared, logger },
        mustTell: () => this.cluster?.peers.every(({ id }) => id > (this.cluster?.id ?? "")) === true,
      });
    const { mayRead } = options.artifacts;
    this.artifacts = new Artifacts({
      ...{ journal: this.journal, store, clock, logger, audit, ...options.artifacts },
      mayRead: mayRead && ((artifact, reader) => isSameTenant(artifact.owner, reader) && mayRead(artifact, reader)),
    });
    const toOwner: Elsewhere | undefined = shared && {
      call: (jobId, method, params) =>
        this.#member?.call(jobId, method, params) ?? Promise.reject(new InternalError("there are no other nodes")),
    };
    this.streams = new Streams({
      ...{ journal: this.journal, store, clock, jobs: this.jobs, elsewhere: toOwner },
      sessionOf: (id) => this.sessions.get(id),
      cancellation: () => this.cancellation,
    });
    this.checkpoints = new Checkpoints({
      ...{ journal: this.journal, store, clock, jobs: this.jobs, retentionMs: options.jobRetentionMs },
      elsewhere: toOwner,
      submission: () => this.submission,
      seqOf: (sessionId, jobId, n) => this.seqOf(sessionId, jobId, n),
    });
    this.watchdogs = new Watchdogs({
      ...{ clock, recovery: options.heartbeatRecovery },
      isResting: (job) => this.queue.isResting(job),
      tell: (job, deadlineMs) => {
        for (const { sessionId } of job.followers) this.sessions.get(sessionId)?.beat(job, deadlineMs);
      },
    });
    this.#durableTools = { journal: this.journal, clock, random: Math.random, live: new Map() };
    const queue = new JobQueue(options.concurrency, (principal) => options.hidesForeignJobs || hasTenant(principal));
    this.queue = queue;
    this.#waitingJobs = new WaitingJobs({ journal: this.journal, store, agents: this.agents });
    this.#member =
      shared &&
      new Member({
        ...{ store: shared, clock, logger, version, journal: this.journal, agents: this.agents, jobs: this.jobs },
        ...{ node: options.node, rates, queue },
        sessions: () => this.sessions,
        live: this.#durableTools.live,
        takeUp: (records, onMade) => this.#recovery.takeUp(records, onMade),
        onFenced: () => this.credentials.lose(),
        onDead: () => this.credentials.takeOver(shared),
        isDraining: () => this.submission.isClosed,
        onMustDrain: options.onMustDrain,
      });
    const launch = new Launch({
      ...{ queue, waitingJobs: this.#waitingJobs, keepsInputs: options.keepsInputs },
      credentials: this.credentials,
      durableTools: this.#durableTools,
      ...{ jobs: this.jobs, journal: this.journal, logger, jobTools: this.#jobTools, operations: options.operations },
      agentTools: {
        tools: this.tools,
        delegate: (parent, body, record) => this.#delegations.delegate(parent, body, record),
        delegateAgain: (parent, known) => this.#delegations.again(parent, known),
        credentialsOf: (job) => this.credentials.jobCredentials(job.id),
        explain: (error) => this.credentials.explain(error),
        artifacts: this.artifacts,
        handoff: options.handoff,
        ...{ streams: this.streams, checkpoints: this.checkpoints, watchdogs: this.watchdogs },
        people: () => this.people,
        ...{ queue, clock },
      },
    });
    this.#delegations = new Delegations({
      ...{
        agents: this.agents,
        jobs: this.jobs,
        journal: this.journal,
        store,
        clock,
        launch,
        leasePolicy,
        maxJobs,
        queue,
      },
      ...{ caps: options.delegationCaps, others: othersJobs, schemas: options.people.schemas },
      elsewhere: shared &&
        this.#member && {
          ...{ store: shared, remote: this.#member.cluster.remote, calls: this.#member, audit },
          findAgent: (reference) => this.cluster?.findAgent(reference),
        },
      cancelGraceMs: options.cancelGraceMs,
      sessionOf: (job) => this.sessions.get(job.sessionId),
      pauseOf: (job) => this.people.interrupts.pauseOf(job),
    });
    this.submission = new Submission({
      ...{ agents: this.agents, jobs: this.jobs, journal: this.journal, store, clock, launch, leasePolicy, openModels },
      ...{ queue, shared, remote: this.cluster?.remote },
      findElsewhere: (reference) => this.cluster?.findAgent(reference),
      idempotencyTtlMs: options.idempotencyTtlMs,
      audit,
      schemas: options.people.schemas,
      max: maxJobs,
      others: othersJobs,
    });
    this.schedules = new Schedules({
      ...{ journal: this.journal, store, clock, logger, audit, jobs: this.jobs, sessions: this.sessions },
      submission: this.submission,
      ...{ shared, onChanged: (id: string) => this.cluster?.tellAll(SCHEDULE_CHANGED, { id }) },
      limits: options.scheduleLimits,
      idempotencyTtlMs: options.idempotencyTtlMs,
    });
    this.durableJobs = new DurableJobs({
      ...{ store, agents: this.agents, launch, logger, tools: this.#durableTools },
    });
    this.observation = new Observation({
      remote: this.cluster?.remote,
      ...(shared && { cursorKey: () => shared.secret() }),
      ...{ jobs: this.jobs, journal: this.journal, store, audit, queue },
      access: this.access,
    });
    this.cancellation = new Cancellation({
      findLive: (id) => this.jobs.get(id),
      findStored: async (id) => {
        await this.journal.flush();
        return store.findJob(id);
      },
      isSessionKept: async (id) => this.sessions.get(id) !== undefined || (await shared?.findSession(id)) !== undefined,
      elsewhere: this.#member,
      authority: options.cancelAuthority,
      graceMs: options.cancelGraceMs,
      audit,
      access: this.access,
    });
    this.people = new People({
      ...{ journal: this.journal, store, clock, logger, audit, sessions: this.sessions, jobs: this.jobs },
      ...{ ...options.people, cancellation: this.cancellation, retentionMs: options.jobRetentionMs },
      others: this.#member,
      webhooks: this.webhooks,
    });
    metrics.observe({
      jobs: () => this.jobs.all(),
      queue: () => queue,
      sessions: () => this.sessions.all(),
      uncommittedBytes: () => this.journal.uncommittedBytes,
      credentials: () => ({
        revoking: this.credentials.outstanding().length,
        orphaned: this.#orphans?.count ?? 0,
      }),
    });
    const { cluster, cancellation, people, streams, checkpoints, schedules, jobs } = this;
    if (cluster !== undefined) {
      const rotate = (jobId: JobId, credentialId: string): Promise<void> => this.#rotateHere(jobId, credentialId);
      serveNodes(cluster, { jobs, cancellation, people, streams, checkpoints, schedules, rotate });
    }
    this.#recovery = new Recovery({
      ...{ store, clock, launch, cluster, jobs, people, streams, journal: this.journal, agents: this.agents },
      ...{ jobTools: this.#jobTools, durableTools: this.#durableTools, durableJobs: this.durableJobs },
      ...{ waitingJobs: this.#waitingJobs, delegations: this.#delegations, cancelGraceMs: this.cancelGraceMs },
      loadSession: async (id) => (cluster === undefined ? this.sessions.load(id) : this.sessions.get(id)),
    });
    this.ready = this.#recover(shared);
    this.ready.then(() => {
      this.#sweepLater();
      audit.tellHead(store, logger).catch((err) => logger.error({ err }, "the head of the audit cannot be read"));
      this.journal.room.start().catch((err) => logger.error({ err }, "no room is set aside for a disk that is full"));
    }, options.onStoreFailure);
  }

  /**
   * Takes no new work, and lets what runs go on for `drainMs` at most: durable jobs until they can be put aside without a
   * loss, others until they end. What then still runs ends with a retryable error, as after a crash; durable jobs and those
   * that have not begun are left to the next runtime. Resolves when that is durable. The store stays open.
   */
  async close(drainMs: number): Promise<ShutdownReport> {
    this.#stopSweep();
    this.submission.close();
    this.queue.close();
    await this.schedules.close();
    const finished: JobId[] = [];
    this.#finished = finished;
    const { live } = this.#durableTools;
    const asking = [...this.jobs.all()].filter((job) => job.isActive && job.isBlocked && !live.has(job));
    if (asking.length > 0 && drainMs > 0) {
      // An answer may still come, and ending them now would surely lose what they have done.
      const jobs = asking.map(({ id }) => id);
      this.#logger.warn({ jobs, drainMs }, "blocked jobs hold the stop up: their agents are not durable");
    }
    await drained(this.jobs, live, this.clock, drainMs);
    this.#finished = undefined;
    this.journal.close();
    const left = this.#putAside();
    const interruptedJobs = [...this.jobs.all()];
    for (const job of interruptedJobs) job.end({ status: "error", error: interrupted(RESTARTED) });
    await this.journal.flush();
    await this.webhooks.close();
    try {
      await this.credentials.close();
    } finally {
      await this.artifacts.close();
    }
    return { finished, ...left, interrupted: interruptedJobs.map(({ id }) => id) };
  }

  #putAside(): Pick<ShutdownReport, "handedOver" | "waiting"> {
    const { live } = this.#durableTools;
    const waiting = [...this.jobs.all()].filter((job) => job.state === "pending");
    const begun = [...live].filter(([job]) => job.state !== "pending");
    for (const job of waiting) {
      live.delete(job);
      job.putAside(interrupted(RESTARTED));
      this.jobs.remove(job);
    }
    for (const [job, run] of begun) {
      run.putAside(interrupted(RESTARTED));
      this.jobs.remove(job);
    }
    return { handedOver: begun.map(([{ id }]) => id), waiting: waiting.map(({ id }) => id) };
  }

  /** §9.8.2: a new secret, the word of it, and the end of the old one. The event is stored without the secret. */
  async rotate(jobId: JobId, credentialId: string): Promise<void> {
    if (this.jobs.get(jobId) !== undefined || this.#member === undefined) return this.#rotateHere(jobId, credentialId);
    await this.#member.call(jobId, ROTATE_CREDENTIAL, { jobId, credentialId });
  }

  async #rotateHere(jobId: JobId, credentialId: string): Promise<void> {
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
    this.cluster?.abort();
    this.journal.close();
    void this.schedules.close();
    void this.webhooks.close();
    this.credentials.abort();
    this.artifacts.abort();
    this.audit.abort();
    // A store that cannot be read may still write: what can be gone on with must not end in it.
    const { live } = this.#durableTools;
    for (const job of [...this.jobs.all()].filter((one) => live.has(one) || one.state === "pending")) {
      live.delete(job);
      job.putAside(interrupted(reason));
      this.jobs.remove(job);
    }
    for (const job of [...this.jobs.all()]) job.end({ status: "error", error: interrupted(reason) });
  }

  /** This process is no node any more, if there may be several: what it has left is anybody's. Rejects when the store does. */
  async leave(): Promise<void> {
    if (this.cluster === undefined) return;
    await this.cluster.stop();
    this.journal.end();
  }

  /**
   * Goes on with the durable jobs of a process that is no more, begins those that it had not begun, and ends its others, in
   * every feed that shows them. Parents come before their children.
   */
  async #recover(shared: SharedStore | undefined): Promise<void> {
    if (this.cluster === undefined) {
      const taken = await this.store.takeOver(this.clock.now());
      const followersOf = new Map(taken.map(({ job, followers }) => [job.id, followers]));
      await this.#recovery.takeUp(
        taken.map(({ job }) => job),
        async (job) => {
          for (const id of followersOf.get(job.id) ?? []) await this.#recovery.show(job, id);
        },
      );
    } else {
      await this.cluster.join();
      this.#joined.resolve();
    }
    await this.journal.flush();
    if (shared === undefined) await this.credentials.recover();
    this.artifacts.start();
    await this.schedules.start();
    this.durableJobs.open();
    this.#waitingJobs.open();
    await this.cluster?.start();
    if (shared !== undefined) await this.credentials.takeOver(shared);
    await this.webhooks.start();
  }

  /** The agents that jobs can be submitted for: of every node that takes jobs. */
  inventory(): readonly AgentInventoryEntry[] {
    const own = this.agents.inventory();
    return this.cluster?.inventory(own) ?? own;
  }

  /** Cancels the jobs of a session that other nodes run. Those that cannot be reached go on. */
  async cancelElsewhere(session: Session, reason: string): Promise<void> {
    const { store } = this;
    if (!isShared(store)) return;
    await this.journal.flush();
    const heads = await store.liveJobsOf([session.id]);
    const others = heads.filter(({ id }) => this.jobs.get(id) === undefined);
    const cancelled = others.map(async ({ id }) => {
      try {
        (await this.cancellation.prepare(session, id, reason))();
      } catch (err) {
        this.#logger.warn({ err, jobId: id }, "a job of a session that was closed could not be cancelled");
      }
    });
    await Promise.all(cancelled);
  }

  /** The others that share the store, and what they run; `undefined`: there are none. */
  get cluster(): Cluster | undefined {
    return this.#member?.cluster;
  }

  /** Reads what other nodes' jobs write; `undefined`: there are none. */
  readOthers(
    options: Pick<RemoteReaderOptions, "principal" | "wants" | "onWritten" | "logger">,
  ): RemoteReader | undefined {
    const { store, cluster } = this;
    if (cluster === undefined || !isShared(store)) return undefined;
    const { remote } = cluster;
    const isHere = (id: JobId): boolean => this.jobs.get(id) !== undefined;
    return new RemoteReader({ ...options, store, remote, isHere, self: () => cluster.id });
  }

  /** Resolves when there is room again, or when `job` has to stop; `undefined` while there is, and once it has. */
  #roomFor(job: Job): Promise<void> | undefined {
    const { gate } = this.journal.room;
    if (gate === undefined || job.signal.aborted) return undefined;
    return new Promise((resolve) => {
      void gate.then(resolve);
      job.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** Some of those that run: what they are told has to be stored, too. */
  #tellJobs(reason: StorageReason | undefined): void {
    const body =
      reason === undefined
        ? { phase: "storage_available", message: "what is said can be stored again: the job goes on" }
        : { phase: reason, message: `${storageSentence(reason)}: the job waits` };
    for (const job of [...this.jobs.all()].slice(0, MAX_TOLD_JOBS)) job.note(ENTRY.status, "status", body);
  }

  #sweepLater(): void {
    this.#stopSweep = this.clock.setTimer(() => {
      Promise.all([this.sessions.sweep(this.#retention), this.checkpoints.sweep()])
        .then(() => this.people.interactions.sweep())
        .then(() => this.audit.tend(this.store, this.#logger))
        .then(() => this.#orphans?.look())
        .catch((error) => this.#logger.error({ err: error }, "the retention sweep failed"))
        .finally(() => this.#sweepLater());
    }, SWEEP_EVERY_MS);
  }
}
