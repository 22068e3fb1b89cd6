/** Every message of wire 1.0, by direction, and the decoders that turn a frame into one of them (RFC §6.2). */
import type { z } from "zod";
import { InvalidRequestError } from "../errors.ts";
import type { JsonObject } from "../frame.ts";
import { decodeAs } from "../messages/decode.ts";
import { isDraftVersion } from "../messages/envelope.ts";
import * as artifact from "./artifact.ts";
import * as control from "./control.ts";
import { type AnyMessage10, anyMessage10 } from "./envelope.ts";
import { CanonicalError } from "./errors.ts";
import * as human from "./human.ts";
import * as job from "./job.ts";
import * as permission from "./permission.ts";
import * as session from "./session.ts";
import * as stream from "./stream.ts";
import * as subscription from "./subscription.ts";
import * as telemetry from "./telemetry.ts";

/** What a client sends. */
const CLIENT_SCHEMAS = {
  "session.open": session.sessionOpen,
  "session.authenticate": session.sessionAuthenticate,
  "session.close": session.sessionClose,
  "session.resume": session.sessionResume,
  "session.ping": session.sessionPing,
  "session.pong": session.sessionPong,
  "session.ack": session.sessionAck,
  "session.list_jobs": job.sessionListJobs,
  ping: control.ping,
  pong: control.pong,
  ack: control.ack,
  nack: control.nack,
  cancel: control.cancel,
  interrupt: control.interrupt,
  resume: control.resume,
  backpressure: control.backpressure,
  "checkpoint.create": control.checkpointCreate,
  "checkpoint.restore": control.checkpointRestore,
  "tool.invoke": job.toolInvoke,
  "job.schedule": job.jobSchedule,
  "job.subscribe": job.jobSubscribe,
  "job.unsubscribe": job.jobUnsubscribe,
  "workflow.start": job.workflowStart,
  "agent.delegate": job.agentDelegate,
  "agent.handoff": job.agentHandoff,
  "human.input.response": human.humanInputResponse,
  "human.choice.response": human.humanChoiceResponse,
  "permission.grant": permission.permissionGrant,
  "permission.deny": permission.permissionDeny,
  "lease.refresh": permission.leaseRefresh,
  "lease.revoked": permission.leaseRevoked,
  subscribe: subscription.subscribe,
  unsubscribe: subscription.unsubscribe,
  "artifact.put": artifact.artifactPut,
  "artifact.fetch": artifact.artifactFetch,
  "artifact.release": artifact.artifactRelease,
} as const;

/** What a runtime sends. */
const RUNTIME_SCHEMAS = {
  "session.challenge": session.sessionChallenge,
  "session.accepted": session.sessionAccepted,
  "session.unauthenticated": session.sessionUnauthenticated,
  "session.rejected": session.sessionRejected,
  "session.refresh": session.sessionRefresh,
  "session.evicted": session.sessionEvicted,
  "session.close": session.sessionClose,
  "session.closed": session.sessionClosed,
  "session.resumed": session.sessionResumed,
  "session.ping": session.sessionPing,
  "session.pong": session.sessionPong,
  "session.jobs": job.sessionJobs,
  ping: control.ping,
  pong: control.pong,
  ack: control.ack,
  nack: control.nack,
  "cancel.accepted": control.cancelAccepted,
  "cancel.refused": control.cancelRefused,
  backpressure: control.backpressure,
  "tool.result": job.toolResult,
  "tool.error": job.toolError,
  "job.accepted": job.jobAccepted,
  "job.started": job.jobStarted,
  "job.progress": job.jobProgress,
  "job.heartbeat": job.jobHeartbeat,
  "job.checkpoint": job.jobCheckpoint,
  "job.completed": job.jobCompleted,
  "job.failed": job.jobFailed,
  "job.cancelled": job.jobCancelled,
  "job.result_chunk": job.jobResultChunk,
  "job.subscribed": job.jobSubscribed,
  "workflow.complete": job.workflowComplete,
  "agent.delegate": job.agentDelegate,
  "agent.handoff": job.agentHandoff,
  "stream.open": stream.streamOpen,
  "stream.chunk": stream.streamChunk,
  "stream.close": stream.streamClose,
  "stream.error": stream.streamError,
  "human.input.request": human.humanInputRequest,
  "human.input.response": human.humanInputResponse,
  "human.input.cancelled": human.humanInputCancelled,
  "human.choice.request": human.humanChoiceRequest,
  "human.choice.response": human.humanChoiceResponse,
  "permission.request": permission.permissionRequest,
  "lease.granted": permission.leaseGranted,
  "lease.extended": permission.leaseExtended,
  "lease.revoked": permission.leaseRevoked,
  "subscribe.accepted": subscription.subscribeAccepted,
  "subscribe.event": subscription.subscribeEvent,
  "subscribe.closed": subscription.subscribeClosed,
  unsubscribe: subscription.unsubscribe,
  "artifact.put": artifact.artifactPut,
  "artifact.ref": artifact.artifactReference,
  "event.emit": telemetry.eventEmit,
  log: telemetry.log,
  metric: telemetry.metric,
  "trace.span": telemetry.traceSpan,
} as const;

