/** A scheduler over a real store, and runs that are stored as jobs are: in the batch with the schedule's record. */
import { createLogger } from "@arcp/core";
import { type Batch, type Store, sqliteStore } from "@arcp/runtime";
import type { Schedule } from "../../packages/runtime/src/engine/schedules/schedule.ts";
import {
  type Advance,
  type ScheduleLimits,
  type ScheduleRequest,
  Scheduler,
} from "../../packages/runtime/src/engine/schedules/scheduler.ts";
import type { StoredRecord } from "../../packages/runtime/src/store/store.ts";
import { ManualClock } from "../support/manual-clock.ts";

const EMPTY: Batch = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], audit: [], credentials: [], records: [] },
};

/** Its wall clock can be changed; what it waits for is not. */
class AdjustableClock extends ManualClock {
  #offset = 0;

  override now(): number {
    return super.now() + this.#offset;
  }

  jump(ms: number): void {
    this.#offset += ms;
  }
}

export const NOW = Date.UTC(2026, 0, 1, 12);
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** What is written between two commits, and who waits for that. */
class OpenBatch {
  readonly records = new Map<string, StoredRecord>();
  readonly durable = Promise.withResolvers<void>();

  put(record: StoredRecord): void {
    this.records.set(`${record.kind} ${record.id}`, record);
  }
}

interface Run {
  readonly id: string;
  readonly scheduleId: string;
  /** Milliseconds after {@link NOW}, as all times that tests compare. */
  readonly occurrenceAt: number;
  /** What the clock showed. */
  readonly at: number;
}

interface WorldOptions {
  readonly limits?: Partial<ScheduleLimits>;
  /** Do runs live until a test ends them? Otherwise they end at once. */
  readonly runsLive?: boolean;
  /** Takes the place of starting a run. */
  readonly fire?: (schedule: Schedule, occurrenceAt: number, advance: Advance) => Promise<void>;
}

export class World implements AsyncDisposable {
  readonly clock = new AdjustableClock(NOW);
  readonly store: Store = sqliteStore();
  /** Runs in the order in which they were begun, those that a crash undid not among them. */
  readonly runs: Run[] = [];
  /** Ids of runs that have not ended. */
  readonly living = new Set<string>();
  /** Runs that were begun although they had to wait for the one before. */
  readonly overlaps: string[] = [];
  readonly warnings: string[] = [];
  readonly errors: string[] = [];
  /** Is everything durable at once, or when a test says so? */
  commits: "at once" | "when told" = "at once";
  scheduler: Scheduler;
  readonly #options: WorldOptions;
  #open = new OpenBatch();
  #runCount = 0;

  private constructor(options: WorldOptions) {
    this.#options = options;
    this.scheduler = this.#newScheduler();
  }

  static async begin(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    await world.scheduler.start();
    return world;
  }

  schedule(when: unknown, request: Partial<ScheduleRequest> = {}): Schedule {
    return this.scheduler.schedule({ id: "daily", principal: "alice", job: { type: "tool.invoke" }, ...request, when });
  }

  /** Moves time on, in steps of at most `step` milliseconds, and lets everything happen that then happens. */
  async pass(ms: number, step = MINUTE): Promise<void> {
    await this.settled();
    for (let rest = ms; rest > 0; rest -= step) {
      this.clock.advance(Math.min(rest, step));
      await this.settled();
    }
  }

  /** Moves the time of day on without anybody looking, as for a process that is stopped. */
  sleep(ms: number): void {
    this.clock.jump(ms);
  }

  /** Lets everything happen that happens now. */
  async settled(): Promise<void> {
    for (let quiet = 0; quiet < 3; quiet += 1) {
      this.clock.advance(0);
      if (this.commits === "at once" && (await this.commit())) quiet = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Makes durable what was put. Was there anything? */
  async commit(): Promise<boolean> {
    const batch = this.#open;
    if (batch.records.size === 0) return false;
    this.#open = new OpenBatch();
    await this.store.commit({ ...EMPTY, records: batch.records.values() });
    batch.durable.resolve();
    return true;
  }

  /** Ends the process without a word: what was not committed is gone. Another one starts. */
  async crash(): Promise<void> {
    const lost = new Set(this.#open.records.values().map(({ id }) => id));
    this.#open = new OpenBatch();
    const kept = this.runs.filter(({ id }) => !lost.has(id));
    this.runs.splice(0, this.runs.length, ...kept);
    // Nothing of the old process reaches anything; that what it waits for never comes is its own affair.
    void this.scheduler.close();
    this.living.clear();
    this.scheduler = this.#newScheduler();
    await this.scheduler.start();
  }

  /** Ends the process in good order, and starts another one. */
  async restart(): Promise<void> {
    await this.close();
    await this.crash();
    await this.settled();
  }

  /** Ends the scheduler; what is under way gets its commit. */
  async close(): Promise<void> {
    const closed = this.scheduler.close();
    this.commits = "at once";
    await this.settled();
    await closed;
  }

  /** Occurrences of a schedule that were run, in milliseconds after {@link NOW}. */
  occurrences(scheduleId = "daily"): readonly number[] {
    return this.runs.filter((run) => run.scheduleId === scheduleId).map(({ occurrenceAt }) => occurrenceAt);
  }

  /** Runs as they are stored. */
  async storedRuns(): Promise<readonly string[]> {
    const records = await this.store.listRecords({ kind: "run", limit: 10_000 });
    return records.map(({ id }) => id);
  }

  storedSchedules(): Promise<readonly StoredRecord[]> {
    return this.store.listRecords({ kind: "schedule", limit: 10_000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    const { pending } = this.clock;
    await this.store.close();
    if (pending > 0) throw new Error(`${pending} timers are left`);
    if (this.errors.length > 0) throw new Error(`errors were logged: ${this.errors.join("\n")}`);
  }

  #newScheduler(): Scheduler {
    const isCurrent = (): boolean => this.scheduler === scheduler;
    const scheduler: Scheduler = new Scheduler({
      records: {
        put: (record) => {
          if (isCurrent()) this.#open.put(record);
        },
        list: (query) => this.store.listRecords({ kind: "schedule", ...query }),
        find: (id) => this.store.findRecord("schedule", id),
      },
      clock: this.clock,
      logger: createLogger((line) => {
        if (line.includes('"level":"error"')) this.errors.push(line);
        else this.warnings.push(line);
      }),
      fire: (schedule, occurrenceAt, advance) =>
        this.#options.fire?.(schedule, occurrenceAt, advance) ?? this.startRun(schedule, occurrenceAt, advance),
      isRunning: (runId) => this.living.has(runId),
      ...(this.#options.limits && { limits: this.#options.limits }),
    });
    return scheduler;
  }

  /** Puts a run and the schedule's record in one batch, as the engine does with a job. */
  startRun(schedule: Schedule, occurrenceAt: number, advance: Advance): Promise<void> {
    this.#runCount += 1;
    const id = `run ${this.#runCount}`;
    if (schedule.overlap === "skip" && this.living.has(schedule.lastRunId ?? "")) this.overlaps.push(id);
    if (this.#options.runsLive) this.living.add(id);
    this.#open.put(advance(id));
    this.#open.put({ kind: "run", id, principal: schedule.principal, jobId: null, dueAt: null, data: "{}" });
    this.runs.push({ id, scheduleId: schedule.id, occurrenceAt: occurrenceAt - NOW, at: this.clock.now() - NOW });
    return this.#open.durable.promise;
  }
}
