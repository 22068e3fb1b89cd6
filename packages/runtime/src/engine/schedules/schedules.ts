/** Jobs that are asked for now and run later, once or again and again (RFC §10.6). */
import {
  ARCPError,
  type Clock,
  DuplicateKeyError,
  type JobId,
  type Lease,
  type LeaseConstraints,
  type Logger,
  newJobId,
  type SessionId,
  type TraceId,
} from "@arcp/core";
import type { Store } from "../../store/store.ts";
import { type Audit, bySession } from "../audit/audit.ts";
import { digestOf } from "../canonical-json.ts";
import type { JobRegistry } from "../job-registry.ts";
import type { Journal } from "../journal.ts";
import type { Session } from "../session.ts";
import type { SessionRegistry } from "../session-registry.ts";
import type { Submission } from "../submission.ts";
import { SCHEDULE_KIND, type Schedule } from "./schedule.ts";
import { type ScheduleLimits, Scheduler } from "./scheduler.ts";

/** What an occurrence runs. */
export interface ScheduledJob {
  readonly agent: string;
  readonly input: unknown;
  readonly leaseRequest: Lease | undefined;
  readonly leaseConstraints: LeaseConstraints | undefined;
  readonly maxRuntimeSec: number | undefined;
  readonly traceId: TraceId | undefined;
}

/** Characters of an agent's name, as far as they are recorded. */
const MAX_AGENT = 256;

/** As it is stored. */
interface StoredJob extends ScheduledJob {
  /** The session that asked, which hears of the runs while it is kept. */
  readonly sessionId: SessionId;
}

export interface SchedulesOptions {
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly jobs: JobRegistry;
  readonly sessions: SessionRegistry;
  readonly submission: Submission;
  readonly limits: Partial<ScheduleLimits>;
  readonly idempotencyTtlMs: number;
}

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #scheduler: Scheduler;
  /** Keys that are being bound. */
  readonly #binding = new Map<string, Promise<void>>();

  constructor(options: SchedulesOptions) {
    const { journal, store, clock, logger, jobs, limits } = options;
    this.#options = options;
    this.#scheduler = new Scheduler({
      records: {
        put: (record) => journal.putRecord(record),
        list: (query) => store.listRecords({ kind: SCHEDULE_KIND, ...query }),
      },
      ...{ clock, logger, limits },
      fire: (schedule, _occurrenceAt, advance) => this.#run(schedule, (jobId) => journal.putRecord(advance(jobId))),
      isRunning: (jobId) => jobs.get(jobId as never)?.isTerminal === false,
    });
  }

  start(): Promise<void> {
    return this.#scheduler.start();
  }

  close(): Promise<void> {
    return this.#scheduler.close();
  }

  /**
   * The schedule that `key` stands for already, or the id alone of one that is over; otherwise a new one, bound to the key
   * (RFC §6.4).
   *
   * @throws DuplicateKeyError if the key stands for something else; as {@link schedule} does.
   */
  async scheduleOnce(
    session: Session,
    when: unknown,
    job: ScheduledJob,
    key: string,
  ): Promise<{ readonly id: string; readonly schedule: Schedule | undefined }> {
    const { store, journal, clock, idempotencyTtlMs } = this.#options;
    const digest = digestOf(["job.schedule", when, { ...job, traceId: undefined }]);
    const binding = JSON.stringify([session.principal, key]);
    while (this.#binding.has(binding)) await this.#binding.get(binding);
    const settle = Promise.withResolvers<void>();
    this.#binding.set(binding, settle.promise);
    try {
      const earlier = await store.findIdempotency(session.principal, key);
      if (earlier !== undefined && earlier.expiresAt > clock.now()) {
        if (earlier.digest === digest)
          return { id: earlier.jobId, schedule: this.#scheduler.find(earlier.jobId, session.principal) };
        throw new DuplicateKeyError("the idempotency key stands for something else");
      }
      const schedule = this.schedule(session, when, job);
      const expiresAt = clock.now() + idempotencyTtlMs;
      journal.addIdempotency({ principal: session.principal, key, digest, jobId: schedule.id as JobId, expiresAt });
      await journal.flush();
      return { id: schedule.id, schedule };
    } finally {
      this.#binding.delete(binding);
      settle.resolve();
    }
  }

  /**
   * Puts a schedule in the open batch. Its id is that of a job that never runs: it can be cancelled by it. Throws as
   * {@link Scheduler.schedule} does.
   */
  schedule(session: Session, when: unknown, job: ScheduledJob): Schedule {
    const stored: StoredJob = { ...job, sessionId: session.id };
    const { audit } = this.#options;
    const { agent, traceId } = job;
    try {
      const schedule = this.#scheduler.schedule({ id: newJobId(), principal: session.principal, when, job: stored });
      const facts = { schedule_id: schedule.id, agent, when: schedule.when };
      audit.record("schedule.made", bySession(session, { traceId }), facts);
      return schedule;
    } catch (error) {
      const facts = { agent: agent.slice(0, MAX_AGENT), code: ARCPError.from(error).code };
      audit.record("schedule.refused", bySession(session, { traceId }), facts);
      throw error;
    }
  }

  /** Ends a schedule; runs go on. `false` if the principal has none of that id. */
  cancel(id: string, principal: string, session?: Session): boolean {
    if (!this.#scheduler.cancel(id, principal)) return false;
    const subject = session === undefined ? { principal } : bySession(session);
    this.#options.audit.record("schedule.cancelled", subject, { schedule_id: id });
    return true;
  }

  list(principal: string): readonly Schedule[] {
    return this.#scheduler.list(principal);
  }

  async #run({ id, principal, job }: Schedule, onMade: (jobId: string) => void): Promise<void> {
    const { sessions, submission } = this.#options;
    const { sessionId, agent, input, leaseRequest, leaseConstraints, maxRuntimeSec, traceId } = job as StoredJob;
    const session = await sessions.reclaim(sessionId, principal);
    await submission.run(session ?? { id: sessionId, principal, feed: undefined }, {
      ...{ agent, input, leaseRequest, leaseConstraints, maxRuntimeSec, onMade },
      trace: traceId === undefined ? undefined : { traceId },
      origin: { commandId: id, mode: "durable", command: "job.schedule" },
    });
  }
}
