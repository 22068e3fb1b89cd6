/** What is known of an artifact: its reference, its record, and the names of both (RFC §16.1). */
import { createHash } from "node:crypto";
import type { JobId, SessionId } from "@arcp/core";
import type { StoredBlob } from "../../store/blobs.ts";
import type { StoredRecord } from "../../store/store.ts";
import { timestamp } from "../entry-text.ts";

/** The canonical pointer to an artifact, spelled as peers see it. */
export interface ArtifactRef {
  readonly artifact_id: string;
  /** `arcp://session/<session_id>/artifact/<artifact_id>` */
  readonly uri: string;
  readonly media_type: string;
  /** Bytes. */
  readonly size: number;
  /** Of the content, lower-case hexadecimal. */
  readonly sha256: string;
  /** RFC 3339. The artifact can be fetched before this. */
  readonly expires_at: string;
}

/** What a policy is told of an artifact. */
export interface ArtifactView {
  readonly artifactId: string;
  /** The principal that put it, or whose job did. */
  readonly owner: string;
  readonly sessionId: SessionId;
  readonly jobId: JobId | null;
  readonly mediaType: string;
}

/** An artifact as it is stored. */
export interface Artifact extends ArtifactView {
  readonly blob: StoredBlob;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export const ARTIFACT_KIND = "artifact";

/**
 * The id of an artifact's record, and the name of its blob. An id that a client chose is unique within its principal; one
 * that the runtime made is unique, and known by itself to whoever may read it (`owner: null`).
 */
export const recordIdOf = (owner: string | null, artifactId: string): string =>
  createHash("sha256")
    .update(JSON.stringify([owner, artifactId]))
    .digest("hex");

export function refOf({ artifactId, sessionId, mediaType, blob, expiresAt }: Artifact): ArtifactRef {
  return {
    artifact_id: artifactId,
    uri: `arcp://session/${sessionId}/artifact/${artifactId}`,
    media_type: mediaType,
    size: blob.size,
    sha256: blob.sha256,
    expires_at: timestamp(expiresAt),
  };
}

export function recordOf(id: string, { owner, jobId, expiresAt, ...data }: Artifact): StoredRecord {
  return { kind: ARTIFACT_KIND, id, principal: owner, jobId, dueAt: expiresAt, data: JSON.stringify(data) };
}

/** The artifact of a record that {@link recordOf} made. */
export function artifactOf({ principal, jobId, dueAt, data }: StoredRecord): Artifact {
  const rest = JSON.parse(data ?? "null") as Omit<Artifact, "owner" | "jobId" | "expiresAt">;
  return { ...rest, owner: principal, jobId, expiresAt: dueAt ?? 0 };
}
