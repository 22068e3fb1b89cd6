/**
 * What runtimes need of a store that several of them share, besides what one needs of its own.
 *
 * Every runtime is a node. A job belongs to the node that holds its epoch: a batch carries it, and a writer that has been
 * replaced gets nothing in. Sessions are fenced in the same way, by epochs that the store keeps to itself: it knows which ones
 * this process has opened or taken. Whether a node lives is decided by the store's clock alone.
 */
import type { JobId, SessionId } from "@arcp/core";
import type { CredentialRecord, FeedRun, IdempotencyRecord, JobRecord, SessionRecord, Store } from "./store.ts";

/** `node_` and a ULID: of one life of one process. */
export type NodeId = `node_${string}`;

/** What a node says of itself. */
export interface NodeFacts {
  readonly id: NodeId;
  /** By which people know it; others may have the same. */
  readonly name: string;
  /** Of the software. */
  readonly version: string;
  /**
   * What it says to other nodes and writes for them: rises by one with each release that changes that. Nodes one apart work
   * together. Default: 1.
   */
  readonly level?: number;
  /** `name@version` of every agent that it runs. */
  readonly agents: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Is it going to stop? Then it is given nothing more. */
  readonly isDraining: boolean;
  readonly jobs: number;
  readonly sessions: number;
  /** How long what others committed took to be seen here, lately, in milliseconds. */
  readonly lagMs: number;
}

/** All times are the store's, in milliseconds since the epoch. */
export interface NodeRecord extends NodeFacts {
  readonly startedAt: number;
  /** When it said so last. */
  readonly beatAt: number;
  /** How long ago that was when the store was asked, in milliseconds. */
  readonly silentMs: number;
  /** After how long a silence the others declare it dead, in milliseconds. */
  readonly ttlMs: number;
  /** Is it alive? One that was declared dead never is again. */
  readonly isUp: boolean;
  /** Has somebody asked it to stop? */
  readonly mustDrain: boolean;
}

/** What others have committed since the last time. A lost one costs time and nothing else: everything is looked for anyway. */
export interface Wake {
  /** Their journals have grown, or they have ended; `undefined`: any may have. */
  readonly jobs: ReadonlySet<JobId> | undefined;
  /** Jobs that other jobs have delegated to, or that were made for sessions of others, with the sessions that they belong to. */
  readonly made: ReadonlyMap<JobId, SessionId>;
  /** Another node has taken them. */
  readonly sessions: ReadonlySet<SessionId>;
  /** Are there messages for this node? */
  readonly hasMessages: boolean;
  /** Is there a job that no node runs? */
  readonly hasWork: boolean;
  /** How long ago it was sent, by the store's clock, in milliseconds; `undefined` if that is not known. */
  readonly sentAgoMs: number | undefined;
}

/** A text for another node. Delivered at most once, in the order of one sender. */
export interface NodeMessage {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly data: string;
}

/** Where a job stands, and whose it is. */
export interface JobHead {
  readonly id: JobId;
  readonly session: SessionId;
  /** `null`: nobody runs it yet. */
  readonly node: NodeId | null;
  readonly lastN: number;
  readonly isEnded: boolean;
}

/** A job that a session follows, and how far that has come: entries up to `n` have their numbers, or are not shown. */
export interface Followed {
  readonly jobId: JobId;
  readonly n: number;
  /** Has it submitted the job, or did a job of it delegate to it? */
  readonly isOwn: boolean;
}

/** A session that another node had, as it was when this one took it. */
export interface TakenSession {
  readonly record: SessionRecord;
  readonly lastRun: FeedRun | null;
  readonly follows: readonly Followed[];
}

/** How much of something a node has let in since it began, or holds now, for one principal. */
export interface Use {
  readonly name: string;
  readonly principal: string;
  readonly value: number;
}

/** The same of another node. */
export interface NodeUse extends Use {
  readonly node: NodeId;
}

