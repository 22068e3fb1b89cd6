/**
 * What there is to submit, and what would become of a submission: messages of this project's own, for sessions of wire 1.1
 * that negotiated `x-vendor.arcp.describe`.
 */
import { z } from "zod";
import { absentOr, jsonObject, messageEnvelope } from "./envelope.ts";
import { agentReference, jobSubmit, jobSubscribe, leaseMap } from "./job.ts";

/** Asks what one agent is: the welcome names them alone, so that it stays short. */
export const agentDescribe = messageEnvelope("x-vendor.arcp.agent.describe", z.object({ agent: agentReference }));

/** The answer. Without `input_schema` the agent takes any input, or it is not known what it takes. */
export const agentDescription = messageEnvelope(
  "x-vendor.arcp.agent.description",
  z.looseObject({
    agent: z.string(),
    description: absentOr(z.string()),
    input_schema: absentOr(jsonObject),
    request_id: absentOr(z.string()),
  }),
);

/** A `job.submit` that makes no job: it is refused for what that would be refused for. */
export const jobCheck = messageEnvelope(
  "x-vendor.arcp.job.check",
  jobSubmit.shape.payload.omit({ idempotency_key: true }),
);

/** What the job would be granted. */
export const jobChecked = messageEnvelope(
  "x-vendor.arcp.job.checked",
  z.looseObject({
    agent: z.string(),
    lease: leaseMap,
    lease_constraints: absentOr(z.looseObject({ expires_at: absentOr(z.string()) })),
    request_id: absentOr(z.string()),
  }),
);

/** Asks what a job was asked for. */
export const jobDescribe = messageEnvelope(
  "x-vendor.arcp.job.describe",
  jobSubscribe.shape.payload.pick({ job_id: true }),
);

/** The answer. `input_omitted`: the runtime has not kept the input, or has it no more. */
export const jobDescription = messageEnvelope(
  "x-vendor.arcp.job.description",
  z.looseObject({
    job_id: z.string(),
    agent: z.string(),
    input: z.unknown().optional(),
    input_omitted: absentOr(z.boolean()),
    lease_request: absentOr(leaseMap),
    max_runtime_sec: absentOr(z.number()),
    request_id: absentOr(z.string()),
  }),
);

/** The member of the welcome's capabilities that says what the session's credentials permit. */
export const PERMISSIONS_MEMBER = "x-vendor.arcp.permissions";
