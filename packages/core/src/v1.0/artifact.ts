/** The messages of artifacts, and how artifacts are addressed (RFC §16). */
import { z } from "zod";
import { absentOr, counter } from "../messages/envelope.ts";
import { entityId, message10, text, word } from "./envelope.ts";

const openText = absentOr(z.string());

/** Where a large value is (RFC §16.1). */
export const artifactRef = z.object({
  artifact_id: entityId,
  uri: openText,
  media_type: openText,
  size: absentOr(counter),
  sha256: openText,
  expires_at: openText,
});

/** What stands for an artifact in other messages (RFC §16.1). */
export type ArtifactRef10 = z.infer<typeof artifactRef>;

/** The address of an artifact (RFC §16.1). */
export const artifactUri = (sessionId: string, artifactId: string): string =>
  `arcp://session/${sessionId}/artifact/${artifactId}`;

/** Session and artifact of an address that {@link artifactUri} made, or `undefined` for any other. */
export function parseArtifactUri(uri: string): { readonly sessionId: string; readonly artifactId: string } | undefined {
  const [, sessionId, artifactId] = /^arcp:\/\/session\/([^/]{1,128})\/artifact\/([^/]{1,128})$/.exec(uri) ?? [];
  return sessionId === undefined || artifactId === undefined ? undefined : { sessionId, artifactId };
}

/**
 * RFC §16.2: from a client an upload, from a runtime the answer to a fetch. The bytes are base64 in `data`, or follow the
 * message as a binary frame.
 */
export const artifactPut = message10(
  "artifact.put",
  z
    .object({
      artifact_id: absentOr(entityId),
      media_type: text(256),
      data: openText,
      encoding: absentOr(word(["base64", "sidecar"])),
      size: absentOr(counter),
      byte_length: absentOr(counter),
      sha256: text(128),
      ttl_seconds: absentOr(z.number().nonnegative()),
      /** The same, as another SDK calls it. */
      retain_seconds: absentOr(z.number().nonnegative()),
    })
    .transform(({ encoding, media_type, size, byte_length, retain_seconds, ...rest }, context) => {
      if (rest.data === undefined && encoding !== "sidecar") {
        context.addIssue({ code: "custom", path: ["data"], message: "expected base64, or encoding sidecar" });
      }
      return {
        ...rest,
        ttl_seconds: rest.ttl_seconds ?? retain_seconds,
        media_type: media_type ?? "application/octet-stream",
        encoding: encoding ?? "base64",
        size: size ?? byte_length,
      };
    }),
);

/** RFC §16.2. An address may stand for the id. A range is asked for in bytes; what reaches beyond the end is cut. */
export const artifactFetch = message10(
  "artifact.fetch",
  z
    .object({ artifact_id: absentOr(entityId), uri: text(512), offset: absentOr(counter), length: absentOr(counter) })
    .transform(({ artifact_id, uri, offset, length }, context) => {
      const id = artifact_id ?? parseArtifactUri(uri ?? "")?.artifactId;
      if (id === undefined) context.addIssue({ code: "custom", path: ["artifact_id"], message: "expected an id" });
      return { artifact_id: id ?? "", offset, length };
    }),
);

const reference = artifactRef.extend({ data: openText });

/** RFC §16.1, §16.2. One SDK answers a fetch with the reference and `data` beside it; one puts the reference in `artifact`. */
export const artifactReference = message10(
  "artifact.ref",
  z.union([reference, z.object({ artifact: reference }).transform(({ artifact }) => artifact)]),
);

/** RFC §16.2. */
export const artifactRelease = message10("artifact.release", z.object({ artifact_id: entityId }));
