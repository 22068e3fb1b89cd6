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
import type { SharedStore } from "../../store/shared.ts";
import type { IdempotencyRecord, Store } from "../../store/store.ts";
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
  /** What other runtimes that run the same schedules share with this one; `undefined`: there are none. */
  readonly shared?: Pick<SharedStore, "bindKey" | "releaseKey"> | undefined;
  /** Tells the others that the schedule of that id was made or cancelled. */
  readonly onChanged?: (id: string) => void;
}

/** In whose name occurrences are claimed: no client has it. */
const CLAIMANT = "\u0000schedules";
/** How often is looked for what nobody has told of. */
const REFRESH_MS = 30_000;

export class Schedules {
  readonly #options: SchedulesOptions;
  readonly #scheduler: Scheduler;
  /** Keys that are being bound. */
  readonly #binding = new Map<string, Promise<void>>();
  #stopRefreshing: () => void = () => {};

  constructor(options: SchedulesOptions) {
    const { journal, store, clock, logger, limits, shared } = options;
    this.#options = options;
    this.#scheduler = new Scheduler({
      records: {
        put: (record) => journal.putRecord(record),
        list: async (query) => {
          await journal.flush();
          return store.listRecords({ kind: SCHEDULE_KIND, ...query });
        },
        find: async (id) => {
          await journal.flush();
          return store.findRecord(SCHEDULE_KIND, id);
        },
      },
      ...{ clock, logger, limits },
      fire: (schedule, occurrenceAt, advance, claim) =>
        this.#run(schedule, occurrenceAt, (jobId) => journal.putRecord(advance(jobId)), claim as JobId | undefined),
      isRunning: (jobId) => this.#isRunning(jobId as JobId),
      claim: shared && ((schedule, occurrenceAt) => this.#claim(shared, schedule, occurrenceAt)),
    });
  }

  async start(): Promise<void> {
    await this.#scheduler.start();
    if (this.#options.shared !== undefined) this.#refreshLater();
  }

  close(): Promise<void> {
    this.#stopRefreshing();
    return this.#scheduler.close();
  }

  /** Another runtime has made or cancelled the schedule. */
  readonly refresh = (id: string): Promise<void> => this.#scheduler.refresh(id);

  /** Others may have changed any of them, and have what this runtime had begun. */
  refreshAll(): Promise<void> {
    return this.#scheduler.refreshAll();
  }

  #refreshLater(): void {
    const { clock, logger } = this.#options;
    this.#stopRefreshing = clock.setTimer(() => {
      this.#scheduler
        .refreshAll()
        .catch((err) => logger.warn({ err }, "schedules could not be read again"))
        .finally(() => this.#refreshLater());
    }, REFRESH_MS);
  }

  /**
   * The id of the job that the occurrence is to be. Whoever has bound it runs it; if that node dies before its job is stored, the
   * claim is void, and whoever asks next has it.
   */
  async #claim(
    shared: Pick<SharedStore, "bindKey">,
    { id }: Schedule,
    occurrenceAt: number,
  ): Promise<string | undefined> {
    const { clock, idempotencyTtlMs } = this.#options;
    const jobId = newJobId();
    const claim = { principal: CLAIMANT, key: `${id} ${occurrenceAt}`, digest: "", jobId };
    const bound = await shared.bindKey({ ...claim, expiresAt: clock.now() + idempotencyTtlMs });
    return bound.jobId === jobId ? jobId : undefined;
  }

  async #isRunning(jobId: JobId): Promise<boolean> {
    const { jobs, store, shared } = this.#options;
    const job = jobs.get(jobId);
    if (job !== undefined || shared === undefined) return job?.isTerminal === false;
    return (await store.findJob(jobId))?.endedAt === null;
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
    const { store, journal, clock, idempotencyTtlMs, shared } = this.#options;
    const digest = digestOf(["job.schedule", when, { ...job, traceId: undefined }]);
    const binding = JSON.stringify([session.principal, key]);
    while (this.#binding.has(binding)) await this.#binding.get(binding);
    const settle = Promise.withResolvers<void>();
    this.#binding.set(binding, settle.promise);
    try {
      const earlier = await store.findIdempotency(session.principal, key);
      if (earlier !== undefined && earlier.expiresAt > clock.now()) {
        return await this.#earlier(session, earlier, digest);
      }
      const expiresAt = clock.now() + idempotencyTtlMs;
      const record = { principal: session.principal, key, digest, jobId: newJobId(), expiresAt };
      const bound = await shared?.bindKey(record);
      if (bound !== undefined && bound.jobId !== record.jobId) return await this.#earlier(session, bound, digest);
      let schedule: Schedule;
      try {
        schedule = this.schedule(session, when, job, record.jobId);
      } catch (error) {
        await shared?.releaseKey(record);
        throw error;
      }
      journal.addIdempotency(record);
      await journal.flush();
      return { id: schedule.id, schedule };
    } finally {
      this.#binding.delete(binding);
      settle.resolve();
    }
  }

  /** What the key stands for. Of one that another runtime is just making, the id alone is known. */
  async #earlier(
    { principal }: Session,
    { jobId: id, digest: bound }: IdempotencyRecord,
    digest: string,
  ): Promise<{ readonly id: string; readonly schedule: Schedule | undefined }> {
    if (bound !== digest) throw new DuplicateKeyError("the idempotency key stands for something else");
    return { id, schedule: await this.find(id, principal) };
  }

  /** A principal's schedule of that id. Those that have ended are forgotten. */
  async find(id: string, principal: string): Promise<Schedule | undefined> {
    const known = this.#scheduler.find(id, principal);
    if (known !== undefined || this.#options.shared === undefined) return known;
    await this.#scheduler.refresh(id);
    return this.#scheduler.find(id, principal);
  }

  /**
   * Puts a schedule in the open batch. Its id is that of a job that never runs: it can be cancelled by it. Throws as
   * {@link Scheduler.schedule} does.
   */
  schedule(session: Session, when: unknown, job: ScheduledJob, id: JobId = newJobId()): Schedule {
    const stored: StoredJob = { ...job, sessionId: session.id };
    const { audit, journal, onChanged = () => {} } = this.#options;
    const { agent, traceId } = job;
    try {
      const schedule = this.#scheduler.schedule({ id, principal: session.principal, when, job: stored });
      journal.afterCommit(() => onChanged(id));
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
  async cancel(id: string, principal: string, session?: Session): Promise<boolean> {
    await this.find(id, principal);
    if (!this.#scheduler.cancel(id, principal)) return false;
    const subject = session === undefined ? { principal } : bySession(session);
    const { audit, journal, onChanged = () => {} } = this.#options;
    journal.afterCommit(() => onChanged(id));
    audit.record("schedule.cancelled", subject, { schedule_id: id });
    return true;
  }

  list(principal: string): readonly Schedule[] {
    return this.#scheduler.list(principal);
  }

  async #run(
    { id, principal, job }: Schedule,
    occurrenceAt: number,
    onMade: (jobId: string) => void,
    jobId: JobId | undefined,
  ): Promise<void> {
    const { sessions, submission } = this.#options;
    const { sessionId, agent, input, leaseRequest, leaseConstraints, maxRuntimeSec, traceId } = job as StoredJob;
    const session = await sessions.reclaim(sessionId, principal);
    const submitter = session ?? { id: sessionId, principal, feed: undefined };
    const request = {
      ...{ agent, input, leaseRequest, leaseConstraints, maxRuntimeSec, onMade },
      trace: traceId === undefined ? undefined : { traceId },
      origin: { commandId: id, mode: "durable" as const, command: "job.schedule" as const, occurrenceAt },
    };
    await submission.run(submitter, request, jobId);
  }
}
