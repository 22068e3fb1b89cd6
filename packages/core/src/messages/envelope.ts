/** The envelope that every message travels in (§5.1). */
import { z } from "zod";
import { isId, type JobId, type MessageId, newMessageId, type SessionId } from "../ids.ts";

/** The wire version that this implementation speaks by default. */
export const WIRE_VERSION = "1.1";

/** `1`, `1.0`, `1.1` and any later `1.x` are one dialect (PROTOCOL.md, Envelope). */
export const isDraftVersion = (arcp: string): boolean => /^1(\.\d{1,4})?$/.test(arcp);

const id = z.string().refine(isId, "expected 1 to 128 printable ASCII characters");

/** The schema of a {@link MessageId}. */
export const messageId = id.transform((value) => value as MessageId);
/** The schema of a {@link SessionId}. */
export const sessionId = id.transform((value) => value as SessionId);
/** The schema of a {@link JobId}. */
export const jobId = id.transform((value) => value as JobId);

/** An integer that a double holds exactly, zero or more, and not the negative zero that JSON allows. */
export const counter = z
  .int()
  .nonnegative()
  .refine((value) => !Object.is(value, -0), "expected a non-negative integer");

/** A peer may write `null` for an optional member; it means that the member is absent. */
export const absentOr = <T extends z.ZodType>(schema: T) =>
  z
    .union([schema, z.null()])
    .optional()
    .transform((value) => (value === null ? undefined : value));

/** The schema of any JSON object. */
export const jsonObject = z.record(z.string(), z.unknown());

/**
 * The members that any message may carry. Everything else at the top level is ignored (§5.1). The trace is read
 * leniently by `parseTrace`: a malformed one never fails a request.
 */
export const envelopeBase = {
  arcp: z.string().min(1).max(16),
  id: messageId,
  session_id: sessionId.optional(),
  job_id: jobId.optional(),
  trace_id: z.unknown().optional(),
  traceparent: z.unknown().optional(),
  tracestate: z.unknown().optional(),
  extensions: jsonObject.optional(),
};

/** The schema of one message type: its name, and the schema of its payload in the envelope (§5.1). */
export const messageEnvelope = <Type extends string, Payload extends z.ZodType>(type: Type, payload: Payload) =>
  z.object({ ...envelopeBase, type: z.literal(type), payload });

/** A message as it is handed to {@link buildEnvelope}: what it says, and what it is about. */
export interface EnvelopeParts {
  readonly type: string;
  readonly payload: object;
  /** Default: {@link WIRE_VERSION}. */
  readonly arcp?: string;
  /** Default: a new one. */
  readonly id?: MessageId;
  readonly session_id?: string | undefined;
  readonly job_id?: string | undefined;
  readonly trace_id?: string | undefined;
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/** A message as one frame carries it, with a version and an id. What is `undefined` is left out by `JSON.stringify`. */
export const buildEnvelope = <Parts extends EnvelopeParts>(
  parts: Parts,
): Parts & { readonly arcp: string; readonly id: MessageId } => ({ arcp: WIRE_VERSION, id: newMessageId(), ...parts });
