/** What an agent sees of the runtime: its job's facts, the emitters (§8.2), and the operations that its lease binds. */
import type {
  ArtifactRefBody,
  DelegateBody,
  JobId,
  Lease,
  LeaseConstraints,
  Logger,
  MetricPayload,
  ResultChunkBody,
  SessionId,
  ToolCallBody,
  ToolResultBody,
  TraceId,
} from "@arcp/core";
import type { AgentFetch, AgentFileSystem } from "./agent-operations.ts";
import type { ArtifactRef } from "./artifacts/artifact.ts";
import type { JobCredential } from "./credentials/job-credential.ts";
import type { Delegation } from "./delegation.ts";
import type { Guard, Operation, OperationCost } from "./operation.ts";
import type { ResultStream } from "./result-stream.ts";

export interface ProgressOptions {
  readonly total?: number;
  readonly units?: string;
  readonly message?: string;
}

/** A chunk as an agent gives it: numbers and ids are filled in if they are left out. */
export type ResultChunkInput = Pick<ResultChunkBody, "data" | "encoding" | "more"> &
  Partial<Pick<ResultChunkBody, "result_id" | "chunk_seq">>;

/** A model call that is under way. */
export interface ModelUse extends Operation {
  /** The model, as it was authorized. */
  readonly model: string;
}

export interface ModelUseOptions<Result> {
  /** What the call may cost. Default: `"unknown"`. */
  readonly cost?: OperationCost;
  /** What `tool_result` shows of it. Default: nothing. */
  readonly describe?: (result: Result) => unknown;
}

/**
 * Handed to an agent with its input.
 *
 * Emitters return a promise. It is resolved already while the consumer keeps up, waits when the consumer lags
 * (`backPressureThreshold`), and rejects once the job has ended. Awaiting it is what keeps a busy agent from starving
 * everybody else; an agent that never awaits is stopped at `maxUnawaitedBytes`.
 */
export interface HandoffOptions {
  /** The name by which the operator knows the other runtime. */
  readonly runtime: string;
  /** The agent there. */
  readonly agent: string;
  readonly input?: unknown;
  /** Within the job's own lease. */
  readonly leaseRequest?: Lease;
}

/** Text is kept as UTF-8. */
export type ArtifactContent = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface PutArtifactOptions {
  /** Default: `text/plain` for text, otherwise `application/octet-stream`. */
  readonly mediaType?: string;
  /** How long to keep it; clamped to the runtime's longest retention. Default: the runtime's. */
  readonly ttlSeconds?: number;
  /** Default: a new one. */
  readonly artifactId?: string;
}

export interface JobContext extends Guard {
  readonly jobId: JobId;
  readonly sessionId: SessionId;
  readonly agent: string;
  readonly agentVersion: string | null;
  /** `name@version`. */
  readonly agentRef: string;
  /** The effective lease; frozen (§9.1). */
  readonly lease: Lease;
  readonly leaseConstraints?: LeaseConstraints;
  /** What is left per budgeted currency. It changes with the counters. */
  readonly budget: ReadonlyMap<string, number>;
  readonly traceId?: TraceId;
  /** Headers that carry the job's trace to a tool server (§11): `traceparent`, and `tracestate` if there is one. */
  readonly traceHeaders: Readonly<Record<string, string>>;
  /** Aborts on cancel, time-out and the end of the job. Its reason is the error. */
  readonly signal: AbortSignal;
  /** Diagnostics of the runtime, bound to session and job; not seen by clients. */
  readonly logger: Logger;

  log(level: string, message: string, attributes?: Record<string, unknown>): Promise<void>;
  thought(text: string): Promise<void>;
  status(phase: string, message?: string): Promise<void>;
  metric(metric: MetricPayload): Promise<void>;
  toolCall(body: ToolCallBody): Promise<void>;
  toolResult(body: ToolResultBody): Promise<void>;
  artifactRef(body: ArtifactRefBody): Promise<void>;
  /**
   * Hands a part of this job's authority to another agent (§10): writes the event, and starts that agent's job. A
   * refusal is a `tool_result` with the `delegate_id` as its `call_id`, and what `accepted` and `done` reject with.
   * A body that cannot be written rejects all of it with {@link InvalidRequestError}.
   */
  delegate(body: DelegateBody): Delegation;
  progress(current: number, options?: ProgressOptions): Promise<void>;
  /** Emits one chunk of the result as it is. {@link streamResult} does the bookkeeping. */
  resultChunk(body: ResultChunkInput): Promise<void>;
  /** Begins a result in pieces. A job has one; asking again returns the same chunks. */
  streamResult(options?: { readonly resultId?: string }): ResultStream;
  /** Emits an event of a vendor's kind, `x-vendor.<vendor>.<name>`, or of a reserved kind. */
  emitEvent(kind: string, body: unknown): Promise<void>;
  /** Resolves when everything emitted so far is on disk. */
  flush(): Promise<void>;

  // --- Operations (§9): refused unless the lease covers them -------------------------------------------------------

  /** Files. */
  readonly fs: AgentFileSystem;
  /** The network. */
  readonly fetch: AgentFetch;
  /**
   * Calls a tool that is registered with the runtime, and returns its result. Throws the errors of {@link operation},
   * {@link InvalidRequestError} for input that its schema refuses, and what the tool throws.
   */
  callTool<Result = unknown>(name: string, input?: unknown): Promise<Result>;
  /**
   * Calls `call`, which talks to the model, if the lease covers the model and the budget is not used up (§9.7). A
   * refusal of the upstream that holds the job's credential is thrown as the error that it means here.
   */
  useModel<Result>(
    model: string,
    call: (use: ModelUse) => Result | Promise<Result>,
    options?: ModelUseOptions<Result>,
  ): Promise<Result>;
  /**
   * Hands the job over to another runtime, whose identity is verified first, under the same trace (RFC §14). When that has
   * accepted it, this job ends, naming where it went, and the promise rejects so that the agent stops: nothing here
   * controls it any more. Rejects with {@link InvalidRequestError} for a runtime that the operator has not named, with
   * {@link PermissionDeniedError} unless the lease covers the agent (`agent.delegate`), and with the other side's refusal;
   * the job goes on then.
   */
  handoff(options: HandoffOptions): Promise<never>;
  /**
   * Keeps a content of any size as an artifact of the job's principal (RFC §16). Resolves when it is durable, with the
   * reference to it, which may stand in any event or result. Rejects with {@link InternalError} beyond a cap of the
   * runtime's, and with {@link InvalidRequestError} for a media type or an id that is none.
   */
  putArtifact(data: ArtifactContent, options?: PutArtifactOptions): Promise<ArtifactRef>;
  /** What the runtime issued for this job (§9.8), as last rotated; empty once the job has ended. */
  readonly credentials: readonly JobCredential[];
}
