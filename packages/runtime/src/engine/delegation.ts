/**
 * Delegation (§10): an agent hands a part of its authority to another agent, whose job is a child of its own. The
 * child's lease lies within the parent's, its budget is taken from the parent's, and it does not outlive a parent that
 * failed.
 */
import {
  type Clock,
  type DelegateBody,
  InternalError,
  InvalidRequestError,
  type JobId,
  type Lease,
  type LeaseConstraints,
  LeaseExpiredError,
  LeaseSubsetViolationError,
  newDelegateId,
  newJobId,
} from "@arcp/core";
import { ENTRY, isTerminal, type JobRecord, type Store } from "../store/store.ts";
import { agentError } from "./agent-failure.ts";
import { checkInput } from "./agent-input.ts";
import type { Agent, AgentName, AgentRegistry } from "./agents.ts";
import type { Audit } from "./audit/audit.ts";
import { leaseFacts } from "./audit/lease-facts.ts";
import { tooMany } from "./caps.ts";
import type { Elsewhere } from "./cluster/elsewhere.ts";
import { RemoteChild, type RemoteChildOptions } from "./cluster/remote-child.ts";
import type { RemoteJobs } from "./cluster/remote-jobs.ts";
import type { Issuance } from "./credentials/credentials.ts";
import {
  type Child,
  type Delegation,
  type DelegationEnd,
  delegatedJob,
  endedChild,
  forgottenChild,
  refusedDelegation,
} from "./delegated-job.ts";
import { jsonOf } from "./entry-text.ts";
import type { SchemaCompiler } from "./interactions/request.ts";
import type { Job } from "./job.ts";
import type { JobMax, JobRegistry, OthersJobs } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import type { Launch, LaunchRequest } from "./launch.ts";
import { Budget } from "./lease/budget.ts";
import { assertLeaseConstraintsSubset, validateLeaseConstraints } from "./lease/constraints.ts";
import { validateLeaseShape } from "./lease/shape.ts";
import { assertLeaseSubset } from "./lease/subset.ts";
import type { JobQueue } from "./queue/job-queue.ts";
import type { Session } from "./session.ts";
import type { LeasePolicy } from "./submission.ts";
import type { WorkSpan } from "./telemetry.ts";
import { startDelegationSpan } from "./work-spans.ts";

/** How deep and how wide jobs may delegate (§10). */
export interface DelegationCaps {
  /** Jobs above a job that delegates. */
  readonly maxDepth: number;
  /** Children of one job that have not ended. */
  readonly maxLiveChildren: number;
}

/** The caps of delegation where none are given. */
export const DEFAULT_DELEGATION_CAPS: DelegationCaps = { maxDepth: 8, maxLiveChildren: 32 };

export interface DelegationsOptions {
  readonly agents: AgentRegistry;
  readonly jobs: JobRegistry;
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly launch: Launch;
  readonly queue: JobQueue;
  readonly leasePolicy: LeasePolicy;
  readonly caps: DelegationCaps;
  readonly maxJobs: JobMax;
  /** What other nodes have of a principal's jobs; `undefined`: there are none. */
  readonly others?: OthersJobs | undefined;
  readonly cancelGraceMs: number;
  readonly schemas: SchemaCompiler;
  /** The other nodes, which have agents that this one has not; `undefined`: there are none. */
  readonly elsewhere?: DelegationElsewhere | undefined;
  /** The session of the jobs, if it is kept. */
  readonly sessionOf: (job: Job) => Session | undefined;
  /** What a job that people have interrupted waits for (RFC §10.5). */
  readonly pauseOf: (job: Job) => Promise<void> | undefined;
}

/** What is needed of other nodes. */
export interface DelegationElsewhere {
  readonly findAgent: (reference: string) => AgentName | undefined;
  readonly store: RemoteChildOptions["store"];
  readonly remote: RemoteJobs;
  readonly calls: Elsewhere;
  readonly audit: Audit;
}

/** The children of one live job. */
interface Children {
  readonly live: Set<LiveChild>;
  readonly delegateIds: Set<string>;
  /** Children that wait for their credentials. */
  pending: number;
}

