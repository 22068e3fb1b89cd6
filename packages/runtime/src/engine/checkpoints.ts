/**
 * Checkpoints (RFC §10.1, §19): what an agent keeps of its work so that another job can go on from there. The entry tells
 * of it; the data, and what the job was asked for, are a record of the principal's.
 */
import { createHash } from "node:crypto";
import {
  type Clock,
  InvalidRequestError,
  type JobId,
  type Lease,
  type LeaseConstraints,
  type SessionId,
  type TraceId,
} from "@arcp/core";
import { CanonicalError, newCheckpointId } from "@arcp/core/v1.0";
import { ENTRY, type Store } from "../store/store.ts";
import { tooLarge } from "./caps.ts";
import type { Elsewhere } from "./cluster/elsewhere.ts";
import { isLonger, jsonOf, jsonWithin, timestamp } from "./entry-text.ts";
import type { Job } from "./job.ts";
import type { JobOrigin } from "./job-facts.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import type { Acceptance, Session } from "./session.ts";
import type { Submission } from "./submission.ts";

/** What an agent is told of a checkpoint that it made. */
export interface Checkpoint {
  /** `chk_` and a ULID. */
  readonly checkpointId: string;
}

/** What a checkpoint is called. */
export interface CheckpointOptions {
  /** A few words for whoever chooses between checkpoints. */
  readonly label?: string;
}

/** What a job goes on from. */
export interface Restored {
  readonly checkpointId: string;
  readonly data: unknown;
}

/** Asked for a checkpoint, by a client or because the job is cancelled: returns what to keep, which JSON can hold. */
export type CheckpointHandler = (request: CheckpointOptions) => unknown;

/** A checkpoint that a command asks for. */
export interface AskedCheckpoint extends CheckpointOptions {
  /** The id of the command. */
  readonly commandId?: string | undefined;
  /** Called with the data, as JSON, in the turn in which the checkpoint is made. */
  readonly onMade?: (data: string) => void;
}

/** Asks an agent for a checkpoint, and makes it. */
export type CheckpointMaker = (asked: AskedCheckpoint) => Promise<Checkpoint>;

/** What another node is asked for. */
export interface RemoteCheckpoint {
  readonly principal: string;
  readonly jobId: JobId;
  readonly asked: AskedCheckpoint;
}

/** The method of {@link RemoteCheckpoint}. */
export const CREATE_CHECKPOINT = "checkpoint.create";

export interface CheckpointsOptions {
  readonly journal: Journal;
  readonly store: Pick<Store, "findRecord" | "findJob" | "listRecords">;
  readonly clock: Clock;
  readonly jobs: JobRegistry;
  readonly submission: () => Pick<Submission, "submit">;
  /** The other nodes; `undefined`: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
  /** How long a checkpoint is kept, in milliseconds; as long as its job lives in any case, and half of that after it. */
  readonly retentionMs: number;
  /** The number of an entry in a session's feed. */
  readonly seqOf: (sessionId: SessionId, jobId: JobId, n: number) => Promise<number | undefined>;
}

/** The document of one checkpoint. */
interface Stored {
  readonly id: string;
  /** The place of its entry. */
  readonly n: number;
  /** `name@version`. */
  readonly agent: string;
  readonly input?: unknown;
  readonly lease: Lease;
  readonly leaseConstraints?: LeaseConstraints;
  readonly maxRuntimeMs?: number;
  readonly traceId: TraceId;
  readonly mode: JobOrigin["mode"];
  readonly data: unknown;
}

/** A checkpoint of a job that lives. */
interface Kept {
  readonly recordId: string;
  dueAt: number;
}

