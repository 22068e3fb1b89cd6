/** The messages that ask for work and tell of it (RFC §10, §14, and tools in §6.2). */
import { z } from "zod";
import { absentOr, counter, jobId, jsonObject, sessionId } from "../messages/envelope.ts";
import { resultChunkBody } from "../messages/event.ts";
import { jobSubscribed as jobSubscribed11, type Lease, type LeaseConstraints, leaseMap } from "../messages/job.ts";
import { sessionJobs as sessionJobs11 } from "../messages/session.ts";
import { artifactRef } from "./artifact.ts";
import { anything, entityId, instant, message10, needed, reason, text, word } from "./envelope.ts";
import { errorPayload10 } from "./errors.ts";

/** The states of a job (RFC §10.2): five that it lives in, three that it ends in. */
export const JOB_STATES = [
  "accepted",
  "queued",
  "running",
  "blocked",
  "paused",
  "completed",
  "failed",
  "cancelled",
] as const;
/** Where a job of wire 1.0 stands (RFC §10.2). */
export type JobState10 = (typeof JOB_STATES)[number];

const openText = absentOr(z.string());
const optionalRef = absentOr(artifactRef);

/**
 * The lease that a job asks for (wire 1.1 §9.1), which wire 1.0 does not have: another SDK's `lease_request` keeps the
 * expiry beside the capabilities, and writes their names with `_`.
 */
const leaseRequest = absentOr(
  z
    .object({ expires_at: text(64) })
    .catchall(absentOr(leaseMap.valueType))
    .transform(({ expires_at, ...capabilities }) => ({ expires_at, lease: leaseOf(capabilities) })),
);

const CAPABILITY_NAMES: ReadonlyMap<string, string> = new Map([
  ["cost_budget", "cost.budget"],
  ["model_use", "model.use"],
]);

const leaseOf = (capabilities: Readonly<Record<string, readonly string[] | undefined>>): Lease =>
  Object.fromEntries(
    Object.entries(capabilities).flatMap(([name, patterns]) =>
      patterns === undefined ? [] : [[CAPABILITY_NAMES.get(name) ?? name, patterns]],
    ),
  );

/** What any command that starts a job may carry beside what it asks for. */
const jobTerms = {
  /** Ends with `job.completed` instead of `tool.result` (RFC §6.3). */
  durable: absentOr(z.boolean()),
  max_runtime_sec: absentOr(
    z
      .number()
      .positive()
      .max(2 ** 31),
  ),
  lease_request: leaseRequest,
  cost_budget: absentOr(z.array(z.string().max(1024)).max(64)),
  lease_constraints: absentOr(z.object({ expires_at: text(64) })),
};

interface Terms {
  readonly durable?: boolean | undefined;
  readonly max_runtime_sec?: number | undefined;
  readonly lease_request?: Lease | undefined;
  readonly lease_constraints?: LeaseConstraints | undefined;
}

function terms(read: z.infer<z.ZodObject<typeof jobTerms>>): Terms {
  const budget = read.cost_budget && { "cost.budget": read.cost_budget };
  const expiresAt = read.lease_constraints?.expires_at ?? read.lease_request?.expires_at;
  return {
    durable: read.durable,
    max_runtime_sec: read.max_runtime_sec,
    lease_request: read.lease_request || budget ? { ...budget, ...read.lease_request?.lease } : undefined,
    lease_constraints: expiresAt === undefined ? undefined : { expires_at: expiresAt },
  };
}

const invocation = z
  .object({ tool: z.string().min(1).max(512), arguments: anything, ...jobTerms })
  .transform((read) => ({ tool: read.tool, arguments: read.arguments ?? {}, ...terms(read) }));

/** RFC §6.2, §24. Arguments that are absent or `null` are `{}`. */
export const toolInvoke = message10("tool.invoke", invocation);

/** A value as different SDKs name it. `null` is one. */
const outcome = {
  value: z.unknown().optional(),
  result: z.unknown().optional(),
  result_ref: optionalRef,
  /** Of a result that was streamed: its id, and the stream. */
  result_id: openText,
  stream_id: openText,
  result_size: absentOr(z.number()),
  summary: openText,
};
const firstGiven = (...values: readonly unknown[]): unknown => values.find((value) => value !== undefined);

