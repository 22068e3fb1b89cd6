/** From `job.submit` to a job that runs (§7.1, §7.2). */
import {
  type Clock,
  DuplicateKeyError,
  InternalError,
  type JobId,
  type Lease,
  type LeaseConstraints,
  type Logger,
  newJobId,
  newTraceId,
  type TraceContext,
} from "@arcp/core";
import { ENTRY, type EntryCode, type IdempotencyRecord, type JobRecord, type Store } from "../store/store.ts";
import { AgentContext } from "./agent-context.ts";
import type { Agent, AgentRegistry } from "./agents.ts";
import { digestOf } from "./canonical-json.ts";
import { timestamp } from "./entry-text.ts";
import { Job, type JobTools } from "./job.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import { Budget } from "./lease/budget.ts";
import { validateLeaseConstraints } from "./lease/constraints.ts";
import { isLiteralPart, validateLeaseEntries } from "./lease/shape.ts";
import type { Acceptance, Session } from "./session.ts";

export interface SubmitRequest {
  /** As requested: `name` or `name@version`. */
  readonly agent: string;
  readonly input: unknown;
  readonly leaseRequest: Lease | undefined;
  readonly leaseConstraints: LeaseConstraints | undefined;
  readonly idempotencyKey: string | undefined;
  readonly maxRuntimeSec: number | undefined;
  readonly trace: TraceContext | undefined;
}

export type OnAccepted = (acceptance: Acceptance) => void;

/** Decides what a submitter is granted of what it asks for. It may take away, never add. */
export type LeasePolicy = (request: Lease, submitter: { readonly principal: string; readonly agent: string }) => Lease;

export interface SubmissionOptions {
  readonly agents: AgentRegistry;
  readonly jobs: JobRegistry;
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly jobTools: JobTools;
  readonly leasePolicy: LeasePolicy;
  readonly idempotencyTtlMs: number;
  readonly max: { readonly session: number; readonly principal: number };
}

const MS_PER_SECOND = 1000;
const FIRST_EPOCH = 1;

export class Submission {
  readonly #options: SubmissionOptions;
  /** Keys whose first submission is on its way to the store. */
  readonly #binding = new Map<string, { readonly digest: string; readonly isBound: Promise<void> }>();

  constructor(options: SubmissionOptions) {
    this.#options = options;
  }

  /**
   * Accepts a job, or finds the one that the same key stands for. `onAccepted` is called when that is durable, before
   * any event of the job is sent to this session. The agent is called in the same turn: it may think before its
   * acceptance is on disk, but nobody hears of it before. Throws, and changes nothing, for every reason to refuse.
   */
  async submit(session: Session, request: SubmitRequest, onAccepted: OnAccepted): Promise<void> {
    const { idempotencyKey } = request;
    if (idempotencyKey === undefined) {
      this.#accept(session, request, undefined, onAccepted);
      return;
    }
    const digest = digestOf([
      request.agent,
      request.input,
      request.leaseRequest,
      request.leaseConstraints,
      request.maxRuntimeSec,
    ]);
    const binding = JSON.stringify([session.principal, idempotencyKey]);
    let earlier = await this.#earlier(binding, session.principal, idempotencyKey);
    // Between that answer and this line somebody else may have begun to bind the key; from here on nobody waits.
    while (earlier === undefined && this.#binding.has(binding)) {
      earlier = await this.#earlier(binding, session.principal, idempotencyKey);
    }
    if (earlier !== undefined) {
      if (earlier.digest !== digest) {
        throw new DuplicateKeyError("the idempotency key stands for a submission with other parameters");
      }
      await this.#rejoin(session, earlier.jobId, onAccepted);
      return;
    }
    this.#accept(session, request, { digest, key: idempotencyKey, binding }, onAccepted);
  }

