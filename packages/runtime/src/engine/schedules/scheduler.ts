/**
 * Runs what was scheduled (RFC §10.6): each occurrence once, a schedule's in order, over restarts, changes of the clock
 * and time in which nothing ran.
 *
 * What makes an occurrence happen once is that the schedule's record moves on to the next occurrence in the batch that
 * holds the job: after a crash there are both or neither. Where several processes run the same schedules, one claims the
 * occurrence before, and looks at the record again then: the others have moved it on, or they have not run it. Of the occurrences that have passed by the time one is run,
 * the first is run and the others are skipped and counted.
 */
import { CancelledError, type Clock, type Logger } from "@arcp/core";
import type { StoredRecord } from "../../store/store.ts";
import { tooLarge, tooMany } from "../caps.ts";
import { type Recurrence, recurrenceOf } from "./recurrence.ts";
import { noScheduleRecord, type Schedule, scheduleOf, scheduleRecord } from "./schedule.ts";

/** Where schedules are kept. */
export interface ScheduleRecords {
  /** Puts a record in the open batch; with `data: null` it deletes. */
  put(record: StoredRecord): void;
  /** Records of schedules by id, at most `limit`, after the one of that id. With everything that was put before. */
  list(query: { readonly after?: string; readonly limit: number }): Promise<readonly StoredRecord[]>;
  /** The same for one record. */
  find(id: string): Promise<StoredRecord | undefined>;
}

/** How many schedules there may be, and how large. */
export interface ScheduleLimits {
  /** Schedules that one principal may have. */
  readonly maxSchedulesPerPrincipal: number;
  /** Schedules of all principals together. */
  readonly maxSchedules: number;
  /** Bytes of what one schedule runs, as JSON. With {@link maxSchedules} it bounds the memory that schedules take. */
  readonly maxScheduledJobBytes: number;
  /** Seconds between two runs of a rule, at least. */
  readonly minIntervalSec: number;
}

/** The limits of schedules where none are given. */
export const DEFAULT_SCHEDULE_LIMITS: ScheduleLimits = {
  maxSchedulesPerPrincipal: 100,
  maxSchedules: 1000,
  maxScheduledJobBytes: 64 * 1024,
  minIntervalSec: 60,
};

/**
 * Moves the schedule on, past the occurrence that is being run: returns the record to put **in the same turn, in the
 * batch that adds the job** `runId`. Call it once. Throws `CancelledError` when the schedule was cancelled meanwhile:
 * then no job may start.
 */
export type Advance = (runId: string) => StoredRecord;

export interface SchedulerOptions {
  readonly records: ScheduleRecords;
  readonly clock: Clock;
  readonly logger: Logger;
  /**
   * Starts a run of `schedule` for its occurrence at `occurrenceAt` (milliseconds since the epoch), and resolves when
   * that is durable. An occurrence for which it rejects, or resolves, without having called `advance` is over all the
   * same: it counts as failed, or as skipped.
   */
  fire(schedule: Schedule, occurrenceAt: number, advance: Advance, claim: string | undefined): Promise<void>;
  /**
   * Makes the occurrence this process's to run, of several that have the same schedules; resolves with what `fire` gets then, or with
   * `undefined` if it is another's. One whose process is gone before it was run can be claimed again. Default: there are no others.
   */
  readonly claim?: ((schedule: Schedule, occurrenceAt: number) => Promise<string | undefined>) | undefined;
  /** Does that run live? Asked before an occurrence of a schedule whose runs must not overlap. */
  isRunning(runId: string, schedule: Schedule): boolean | Promise<boolean>;
  readonly limits?: Partial<ScheduleLimits>;
}

export interface ScheduleRequest {
  /** Of the schedule, unique. */
  readonly id: string;
  readonly principal: string;
  /** `{at}`, `{every}` or `{after}`, as it came. */
  readonly when: unknown;
  /** JSON. */
  readonly job: unknown;
  /** Default: `"skip"`. */
  readonly overlap?: "skip" | "allow";
}

/** One schedule in memory. What it is to whoever asks is replaced whole. */
interface Entry {
  schedule: Schedule;
  readonly recurrence: Recurrence;
  /** When a delay that began in this process is over by the clock that nobody changes. */
  readonly delayEndsAt: number | undefined;
  /** Another process runs the occurrence: when this one looks again, by the clock that nobody changes. */
  heldUntil: number;
  isFiring: boolean;
}

