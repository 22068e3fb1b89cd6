/** A session from its handshake to its end (RFC §8, §9). */
import assert from "node:assert/strict";
import { ARCPToolClient, type TransportFactory } from "@arcp/sdk";

export async function minimalSession(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  // The handshake: who we are, what we can do. With a URL instead of `connect` this is all that changes.
  const client = await ARCPToolClient.open(connect, {
    token: "demo-token",
    client: { kind: "minimal-session", version: "1.0.0" },
    capabilities: { scheduled_jobs: false },
  });
  const { sessionId, runtime, capabilities } = client.session;
  say(`accepted  ${sessionId}`);
  say(`runtime   ${runtime.kind} ${runtime.version}, ${runtime.trustLevel}`);
  assert.equal(capabilities.streaming, true);
  assert.equal(capabilities.scheduled_jobs, false, "what one side does without is not agreed upon");

  const { receivedAt } = await client.ping();
  say(`pong      ${receivedAt}`);
  assert.ok(receivedAt !== undefined && !Number.isNaN(Date.parse(receivedAt)));

  await client.close({ reason: "that was all" });
  await client.closed;
  say(`closed    ${client.state.phase}`);

  // Nothing is said to whom the runtime does not know.
  const stranger = ARCPToolClient.open(connect, { token: "guessed" });
  await assert.rejects(stranger, { code: "UNAUTHENTICATED" });
  say("refused   a client with another token");
}
