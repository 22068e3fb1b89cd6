/** What an agent sees of the runtime: its job's facts, and the emitters (§8.2). */
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
import type { ResultStream } from "./result-stream.ts";

export interface ProgressOptions {
  readonly total?: number;
  readonly units?: string;
  readonly message?: string;
}

/** A chunk as an agent gives it: numbers and ids are filled in if they are left out. */
export type ResultChunkInput = Pick<ResultChunkBody, "data" | "encoding" | "more"> &
  Partial<Pick<ResultChunkBody, "result_id" | "chunk_seq">>;

/**
 * Handed to an agent with its input.
 *
 * Emitters return a promise. It is resolved already while the consumer keeps up, waits when the consumer lags
 * (`backPressureThreshold`), and rejects once the job has ended. Awaiting it is what keeps a busy agent from starving
 * everybody else; an agent that never awaits is stopped at `maxUnawaitedBytes`.
 */
export interface JobContext {
  readonly jobId: JobId;
  readonly sessionId: SessionId;
  readonly agent: string;
  readonly agentVersion: string | null;
  /** `name@version`. */
  readonly agentRef: string;
  /** The effective lease; frozen (§9.1). */
  readonly lease: Lease;
  readonly leaseConstraints?: LeaseConstraints;
  /** What is left per budgeted currency, now. */
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
  /** Announces a delegation. The event alone: it starts no job. */
  delegate(body: DelegateBody): Promise<void>;
  progress(current: number, options?: ProgressOptions): Promise<void>;
  /** Emits one chunk of the result as it is. {@link streamResult} does the bookkeeping. */
  resultChunk(body: ResultChunkInput): Promise<void>;
  /** Begins a result in pieces. A job has one; asking again returns the same chunks. */
  streamResult(options?: { readonly resultId?: string }): ResultStream;
  /** Emits an event of a vendor's kind, `x-vendor.<vendor>.<name>`, or of a reserved kind. */
  emitEvent(kind: string, body: unknown): Promise<void>;
  /** Resolves when everything emitted so far is on disk. */
  flush(): Promise<void>;
}
