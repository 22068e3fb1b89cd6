/** The context of one run: what an agent says, checked and written into its job's journal (§8.2). */
import {
  ARCPError,
  type ArtifactRefBody,
  CancelledError,
  type Clock,
  type DelegateBody,
  EVENT_BODIES,
  type EventKind,
  errorFromWire,
  errorPayload,
  InvalidRequestError,
  isEventKind,
  isVendorName,
  type JobId,
  type JsonObject,
  type Lease,
  type LeaseConstraints,
  LOG_LEVELS,
  type LogBody,
  type Logger,
  type MetricPayload,
  newResultId,
  type ProgressBody,
  type ResultId,
  type SessionId,
  type ToolCallBody,
  type ToolResultBody,
  type TraceId,
  type TrustLevel,
  traceparentOf,
} from "@arcp/core";
import type { StreamKind } from "@arcp/core/v1.0";
import { ENTRY } from "../store/store.ts";
import type { AgentFetch, AgentFileSystem, AgentOperations, FileGrant, OperationsFactory } from "./agent-operations.ts";
import type { ArtifactRef } from "./artifacts/artifact.ts";
import type { Artifacts } from "./artifacts/artifacts.ts";
import type { Checkpoint, CheckpointHandler, CheckpointOptions, Checkpoints } from "./checkpoints.ts";
import { reportCost } from "./cost.ts";
import type { JobCredential } from "./credentials/job-credential.ts";
import { type DelegatedJob, type Delegation, refusedDelegation } from "./delegated-job.ts";
import type { DelegationRecord, KnownChild } from "./delegation.ts";
import type { DurableRun, StepContext, StepOptions } from "./durable/durable-run.ts";
import { doStep } from "./durable/plain-steps.ts";
import { sleepUntil } from "./durable/timing.ts";
import { jsonOf, timestamp } from "./entry-text.ts";
import { type Grant, HeldGrant, type PermissionLease } from "./grants/grant.ts";
import type { PermissionOptions } from "./grants/grants.ts";
import { type HandoffConnector, handoffBody } from "./handoff.ts";
import type { InterruptHandler, Interruption } from "./interactions/interrupts.ts";
import type { HumanChoiceOptions, HumanInputOptions } from "./interactions/request.ts";
import { type Job, quiet } from "./job.ts";
import type {
  AgentHeartbeatOptions,
  ArtifactContent,
  HandoffOptions,
  JobContext,
  ModelUse,
  ModelUseOptions,
  ProgressOptions,
  PutArtifactOptions,
  ResultChunkInput,
  ThoughtOptions,
} from "./job-context.ts";
import { validateLeaseShape } from "./lease/shape.ts";
import { assertLeaseSubset } from "./lease/subset.ts";
import type { Guard, Operation, OperationOptions } from "./operation.ts";
import type { HumanChoice, HumanInput, People, StoredQuestionOptions } from "./people.ts";
import type { JobQueue } from "./queue/job-queue.ts";
import {
  ChunkSequence,
  ResultStream,
  rejected,
  requireEncoded,
  streamedMembers,
  streamIdOfResult,
} from "./result-stream.ts";
import type { AgentSpan, JobSpans } from "./spans.ts";
import type { JobStream, OpenStreamOptions } from "./streams/job-stream.ts";
import type { JobStreams, Streams } from "./streams/streams.ts";
import { positionIn, tracedLogger } from "./telemetry.ts";
import type { ToolRegistry } from "./tools.ts";
import type { Watchdogs } from "./watchdog.ts";

/** A client takes a new secret from a status of this phase (§9.8.2): an agent must not hand it one. */
const ROTATED = "credential_rotated";
/** What the runtime says under such a name, of questions and grants above all, nobody else must seem to say. */
const OWN_KINDS = "x-vendor.arcp.";
const MAX_STEP_NAME = 256;
/** The longest result that is sent as it is over wire 1.0. */
const MAX_INLINE_VALUE_BYTES = 1024 * 1024;

