/** Who gets credentials, when, and with which limits (§9.8.1-§9.8.3). */
import { pairMemoryTransports } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame, RawClient } from "../support/raw-client.ts";
import { CredentialHarness, ENDPOINT, LEASE, Mint, until } from "./mint.ts";

const FEATURE = "provisioned_credentials";
const featuresOf = (welcome: Frame): readonly string[] => welcome.payload.capabilities.features;

describe("credentials are issued", () => {
  it("with what they are to be used by, and to the submitter's client", async () => {
    covers("V11-9.8-01", "V11-9.8.1-01", "V11-9.8.1-03", "V11-9.8.1-06");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.client();
    const handle = await client.submit({ agent: "worker", leaseRequest: LEASE });
    const [value] = harness.mint.values;
    expect(handle.credentials).toHaveLength(1);
    const [credential] = handle.credentials;
    expect(credential).toMatchObject({ scheme: "bearer", value, endpoint: ENDPOINT, profile: "openai" });
    expect(credential?.id).toMatch(/^cred_/);
    expect(credential?.constraints).toEqual(LEASE);
    const run = await puppet.next();
    expect(run.context.credentials.map((own) => [own.id, own.reveal()])).toEqual([[credential?.id, value]]);
    run.finish(1);
    await handle.done;
    expect(run.context.credentials).toEqual([]);
  });

  it("before the job is accepted, which waits for them", async () => {
    covers("V11-9.8.2-01");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const gate = Promise.withResolvers<void>();
    harness.mint.beforeIssue = () => gate.promise;
    const client = await harness.rawSession();
    const id = client.send("job.submit", { agent: "worker", input: null, lease_request: LEASE });
    await client.fence();
    expect(client.frames.map(({ type }) => type)).not.toContain("job.accepted");
    expect(puppet.runs).toHaveLength(0);
    gate.resolve();
    const accepted = await client.reply(id);
    expect(accepted.type).toBe("job.accepted");
    expect(accepted.payload.credentials).toMatchObject([{ value: harness.mint.values[0], scheme: "bearer" }]);
  });

  it("never with a value that another job has had", async () => {
    covers("V11-9.8.2-03");
    await using harness = CredentialHarness.start({ agents: { echo: async (input) => input } });
    const client = await harness.client();
    for (let job = 0; job < 20; job += 1) {
      const handle = await client.submit({ agent: "echo", input: job, leaseRequest: LEASE });
      await handle.done;
    }
    expect(new Set(harness.mint.values).size).toBe(20);
    harness.mint.nextValue = harness.mint.values[3];
    await expect(client.submit({ agent: "echo", leaseRequest: LEASE })).rejects.toMatchObject({
      code: "INTERNAL_ERROR",
    });
    await until(() => harness.mint.live.length === 0, "the revocation of all");
  });

  it("with the lease's models, what is left of its budget, and its end", async () => {
    covers("V11-9.7-03", "V11-9.8.3-01", "V11-9.8.3-02", "V11-9.8.3-03");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.client();
    const leaseRequest = { "model.use": ["fast", "tier/*"], "cost.budget": ["USD:5.00"] };
    const expiresAt = new Date(Date.now() + 3_600_000);
    const handle = await client.submit({ agent: "worker", leaseRequest, leaseConstraints: { expiresAt } });
    const run = await puppet.next();
    await run.context.metric({ name: "cost.inference", value: 1.25, unit: "USD" });
    const [credential] = run.context.credentials;
    await harness.server.rotateCredential(handle.jobId, credential?.id ?? "");
    const asked = harness.mint.minted.map(({ request }) => request);
    expect(asked.map(({ budget }) => budget.get("USD"))).toEqual([5, 3.75]);
    for (const request of asked) {
      expect(request.lease).toEqual(leaseRequest);
      expect(request.expiresAt).toBe(expiresAt.getTime());
      expect(request).toMatchObject({ jobId: handle.jobId, principal: "alice", agent: "worker@0.0.0" });
    }
    run.finish();
    await handle.done;
  });

  it("whose upstream knows no models still leave the lease to the runtime", async () => {
    covers("V11-9.8.3-04");
    await using harness = CredentialHarness.start({
      agents: { worker: (_input, context) => context.useModel("dear", () => "used") },
    });
    const client = await harness.client();
    const handle = await client.submit({ agent: "worker", leaseRequest: LEASE });
    await expect(handle.done).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });
});

describe("credentials are not offered", () => {
  it("without a provisioner, or without a store that keeps them", async () => {
    covers("V11-14-23");
    await using without = CredentialHarness.start({ server: { credentialProvisioners: [] } });
    expect(featuresOf(await (await without.raw()).hello())).not.toContain(FEATURE);
    const agents = { echo: async (input: unknown) => input };
    const mint = new Mint();
    await using forgetful = startHarness({ agents, server: { credentialProvisioners: [mint] } });
    const client = await forgetful.raw();
    expect(featuresOf(await client.hello())).not.toContain(FEATURE);
    expect((await client.submit("echo", 1, { lease_request: LEASE })).payload.credentials).toBeUndefined();
    await using lax = CredentialHarness.start({
      server: { eventLog: sqliteStore({ path: ":memory:" }), credentialProvisioners: [mint] },
    });
    expect(featuresOf(await (await lax.raw()).hello())).not.toContain(FEATURE);
    expect(mint.minted).toEqual([]);
  });

  it("to a client that did not ask for them", async () => {
    covers("V11-9.8-01");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.rawSession(ALL_FEATURES.filter((name) => name !== FEATURE));
    const accepted = await client.submit("worker", 1, { lease_request: LEASE });
    expect(accepted.type).toBe("job.accepted");
    expect(accepted.payload.credentials).toBeUndefined();
    const run = await puppet.next();
    for (const { id } of run.context.credentials) {
      await harness.server.rotateCredential(run.context.jobId, id);
    }
    run.finish();
    await client.ended(run.context.jobId);
    for (const value of harness.mint.values) expect(harness.recorder.down.join("\n")).not.toContain(value);
  });

  it("to a client that is nobody, or that others can overhear", async () => {
    covers("V11-14-17");
    const agents = { echo: async (input: unknown) => input };
    await using open = CredentialHarness.start({ agents, server: { anonymousPrincipal: "anyone" } });
    const nobody = await open.raw();
    nobody.send("session.hello", {
      client: { name: "raw", version: "1.0.0" },
      auth: { scheme: "none" },
      capabilities: { encodings: ["json"], features: ALL_FEATURES },
    });
    expect(featuresOf(await nobody.welcomed())).not.toContain(FEATURE);
    expect((await nobody.submit("echo", 1, { lease_request: LEASE })).payload.credentials).toBeUndefined();

    const [left, right] = pairMemoryTransports();
    Object.assign(right, { peer: { kind: "websocket", isConfidential: false, remoteAddress: "203.0.113.7" } });
    await open.server.accept(right);
    const overheard = new RawClient(left);
    expect(featuresOf(await overheard.hello())).not.toContain(FEATURE);
    const accepted = await overheard.submit("echo", 1, { lease_request: LEASE });
    expect(accepted.payload.credentials).toBeUndefined();
    await overheard.ended(accepted.payload.job_id);
    overheard.cut();
    await settle();
    expect(open.mint.live).toEqual([]);
  });
});
