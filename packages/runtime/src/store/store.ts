/**
 * What the engine needs from a database: atomic batches, and reads from a position.
 *
 * Everything is named by protocol ids; a store keeps whatever compact keys it likes to itself. A batch commits whole or
 * not at all, and is refused whole when one of its writers no longer owns its job ({@link StaleWriterError}). Nothing
 * may assume that a commit is synchronous.
 */
import type {
  EventLog,
  JobId,
  JobStatus,
  Lease,
  LeaseConstraints,
  LoggedEntry,
  LoggedJob,
  SessionId,
  TraceId,
} from "@arcp/core";

/** What an entry is, as one small integer. Stored: never renumber. */
export const ENTRY = {
  log: 0,
  thought: 1,
  tool_call: 2,
  tool_result: 3,
  status: 4,
  metric: 5,
  artifact_ref: 6,
  delegate: 7,
  progress: 8,
  result_chunk: 9,
  vendor: 10,
  /** A `status` whose stored body lacks the secret that the submitter is shown (§9.8.2). */
  credential_rotated: 11,
  /** The job was asked for over wire 1.0. */
  accepted: 12,
  started: 13,
  question_asked: 14,
  question_closed: 15,
  stream_opened: 16,
  stream_chunk: 17,
  stream_closed: 18,
  /** A permission was granted, extended or revoked (RFC §15.5). */
  lease: 19,
  result: 20,
  error: 21,
  checkpoint: 22,
  span: 23,
  /** The job waits, or goes on (RFC §10.2). */
  state: 24,
  handoff: 25,
} as const;

/** What an entry of a job's journal tells of, as it is stored. */
export type EntryCode = (typeof ENTRY)[keyof typeof ENTRY];

/** Is this the last entry of its job? */
export const isTerminal = (code: EntryCode): boolean => code === ENTRY.result || code === ENTRY.error;

/** The message that carries an entry. */
export function messageTypeOf(code: EntryCode): LoggedEntry["type"] {
  if (code === ENTRY.result) return "job.result";
  return code === ENTRY.error ? "job.error" : "job.event";
}

/** One journal entry. `payload` is the JSON text of the wire 1.1 payload, made once and spliced from then on. */
export interface Entry {
  /** Position in the job's journal: 1, 2, 3, … */
  readonly n: number;
  /** Milliseconds since the epoch. */
  readonly ts: number;
  readonly code: EntryCode;
  readonly payload: string;
}

/** A job as it is stored: the head of its journal. */
export interface JobRecord {
  readonly id: JobId;
  /** The session that submitted it and may cancel it. */
  readonly sessionId: SessionId;
  readonly principal: string;
  readonly agent: string;
  readonly agentVersion: string;
  readonly status: JobStatus;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | null;
  readonly parentJobId: JobId | null;
  /** The delegation that made it; `null` for a job that a client submitted. */
  readonly delegateId: string | null;
  readonly traceId: TraceId;
  /** Counters per currency at the last write; `null` without `cost.budget`. */
  readonly budget: Readonly<Record<string, number>> | null;
  /** Raised by each take-over. A write with another value is refused. */
  readonly epoch: number;
  /** The last position in the journal. */
  readonly lastN: number;
  /** The first one that is still there, of a job whose events have been deleted (never its end, or its result); otherwise 1. */
  readonly firstN?: number;
  /** The number of the last entry in the submitting session's space. */
  readonly lastEventSeq: number;
  /**
   * To be made for whichever runtime claims it, and not for the one that stores it; of a job that was claimed: it was delegated in
   * that way, and shares no counters with its parent. Only of a store that several share.
   */
  readonly isForAnybody?: true;
  /** What it was asked for, as JSON: of a job that is being made. {@link Store.readAsked} reads it. */
  readonly asked?: string;
}

/** The job as an {@link EventLog} tells of it. */
export function loggedJob(job: JobRecord): LoggedJob {
  const { id, sessionId, principal, agent, agentVersion, status, lease, parentJobId, traceId, createdAt, endedAt } =
    job;
  const facts = { jobId: id, sessionId, principal, agent, agentVersion, status, lease, parentJobId };
  const constraints = job.leaseConstraints === null ? {} : { leaseConstraints: job.leaseConstraints };
  return { ...facts, ...constraints, traceId, createdAt, endedAt };
}

/** What changes about a job after it was created. */
export interface JobChange {
  readonly id: JobId;
  readonly epoch: number;
  readonly status: JobStatus;
  readonly endedAt: number | null;
  readonly budget: Readonly<Record<string, number>> | null;
  readonly lastN: number;
  readonly lastEventSeq: number;
}

