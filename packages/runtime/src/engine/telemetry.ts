/**
 * Spans of sessions, jobs, operations and delegations (§11) through the OpenTelemetry API, which does nothing until an
 * application registers an SDK. Attributes name what ran and under which bounds; inputs, results, targets, tokens and
 * principals never go into one.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Lease, LeaseConstraints, Logger, SessionId, TraceContext, TraceId } from "@arcp/core";
import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";

const TRACER_NAME = "@arcp/runtime";
/** Asked for each time: it is the application that registers a provider, whenever it likes. */
const tracer = (): Tracer => trace.getTracer(TRACER_NAME);

/** Has the application registered an SDK? Without one, what would go into a span is not even put together. */
function isTracing(): boolean {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer(TRACER_NAME) !== undefined;
}

/** The span of one connection's time with a session. */
export interface SessionSpan {
  end(reason: string): void;
}

/** Starts `arcp.session`, at the welcome, below what the client connected in; `undefined` if nobody listens. */
export function startSessionSpan(
  sessionId: SessionId,
  wire: string,
  caller: TraceContext | undefined,
): SessionSpan | undefined {
  if (!isTracing()) return undefined;
  const attributes = { "arcp.session_id": sessionId, "arcp.wire": wire };
  const options = { kind: SpanKind.SERVER, attributes };
  const span = tracer().startSpan("arcp.session", options, caller === undefined ? ROOT_CONTEXT : parentOf(caller));
  return {
    end(reason) {
      span.addEvent("arcp.session.detached", { "arcp.reason": reason });
      span.end();
    },
  };
}

/** What a job's span tells. */
export interface JobSpanFacts {
  readonly id: string;
  readonly sessionId: string;
  readonly agent: string;
  readonly agentRef: string;
  readonly parentJobId: string | undefined;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | undefined;
  readonly trace: TraceContext;
}

/** Starts `arcp.job`, when the agent is called; `undefined` if nobody listens. */
export const startJobSpan = (job: () => JobSpanFacts): JobSpan | undefined =>
  isTracing() ? new JobSpan(job()) : undefined;

/** The span of one job, and the context in which its agent runs: what the agent traces lies below it. */
class JobSpan {
  readonly #span: Span;

  constructor(job: JobSpanFacts) {
    const attributes = {
      "arcp.session_id": job.sessionId,
      "arcp.job_id": job.id,
      "arcp.agent": job.agentRef,
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": job.agent,
      ...(job.parentJobId && { "arcp.parent_job_id": job.parentJobId }),
      "arcp.lease.capabilities": Object.keys(job.lease),
      ...(job.leaseConstraints?.expires_at && { "arcp.lease.expires_at": job.leaseConstraints.expires_at }),
    };
    this.#span = tracer().startSpan("arcp.job", { kind: SpanKind.CONSUMER, attributes }, parentOf(job.trace));
  }

  /** 16 hexadecimal characters, if spans are recorded. */
  get spanId(): string | undefined {
    return this.#span.isRecording() ? this.#span.spanContext().spanId : undefined;
  }

