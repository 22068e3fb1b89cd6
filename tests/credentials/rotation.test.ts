/** A credential that is replaced while its job runs (§9.8.2), and who hears of it (§14). */
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { Puppet } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame } from "../support/raw-client.ts";
import { CredentialHarness, LEASE, until } from "./mint.ts";

const isRotation = ({ payload }: Frame): boolean => payload?.body?.phase === "credential_rotated";

describe("a rotation", () => {
  it("is told to the submitter with the same id and the new value, and kills the old one", async () => {
    covers("V11-9.8.1-02", "V11-9.8.2-07", "V11-9.8.2-08", "V11-9.8.2-09");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.rawSession();
    const accepted = await client.submit("worker", null, { lease_request: LEASE });
    const [{ id, value: old }] = accepted.payload.credentials;
    const run = await puppet.next();
    await harness.server.rotateCredential(run.context.jobId, id);
    const event = await client.sees(isRotation);
    const [, fresh] = harness.mint.values;
    expect(event).toMatchObject({ type: "job.event", job_id: run.context.jobId });
    expect(event.payload).toMatchObject({ kind: "status", body: { phase: "credential_rotated", id, value: fresh } });
    expect(fresh).not.toBe(old);
    await until(() => harness.mint.live.length === 1, "the revocation of the old value");
    expect(harness.mint.live[0]?.value).toBe(fresh);
    expect(run.context.credentials.map((one) => [one.id, one.reveal()])).toEqual([[id, fresh]]);
    run.finish();
    await client.ended(run.context.jobId);
    await until(() => harness.mint.live.length === 0, "the revocation of the new value");
    await expect(harness.server.rotateCredential(run.context.jobId, id)).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });

  it("reaches the real client, which hands on the value and not the event's copy of it", async () => {
    covers("V11-9.8.2-13", "V11-9.8.2-14");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.client();
    const handle = await client.submit({ agent: "worker", leaseRequest: LEASE });
    const [credential] = handle.credentials;
    const run = await puppet.next();
    await harness.server.rotateCredential(handle.jobId, credential?.id ?? "");
    await until(() => credential?.value === harness.mint.values[1], "the new value");
    run.finish();
    const events: unknown[] = [];
    for await (const event of handle) events.push(event);
    await handle.done;
    for (const value of harness.mint.values) expect(JSON.stringify(events)).not.toContain(value);
    expect(credential?.value).toBeUndefined();
  });

  it("cannot be feigned by an agent", async () => {
    covers("V11-9.8.2-08");
    const refusals: unknown[] = [];
    await using harness = CredentialHarness.start({
      agents: {
        forger: async (_input, context) => {
          const body = { phase: "credential_rotated", id: context.credentials[0]?.id, value: "sk-forged-value" };
          const attempts = [
            () => context.status("credential_rotated", "cred_1"),
            () => context.emitEvent("status", body),
            () => context.emitEvent("job.event", body),
          ];
          for (const attempt of attempts) {
            try {
              await attempt();
              refusals.push("accepted");
            } catch (error) {
              refusals.push((error as { code?: string }).code);
            }
          }
        },
      },
    });
    const client = await harness.rawSession();
    const accepted = await client.submit("forger", null, { lease_request: LEASE });
    await client.ended(accepted.payload.job_id);
    expect(client.frames.filter(isRotation)).toEqual([]);
    expect(JSON.stringify(client.frames)).not.toContain("sk-forged-value");
    expect(refusals).not.toContain("accepted");
  });

  it("is told to observers, and to the submitter's other sessions, without the value", async () => {
    covers("V11-14-19", "V11-14-20");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({
      agents: { worker: puppet.handler },
      server: { jobAuthorizationPolicy: () => true },
    });
    const client = await harness.rawSession();
    const accepted = await client.submit("worker", null, { lease_request: LEASE });
    const [{ id }] = accepted.payload.credentials;
    const run = await puppet.next();
    const job_id = run.context.jobId;
    const early = await harness.rawSession(ALL_FEATURES, "bob");
    await early.ask("job.subscribe", { job_id, history: true });
    await harness.server.rotateCredential(job_id, id);
    const late = await harness.rawSession(ALL_FEATURES, "bob");
    await late.ask("job.subscribe", { job_id, history: true });
    const observers = [early, late];
    for (const observer of observers) {
      const event = await observer.sees(isRotation);
      expect(event.payload.body).toEqual({ phase: "credential_rotated", id });
      await observer.listJobs();
    }
    const plain = await harness.rawSession(ALL_FEATURES.filter((name) => name !== "provisioned_credentials"));
    await plain.listJobs();
    run.finish();
    for (const observer of [client, ...observers]) await observer.end(job_id);
    for (const observer of [...observers, plain]) {
      const seen = JSON.stringify(observer.frames);
      for (const value of harness.mint.values) expect(seen).not.toContain(value);
      expect(seen).not.toContain('"credentials"');
    }
  });
});