/** RFC §24: the value, or where it is. */
export const toolResult = message10(
  "tool.result",
  z.object(outcome).transform(({ value, result, ...rest }) => ({ ...rest, value: firstGiven(value, result) })),
);

/** RFC §18.1. */
export const toolError = message10("tool.error", errorPayload10);

/** What a message about a job has: its id, on the envelope, in the payload or in both. */
interface AboutJob {
  readonly job_id?: z.infer<typeof jobId> | undefined;
  readonly payload: { readonly job_id?: z.infer<typeof jobId> | undefined };
}
const withJobId = <Message extends AboutJob>(message: Message): Message => ({
  ...message,
  job_id: message.job_id ?? message.payload.job_id,
});

const inJob = { job_id: absentOr(jobId) };

/** RFC §6.3. */
export const jobAccepted = message10(
  "job.accepted",
  z.object({
    ...inJob,
    accepted_at: openText,
    state: absentOr(word(JOB_STATES)).catch(undefined),
    lease: absentOr(jsonObject).catch(undefined),
    credentials: absentOr(z.array(jsonObject)).catch(undefined),
  }),
).transform((message, context) => {
  const job_id = needed(message.job_id ?? message.payload.job_id, ["job_id"], context);
  return { ...message, job_id, payload: { ...message.payload, job_id } };
});

/** RFC §6.3. */
export const jobStarted = message10("job.started", z.object({ ...inJob, started_at: openText })).transform(withJobId);

/** RFC §10.1. */
export const jobProgress = message10(
  "job.progress",
  z.object({
    ...inJob,
    percent: absentOr(z.number()),
    message: openText,
    current: absentOr(z.number()),
    total: absentOr(z.number()),
    units: openText,
  }),
).transform(withJobId);

/** RFC §10.3. */
export const jobHeartbeat = message10(
  "job.heartbeat",
  z.object({
    ...inJob,
    sequence: counter,
    deadline_ms: absentOr(z.number().nonnegative()),
    state: absentOr(word(JOB_STATES)).catch(undefined),
  }),
).transform(withJobId);

/** RFC §10.1, §19. */
export const jobCheckpoint = message10(
  "job.checkpoint",
  z.object({ ...inJob, checkpoint_id: entityId, label: openText, data_ref: openText, snapshot: anything }),
).transform(withJobId);

/** RFC §6.3. `value` and `result` are two SDKs' names for the same. */
export const jobCompleted = message10(
  "job.completed",
  z
    .object({
      ...inJob,
      ...outcome,
    })
    .transform(({ value, result, ...rest }) => ({ ...rest, value: firstGiven(value, result) })),
).transform(withJobId);

/** RFC §6.3, §18.1. */
export const jobFailed = message10("job.failed", z.intersection(errorPayload10, z.object(inJob))).transform(withJobId);

/** RFC §10.4. */
export const jobCancelled = message10(
  "job.cancelled",
  z.object({ ...inJob, reason: openText, source: openText, code: openText, message: openText }),
).transform(withJobId);

const workflowStartPayload = z
  .object({
    workflow: z.string().min(1).max(512),
    inputs: anything,
    input: anything,
    arguments: anything,
    ...jobTerms,
  })
  .transform((read) => ({
    workflow: read.workflow,
    inputs: read.inputs ?? read.input ?? read.arguments ?? {},
    ...terms(read),
  }));

/** RFC §6.2. Its payload is not given there: a name and inputs, as SDKs have them. */
export const workflowStart = message10("workflow.start", workflowStartPayload);

/** RFC §6.3. */
export const workflowComplete = message10(
  "workflow.complete",
  z
    .object({ ...inJob, outputs: z.unknown().optional(), output: z.unknown().optional(), ...outcome })
    .transform(({ job_id, outputs, output, value, result, result_ref }) => ({
      job_id,
      outputs: firstGiven(outputs, output, value, result),
      result_ref,
    })),
).transform(withJobId);

