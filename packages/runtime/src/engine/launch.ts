/** The last steps of every job, however it was asked for: it is made, numbered, stored, told of and started. */
import {
  ARCPError,
  InternalError,
  type JobId,
  type JsonObject,
  type Lease,
  LeaseExpiredError,
  type Logger,
} from "@arcp/core";
import { ENTRY, type IdempotencyRecord, type JobRecord } from "../store/store.ts";
import { AgentContext, type AgentTools } from "./agent-context.ts";
import type { OperationsFactory } from "./agent-operations.ts";
import type { Agent, AgentName } from "./agents.ts";
import type { Restored } from "./checkpoints.ts";
import type { Credentials, Issuance } from "./credentials/credentials.ts";
import { DurableRun, type DurableRunOptions } from "./durable/durable-run.ts";
import type { StoredRun } from "./durable/records.ts";
import { timestamp } from "./entry-text.ts";
import type { Feed } from "./feed.ts";
import { JobGuard } from "./guard.ts";
import { Job, type JobTools } from "./job.ts";
import type { JobFacts } from "./job-facts.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import { type KeptRequest, keptRequest } from "./kept-request.ts";
import { Budget } from "./lease/budget.ts";
import { parseInstant } from "./lease/constraints.ts";
import { type JobQueue, type Place, QUEUE_MEMBER } from "./queue/job-queue.ts";
import type { StoredWaiting, WaitingJobs } from "./queue/waiting-jobs.ts";
import { withRetries } from "./retry.ts";
import type { Acceptance } from "./session.ts";
import { JobSpans } from "./spans.ts";
import { measure } from "./standard-metrics.ts";

export interface LaunchOptions {
  readonly jobs: JobRegistry;
  readonly journal: Journal;
  readonly logger: Logger;
  readonly jobTools: JobTools;
  readonly operations: OperationsFactory;
  readonly agentTools: AgentTools;
  readonly credentials: Credentials;
  readonly durableTools: DurableRunOptions;
  readonly queue: JobQueue;
  readonly waitingJobs: WaitingJobs;
  /** Is what jobs were asked for kept, for whoever may observe them? */
  readonly keepsInputs: boolean;
}

export interface LaunchRequest {
  readonly facts: Omit<JobFacts, "agent" | "epoch">;
  readonly agent: Agent;
  readonly input: unknown;
  /** The lease that was asked for, of which the job's may be a part. */
  readonly leaseRequest?: Lease | undefined;
  /** The submitting session's; `undefined` if that is forgotten. */
  readonly feed: Feed | undefined;
  readonly idempotency?: IdempotencyRecord;
  /** What was issued for the job: it becomes the job's in this turn. */
  readonly issuance?: Issuance;
  /** The checkpoint that it goes on from. */
  readonly restored?: Restored | undefined;
  /** Called when the job is durable, before any event of it is sent to its session. */
  readonly onAccepted: (acceptance: Acceptance) => void;
}

/** What it takes to call an agent. */
interface Work {
  readonly job: Job;
  readonly agent: Agent;
  readonly input: unknown;
  /** The data of the checkpoint that the job goes on from. */
  readonly restored: unknown;
  /** `undefined`: the job is not durable. */
  readonly run: DurableRun | undefined;
}

/** A job whose agent is another node's. */
export interface PlacementRequest extends Omit<LaunchRequest, "agent" | "issuance"> {
  readonly agent: AgentName;
  readonly onPlaced: (lastN: number) => void;
}

/** What an upstream is told of a job. */
type IssueFacts = Pick<JobFacts, "id" | "lease" | "leaseConstraints" | "principal" | "budget">;

const FIRST_EPOCH = 1;

export class Launch {
  readonly #options: LaunchOptions;
  /** Of jobs with credentials: what upstreams in this process go through. */
  readonly #guards = new Map<JobId, JobGuard>();

  constructor(options: LaunchOptions) {
    this.#options = options;
  }

  /**
   * Issues what the job is to have, if anything and if that is sure to be revoked. Before the job is accepted, which
   * waits for it (§9.8.2).
   *
   * @throws ARCPError as {@link Credentials.issue} does.
   */
  async issue(facts: IssueFacts, agent: Agent, signal?: AbortSignal): Promise<Issuance | undefined> {
    const { credentials, jobs } = this.#options;
    if (!this.mustIssue(facts, agent)) return undefined;
    const { id, lease, principal, leaseConstraints, budget } = facts;
    const expiresAt = leaseConstraints?.expires_at;
    return credentials.issue(
      {
        ...{ jobId: id, lease, principal, agent: `${agent.name}@${agent.version}` },
        leaseConstraints: leaseConstraints ?? {},
        expiresAt: expiresAt === undefined ? undefined : parseInstant(expiresAt),
        remaining: () => jobs.get(id)?.budget ?? budget?.remaining() ?? new Map(),
        guard: () => this.#guards.get(id),
      },
      signal,
    );
  }