/** A session as it is stored. */
export interface SessionRecord {
  readonly id: SessionId;
  readonly principal: string;
  readonly wire: string;
  readonly features: readonly string[];
  /** SHA-256 of the current resume token, hexadecimal. Tokens themselves are never stored. */
  readonly tokenHash: string;
  /** The hash of the token before it, while the current one has not been seen in use. */
  readonly previousTokenHash: string | null;
  /** Was it opened with credentials that can end? A token alone does not resume it then. */
  readonly mustAuthenticate: boolean;
  /** Goes into message ids, so that a replayed message has the id of the original. */
  readonly salt: string;
  readonly ackedSeq: number;
  /** When the transport was lost; `null` while one is attached. Milliseconds since the epoch. */
  readonly detachedAt: number | null;
  /**
   * While no transport is attached: the last number that the client can have been sent. A client that names a later one has
   * been sent it by a history that is not this one: what was stored last is lost, and numbers have been given anew.
   */
  readonly sentSeq: number | null;
  readonly createdAt: number;
}

/** `count` entries of one job, from `n` on, carry the numbers from `seq` on in one session. */
export interface FeedRun {
  readonly seq: number;
  readonly jobId: JobId;
  readonly n: number;
  readonly count: number;
}

/** Which job an idempotency key stands for, and with which parameters (§7.2). */
export interface IdempotencyRecord {
  readonly principal: string;
  readonly key: string;
  /** Of the canonical parameters. */
  readonly digest: string;
  readonly jobId: JobId;
  /** Milliseconds since the epoch; the key of a live job does not expire. */
  readonly expiresAt: number;
}

/** Something that was done, for whoever audits. Never with a secret in it. */
export interface AuditRecord {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly action: string;
  /** Who did it; whose job it is, of what the runtime or its operator did; empty if that is nobody. */
  readonly principal: string;
  readonly sessionId?: SessionId | undefined;
  readonly jobId?: JobId | undefined;
  /** Where the client was. */
  readonly remoteAddress?: string | undefined;
  readonly traceId?: string | undefined;
  /** A JSON object, canonical (RFC 8785): it is hashed as it stands. */
  readonly facts: string;
}

/** The end of a chain: the number and the hash of its last row. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** The same as a link of the chain. */
export interface AuditRow extends AuditRecord {
  /** 1, 2, 3, … */
  readonly seq: number;
  /** SHA-256 of the row and of the hash before it, hexadecimal. */
  readonly hash: string;
}

/** A small document of its own: an artifact's facts, a schedule, a checkpoint. Unique by kind and id. */
export interface StoredRecord {
  readonly kind: string;
  readonly id: string;
  /** Whose it is. */
  readonly principal: string;
  readonly jobId: JobId | null;
  /** When somebody must look at it, in milliseconds since the epoch; `null`: nobody must. */
  readonly dueAt: number | null;
  /** A JSON object; `null` deletes the record. */
  readonly data: string | null;
  /** Is it a change only? A record that others have deleted is not made again by one, in a store that has others. */
  readonly mustExist?: boolean;
}

/** Which records of one kind are asked for. */
export interface RecordQuery {
  readonly kind: string;
  readonly principal?: string;
  readonly jobId?: JobId;
  /** Only records that are due before this, soonest first; otherwise by id. */
  readonly dueBefore?: number;
  /** The id of the last record of the page before; not with `dueBefore`. */
  readonly after?: string;
  readonly limit: number;
}

/**
 * What is known of a secret at the upstream that issued it (§9.8). States only ever go forward:
 *
 *   intended -> live      issued, and its job accepted
 *   intended -> revoking  not known to be issued, or not wanted any more
 *   live     -> revoking  its job has ended, or another secret has taken its place
 *   revoking -> revoked   the upstream says that it is dead
 */
export type CredentialState = "intended" | "live" | "revoking" | "revoked";

