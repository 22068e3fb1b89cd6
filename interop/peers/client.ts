/** How a client of another SDK writes its frames, and how it reads ours. */
import { randomBytes, randomUUID } from "node:crypto";
import { newMessageId } from "@arcp/core";
import type { Frame, Rules } from "./rules.ts";

/** What a client sends: the rest of the envelope is the same for all. */
export interface Outgoing {
  readonly type: string;
  readonly payload: object;
  /** Further members of the envelope, which replace those of {@link PeerClient.envelope}. */
  readonly members?: object;
}

export interface ResumePoint {
  readonly sessionId: string;
  readonly resumeToken: string;
  readonly lastEventSeq: number;
}

export interface PeerClient {
  readonly name: string;
  readonly newId: () => string;
  /** Members of every envelope besides `arcp`, `id`, `type` and `payload`. */
  readonly envelope: (sessionId: string | undefined) => object;
  readonly hello: (token: string) => Outgoing;
  /** The first frame of a connection that takes a session up again. */
  readonly resume: (token: string, point: ResumePoint) => Outgoing;
  readonly submit: (agent: string, input: unknown) => Outgoing;
  readonly cancel: (jobId: string) => Outgoing;
  readonly subscribe: (jobId: string) => Outgoing;
  readonly list: () => Outgoing;
  readonly goodbye: Outgoing;
  /** What the client waits for after {@link goodbye}, if for anything. */
  readonly afterGoodbye: string | undefined;
  /** Is `frame` the answer to the request `requestId`, in this client's eyes? `isKnown`: it has heard of the job. */
  readonly isReply: (frame: Frame, requestId: string, isKnown: (jobId: string) => boolean) => boolean;
  readonly resultOf: (payload: { readonly [member: string]: unknown }) => unknown;
  readonly rules: Rules;
}

export const FEATURES: readonly string[] = [
  "heartbeat",
  "ack",
  "list_jobs",
  "subscribe",
  "lease_expires_at",
  "cost.budget",
  "progress",
  "result_chunk",
  "agent_versions",
  "model.use",
  "provisioned_credentials",
];

export const bearer = (token: string): object => ({ scheme: "bearer", token });
export const prefixedUlid = (): string => newMessageId();
export const bareUlid = (): string => newMessageId().slice("msg_".length);
export const newTrace = (): string => randomBytes(16).toString("hex");

export function uuidV7(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  const rest = randomUUID().slice(14);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(1)}`;
}
