/** The envelope that every message of wire 1.0 travels in (RFC §6.1). */
import { z } from "zod";
import { type MessageId, newMessageId, ulid } from "../ids.ts";
import { absentOr, counter, jobId, jsonObject, messageId, sessionId } from "../messages/envelope.ts";
import { isNamespaced } from "./names.ts";

/** The version that this implementation writes, unless the peer's first frame had another `1.x`. */
export const WIRE_VERSION_10 = "1.0";

/** The priorities, lowest first (RFC §6.5). */
export const PRIORITIES = ["low", "normal", "high", "critical"] as const;
/** How much a message may wait (RFC §6.5). A message that does not say is `normal`. */
export type Priority = (typeof PRIORITIES)[number];

/** 0 for `low` to 3 for `critical`; an absent priority is `normal` (RFC §13.2). */
export const priorityRank = (priority: Priority | undefined): number => PRIORITIES.indexOf(priority ?? "normal");

/** Other SDKs write a word as an object that names it: `{"type":"high"}`. */
const unwrapped = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "type" in value ? value.type : value;

/** One of `words`. */
export const word = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.preprocess(unwrapped, z.enum(words));

/** A word that the protocol leaves open. */
export const openWord = z.preprocess(unwrapped, z.string().min(1).max(128));

/** The id of a stream, subscription, lease, artifact, checkpoint, challenge: 1 to 128 printable ASCII characters. */
export const entityId = messageId.transform((id): string => id);

/** RFC 3339 with a zone. */
export const instant = z
  .string()
  .max(64)
  .pipe(z.iso.datetime({ offset: true }));

/** A member that may be anything; `null` is nothing. */
export const anything = z
  .unknown()
  .optional()
  .transform((value) => value ?? undefined);

/** A short text of the sender's. */
export const text = (maxLength: number) => absentOr(z.string().max(maxLength));
export const reason = text(1024);

/** A trace or span id, read leniently: what is malformed is no reason to refuse a message. */
const traceName = absentOr(entityId).catch(undefined);

/** Members that somebody added: every name is namespaced, but for `optional` (RFC §21.1, §21.3). */
const extensions = jsonObject.superRefine((members, context) => {
  const bare = Object.keys(members).find((name) => name !== "optional" && !isNamespaced(name));
  if (bare !== undefined) {
    context.addIssue({ code: "custom", path: [bare], message: "expected a namespaced name (§21.1)" });
  }
});

/** The members of RFC §6.1.1, apart from type and payload. Everything else at the top level is ignored. */
const envelopeBase10 = {
  arcp: z.string().min(1).max(16),
  id: messageId,
  timestamp: absentOr(instant),
  source: text(256),
  target: text(256),
  session_id: absentOr(sessionId),
  job_id: absentOr(jobId),
  stream_id: absentOr(entityId),
  subscription_id: absentOr(entityId),
  trace_id: traceName,
  span_id: traceName,
  parent_span_id: traceName,
  correlation_id: absentOr(messageId),
  causation_id: absentOr(messageId),
  idempotency_key: absentOr(z.string().min(1).max(512)),
  priority: absentOr(word(PRIORITIES)),
  extensions: absentOr(extensions),
  /** Another SDK's number of the message in its session. */
  event_seq: absentOr(counter).catch(undefined),
};

/** Any message of wire 1.0, whatever its type: what is known of it before its type is. */
export const anyMessage10 = z.object({ ...envelopeBase10, type: z.string().min(1).max(256), payload: jsonObject });
/** The members that every message of wire 1.0 has (RFC §6.1), its payload unread. */
export type AnyMessage10 = z.infer<typeof anyMessage10>;

/** The schema of one message type: its name, and the schema of its payload in the envelope. */
export const message10 = <Type extends string, Payload extends z.ZodType>(type: Type, payload: Payload) =>
  z.object({ ...envelopeBase10, type: z.literal(type), payload });

/** For a member that may be in two places: `value`, or an issue that names the first of them. */
export function needed<Value>(value: Value | undefined, path: readonly string[], context: z.RefinementCtx): Value {
  if (value !== undefined) return value;
  context.addIssue({ code: "custom", path: [...path], message: "expected a value" });
  return z.NEVER;
}

/** A new id: `str_` and a ULID. */
export const newStreamId = (): string => `str_${ulid()}`;
/** A new id: `sub_` and a ULID. */
export const newSubscriptionId = (): string => `sub_${ulid()}`;
/** A new id: `lease_` and a ULID. */
export const newLeaseId = (): string => `lease_${ulid()}`;
/** A new id: `art_` and a ULID. */
export const newArtifactId = (): string => `art_${ulid()}`;
/** A new id: `chk_` and a ULID. */
export const newCheckpointId = (): string => `chk_${ulid()}`;

/** A message as it is handed to {@link buildEnvelope10}: what it says, and what it is about. */
export interface EnvelopeParts10 {
  readonly type: string;
  readonly payload: object;
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  /** Default: {@link WIRE_VERSION_10}. */
  readonly arcp?: string;
  /** Default: a new one. */
  readonly id?: string;
  readonly source?: string | undefined;
  readonly target?: string | undefined;
  readonly session_id?: string | undefined;
  readonly job_id?: string | undefined;
  readonly stream_id?: string | undefined;
  readonly subscription_id?: string | undefined;
  readonly trace_id?: string | undefined;
  readonly span_id?: string | undefined;
  readonly parent_span_id?: string | undefined;
  readonly correlation_id?: string | undefined;
  readonly causation_id?: string | undefined;
  readonly idempotency_key?: string | undefined;
  /** Left out when `normal`, which is what it then means (RFC §6.5). */
  readonly priority?: Priority | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/** A message as one frame carries it. What is `undefined` is left out by `JSON.stringify`. */
export const buildEnvelope10 = <Parts extends EnvelopeParts10>(
  parts: Parts,
): Parts & { readonly arcp: string; readonly id: MessageId } => ({
  arcp: WIRE_VERSION_10,
  id: newMessageId(),
  ...parts,
});
