/**
 * What being one of several nodes means to the jobs and sessions of this process: what it takes it goes on with, what is taken
 * from it it lets go of, and what its sessions show of other nodes' jobs it numbers.
 */
import { InternalError, type JobId, type Logger, type SessionId } from "@arcp/core";
import type { Followed, NodeId, SharedStore } from "../../store/shared.ts";
import type { JobRecord } from "../../store/store.ts";
import type { AgentRegistry } from "../agents.ts";
import type { DurableRun } from "../durable/durable-run.ts";
import { type OptionalEntry, showHistory } from "../feed.ts";
import type { OtherNodes, ShownEntry } from "../interactions/interactions.ts";
import type { Job } from "../job.ts";
import type { JobRegistry } from "../job-registry.ts";
import type { Journal, Lost } from "../journal.ts";
import { acceptedPayload } from "../launch.ts";
import type { AllNodes } from "../people.ts";
import type { Session } from "../session.ts";
import type { SessionRegistry } from "../session-registry.ts";
import { isOptional } from "../visibility.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";
import { type SharedHolds, type SharedRates, SharedUse } from "./shared-use.ts";

/** Of nodes that can be asked about grants. */
const GRANTS_LEVEL = 2;
/** How often, and how many times, a job that is about to be another node's is looked for. */
const LOOK_MS = 500;
const MAX_LOOKS = 10;

export interface MemberOptions extends Omit<ClusterOptions, "hooks"> {
  readonly store: SharedStore;
  readonly logger: Logger;
  readonly journal: Journal;
  readonly agents: Pick<AgentRegistry, "references">;
  readonly jobs: JobRegistry;
  readonly sessions: () => SessionRegistry;
  /** The runs of durable jobs that have neither ended nor been put aside. */
  readonly live: Map<Job, DurableRun>;
  /** Makes stored jobs, which are this node's, jobs of this process: goes on with them, or ends them. */
  readonly takeUp: (records: readonly JobRecord[], onMade: (job: Job) => Promise<void>) => Promise<void>;
  /** Everything that this node had belongs to others: called in the turn in which it lets go of its jobs and sessions. */
  readonly onFenced: () => void;
  readonly onDead: () => Promise<void>;
  /** What is counted, and held, for each principal over all nodes. */
  readonly rates: SharedRates;
  readonly queue: SharedHolds;
  readonly isDraining: () => boolean;
  readonly onMustDrain: () => void;
}

export class Member implements OtherNodes, AllNodes {
  readonly cluster: Cluster;
  readonly #options: MemberOptions;
  readonly #use: SharedUse;

  constructor(options: MemberOptions) {
    this.#options = options;
    const { store, jobs, rates, queue, isDraining, onMustDrain } = options;
    this.#use = new SharedUse({ store, rates: [rates], holds: [queue], peers: () => this.cluster.peers });
    this.cluster = new Cluster({
      ...options,
      hooks: {
        agents: () => options.agents.references,
        counts: () => ({ jobs: jobs.size, sessions: options.sessions().size }),
        isDraining,
        onMustDrain,
        adopt: (records) => this.#adopt(records),
        onSessionsTaken: (ids) => options.sessions().lose(ids, "stale"),
        onJobsOf: (sessionId, ids) => this.#showOwn(sessionId, ids),
        attached: () => options.sessions().attached(),
        onFenced: () => this.#letGo(),
        onDead: options.onDead,
        exchange: () => this.#use.exchange(),
      },
    });
  }

  /** The session was another node's: it goes on with what it showed there. */
  readonly onSessionTaken = async ({ feed }: Session, follows: readonly Followed[]): Promise<void> => {
    for (const { jobId, n, isOwn } of follows) {
      const early = await this.#optionalEntries(jobId, n + 1, this.#options.jobs.get(jobId)?.storedN ?? 0);
      const job = this.#options.jobs.get(jobId);
      if (job === undefined) this.cluster.remote.follow(feed, jobId, n, isOwn);
      else {
        showHistory(feed, jobId, n + 1, job.lastN, [...early, ...job.optionalEntries]);
        job.follow(feed);
      }
    }
  };

  /** Others own these jobs and sessions. Whoever showed something of those jobs is read anew. */
  readonly onLost = ({ jobs: ids, sessions: lost }: Lost): void => {
    const { jobs, logger } = this.#options;
    const sessions = new Set(lost);
    for (const id of ids) {
      const job = jobs.get(id);
      if (job === undefined) continue;
      for (const { sessionId } of job.followers) sessions.add(sessionId);
      this.#putAside(job);
    }
    logger.warn({ jobs: [...ids], sessions: [...sessions] }, "another node has taken over what was this one's");
    this.#options.sessions().lose(sessions, "stale");
  };

  /** See {@link AllNodes}. */
  async askAll(method: string, params: unknown): Promise<boolean> {
    const { calls } = this.cluster;
    const asked = this.cluster.peersOf(GRANTS_LEVEL);
    const answers = await Promise.allSettled(asked.map(({ id }) => calls.call<boolean>(id, method, params)));
    if (answers.some((answer) => answer.status === "fulfilled" && answer.value)) return true;
    for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    return false;
  }