  /** What is kept of what the job was asked for, without its secrets; `undefined`: nothing. */
  #kept(
    { facts, input, leaseRequest }: Pick<LaunchRequest, "facts" | "input" | "leaseRequest">,
    hasCredentials: boolean,
  ): KeptRequest | undefined {
    if (!this.#options.keepsInputs) return undefined;
    const mask = hasCredentials ? this.#options.jobTools.maskOf(facts.id) : undefined;
    return keptRequest({ input, leaseRequest, maxRuntimeMs: facts.maxRuntimeMs }, mask);
  }

  /** Does a job with these facts wait for credentials? */
  mustIssue(facts: IssueFacts, agent: AgentName): boolean {
    const { credentials } = this.#options;
    const request = { lease: facts.lease, agent: `${agent.name}@${agent.version}`, principal: facts.principal };
    return credentials.canGuarantee && credentials.issuesFor(request);
  }

  /**
   * Makes the job and, if there is room for it, calls its agent, in this turn: the agent may think before its acceptance is
   * on disk, but nobody hears of it, and no guarded operation of its takes place, before that. A job that there is no room
   * for waits, and is begun later.
   */
  start(request: LaunchRequest): Job {
    const { facts, agent, input, leaseRequest, feed, idempotency, issuance, restored, onAccepted } = request;
    const { jobs, journal, jobTools, credentials } = this.#options;
    if (issuance?.commit() === false) throw new InternalError("the job's credentials are gone");
    const hasCredentials = issuance !== undefined && issuance.credentials.length > 0;
    const asked = storedRun(facts, input, hasCredentials);
    const kept = this.#kept({ facts, input, leaseRequest }, hasCredentials);
    const isInputKept = kept?.isInputExact === true;
    const run = agent.durable && DurableRun.fresh(asked, this.#options.durableTools, restored, isInputKept);
    const job = new Job({ ...facts, agent, hasCredentials, memory: run, epoch: FIRST_EPOCH }, jobTools);
    const record = job.record();
    jobTools.metrics.jobAccepted(job);
    const payload = acceptedPayload(record);
    jobs.add(job);
    if (feed !== undefined) job.follow(feed);
    journal.addJob(kept === undefined ? record : { ...record, asked: kept.text });
    run?.attach(job);
    run?.begin();
    if (idempotency !== undefined) journal.addIdempotency(idempotency);
    if (hasCredentials) job.whenEnded(() => credentials.release(job.id));
    journal.afterCommit(() => onAccepted({ jobId: job.id, traceId: job.traceId, payload }));
    this.#announce(job);
    const work: Work = { job, agent, input, restored: restored?.data, run };
    let hasWaited = false;
    const place = this.#enter(work, async () => this.#begin(work, hasWaited));
    if (place !== undefined) {
      hasWaited = true;
      this.#tellPlace(job, place);
      if (run === undefined) {
        const kept = restored === undefined ? {} : { restored: restored.data };
        this.#options.waitingJobs.keep(job, { run: asked, ...kept });
      }
    }
    return job;
  }

  /**
   * The same for an agent that only other nodes have: the job waits for one of them. `onPlaced` is called when it is anybody's, with
   * its last entry: from then on this process has no more to do with it.
   */
  place(request: PlacementRequest): void {
    const { jobs, journal, jobTools, waitingJobs } = this.#options;
    const { facts, agent, input, leaseRequest, feed, idempotency, restored, onAccepted, onPlaced } = request;
    const asked = storedRun(facts, input, this.mustIssue(facts, agent));
    const job = new Job({ ...facts, agent, hasCredentials: asked.hasCredentials, epoch: FIRST_EPOCH }, jobTools);
    const record = job.record();
    jobs.add(job);
    if (feed !== undefined) job.follow(feed);
    const kept = this.#kept({ facts, input, leaseRequest }, false);
    journal.addJob({ ...record, isForAnybody: true, ...(kept && { asked: kept.text }) });
    if (idempotency !== undefined) journal.addIdempotency(idempotency);
    journal.afterCommit(() => onAccepted({ jobId: job.id, traceId: job.traceId, payload: acceptedPayload(record) }));
    this.#announce(job);
    job.note(ENTRY.status, "status", { phase: "pending", message: `waits for a node that has ${job.agentRef}` });
    waitingJobs.hand(job, { run: asked, ...(restored !== undefined && { restored: restored.data }) });
    const { lastN } = job;
    job.putAside(new InternalError("the job is another node's", { details: { reason: "placed" } }));
    jobs.remove(job);
    journal.afterCommit(() => onPlaced(lastN));
  }

  /** The same for a job that was taken over before it had begun. */
  startLater(job: Job, agent: Agent, { run: { input }, restored }: StoredWaiting, run: DurableRun | undefined): void {
    const work: Work = { job, agent, input, restored, run };
    this.#enter(work, () => this.#beginAgain(work));
  }

  /**
   * Calls the agent of a job that was taken over once more, in its new life, with new credentials if it had any, as soon as
   * there is room for it.
   */
  resume(job: Job, agent: Agent, run: DurableRun): void {
    const work: Work = { job, agent, input: run.run.input, restored: undefined, run };
    this.#enter(work, () => this.#resume(work, run), { hasBegun: true });
  }

  /** Calls `begin` when it is the job's turn. What that throws ends the job. */
  #enter(
    { job, agent }: Work,
    begin: () => Promise<void>,
    options?: { readonly hasBegun: boolean },
  ): Place | undefined {
    const onTurn = (): void => {
      begin().catch((error) => job.end({ status: "error", error: ARCPError.from(error) }));
    };
    return this.#options.queue.enter(job, agent, onTurn, options);
  }

  async #resume(work: Work, run: DurableRun): Promise<void> {
    const { job } = work;
    if (isOver(job)) return;
    run.resume();
    await job.announce(ENTRY.status, "status", { phase: "resumed", message: "the runtime was restarted" });
    if (await this.#restoreCredentials(work)) this.#run(work);
  }

  async #beginAgain(work: Work): Promise<void> {
    if (!isOver(work.job) && (await this.#restoreCredentials(work))) this.#begin(work, true);
  }

  /** It is its turn. */
  #begin(work: Work, hasWaited: boolean): void {
    const { job, run } = work;
    if (isOver(job)) return;
    const { expiresInMs } = job.authority;
    if (hasWaited && expiresInMs !== undefined && expiresInMs <= 0) {
      job.end({ status: "error", error: new LeaseExpiredError("the lease expired before the job could begin") });
      return;
    }
    if (hasWaited) {
      this.#options.waitingJobs.forget(job);
      void job.announce(ENTRY.started, "x-vendor.arcp.started", {});
    } else if (job.origin !== undefined) void job.emit(ENTRY.started, "x-vendor.arcp.started", {});
    run?.startTime();
    this.#run(work, hasWaited);
  }

  /** Issues again what the job had. Resolves with whether it can be gone on with; otherwise it has ended. */
  async #restoreCredentials({ job, agent }: Work): Promise<boolean> {
    if (!job.hasCredentials) return true;
    try {
      const issuance = await this.#issueAgain(job, agent);
      if (isOver(job)) {
        issuance?.abandon();
        return false;
      }
      if (issuance?.commit() === false) throw new InternalError("the job's credentials are gone");
      job.whenEnded(() => this.#options.credentials.release(job.id));
      for (const { id } of issuance?.credentials ?? []) {
        await job.announce(ENTRY.credential_rotated, "status", { phase: "credential_rotated", id });
      }
      return true;
    } catch (error) {
      job.end({ status: "error", error: ARCPError.from(error) });
      return false;
    }
  }

  /** Says that the job waits, and where it stood when that began: where it stands now is for those who ask. */
  #tellPlace(job: Job, { position, length }: Place): void {
    const message = `waits for capacity, number ${position} of ${length}`;
    job.note(ENTRY.status, "status", { phase: "pending", message, [QUEUE_MEMBER]: { position, length } });
  }

  #issueAgain(job: Job, agent: Agent): Promise<Issuance | undefined> {
    const { id, lease, leaseConstraints, submitterPrincipal: principal } = job;
    const facts = { id, lease, principal, leaseConstraints: leaseConstraints ?? null, budget: job.authority.budget };
    return this.issue(facts, agent, job.signal);
  }

  /** Tells of the job, if it was asked for over wire 1.0. */
  #announce(job: Job): void {
    const { origin } = job;
    if (origin !== undefined) {
      const { commandId: command_id, mode, command } = origin;
      const { lease, leaseConstraints } = job;
      const body = {
        ...{ command_id, mode, command, agent: job.agentRef },
        ...(Object.keys(lease).length > 0 && { lease }),
        ...(leaseConstraints && { lease_constraints: leaseConstraints }),
      };
      void job.emit(ENTRY.accepted, "x-vendor.arcp.accepted", body);
    }
  }

  /** With `isLate` the agent is called when it is on disk that it was: a job that is not durable begins once. */
  #run({ job, agent, input, restored, run }: Work, isLate = false): void {
    const { logger, operations, agentTools, jobTools, queue } = this.#options;
    const { checkpoints, watchdogs } = agentTools;
    const guard = new JobGuard(job);
    if (job.hasCredentials) {
      this.#guards.set(job.id, guard);
      job.whenEnded(() => this.#guards.delete(job.id));
    }
    measure(job, jobTools.clock);
    const spans = new JobSpans(job, jobTools.clock);
    const newContext = (): AgentContext => {
      const context = new AgentContext({
        ...{ job, guard, logger, operations, spans, input, run, tools: agentTools },
        restored: run === undefined ? restored : run.restored,
      });
      if (namesFiles(job.lease)) context.pinOperations();
      return context;
    };
    const context = newContext();
    if (agent.heartbeat !== undefined) watchdogs.watch(job, agent.heartbeat);
    job.start(async () => {
      try {
        if (isLate) await job.flush();
        if (run !== undefined) return await this.#callDurable(job, agent, run, context, newContext);
        const { retry } = agent;
        if (retry === undefined) return context.complete(await agent.handler(input, context));
        const call = async (): Promise<unknown> => agent.handler(input, context);
        const rest = (wait: Promise<void>): Promise<void> => queue.rest(job, wait);
        const tools = { clock: jobTools.clock, random: Math.random, mayRepeat: () => !context.hasResultPieces, rest };
        return context.complete(await withRetries(job, retry, call, tools));
      } finally {
        const last = checkpoints.lastOf(job);
        if (last !== undefined) await last;
      }
    });
  }

  /** Each call of a durable agent has a context of its own, and does what is on record no second time. */
  async #callDurable(
    job: Job,
    agent: Agent,
    run: DurableRun,
    first: AgentContext,
    newContext: () => AgentContext,
  ): Promise<unknown> {
    const { clock } = this.#options.jobTools;
    const { input } = run.run;
    let context = first;
    const call = async (): Promise<unknown> => {
      const returned = await agent.handler(input, context);
      const problem = run.problemAtEnd();
      if (problem !== undefined) throw problem;
      return returned;
    };
    const rest = (wait: Promise<void>): Promise<void> => run.whileResting(this.#options.queue.rest(job, wait));
    await (run.progress.retried === undefined ? run.mayCall() : rest(run.mayCall()));
    const { retry = CALLED_ONCE } = agent;
    const returned = await withRetries(job, retry, call, {
      ...{ clock, random: Math.random, mayRepeat: () => true, failures: run.progress.failures, rest },
      onRetry: (failure, delayMs) => {
        run.callAgain(failure, clock.now() + delayMs);
        context = newContext();
      },
    });
    return context.complete(returned);
  }
}

