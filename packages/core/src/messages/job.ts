/** The messages that submit, steer and follow a job (§7) and tell of it (§8). */
import { z } from "zod";
import { absentOr, counter, jobId, jsonObject, messageEnvelope } from "./envelope.ts";
import { errorPayload } from "./event.ts";

/** `name` or `name@version` (§7.5). */
export const AGENT_REFERENCE = /^([a-z0-9][a-z0-9._-]*)(?:@([a-zA-Z0-9.+_-]+))?$/;

/** The schema of `name` and `name@version` (§7.5). */
export const agentReference = z.string().max(512).regex(AGENT_REFERENCE, "expected name or name@version (§7.5)");

const pattern = z.string().min(1).max(1024);
/** The longest list of patterns that one capability may have. */
const MAX_PATTERNS = 64;
/** A lease on the wire: capability names, each with its patterns (§9.1). What a name or pattern means is checked later. */
export const leaseMap = z.record(z.string().min(1).max(128), z.array(pattern).max(MAX_PATTERNS));

/** What a job may do: patterns by capability (§9.2). What is not in it is forbidden. */
export type Lease = Readonly<Record<string, readonly string[]>>;

/** Bounds of a lease other than what it covers (§9.5). */
export interface LeaseConstraints {
  /** RFC 3339, UTC, with `Z`. */
  readonly expires_at?: string;
}

const reason = absentOr(z.string().max(1024));

/** §7.1. */
export const jobSubmit = messageEnvelope(
  "job.submit",
  z.object({
    agent: agentReference,
    input: z.unknown().optional(),
    lease_request: absentOr(leaseMap),
    lease_constraints: absentOr(z.object({ expires_at: absentOr(z.string().max(64)) })),
    idempotency_key: absentOr(z.string().min(1).max(512)),
    max_runtime_sec: absentOr(
      z
        .number()
        .positive()
        .max(2 ** 31),
    ),
  }),
);

/** §7.4. The job is named on the envelope, in the payload, or in both alike. */
export const jobCancel = messageEnvelope("job.cancel", z.looseObject({ job_id: absentOr(jobId), reason }));

/** §7.6. */
export const jobSubscribe = messageEnvelope(
  "job.subscribe",
  z.object({ job_id: jobId, from_event_seq: absentOr(counter), history: absentOr(z.boolean()) }),
);

/** §7.6. It has no reply. */
export const jobUnsubscribe = messageEnvelope("job.unsubscribe", z.looseObject({ job_id: absentOr(jobId) }));

const credential = z.looseObject({
  id: z.string(),
  scheme: z.string(),
  value: absentOr(z.string()),
  endpoint: absentOr(z.string()),
  profile: absentOr(z.string()),
  constraints: absentOr(jsonObject),
});

/** Counters per currency. Other SDKs write decimal strings. */
const budget = z.record(z.string(), z.union([z.number(), z.string().transform(Number)]));
const constraints = z.looseObject({ expires_at: absentOr(z.string()) });

/** §7.1. */
export const jobAccepted = messageEnvelope(
  "job.accepted",
  z.looseObject({
    job_id: absentOr(jobId),
    agent: absentOr(z.string()),
    lease: absentOr(jsonObject),
    lease_constraints: absentOr(constraints),
    budget: absentOr(budget),
    credentials: absentOr(z.array(credential)),
    accepted_at: absentOr(z.string()),
    trace_id: absentOr(z.string()),
    parent_job_id: absentOr(jobId),
    delegate_id: absentOr(z.string()),
    request_id: absentOr(z.string()),
    reply_to: absentOr(z.string()),
  }),
);

/** §7.4. The word that the cancellation is under way; the end comes as `job.error`. */
export const jobCancelled = messageEnvelope("job.cancelled", z.looseObject({ job_id: absentOr(jobId), reason }));

/** §7.6. */
export const jobSubscribed = messageEnvelope(
  "job.subscribed",
  z.looseObject({
    job_id: absentOr(jobId),
    current_status: absentOr(z.string()),
    agent: absentOr(z.string()),
    lease: absentOr(jsonObject),
    lease_constraints: absentOr(constraints),
    budget: absentOr(budget),
    credentials: absentOr(z.array(credential)),
    parent_job_id: absentOr(jobId),
    trace_id: absentOr(z.string()),
    subscribed_from: absentOr(z.number()),
    replayed: absentOr(z.boolean()),
  }),
);

/** A message's number in its session. Some servers leave it out or send 0: such a message is not numbered. */
const numbered = { event_seq: absentOr(z.number()) };

/** §8.1. */
export const jobEvent = messageEnvelope(
  "job.event",
  z.object({ kind: z.string().min(1), ts: absentOr(z.string()), body: z.unknown().optional() }),
).extend(numbered);

/** §7.3. `output` and `value` are other SDKs' names for `result`. */
export const jobResult = messageEnvelope(
  "job.result",
  z.looseObject({
    final_status: absentOr(z.string()),
    result: z.unknown().optional(),
    output: z.unknown().optional(),
    result_id: absentOr(z.string()),
    result_size: absentOr(z.number()),
    summary: absentOr(z.string()),
    job_id: absentOr(jobId),
  }),
).extend(numbered);

/** §7.3. */
export const jobError = messageEnvelope(
  "job.error",
  errorPayload.extend({ final_status: absentOr(z.string()), job_id: absentOr(jobId) }),
).extend(numbered);
