/** The last steps of every job, however it was asked for: it is made, numbered, stored, told of and started. */
import { ARCPError, InternalError, type JobId, type JsonObject, type Logger } from "@arcp/core";
import { ENTRY, type IdempotencyRecord, type JobRecord } from "../store/store.ts";
import { AgentContext, type AgentTools } from "./agent-context.ts";
import type { OperationsFactory } from "./agent-operations.ts";
import type { Agent } from "./agents.ts";
import type { Restored } from "./checkpoints.ts";
import type { Credentials, Issuance } from "./credentials/credentials.ts";
import { DurableRun, type DurableRunOptions } from "./durable/durable-run.ts";
import { timestamp } from "./entry-text.ts";
import type { Feed } from "./feed.ts";
import { JobGuard } from "./guard.ts";
import { Job, type JobFacts, type JobTools } from "./job.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import { Budget } from "./lease/budget.ts";
import { parseInstant } from "./lease/constraints.ts";
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
}

export interface LaunchRequest {
  readonly facts: Omit<JobFacts, "agent" | "epoch">;
  readonly agent: Agent;
  readonly input: unknown;
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

  /** Does a job with these facts wait for credentials? */
  mustIssue(facts: IssueFacts, agent: Agent): boolean {
    const { credentials } = this.#options;
    const request = { lease: facts.lease, agent: `${agent.name}@${agent.version}`, principal: facts.principal };
    return credentials.canGuarantee && credentials.issuesFor(request);
  }

  /**
   * Makes the job and calls its agent, in this turn: the agent may think before its acceptance is on disk, but nobody
   * hears of it, and no guarded operation of its takes place, before that.
   */
  start({ facts, agent, input, feed, idempotency, issuance, restored, onAccepted }: LaunchRequest): Job {
    const { jobs, journal, jobTools, credentials } = this.#options;
    if (issuance?.commit() === false) throw new InternalError("the job's credentials are gone");
    const hasCredentials = issuance !== undefined && issuance.credentials.length > 0;
    const run = agent.durable && this.#newRun(facts, input, hasCredentials, restored);
    const job = new Job({ ...facts, agent, hasCredentials, memory: run, epoch: FIRST_EPOCH }, jobTools);
    const record = job.record();
    const payload = acceptedPayload(record);
    jobs.add(job);
    if (feed !== undefined) job.follow(feed);
    journal.addJob(record);
    run?.attach(job);
    run?.begin();
    if (idempotency !== undefined) journal.addIdempotency(idempotency);
    if (hasCredentials) job.whenEnded(() => credentials.release(job.id));
    journal.afterCommit(() => onAccepted({ jobId: job.id, traceId: job.traceId, payload }));
    this.#announce(job);
    this.#run(job, agent, input, restored?.data, run);
    return job;
  }

  /**
   * Calls the agent of a job that was taken over once more, in its new life, with new credentials if it had any. Resolves
   * when it was called, or has ended because it could not be.
   */
  async resume(job: Job, agent: Agent, run: DurableRun): Promise<void> {
    const { credentials } = this.#options;
    run.resume();
    await job.announce(ENTRY.status, "status", { phase: "resumed", message: "the runtime was restarted" });
    if (job.hasCredentials) {
      try {
        const issuance = await this.#issueAgain(job, agent);
        if (job.isTerminal) {
          issuance?.abandon();
          return;
        }
        if (issuance?.commit() === false) throw new InternalError("the job's credentials are gone");
        job.whenEnded(() => credentials.release(job.id));
        for (const { id } of issuance?.credentials ?? []) {
          await job.announce(ENTRY.credential_rotated, "status", { phase: "credential_rotated", id });
        }
      } catch (error) {
        job.end({ status: "error", error: ARCPError.from(error) });
        return;
      }
    }
    this.#run(job, agent, run.run.input, undefined, run);
  }

  #issueAgain(job: Job, agent: Agent): Promise<Issuance | undefined> {
    const { id, lease, leaseConstraints, submitterPrincipal: principal } = job;
    const facts = { id, lease, principal, leaseConstraints: leaseConstraints ?? null, budget: job.authority.budget };
    return this.issue(facts, agent, job.signal);
  }

  #newRun(
    facts: LaunchRequest["facts"],
    input: unknown,
    hasCredentials: boolean,
    restored: Restored | undefined,
  ): DurableRun {
    const { origin, depth = 0, openModels, maxRuntimeMs, createdAt } = facts;
    return DurableRun.fresh(
      {
        ...{ input: input ?? null, depth, hasCredentials },
        ...(origin && { origin }),
        ...(openModels && { openModels }),
        ...(maxRuntimeMs !== undefined && { maxRuntimeMs, deadlineAt: createdAt + maxRuntimeMs }),
      },
      this.#options.durableTools,
      restored,
    );
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
      void job.emit(ENTRY.started, "x-vendor.arcp.started", {});
    }
  }

  #run(job: Job, agent: Agent, input: unknown, restored: unknown, run: DurableRun | undefined): void {
    const { logger, operations, agentTools, jobTools } = this.#options;
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
        if (run !== undefined) return await this.#callDurable(job, agent, run, context, newContext);
        const { retry } = agent;
        if (retry === undefined) return context.complete(await agent.handler(input, context));
        const call = async (): Promise<unknown> => agent.handler(input, context);
        const tools = { clock: jobTools.clock, random: Math.random, mayRepeat: () => !context.hasResultPieces };
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
    const { retry = CALLED_ONCE } = agent;
    const returned = await withRetries(job, retry, call, {
      ...{ clock, random: Math.random, mayRepeat: () => true, failures: run.progress.failures },
      onRetry: (failure) => {
        run.callAgain(failure);
        context = newContext();
      },
    });
    return context.complete(returned);
  }
}

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