  /** Calls `task` with this span as the active one. */
  run<Result>(task: () => Result): Result {
    return context.with(trace.setSpan(context.active(), this.#span), task);
  }

  event(name: string): void {
    this.#span.addEvent(name);
  }

  end(status: string, errorCode: string | undefined, budget: ReadonlyMap<string, number>): void {
    if (!this.#span.isRecording()) return;
    this.#span.setAttribute("arcp.job.status", status);
    if (budget.size > 0) {
      this.#span.setAttribute(
        "arcp.budget.remaining",
        [...budget].map(([currency, left]) => `${currency}:${left}`),
      );
    }
    fail(this.#span, errorCode);
    this.#span.end();
  }
}

/** Says what went wrong, by its code alone. */
function fail(span: Span, errorCode: string | undefined): void {
  if (errorCode === undefined) return;
  span.setAttribute("error.type", errorCode);
  span.setStatus({ code: SpanStatusCode.ERROR, message: errorCode });
}

/** The caller's span, which runs elsewhere. Without one, the trace alone is kept. */
function parentOf({ traceId, parentSpanId, traceState, isUnsampled = false }: TraceContext): Context {
  return trace.setSpanContext(ROOT_CONTEXT, {
    ...{ traceId, spanId: parentSpanId ?? spanIdOf(traceId), isRemote: true },
    traceFlags: isUnsampled ? TraceFlags.NONE : TraceFlags.SAMPLED,
    ...(traceState !== undefined && { traceState: createTraceState(traceState) }),
  });
}

/** Where work for a job stands: in the span that is active, if that is of the job's trace, otherwise in the job itself. */
export function positionIn(job: TraceContext): TraceContext {
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || active.traceId !== job.traceId || !isSpanContextValid(active)) return job;
  return { ...job, parentSpanId: active.spanId };
}

/**
 * Where a message that has just arrived stands: where it says, or in the span that its arrival is (`withTracing`), if that
 * is of the same trace or the message names none.
 */
export function receivedIn(said: TraceContext | undefined): TraceContext | undefined {
  const active = trace.getActiveSpan()?.spanContext();
  if (active === undefined || !isSpanContextValid(active)) return said;
  if (said !== undefined && said.traceId !== active.traceId) return said;
  const traceState = said?.traceState ?? active.traceState?.serialize();
  const isUnsampled = (active.traceFlags & TraceFlags.SAMPLED) === 0;
  return {
    ...{ traceId: active.traceId as TraceId, parentSpanId: active.spanId },
    ...(traceState && { traceState }),
    ...(isUnsampled && { isUnsampled }),
  };
}

/** What is put before the fields and the message of every record of a logger. */
type Amend = (fields: object, message: string | undefined) => readonly [object, string | undefined];

/** `logger`, whose records say in which span of the trace they were written, as `amend` leaves them. */
export function tracedLogger(logger: Logger, traceId: string, amend: Amend): Logger {
  const at = (level: "debug" | "info" | "warn" | "error") => (fields: object, message?: string) => {
    const active = trace.getActiveSpan()?.spanContext();
    const span = active?.traceId === traceId ? { spanId: active.spanId } : {};
    logger[level](...amend({ ...span, ...fields }, message));
  };
  return {
    ...{ debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
    child: (fields) => tracedLogger(logger.child(amend(fields, undefined)[0]), traceId, amend),
  };
}

/** What a span of a job's doing is about. */
export interface WorkSpanFacts {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  /** The job's own place. */
  readonly trace: TraceContext;
}

/** Starts a span of what a job does, below what is active in it; `undefined` if nobody listens. */
export function startWorkSpan(facts: () => WorkSpanFacts): WorkSpan | undefined {
  if (!isTracing()) return undefined;
  const { name, kind, attributes, trace: job } = facts();
  return new WorkSpan(tracer().startSpan(name, { kind, attributes }, parentOf(positionIn(job))));
}

/** The span of an operation, or of a delegation. */
class WorkSpan {
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
  }

  /** Calls `task` with this span as the active one. */
  run<Result>(task: () => Result): Result {
    return context.with(trace.setSpan(context.active(), this.#span), task);
  }

  /** Where what it leads to stands: `job`, below this span if it is recorded. */
  below(job: TraceContext): TraceContext {
    return this.#span.isRecording() ? { ...job, parentSpanId: this.#span.spanContext().spanId } : job;
  }

  tell(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  end(errorCode?: string): void {
    fail(this.#span, errorCode);
    this.#span.end();
  }
}

/** A span id that stands for a caller which named none: never all zeros, the same for the same trace. */
export const spanIdOf = (traceId: string): string => traceId.slice(16).replace(/^0{16}$/, "0000000000000001");

const SPAN_BYTES = 8;

/** The span id of a job on the wire, which follows from the job's own id: 16 hexadecimal characters. */
export const jobSpanIdOf = (jobId: string): string =>
  createHash("sha256")
    .update(jobId)
    .digest("hex")
    .slice(0, 2 * SPAN_BYTES);

/** A new span id: 16 hexadecimal characters, never all zeros. */
export const newSpanId = (): string =>
  spanIdOf(`${"0".repeat(2 * SPAN_BYTES)}${randomBytes(SPAN_BYTES).toString("hex")}`);

/** Starts a span of an agent's own, below the one that is active; `undefined` if nobody listens. */
export function startAgentSpan(name: string, attributes: Readonly<Record<string, unknown>>): AgentSpan | undefined {
  if (!isTracing()) return undefined;
  const told = Object.entries(attributes).filter(([, value]) => isAttribute(value));
  const span = tracer().startSpan(name, { attributes: Object.fromEntries(told) as Attributes });
  return {
    spanId: span.isRecording() ? span.spanContext().spanId : undefined,
    run: (task) => context.with(trace.setSpan(context.active(), span), task),
    end(errorCode) {
      fail(span, errorCode);
      span.end();
    },
  };
}

const isAttribute = (value: unknown): boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean";

/** A span that an agent has asked for. */
export interface AgentSpan {
  /** 16 hexadecimal characters, if spans are recorded. */
  readonly spanId: string | undefined;
  /** Calls `task` with this span as the active one. */
  run<Result>(task: () => Result): Result;
  end(errorCode: string | undefined): void;
}

export type { JobSpan, WorkSpan };