/** What agents reach through their context, of the runtime. */
export interface AgentTools {
  readonly tools: ToolRegistry;
  readonly delegate: (parent: Job, body: DelegateBody, record?: DelegationRecord) => Delegation;
  /** A delegation that was made before a restart. */
  readonly delegateAgain: (parent: Job, known: KnownChild) => Delegation;
  readonly credentialsOf: (job: Job) => readonly JobCredential[];
  /** An upstream's refusal in the terms of §12; `undefined` for any other error. */
  readonly explain: (error: unknown) => ARCPError | undefined;
  readonly artifacts: Artifacts;
  /** `undefined`: there is no other runtime. */
  readonly handoff: HandoffConnector | undefined;
  readonly streams: Streams;
  readonly checkpoints: Checkpoints;
  readonly watchdogs: Watchdogs;
  readonly people: () => People;
  readonly queue: JobQueue;
  readonly clock: Clock;
}

/** What {@link JobContext} promises. */
export class AgentContext implements JobContext {
  readonly #job: Job;
  readonly #guard: Guard;
  readonly #rootLogger: Logger;
  readonly #tools: AgentTools;
  readonly #makeOperations: OperationsFactory;
  #operations: AgentOperations | undefined;
  #logger: Logger | undefined;
  #chunks: ChunkSequence | undefined;
  readonly #spans: JobSpans;
  readonly #input: unknown;
  #streams: JobStreams | undefined;
  readonly #run: DurableRun | undefined;
  readonly restored: unknown;

  constructor(options: {
    readonly job: Job;
    readonly guard: Guard;
    readonly logger: Logger;
    readonly tools: AgentTools;
    readonly operations: OperationsFactory;
    readonly spans: JobSpans;
    readonly input: unknown;
    /** The data of the checkpoint that the job goes on from. */
    readonly restored: unknown;
    /** What is on record of a durable job. */
    readonly run: DurableRun | undefined;
  }) {
    this.#job = options.job;
    this.#guard = options.guard;
    this.#rootLogger = options.logger;
    this.#tools = options.tools;
    this.#makeOperations = options.operations;
    this.#spans = options.spans;
    this.#input = options.input;
    this.restored = options.restored;
    this.#run = options.run;
  }