type ClientSchemas = typeof CLIENT_SCHEMAS;
type RuntimeSchemas = typeof RUNTIME_SCHEMAS;

/** The types of messages that a client sends. */
export type ClientMessageType10 = keyof ClientSchemas;
/** The types of messages that a runtime sends. */
export type RuntimeMessageType10 = keyof RuntimeSchemas;

/** Any message that a client sends, discriminated on `type`. */
export type ClientMessage10 = { [Type in ClientMessageType10]: z.output<ClientSchemas[Type]> }[ClientMessageType10];
/** Any message that a runtime sends, discriminated on `type`. */
export type RuntimeMessage10 = { [Type in RuntimeMessageType10]: z.output<RuntimeSchemas[Type]> }[RuntimeMessageType10];
/** Any message of wire 1.0, discriminated on `type`. */
export type Message10 = ClientMessage10 | RuntimeMessage10;
/** The message of a type. */
export type MessageOf10<Type extends Message10["type"]> = Extract<Message10, { type: Type }>;
/** The payload of a type. */
export type PayloadOf10<Type extends Message10["type"]> = MessageOf10<Type>["payload"];

/** The types that a runtime reads. */
export const CLIENT_TYPES: ReadonlySet<string> = new Set(Object.keys(CLIENT_SCHEMAS));
/** The types that a client reads. */
export const RUNTIME_TYPES: ReadonlySet<string> = new Set(Object.keys(RUNTIME_SCHEMAS));

/** How strictly messages of wire 1.0 are read. */
export interface DecodeOptions10 {
  /** Reads messages without the timestamp that RFC §6.1.1 asks for. Default: refuses them. */
  readonly allowMissingTimestamp?: boolean;
}

/**
 * `frame` as a message that a client may send. Throws {@link InvalidRequestError} that names the first wrong member, and
 * {@link CanonicalError} `UNIMPLEMENTED` for another major version of the protocol.
 */
export const decodeClientMessage10 = (frame: JsonObject, options: DecodeOptions10 = {}): ClientMessage10 =>
  decode<ClientMessage10>(CLIENT_SCHEMAS, frame, options);

/** `frame` as a message that a runtime may send. Throws as {@link decodeClientMessage10} does. */
export const decodeRuntimeMessage10 = (frame: JsonObject, options: DecodeOptions10 = {}): RuntimeMessage10 =>
  decode<RuntimeMessage10>(RUNTIME_SCHEMAS, frame, options);

/**
 * `frame` as a message of any type: extension messages, and messages of which only the envelope matters. Throws as
 * {@link decodeClientMessage10} does.
 */
export const decodeAnyMessage10 = (frame: JsonObject, options: DecodeOptions10 = {}): AnyMessage10 =>
  timed(decodeAs(anyMessage10, versioned(frame)), options);

function decode<Message extends { type: string; timestamp?: string | undefined }>(
  schemas: { readonly [Type in Message["type"]]: z.ZodType<Extract<Message, { type: Type }>> },
  frame: JsonObject,
  options: DecodeOptions10,
): Message {
  const { type } = versioned(frame);
  if (typeof type !== "string") throw refusal("type", "expected a string");
  const schema: z.ZodType<Message> | undefined = isTypeOf(schemas, type) ? schemas[type] : undefined;
  if (schema === undefined) throw refusal("type", "is not a type of this direction", type);
  return timed(decodeAs(schema, frame), options);
}

const isTypeOf = <Schemas extends object>(schemas: Schemas, type: string): type is keyof Schemas & string =>
  Object.hasOwn(schemas, type);

/** `frame`, if its version is one that this decodes: any `1.x` (RFC §6.1.1). */
function versioned(frame: JsonObject): JsonObject {
  const { arcp } = frame;
  if (typeof arcp === "string" && isDraftVersion(arcp)) return frame;
  if (typeof arcp === "string" && /^\d{1,4}(\.\d{1,4})?$/.test(arcp)) {
    throw new CanonicalError("UNIMPLEMENTED", "arcp: expected a version 1.x", { details: { path: "arcp" } });
  }
  throw refusal("arcp", "expected a version 1.x");
}

function timed<Message extends { timestamp?: string | undefined }>(
  message: Message,
  options: DecodeOptions10,
): Message {
  if (message.timestamp === undefined && options.allowMissingTimestamp !== true) {
    throw refusal("timestamp", "expected the sender's time (§6.1.1)");
  }
  return message;
}

const refusal = (path: string, problem: string, type?: string): InvalidRequestError =>
  new InvalidRequestError(`${path}: ${problem}`, {
    details: { ...(type === undefined ? {} : { type: type.slice(0, 128) }), path },
  });
