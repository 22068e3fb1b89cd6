/** RFC §16: `artifact.put`, `artifact.fetch`, `artifact.release`. */
import { InvalidRequestError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { bySession } from "../../../engine/audit/audit.ts";
import { ack, type Command, requireCapability } from "./command.ts";

/** What one message may hold of a content; a larger one is fetched in ranges. */
const MAX_PART_BYTES = 512 * 1024;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

export const artifactPut: Command<"artifact.put"> = async (message, caller, reply) => {
  requireCapability(caller, "artifacts");
  const { artifact_id, media_type, data, encoding, size, sha256, ttl_seconds } = message.payload;
  const bytes = encoding === "sidecar" ? await caller.binaryOf(message.id) : decoded(data ?? "");
  const ref = await caller.engine.artifacts.put({
    ...{ principal: caller.principal, sessionId: caller.session.id, artifactId: artifact_id, mediaType: media_type },
    ...{ data: bytes, size, sha256: sha256?.replace(/^sha256:/, ""), ttlSeconds: ttl_seconds },
  });
  const payload = caller.profile.nestsRef ? { ...ref, artifact: ref } : ref;
  reply(() => void caller.outbox.reply(message, "artifact.ref", payload));
};

/** A content is answered with `artifact.put`: no other message fits (PROTOCOL.md, Artifacts). */
export const artifactFetch: Command<"artifact.fetch"> = async (message, caller, reply) => {
  requireCapability(caller, "artifacts");
  const { artifact_id, offset, length } = message.payload;
  const { artifacts, access } = caller.engine;
  const reader = {
    ...bySession(caller.session),
    seesAllOf: (owner: string) => access.seesAllOf(caller.session, owner),
  };
  const whole = await artifacts.fetch(caller.principal, artifact_id, { offset, length }, reader);
  if (length === undefined && whole.length > MAX_PART_BYTES) {
    const details = { size: whole.ref.size, max: MAX_PART_BYTES };
    throw new CanonicalError("RESOURCE_EXHAUSTED", "too large for one message: fetch it in ranges", {
      retryable: false,
      details,
    });
  }
  const part = Math.min(whole.length, MAX_PART_BYTES);
  const fetched =
    part === whole.length
      ? whole
      : await artifacts.fetch(caller.principal, artifact_id, { offset, length: part }, reader);
  const pieces: Uint8Array[] = [];
  for await (const piece of fetched.data) pieces.push(piece);
  const { ref } = fetched;
  const range = offset === undefined && length === undefined ? {} : { offset: fetched.offset, length: fetched.length };
  const payload = { ...ref, data: Buffer.concat(pieces).toString("base64"), encoding: "base64", ...range };
  reply(() => void caller.outbox.reply(message, caller.profile.fetchesRef ? "artifact.ref" : "artifact.put", payload));
};

export const artifactRelease: Command<"artifact.release"> = async (message, caller, reply) => {
  requireCapability(caller, "artifacts");
  const { artifact_id } = message.payload;
  await caller.engine.artifacts.release(caller.principal, artifact_id, bySession(caller.session));
  reply(() => ack(caller, message, { artifact_id, detail: "released" }));
};

function decoded(data: string): Uint8Array {
  if (!BASE64.test(data)) throw new InvalidRequestError("payload.data: expected base64");
  return Buffer.from(data, "base64");
}
