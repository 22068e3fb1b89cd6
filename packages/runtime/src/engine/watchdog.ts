/**
 * Watches one worker for signs of life (RFC §10.3): what its job writes, and what it says with `context.heartbeat`. One
 * deadline may pass without a sign; after two in a row the worker counts as lost. In-process agents that have not asked for
 * it are not watched: the event loop that they share with the runtime is their heartbeat.
 *
 *   watching -> watching   a sign, or the first deadline without one; none is missed while the agent waits for what is no
 *                          work: a person, a time, a job that it delegated
 *   watching -> lost       the second deadline in a row: the job ends (`fail`), or is blocked (`block`)
 *   lost     -> watching   `block`: a sign
 */
import { type Clock, HeartbeatLostError, InvalidRequestError } from "@arcp/core";
import type { HeartbeatRecovery } from "@arcp/core/v1.0";
import type { Job } from "./job.ts";

/** Signs of life that an agent promises. */
export interface HeartbeatTerms {
  /** How long it may be silent, in milliseconds. */
  readonly intervalMs: number;
  /** What becomes of its jobs when it is lost. Default: what the runtime advertises. */
  readonly recovery?: HeartbeatRecovery;
}

/** Deadlines in a row that pass before a worker is lost. */
const MAX_MISSED = 2;
/** No promise is longer. */
const MAX_DEADLINE_MS = 86_400_000;
/** Of agents that beat and do not say how often. */
const DEFAULT_DEADLINE_MS = 60_000;

/** A promise as it is kept. Throws {@link InvalidRequestError} for what is no time. */
function checkedDeadline(deadlineMs: number): number {
  if (!Number.isFinite(deadlineMs) || deadlineMs <= 0) {
    throw new InvalidRequestError("a heartbeat's deadline is a positive number of milliseconds");
  }
  return Math.min(deadlineMs, MAX_DEADLINE_MS);
}

/** Throws {@link InvalidRequestError} for terms that cannot be kept. */
export const assertHeartbeatTerms = ({ intervalMs }: HeartbeatTerms): void => void checkedDeadline(intervalMs);

class Watchdog {
  readonly #job: Job;
  readonly #clock: Clock;
  readonly #recovery: HeartbeatRecovery;
  readonly #isResting: (job: Job) => boolean;
  #deadlineMs: number;
  #missed = 0;
  /** The entries that there were at the last look. */
  #seen: number;
  #stopTimer: () => void = () => {};
  #unblock: (() => void) | undefined;

  /** Watches from now on. */
  constructor(options: {
    readonly job: Job;
    readonly clock: Clock;
    readonly deadlineMs: number;
    readonly recovery: HeartbeatRecovery;
    readonly isResting: (job: Job) => boolean;
  }) {
    this.#job = options.job;
    this.#clock = options.clock;
    this.#deadlineMs = options.deadlineMs;
    this.#recovery = options.recovery;
    this.#isResting = options.isResting;
    this.#seen = this.#job.lastN;
    this.#job.whenEnded(() => this.#stopTimer());
    this.#arm();
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** A sign of life. The next one is promised within `deadlineMs`, by default as before. */
  beat(deadlineMs?: number): void {
    if (deadlineMs !== undefined) this.#deadlineMs = deadlineMs;
    this.#revive();
  }

  #revive(): void {
    this.#unblock?.();
    this.#unblock = undefined;
    this.#missed = 0;
    this.#seen = this.#job.lastN;
    this.#arm();
  }

  #arm(): void {
    this.#stopTimer();
    if (!this.#job.isTerminal) this.#stopTimer = this.#clock.setTimer(() => this.#look(), this.#deadlineMs);
  }

  #look(): void {
    const isAlive = this.#job.lastN !== this.#seen || this.#job.isBlocked || this.#isResting(this.#job);
    this.#seen = this.#job.lastN;
    this.#missed = isAlive ? 0 : this.#missed + 1;
    if (this.#missed < MAX_MISSED || this.#job.isCancelling) this.#arm();
    else this.#lost();
  }

  #lost(): void {
    if (this.#recovery === "fail") {
      const details = { deadline_ms: this.#deadlineMs, missed: MAX_MISSED };
      const message = `no sign of life within ${MAX_MISSED} deadlines of ${this.#deadlineMs} ms`;
      this.#job.end({ status: "error", error: new HeartbeatLostError(message, { details }) });
      return;
    }
    const unblock = this.#job.block("heartbeat");
    this.#unblock = unblock;
    void this.#job.writtenAfter(this.#job.lastN).then(() => {
      if (this.#unblock === unblock && !this.#job.isTerminal) this.#revive();
    });
  }
}

export interface WatchdogsOptions {
  readonly clock: Clock;
  /** Of agents that do not say. */
  readonly recovery: HeartbeatRecovery;
  /** Does the agent of `job` wait in the runtime: for a time, for a job that it delegated, or to be called again? */
  readonly isResting: (job: Job) => boolean;
  /** Tells whoever watches `job` that it lives, and for how long that is promised. */
  readonly tell: (job: Job, deadlineMs: number) => void;
}

/** The watchdogs of the jobs whose agents promise signs of life. */
export class Watchdogs {
  readonly #options: WatchdogsOptions;
  readonly #watched = new Map<Job, Watchdog>();

  constructor(options: WatchdogsOptions) {
    this.#options = options;
  }

  /** Watches `job` from now on, until it ends. */
  watch(job: Job, { intervalMs, recovery = this.#options.recovery }: HeartbeatTerms): Watchdog {
    const { clock, isResting } = this.#options;
    const watchdog = new Watchdog({ job, clock, deadlineMs: checkedDeadline(intervalMs), recovery, isResting });
    this.#watched.set(job, watchdog);
    job.whenEnded(() => this.#watched.delete(job));
    return watchdog;
  }

  /** A sign of life of `job`, which is watched from now on. Throws {@link InvalidRequestError} for what is no time. */
  beat(job: Job, deadlineMs: number | undefined): void {
    const promised = deadlineMs === undefined ? undefined : checkedDeadline(deadlineMs);
    let watchdog = this.#watched.get(job);
    if (watchdog === undefined) watchdog = this.watch(job, { intervalMs: promised ?? DEFAULT_DEADLINE_MS });
    else watchdog.beat(promised);
    this.#options.tell(job, watchdog.deadlineMs);
  }
}
