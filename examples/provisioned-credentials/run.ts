/** A key for one job, which is revoked with it (§9.8): `node examples/provisioned-credentials/run.ts`. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient, type CredentialProvisioner, type JobContext, sqliteStore } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

/** The upstream: which keys are good, by the alias under which they were issued. */
const keys = new Map<string, string>();
const revoked = Promise.withResolvers<void>();

const gateway: CredentialProvisioner = {
  name: "gateway",
  issuesFor: ({ lease }) => lease["model.use"] !== undefined,
  async issue({ alias, lease }) {
    const value = randomUUID();
    keys.set(alias, value);
    console.log(`gateway  issues a key for ${lease["model.use"]}`);
    return { value, endpoint: "https://models.example.com/v1", profile: "openai" };
  },
  async revoke({ alias }) {
    if (!keys.delete(alias)) return;
    console.log("gateway  revokes it");
    revoked.resolve();
  },
};

async function chat(_input: unknown, ctx: JobContext): Promise<string> {
  const [key] = ctx.credentials;
  const isGood = key !== undefined && [...keys.values()].includes(key.reveal());
  console.log(`agent    has a key for ${key?.endpoint}, which is ${isGood ? "good" : "not good"}`);
  return "hello";
}

const directory = await mkdtemp(join(tmpdir(), "arcp-credentials-"));
const store = sqliteStore({ path: join(directory, "runtime.db") });

await withRuntime(
  { chat },
  async (connect) => {
    await using client = await ARCPClient.connect(connect, { token: "demo-token" });
    const job = await client.submit({ agent: "chat", leaseRequest: { "model.use": ["tier-fast/*"] } });
    await job.done;
    await revoked.promise;
    console.log(`job      ${job.finalStatus}; ${keys.size} keys are good`);
    assert.equal(keys.size, 0);
  },
  { eventLog: store, credentialProvisioners: [gateway] },
);
await store.close();
await rm(directory, { recursive: true });