export class Delegations {
  readonly #options: DelegationsOptions;
  readonly #children = new WeakMap<Job, Children>();
  /** Children that other nodes run, of parents that this one runs. */
  readonly #remote = new Map<JobId, RemoteChild>();

  constructor(options: DelegationsOptions) {
    this.#options = options;
  }

  /**
   * Delegates from `parent`. Rejects in every part with {@link InvalidRequestError} if it cannot be announced. `record` is
   * told, in the turn and for the batch in which it happens, what becomes of it.
   */
  delegate(parent: Job, body: DelegateBody, record?: DelegationRecord): Delegation {
    const children = this.#childrenOf(parent);
    const delegateId = record?.announced ?? body.delegate_id ?? record?.newDelegateId() ?? newDelegateId();
    if (children.delegateIds.has(delegateId)) {
      const details = { delegate_id: delegateId };
      return refusedDelegation(new InvalidRequestError("the delegate_id was used before in this job", { details }));
    }
    let announced: Announced;
    try {
      // What the child gets is what was announced: a copy, which nobody can change on the way, without the parent's
      // secrets, which the child might tell of.
      const text = jsonOf({ input: null, lease_request: {}, ...body, delegate_id: delegateId });
      announced = JSON.parse(parent.masked(text)) as Announced;
    } catch (error) {
      return refusedDelegation(error);
    }
    const written =
      record?.announced === undefined
        ? parent.emit(ENTRY.delegate, "delegate", announced).then(() => {})
        : Promise.resolve();
    written.catch(() => {});
    record?.onAnnounced(delegateId);
    children.delegateIds.add(delegateId);
    const span = startDelegationSpan(parent, announced.agent, delegateId);
    const child = this.#launch(parent, children, announced, { record, span });
    child.then(
      () => span?.end(),
      (error) => span?.end(agentError(error).code),
    );
    child.catch(async (error) => {
      const refusal = agentError(error);
      parent.audit("delegation.refused", { agent: announced.agent, delegate_id: delegateId, code: refusal.code });
      const outcome = { call_id: delegateId, error: refusal.toWire() };
      record?.onRefused(refusal);
      await parent.announce(ENTRY.tool_result, "tool_result", outcome).catch(() => {});
    });
    return Object.assign(written, delegatedJob(delegateId, child, this.#options));
  }

  #childrenOf(parent: Job): Children {
    let children = this.#children.get(parent);
    if (children === undefined) {
      const made: Children = { live: new Set(), delegateIds: new Set(), pending: 0 };
      children = made;
      this.#children.set(parent, made);
      parent.signal.addEventListener("abort", () => this.#parentStopped(parent, made), { once: true });
    }
    return children;
  }

  /** The child, started. Rejects with the refusal, and then nothing is left of it. */
  async #launch(
    parent: Job,
    children: Children,
    body: Announced,
    { record, span }: { readonly record: DelegationRecord | undefined; readonly span: WorkSpan | undefined },
  ): Promise<Child> {
    const { agents, jobs, clock, launch, sessionOf, pauseOf, queue, others, schemas } = this.#options;
    const pause = pauseOf(parent);
    if (pause !== undefined) await pause;
    let { maxJobs } = this.#options;
    if (others !== undefined) maxJobs = await others(parent.sessionId, parent.submitterPrincipal, maxJobs);
    const assertMay = (): void => {
      parent.assertLive();
      if (parent.stopReason !== undefined) throw parent.stopReason;
      authorizeDelegation(parent, body.agent);
    };
    assertMay();
    const agent = this.#resolve(agents, body.agent);
    if ("handler" in agent && agent.inputSchema !== undefined) {
      await checkInput(agent, body.input, { schemas, owner: parent.submitterPrincipal });
      assertMay();
    }
    const lease = this.#grant(parent, agent.name, body.lease_request);
    const constraints = constrain(parent, body.lease_constraints, clock.now());
    this.#assertRoom(parent, children);
    jobs.assertRoom(parent.sessionId, parent.submitterPrincipal, maxJobs);
    const isHere = "handler" in agent;
    if (isHere) queue.assertRoom(parent.submitterPrincipal, agent);
    else assertOwnBudget(parent, lease);
    const budget = parent.authority.budget?.reserve(lease);
    const facts = {
      id: newJobId(),
      sessionId: parent.sessionId,
      principal: parent.submitterPrincipal,
      lease,
      leaseConstraints: constraints,
      budget,
      openModels: parent.authority.openModels,
      parentJobId: parent.id,
      delegateId: body.delegate_id,
      depth: parent.depth + 1,
      trace: span?.below(parent.trace) ?? parent.trace,
      createdAt: clock.now(),
      maxRuntimeMs: undefined,
    };
    if (!isHere) return this.#place(parent, children, { ...facts, agent, input: body.input }, record);
    const issuance = launch.mustIssue(facts, agent)
      ? await this.#issue(parent, children, facts, agent, maxJobs)
      : undefined;
    const session = sessionOf(parent);
    record?.onMade(body.delegate_id, facts.id);
    const job = launch.start({
      ...{ agent, facts, input: body.input, leaseRequest: body.lease_request, feed: session?.feed },
      ...(issuance && { issuance }),
      onAccepted: (acceptance) => session?.announce(acceptance),
    });
    job.audit("job.delegated", {
      ...{ agent: job.agentRef, parent_job_id: parent.id, delegate_id: body.delegate_id },
      ...leaseFacts(lease, body.lease_request, constraints),
    });
    this.#join(children, job);
    return job;
  }

  /** The agent, or what another node calls it. Throws as {@link AgentRegistry.resolve} does. */
  #resolve(agents: AgentRegistry, reference: string): Agent | AgentName {
    try {
      return agents.resolve(reference);
    } catch (error) {
      const elsewhere = this.#options.elsewhere?.findAgent(reference);
      if (elsewhere === undefined) throw error;
      return elsewhere;
    }
  }

