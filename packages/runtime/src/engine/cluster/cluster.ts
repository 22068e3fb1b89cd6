/**
 * This process as one of several that share a store (store/shared.ts): it says that it lives, sees what others have committed,
 * takes what belongs to nobody, and lets go of what has been taken from it.
 *
 *   joining -> up        join()
 *   up      -> fenced    it was declared dead: everything it had belongs to others; it joins anew, under another id
 *   up      -> left      stop()
 */
import { type AgentInventoryEntry, type Clock, type JobId, type Logger, type SessionId, ulid } from "@arcp/core";
import type { NodeFacts, NodeId, NodeRecord, SharedStore, Wake } from "../../store/shared.ts";
import type { JobRecord } from "../../store/store.ts";
import { StoreError } from "../../store/store-error.ts";
import { type AgentName, parseReference } from "../agents.ts";
import { Calls } from "./calls.ts";
import { RemoteJobs } from "./remote-jobs.ts";
import { EXCHANGE_MS } from "./shared-use.ts";

/** What an operator says of a node. */
export interface NodeOptions {
  /** By which people know it. Default: the name of the machine. */
  readonly name: string;
  /** What people tell nodes apart by, such as the zone; `arcp nodes` shows it. */
  readonly labels: Readonly<Record<string, string>>;
  /** After how long without a sign of life the others take its jobs, in milliseconds. */
  readonly ttlMs: number;
}

/** What the engine does for it. */
export interface ClusterHooks {
  /** `name@version` of every agent. */
  agents(): readonly string[];
  counts(): { readonly jobs: number; readonly sessions: number };
  isDraining(): boolean;
  /** These jobs are this node's now: goes on with them, or ends them. Rejects when the store does. */
  adopt(jobs: readonly JobRecord[]): Promise<void>;
  /** Another node has taken these sessions. */
  onSessionsTaken(ids: ReadonlySet<SessionId>): void;
  /** A session of this node has jobs that were made on another one. */
  onJobsOf(session: SessionId, jobs: readonly JobId[]): void;
  /** The sessions that are attached here. */
  attached(): readonly SessionId[];
  /** Whatever this node had is others'. */
  onFenced(): void;
  /** There are nodes that are no more. Called with every sign of life while that is lately. */
  onDead(): Promise<void>;
  /** Somebody wants this node to stop. */
  onMustDrain(): void;
  /** Tells the others what principals use here, and hears the same. Called while there are any. */
  exchange(): Promise<void>;
}

export interface ClusterOptions {
  readonly store: SharedStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly version: string;
  readonly node: NodeOptions;
  readonly hooks: ClusterHooks;
}

/**
 * What this version of the program says to other nodes:
 *
 *   1  claims, wake-ups, calls about jobs, streams, checkpoints, questions and schedules
 *   2  calls about grants and credentials; what principals use
 *
 * Whatever comes with a level is said to, and written for, nodes of that level only. A level is left out of the program no sooner than
 * two releases after it was the newest.
 */
const LEVEL = 2;
/** Signs of life per time to live. */
const BEATS_PER_TTL = 4;
/** By which a node that has just joined makes itself known. */
const JOINED = "node.joined";
const POLL_MS = 1_000;
/** Polls between two looks for jobs that nobody has told of. */
const POLLS_PER_CENSUS = 5;
/** Jobs taken at once. */
const MAX_CLAIMS = 32;

