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
  TrustLevel,
} from "@arcp/core";
import type { StreamKind } from "@arcp/core/v1.0";
import type { AgentFetch, AgentFileSystem } from "./agent-operations.ts";
import type { ArtifactRef } from "./artifacts/artifact.ts";
import type { Checkpoint, CheckpointHandler, CheckpointOptions } from "./checkpoints.ts";
import type { JobCredential } from "./credentials/job-credential.ts";
import type { Delegation } from "./delegated-job.ts";
import type { StepContext, StepOptions } from "./durable/durable-run.ts";
import type { Grant } from "./grants/grant.ts";
import type { PermissionOptions } from "./grants/grants.ts";
import type { InterruptHandler, Interruption } from "./interactions/interrupts.ts";
import type { HumanChoiceOptions, HumanInputOptions } from "./interactions/request.ts";
import type { Guard, Operation, OperationCost } from "./operation.ts";
import type { HumanChoice, HumanInput } from "./people.ts";
import type { ResultStream } from "./result-stream.ts";
import type { AgentSpan } from "./spans.ts";
import type { JobStream, OpenStreamOptions } from "./streams/job-stream.ts";

/** What the progress of a job is measured against (§8.2.1). */
export interface ProgressOptions {
  readonly total?: number;
  readonly units?: string;
  readonly message?: string;
}

/** How much of a thought is shown. */
export interface ThoughtOptions {
  /**
   * Keeps the reasoning back (RFC §11.4): what is written says that there was some, with this summary, or with none at all
   * (`true`). Default: `false`.
   */
  readonly redacted?: boolean | string;
}

/** What an agent promises with a sign of life (RFC §10.3). */
export interface AgentHeartbeatOptions {
  /** When the next sign of life is due, in milliseconds from now. Default: as promised last, 60,000 at first. */
  readonly deadlineMs?: number;
}

/** A chunk as an agent gives it: numbers and ids are filled in if they are left out. */
export type ResultChunkInput = Pick<ResultChunkBody, "data" | "encoding" | "more"> &
  Partial<Pick<ResultChunkBody, "result_id" | "chunk_seq">>;

/** A model call that is under way. */
export interface ModelUse extends Operation {
  /** The model, as it was authorized. */
  readonly model: string;
}

/** What the use of a model may cost, and what watchers are shown of it (§9.7). */
export interface ModelUseOptions<Result> {
  /** What the call may cost. Default: `"unknown"`. */
  readonly cost?: OperationCost;
  /** What `tool_result` shows of it. Default: nothing. */
  readonly describe?: (result: Result) => unknown;
}

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

/** What an artifact is called, and how long it is kept (RFC §16). */
export interface PutArtifactOptions {
  /** Default: `text/plain` for text, otherwise `application/octet-stream`. */
  readonly mediaType?: string;
  /** How long to keep it; clamped to the runtime's longest retention. Default: the runtime's. */
  readonly ttlSeconds?: number;
  /** Default: a new one. */
  readonly artifactId?: string;
}

/**
 * Handed to an agent with its input.
 *
 * Emitters return a promise. It is resolved already while the consumer keeps up, waits when the consumer lags
 * (`backPressureThreshold`), and rejects once the job has ended. Awaiting it is what keeps a busy agent from starving
 * everybody else; an agent that never awaits is stopped at `maxUnawaitedBytes`.
 */
