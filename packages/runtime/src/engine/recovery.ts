/** Stored jobs that become jobs of this process: after a restart, and when another node is gone. */
import { CancelledError, type Clock, InternalError, type JobId, type SessionId } from "@arcp/core";
import type { JobRecord, Store } from "../store/store.ts";
import type { AgentRegistry } from "./agents.ts";
import type { Cluster } from "./cluster/cluster.ts";
import type { Delegations } from "./delegation.ts";
import type { DurableJobs } from "./durable/durable-jobs.ts";
import { DurableRun, type DurableRunOptions } from "./durable/durable-run.ts";
import { EndedParents } from "./durable/ended-parents.ts";
import type { StoredRun } from "./durable/records.ts";
import { Job, type JobTools } from "./job.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import type { Launch } from "./launch.ts";
import { Budget } from "./lease/budget.ts";
import type { People, StoredQuestionOptions } from "./people.ts";
import type { StoredWaiting, WaitingJobs } from "./queue/waiting-jobs.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams/streams.ts";

export interface RecoveryOptions {
  readonly store: Pick<Store, "findJob">;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly agents: AgentRegistry;
  readonly jobs: JobRegistry;
  readonly jobTools: JobTools;
  readonly durableTools: DurableRunOptions;
  readonly durableJobs: DurableJobs;
  readonly waitingJobs: WaitingJobs;
  readonly launch: Launch;
  readonly delegations: Delegations;
  readonly streams: Streams;
  readonly people: People;
  /** A session that this process may have; sessions of other nodes are theirs. */
  readonly loadSession: (id: SessionId) => Promise<Session | undefined>;
  /** The other nodes; `undefined`: there are none. */
  readonly cluster: Cluster | undefined;
  readonly cancelGraceMs: number;
}

export class Recovery {
  readonly #options: RecoveryOptions;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** Makes stored jobs, which are this runtime's now, jobs of this process. Parents come before their children. */
  async takeUp(records: readonly JobRecord[], onMade: (job: Job) => Promise<void>): Promise<void> {
    const parents = new EndedParents({
      store: this.#options.store,
      taken: records,
      liveBudget: (id) => {
        const job = this.#options.jobs.get(id);
        return job === undefined ? null : job.authority.budget;
      },
    });
    const goOn: (() => void)[] = [];
    for (const record of records.toSorted((a, b) => a.createdAt - b.createdAt)) {
      const revived = await this.#options.durableJobs.revive(record);
      const isPending = record.status === "pending";
      const waiting = isPending ? (revived ?? (await this.#options.waitingJobs.read(record))) : undefined;
      const run = revived ?? (waiting && this.#freshRun(record, waiting));
      const parentBudget = record.isForAnybody === true ? undefined : await parents.budgetAbove(record);
      const job = this.#takenOver(record, (run ?? waiting)?.run, run, parentBudget);
      await onMade(job);
      await this.#options.streams.recover(job);
      if (waiting !== undefined) goOn.push(await this.#beginLater(job, waiting, run));
      else if (run === undefined) {
        await this.#options.people.interactions.recover(job, this.#options.loadSession);
        job.end({ status: "error", error: interrupted(RESTARTED) });
      } else goOn.push(await this.#goOn(job, run));
    }
    parents.close();
    // An agent that looks for the children that it had finds all of them, and the counters as they are.
    for (const begin of goOn) begin();
  }

  /** Of a job that was asked for where nobody knew that its agent is durable. */
  #freshRun({ agent, agentVersion }: JobRecord, { run, restored }: StoredWaiting): DurableRun | undefined {
    if (this.#options.agents.find(agent, agentVersion)?.durable === undefined) return undefined;
    return DurableRun.fresh(run, this.#options.durableTools, restored === undefined ? undefined : { data: restored });
  }

  /** Returns what lets the agent begin. */
  async #goOn(job: Job, run: DurableRun): Promise<() => void> {
    const { people, jobs, loadSession } = this.#options;
    jobs.add(job);
    run.attach(job);
    const open = [...run.steps.values()].flatMap(({ ordinal, state }) =>
      state.is === "asked" ? [{ ordinal, ...state }] : [],
    );
    const isKept = (questionId: string): boolean => open.some((one) => one.questionId === questionId);
    await people.interactions.recover(job, loadSession, isKept);
    for (const { ordinal, questionId, question } of open) {
      const options = question as unknown as StoredQuestionOptions;
      const asked = await people.reopen(job, questionId, options, loadSession);
      if (asked !== undefined) run.reopen(ordinal, asked.settled);
    }
    await this.#rejoinParent(job);
    return () => this.#options.durableJobs.park(job, run);
  }

  /** The same of one that has not begun. */
  async #beginLater(job: Job, waiting: StoredWaiting, run: DurableRun | undefined): Promise<() => void> {
    this.#options.jobs.add(job);
    run?.attach(job);
    if (run !== waiting) {
      run?.begin();
      if (run !== undefined) this.#options.waitingJobs.forget(job);
    }
    await this.#rejoinParent(job);
    return () =>
      this.#options.waitingJobs.park(job, (agent) => this.#options.launch.startLater(job, agent, waiting, run));
  }

  async #rejoinParent(job: Job): Promise<void> {
    const { jobs, journal, store, cluster, delegations } = this.#options;
    const parent = job.parentJobId === undefined ? undefined : jobs.get(job.parentJobId);
    if (parent !== undefined) delegations.adopt(parent, job);
    else if (job.parentJobId !== undefined) {
      await journal.flush();
      const record = await store.findJob(job.parentJobId);
      if (record === undefined) return;
      if (record.endedAt === null && cluster !== undefined) this.#watchParent(job, record.id);
      else if (record.status !== "success") job.end({ status: "cancelled", error: new CancelledError(PARENT_FAILED) });
    }
  }

  /** Another node runs the parent: a child does not outlive one that fails, and credentials outlive none. */
  #watchParent(job: Job, parentId: JobId): void {
    const stop = this.#options.cluster?.remote.watch(parentId, ({ isEnded }) => {
      if (job.isTerminal || job.isAside) stop?.();
      else if (isEnded) void this.#parentEnded(job, parentId).finally(stop);
    });
    if (stop !== undefined) job.whenEnded(stop);
  }