  /** The child, for a node that has its agent. */
  #place(
    parent: Job,
    children: Children,
    { agent, input, budget, ...facts }: LaunchRequest["facts"] & { readonly agent: AgentName; readonly input: unknown },
    record: DelegationRecord | undefined,
  ): Child {
    const { launch, sessionOf } = this.#options;
    const session = sessionOf(parent);
    const { id, lease, delegateId = "" } = facts;
    record?.onMade(delegateId, id);
    const hasCredentials = launch.mustIssue({ ...facts, budget }, agent);
    launch.place({
      ...{ agent, input, feed: session?.feed },
      // Its node counts for itself; here it is taken off as a whole.
      facts: { ...facts, budget: Budget.fromLease(lease) },
      onAccepted: (acceptance) => session?.announce(acceptance),
      onPlaced: (lastN) => session && this.#options.elsewhere?.remote.follow(session.feed, id, lastN, true),
    });
    parent.audit("job.delegated", {
      ...{ agent: `${agent.name}@${agent.version}`, parent_job_id: parent.id, delegate_id: delegateId },
      ...leaseFacts(lease, lease, facts.leaseConstraints),
    });
    return this.#follow(parent, children, { ...facts, budget, hasCredentials }, record !== undefined);
  }

  /** A child that another node runs, or will. `isKept`: the parent is durable, and whoever goes on with it must know. */
  #follow(
    parent: Job,
    children: Children,
    facts: Pick<RemoteChildOptions, "id" | "lease" | "budget" | "hasCredentials"> & Pick<JobRecord, "leaseConstraints">,
    isKept: boolean,
  ): Child {
    const { elsewhere, clock } = this.#options;
    if (elsewhere === undefined) throw new InternalError("there are no other nodes");
    const { store, remote, calls, audit } = elsewhere;
    const { id } = facts;
    const { submitterPrincipal: principal, sessionId, traceId } = parent;
    const child = new RemoteChild({
      ...{ store, remote, clock, elsewhere: calls },
      ...{ ...facts, leaseConstraints: facts.leaseConstraints ?? undefined },
      audit: (said) => audit.record("job.cancelled", { principal, sessionId, jobId: id, traceId }, said),
    });
    this.#remote.set(id, child);
    children.live.add(child);
    if (isKept) {
      this.#putOwed(parent, id, true);
      for (const one of [parent, child]) one.whenEnded(() => this.#putOwed(parent, id, false));
    }
    child.whenEnded(() => {
      this.#remote.delete(id);
      children.live.delete(child);
    });
    return child;
  }

  /** Is what the child does not spend still to come back? Changed in the batch in which it comes. */
  #putOwed({ id: jobId, submitterPrincipal: principal }: Job, id: JobId, isOwed: boolean): void {
    const data = isOwed ? "{}" : null;
    this.#options.journal.putRecord({ kind: OWED_KIND, id, principal, jobId, dueAt: null, data });
  }

  /** Makes a job that was taken over a child of its parent again. */
  adopt(parent: Job, child: Job): void {
    this.#join(this.#childrenOf(parent), child);
  }

  /** A delegation that was made before the runtime was restarted, to a child that lives, or has ended. */
  again(parent: Job, { delegateId, childId, end }: KnownChild): Delegation {
    this.#childrenOf(parent).delegateIds.add(delegateId);
    const child = this.#find(parent, childId, end);
    child.catch(() => {});
    return Object.assign(Promise.resolve(), delegatedJob(delegateId, child, this.#options));
  }

  async #find(parent: Job, id: JobId, known: DelegationEnd | undefined): Promise<Child> {
    const { journal, store, elsewhere } = this.#options;
    await journal.flush();
    const isOwed = elsewhere !== undefined && (await store.findRecord(OWED_KIND, id)) !== undefined;
    const live = this.#options.jobs.get(id);
    // One that counts for itself does so here, too: it was claimed.
    if (live !== undefined && !isOwed) return live;
    const record = await store.findJob(id);
    if (record?.endedAt === null && elsewhere !== undefined) {
      const { lease, leaseConstraints } = record;
      const above = isOwed ? parent.authority.budget : undefined;
      // What was taken for it is still taken.
      const budget = record.budget && above ? Budget.takenOver(record.budget, lease, above) : undefined;
      const facts = { id, lease, leaseConstraints, budget, hasCredentials: true };
      return this.#follow(parent, this.#childrenOf(parent), facts, isOwed);
    }
    if (record !== undefined && isOwed) {
      const { lease, budget } = record;
      const above = parent.authority.budget;
      if (budget !== null && above !== undefined) Budget.takenOver(budget, lease, above).close();
      this.#putOwed(parent, id, false);
    }
    const [end] = record === undefined ? [] : await store.readJournal(id, record.lastN, record.lastN);
    if (record === undefined || end === undefined || !isTerminal(end.code)) {
      if (known !== undefined) return forgottenChild(id, known);
      throw new InternalError("the delegated job is not kept any more", { retryable: false });
    }
    return endedChild(record, end);
  }

  #join(children: Children, job: Job): void {
    children.live.add(job);
    job.whenEnded(() => children.live.delete(job));
  }

  /** The child's credentials. What was reserved for the child goes back if they, or the parent, are gone by then. */
  async #issue(
    parent: Job,
    children: Children,
    facts: LaunchRequest["facts"],
    agent: Agent,
    maxJobs: JobMax,
  ): Promise<Issuance | undefined> {
    const { jobs, launch } = this.#options;
    const leave = jobs.reserve(parent.sessionId, parent.submitterPrincipal, maxJobs);
    children.pending += 1;
    let issuance: Issuance | undefined;
    try {
      issuance = await launch.issue(facts, agent, parent.signal);
      parent.assertLive();
      if (parent.stopReason !== undefined) throw parent.stopReason;
      return issuance;
    } catch (error) {
      issuance?.abandon();
      facts.budget?.close();
      throw error;
    } finally {
      children.pending -= 1;
      leave();
    }
  }

  #grant(parent: Job, agent: string, requested: Lease): Lease {
    // The parent's own lease bounds it: what covers everything may be asked for if the parent has it.
    const request = validateLeaseShape(requested, { mayBeUnlimited: true });
    assertLeaseSubset(request, parent.lease, { remaining: parent.authority.budget?.available() });
    const granted = this.#options.leasePolicy(request, { principal: parent.submitterPrincipal, agent });
    if (granted === request) return request;
    const lease = validateLeaseShape(granted, { mayBeUnlimited: true });
    assertLeaseSubset(lease, request);
    return lease;
  }

  #assertRoom(parent: Job, children: Children): void {
    const { maxDepth, maxLiveChildren } = this.#options.caps;
    if (parent.depth >= maxDepth) throw tooMany("maxDelegationDepth", maxDepth, "never");
    if (children.live.size + children.pending >= maxLiveChildren)
      throw tooMany("maxLiveChildren", maxLiveChildren, "after_capacity");
  }

  /** The parent is cancelled or has ended: its children go on only if it ended well, and without credentials (§9.8.2). */
  #parentStopped(parent: Job, { live }: Children): void {
    // The next runtime goes on with all of them.
    if (parent.isAside) {
      for (const child of live) {
        if (!(child instanceof RemoteChild)) continue;
        child.leave();
        this.#remote.delete(child.id);
      }
      return;
    }
    const isDone = parent.outcome?.status === "success";
    const why = isDone
      ? "it has ended, and credentials do not outlive it"
      : (parent.stopReason?.message ?? "it failed");
    for (const child of [...live]) {
      if (isDone && !child.hasCredentials) continue;
      if (!child.isTerminal && !child.isCancelling) child.audit("job.cancelled", { by: "parent" });
      child.cancel(`the parent job: ${why}`, this.#options.cancelGraceMs);
    }
  }
}

