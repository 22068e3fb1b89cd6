/** Every message of wire 1.1, by direction, and the decoders that turn a frame into one of them. */
import { z } from "zod";
import { InvalidRequestError } from "../errors.ts";
import type { JsonObject } from "../frame.ts";
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
]);

export type ClientMessage = z.infer<typeof clientMessage>;
export type RuntimeMessage = z.infer<typeof runtimeMessage>;
/** Any message of wire 1.1, discriminated on `type`. */
export type Envelope = ClientMessage | RuntimeMessage;

export type ClientMessageType = ClientMessage["type"];
export type RuntimeMessageType = RuntimeMessage["type"];
export type MessageOf<Type extends Envelope["type"]> = Extract<Envelope, { type: Type }>;

const types = (union: { options: readonly { shape: { type: { value: string } } }[] }): ReadonlySet<string> =>
  new Set(union.options.map((option) => option.shape.type.value));

export const CLIENT_MESSAGE_TYPES = types(clientMessage);
export const RUNTIME_MESSAGE_TYPES = types(runtimeMessage);

/** Messages that may come before the session exists. */
export const isPreSessionType = (type: string): boolean => type === "session.hello" || type === "session.resume";

/** `frame` as a message that a client may send. Throws {@link InvalidRequestError} that names the first wrong member. */
export const decodeClientMessage = (frame: JsonObject): ClientMessage => decodeAs(clientMessage, frame);

/** `frame` as a message that a runtime may send. Throws {@link InvalidRequestError} that names the first wrong member. */
export const decodeRuntimeMessage = (frame: JsonObject): RuntimeMessage => decodeAs(runtimeMessage, frame);

/** Characters of the sender's own text that a refusal repeats: paths and problems name members, which may be long. */
const MAX_REPEATED = 256;

type Issue = z.core.$ZodIssue;

/**
 * What is wrong inside a member that may also be absent: the issue of the branch that was meant, not that no branch fits.
 * That branch is the one that got furthest.
 */
function innermost(issue: Issue): Issue {
  if (issue.code !== "invalid_union") return issue;
  const branches = issue.errors.flatMap((issues) => (issues[0] ? [innermost(issues[0])] : []));
  const furthest = branches.reduce<Issue | undefined>(
    (best, branch) => (best === undefined || branch.path.length > best.path.length ? branch : best),
    undefined,
  );
  return furthest === undefined ? issue : { ...furthest, path: [...issue.path, ...furthest.path] };
}

function decodeAs<Schema extends z.ZodType>(schema: Schema, frame: JsonObject): z.infer<Schema> {
  const parsed = schema.safeParse(frame);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0] && innermost(parsed.error.issues[0]);
  const path = (issue?.path ?? []).map(String).join(".").slice(0, MAX_REPEATED);
  const type = typeof frame["type"] === "string" ? frame["type"].slice(0, 128) : undefined;
  const problem = (issue?.message ?? "not valid").slice(0, MAX_REPEATED);
  throw new InvalidRequestError(`${path === "" ? "the message" : path}: ${problem}`, {
    details: { ...(type === undefined ? {} : { type }), ...(path === "" ? {} : { path }) },
  });
}

export * from "./envelope.ts";
export * from "./event.ts";
export * from "./job.ts";
export * from "./session.ts";