  async #parentEnded(job: Job, parentId: JobId): Promise<void> {
    const parent = await this.#options.store.findJob(parentId);
    if (parent?.status === "success" && !job.hasCredentials) return;
    if (!job.isTerminal && !job.isCancelling) job.audit("job.cancelled", { by: "parent" });
    job.cancel(PARENT_FAILED, this.#options.cancelGraceMs);
  }

  /** Shows the job in the feed of a session, if that is kept. */
  async show(job: Job, sessionId: SessionId): Promise<void> {
    const session = await this.#options.loadSession(sessionId);
    if (session === undefined) return;
    job.follow(session.feed);
  }

  #takenOver(
    record: JobRecord,
    stored: StoredRun | undefined,
    memory: DurableRun | undefined,
    parentBudget: Budget | undefined,
  ): Job {
    const { id, sessionId, principal, agent, agentVersion, lease, leaseConstraints, parentJobId, createdAt } = record;
    const { budget, delegateId, epoch, lastN, lastEventSeq, traceId } = record;
    const { origin, depth = 0, openModels, maxRuntimeMs, deadlineAt, hasCredentials = false, caller } = stored ?? {};
    return new Job(
      {
        ...{ id, sessionId, principal, lease, leaseConstraints, parentJobId, createdAt, epoch },
        ...(delegateId !== null && { delegateId }),
        agent: { name: agent, version: agentVersion },
        budget: budget === null ? undefined : Budget.takenOver(budget, lease, parentBudget),
        trace: { traceId, ...caller },
        ...{ origin, depth, openModels, maxRuntimeMs, hasCredentials, memory },
        hasBegun: record.status !== "pending",
        // A clock that was set back gives nobody more time than the job began with.
        remainingMs:
          deadlineAt === undefined
            ? undefined
            : Math.min(maxRuntimeMs ?? 0, Math.max(0, deadlineAt - this.#options.clock.now())),
        continues: { lastN, lastEventSeq },
      },
      this.#options.jobTools,
    );
  }
}

const PARENT_FAILED = "the parent job: it failed";

/** What jobs that are not gone on with are told, whether the runtime was stopped or died. */
export const RESTARTED = "runtime_restarted";

export const interrupted = (reason: string): InternalError =>
  new InternalError("the runtime stopped while the job was running", { details: { reason } });
