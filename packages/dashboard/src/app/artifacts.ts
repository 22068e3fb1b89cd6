/** Contents of artifacts. Wire 1.1 names them only, so they are fetched over wire 1.0, on a connection of their own. */
import { ARCPToolClient } from "@arcp/client";
import { wire10 } from "./session.ts";

/**
 * The content, whole. Rejects with the runtime's refusal, with `UNAVAILABLE` for a runtime that does not speak wire 1.0, and
 * for what does not fit its digest.
 */
export async function fetchArtifact(uri: string, signal: AbortSignal): Promise<Uint8Array> {
  const { open, token } = wire10();
  const client = await ARCPToolClient.open(await open(signal), {
    client: { kind: "arcp-dashboard", version: "0.1.0" },
    token,
    signal,
  });
  try {
    return await client.fetchArtifact(uri, { signal });
  } finally {
    await client.close().catch(() => {
      // It has what it came for, or has said what stopped it.
    });
  }
}