  /** Pins what the lease names of the file system as it is now. */
  pinOperations(): void {
    if (this.#operations !== undefined) return;
    const operations = this.#makeOperations(this.#guard, this.logger);
    this.#operations = operations;
    this.#job.whenEnded(() => operations.close());
  }

  get jobId(): JobId {
    return this.#job.id;
  }

  get sessionId(): SessionId {
    return this.#job.sessionId;
  }

  get scheduledFor(): string | undefined {
    const { occurrenceAt } = this.#job.origin ?? {};
    return occurrenceAt === undefined ? undefined : timestamp(occurrenceAt);
  }

  get agent(): string {
    return this.#job.agent;
  }

  get agentVersion(): string | null {
    return this.#job.agentVersion;
  }

  get agentRef(): string {
    return this.#job.agentRef;
  }

  get lease(): Lease {
    return this.#job.lease;
  }

  get leaseConstraints(): LeaseConstraints {
    return this.#job.leaseConstraints ?? {};
  }

  get budget(): ReadonlyMap<string, number> {
    return new LiveBudget(this.#job);
  }

  get fs(): AgentFileSystem {
    this.pinOperations();
    return (this.#operations as AgentOperations).fs;
  }

  get fetch(): AgentFetch {
    this.pinOperations();
    return (this.#operations as AgentOperations).fetch;
  }

  get credentials(): readonly JobCredential[] {
    return this.#tools.credentialsOf(this.#job);
  }

  get traceId(): TraceId {
    return this.#job.traceId;
  }

  get traceHeaders(): Readonly<Record<string, string>> {
    const position = positionIn(this.#job.trace);
    const { traceState } = position;
    const headers = { traceparent: traceparentOf(position) as string };
    return traceState === undefined ? headers : { ...headers, tracestate: traceState };
  }

  get trustLevel(): TrustLevel {
    return this.#tools.people().grants.trustLevelOf(this.#job);
  }

  get guidance(): readonly Interruption[] {
    return this.#tools.people().interrupts.saidTo(this.#job);
  }

  get signal(): AbortSignal {
    return this.#job.signal;
  }

  get logger(): Logger {
    const { id: jobId, sessionId, traceId } = this.#job;
    this.#logger ??= tracedLogger(this.#rootLogger.child({ sessionId, jobId, traceId }), traceId, (fields, message) =>
      this.#job.loggable(fields, message),
    );
    return this.#logger;
  }

  log(level: string, message: string, attributes?: Record<string, unknown>): Promise<void> {
    if (typeof level !== "string" || typeof message !== "string") return refuse("a log has a level and a message");
    if (attributes !== undefined && !isObject(attributes)) return refuse("the attributes of a log are an object");
    const known = (LOG_LEVELS as readonly string[]).includes(level) ? level : logLevelLike(level);
    // Some clients drop an empty message.
    const text = message === "" ? " " : message;
    return this.#job.emit(
      ENTRY.log,
      "log",
      attributes === undefined ? { level: known, message: text } : { level: known, message: text, attributes },
    );
  }

  thought(text: string, { redacted = false }: ThoughtOptions = {}): Promise<void> {
    if (typeof text !== "string") return refuse("a thought is a text");
    const shown = redacted === false ? text : redacted === true ? "" : String(redacted);
    if (this.#job.origin !== undefined) return this.#think(shown, redacted !== false);
    return this.#job.emit(ENTRY.thought, "thought", redacted === false ? { text } : { text: shown, redacted: true });
  }

  /** The thoughts of a job that was asked for over wire 1.0 belong to one stream (RFC §11.4). */
  #think(text: string, isRedacted: boolean): Promise<void> {
    if (this.#job.hasTold(ENTRY.thought, { text, isRedacted })) return Promise.resolve();
    try {
      return this.#jobStreams.think(text, isRedacted);
    } catch (error) {
      return rejected(error);
    }
  }

  openStream<Kind extends StreamKind>(options: OpenStreamOptions<Kind>): JobStream<Kind> {
    return this.#jobStreams.open(options);
  }

  get #jobStreams(): JobStreams {
    this.#streams ??= this.#tools.streams.of(this.#job);
    return this.#streams;
  }

  span<Result>(
    name: string,
    attributes: Readonly<Record<string, unknown>>,
    act: (span: AgentSpan) => Result | Promise<Result>,
  ): Promise<Result> {
    return this.#spans.run(name, attributes, act);
  }

  async heartbeat({ deadlineMs }: AgentHeartbeatOptions = {}): Promise<void> {
    this.#job.assertLive();
    this.#tools.watchdogs.beat(this.#job, deadlineMs);
  }

  checkpoint(data: unknown, options?: CheckpointOptions): Promise<Checkpoint> {
    const run = this.#run;
    if (run?.isInStep === true) {
      return rejected(new InvalidRequestError("a checkpoint is not made within a step")) as Promise<never>;
    }
    if (run === undefined) return this.#tools.checkpoints.create(this.#job, this.#input, data, options);
    const onMade = (text: string): void => {
      const pieces = this.#chunks && { resultId: this.#chunks.resultId, ...this.#chunks.place };
      run.onCheckpoint(text, pieces);
    };
    return this.#tools.checkpoints.create(this.#job, this.#input, data, { ...options, onMade });
  }

  step<Value>(
    name: string,
    act: (step: StepContext) => Value | Promise<Value>,
    options: StepOptions = {},
  ): Promise<Value> {
    if (this.#run !== undefined) {
      return this.#run.step(name, act, options, (pieces) => this.#chunkSequence(pieces.resultId).skip(pieces));
    }
    return quiet(doStep(this.#job, this.#tools.clock, name, act, options));
  }

  sleep(until: number | Date): Promise<void> {
    const { clock } = this.#tools;
    const wakeUp =
      until instanceof Date
        ? { wakeAt: until.getTime() }
        : { wakeAt: clock.now() + Number(until), withinMs: Number(until) };
    if (!Number.isFinite(wakeUp.wakeAt)) return refuse("a sleep is a number of milliseconds, or a date");
    if (this.#run !== undefined) return this.#rest(this.#run.sleepUntil(wakeUp));
    return this.#rest(sleepUntil(this.#job, clock, wakeUp));
  }

  /** What `wait` comes to. It is no work: others may have the job's slot meanwhile. */
  #rest<Value>(wait: Promise<Value>): Promise<Value> {
    const resting = this.#tools.queue.rest(this.#job, wait);
    return quiet(this.#run === undefined ? resting : this.#run.whileResting(resting));
  }

  onCheckpoint(handler: CheckpointHandler): void {
    const { checkpoints } = this.#tools;
    checkpoints.handle(this.#job, (asked) => {
      const { label } = asked;
      const keep = (data: unknown): Promise<Checkpoint> => checkpoints.create(this.#job, this.#input, data, asked);
      try {
        const data = handler(label === undefined ? {} : { label });
        // What is there already is kept in this turn: a cancelled job may have no other.
        return data instanceof Promise ? data.then(keep) : keep(data);
      } catch (error) {
        return Promise.reject(error);
      }
    });
  }

  status(phase: string, message?: string): Promise<void> {
    if (typeof phase !== "string" || !isOptionalText(message)) return refuse("a status has a phase");
    if (phase === ROTATED) return refuse(`${ROTATED} is the runtime's own phase`);
    return this.#job.emit(ENTRY.status, "status", message === undefined ? { phase } : { phase, message });
  }

  metric(metric: MetricPayload): Promise<void> {
    const problem = problemOf("metric", metric);
    if (problem !== undefined) return refuse(problem);
    return reportCost(this.#job, metric);
  }

  toolCall(body: ToolCallBody): Promise<void> {
    return this.#checked("tool_call", body);
  }

  toolResult(body: ToolResultBody): Promise<void> {
    return this.#checked("tool_result", body);
  }

  artifactRef(body: ArtifactRefBody): Promise<void> {
    return this.#checked("artifact_ref", body);
  }

  delegate(body: DelegateBody): Delegation {
    const problem = problemOf("delegate", body);
    if (problem !== undefined) return refusedDelegation(new InvalidRequestError(problem));
    const { delegate, delegateAgain } = this.#tools;
    const record = this.#run?.delegation(body.agent);
    if (record === undefined) return this.#resting(delegate(this.#job, body));
    if ("refusal" in record) return refusedDelegation(record.refusal);
    const { known } = record;
    const delegation = known === undefined ? delegate(this.#job, body, record) : delegateAgain(this.#job, known);
    if (known?.end === undefined) record.keep(delegation.done);
    return this.#resting(delegation);
  }

  /** From when the agent asks for the child's end, or its events, it rests until it has them. */
  #resting(delegation: Delegation): Delegation {
    const { done } = delegation;
    const events = delegation.events.bind(delegation);
    let awaited: typeof done | undefined;
    const rest = <Value>(wait: Promise<Value>): Promise<Value> => this.#rest(wait);
    return Object.defineProperties(delegation, {
      done: {
        get: () => {
          awaited ??= rest(done);
          return awaited;
        },
      },
      events: {
        async *value(): ReturnType<DelegatedJob["events"]> {
          const read = Promise.withResolvers<void>();
          const back = rest(read.promise);
          try {
            yield* events();
          } finally {
            read.resolve();
            await back;
          }
        },
      },
    });
  }

  operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    options?: OperationOptions<Result>,
  ): Promise<Result> {
    return this.#guard.operation(capability, target, act, options);
  }

  callTool<Result = unknown>(name: string, input?: unknown): Promise<Result> {
    return this.#once(`tool ${String(name)}`, () => this.#callTool<Result>(name, input));
  }

  /** Does what can be kept as JSON as a step of its own, if the job is durable and this is not within one. */
  #once<Value>(name: string, act: () => Promise<Value>): Promise<Value> {
    const run = this.#run;
    return run === undefined || run.isInStep ? act() : run.step(name.slice(0, MAX_STEP_NAME), act);
  }

  async #callTool<Result>(name: string, input: unknown): Promise<Result> {
    const { tools } = this.#tools;
    return this.#guard.operation(
      "tool.call",
      name,
      async ({ target, callId, signal, report }) => {
        const tool = tools.resolve(target, input);
        const context = { jobId: this.jobId, callId, signal, traceHeaders: this.traceHeaders, report };
        return (await tool.handler(input, context)) as Result;
      },
      { tool: String(name), args: input ?? {}, cost: tools.costOf(name, input), describe: (result) => result },
    );
  }

  useModel<Result>(
    model: string,
    call: (use: ModelUse) => Result | Promise<Result>,
    { cost = "unknown", describe }: ModelUseOptions<Result> = {},
  ): Promise<Result> {
    const act = async (operation: Operation): Promise<Result> => {
      try {
        return await call({ ...operation, model: operation.target });
      } catch (error) {
        throw this.#tools.explain(error) ?? refusalWithin(error) ?? error;
      }
    };
    return this.#guard.operation("model.use", model, act, {
      args: { model: String(model) },
      cost,
      ...(describe && { describe }),
    });
  }

  requestHumanInput<Value = unknown>(options: HumanInputOptions): Promise<HumanInput<Value>> {
    const people = this.#tools.people();
    const job = this.#job;
    if (this.#run === undefined) return this.#rest(people.askInput<Value>(job, options));
    return this.#ask(this.#run, "input", options, (onAsked) => people.askInput<Value>(job, options, onAsked));
  }

  /** A question of a durable job is a step of its. */
  #ask<Answer>(
    run: DurableRun,
    kind: StoredQuestionOptions["kind"],
    options: HumanInputOptions | HumanChoiceOptions,
    ask: (onAsked: (questionId: string) => void) => Promise<Answer>,
  ): Promise<Answer> {
    const { signal: _signal, ...kept } = options;
    let question: JsonObject;
    try {
      question = JSON.parse(jsonOf({ kind, options: kept })) as JsonObject;
    } catch (error) {
      return rejected(error) as Promise<never>;
    }
    return this.#rest(run.question(`ask ${kind}`, question, ask));
  }

  requestHumanChoice(options: HumanChoiceOptions): Promise<HumanChoice> {
    const people = this.#tools.people();
    const job = this.#job;
    if (this.#run === undefined) return this.#rest(people.askChoice(job, options));
    return this.#ask(this.#run, "choice", options, (onAsked) => people.askChoice(job, options, onAsked));
  }

  requestPermission(options: PermissionOptions): Promise<Grant> {
    return quiet(this.#requestPermission(options));
  }

  async #requestPermission(options: PermissionOptions): Promise<Grant> {
    const { grants } = this.#tools.people();
    const lease = await this.#rest(grants.request(this.#job, options));
    this.#admitFiles(lease);
    return new HeldGrant(lease, this.#guard, (seconds) => grants.extend(lease, seconds));
  }

  onInterrupt(handler: InterruptHandler): () => void {
    return this.#tools.people().interrupts.listen(this.#job, handler);
  }

  progress(current: number, options: ProgressOptions = {}): Promise<void> {
    if (!isObject(options)) return refuse("the options of progress are an object");
    const { total, units, message } = options;
    if (!isQuantity(current) || !(total === undefined || isQuantity(total))) {
      return refuse("progress is a non-negative number, of a non-negative total");
    }
    if (!isOptionalText(units) || !isOptionalText(message)) return refuse("progress: units and message are text");
    return this.#job.emit(ENTRY.progress, "progress", { ...options, current: upTo(current, total) });
  }

  resultChunk(body: ResultChunkInput): Promise<void> {
    const parsed = resultChunkInput.safeParse(body);
    if (!parsed.success) return refuse(`result_chunk: ${firstProblem(parsed.error)}`);
    const { data, encoding, more, result_id } = parsed.data;
    try {
      requireEncoded(data, encoding);
      return this.#chunkSequence(result_id).emit(data, encoding, more);
    } catch (error) {
      return rejected(error);
    }
  }

  streamResult(options: { readonly resultId?: string } = {}): ResultStream {
    return new ResultStream(this.#job, this.#chunkSequence(options.resultId));
  }

  async handoff({ runtime, agent, input = null, leaseRequest = {} }: HandoffOptions): Promise<never> {
    const { handoff } = this.#tools;
    const job = this.#job;
    if (handoff === undefined || !handoff.runtimes.includes(runtime)) {
      throw new InvalidRequestError("no such runtime is known here", { details: { runtime } });
    }
    const lease = validateLeaseShape(leaseRequest, { mayBeUnlimited: true });
    assertLeaseSubset(lease, job.lease, { remaining: job.authority.budget?.available() });
    const { leaseConstraints } = this;
    const receipt = await this.#guard.operation(
      "agent.delegate",
      agent,
      ({ signal }) =>
        handoff.handoff(
          {
            ...{ runtime, agent, input, lease, leaseConstraints, idempotencyKey: `handoff:${job.id}` },
            trace: positionIn(job.trace),
          },
          signal,
        ),
      { tool: "agent.handoff", args: { runtime, agent } },
    );
    const body = handoffBody(receipt, agent);
    job.audit("job.handed_over", { agent, to_runtime: receipt.runtime, to_job_id: receipt.jobId });
    await job.emit(ENTRY.handoff, "x-vendor.arcp.handoff", body);
    job.end({ status: "success", members: `"handoff":${JSON.stringify(body)}` });
    throw new CancelledError("the job was handed over");
  }

  putArtifact(data: ArtifactContent, options: PutArtifactOptions = {}): Promise<ArtifactRef> {
    return this.#once("artifact", () => this.#putArtifact(data, options));
  }

  async #putArtifact(data: ArtifactContent, options: PutArtifactOptions): Promise<ArtifactRef> {
    const { mediaType = typeof data === "string" ? "text/plain" : "application/octet-stream", ...rest } = options;
    const job = this.#job;
    return this.#tools.artifacts.put({
      ...rest,
      ...{ principal: job.submitterPrincipal, sessionId: job.sessionId, jobId: job.id, mediaType, signal: job.signal },
      data: typeof data === "string" ? Buffer.from(data) : data,
    });
  }