const CHECKPOINT_KIND = "checkpoint";
/** What is left of a checkpoint whose time is over, for as long again: that there was one. */
const GONE = "{}";
const MAX_LABEL = 256;
/** How long an agent may take to make a checkpoint that a client asks for. */
const HANDLER_MS = 30_000;
const SLICE = 64;
const MS_PER_SECOND = 1000;
const AMOUNT_DECIMALS = 9;
const PRINCIPAL_CHARS = 32;

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #makers = new Map<JobId, CheckpointMaker>();
  /** Of jobs that are being cancelled. */
  readonly #lastWords = new Map<JobId, Promise<void>>();
  /** The checkpoints of each job that lives, oldest first. */
  readonly #kept = new Map<JobId, Kept[]>();

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  /**
   * Makes a checkpoint of `job`, which was given `input`. Resolves when it is durable. Beyond `maxCheckpoints` the job's
   * oldest one goes. Rejects, and keeps nothing, with {@link InvalidRequestError} for what JSON cannot hold and
   * InternalError beyond `maxCheckpointBytes`; once the job has ended, with its error.
   */
  async create(
    job: Job,
    input: unknown,
    data: unknown,
    { label, commandId, onMade }: AskedCheckpoint = {},
  ): Promise<Checkpoint> {
    const { journal, clock } = this.#options;
    if (label !== undefined && (typeof label !== "string" || label.length > MAX_LABEL)) {
      throw new InvalidRequestError(`the label of a checkpoint is a text of at most ${MAX_LABEL} characters`);
    }
    const { maxCheckpointBytes, maxCheckpoints } = job.caps;
    const read = jsonWithin(data, maxCheckpointBytes);
    const text = read === undefined ? undefined : job.masked(read);
    if (text === undefined || isLonger(text, maxCheckpointBytes))
      throw tooLarge("maxCheckpointBytes", maxCheckpointBytes);
    const checkpointId = newCheckpointId();
    const before = job.lastN;
    const told = job.emit(ENTRY.checkpoint, "x-vendor.arcp.checkpoint", {
      checkpoint_id: checkpointId,
      ...(label !== undefined && { label }),
      ...{ created_at: timestamp(clock.now()), size: Buffer.byteLength(text) },
      ...(commandId !== undefined && { command_id: commandId }),
    });
    if (job.lastN === before) await told;
    const recordId = recordIdOf(job.submitterPrincipal, checkpointId);
    const kept = this.#keptOf(job);
    kept.push({ recordId, dueAt: this.#put(job, recordId, this.#document(job, checkpointId, input, text)) });
    const oldest = kept.length > maxCheckpoints ? kept.shift() : undefined;
    if (oldest !== undefined) this.#put(job, oldest.recordId, GONE);
    onMade?.(text);
    await journal.flush();
    await told;
    return { checkpointId };
  }

  /** Makes `make` answer the clients that ask for a checkpoint of `job`, and asks it itself when the job is cancelled. */
  handle(job: Job, make: CheckpointMaker): void {
    const isFirst = !this.#makers.has(job.id);
    this.#makers.set(job.id, make);
    if (!isFirst) return;
    job.whenEnded(() => this.#makers.delete(job.id));
    job.signal.addEventListener("abort", () => {
      // Within the time that it has to stop in (RFC §10.4).
      if (!job.isCancelling) return;
      const made = this.#makers.get(job.id)?.({ label: "cancelled" });
      if (made !== undefined) this.#lastWords.set(job.id, made.then(nothing, nothing));
      job.whenEnded(() => this.#lastWords.delete(job.id));
    });
  }

  /** What a cancelled job may still wait for. */
  lastOf(job: Job): Promise<void> | undefined {
    return this.#lastWords.get(job.id);
  }

  /**
   * Asks the agent of a job of `session`'s principal for a checkpoint, in the name of a command.
   *
   * @throws CanonicalError `NOT_FOUND` without such a job; `FAILED_PRECONDITION` if it has ended, or makes none;
   * `DEADLINE_EXCEEDED` if it takes too long. What the agent throws.
   */
  async request(session: Pick<Session, "principal">, jobId: JobId, asked: AskedCheckpoint): Promise<Checkpoint> {
    const { jobs, store, journal, elsewhere } = this.#options;
    const job = jobs.get(jobId);
    if (job === undefined || job.submitterPrincipal !== session.principal) {
      await journal.flush();
      const ended = await store.findJob(jobId);
      if (ended?.principal !== session.principal) throw unknown("job", { job_id: jobId });
      if (ended.endedAt === null && job === undefined && elsewhere !== undefined) {
        const request: RemoteCheckpoint = { principal: session.principal, jobId, asked };
        return elsewhere.call<Checkpoint>(jobId, CREATE_CHECKPOINT, request);
      }
      throw new CanonicalError("FAILED_PRECONDITION", "the job has ended", { details: { status: ended.status } });
    }
    const make = this.#makers.get(jobId);
    if (make === undefined) {
      throw new CanonicalError("FAILED_PRECONDITION", "the agent makes no checkpoints when it is asked to");
    }
    return this.#inTime(job, make(asked));
  }

  /**
   * Starts a job of the same agent and version, with the same input, under the same trace and with what was left of the
   * budget, that goes on from a checkpoint; everything else is as {@link Submission.submit} does it.
   *
   * @throws CanonicalError `NOT_FOUND` for a checkpoint that is not there or another principal's, `DATA_LOSS` for one
   * whose time is over.
   */
  async restore(
    session: Session,
    checkpointId: string,
    origin: Omit<JobOrigin, "mode">,
    idempotencyKey: string | undefined,
    onAccepted: (acceptance: Acceptance, mode: JobOrigin["mode"]) => void,
  ): Promise<void> {
    const { agent, input, data, mode, lease, leaseConstraints, maxRuntimeMs, traceId } = await this.#find(
      session.principal,
      checkpointId,
    );
    await this.#options.submission().submit(
      session,
      {
        ...{ agent, input, idempotencyKey, leaseRequest: lease, leaseConstraints, trace: { traceId } },
        maxRuntimeSec: maxRuntimeMs === undefined ? undefined : maxRuntimeMs / MS_PER_SECOND,
        origin: { ...origin, mode },
        restored: { checkpointId, data },
      },
      (acceptance) => onAccepted(acceptance, mode),
    );
  }

  /**
   * The number of a checkpoint's entry in the session's feed; `undefined` if it has none there, or none any more.
   *
   * @throws CanonicalError as {@link restore} does.
   */
  async positionOf(session: Session, checkpointId: string): Promise<{ jobId: JobId; seq: number | undefined }> {
    const { jobId, n } = await this.#find(session.principal, checkpointId);
    return { jobId, seq: await this.#options.seqOf(session.id, jobId, n) };
  }

  /** Keeps those of jobs that live; lets go of the others whose time is over. */
  async sweep(): Promise<void> {
    const { store, clock, journal, retentionMs } = this.#options;
    const now = clock.now();
    for (const kept of [...this.#kept.values()].flat()) {
      if (kept.dueAt >= now + retentionMs / 2) continue;
      const record = await store.findRecord(CHECKPOINT_KIND, kept.recordId);
      if (record === undefined) continue;
      kept.dueAt = now + retentionMs;
      journal.putRecord({ ...record, dueAt: kept.dueAt });
    }
    for (;;) {
      await journal.flush();
      const over = await store.listRecords({ kind: CHECKPOINT_KIND, dueBefore: now, limit: SLICE });
      for (const record of over) {
        const data = record.data === GONE ? null : GONE;
        journal.putRecord({ ...record, dueAt: now + retentionMs, data });
      }
      if (over.length === 0) return;
    }
  }

  async #find(principal: string, checkpointId: string): Promise<Stored & { readonly jobId: JobId }> {
    const { store, journal, clock, jobs } = this.#options;
    await journal.flush();
    const record = await store.findRecord(CHECKPOINT_KIND, recordIdOf(principal, checkpointId));
    if (record?.jobId == null) throw unknown("checkpoint", { checkpoint_id: checkpointId });
    const isOver = (record.dueAt ?? 0) <= clock.now() && jobs.get(record.jobId) === undefined;
    if (isOver || record.data === GONE || record.data === null) {
      const details = { checkpoint_id: checkpointId };
      throw new CanonicalError("DATA_LOSS", "the checkpoint is not kept any more", { details });
    }
    return { ...(JSON.parse(record.data) as Stored), jobId: record.jobId };
  }

  /** The document as JSON. `data` is JSON already. */
  #document(job: Job, id: string, input: unknown, data: string): string {
    const { agentRef: agent, leaseConstraints, maxRuntimeMs, traceId, origin, lastN: n } = job;
    const facts = { id, n, agent, lease: leaseLeft(job), leaseConstraints, maxRuntimeMs, traceId };
    const asked = jsonOf({ ...facts, mode: origin?.mode ?? "durable", input });
    return `${asked.slice(0, -1)},"data":${data}}`;
  }

  /** Returns when the record is due. */
  #put(job: Job, id: string, data: string): number {
    const { journal, clock, retentionMs } = this.#options;
    const { submitterPrincipal: principal, id: jobId } = job;
    const dueAt = clock.now() + retentionMs;
    journal.putRecord({ kind: CHECKPOINT_KIND, id, principal, jobId, dueAt, data });
    return dueAt;
  }

  #keptOf(job: Job): Kept[] {
    let kept = this.#kept.get(job.id);
    if (kept === undefined) {
      kept = [];
      this.#kept.set(job.id, kept);
      job.whenEnded(() => this.#kept.delete(job.id));
    }
    return kept;
  }

  /** What `made` resolves with, unless that takes too long or the job ends first. */
  async #inTime(job: Job, made: Promise<Checkpoint>): Promise<Checkpoint> {
    const { promise, reject } = Promise.withResolvers<never>();
    const late = (): void => reject(new CanonicalError("DEADLINE_EXCEEDED", "the agent made no checkpoint in time"));
    const stopTimer = this.#options.clock.setTimer(late, HANDLER_MS);
    const stopLastWords = job.beforeEnd(() =>
      reject(new CanonicalError("FAILED_PRECONDITION", "the job ended before it made a checkpoint")),
    );
    try {
      return await Promise.race([made, promise]);
    } finally {
      stopTimer();
      stopLastWords();
    }
  }
}

/** Ids are unknown outside their principal, whatever they look like. */
const recordIdOf = (principal: string, checkpointId: string): string =>
  `${createHash("sha256").update(principal).digest("hex").slice(0, PRINCIPAL_CHARS)} ${checkpointId}`;

/** The lease of `job`, with what is left of its budget now. */
function leaseLeft({ lease, budget }: Job): Lease {
  const asked = lease["cost.budget"];
  if (asked === undefined) return lease;
  const currencies = new Set(asked.map((entry) => entry.split(":", 1)[0] ?? ""));
  const left = [...currencies].map((currency) => `${currency}:${decimal(Math.max(0, budget.get(currency) ?? 0))}`);
  return { ...lease, "cost.budget": left };
}

const decimal = (amount: number): string => amount.toFixed(AMOUNT_DECIMALS).replace(/\.?0+$/, "");

const nothing = (): void => {};

const unknown = (what: "job" | "checkpoint", details: Readonly<Record<string, unknown>>): CanonicalError =>
  new CanonicalError("NOT_FOUND", `there is no such ${what}`, { details });