export class Cluster {
  readonly calls: Calls;
  readonly remote: RemoteJobs;
  readonly #options: ClusterOptions;
  #id: NodeId = newNodeId();
  #peers: readonly NodeRecord[] = [];
  #lagMs = 0;
  #polls = 0;
  #isClaiming = false;
  #isStopped = false;
  /** Did the last attempt to ask the store fail? */
  #isUnanswered = false;
  #lastBeatAt = Number.NEGATIVE_INFINITY;
  /** While others may have taken what this node has, and somebody waits for that to be over. */
  #doubt: PromiseWithResolvers<void> | undefined;
  /** While it begins anew. */
  #rejoining: Promise<void> | undefined;
  #stopTimers: (() => void)[] = [];
  #stopWatching: () => void = () => {};

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { store, clock, logger } = options;
    this.calls = new Calls({ store, clock, logger, self: () => this.#id });
    this.remote = new RemoteJobs({ store, logger });
    this.calls.serve(JOINED, () => this.#beat());
  }

  get id(): NodeId {
    return this.#id;
  }

  /** The other nodes that are up, as of the last sign of life. */
  get peers(): readonly NodeRecord[] {
    return this.#peers;
  }

  /** Those of them that understand what came with a level. */
  peersOf(level: number): readonly NodeRecord[] {
    return this.#peers.filter((peer) => levelOf(peer) >= level);
  }

  /** The agent that another node, which takes jobs, has under this reference; without a version the one that it lists last. */
  findAgent(reference: string): AgentName | undefined {
    const { name, version } = parseReference(reference);
    for (const { agents, isDraining } of this.#peers) {
      const found = isDraining ? undefined : agents.map(parseReference).findLast(isCalled);
      if (found?.version !== undefined) return { name, version: found.version };
    }
    return undefined;

    function isCalled(agent: { readonly name: string; readonly version?: string | undefined }): boolean {
      return agent.name === name && (version === undefined || agent.version === version);
    }
  }

  /** What this node and those that take jobs have: its own agents first, and of each agent its own versions. */
  inventory(own: readonly AgentInventoryEntry[]): readonly AgentInventoryEntry[] {
    const all = new Map(own.map((entry) => [entry.name, { ...entry, versions: [...(entry.versions ?? [])] }]));
    for (const { agents, isDraining } of this.#peers) {
      if (isDraining) continue;
      const before = new Set(all.keys());
      for (const { name, version } of agents.map(parseReference)) {
        if (version === undefined) continue;
        const known = all.get(name);
        const versions = [...(known?.versions ?? [])];
        if (!versions.includes(version)) versions.push(version);
        // Without a version the one is run that the first node which has the agent lists last.
        all.set(
          name,
          before.has(name) && known !== undefined ? { ...known, versions } : { name, versions, default: version },
        );
      }
    }
    return [...all.values()];
  }

  /** May others have taken what this node has, because it could not say for too long that it lives? */
  get isDoubtful(): boolean {
    return this.#options.clock.monotonic() - this.#lastBeatAt >= this.#options.node.ttlMs;
  }

  /** Resolves when others cannot have taken what this node has, or it has let go of that; `undefined` while they cannot. */
  get doubt(): Promise<void> | undefined {
    if (!this.isDoubtful) return undefined;
    this.#doubt ??= Promise.withResolvers();
    return this.#doubt.promise;
  }

  /**
   * Makes this process a node. Rejects when the store does, and with StoreError `version` while a node is up that is of a version
   * more than one level away.
   */
  async join(): Promise<void> {
    const { store, node, clock } = this.#options;
    for (const other of await store.nodes()) {
      if (other.isUp && other.silentMs <= other.ttlMs && Math.abs(levelOf(other) - LEVEL) > 1) throw farApart(other);
    }
    const askedAt = clock.monotonic();
    await store.join(this.#facts(), node.ttlMs);
    this.#isSure(askedAt);
    this.#stopWatching = store.watch((wake) => this.#onWake(wake));
  }

  /** From now on it takes jobs. Resolves when it has taken those that there are. */
  async start(): Promise<void> {
    await this.#beat();
    this.tellAll(JOINED, {});
    await this.#claim();
    this.#repeat(this.#options.node.ttlMs / BEATS_PER_TTL, () => this.#beat());
    this.#repeat(POLL_MS, () => this.#poll());
    this.#repeat(EXCHANGE_MS, async () => {
      if (this.#peers.length > 0) await this.#options.hooks.exchange();
    });
  }

  /** Tells every other node of a level. What does not arrive is not told again. */
  tellAll(method: string, params: unknown, level = 1): void {
    for (const { id } of this.peersOf(level)) {
      this.calls.call(id, method, params).catch((err) => {
        this.#options.logger.debug({ err, method, node: id }, "a node was not told");
      });
    }
  }

  /** It takes nothing more and says once more that it lives, so that the others know. */
  async drain(): Promise<void> {
    await this.#beat();
  }

  /** What is left is anybody's. Idempotent. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#halt();
    await this.#options.store.leave();
  }

  /** The same for a store that has failed. */
  abort(): void {
    this.#halt();
  }

  #halt(): void {
    this.#isStopped = true;
    this.#stopWatching();
    for (const stop of this.#stopTimers.splice(0)) stop();
  }

  #isSure(since: number): void {
    this.#lastBeatAt = since;
    if (this.isDoubtful) return;
    this.#doubt?.resolve();
    this.#doubt = undefined;
  }

  #facts(): NodeFacts {
    const { node, version, hooks } = this.#options;
    return {
      ...{ id: this.#id, name: node.name, version, level: LEVEL, labels: node.labels, agents: hooks.agents() },
      ...{ isDraining: hooks.isDraining(), ...hooks.counts(), lagMs: this.#lagMs },
    };
  }

  async #beat(): Promise<void> {
    const { store, clock, hooks } = this.#options;
    await this.#rejoining;
    const askedAt = clock.monotonic();
    const nodes = await store.beat(this.#facts());
    if (this.#isStopped) return;
    if (nodes === undefined) {
      await this.rejoin();
      return this.#beat();
    }
    this.#isSure(askedAt);
    const self = nodes.find(({ id }) => id === this.#id);
    this.#peers = nodes.filter(({ id, isUp }) => isUp && id !== this.#id);
    if (self?.mustDrain === true && !hooks.isDraining()) hooks.onMustDrain();
    if (!nodes.some(({ isUp }) => !isUp)) return;
    await this.#claim();
    await hooks.onDead();
  }

  /** This node was declared dead: it lets go of everything at once, and is another one when this resolves. Never rejects. */
  rejoin(): Promise<void> {
    this.#rejoining ??= this.#beginAnew().finally(() => {
      this.#rejoining = undefined;
    });
    return this.#rejoining;
  }

  /** Resolves when it does not begin anew any more. */
  async settled(): Promise<void> {
    await this.#rejoining;
  }

  async #beginAnew(): Promise<void> {
    const { hooks, logger, clock } = this.#options;
    logger.error({ node: this.#id }, "this node was declared dead: what it had belongs to others, and it begins anew");
    this.#stopWatching();
    this.#lastBeatAt = Number.NEGATIVE_INFINITY;
    hooks.onFenced();
    this.#id = newNodeId();
    this.#peers = [];
    while (!this.#isStopped) {
      try {
        await this.join();
        return;
      } catch (err) {
        logger.warn({ err, node: this.#id }, "the store that nodes share does not answer");
        await new Promise<void>((resolve) => clock.setTimer(resolve, POLL_MS));
      }
    }
  }

  async #poll(): Promise<void> {
    const { store, hooks } = this.#options;
    await this.#receive();
    await this.remote.poll();
    await this.#claim();
    this.#polls += 1;
    if (this.#polls % POLLS_PER_CENSUS !== 0) return;
    const sessions = hooks.attached();
    if (sessions.length === 0) return;
    const jobs = await store.liveJobsOf(sessions);
    for (const { session, id } of jobs) hooks.onJobsOf(session, [id]);
  }

  #onWake({ jobs, made, sessions, hasMessages, hasWork, sentAgoMs }: Wake): void {
    const { hooks } = this.#options;
    if (sentAgoMs !== undefined) this.#lagMs = Math.round(this.#lagMs * 0.9 + sentAgoMs * 0.1);
    if (sessions.size > 0) hooks.onSessionsTaken(sessions);
    for (const [jobId, session] of made) hooks.onJobsOf(session, [jobId]);
    this.remote.wake(jobs);
    if (hasMessages) void this.#attempt(() => this.#receive());
    if (hasWork) void this.#attempt(() => this.#claim());
  }

  async #receive(): Promise<void> {
    for (const message of await this.#options.store.receive()) this.calls.receive(message);
  }

  async #claim(): Promise<void> {
    const { store, hooks } = this.#options;
    if (this.#isClaiming || this.#isStopped || hooks.isDraining()) return;
    this.#isClaiming = true;
    try {
      for (;;) {
        const jobs = await store.claimJobs(hooks.agents(), MAX_CLAIMS);
        if (jobs.length > 0) await hooks.adopt(jobs);
        if (jobs.length < MAX_CLAIMS) return;
      }
    } finally {
      this.#isClaiming = false;
    }
  }

  #repeat(everyMs: number, work: () => Promise<void>): void {
    const { clock } = this.#options;
    let stop = (): void => {};
    const later = (): void => {
      stop = clock.setTimer(() => {
        void this.#attempt(work).finally(() => {
          if (!this.#isStopped) later();
        });
      }, everyMs);
    };
    later();
    this.#stopTimers.push(() => stop());
  }

  /** What fails now is tried again with the next beat or poll. The first failure is told, and the end of them. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    const { logger } = this.#options;
    const node = this.#id;
    try {
      await work();
      if (this.#isUnanswered) logger.info({ node }, "the store that nodes share answers again");
      this.#isUnanswered = false;
    } catch (err) {
      if (this.#isStopped) return;
      const log = this.#isUnanswered ? logger.debug : logger.warn;
      log.call(logger, { err, node }, "the store that nodes share does not answer");
      this.#isUnanswered = true;
    }
  }
}

/** What a node says to others, and understands. */
const levelOf = ({ level = 1 }: Pick<NodeFacts, "level">): number => level;

const farApart = (other: NodeRecord): StoreError =>
  new StoreError(
    "version",
    `the node ${other.name} (${other.id}) is of version ${other.version}, level ${levelOf(other)}, and this one is of level ${LEVEL}: ` +
      "bring them up to date one release after the other",
  );

const newNodeId = (): NodeId => `node_${ulid()}`;