  emitEvent(kind: string, body: unknown): Promise<void> {
    if (String(kind).startsWith(OWN_KINDS)) return refuse(`${OWN_KINDS}* are the runtime's own kinds`);
    if (isVendorName(kind)) return this.#job.emit(ENTRY.vendor, kind, body);
    if (!isEventKind(kind))
      return refuse(`not an event kind: ${JSON.stringify(kind)}; vendors use x-vendor.<vendor>.<name>`);
    // Chunks and costs have state of their own: the same door for everyone.
    if (kind === "result_chunk") return this.resultChunk(body as ResultChunkInput);
    if (kind === "metric") return this.metric(body as MetricPayload);
    if (kind === "thought" && this.#job.origin !== undefined)
      return this.thought((body as { text: string } | null)?.text ?? "");
    if (kind === "delegate") return this.delegate(body as DelegateBody);
    return this.#checked(kind, body);
  }

  flush(): Promise<void> {
    return quiet(this.#job.flush());
  }

  /**
   * Ends the job after the agent has returned: what it wrote to streams without waiting is written first, and a result that
   * was begun in pieces is completed.
   */
  complete(returned: unknown): Promise<unknown> | unknown {
    const writing = this.#streams?.settled();
    return writing === undefined ? this.#complete(returned) : writing.then(() => this.#complete(returned));
  }

  /** Was a result begun in pieces? They are sent already. */
  get hasResultPieces(): boolean {
    return this.#chunks !== undefined;
  }

  #complete(returned: unknown): Promise<unknown> | unknown {
    const chunks = this.#chunks;
    if (this.#job.isTerminal || this.#job.isCancelling) return returned;
    if (chunks === undefined) return this.#job.origin === undefined ? returned : this.#inlineOrReferred(returned);
    if (returned !== undefined) this.logger.warn({}, "the result was streamed: the agent's return value is not sent");
    const writing = chunks.settled();
    if (writing !== undefined) return writing.then(() => this.#complete(undefined));
    if (!chunks.isComplete) return new ResultStream(this.#job, chunks).finalize();
    this.#job.end({ status: "success", members: streamedMembers(chunks.resultId, chunks.bytes) });
    return undefined;
  }

  /** A result too large to be sent as it is becomes an artifact, for whoever asked over wire 1.0 (RFC §16.1). */
  async #inlineOrReferred(returned: unknown): Promise<unknown> {
    const { caps, submitterPrincipal: principal, sessionId, id: jobId } = this.#job;
    if (returned === undefined) return undefined;
    const maxInlineBytes = Math.min(caps.maxInlineResultBytes, MAX_INLINE_VALUE_BYTES);
    const request = { principal, sessionId, jobId, maxInlineBytes };
    const ref = await this.#tools.artifacts.reference(returned, request);
    if (ref === undefined) return returned;
    this.#job.end({ status: "success", members: `"result_ref":${JSON.stringify(ref)}` });
    return undefined;
  }

  /** What was granted of the file system is pinned as it is now. */
  #admitFiles(lease: PermissionLease): void {
    const { scope } = lease.facts;
    if (scope.kind !== "capability" || !isFileCapability(scope.capability)) return;
    this.pinOperations();
    const { capability, target, isPattern, covers } = scope;
    this.#operations?.admit({ capability, target, isPattern, covers, isActive: () => lease.isActive });
  }

  #chunkSequence(resultId: string | undefined): ChunkSequence {
    const before = this.#run?.progress.pieces;
    const own = resultId === undefined ? undefined : checkedResultId(resultId);
    // The agent of a durable job may be called again: it goes on with the same result.
    const made = this.#run === undefined ? newResultId() : resultIdOf(this.#job.id);
    this.#chunks ??= this.#newChunks(before?.resultId ?? own ?? made);
    if (resultId !== undefined && resultId !== this.#chunks.resultId) {
      throw new InvalidRequestError("a job has one streamed result");
    }
    return this.#chunks;
  }

  /** Over wire 1.0 a result in pieces is a stream like any other. */
  #newChunks(resultId: ResultId): ChunkSequence {
    const job = this.#job;
    const isSteered = job.origin !== undefined;
    const flow = isSteered ? this.#tools.streams.steer(job, streamIdOfResult(resultId)) : undefined;
    return new ChunkSequence(job, resultId, flow, this.#run?.progress.pieces);
  }

  #checked(kind: EventKind, body: unknown): Promise<void> {
    const problem = problemOf(kind, body);
    if (kind === "status" && (body as { readonly phase?: unknown } | null)?.phase === ROTATED) {
      return refuse(`${ROTATED} is the runtime's own phase`);
    }
    return problem === undefined ? this.#job.emit(ENTRY[kind], kind, asShown(kind, body)) : refuse(problem);
  }
}