/** When a scheduled job runs (RFC §10.6): at an instant, by an RFC 5545 rule, or so many seconds from its acceptance. */
export type Schedule10 = { readonly at: string } | { readonly every: string } | { readonly after: number };

const when = z
  .object({ at: absentOr(instant), every: text(4096), after: absentOr(z.number().nonnegative()) })
  .transform(({ at, every, after }, context): Schedule10 => {
    const given: readonly Schedule10[] = [
      ...(at === undefined ? [] : [{ at }]),
      ...(every === undefined ? [] : [{ every }]),
      ...(after === undefined ? [] : [{ after }]),
    ];
    const [only] = given;
    if (only !== undefined && given.length === 1) return only;
    context.addIssue({ code: "custom", message: "expected exactly one of at, every and after (§10.6)" });
    return z.NEVER;
  });

/** RFC §10.6. */
export const jobSchedule = message10(
  "job.schedule",
  z.object({
    job: z.discriminatedUnion("type", [
      z.object({ type: z.literal("tool.invoke"), payload: invocation }),
      z.object({ type: z.literal("workflow.start"), payload: workflowStartPayload }),
    ]),
    when,
  }),
);

/** RFC §14. What agents share in `context` beyond the three members of the RFC is theirs. */
export const agentDelegate = message10(
  "agent.delegate",
  z.object({
    target: z.string().min(1).max(512),
    task: z.string().max(65_536),
    context: z
      .looseObject({
        trace_id: text(128),
        shared_memory_ref: anything,
        permissions_inherited: absentOr(z.array(z.string().max(256)).max(256)),
      })
      .nullish()
      .transform((context) => context ?? {}),
  }),
);

const identity = z.object({ kind: z.string().min(1).max(256), version: text(256), fingerprint: text(512) });

/** RFC §14. It names the runtime that takes over, so that it can be verified. */
export const agentHandoff = message10(
  "agent.handoff",
  z
    .object({
      to_runtime: absentOr(identity),
      runtime: absentOr(identity),
      job_id: absentOr(jobId),
      session_id: absentOr(sessionId),
      /** What is to be done there: between runtimes. */
      job: absentOr(z.object({ type: z.literal("tool.invoke"), payload: invocation })),
      reason,
    })
    .transform(({ to_runtime, runtime, ...rest }, context) => ({
      ...rest,
      to_runtime: needed(to_runtime ?? runtime, ["to_runtime"], context),
    })),
).transform(withJobId);

// What follows is not in the RFC: another SDK lists and follows jobs as wire 1.1 does.

/** Wire 1.1 §8.4. */
export const jobResultChunk = message10("job.result_chunk", resultChunkBody);

/** Wire 1.1 §6.6, with the states of RFC §10.2. */
export const sessionListJobs = message10(
  "session.list_jobs",
  z.object({
    filter: absentOr(
      z.strictObject({
        status: absentOr(z.array(word(JOB_STATES)).max(16)),
        agent: text(512),
        created_after: absentOr(instant),
        created_before: absentOr(instant),
      }),
    ),
    limit: absentOr(z.int().positive()),
    cursor: text(1024),
  }),
);

/** Wire 1.1 §6.6. */
export const sessionJobs = message10("session.jobs", sessionJobs11.shape.payload);

/** Wire 1.1 §7.6. */
export const jobSubscribe = message10(
  "job.subscribe",
  z.object({ job_id: absentOr(jobId), from_event_seq: absentOr(counter), history: absentOr(z.boolean()) }),
).transform((message, context) => {
  const job_id = needed(message.payload.job_id ?? message.job_id, ["payload", "job_id"], context);
  return { ...message, job_id, payload: { ...message.payload, job_id } };
});
/** Wire 1.1 §7.6. It has no reply. */
export const jobUnsubscribe = message10("job.unsubscribe", z.object({ job_id: absentOr(jobId) })).transform(
  (message, context) => {
    const job_id = needed(message.payload.job_id ?? message.job_id, ["payload", "job_id"], context);
    return { ...message, job_id, payload: { job_id } };
  },
);

/** Wire 1.1 §7.6. */
export const jobSubscribed = message10("job.subscribed", jobSubscribed11.shape.payload);
