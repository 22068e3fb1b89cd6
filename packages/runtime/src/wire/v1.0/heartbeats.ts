/**
 * Signs of life of the running jobs that one connection shows (RFC §10.3): at least one per interval and job. They are no
 * entries of a journal: what is replayed later proves no life.
 */
import type { Clock } from "@arcp/core";
import type { Job } from "../../engine/job.ts";
import type { JobRegistry } from "../../engine/job-registry.ts";
import type { Session } from "../../engine/session.ts";
import type { Outbox10 } from "./outbox.ts";

export interface HeartbeatsOptions {
  readonly clock: Clock;
  readonly jobs: JobRegistry;
  readonly outbox: Outbox10;
  readonly intervalSeconds: number;
  /** The sessions whose jobs are shown. */
  readonly sessions: () => readonly Session[];
}

const MS_PER_SECOND = 1000;

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #sequences = new WeakMap<Job, number>();
  #stopTimer: () => void = () => {};

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#arm();
  }

  stop(): void {
    this.#stopTimer();
  }

  /** Tells of one job, now: `deadlineMs` is when the next sign of its agent is due, by default that of this connection. */
  beat(job: Job, sessionId: Session["id"], deadlineMs?: number): void {
    const { outbox, intervalSeconds } = this.#options;
    if (outbox.isCongested) return;
    const sequence = this.#sequences.get(job) ?? 0;
    this.#sequences.set(job, sequence + 1);
    const state = job.state === "pending" ? "queued" : job.isBlocked ? "blocked" : "running";
    const payload = { sequence, deadline_ms: deadlineMs ?? 2 * intervalSeconds * MS_PER_SECOND, state };
    outbox.send("job.heartbeat", payload, { session_id: sessionId, job_id: job.id, trace_id: job.traceId });
  }

  #arm(): void {
    const { clock, intervalSeconds } = this.#options;
    this.#stopTimer = clock.setTimer(() => {
      this.#arm();
      this.#beatAll();
    }, intervalSeconds * MS_PER_SECOND);
  }

  #beatAll(): void {
    const { jobs, sessions, outbox } = this.#options;
    if (outbox.isCongested) return;
    const shown = sessions();
    for (const job of jobs.all()) {
      const session = shown.find(({ feed }) => job.isFollowedBy(feed));
      if (session !== undefined) this.beat(job, session.id);
    }
  }
}