/** A wall clock that jumps is noticed within this time. */
const MAX_SLEEP_MS = 60_000;
/** After how long is looked again at an occurrence that another process runs, or that could not be claimed. */
const HELD_MS = 1_000;
/** Runs that are being started at once. */
const MAX_FIRING = 16;
/** Occurrences that passed unseen are counted up to this many at a time. */
const MAX_COUNTED = 1000;
const PAGE = 256;

export class Scheduler {
  readonly #records: ScheduleRecords;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #fire: SchedulerOptions["fire"];
  readonly #isRunning: SchedulerOptions["isRunning"];
  readonly #claim: SchedulerOptions["claim"];
  readonly #limits: ScheduleLimits;
  readonly #entries = new Map<string, Entry>();
  readonly #firing = new Set<Promise<void>>();
  #state: "new" | "started" | "closed" = "new";
  #cancelTimer: () => void = () => {};

  constructor({ records, clock, logger, fire, isRunning, claim, limits }: SchedulerOptions) {
    this.#records = records;
    this.#clock = clock;
    this.#logger = logger;
    this.#fire = fire;
    this.#isRunning = isRunning;
    this.#claim = claim;
    this.#limits = { ...DEFAULT_SCHEDULE_LIMITS, ...limits };
  }

  /** Reads what is stored and begins to run it. Nothing can be scheduled before. */
  async start(): Promise<void> {
    await this.#readAll();
    if (this.#state === "closed") return;
    this.#state = "started";
    this.#wake();
  }

  /** Reads everything again, as others may have changed it. */
  async refreshAll(): Promise<void> {
    const before = [...this.#entries.values()];
    const read = await this.#readAll();
    for (const entry of before) if (!read.has(entry.schedule.id) && this.#isLive(entry)) this.#end(entry);
    this.#wake();
  }

  /** The same for one schedule. */
  async refresh(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    const record = await this.#records.find(id);
    if (record !== undefined) this.#restore(record);
    else if (entry !== undefined && this.#isLive(entry)) this.#end(entry);
    this.#sleep();
  }

  async #readAll(): Promise<ReadonlySet<string>> {
    const read = new Set<string>();
    let after: string | undefined;
    do {
      const page: readonly StoredRecord[] = await this.#records.list({
        limit: PAGE,
        ...(after !== undefined && { after }),
      });
      for (const record of page) {
        read.add(record.id);
        this.#restore(record);
      }
      after = page.length < PAGE ? undefined : page.at(-1)?.id;
    } while (after !== undefined);
    return read;
  }

  /**
   * Puts a new schedule in the open batch; it may run from now on. Throws `InvalidRequestError` for a `when` that names
   * no instants, `InternalError` (`details.limit`) for one schedule too many or too large a job.
   */
  schedule({ id, principal, when, job, overlap = "skip" }: ScheduleRequest): Schedule {
    if (this.#state !== "started") throw new Error("the scheduler is not started, or closed");
    if (this.#entries.has(id)) throw new Error(`there is a schedule ${id}`);
    const { maxSchedules, maxSchedulesPerPrincipal, maxScheduledJobBytes, minIntervalSec } = this.#limits;
    if (this.list(principal).length >= maxSchedulesPerPrincipal) {
      throw tooMany("maxSchedulesPerPrincipal", maxSchedulesPerPrincipal, "after_capacity");
    }
    if (this.#entries.size >= maxSchedules) throw tooMany("maxSchedules", maxSchedules, "after_capacity");
    const text = JSON.stringify(job);
    if (Buffer.byteLength(text) > maxScheduledJobBytes) throw tooLarge("maxScheduledJobBytes", maxScheduledJobBytes);
    const acceptedAt = this.#clock.now();
    const recurrence = recurrenceOf(when, acceptedAt, { minIntervalSec });
    const schedule: Schedule = {
      ...{ id, principal, when: recurrence.when, job: JSON.parse(text), overlap, acceptedAt },
      ...{ nextAt: recurrence.first, isPaused: false, lastRunId: null, runs: 0, skipped: 0, failed: 0 },
    };
    const isDelay = "after" in recurrence.when;
    const delayEndsAt = isDelay ? this.#clock.monotonic() + recurrence.first - acceptedAt : undefined;
    this.#entries.set(id, { schedule, recurrence, delayEndsAt, heldUntil: 0, isFiring: false });
    this.#records.put(scheduleRecord(schedule, recurrence));
    this.#sleep();
    return schedule;
  }

  /** A principal's schedules, in the order in which they were accepted. */
  list(principal: string): readonly Schedule[] {
    const schedules = [...this.#entries.values()].map(({ schedule }) => schedule);
    return schedules
      .filter((schedule) => schedule.principal === principal)
      .sort((a, b) => a.acceptedAt - b.acceptedAt || (a.id < b.id ? -1 : 1));
  }

  /** A principal's schedule of that id. Those that have ended are forgotten. */
  find(id: string, principal: string): Schedule | undefined {
    return this.#owned(id, principal)?.schedule;
  }

  /** Ends a schedule: none of its occurrences begins any more. Runs go on. `false` if the principal has none of that id. */
  cancel(id: string, principal: string): boolean {
    const entry = this.#owned(id, principal);
    if (entry === undefined) return false;
    this.#end(entry);
    this.#records.put(noScheduleRecord(entry.schedule));
    return true;
  }

  /** Lets no occurrence begin until {@link resume}. `false` if the principal has no schedule of that id. */
  pause(id: string, principal: string): boolean {
    return this.#setPaused(id, principal, true);
  }

  /** Goes on; if occurrences have passed meanwhile, one of them is run now. `false` as for {@link pause}. */
  resume(id: string, principal: string): boolean {
    return this.#setPaused(id, principal, false);
  }

  /** Begins no run any more; resolves when those that are being started are. Idempotent. */
  async close(): Promise<void> {
    this.#state = "closed";
    this.#cancelTimer();
    await Promise.all(this.#firing);
  }

  #owned(id: string, principal: string): Entry | undefined {
    const entry = this.#entries.get(id);
    return entry?.schedule.principal === principal ? entry : undefined;
  }

  #setPaused(id: string, principal: string, isPaused: boolean): boolean {
    const entry = this.#owned(id, principal);
    if (entry === undefined) return false;
    if (entry.schedule.isPaused !== isPaused) {
      this.#change(entry, { isPaused });
      this.#sleep();
    }
    return true;
  }

  /** A record that cannot be read stays where it is, for whoever can. */
  #restore(record: StoredRecord): void {
    try {
      const read = scheduleOf(record);
      const entry = this.#entries.get(record.id);
      if (entry === undefined) {
        const fresh = { delayEndsAt: undefined, heldUntil: 0, isFiring: false };
        this.#entries.set(record.id, { ...read, ...fresh });
      } else if (!entry.isFiring) entry.schedule = read.schedule;
    } catch (err) {
      this.#logger.error({ err, scheduleId: record.id }, "a stored schedule cannot be read and does not run");
    }
  }

  /** Begins what is due, the earliest first, and sleeps until something else is. */
  #wake(): void {
    if (this.#state !== "started") return;
    const due = [...this.#entries.values()].filter((entry) => isReady(entry) && this.#waitOf(entry) <= 0);
    due.sort(({ schedule: a }, { schedule: b }) => a.nextAt - b.nextAt || (a.id < b.id ? -1 : 1));
    for (const entry of due.slice(0, MAX_FIRING - this.#firing.size)) {
      entry.isFiring = true;
      const run = this.#run(entry).finally(() => {
        entry.isFiring = false;
        this.#firing.delete(run);
        this.#wake();
      });
      this.#firing.add(run);
    }
    this.#sleep();
  }

  /** Wakes at the next occurrence. With all hands full, the first that is free wakes everybody. */
  #sleep(): void {
    this.#cancelTimer();
    if (this.#state !== "started" || this.#entries.size === 0) return;
    const waiting = this.#firing.size < MAX_FIRING ? [...this.#entries.values()].filter(isReady) : [];
    const wait = Math.min(MAX_SLEEP_MS, ...waiting.map((entry) => this.#waitOf(entry)));
    this.#cancelTimer = this.#clock.setTimer(() => this.#wake(), Math.max(0, wait));
  }

  /** Milliseconds until the entry is due; none or fewer when it is. */
  #waitOf({ schedule, delayEndsAt = Number.POSITIVE_INFINITY, heldUntil }: Entry): number {
    const monotonic = this.#clock.monotonic();
    const wait = Math.min(schedule.nextAt - this.#clock.now(), delayEndsAt - monotonic);
    return heldUntil === 0 ? wait : Math.max(wait, heldUntil - monotonic);
  }

  /** Runs the entry's next occurrence, or lets it pass. Never rejects. */
  async #run(entry: Entry): Promise<void> {
    const occurrenceAt = entry.schedule.nextAt;
    let isAdvanced = false;
    const advance: Advance = (runId) => {
      if (isAdvanced) throw new Error(`the occurrence of ${entry.schedule.id} is run already`);
      if (!this.#isLive(entry)) throw new CancelledError("the schedule was cancelled");
      isAdvanced = true;
      return this.#settle(entry, { runs: entry.schedule.runs + 1, lastRunId: runId });
    };
    let claim: string | undefined;
    if (this.#claim !== undefined) {
      claim = await this.#claimed(entry);
      if (claim === undefined) return;
    }
    try {
      const isOverlapping = await this.#isOverlapping(entry);
      // Meanwhile it may have been cancelled or paused, or everything closed.
      if (!this.#isLive(entry) || entry.schedule.isPaused || this.#state === "closed") return;
      if (!isOverlapping) await this.#fire(entry.schedule, occurrenceAt, advance, claim);
      if (!isAdvanced && this.#isLive(entry)) {
        this.#records.put(this.#settle(entry, { skipped: entry.schedule.skipped + 1 }));
      }
    } catch (err) {
      const { id, principal } = entry.schedule;
      this.#logger.warn({ err, scheduleId: id, principal, occurrenceAt }, "a scheduled run could not be started");
      if (isAdvanced && this.#claim !== undefined) this.#hold(entry);
      else if (isAdvanced) this.#records.put(this.#recordOf(entry));
      else if (this.#isLive(entry)) this.#records.put(this.#settle(entry, { failed: entry.schedule.failed + 1 }));
    }
  }

  /** The entry's next occurrence, if it is this process's to run, and the entry as it is stored then. Never rejects. */
  async #claimed(entry: Entry): Promise<string | undefined> {
    const { id, nextAt } = entry.schedule;
    try {
      const claim = await this.#claim?.(entry.schedule, nextAt);
      const record = await this.#records.find(id);
      if (!this.#isLive(entry)) return undefined;
      if (record === undefined) this.#end(entry);
      else {
        entry.schedule = scheduleOf(record).schedule;
        if (entry.schedule.nextAt === nextAt && claim === undefined) this.#hold(entry);
        if (entry.schedule.nextAt === nextAt && !entry.schedule.isPaused) return claim;
      }
    } catch (err) {
      this.#logger.warn({ err, scheduleId: id }, "a scheduled run could not be claimed: it is tried again");
      this.#hold(entry);
    }
    return undefined;
  }

  /** What became of its occurrence is in the store, or will be: it is claimed once more, and then read. */
  #hold(entry: Entry): void {
    entry.heldUntil = this.#clock.monotonic() + HELD_MS;
  }

  async #isOverlapping({ schedule }: Entry): Promise<boolean> {
    if (schedule.overlap === "allow" || schedule.lastRunId === null) return false;
    return await this.#isRunning(schedule.lastRunId, schedule);
  }

  #isLive(entry: Entry): boolean {
    return this.#entries.get(entry.schedule.id) === entry;
  }

  /** Moves on to the next occurrence that has not passed. Returns the record that says so. */
  #settle(entry: Entry, change: Partial<Schedule>): StoredRecord {
    const { nextAt, passed } = this.#following(entry);
    const skipped = (change.skipped ?? entry.schedule.skipped) + passed;
    entry.schedule = { ...entry.schedule, ...change, skipped, nextAt: nextAt ?? entry.schedule.nextAt };
    if (nextAt === undefined) this.#end(entry);
    return this.#recordOf(entry);
  }

  #recordOf(entry: Entry): StoredRecord {
    return this.#isLive(entry) ? changedRecord(entry) : noScheduleRecord(entry.schedule);
  }

  #following({ recurrence, schedule }: Entry): { readonly nextAt: number | undefined; readonly passed: number } {
    const now = this.#clock.now();
    let nextAt = recurrence.after(schedule.nextAt);
    let passed = 0;
    for (; nextAt !== undefined && nextAt <= now && passed < MAX_COUNTED; passed += 1)
      nextAt = recurrence.after(nextAt);
    return { nextAt: nextAt !== undefined && nextAt <= now ? recurrence.after(now) : nextAt, passed };
  }

  #change(entry: Entry, change: Partial<Schedule>): void {
    entry.schedule = { ...entry.schedule, ...change };
    this.#records.put(changedRecord(entry));
  }

  #end(entry: Entry): void {
    this.#entries.delete(entry.schedule.id);
    if (this.#entries.size === 0) this.#cancelTimer();
  }
}

/** What another process has cancelled meanwhile stays cancelled. */
const changedRecord = ({ schedule, recurrence }: Entry): StoredRecord => ({
  ...scheduleRecord(schedule, recurrence),
  mustExist: true,
});

/** Is it anybody's turn to look at it? */
const isReady = ({ isFiring, schedule }: Entry): boolean => !isFiring && !schedule.isPaused;
