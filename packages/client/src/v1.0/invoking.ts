/** The commands that start work: `tool.invoke`, `workflow.start`, `job.schedule`, `agent.delegate` (RFC §6.2). */
import { InvalidRequestError, type JsonObject, type Lease, randomBytes, type TraceContext, toHex } from "@arcp/core";
import { type Priority, traceMembers10 } from "@arcp/core/v1.0";
import { callerTrace } from "../caller-trace.ts";
import { toInstant } from "../job-list.ts";
import type { RetryOptions } from "../retry.ts";

/** What {@link ARCPToolClient.invoke} asks for beside the tool and its arguments (RFC §10.1). */
export interface InvokeOptions {
  /**
   * Asking twice with the same key gives the same work once (RFC §6.4). One is made up where none is given, so that a
   * command whose answer was lost can be repeated.
   */
  readonly idempotencyKey?: string;
  /** How much the work may wait (RFC §6.5). Default: `normal`. */
  readonly priority?: Priority;
  /** Ends with `job.completed` instead of `tool.result`, and outlives its session (RFC §6.3). */
  readonly durable?: boolean;
  /** The authority that the work asks for, as wire 1.1 has it (§9). */
  readonly lease?: Lease;
  readonly leaseConstraints?: {
    /** A date, or RFC 3339. */
    readonly expiresAt?: Date | string;
  };
  /** Seconds of running time after which the runtime ends the work. */
  readonly maxRuntimeSec?: number;
  /** The caller's trace (RFC §17.1): 32 hexadecimal characters, or a `traceparent`. Default: the active span's, or a new one. */
  readonly traceId?: string;
  /** Another name for {@link traceId}. */
  readonly traceparent?: string;
  /** Asks again after a retryable refusal, no sooner than the runtime wants (RFC §18.3). */
  readonly retry?: RetryOptions;
  /**
   * Calls it off: before it was accepted, `accepted` and `done` reject with the signal's reason; after that it is
   * cancelled, and `done` tells how it ended.
   */
  readonly signal?: AbortSignal;
}

/** When scheduled work runs (RFC §10.6): exactly one of these. */
export type When =
  | { readonly at: Date | string }
  /** An RFC 5545 rule. */
  | { readonly every: string }
  /** Seconds from its acceptance. */
  | { readonly after: number };

/** Work to be scheduled. */
export type ScheduledWork =
  | { readonly tool: string; readonly arguments?: JsonObject; readonly options?: WorkTerms }
  | { readonly workflow: string; readonly inputs?: unknown; readonly options?: WorkTerms };

/** What any work can be asked for with. */
export type WorkTerms = Pick<InvokeOptions, "durable" | "lease" | "leaseConstraints" | "maxRuntimeSec">;

/** The members of the payload that say on what terms the work is done. Throws {@link InvalidRequestError}. */
function termsOf({ durable, lease, leaseConstraints, maxRuntimeSec }: WorkTerms): JsonObject {
  if (maxRuntimeSec !== undefined && !(maxRuntimeSec > 0)) {
    throw new InvalidRequestError("maxRuntimeSec: expected a positive number of seconds");
  }
  const expiresAt = leaseConstraints?.expiresAt;
  return {
    ...(durable !== undefined && { durable }),
    ...(lease !== undefined && { lease_request: lease }),
    ...(expiresAt !== undefined && { lease_constraints: { expires_at: toInstant(expiresAt) } }),
    ...(maxRuntimeSec !== undefined && { max_runtime_sec: maxRuntimeSec }),
  };
}

/** The payload of `tool.invoke`. Throws {@link InvalidRequestError}. */
export function invocationOf(tool: string, args: JsonObject | undefined, terms: WorkTerms): JsonObject {
  if (tool === "") throw new InvalidRequestError("tool: expected a name");
  return { tool, arguments: args ?? {}, ...termsOf(terms) };
}

/** The payload of `workflow.start`. Throws {@link InvalidRequestError}. */
export function workflowOf(workflow: string, inputs: unknown, terms: WorkTerms): JsonObject {
  if (workflow === "") throw new InvalidRequestError("workflow: expected a name");
  return { workflow, inputs: inputs ?? {}, ...termsOf(terms) };
}

/** The payload of `job.schedule`. Throws {@link InvalidRequestError}. */
export function scheduleOf(work: ScheduledWork, when: When): JsonObject {
  const terms = work.options ?? {};
  const job =
    "tool" in work
      ? { type: "tool.invoke", payload: invocationOf(work.tool, work.arguments, terms) }
      : { type: "workflow.start", payload: workflowOf(work.workflow, work.inputs, terms) };
  if (["at", "every", "after"].filter((member) => member in when).length !== 1) {
    throw new InvalidRequestError("when: expected exactly one of at, every and after (RFC §10.6)");
  }
  return { job, when: "at" in when ? { at: toInstant(when.at) } : when };
}

/** A task for an agent (RFC §14). */
export interface Delegation {
  readonly task: string;
  /** What the agent is told beside the task. Further members are the caller's own. */
  readonly context?: {
    readonly trace_id?: string;
    readonly shared_memory_ref?: unknown;
    readonly permissions_inherited?: readonly string[];
    readonly [member: string]: unknown;
  };
}

/** The payload of `agent.delegate`. Throws {@link InvalidRequestError}. */
export function delegationOf(target: string, { task, context = {} }: Delegation): JsonObject {
  if (target === "") throw new InvalidRequestError("target: expected a name");
  return { target, task, context };
}

const SPAN_BYTES = 8;

export const newSpanId = (): string => toHex(randomBytes(SPAN_BYTES));

/** The members of an envelope that say where a command stands in a trace (RFC §17.1). */
export function traceOf(options: Pick<InvokeOptions, "traceId" | "traceparent">): {
  readonly trace_id: string;
  readonly span_id: string;
  readonly extensions?: Readonly<Record<string, unknown>>;
} {
  const trace: TraceContext = callerTrace(options.traceId ?? options.traceparent);
  return { ...traceMembers10(trace), span_id: trace.parentSpanId ?? newSpanId() };
}