/** One issued secret, or one that was asked for. The secret itself is never stored. */
export interface CredentialRecord {
  /** Its name at the upstream, unique for ever. */
  readonly alias: string;
  /** Stable within the job: rotation makes another record with the same one. */
  readonly credentialId: string;
  /** A refused submission leaves records of a job that there never was. */
  readonly jobId: JobId;
  /** The name of who issued it and can revoke it. */
  readonly provisioner: string;
  /** What the upstream calls it, if not by the alias. */
  readonly upstreamId: string | null;
  readonly state: CredentialState;
  /** When it was first intended. All times are milliseconds since the epoch. */
  readonly createdAt: number;
  /** When the upstream said that it has issued it; `null` while that is not known: perhaps it has, perhaps it will. */
  readonly issuedAt: number | null;
  /** When the lease that it was issued for expires; `null` if it does not. */
  readonly expiresAt: number | null;
  /** Since when it ought to be dead; `null` before that. */
  readonly revokingSince: number | null;
  /** Attempts to revoke it that have failed. */
  readonly attempts: number;
  /** What the last of them failed with, in a few words; never a text of the upstream. */
  readonly lastError: string | null;
  readonly revokedAt: number | null;
}

/** Which credentials of the ledger are asked for. */
export interface CredentialQuery {
  readonly jobId?: JobId;
  readonly credentialId?: string;
  readonly provisioner?: string;
  readonly states?: readonly CredentialState[];
  /** The place of the last record of the page before. */
  readonly after?: { readonly createdAt: number; readonly alias: string };
  readonly limit: number;
}

/** A session begins to follow a job that another one submitted, or ends that. */
export interface FollowChange {
  readonly sessionId: SessionId;
  readonly jobId: JobId;
  readonly isOn: boolean;
  /** Entries up to this one are not shown, unless the feed has them already. Not looked at when it ends. */
  readonly n: number;
}

/** Everything that one commit makes true. Applied in the order of the members, each of which can be read again. */
export interface Batch {
  readonly sessions: Iterable<SessionRecord>;
  readonly jobs: readonly JobRecord[];
  readonly idempotency: readonly IdempotencyRecord[];
  /** Entries per job; each list continues the job's journal without a gap. */
  readonly entries: ReadonlyMap<JobId, { readonly epoch: number; readonly list: readonly Entry[] }>;
  readonly jobChanges: ReadonlyMap<JobId, JobChange>;
  /** Runs per session. A run with the `seq` of a stored one replaces it: it has grown. */
  readonly runs: ReadonlyMap<SessionId, readonly FeedRun[]>;
  readonly follows: readonly FollowChange[];
  /** Each becomes the next link of the audit's chain. */
  readonly audit: readonly AuditRecord[];
  /** Replace those with the same alias. One whose stored state is further on refuses the batch: its writer is stale. */
  readonly credentials: readonly CredentialRecord[];
  /** Replace those of the same kind and id. */
  readonly records: Iterable<StoredRecord>;
}

/** An entry as one session sees it. */
export interface FeedItem {
  readonly seq: number;
  readonly jobId: JobId;
  readonly traceId: TraceId;
  readonly entry: Entry;
}

/** Which jobs are asked for. */
export interface JobQuery {
  /** `null` asks for every principal's jobs. */
  readonly principal: string | null;
  readonly status?: readonly JobStatus[];
  readonly agent?: string;
  readonly agentVersion?: string;
  /** Exclusive, milliseconds since the epoch. */
  readonly createdAfter?: number;
  /** Exclusive, milliseconds since the epoch. */
  readonly createdBefore?: number;
  /** The place of the last job of the page before. */
  readonly after?: { readonly createdAt: number; readonly id: string };
  readonly limit: number;
}

/** Until when what has no use any more is kept. Milliseconds since the epoch. */
export interface RetentionCuts {
  /** Sessions detached before this go, with their feeds. */
  readonly detachedBefore: number;
  /**
   * Jobs that ended before this go, with their journals, unless a kept session still follows them, or has numbered them.
   * Their credentials go with them once they are revoked, and never before.
   */
  readonly endedBefore: number;
  /**
   * Of jobs that ended before this the events go, up to the result: the first `result_chunk`, or the end. They go in two sweeps,
   * at least a minute apart: in the first nobody is shown them any more, in the second they are deleted. Not later than
   * `endedBefore`; `undefined`: events go with their jobs.
   */
  readonly eventsBefore?: number | undefined;
  /** Idempotency keys that expired before this go, unless their jobs live. */
  readonly now: number;
}

/** The writer no longer owns a job, a session or a credential that the batch writes to. Nothing of the batch was stored. */
export class StaleWriterError extends Error {
  override readonly name = "StaleWriterError";
  /** Those that belong to others, where the store knows all of them. */
  readonly jobs: readonly JobId[];
  readonly sessions: readonly SessionId[];
  /** Was this process declared dead? Then everything that it had belongs to others. */
  readonly isFenced: boolean;

