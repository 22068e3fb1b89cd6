/** Artifacts by HTTP: bytes in and out, as the messages of wire 1.0 carry them (RFC §16.2). */
import { once } from "node:events";
import { type HttpResponse, type TransportPeer, writeHead } from "@arcp/core";
import type { Callers } from "./callers.ts";

/** What one request may store: it is held in memory until it is stored. */
export const MAX_PUT_BYTES = 8 * 1024 * 1024;
/** What is asked for at once. */
const PART_BYTES = 512 * 1024;

interface Fetched {
  readonly media_type?: string;
  readonly size?: number;
  readonly sha256?: string;
  readonly data: string;
}

/** What a put is answered with: the reference of the artifact. */
export async function putArtifact(
  callers: Callers,
  peer: TransportPeer,
  request: {
    readonly artifactId: string;
    readonly mediaType: string;
    readonly bytes: Uint8Array;
    readonly ttlSeconds: number | undefined;
  },
): Promise<object> {
  const caller = await callers.forArtifacts(peer);
  const { artifactId, mediaType, bytes, ttlSeconds } = request;
  try {
    const payload = { artifact_id: artifactId, media_type: mediaType, encoding: "sidecar", ttl_seconds: ttlSeconds };
    const { payload: ref } = await caller.ask("artifact.put", { ...payload, size: bytes.length }, { bytes });
    return ref;
  } finally {
    caller.close();
  }
}

/** Answers with the content, a part at a time, as fast as it is read. Rejects before the answer has begun, or breaks it off. */
export async function sendArtifact(
  callers: Callers,
  peer: TransportPeer,
  artifactId: string,
  response: HttpResponse,
): Promise<void> {
  const caller = await callers.forArtifacts(peer);
  const out = response;
  const part = async (offset: number): Promise<Fetched> => {
    const range = { artifact_id: artifactId, offset, length: PART_BYTES };
    return (await caller.ask("artifact.fetch", range)).payload as unknown as Fetched;
  };
  try {
    let fetched = await part(0);
    const { media_type = "application/octet-stream", size = 0, sha256 } = fetched;
    writeHead(response, 200, {
      "content-type": media_type,
      "content-length": String(size),
      "cache-control": "private, no-store",
      // What somebody else has stored must not become a page of this host.
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
      "content-security-policy": "sandbox",
      ...(sha256 !== undefined && { etag: `"${sha256}"` }),
    });
    for (let sent = 0; ; ) {
      const bytes = Buffer.from(fetched.data, "base64");
      sent += bytes.length;
      if (!out.write(bytes) && !out.destroyed) await Promise.race([once(out, "drain"), once(out, "close")]);
      if (sent >= size || bytes.length === 0 || out.destroyed) break;
      fetched = await part(sent);
    }
    out.end();
  } finally {
    caller.close();
  }
}