/** What a restart needs of it, and its row does not have. */
const storedRun = (facts: LaunchRequest["facts"], input: unknown, hasCredentials: boolean): StoredRun => {
  const { origin, depth = 0, openModels, maxRuntimeMs } = facts;
  const { traceId: _, ...caller } = facts.trace;
  return {
    ...{ input: input ?? null, depth, hasCredentials },
    ...(origin && { origin }),
    ...(openModels && { openModels }),
    ...(maxRuntimeMs !== undefined && { maxRuntimeMs }),
    ...(caller.parentSpanId !== undefined && { caller }),
  };
};

const isOver = (job: Job): boolean => job.isTerminal || job.isAside;

const CALLED_ONCE = { maxAttempts: 1 };

const namesFiles = (lease: JobFacts["lease"]): boolean =>
  Object.hasOwn(lease, "fs.read") || Object.hasOwn(lease, "fs.write");

/** The payload of `job.accepted` as JSON: the same text whenever it is asked for (§7.2). */
export function acceptedPayload(job: JobRecord): string {
  const { id, agent, agentVersion, lease, leaseConstraints, createdAt, traceId, parentJobId, delegateId } = job;
  const payload: JsonObject = {
    job_id: id,
    agent: `${agent}@${agentVersion}`,
    lease,
    ...(leaseConstraints && { lease_constraints: leaseConstraints }),
    ...(lease["cost.budget"] && { budget: Budget.fromLease(lease)?.toJSON() }),
    ...(parentJobId !== null && { parent_job_id: parentJobId }),
    ...(delegateId !== null && { delegate_id: delegateId }),
    accepted_at: timestamp(createdAt),
    trace_id: traceId,
  };
  return JSON.stringify(payload);
}
