/** From `job.submit` to a job that runs (§7.1, §7.2). */
import {
  type Clock,
  DuplicateKeyError,
  InternalError,
  type JobId,
  type JsonObject,
  type Lease,
  type LeaseConstraints,
  newJobId,
  newTraceId,
  type SessionId,
  type TraceContext,
} from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import type { SharedStore } from "../store/shared.ts";
import { ENTRY, type EntryCode, type IdempotencyRecord, type Store } from "../store/store.ts";
import { agentError } from "./agent-failure.ts";
import { checkInput } from "./agent-input.ts";
import type { Agent, AgentName, AgentRegistry } from "./agents.ts";
import { type Audit, type AuditSubject, bySession } from "./audit/audit.ts";
import { leaseFacts } from "./audit/lease-facts.ts";
import { digestOf } from "./canonical-json.ts";
import type { Restored } from "./checkpoints.ts";
import type { RemoteJobs } from "./cluster/remote-jobs.ts";
import type { Issuance } from "./credentials/credentials.ts";
import type { Feed, OptionalEntry } from "./feed.ts";
import type { SchemaCompiler } from "./interactions/request.ts";
import type { JobOrigin } from "./job-facts.ts";
import type { JobMax, JobRegistry, OthersJobs } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import { acceptedPayload, type Launch, type LaunchRequest } from "./launch.ts";
import { Budget } from "./lease/budget.ts";
import { validateLeaseConstraints } from "./lease/constraints.ts";
import { isLiteralPart, validateLeaseEntries, validateLeaseShape } from "./lease/shape.ts";
import type { JobQueue } from "./queue/job-queue.ts";
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
  /** What the job answers, if it was asked for over wire 1.0. */
  readonly origin?: JobOrigin;
  /** Called in the turn, and for the batch, in which the job is made. What it throws prevents that. */
  readonly onMade?: (jobId: JobId) => void;
  /** The checkpoint that the job goes on from. */
  readonly restored?: Restored;
}

/** In whose name a job runs. A session that is not kept any more has no feed. */
export interface Submitter {
  readonly id: SessionId;
  readonly principal: string;
  readonly feed: Feed | undefined;
  readonly remoteAddress?: string | undefined;
}

/** What is told of an agent. */
export interface AgentDescription {
  /** `name@version`. */
  readonly agent: string;
  readonly description: string | undefined;
  /** JSON Schema. */
  readonly inputSchema: JsonObject | undefined;
}

/** What a submission would be granted. */
export interface CheckedSubmission {
  /** `name@version`. */
  readonly agent: string;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | undefined;
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
  readonly launch: Launch;
  readonly queue: JobQueue;
  readonly leasePolicy: LeasePolicy;
  /** The models of jobs whose leases do not speak of models; `undefined`: none (§9.7). */
  readonly openModels: readonly string[] | undefined;
  readonly idempotencyTtlMs: number;
  readonly audit: Audit;
  readonly schemas: SchemaCompiler;
  /** What other nodes have; `undefined`: there are none. */
  readonly shared?: Pick<SharedStore, "bindKey" | "releaseKey"> | undefined;
  readonly remote?: RemoteJobs | undefined;
  /** An agent that another node has. */
  readonly findElsewhere?: ((reference: string) => AgentName | undefined) | undefined;
  readonly max: JobMax;
  /** What other nodes have of a principal's jobs; `undefined`: there are none. */
  readonly others?: OthersJobs | undefined;
}

const MS_PER_SECOND = 1000;
/** How long a restart takes, about. */
const RETRY_AFTER_SECONDS = 2;
/** Characters of an agent's name that are recorded of a submission that was refused. */
const MAX_AGENT = 256;

export class Submission {
  readonly #options: SubmissionOptions;
  /** Keys whose first submission is on its way to the store. */
  readonly #binding = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(options: SubmissionOptions) {
    this.#options = options;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** From now on every new job is refused with a retryable error. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * Accepts a job, or finds the one that the same key stands for. `onAccepted` is called when that is durable, before
   * any event of the job is sent to this session. The agent is called in the same turn: it may think before its
   * acceptance is on disk, but nobody hears of it before. Throws, and changes nothing, for every reason to refuse.
   */
  async submit(session: Session, request: SubmitRequest, onAccepted: OnAccepted): Promise<void> {
    try {
      await this.#submit(session, request, onAccepted);
    } catch (error) {
      this.#recordRefusal(session, request.agent, error);
      throw error;
    }
  }

