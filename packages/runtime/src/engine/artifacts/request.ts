/** What is asked of artifacts, checked: nothing of it is believed before it is looked at. */
import { InvalidRequestError, type JobId, type SessionId } from "@arcp/core";
import { type ArtifactCaps, type ArtifactRetention, exhausted } from "./caps.ts";

export interface PutArtifact {
  /** Whose it will be. */
  readonly principal: string;
  /** Named by its URI. */
  readonly sessionId: SessionId;
  /** The job that made it. */
  readonly jobId?: JobId | undefined;
  /** `type/subtype`, with or without parameters; printable ASCII. */
  readonly mediaType: string;
  /** Read once, a piece at a time, or not at all if the request is refused before. */
  readonly data: Uint8Array | AsyncIterable<Uint8Array>;
  /** What the content must turn out to be: hexadecimal. */
  readonly sha256?: string | undefined;
  /** What the content must turn out to have, in bytes. */
  readonly size?: number | undefined;
  /** How long to keep it. Clamped to the longest retention. Default: the retention's. */
  readonly ttlSeconds?: number | undefined;
  /**
   * A name that the principal has not given to another: a letter or digit, then letters, digits, `.`, `_`, `~`, `-`; at
   * most 128. Default: a new one.
   */
  readonly artifactId?: string | undefined;
  /** Gives the put up: it rejects with the signal's reason, and nothing is left of it. */
  readonly signal?: AbortSignal | undefined;
}

/** A range of bytes. What reaches beyond the end is cut there. */
export interface ArtifactRange {
  /** Default: 0. */
  readonly offset?: number | undefined;
  /** Default: all that follows. */
  readonly length?: number | undefined;
}

const ARTIFACT_ID = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?: *;[\\x20-\\x7e]*)?$`);
const MAX_MEDIA_TYPE_LENGTH = 255;
const SHA256 = /^[0-9a-fA-F]{64}$/;

const invalid = (member: string, must: string): InvalidRequestError =>
  new InvalidRequestError(`${member} must be ${must}`, { details: { member } });

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Throws {@link InvalidRequestError} for what no artifact can be called. */
export function assertArtifactId(artifactId: string): void {
  if (typeof artifactId === "string" && ARTIFACT_ID.test(artifactId)) return;
  throw invalid("artifact_id", "a letter or digit, then up to 127 of A-Z a-z 0-9 . _ ~ -");
}

/** Throws {@link InvalidRequestError} for a request that is none, and {@link InternalError} for a size beyond the cap. */
export function assertPut(request: PutArtifact, { maxArtifactBytes }: ArtifactCaps): void {
  const { artifactId, mediaType, sha256, size, ttlSeconds } = request;
  if (artifactId !== undefined) assertArtifactId(artifactId);
  if (typeof mediaType !== "string" || mediaType.length > MAX_MEDIA_TYPE_LENGTH || !MEDIA_TYPE.test(mediaType)) {
    throw invalid("media_type", "type/subtype");
  }
  if (sha256 !== undefined && !SHA256.test(sha256)) throw invalid("sha256", "64 hexadecimal digits");
  if (ttlSeconds !== undefined && !(Number.isFinite(ttlSeconds) && ttlSeconds > 0)) {
    throw invalid("ttl_seconds", "a positive number");
  }
  if (size === undefined) return;
  if (!isCount(size)) throw invalid("size", "a non-negative integer");
  if (size > maxArtifactBytes) throw exhausted("maxArtifactBytes", maxArtifactBytes, "never");
}

/** In milliseconds. */
export function lifetimeOf(ttlSeconds: number | undefined, retention: ArtifactRetention): number {
  return Math.ceil(Math.min(ttlSeconds ?? retention.default_seconds, retention.max_seconds) * 1000);
}

/** The range that is meant. Throws {@link InvalidRequestError}; with `details.code` OUT_OF_RANGE if it begins beyond the end. */
export function rangeWithin(size: number, { offset = 0, length }: ArtifactRange): { offset: number; length: number } {
  if (!isCount(offset)) throw invalid("offset", "a non-negative integer");
  if (length !== undefined && !isCount(length)) throw invalid("length", "a non-negative integer");
  if (offset > size) {
    throw new InvalidRequestError(`the artifact ends at ${size}`, { details: { code: "OUT_OF_RANGE", offset, size } });
  }
  return { offset, length: Math.min(length ?? size, size - offset) };
}