type LiveChild = Job | RemoteChild;

/** A child as its parent has it on record. */
export interface KnownChild {
  readonly delegateId: string;
  readonly childId: JobId;
  readonly end?: DelegationEnd;
}

/** Where a delegation of a durable job is recorded. */
export interface DelegationRecord {
  /** The id under which it was announced before the restart; `undefined` if it was not. */
  readonly announced: string | undefined;
  readonly newDelegateId: () => string;
  readonly onAnnounced: (delegateId: string) => void;
  readonly onMade: (delegateId: string, childId: JobId) => void;
  readonly onRefused: (error: unknown) => void;
}

/** The body of the `delegate` event. */
interface Announced {
  readonly agent: string;
  readonly delegate_id: string;
  readonly input: unknown;
  readonly lease_request: Lease;
  readonly lease_constraints?: LeaseConstraints;
}

/** Children at other nodes whose budget their parents have not got back yet: by the child's id. */
const OWED_KIND = "owed";
/** The same checks as for any operation; the `delegate` event stands for the call. */
function authorizeDelegation(parent: Job, agent: string): void {
  try {
    parent.authority.authorize("agent.delegate", agent);
  } catch (error) {
    if (error instanceof LeaseExpiredError) parent.leaseExpired(error);
    throw error;
  }
}

/** A job at another node spends from nothing that somebody here spends from, too. */
function assertOwnBudget(parent: Job, lease: Lease): void {
  const own = Budget.fromLease(lease)?.remaining() ?? new Map<string, number>();
  const shared = [...parent.budget.keys()].find((currency) => !own.has(currency));
  if (shared === undefined) return;
  throw new LeaseSubsetViolationError(
    "the agent is another node's: a job there needs a cost.budget of its own in every currency that its parent has one in",
    { details: { capability: "cost.budget", currency: shared, reason: "remote_child_without_budget" } },
  );
}

/** What the child is held to: its own expiry, or the parent's; `null` without either. */
function constrain(parent: Job, asked: LeaseConstraints | undefined, now: number): LeaseConstraints | null {
  const own = validateLeaseConstraints(asked ?? {}, now);
  const effective = assertLeaseConstraintsSubset(own, parent.leaseConstraints ?? {});
  return effective.expires_at === undefined ? null : effective;
}
