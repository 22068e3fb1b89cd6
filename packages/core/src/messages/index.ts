/** Every message of wire 1.1, by direction, and the decoders that turn a frame into one of them. */
import { z } from "zod";
import type { JsonObject } from "../frame.ts";
import { agentDescribe, agentDescription, jobCheck, jobChecked, jobDescribe, jobDescription } from "./agent.ts";
import { decodeAs } from "./decode.ts";
import {
  answerAck,
  answerLink,
  humanChoiceResponse,
  humanInputResponse,
  permissionDeny,
  permissionGrant,
} from "./interaction.ts";
import {
  jobAccepted,
  jobCancel,
  jobCancelled,
  jobError,
  jobEvent,
  jobResult,
  jobSubmit,
  jobSubscribe,
  jobSubscribed,
  jobUnsubscribe,
} from "./job.ts";
import {
  sessionAck,
  sessionBye,
  sessionClose,
  sessionClosed,
  sessionError,
  sessionHello,
  sessionJobs,
  sessionListJobs,
  sessionPing,
  sessionPong,
  sessionResume,
  sessionWelcome,
} from "./session.ts";

/** What a client sends. */
export const clientMessage = z.discriminatedUnion("type", [
  sessionHello,
  sessionResume,
  sessionPing,
  sessionPong,
  sessionAck,
  sessionListJobs,
  sessionClose,
  sessionBye,
  jobSubmit,
  jobCancel,
  jobSubscribe,
  jobUnsubscribe,
  humanInputResponse,
  humanChoiceResponse,
  permissionGrant,
  permissionDeny,
  answerLink,
  agentDescribe,
  jobCheck,
  jobDescribe,
]);

/** What a runtime sends. */
export const runtimeMessage = z.discriminatedUnion("type", [
  jobEvent,
  jobResult,
  jobError,
  jobAccepted,
  jobCancelled,
  jobSubscribed,
  sessionWelcome,
  sessionError,
  sessionPing,
  sessionPong,
  sessionJobs,
  sessionClosed,
  sessionBye,
  answerAck,
  agentDescription,
  jobChecked,
  jobDescription,
]);

/** Any message that a client sends, discriminated on `type`. */
export type ClientMessage = z.infer<typeof clientMessage>;
/** Any message that a runtime sends, discriminated on `type`. */
export type RuntimeMessage = z.infer<typeof runtimeMessage>;
/** Any message of wire 1.1, discriminated on `type`. */
export type Envelope = ClientMessage | RuntimeMessage;

/** The types of messages that a client sends. */
export type ClientMessageType = ClientMessage["type"];
/** The types of messages that a runtime sends. */
export type RuntimeMessageType = RuntimeMessage["type"];
/** The message of a type. */
export type MessageOf<Type extends Envelope["type"]> = Extract<Envelope, { type: Type }>;

const types = (union: { options: readonly { shape: { type: { value: string } } }[] }): ReadonlySet<string> =>
  new Set(union.options.map((option) => option.shape.type.value));

/** The types of messages that a client sends. */
export const CLIENT_MESSAGE_TYPES = types(clientMessage);
/** The types of messages that a runtime sends. */
export const RUNTIME_MESSAGE_TYPES = types(runtimeMessage);

/** Messages that may come before the session exists. */
export const isPreSessionType = (type: string): boolean => type === "session.hello" || type === "session.resume";

/** `frame` as a message that a client may send. Throws `InvalidRequestError` that names the first wrong member. */
export const decodeClientMessage = (frame: JsonObject): ClientMessage => decodeAs(clientMessage, frame);

/** `frame` as a message that a runtime may send. Throws `InvalidRequestError` that names the first wrong member. */
export const decodeRuntimeMessage = (frame: JsonObject): RuntimeMessage => decodeAs(runtimeMessage, frame);

export { PERMISSIONS_MEMBER } from "./agent.ts";
export * from "./envelope.ts";
export * from "./event.ts";
export { ANSWER_EVENT, answerBody, QUESTION_EVENT, questionBody } from "./interaction.ts";
export * from "./job.ts";
export * from "./session.ts";