  tellAll(method: string, params: unknown): void {
    this.cluster.tellAll(method, params, GRANTS_LEVEL);
  }

  /**
   * See {@link Elsewhere.call}. A job that nobody runs is waited for while another node can go on with it, and becomes this node's for
   * it if none can.
   */
  async call<Result>(jobId: JobId, method: string, params: unknown): Promise<Result> {
    const { store, jobs, clock } = this.#options;
    const { calls, id } = this.cluster;
    for (let attempts = 1; ; attempts += 1) {
      const [head] = await store.heads([jobId]);
      if (head !== undefined && head.node !== null && head.node !== id && this.#isUp(head.node)) {
        return calls.call<Result>(head.node, method, params);
      }
      const isHere = head === undefined || head.isEnded || jobs.get(jobId) !== undefined;
      if (isHere || !(await this.#isForOthers(jobId))) break;
      if (attempts === MAX_LOOKS) throw new InternalError("the job is between two nodes", { retryable: true });
      await new Promise<void>((resolve) => clock.setTimer(resolve, LOOK_MS));
    }
    if (jobs.get(jobId) === undefined) await this.#adopt(await store.claimJobs([], 1, jobId));
    return calls.run<Result>(method, params);
  }

  /** Does another node have its agent, and this one not? */
  async #isForOthers(jobId: JobId): Promise<boolean> {
    const record = await this.#options.store.findJob(jobId);
    if (record === undefined) return false;
    const reference = `${record.agent}@${record.agentVersion}`;
    const { peers } = this.cluster;
    const isOthers = peers.some(({ agents, isDraining }) => !isDraining && agents.includes(reference));
    return isOthers && !this.#options.agents.references.includes(reference);
  }

  get arePresent(): boolean {
    return this.cluster.peers.length > 0;
  }

  show(entry: ShownEntry): void {
    this.cluster.tellAll("question.show", entry);
  }

  #isUp(node: NodeId): boolean {
    return this.cluster.peers.some(({ id }) => id === node);
  }

  async #adopt(records: readonly JobRecord[]): Promise<void> {
    const { takeUp, journal, logger } = this.#options;
    for (const { id, epoch, status } of records) {
      logger.info({ jobId: id, epoch, status }, "this node runs the job from now on");
    }
    await takeUp(records, async (job) => {
      await this.cluster.remote.adopted(job.id, job.lastN);
      if (!this.cluster.remote.has(job.id)) return;
      this.cluster.remote.adopt(job, await this.#optionalEntries(job.id, 1, job.lastN));
    });
    await journal.flush();
  }

  /** Everything that this node had belongs to others. */
  #letGo(): void {
    for (const job of [...this.#options.jobs.all()]) this.#putAside(job);
    const sessions = this.#options.sessions();
    sessions.lose(new Set(sessions.ids()), "stale");
    this.#options.onFenced();
    this.#use.forget();
    this.#options.journal.drop();
  }

  #putAside(job: Job): void {
    const { live, jobs } = this.#options;
    live.delete(job);
    job.putAside(taken());
    jobs.remove(job);
  }

  /** Jobs of a session of this node that other nodes have made, or run. */
  #showOwn(sessionId: SessionId, ids: readonly JobId[]): void {
    const { logger } = this.#options;
    for (const id of ids) {
      this.#showOne(sessionId, id).catch((err) =>
        logger.warn({ err, jobId: id }, "a job of another node is not shown"),
      );
    }
  }

  async #showOne(sessionId: SessionId, jobId: JobId): Promise<void> {
    const { store, journal, jobs } = this.#options;
    const { remote } = this.cluster;
    const isShown = (session: Session | undefined): boolean =>
      session === undefined || jobs.get(jobId) !== undefined || remote.isFollowedBy(session.feed, jobId);
    if (isShown(this.#options.sessions().get(sessionId))) return;
    await journal.flush();
    const record = await store.findJob(jobId);
    const session = this.#options.sessions().get(sessionId);
    if (record === undefined || session === undefined) return;
    const n = (await store.feedPosition(sessionId, jobId, session.feed.committedHead)) ?? 0;
    if (isShown(session) || session !== this.#options.sessions().get(sessionId)) return;
    if (record.delegateId !== null && n === 0) {
      session.announce({ jobId, traceId: record.traceId, payload: acceptedPayload(record) });
    }
    remote.follow(session.feed, jobId, n, true);
  }

  async #optionalEntries(jobId: JobId, fromN: number, toN: number): Promise<readonly OptionalEntry[]> {
    if (toN < fromN) return [];
    const codes = await this.#options.store.readCodes(jobId, fromN, toN);
    return codes.flatMap((code, index) => (isOptional(code) ? [[fromN + index, code] as const] : []));
  }
}

const taken = (): InternalError =>
  new InternalError("another runtime goes on with the job", { details: { reason: "taken_over" } });
