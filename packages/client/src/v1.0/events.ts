/** What happens to an invocation, as its caller sees it: one type per kind, discriminated on `kind` (RFC §6.3). */
import type { JsonObject } from "@arcp/core";
import type { JobState10, LogLevel10, MessageOf10, PayloadOf10, RuntimeMessage10 } from "@arcp/core/v1.0";
import type { IncomingStream } from "./streams.ts";

/** Where an event belongs: what it takes to tell what led to what (RFC §6.4, §17.1). */
export interface ToolEventFacts {
  readonly jobId: string | undefined;
  /** The message's own id, which `causationId` of others names. */
  readonly messageId: string;
  /** When it happened, as the runtime wrote it (RFC 3339). */
  readonly ts: string | undefined;
  readonly sessionId: string | undefined;
  /** The command that it answers. */
  readonly correlationId: string | undefined;
  /** The message that led to it. */
  readonly causationId: string | undefined;
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly parentSpanId: string | undefined;
}

interface Bodies {
  readonly started: { readonly startedAt: string | undefined };
  readonly progress: Omit<PayloadOf10<"job.progress">, "job_id">;
  readonly log: { readonly level: LogLevel10; readonly message: string; readonly attributes: JsonObject };
  readonly metric: PayloadOf10<"metric">;
  readonly checkpoint: {
    readonly checkpointId: string;
    readonly label: string | undefined;
    readonly dataRef: string | undefined;
    readonly snapshot: unknown;
  };
  readonly state: { readonly state: JobState10 | (string & {}); readonly reason: string | undefined };
  readonly thought: {
    readonly content: string;
    readonly role: string | undefined;
    /** The runtime keeps the reasoning to itself, and says so (RFC §11.4). */
    readonly redacted: boolean;
    readonly streamId: string;
  };
  /** A stream was opened (RFC §11). Streams of thoughts are told as `thought`. */
  readonly stream: IncomingStream;
  readonly span: PayloadOf10<"trace.span">;
  readonly handoff: {
    readonly runtime: PayloadOf10<"agent.handoff">["to_runtime"];
    readonly reason: string | undefined;
  };
  /** `event.emit` of any other name. */
  readonly event: { readonly name: string; readonly value: unknown; readonly attributes: JsonObject };
}

/** What an event of an invocation tells of. */
export type ToolEventKind = keyof Bodies;

/** One event of an invocation. */
export type ToolEvent = {
  [Kind in ToolEventKind]: ToolEventFacts & { readonly kind: Kind; readonly body: Bodies[Kind] };
}[ToolEventKind];

/** The events of one kind. */
export type ToolEventOf<Kind extends ToolEventKind> = Extract<ToolEvent, { kind: Kind }>;

export function factsOf(message: RuntimeMessage10, jobId: string | undefined): ToolEventFacts {
  return {
    jobId: jobId ?? message.job_id,
    messageId: message.id,
    ts: message.timestamp,
    sessionId: message.session_id,
    correlationId: message.correlation_id,
    causationId: message.causation_id,
    traceId: message.trace_id,
    spanId: message.span_id,
    parentSpanId: message.parent_span_id,
  };
}

/** The event that a message tells of; `undefined` for messages that are none. Streams are told by their owner. */
export function toToolEvent(message: RuntimeMessage10, jobId: string | undefined): ToolEvent | undefined {
  const facts = factsOf(message, jobId);
  switch (message.type) {
    case "job.started":
      return { ...facts, kind: "started", body: { startedAt: message.payload.started_at ?? message.timestamp } };
    case "job.progress": {
      const { job_id: _job, ...body } = message.payload;
      return { ...facts, kind: "progress", body };
    }
    case "log": {
      const { level, message: text, attributes } = message.payload;
      return { ...facts, kind: "log", body: { level, message: text, attributes: attributes ?? {} } };
    }
    case "metric":
      return { ...facts, kind: "metric", body: message.payload };
    case "job.checkpoint": {
      const { checkpoint_id, label, data_ref, snapshot } = message.payload;
      return {
        ...facts,
        kind: "checkpoint",
        body: { checkpointId: checkpoint_id, label, dataRef: data_ref, snapshot },
      };
    }
    case "trace.span":
      return { ...facts, kind: "span", body: message.payload };
    case "agent.handoff":
      return {
        ...facts,
        kind: "handoff",
        body: { runtime: message.payload.to_runtime, reason: message.payload.reason },
      };
    case "event.emit":
      return toEmitted(facts, message);
    default:
      return undefined;
  }
}

function toEmitted(facts: ToolEventFacts, { payload }: MessageOf10<"event.emit">): ToolEvent {
  const { name, value, attributes } = payload;
  if (name === "job.state" && typeof value === "object" && value !== null && "state" in value) {
    const { state, reason } = value as { readonly state: unknown; readonly reason?: unknown };
    const why = typeof reason === "string" ? reason : undefined;
    return { ...facts, kind: "state", body: { state: String(state), reason: why } };
  }
  return { ...facts, kind: "event", body: { name, value, attributes } };
}