  /** The record that a key is bound to; waits for one that is being bound. */
  async #earlier(binding: string, principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    for (;;) {
      const current = this.#binding.get(binding);
      if (current === undefined) break;
      await current.isBound;
    }
    const record = await this.#options.store.findIdempotency(principal, key);
    if (record === undefined) return undefined;
    const isLive = this.#options.jobs.get(record.jobId) !== undefined;
    return isLive || record.expiresAt > this.#options.clock.now() ? record : undefined;
  }

  #accept(
    session: Session,
    request: SubmitRequest,
    idempotency: { readonly digest: string; readonly key: string; readonly binding: string } | undefined,
    onAccepted: OnAccepted,
  ): void {
    const { jobs, journal, clock, jobTools, idempotencyTtlMs, max } = this.#options;
    const agent = this.#options.agents.resolve(request.agent);
    const now = clock.now();
    const lease = this.#grant(session.principal, agent, request.leaseRequest ?? {});
    const constraints = request.leaseConstraints && validateLeaseConstraints(request.leaseConstraints, now);
    jobs.assertRoom(session.id, session.principal, max);

    const job = new Job(
      {
        ...{ id: newJobId(), sessionId: session.id, principal: session.principal, agent, lease },
        leaseConstraints: constraints?.expires_at === undefined ? null : constraints,
        budget: Budget.fromLease(lease),
        parentJobId: null,
        trace: request.trace ?? { traceId: newTraceId() },
        createdAt: now,
        maxRuntimeMs: request.maxRuntimeSec === undefined ? undefined : request.maxRuntimeSec * MS_PER_SECOND,
        epoch: FIRST_EPOCH,
      },
      jobTools,
    );
    const record = job.record();
    const payload = acceptedPayload(record);
    jobs.add(job);
    job.follow(session.feed);
    journal.addJob(record);
    if (idempotency) {
      const { digest, key, binding } = idempotency;
      const expiresAt = now + idempotencyTtlMs;
      journal.addIdempotency({ principal: session.principal, key, digest, jobId: job.id, expiresAt });
      this.#bind(binding, digest);
    }
    journal.afterCommit(() => onAccepted({ jobId: job.id, traceId: job.traceId, payload }));
    this.#start(job, agent, request.input);
  }

  #bind(binding: string, digest: string): void {
    const isBound = this.#options.journal.flush().finally(() => this.#binding.delete(binding));
    isBound.catch(() => {});
    this.#binding.set(binding, { digest, isBound });
  }

  #grant(principal: string, agent: Agent, requested: Lease): Lease {
    const request = validateLeaseEntries(requested);
    const decided = this.#options.leasePolicy(request, { principal, agent: agent.name });
    if (decided === request) return request;
    const granted = validateLeaseEntries(decided);
    if (!isLiteralPart(granted, request)) {
      throw new InternalError("the lease policy of the runtime grants what was not asked for");
    }
    return granted;
  }

  #start(job: Job, agent: Agent, input: unknown): void {
    const context = new AgentContext(job, this.#options.logger);
    job.start(async () => context.complete(await agent.handler(input, context)));
  }

  /** Shows an accepted job to a session that submits it again (§7.2). */
  async #rejoin(session: Session, jobId: JobId, onAccepted: OnAccepted): Promise<void> {
    const { jobs, journal, store } = this.#options;
    const record = await store.findJob(jobId);
    if (record === undefined) throw new InternalError("the job of this idempotency key is gone");
    const job = jobs.get(jobId);
    if (job !== undefined && !job.isTerminal) {
      if (!job.isFollowedBy(session.feed)) {
        addChunks(session, jobId, job.optionalEntries);
        journal.putFollow(session.id, jobId, true);
        job.follow(session.feed);
      }
    } else {
      await journal.flush();
      const ended = (await store.findJob(jobId)) ?? record;
      if (ended.status === "success" && session.feed.shows(ENTRY.result_chunk)) {
        const codes = await store.readCodes(jobId, 1, ended.lastN);
        addChunks(
          session,
          jobId,
          codes.map((code, index) => [index + 1, code]),
        );
      }
      session.feed.addHistory(jobId, ended.lastN, 1);
    }
    journal.afterCommit(() => onAccepted({ jobId, traceId: record.traceId, payload: acceptedPayload(record) }));
  }
}

/** Numbers the result chunks among `entries`: the end of a job refers to them. */
function addChunks(session: Session, jobId: JobId, entries: readonly (readonly [n: number, code: EntryCode])[]): void {
  if (!session.feed.shows(ENTRY.result_chunk)) return;
  for (const [n, code] of entries) if (code === ENTRY.result_chunk) session.feed.addHistory(jobId, n, 1);
}

/** The payload of `job.accepted` as JSON: the same text whenever it is asked for (§7.2). */
function acceptedPayload({ id, agent, agentVersion, lease, leaseConstraints, createdAt, traceId }: JobRecord): string {
  return JSON.stringify({
    job_id: id,
    agent: `${agent}@${agentVersion}`,
    lease,
    ...(leaseConstraints && { lease_constraints: leaseConstraints }),
    ...(lease["cost.budget"] && { budget: Budget.fromLease(lease)?.toJSON() }),
    accepted_at: timestamp(createdAt),
    trace_id: traceId,
  });
}