  async #submit(session: Session, request: SubmitRequest, onAccepted: OnAccepted): Promise<void> {
    const { idempotencyKey } = request;
    if (idempotencyKey === undefined) {
      await this.#accept(session, request, undefined, onAccepted);
      return;
    }
    const digest = digestOf([
      request.agent,
      request.input,
      request.leaseRequest,
      request.leaseConstraints,
      request.maxRuntimeSec,
      ...(request.restored === undefined ? [] : [request.restored.checkpointId]),
    ]);
    const binding = JSON.stringify([session.principal, idempotencyKey]);
    let earlier = await this.#earlier(binding, session.principal, idempotencyKey);
    // Between that answer and this line somebody else may have begun to bind the key; from here on nobody waits.
    while (earlier === undefined && this.#binding.has(binding)) {
      earlier = await this.#earlier(binding, session.principal, idempotencyKey);
    }
    if (earlier !== undefined) return this.#repeat(session, earlier, digest, onAccepted);
    const isBound = Promise.withResolvers<void>();
    this.#binding.set(binding, isBound.promise);
    const settle = (): void => {
      this.#binding.delete(binding);
      isBound.resolve();
    };
    try {
      const other = await this.#acceptOnce(session, request, { digest, key: idempotencyKey }, onAccepted);
      if (other !== undefined) await this.#repeat(session, other, digest, onAccepted);
    } catch (error) {
      settle();
      throw error;
    }
    this.#options.journal.flush().then(settle, settle);
  }

  /** Accepts the job, unless another node has bound the key meanwhile. Returns what it has bound it to. */
  async #acceptOnce(
    session: Session,
    request: SubmitRequest,
    key: { readonly digest: string; readonly key: string },
    onAccepted: OnAccepted,
  ): Promise<IdempotencyRecord | undefined> {
    const { shared, clock, idempotencyTtlMs } = this.#options;
    const { principal } = session;
    if (shared === undefined) {
      await this.#accept(session, request, key, onAccepted);
      return undefined;
    }
    const id = newJobId();
    const bound = await shared.bindKey({ ...key, principal, jobId: id, expiresAt: clock.now() + idempotencyTtlMs });
    if (bound.jobId !== id) return bound;
    try {
      await this.#accept(session, request, key, onAccepted, id);
    } catch (error) {
      await shared.releaseKey({ principal, key: key.key, jobId: id });
      throw error;
    }
    return undefined;
  }

  async #repeat(session: Session, bound: IdempotencyRecord, digest: string, onAccepted: OnAccepted): Promise<void> {
    if (bound.digest !== digest) {
      throw new DuplicateKeyError("the idempotency key stands for a submission with other parameters");
    }
    await this.#rejoin(session, bound.jobId, onAccepted);
  }

  /** The same without a key, also for a session that is gone. Resolves when the job is durable. */
  async run(submitter: Submitter, request: Omit<SubmitRequest, "idempotencyKey">, id?: JobId): Promise<void> {
    try {
      await this.#accept(submitter, { ...request, idempotencyKey: undefined }, undefined, () => {}, id);
    } catch (error) {
      this.#recordRefusal(submitter, request.agent, error);
      throw error;
    }
    await this.#options.journal.flush();
  }

  /** The record that a key is bound to; waits for one that is being bound. */
  async #earlier(binding: string, principal: string, key: string): Promise<IdempotencyRecord | undefined> {
    for (let current = this.#binding.get(binding); current !== undefined; current = this.#binding.get(binding)) {
      await current;
    }
    const record = await this.#options.store.findIdempotency(principal, key);
    if (record === undefined) return undefined;
    const isLive = this.#options.jobs.get(record.jobId) !== undefined;
    return isLive || record.expiresAt > this.#options.clock.now() ? record : undefined;
  }

  /** Which limit or policy it was is told; never a text that was sent. */
  #recordRefusal(submitter: Submitter, agent: string, error: unknown): void {
    const { code, details } = agentError(error);
    const reason = details?.["limit"] ?? details?.["reason"];
    this.#options.audit.record("job.refused", subjectOf(submitter), {
      ...{ agent: agent.slice(0, MAX_AGENT), code },
      ...(typeof reason === "string" && { reason }),
    });
  }

  /** A job without credentials is accepted in this turn. */
  async #accept(
    submitter: Submitter,
    request: SubmitRequest,
    key: { readonly digest: string; readonly key: string } | undefined,
    onAccepted: OnAccepted,
    id: JobId = newJobId(),
  ): Promise<void> {
    const { jobs, clock, launch, idempotencyTtlMs, remote } = this.#options;
    const { others } = this.#options;
    let { max } = this.#options;
    if (others !== undefined) max = await others(submitter.id, submitter.principal, max);
    if (this.#isClosed) throw closing();
    const agent = this.#resolve(request.agent);
    if (hasSchema(agent)) {
      await this.#checkInput(agent, request.input, submitter.principal);
      if (this.#isClosed) throw closing();
    }
    const now = clock.now();
    const lease = this.#grant(submitter.principal, agent, request.leaseRequest ?? {});
    const constraints = request.leaseConstraints && validateLeaseConstraints(request.leaseConstraints, now);
    const { id: sessionId, principal, feed } = submitter;
    const facts = {
      ...{ id, sessionId, principal, lease },
      leaseConstraints: constraints?.expires_at === undefined ? null : constraints,
      budget: Budget.fromLease(lease),
      openModels: this.#options.openModels,
      parentJobId: null,
      origin: request.origin,
      trace: request.trace ?? { traceId: newTraceId() },
      createdAt: now,
      maxRuntimeMs: request.maxRuntimeSec === undefined ? undefined : request.maxRuntimeSec * MS_PER_SECOND,
    };
    const idempotency = key && { ...key, principal, jobId: id, expiresAt: now + idempotencyTtlMs };
    const work = {
      facts,
      feed,
      onAccepted,
      input: request.input,
      leaseRequest: request.leaseRequest,
      restored: request.restored,
    };
    const asked = { ...work, ...(idempotency && { idempotency }) };
    if ("handler" in agent) await this.#launch(submitter, { ...asked, agent }, max, request.onMade);
    else {
      jobs.assertRoom(sessionId, principal, max);
      request.onMade?.(id);
      launch.place({ ...asked, agent, onPlaced: (lastN) => feed && remote?.follow(feed, id, lastN, true) });
    }
    const { commandId, command } = request.origin ?? {};
    this.#options.audit.record(
      "job.submitted",
      { ...subjectOf(submitter), jobId: id, traceId: facts.trace.traceId },
      {
        agent: `${agent.name}@${agent.version}`,
        ...leaseFacts(lease, request.leaseRequest, facts.leaseConstraints),
        ...(command !== undefined && { command }),
        ...(command === "job.schedule" && commandId !== undefined && { schedule_id: commandId }),
      },
    );
  }

  /** Makes the job here, when it has what it needs and there is room for it. */
  async #launch(
    { id: sessionId, principal }: Submitter,
    request: Omit<LaunchRequest, "issuance">,
    max: JobMax,
    onMade: SubmitRequest["onMade"],
  ): Promise<void> {
    const { jobs, launch, queue } = this.#options;
    const { facts, agent } = request;
    queue.assertRoom(principal, agent);
    const leave = jobs.reserve(sessionId, principal, max);
    let issuance: Issuance | undefined;
    try {
      if (launch.mustIssue(facts, agent)) issuance = await launch.issue(facts, agent);
    } finally {
      leave();
    }
    try {
      onMade?.(facts.id);
    } catch (error) {
      issuance?.abandon();
      throw error;
    }
    launch.start({ ...request, ...(issuance && { issuance }) });
  }

  /** Throws what {@link submit} throws for an agent that nobody can run, and for an input that it does not take. */
  async assertRuns(reference: string, input: unknown, principal: string): Promise<void> {
    const agent = this.#resolve(reference);
    if (hasSchema(agent)) await this.#checkInput(agent, input, principal);
  }

  /** What an agent is. One that another node has is known by its name alone. Throws as {@link AgentRegistry.resolve} does. */
  describe(reference: string): AgentDescription {
    const agent = this.#resolve(reference);
    const { description, inputSchema } = "handler" in agent ? agent : {};
    return { agent: `${agent.name}@${agent.version}`, description, inputSchema };
  }

  /** What a submission would be granted. Throws what it would be refused with, but for limits, which change, and makes no job. */
  async check(
    principal: string,
    request: Pick<SubmitRequest, "agent" | "input" | "leaseRequest" | "leaseConstraints">,
  ): Promise<CheckedSubmission> {
    const agent = this.#resolve(request.agent);
    if (hasSchema(agent)) await this.#checkInput(agent, request.input, principal);
    const lease = this.#grant(principal, agent, request.leaseRequest ?? {});
    const { leaseConstraints } = request;
    return {
      agent: `${agent.name}@${agent.version}`,
      lease,
      leaseConstraints: leaseConstraints && validateLeaseConstraints(leaseConstraints, this.#options.clock.now()),
    };
  }

  #checkInput(agent: Agent, input: unknown, owner: string): Promise<void> {
    return checkInput(agent, input, { schemas: this.#options.schemas, owner });
  }

  /** The agent, or what another node calls it. Throws as {@link AgentRegistry.resolve} does. */
  #resolve(reference: string): Agent | AgentName {
    try {
      return this.#options.agents.resolve(reference);
    } catch (error) {
      const elsewhere = this.#options.findElsewhere?.(reference);
      if (elsewhere === undefined) throw error;
      return elsewhere;
    }
  }

  #grant(principal: string, agent: AgentName, requested: Lease): Lease {
    const request = validateLeaseEntries(requested);
    const decided = this.#options.leasePolicy(request, { principal, agent: agent.name });
    if (decided === request) return validateLeaseShape(request);
    const granted = validateLeaseShape(decided, { mayBeUnlimited: true });
    if (!isLiteralPart(granted, request)) {
      throw new InternalError("the lease policy of the runtime grants what was not asked for");
    }
    return granted;
  }

  /** Shows an accepted job to a session that submits it again (§7.2). */
  async #rejoin(session: Session, jobId: JobId, onAccepted: OnAccepted): Promise<void> {
    const { jobs, journal, store, remote } = this.#options;
    const wasHere = jobs.get(jobId) !== undefined;
    const record = await store.findJob(jobId);
    if (record === undefined) throw new InternalError("the job of this idempotency key is not there yet, or gone");
    const payload = acceptedPayload(record);
    const accept = (): void =>
      journal.afterCommit(() => onAccepted({ jobId, traceId: record.traceId, payload, isRepeated: true }));
    if (remote !== undefined && record.sessionId === session.id && (await this.#isUnshown(session, jobId, remote))) {
      // It was made at the node that had the session before, and this one has not heard of it: from its beginning on.
      remote.follow(session.feed, jobId, 0, true);
      accept();
      return;
    }
    const live = jobs.get(jobId);
    const early = live === undefined || live.storedN === 0 ? [] : await store.readCodes(jobId, 1, live.storedN);
    const job = jobs.get(jobId);
    if (job !== undefined && !job.isTerminal) {
      if (!job.isFollowedBy(session.feed)) {
        addChunks(session, jobId, [...numbered(early), ...job.optionalEntries]);
        journal.putFollow({ sessionId: session.id, jobId, isOn: true, n: job.lastN });
        job.follow(session.feed);
      }
    } else if (remote !== undefined && record.endedAt === null && !wasHere) {
      if (!remote.isFollowedBy(session.feed, jobId)) {
        addChunks(session, jobId, numbered(await store.readCodes(jobId, 1, record.lastN)));
        journal.putFollow({ sessionId: session.id, jobId, isOn: true, n: record.lastN });
        remote.follow(session.feed, jobId, record.lastN, record.sessionId === session.id);
      }
    } else {
      await journal.flush();
      const ended = (await store.findJob(jobId)) ?? record;
      // It was here, has not ended, and is not here any more: another node goes on with it.
      if (wasHere && ended.endedAt === null && remote !== undefined) {
        throw new InternalError("the job of this idempotency key is changing hands");
      }
      const { firstN = 1, lastN } = ended;
      const hasChunks = ended.status === "success" && session.feed.shows(ENTRY.result_chunk);
      const codes = hasChunks ? await store.readCodes(jobId, firstN, lastN) : [];
      // It has ended elsewhere, and what was said there before is still on its way here, with the end behind it.
      if (remote?.isFollowing(session.feed, jobId) !== true) {
        addChunks(session, jobId, numbered(codes, firstN));
        session.feed.addHistory(jobId, lastN, 1);
      }
    }
    accept();
  }

  /** Has nothing been numbered in the session of this job, which another node has made, and will nothing be yet? */
  async #isUnshown(session: Session, jobId: JobId, remote: RemoteJobs): Promise<boolean> {
    const { jobs, journal, store } = this.#options;
    const isFollowed = (): boolean => jobs.get(jobId) !== undefined || remote.isFollowedBy(session.feed, jobId);
    if (isFollowed()) return false;
    await journal.flush();
    const position = await store.feedPosition(session.id, jobId, session.feed.committedHead);
    return (position ?? 0) === 0 && !isFollowed();
  }
}

/** Whoever comes after this runtime takes it. */
const closing = (): CanonicalError =>
  new CanonicalError("UNAVAILABLE", "the runtime is shutting down: it takes no new jobs", {
    details: { reason: "runtime_shutdown", retry_after_seconds: RETRY_AFTER_SECONDS },
  });

/** Is there something to check? Otherwise a job is accepted in the turn in which it is submitted. */
const hasSchema = (agent: Agent | AgentName): agent is Agent => "handler" in agent && agent.inputSchema !== undefined;

const subjectOf = ({ principal, id, remoteAddress }: Submitter): AuditSubject =>
  bySession({ principal, id, remoteAddress });

/** The codes of a journal from its first entry on, with their positions. */
const numbered = (codes: readonly EntryCode[], firstN = 1): readonly OptionalEntry[] =>
  codes.map((code, index) => [firstN + index, code]);

/** Numbers the result chunks among `entries`: the end of a job refers to them. */
function addChunks(session: Session, jobId: JobId, entries: readonly OptionalEntry[]): void {
  if (!session.feed.shows(ENTRY.result_chunk)) return;
  for (const [n, code] of entries) if (code === ENTRY.result_chunk) session.feed.addHistory(jobId, n, 1);
}