export interface JobContext extends Guard {
  readonly jobId: JobId;
  readonly sessionId: SessionId;
  readonly agent: string;
  readonly agentVersion: string | null;
  /** `name@version`. */
  readonly agentRef: string;
  /**
   * Of a run of a schedule (RFC §10.6): the time that it is for, RFC 3339; `undefined` for every other job. It may be long past:
   * of the occurrences that were missed while nothing ran the first is run, and the others are not. The same when the agent is
   * called again.
   */
  readonly scheduledFor: string | undefined;
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
  thought(text: string, options?: ThoughtOptions): Promise<void>;
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
  /**
   * Opens a stream (RFC §11): chunks of one kind, numbered, which clients of wire 1.0 see, slow down and cancel. A job may
   * have several open at once. Those that are open at its end are closed with it. Throws {@link InvalidRequestError} for a
   * content type or an encoding that is none, InternalError beyond `maxOpenStreams`, and the job's error once it has ended.
   */
  openStream<Kind extends StreamKind>(options: OpenStreamOptions<Kind>): JobStream<Kind>;
  /**
   * Calls `act` in a span of the job's trace (RFC §17.1), which is told of when it is over; spans nest. Returns what `act`
   * returns. Rejects with what it throws; with {@link InvalidRequestError}, and calls nothing, for a name or attributes
   * that JSON cannot hold.
   */
  span<Result>(
    name: string,
    attributes: Readonly<Record<string, unknown>>,
    act: (span: AgentSpan) => Result | Promise<Result>,
  ): Promise<Result>;
  /**
   * A sign of life, and the promise of another (RFC §10.3). From the first on the job is watched: whatever it writes is a
   * sign too, and after two deadlines without any it fails with `HEARTBEAT_LOST`, or is blocked until there is one, as the
   * agent was registered. Rejects once the job has ended, and with {@link InvalidRequestError} for what is no time.
   */
  heartbeat(options?: AgentHeartbeatOptions): Promise<void>;
  /**
   * Keeps `data`, which JSON can hold, so that another job can go on from here (RFC §19). Resolves when it is durable.
   * Rejects with {@link InvalidRequestError} for other data, and within a step of a durable agent; with InternalError beyond
   * `maxCheckpointBytes`, which is noticed before the data is written down.
   */
  checkpoint(data: unknown, options?: CheckpointOptions): Promise<Checkpoint>;
  /**
   * Sets who is asked for a checkpoint's data when a client wants one, and when the job is cancelled. Without it, clients
   * that ask are refused. A later one takes its place.
   */
  onCheckpoint(handler: CheckpointHandler): void;
  /**
   * Does `act` once (docs/durable-agents.md). For a durable agent what it returns is on disk before this resolves with it, as
   * JSON makes it, and is what the agent gets when it is called again after a restart, without `act` being called; what it
   * throws is kept in the same way. Steps are told apart by their order, and their names are compared. For other agents it
   * is called, tried again and bounded in time just the same, and nothing is kept.
   *
   * @throws InvalidRequestError for a name that is none, a value that JSON cannot hold, and a step within a step.
   * @throws InternalError with `details.reason` `step_mismatch`, which ends the job, where another step was done before.
   */
  step<Value>(name: string, act: (step: StepContext) => Value | Promise<Value>, options?: StepOptions): Promise<Value>;
  /**
   * Resolves after so many milliseconds, or at that time; for a durable agent at the time that was first asked for, over
   * restarts. Rejects when the job is told to stop.
   */
  sleep(until: number | Date): Promise<void>;
  /** The data of the checkpoint that this job goes on from; `undefined` if it begins at the beginning. */
  readonly restored: unknown;
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
   * {@link InvalidRequestError} for input that its schema refuses, and what the tool throws. For a durable agent, outside
   * steps, a call is a step of its own: it is not made again after a restart, and its result is what JSON makes of it.
   */
  callTool<Result = unknown>(name: string, input?: unknown): Promise<Result>;
  /**
   * Calls `call`, which talks to the model, if the lease covers the model and the budget is not used up (§9.7). A
   * refusal of the upstream that holds the job's credential is thrown as the error that it means here; and that of an
   * operation within, such as {@link fetch}, as itself, where a vendor's client made an error of its own of it.
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
   * runtime's, and with {@link InvalidRequestError} for a media type or an id that is none. For a durable agent, outside
   * steps, it is a step of its own: what is kept is not kept again after a restart.
   */
  putArtifact(data: ArtifactContent, options?: PutArtifactOptions): Promise<ArtifactRef>;
  // --- People (RFC §10.5, §12, §15) ------------------------------------------------------------------------------

  /**
   * Asks the people of this job's principal for a value (RFC §12.1), and resolves with what the first of them to give a
   * valid one has said, or with the default. The job is blocked meanwhile.
   *
   * @throws InvalidRequestError for what cannot be asked: a schema that is none or too large, a default that does not keep
   *   it. Nothing is asked then.
   * @throws CanonicalError `DEADLINE_EXCEEDED` when nobody has answered in time, `FAILED_PRECONDITION` when no client can be
   *   asked; without a default.
   * @throws CancelledError when the job is cancelled, or the reason of `options.signal`.
   */
  requestHumanInput<Value = unknown>(options: HumanInputOptions): Promise<HumanInput<Value>>;
  /** The same for one of several options (RFC §12.2). */
  requestHumanChoice(options: HumanChoiceOptions): Promise<HumanChoice>;
  /**
   * Asks people whether the job may do something that its lease does not cover (RFC §15.4). What they grant counts at once
   * in {@link operation}, {@link callTool}, {@link useModel}, {@link fs} and {@link fetch}, for its resource, until it
   * ends; it is no part of what the job may hand on to another agent, or spend. A restart ends it: a durable agent that is
   * called again asks again.
   *
   * @throws PermissionDeniedError with `details.reason`: `denied`, `timeout` when nobody has decided, `policy` when the
   *   operator allows nobody to grant it.
   * @throws InvalidRequestError, CanonicalError, CancelledError as {@link requestHumanInput} does.
   */
  requestPermission(options: PermissionOptions): Promise<Grant>;
  /** How far the job is trusted now (RFC §15.3): as its client is, or as people have raised it for a time (RFC §15.6). */
  readonly trustLevel: TrustLevel;
  /**
   * Calls `handler` with what people say when they have interrupted the job (RFC §10.5), just before it goes on. From the
   * interrupt to then every emitter waits, and every operation before it acts. Returns what takes the handler away.
   */
  onInterrupt(handler: InterruptHandler): () => void;
  /** What people have said in interrupts so far, oldest first; the last 64. */
  readonly guidance: readonly Interruption[];

  /** What the runtime issued for this job (§9.8), as last rotated; empty once the job has ended. */
  readonly credentials: readonly JobCredential[];
}
