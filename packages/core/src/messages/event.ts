/** The kinds of `job.event` and what their bodies hold (§8.2, §8.4, §10.1). */
import { z } from "zod";
import type { ErrorPayload } from "../errors.ts";
import { jsonObject } from "./envelope.ts";

const finite = z.number();

/** The levels of log events (§8.2), least important first. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
/** How much a log event matters (§8.2). */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The error of a `tool_result`, `job.error` or `session.error`, as peers send it. */
export const errorPayload = z.looseObject({
  code: z.string().min(1),
  message: z.string().default(""),
  retryable: z.boolean().default(false),
  details: jsonObject.nullish().transform((value) => value ?? undefined),
});

/** The schema of {@link LogBody}, with any level. */
export const logBody = z.looseObject({ level: z.string(), message: z.string(), attributes: jsonObject.optional() });
/** The schema of a `thought` event's body (§8.2). */
export const thoughtBody = z.looseObject({ text: z.string() });
/** The schema of {@link ToolCallBody}. */
export const toolCallBody = z.looseObject({ tool: z.string(), args: z.unknown().optional(), call_id: z.string() });
/** The schema of a `tool_result` event's body: a result or an error (§8.2). */
export const toolResultBody = z
  .looseObject({ call_id: z.string(), result: z.unknown().optional(), error: errorPayload.optional() })
  .refine((body) => body.result === undefined || body.error === undefined, "result and error exclude each other");
/** The schema of a `status` event's body (§8.2). */
export const statusBody = z.looseObject({ phase: z.string(), message: z.string().optional() });
/** The schema of {@link MetricPayload}. */
export const metricBody = z.looseObject({
  name: z.string(),
  value: finite,
  unit: z.string().optional(),
  dimensions: jsonObject.optional(),
});
/** The schema of {@link ArtifactRefBody}. */
export const artifactRefBody = z.looseObject({
  uri: z.string(),
  content_type: z.string(),
  byte_size: z.number().nonnegative().optional(),
  sha256: z.string().optional(),
});
/** The schema of {@link DelegateBody}. */
export const delegateBody = z.looseObject({
  agent: z.string(),
  delegate_id: z.string().optional(),
  input: z.unknown().optional(),
  lease_request: z.record(z.string(), z.array(z.string())).optional(),
  lease_constraints: z.looseObject({ expires_at: z.string().optional() }).optional(),
});
/** The schema of {@link ProgressBody}. */
export const progressBody = z.looseObject({
  current: finite.nonnegative(),
  total: finite.nonnegative().optional(),
  units: z.string().optional(),
  message: z.string().optional(),
});
/** The schema of {@link ResultChunkBody}. */
export const resultChunkBody = z.looseObject({
  result_id: z.string(),
  chunk_seq: z.int().nonnegative(),
  data: z.string(),
  encoding: z.enum(["utf8", "base64"]),
  more: z.boolean(),
});

/** The ten reserved kinds, each with the schema of its body. */
export const EVENT_BODIES = {
  log: logBody,
  thought: thoughtBody,
  tool_call: toolCallBody,
  tool_result: toolResultBody,
  status: statusBody,
  metric: metricBody,
  artifact_ref: artifactRefBody,
  delegate: delegateBody,
  progress: progressBody,
  result_chunk: resultChunkBody,
} as const;

/** A reserved kind of event (§8.2). */
export type EventKind = keyof typeof EVENT_BODIES;
/** The reserved kinds (§8.2). */
export const EVENT_KINDS = Object.keys(EVENT_BODIES) as readonly EventKind[];
/** Is it a reserved kind (§8.2)? */
export const isEventKind = (kind: string): kind is EventKind => Object.hasOwn(EVENT_BODIES, kind);

/** Kinds that other parties define: `x-vendor.<vendor>.<name>` (§8.2, §15). */
export const isVendorName = (name: string): boolean => /^x-vendor\.[a-z0-9_-]+(\.[a-zA-Z0-9_-]+)+$/.test(name);

/** The body of a reserved kind of event (§8.2). */
export type EventBody<Kind extends EventKind> = z.infer<(typeof EVENT_BODIES)[Kind]>;

/** A line that the agent has logged (§8.2). */
export type LogBody = EventBody<"log">;
/** An operation that has begun (§8.2). */
export type ToolCallBody = EventBody<"tool_call">;
/** As an agent gives it (§8.2): `result`, `error`, or neither, which is `null`. What an error leaves out is filled in. */
export interface ToolResultBody {
  readonly call_id: string;
  readonly result?: unknown;
  readonly error?: Pick<ErrorPayload, "code"> & Partial<ErrorPayload>;
  readonly [member: string]: unknown;
}
/** A number that the agent has measured or spent (§8.2, §9.6). */
export type MetricPayload = EventBody<"metric">;
/** An artifact that the job has made (§8.2). */
export type ArtifactRefBody = EventBody<"artifact_ref">;
/** A child job that the job has started (§10). */
export type DelegateBody = EventBody<"delegate">;
/** How far the job has come (§8.2.1). */
export type ProgressBody = EventBody<"progress">;
/** A piece of a result that is streamed (§8.4). */
export type ResultChunkBody = EventBody<"result_chunk">;