/** A store for any number of nodes. What it has of {@link Store} is the same; {@link Store.takeOver} takes from dead nodes only. */
export interface SharedStore extends Store {
  /** Makes this process a node. To be called once, before anything is committed. */
  join(facts: NodeFacts, ttlMs: number): Promise<void>;
  /**
   * Says that this node lives, declares dead who has not said so for its time, and resolves with all that were up lately.
   * Resolves with `undefined` if this one was declared dead: whatever it has belongs to others, and it gets nothing in.
   */
  beat(facts: NodeFacts): Promise<readonly NodeRecord[] | undefined>;
  /** This node is no more: what it has is anybody's. */
  leave(): Promise<void>;
  /** Every node that was up within a day, whether this process is one or not, the newest first. */
  nodes(): Promise<readonly NodeRecord[]>;
  /** Asks a node to stop. */
  askToDrain(node: NodeId): Promise<void>;
  /** Calls `onWake` when others have committed something, as soon as that is known. Returns what ends it. */
  watch(onWake: (wake: Wake) => void): () => void;
  /** Sends to other nodes. Resolves when that is on its way. */
  send(messages: readonly NodeMessage[]): Promise<void>;
  /** The messages for this node, oldest first; they are gone then. */
  receive(): Promise<readonly NodeMessage[]>;
  /**
   * Makes jobs this node's, raises their epochs and returns them: those that nobody runs yet and whose agents are among
   * `agents` (`name@version`), and those of dead nodes that end with their process (that have no record of the kind `run`) or
   * whose agents are among them. A job comes with all that it shares counters with, or not at all: with what was delegated above
   * and below it on one node. Oldest first, at most `limit` and what belongs to the last of those. No two nodes get the same one.
   * With `only`: that one, if it is anybody's, whatever the agents.
   */
  claimJobs(agents: readonly string[], limit: number, only?: JobId): Promise<readonly JobRecord[]>;
  /** Gives jobs to whoever claims them: they stay as they were stored last. Those that are not this node's any more are left. */
  releaseJobs(ids: readonly JobId[]): Promise<void>;
  /**
   * Makes credentials of dead nodes this node's to revoke, whatever has become of their jobs, and puts them to `revoking`: those of
   * these provisioners that are not known to be dead. No two nodes get the same one. `known`: what this node is revoking already;
   * everything else that it is to revoke is returned, oldest first.
   */
  claimCredentials(provisioners: readonly string[], known: readonly string[]): Promise<readonly CredentialRecord[]>;
  /**
   * Credentials of dead nodes that are not known to be dead, and that nobody has claimed, oldest first, at most 1000; whether this
   * process is a node or not.
   */
  orphanedCredentials(): Promise<readonly CredentialRecord[]>;
  /** Where these jobs stand; without those that there are not. */
  heads(ids: readonly JobId[]): Promise<readonly JobHead[]>;
  /** The jobs of these sessions that have not ended. */
  liveJobsOf(sessions: readonly SessionId[]): Promise<readonly JobHead[]>;
  /**
   * Makes the session this node's, if `tokenHash` is that of its token still, or of the one before it. Resolves with the session as
   * it is then and with the jobs that it shows, its own among them, that have entries which it has not numbered or may still get
   * some; `undefined` if it is not. Whoever had it gets nothing in any more; a node takes from itself, too.
   */
  takeSession(id: SessionId, tokenHash: string): Promise<TakenSession | undefined>;
  /**
   * Binds the key before its job is stored, unless it stands for another job already: for one that lives, whose time is not over, or
   * that a living node is about to store. Returns the record that stands.
   */
  bindKey(record: IdempotencyRecord): Promise<IdempotencyRecord>;
  /** The job that the key was bound for was refused: it is free again. */
  releaseKey(record: Pick<IdempotencyRecord, "principal" | "key" | "jobId">): Promise<void>;
  /** 32 random bytes, the same for all nodes and for ever: what one node signs another can verify. */
  secret(): Promise<Uint8Array>;
  /** Jobs of the principal that have not ended, on all nodes, or on all but one. */
  countJobs(principal: string, except?: NodeId): Promise<number>;
  /**
   * Sessions of the principal that are attached, or were since `detachedSince` (in milliseconds since the epoch; default: only the
   * former), on all nodes, or on all but one.
   */
  countSessions(principal: string, except?: NodeId, detachedSince?: number): Promise<number>;
  /**
   * Says what has changed of what this node uses, and resolves with what the others have said of themselves since the last call
   * (what was said about then may be there twice); with everything that is known at the first one. One round trip.
   */
  exchangeUse(changed: readonly Use[]): Promise<readonly NodeUse[]>;
}

/** Is it one that several runtimes share? */
export const isShared = (store: Store): store is SharedStore => "claimJobs" in store;