/** The counters of a job, as they are whenever they are looked at. */
class LiveBudget implements ReadonlyMap<string, number> {
  readonly #job: Job;

  constructor(job: Job) {
    this.#job = job;
  }

  get size(): number {
    return this.#job.budget.size;
  }

  get(currency: string): number | undefined {
    return this.#job.budget.get(currency);
  }

  has(currency: string): boolean {
    return this.#job.budget.has(currency);
  }

  forEach(task: (left: number, currency: string, budget: ReadonlyMap<string, number>) => void): void {
    for (const [currency, left] of this) task(left, currency, this);
  }

  entries(): MapIterator<[string, number]> {
    return this.#job.budget.entries();
  }

  keys(): MapIterator<string> {
    return this.#job.budget.keys();
  }

  values(): MapIterator<number> {
    return this.#job.budget.values();
  }

  [Symbol.iterator](): MapIterator<[string, number]> {
    return this.entries();
  }
}

const resultChunkInput = EVENT_BODIES.result_chunk.partial({ result_id: true, chunk_seq: true });

/** What is wrong with the body of an event of `kind`, if anything is. */
function problemOf(kind: EventKind, body: unknown): string | undefined {
  const parsed = EVENT_BODIES[kind].safeParse(body);
  return parsed.success ? undefined : `${kind}: ${firstProblem(parsed.error)}`;
}

