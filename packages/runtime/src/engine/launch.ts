/** The last steps of every job, however it was asked for: it is made, numbered, stored, told of and started. */
import { InternalError, type JobId, type JsonObject, type Logger } from "@arcp/core";
import { ENTRY, type IdempotencyRecord, type JobRecord } from "../store/store.ts";
import { AgentContext, type AgentTools } from "./agent-context.ts";
import type { OperationsFactory } from "./agent-operations.ts";
import type { Agent } from "./agents.ts";
import type { Restored } from "./checkpoints.ts";
import type { Credentials, Issuance } from "./credentials/credentials.ts";
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
  async issue(facts: LaunchRequest["facts"], agent: Agent, signal?: AbortSignal): Promise<Issuance | undefined> {
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
  mustIssue(facts: LaunchRequest["facts"], agent: Agent): boolean {
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
    const job = new Job({ ...facts, agent, hasCredentials, epoch: FIRST_EPOCH }, jobTools);
    const record = job.record();
    const payload = acceptedPayload(record);
    jobs.add(job);
    if (feed !== undefined) job.follow(feed);
    journal.addJob(record);
    if (idempotency !== undefined) journal.addIdempotency(idempotency);
    if (hasCredentials) job.whenEnded(() => credentials.release(job.id));
    journal.afterCommit(() => onAccepted({ jobId: job.id, traceId: job.traceId, payload }));
    this.#run(job, agent, input, restored);
    return job;
  }

  #run(job: Job, agent: Agent, input: unknown, restored: Restored | undefined): void {
    const { logger, operations, agentTools, jobTools } = this.#options;
    const { checkpoints, watchdogs } = agentTools;
    const guard = new JobGuard(job);
    if (job.hasCredentials) {
      this.#guards.set(job.id, guard);
      job.whenEnded(() => this.#guards.delete(job.id));
    }
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
    measure(job, jobTools.clock);
    const spans = new JobSpans(job, jobTools.clock);
    const context = new AgentContext({
      ...{ job, guard, logger, operations, spans, input, restored: restored?.data },
      tools: agentTools,
    });
    if (namesFiles(job.lease)) context.pinOperations();
    if (agent.heartbeat !== undefined) watchdogs.watch(job, agent.heartbeat);
    job.start(async () => {
      try {
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
}

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
