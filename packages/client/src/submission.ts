/** What goes into `job.submit` (§7.1), and what must have been negotiated for it. */
import { AGENT_REFERENCE, InvalidRequestError, type JsonObject, type Lease, type TraceContext } from "@arcp/core";
import { callerTrace } from "./caller-trace.ts";
import { requireFeature } from "./correlation.ts";
import type { WaitOptions } from "./job-handle.ts";
import { toInstant } from "./job-list.ts";
import type { RetryOptions } from "./retry.ts";

/** What {@link ARCPClient.submit} asks for (§7.1). */
export interface SubmitOptions extends WaitOptions {
  /** `name`, or `name@version` to be sure of the version (§7.5). */
  readonly agent: string;
  /** Any JSON value. Default: `null`. */
  readonly input?: unknown;
  /** The authority that the job asks for (§9). Without it the job has none. */
  readonly leaseRequest?: Lease;
  readonly leaseConstraints?: {
    /** When the lease ends (§9.5). A date, or RFC 3339. */
    readonly expiresAt?: Date | string;
  };
  /**
   * Submitting twice with the same key gives the same job (§7.2). A client that reconnects by itself makes one up where
   * none is given, so that a submit whose answer was lost can be repeated.
   */
  readonly idempotencyKey?: string;
  /** Seconds of running time after which the runtime ends the job. */
  readonly maxRuntimeSec?: number;
  /** The caller's trace (§11): 32 hexadecimal characters, or a `traceparent`. Default: the active span's, or a new one. */
  readonly traceId?: string;
  /** Submits again after a retryable failure. */
  readonly retry?: RetryOptions;
  /** Stops waiting for acceptance. A job without idempotency key that is accepted after all is cancelled. */
  readonly signal?: AbortSignal;
}

export interface Submission {
  readonly payload: JsonObject;
  readonly trace: TraceContext;
  readonly idempotencyKey: string | undefined;
}

/** Throws {@link InvalidRequestError} for what the wire would refuse, and for features that are not negotiated. */
export function toSubmission(
  options: SubmitOptions,
  features: ReadonlySet<string>,
  leaseForm: "map" | "ruby",
): Submission {
  const { agent, idempotencyKey, maxRuntimeSec, leaseRequest } = options;
  const reference = AGENT_REFERENCE.exec(agent);
  if (!reference) throw new InvalidRequestError("agent: expected name or name@version (§7.5)");
  if (reference[2] !== undefined) requireFeature(features, "agent_versions", "a version of an agent");
  if (leaseRequest?.["cost.budget"]) requireFeature(features, "cost.budget", "a budget");
  if (leaseRequest?.["model.use"]) requireFeature(features, "model.use", "a choice of models");
  const expiresAt = options.leaseConstraints?.expiresAt;
  if (expiresAt !== undefined) requireFeature(features, "lease_expires_at", "a lease with an end");
  if (maxRuntimeSec !== undefined && !(maxRuntimeSec > 0)) {
    throw new InvalidRequestError("maxRuntimeSec: expected a positive number of seconds");
  }
  const expiry = expiresAt === undefined ? undefined : readExpiry(expiresAt);
  const constraints = expiry === undefined ? {} : { lease_constraints: { expires_at: expiry } };
  const lease = leaseRequest && (leaseForm === "ruby" ? toRubyLease(leaseRequest, expiry) : leaseRequest);
  return {
    trace: callerTrace(options.traceId),
    idempotencyKey,
    payload: {
      agent,
      input: options.input === undefined ? null : options.input,
      ...(lease === undefined ? {} : { lease_request: lease }),
      ...constraints,
      ...(idempotencyKey === undefined ? {} : { idempotency_key: idempotencyKey }),
      ...(maxRuntimeSec === undefined ? {} : { max_runtime_sec: maxRuntimeSec }),
    },
  };
}

function readExpiry(value: Date | string): string {
  try {
    return toInstant(value);
  } catch (cause) {
    throw new InvalidRequestError("leaseConstraints.expiresAt: expected a date or RFC 3339", { cause });
  }
}

/** The lease as the Ruby SDK reads it: names of capabilities, with the two that have values beside them. */
function toRubyLease(lease: Lease, expiresAt: string | undefined): JsonObject {
  const { "cost.budget": budget, "model.use": models, ...others } = lease;
  return {
    capabilities: Object.keys(others),
    ...(budget === undefined ? {} : { "cost.budget": budget }),
    ...(models === undefined ? {} : { "model.use": models }),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
  };
}
