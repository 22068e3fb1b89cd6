import type { JobSummary } from "@arcp/client";

/** A listed job as one line of JSON, with the names of the wire. */
export const listedFacts = (job: JobSummary): object => ({
  job_id: job.jobId,
  agent: job.agent,
  status: job.status,
  created_at: job.createdAt,
  last_event_seq: job.lastEventSeq,
  lease: job.lease,
  parent_job_id: job.parentJobId ?? null,
  trace_id: job.traceId,
  ...(job.owner && { owner: job.owner }),
  ...(job.place && { queue: job.place }),
});