  constructor(
    message: string,
    lost: {
      readonly jobs?: readonly JobId[];
      readonly sessions?: readonly SessionId[];
      readonly isFenced?: boolean;
    } = {},
  ) {
    super(message);
    this.isFenced = lost.isFenced ?? false;
    this.jobs = lost.jobs ?? [];
    this.sessions = lost.sessions ?? [];
  }
}

/**
 * Where a runtime keeps what must not be lost: sessions, jobs, their journals, keys, questions, credentials, the audit
 * log.
 */
export interface Store extends EventLog {
  /** Does a commit survive the end of the process and a power cut? What is not durable guarantees nothing (§14). */
  readonly isDurable: boolean;
  /** Is what {@link keepRoom} has set aside in use, or was there not enough? Then nothing should be begun. */
  readonly isScarce: boolean;
  /** Sets room aside for what must be stored when there is no other: the ends of jobs. `isScarce` tells how that went. */
  keepRoom(): Promise<void>;
  /**
   * Commits the batch atomically, or rejects and stores nothing of it: with {@link StaleWriterError}, or with a StoreError.
   * After one that `isTransient` the same batch can be committed later; after any other nothing can be promised any more.
   */
  commit(batch: Batch): Promise<void>;
  /** The job, live or ended; `undefined` if there is none of that id. */
  findJob(id: JobId): Promise<JobRecord | undefined>;
  /** What the job was asked for; `undefined` if that was not kept, or there is no such job. */
  readAsked(id: JobId): Promise<string | undefined>;
  /** Jobs by creation time and then id, ascending, at most `limit`. */
  listJobs(query: JobQuery): Promise<readonly JobRecord[]>;
  /** Entries `fromN` to `toN`, both included, in order: those that are still there. */
  readJournal(id: JobId, fromN: number, toN: number): Promise<readonly Entry[]>;
  /** The codes of entries `fromN` to `toN`, in order. `fromN` is not before the first that is still there. */
  readCodes(id: JobId, fromN: number, toN: number): Promise<readonly EntryCode[]>;
  /** Items after `afterSeq`, in order, at most `limit`, and no more than fit `maxBytes` after the first. */
  readFeed(id: SessionId, afterSeq: number, limit: number, maxBytes: number): Promise<readonly FeedItem[]>;
  /** The position in `jobId`'s journal that the session had reached at `seq`; `undefined` when that is not known any more. */
  feedPosition(id: SessionId, jobId: JobId, seq: number): Promise<number | undefined>;
  findSession(id: SessionId): Promise<{ readonly record: SessionRecord; readonly lastRun: FeedRun | null } | undefined>;
  /** The session that a token hash, current or previous, belongs to. */
  findSessionByToken(hash: string): Promise<SessionId | undefined>;
  findIdempotency(principal: string, key: string): Promise<IdempotencyRecord | undefined>;
  findRecord(kind: string, id: string): Promise<StoredRecord | undefined>;
  /** At most `limit` records. */
  listRecords(query: RecordQuery): Promise<readonly StoredRecord[]>;
  /** The credentials that are not known to be dead, by creation time. */
  outstandingCredentials(): Promise<readonly CredentialRecord[]>;
  /** Credentials by creation time and then alias, ascending, at most `limit`. */
  listCredentials(query: CredentialQuery): Promise<readonly CredentialRecord[]>;
  /**
   * Takes over every job that a dead writer left unfinished: raises its epoch and returns it with the sessions that
   * follow it. Sessions that were attached then are detached as of `now`.
   */
  takeOver(now: number): Promise<readonly { readonly job: JobRecord; readonly followers: readonly SessionId[] }[]>;
  /** Rows of the audit after `afterSeq`, or from the first that is there, in order, at most `limit`. */
  readAudit(afterSeq: number | undefined, limit: number): Promise<readonly AuditRow[]>;
  /** The number and the hash of the last row of the audit; `undefined` while there is none. */
  auditHead(): Promise<AuditHead | undefined>;
  /**
   * Deletes rows of the audit up to the first that is not older than `before`, some thousands at most, and appends the
   * row that stands for them. Returns how many went.
   */
  pruneAudit(before: number, now: number): Promise<number>;
  /**
   * Deletes what nobody can ask for any more, in slices: between two of them other work goes on. Resolves with how much
   * went. Not to be called while another sweep runs.
   */
  sweep(before: RetentionCuts): Promise<{ readonly sessions: number; readonly jobs: number }>;
}