function firstProblem({ issues: [issue] }: { readonly issues: readonly { path: PropertyKey[]; message: string }[] }) {
  return `${issue?.path.map(String).join(".") ?? ""} ${issue?.message ?? "not valid"}`;
}

/** A checked body as every client reads it, whichever emitter it came through. */
function asShown(kind: EventKind, body: unknown): unknown {
  switch (kind) {
    case "log": {
      const log = body as LogBody;
      return { ...log, level: logLevelLike(log.level) };
    }
    case "progress": {
      const progress = body as ProgressBody;
      return { ...progress, current: upTo(progress.current, progress.total) };
    }
    case "thought": {
      // Which stream a thought belongs to is the runtime's own word.
      const { stream_id: _stream, sequence: _sequence, ...thought } = body as JsonObject;
      return thought;
    }
    case "tool_call": {
      const call = body as ToolCallBody;
      return { ...call, args: call.args ?? {} };
    }
    case "tool_result": {
      const { error, result, ...answer } = body as ToolResultBody;
      if (error !== undefined) return { ...answer, error: errorFromWire(errorPayload.parse(error)).toWire() };
      return { ...answer, result: isJson(result) ? result : null };
    }
    default:
      return body;
  }
}

/** Some clients refuse a current beyond the total. */
const upTo = (current: number, total: number | undefined): number =>
  total === undefined ? current : Math.min(current, total);

