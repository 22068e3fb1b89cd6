/** What a runtime says of its agents, and of a submission before it is made. */
import type { JsonObject, Lease, MessageOf } from "@arcp/core";
import type { SubmitOptions } from "./submission.ts";

/** One version of an agent. */
export interface AgentDescription {
  /** `name@version`. */
  readonly agent: string;
  readonly description: string | undefined;
  /** JSON Schema of its input. `undefined`: it takes any input, or the runtime does not know what it takes. */
  readonly inputSchema: JsonObject | undefined;
}

/** The part of a submission that can be checked before it is made. */
export type CheckOptions = Pick<SubmitOptions, "agent" | "input" | "leaseRequest" | "leaseConstraints" | "signal">;

/** What a submission would be granted. */
export interface CheckedSubmission {
  /** `name@version`: the version that a bare name means now. */
  readonly agent: string;
  /** What the runtime's policy leaves of the lease that is asked for. */
  readonly lease: Lease;
  readonly leaseConstraints: { readonly expiresAt: string | undefined } | undefined;
}

/** What a job was asked for. */
export interface JobDescription {
  readonly jobId: string;
  /** `name@version`. */
  readonly agent: string;
  /** What its agent was given; `undefined` with {@link isInputOmitted}. */
  readonly input: unknown;
  /** The runtime has not kept the input: it is too long, from before, or not to be kept. */
  readonly isInputOmitted: boolean;
  /** `undefined`: none was asked for, or it is not known. */
  readonly leaseRequest: Lease | undefined;
  readonly maxRuntimeSec: number | undefined;
}

export const readJobDescription = ({
  job_id: jobId,
  agent,
  input,
  input_omitted: isInputOmitted = false,
  lease_request: leaseRequest,
  max_runtime_sec: maxRuntimeSec,
}: MessageOf<"x-vendor.arcp.job.description">["payload"]): JobDescription => ({
  ...{ jobId, agent, input, isInputOmitted, leaseRequest, maxRuntimeSec },
});

export const readDescription = ({
  agent,
  description,
  input_schema: inputSchema,
}: MessageOf<"x-vendor.arcp.agent.description">["payload"]): AgentDescription => ({ agent, description, inputSchema });

export const readChecked = ({
  agent,
  lease,
  lease_constraints: constraints,
}: MessageOf<"x-vendor.arcp.job.checked">["payload"]): CheckedSubmission => ({
  agent,
  lease,
  leaseConstraints: constraints && { expiresAt: constraints.expires_at },
});
