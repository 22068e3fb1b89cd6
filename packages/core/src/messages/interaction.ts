/**
 * Answers to what jobs ask people (RFC §12, §15.4), as wire 1.1 carries them: messages of this project's own, for sessions
 * that negotiated `x-vendor.arcp.rfc0001`. The questions come as events of kind `x-vendor.arcp.question`.
 */
import { z } from "zod";
import { absentOr, jsonObject, messageEnvelope } from "./envelope.ts";

const text = (maxLength: number) => absentOr(z.string().max(maxLength));

/** The question, `q_<ULID>`. */
const request_id = z.string().min(1).max(128);
const instant = z.iso.datetime({ offset: true }).max(64);
const provenance = { responded_by: text(256), responded_at: text(64) };
/** What a decision says that it is about; it has to be what was asked. */
const scope = { permission: text(1024), resource: text(4096), operation: text(1024) };

/** `null` is a value. */
export const humanInputResponse = messageEnvelope(
  "x-vendor.arcp.human.input.response",
  z.object({
    request_id,
    value: z.unknown().refine((value) => value !== undefined, "expected a value"),
    ...provenance,
  }),
);

export const humanChoiceResponse = messageEnvelope(
  "x-vendor.arcp.human.choice.response",
  z.object({ request_id, choice_id: z.string().min(1).max(128), ...provenance }),
);

export const permissionGrant = messageEnvelope(
  "x-vendor.arcp.permission.grant",
  z.object({
    ...{ request_id, ...scope },
    lease_seconds: absentOr(z.number().positive()),
    expires_at: absentOr(instant),
    granted_by: text(256),
  }),
);

export const permissionDeny = messageEnvelope(
  "x-vendor.arcp.permission.deny",
  z.object({ request_id, ...scope, reason: text(1024), denied_by: text(256) }),
);

/** Asks for a link by which somebody else can answer the question, once. */
export const answerLink = messageEnvelope(
  "x-vendor.arcp.answer_link",
  z.object({ request_id, expires_in_seconds: absentOr(z.number().positive().max(604_800)) }),
);

/**
 * What became of an answer: it `applied`, it was `counted` among others, or it came too late and was `ignored`; or the link that
 * was asked for: `linked`.
 */
export const answerAck = messageEnvelope(
  "x-vendor.arcp.ack",
  z.looseObject({
    status: z.string(),
    request_id: absentOr(z.string()),
    token: absentOr(z.string()),
    expires_at: absentOr(z.string()),
  }),
);

/** The kinds of the events by which questions and their ends are told. */
export const QUESTION_EVENT = "x-vendor.arcp.question";
/** The kind of the event that tells how a question ended, for sessions that negotiated {@link EXTENSION_FEATURE}. */
export const ANSWER_EVENT = "x-vendor.arcp.answer";

const openText = absentOr(z.string());
const asked = {
  id: z.string().min(1).max(128),
  expires_at: openText,
  destinations: absentOr(z.array(z.string())),
  quorum: absentOr(z.number()),
};

/** The body of a question's event. */
export const questionBody = z.discriminatedUnion("question", [
  z.looseObject({
    ...asked,
    question: z.literal("input"),
    prompt: z.string(),
    response_schema: absentOr(jsonObject),
    default: z.unknown().optional(),
  }),
  z.looseObject({
    ...asked,
    question: z.literal("choice"),
    prompt: z.string(),
    options: z.array(z.looseObject({ id: z.string(), label: z.string(), description: openText })),
    default: openText,
  }),
  z.looseObject({
    ...asked,
    question: z.literal("permission"),
    permission: z.string(),
    resource: z.string(),
    operation: z.string(),
    reason: openText,
    requested_lease_seconds: absentOr(z.number()),
  }),
]);

/** The body of the event that tells of a question's end. */
export const answerBody = z.looseObject({
  id: z.string().min(1).max(128),
  outcome: z.string(),
  responded_by: openText,
  responded_at: openText,
  message: openText,
});