/** The protocol's error that another one was made of, such as a vendor's connection error of a refused `fetch`. */
const refusalWithin = (error: unknown): ARCPError | undefined =>
  error instanceof Error && error.cause instanceof ARCPError ? error.cause : undefined;

const isFileCapability = (capability: string): capability is FileGrant["capability"] =>
  capability === "fs.read" || capability === "fs.write";

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const isOptionalText = (value: unknown): boolean => value === undefined || typeof value === "string";
/** Is there something that JSON writes? Functions and symbols it leaves out. */
const isJson = (value: unknown): boolean =>
  value !== undefined && typeof value !== "function" && typeof value !== "symbol";

const isQuantity = (value: number): boolean => typeof value === "number" && Number.isFinite(value) && value >= 0;

/** Other loggers' names for the four levels that every client reads. */
function logLevelLike(level: string): string {
  const name = level.toLowerCase();
  if (name === "trace") return "debug";
  if (name === "warning") return "warn";
  if (name === "fatal" || name === "critical") return "error";
  return (LOG_LEVELS as readonly string[]).includes(name) ? name : "info";
}

const RESULT_ID = /^[A-Za-z0-9_.-]{1,128}$/;

function checkedResultId(resultId: string): ResultId {
  if (!RESULT_ID.test(resultId)) throw new InvalidRequestError("a result id is 1 to 128 of A-Z a-z 0-9 _ . -");
  return resultId as ResultId;
}

/** The id of a job's only result, from the job's own. */
const resultIdOf = (jobId: JobId): ResultId => `res_${jobId.replace(/^job_/, "")}` as ResultId;

const refuse = (problem: string): Promise<void> => rejected(new InvalidRequestError(problem));
