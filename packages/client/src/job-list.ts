/** The inventory of jobs (§6.6). */
import type { JobId, JobStatus, JsonObject, Lease, MessageOf } from "@arcp/core";
import { readLease } from "./job.ts";
import type { WaitOptions } from "./job-handle.ts";

/** Which jobs to list. All members are optional and narrow the list together. */
export interface JobFilter {
  readonly status?: JobStatus | readonly JobStatus[];
  /** A name, for all versions, or `name@version`. */
  readonly agent?: string;
  readonly createdAfter?: Date | string;
  readonly createdBefore?: Date | string;
}

/** Which jobs {@link ARCPClient.listJobs} asks for, and how many at once (§6.6). */
export interface ListOptions extends WaitOptions {
  /** Jobs per page. The runtime may return fewer. */
  readonly limit?: number;
  /** {@link JobPage.nextCursor} of the page before. */
  readonly cursor?: string;
}

/** A job as a list shows it (§6.6). */
export interface JobSummary {
  readonly jobId: JobId;
  readonly agent: string;
  /** One of {@link JobStatus}; other runtimes have further ones. */
  readonly status: string;
  readonly lease: Lease;
  readonly parentJobId: JobId | undefined;
  readonly createdAt: string | undefined;
  readonly traceId: string | undefined;
  /** Position in the submitter's stream: a place to subscribe from. */
  readonly lastEventSeq: number | undefined;
  /** Where it stands, while it waits to begin; runtimes of other makers do not say. */
  readonly place: JobPlace | undefined;
  /** When it ended; `undefined` while it lives, and with runtimes that do not say. */
  readonly endedAt: string | undefined;
  /** Whose it is, where the runtime says so: to those who may observe jobs of others. */
  readonly owner: JobOwner | undefined;
}

/** Whose a job is. Only those who may observe jobs of others are told. */
export interface JobOwner {
  readonly principal: string;
  readonly tenant: string | undefined;
}

/** Where a job stands while it waits to begin. */
export interface JobPlace {
  /** 1 for the next one. */
  readonly position: number;
  /** How many wait. */
  readonly length: number;
}

/** One page of a list of jobs, oldest first (§6.6). */
export interface JobPage {
  readonly jobs: readonly JobSummary[];
  /** Where the next page begins; `undefined` on the last one. */
  readonly nextCursor: string | undefined;
}

export function readJobPage(payload: MessageOf<"session.jobs">["payload"]): JobPage {
  return {
    jobs: payload.jobs.map((job) => ({
      jobId: job.job_id as JobId,
      agent: job.agent,
      status: job.status,
      lease: readLease(job.lease),
      parentJobId: job.parent_job_id as JobId | undefined,
      createdAt: job.created_at ?? submittedAt(job),
      traceId: job.trace_id,
      lastEventSeq: job.last_event_seq,
      place: readPlace(job[QUEUE_MEMBER]),
      endedAt: readEndedAt(job),
      owner: readOwner(job),
    })),
    nextCursor: payload.next_cursor ?? undefined,
  };
}

/** This project's name for the place of a job that waits. */
const QUEUE_MEMBER = "x-vendor.arcp.queue";

function readPlace(value: unknown): JobPlace | undefined {
  const { position, length } = (value ?? {}) as Partial<JobPlace>;
  return typeof position === "number" && typeof length === "number" ? { position, length } : undefined;
}

/** Further names of this project. */
const ENDED_AT_MEMBER = "x-vendor.arcp.ended_at";
const OWNER_MEMBER = "x-vendor.arcp.owner";

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

export const readEndedAt = (job: JsonObject): string | undefined => textOf(job[ENDED_AT_MEMBER]);

export function readOwner(job: JsonObject): JobOwner | undefined {
  const { principal, tenant } = (job[OWNER_MEMBER] ?? {}) as {
    readonly principal?: unknown;
    readonly tenant?: unknown;
  };
  return typeof principal === "string" ? { principal, tenant: textOf(tenant) } : undefined;
}

/** One SDK's name for the time of creation. */
const submittedAt = (job: JsonObject): string | undefined => textOf(job["submitted_at"]);

/** The payload of `session.list_jobs`. */
export function toListPayload(filter: JobFilter, options: ListOptions): JsonObject {
  const { status, agent, createdAfter, createdBefore } = filter;
  const wireFilter = {
    ...(status === undefined ? {} : { status: typeof status === "string" ? [status] : status }),
    ...(agent === undefined ? {} : { agent }),
    ...(createdAfter === undefined ? {} : { created_after: toInstant(createdAfter) }),
    ...(createdBefore === undefined ? {} : { created_before: toInstant(createdBefore) }),
  };
  return {
    filter: wireFilter,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.cursor === undefined ? {} : { cursor: options.cursor }),
  };
}

/** An instant as the wire wants it: RFC 3339, UTC, with `Z`. */
export const toInstant = (value: Date | string): string =>
  typeof value === "string" && value.endsWith("Z") ? value : new Date(value).toISOString();
