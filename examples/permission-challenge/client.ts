/** A permission, from the question for it to its end: granted, used, extended, taken back (RFC §15.4, §15.5). */
import assert from "node:assert/strict";
import { ARCPToolClient, type TransportFactory } from "@arcp/sdk";

export async function permissionChallenge(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  const client = await ARCPToolClient.open(connect, { token: "demo-token" });
  const changes: string[] = [];
  client.on("lease", ({ change, lease }) => {
    changes.push(change);
    const { expiresAt = "", revokedBecause: why } = lease;
    say(`${change.padEnd(9)} ${why ?? `until ${expiresAt}`}`);
  });

  // The challenge. What is granted is what was asked for: never more, and shorter if we say so.
  client.onPermission(({ permission, resource, reason, requestedLeaseSeconds: seconds }) => {
    say(`request   ${permission} on ${resource} for ${seconds} s: ${reason}`);
    return { granted: true, respondedBy: "chat:supervisor" };
  });
  // Before the answer is given, the permission is gone.
  client.onHumanChoice(async ({ prompt }) => {
    say(`question  ${prompt}`);
    const [lease] = client.leases.active;
    assert.ok(lease);
    await client.leases.revoke(lease.leaseId, "the supervisor has changed their mind");
    return { choiceId: "yes" };
  });

  const invocation = client.invoke("refund");
  const uses: string[] = [];
  for await (const event of invocation) {
    if (event.kind !== "event" || event.body.name !== "tool_result") continue;
    const { error } = event.body.value as { readonly error?: { readonly code: string } };
    uses.push(error === undefined ? "allowed" : "refused");
    say(`use       ${uses.at(-1)}`);
  }
  const { value } = await invocation.done;
  say(`result    ${JSON.stringify(value)}`);

  assert.deepEqual(changes, ["granted", "extended", "revoked"]);
  assert.deepEqual(uses, ["allowed", "refused"]);
  assert.deepEqual(value, { paid: ["the parcel"], stoppedBy: "LEASE_REVOKED" });
  assert.deepEqual(client.leases.active, []);
  await client.close();
}
