/** What frames belong to that carry no span of their own: the requests that they answer, and the jobs that they are of. */
import type { Context } from "@opentelemetry/api";
import { endsJob, jobOf, payloadOf, requestOf, type TracedFrame, textOf } from "./frame.ts";

/** Requests without an answer; the oldest is forgotten beyond it. */
const MAX_REQUESTS = 1024;
/** Jobs of one connection; the oldest is forgotten beyond it. */
const MAX_JOBS = 10_000;

export class Places {
  readonly #requests = new Map<string, Context>();
  readonly #jobs = new Map<string, Context>();

  /** Where the job of a frame was asked for, or what it answers. */
  of(frame: TracedFrame): Context | undefined {
    const job = jobOf(frame);
    const parent = textOf(payloadOf(frame)["parent_job_id"]);
    return (
      (job !== undefined ? this.#jobs.get(job) : undefined) ??
      this.#requests.get(requestOf(frame) ?? "") ??
      (parent !== undefined ? this.#jobs.get(parent) : undefined)
    );
  }

  /** The frame passed in `place`. Call it after {@link of}. */
  passed(frame: TracedFrame, place: Context): void {
    const request = requestOf(frame);
    const job = jobOf(frame);
    const asked = request === undefined ? undefined : this.#requests.get(request);
    if (request !== undefined) this.#requests.delete(request);
    else if (job === undefined || !this.#jobs.has(job)) keep(this.#requests, textOf(frame.id), place, MAX_REQUESTS);
    if (job === undefined) return;
    if (endsJob(frame)) this.#jobs.delete(job);
    else if (!this.#jobs.has(job) && frame.type === "job.accepted") keep(this.#jobs, job, asked ?? place, MAX_JOBS);
  }
}

function keep(map: Map<string, Context>, key: string | undefined, value: Context, max: number): void {
  if (key === undefined) return;
  map.set(key, value);
  if (map.size <= max) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
