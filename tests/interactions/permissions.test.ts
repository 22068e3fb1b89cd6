/** Permissions that jobs ask for, and the leases that come of it (RFC §15.4, §15.5). */
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PermissionDeniedError } from "@arcp/core";
import type { Grant, PermissionOptions } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebServer } from "../operations/web-server.ts";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import type { Frame10 } from "../support/raw-client-10.ts";
import {
  type Asking,
  asked,
  askingJob,
  auditedJob,
  auditOf,
  closingsOf,
  deny,
  grant,
  requestsOf,
  statesOf,
  watched,
} from "./asking.ts";

const REFUND: PermissionOptions = {
  permission: "payment.refund.create",
  resource: "order:ord_4812",
  operation: "refund",
  reason: "Issue a customer-approved refund",
  requestedLeaseSeconds: 60,
};

/** Asks for a permission, and has it granted. */
async function granted(
  { client, run }: Asking,
  options: PermissionOptions = REFUND,
  decision: object = {},
): Promise<{ readonly grant: Grant; readonly lease: Frame10; readonly reply: Frame10 }> {
  const before = requestsOf(client).length;
  const promise = run.context.requestPermission(options);
  const request = await asked(client, before);
  const reply = await grant(client, request, decision);
  const lease = await client.sees(({ type, causation_id }) => type === "lease.granted" && causation_id === request.id);
  return { grant: await promise, lease, reply };
}

const act = async (): Promise<string> => "done";

describe("a request for permission", () => {
  test("names the operation, blocks the job, and leads to a lease", async () => {
    covers("V10-12-01", "V10-15.1-01", "V10-15.4-01", "V10-15.4-02", "V10-15.4-03", "V10-15.4-04", "V10-15.4-05");
    covers("V10-15.4-06", "V10-15.5-01", "V10-10.2-02");
    await using job = await auditedJob();
    const { client, run, clock } = job;
    const outcome = watched(run.context.requestPermission(REFUND));
    const request = await asked(client);
    expect(request).toMatchObject({
      ...{ type: "permission.request", job_id: job.jobId, priority: "critical" },
      payload: {
        ...{ permission: "payment.refund.create", resource: "order:ord_4812", operation: "refund" },
        ...{ reason: "Issue a customer-approved refund", requested_lease_seconds: 60 },
      },
    });
    expect(statesOf(client)).toEqual(["blocked"]);
    const id = client.send("permission.grant", { granted_by: "chief" }, { correlation_id: request.id });
    const lease = await client.sees(({ type }) => type === "lease.granted");
    const expires_at = new Date(clock.now() + 60_000).toISOString();
    expect(lease).toMatchObject({
      ...{ correlation_id: id, causation_id: request.id, job_id: job.jobId },
      payload: {
        ...{ lease_id: expect.stringMatching(/^lease_/), expires_at },
        ...{ permission: "payment.refund.create", resource: "order:ord_4812", operation: "refund" },
      },
    });
    await settle();
    expect(outcome.value).toMatchObject({ leaseId: lease.payload.lease_id, expiresAt: expires_at, isActive: true });
    expect(statesOf(client)).toEqual(["blocked", "running"]);
    expect(closingsOf(client, request.id)).toMatchObject([{ payload: { data: { granted: true } } }]);
    expect((await auditOf(job)).find(({ action }) => action === "permission.granted")).toMatchObject({
      principal: "alice",
      facts: { lease_id: lease.payload.lease_id, resource: "order:ord_4812", granted_by: "chief" },
    });
  });

  test("is denied: what it was for fails", async () => {
    covers("V10-15.4-05");
    await using job = await askingJob();
    const { client, run } = job;
    const outcome = watched(run.context.requestPermission(REFUND));
    await deny(client, await asked(client), { reason: "not that one", denied_by: "chief" });
    await settle();
    expect(outcome.error).toBeInstanceOf(PermissionDeniedError);
    expect(outcome.error.details).toMatchObject({
      ...{ reason: "denied", denied_because: "not that one", permission: "payment.refund.create" },
    });
    run.fail(outcome.error);
    expect(await client.ending(job.jobId)).toMatchObject({
      type: "tool.error",
      payload: { code: "PERMISSION_DENIED" },
    });
    expect(client.ofType("lease.granted")).toEqual([]);
  });

  test("that nobody decides about is refused", async () => {
    await using job = await askingJob();
    const { client, run, clock } = job;
    const outcome = watched(run.context.requestPermission(REFUND));
    const request = await asked(client);
    clock.advance(300_000);
    await client.sees(({ type }) => type === "human.input.cancelled");
    expect(outcome.error).toMatchObject({ code: "PERMISSION_DENIED", details: { reason: "timeout" } });
    const late = await grant(client, request);
    expect(late).toMatchObject({ type: "nack", payload: { code: "FAILED_PRECONDITION" } });
    expect(client.ofType("lease.granted")).toEqual([]);
  });

  const wrong: readonly (readonly [string, Partial<PermissionOptions>, string])[] = [
    ["a permission has a name", { permission: "Rm -rf" }, "INVALID_REQUEST"],
    ["a permission has one", { permission: "" }, "INVALID_REQUEST"],
    ["it has a resource", { resource: "" }, "INVALID_REQUEST"],
    ["it has an operation", { operation: "" }, "INVALID_REQUEST"],
    ["seconds are positive", { requestedLeaseSeconds: 0 }, "INVALID_REQUEST"],
    ["a path is one", { permission: "filesystem.read", resource: "relative.txt" }, "INVALID_REQUEST"],
    ["a URL can be granted", { permission: "network.fetch", resource: "file:///etc/passwd" }, "PERMISSION_DENIED"],
    ["authority is not handed on", { permission: "agent.delegate", resource: "other" }, "INVALID_REQUEST"],
    ["money is not", { permission: "cost.budget", resource: "USD:5" }, "INVALID_REQUEST"],
    ["there are four levels of trust", { permission: "trust.elevate.root" }, "INVALID_REQUEST"],
  ];
  test.each(wrong)("that cannot be asked for: %s", async (_what, options, code) => {
    await using job = await askingJob();
    await expect(job.run.context.requestPermission({ ...REFUND, ...options })).rejects.toMatchObject({ code });
    await job.client.fence();
    expect(requestsOf(job.client)).toEqual([]);
  });
});

describe("a decision about something else than what was asked", () => {
  const others: readonly (readonly [string, object])[] = [
    ["another resource", { resource: "order:ord_9999" }],
    ["a wider resource", { resource: "order:*" }],
    ["another permission", { permission: "payment.*" }],
    ["another operation", { operation: "charge" }],
    ["an end that has passed", { expires_at: "2020-01-01T00:00:00Z" }],
  ];
  test.each(others)("%s is refused, and the request stays open", async (_what, decision) => {
    await using job = await auditedJob();
    const { client, run } = job;
    const outcome = watched(run.context.requestPermission(REFUND));
    const request = await asked(client);
    const asAsked = { permission: REFUND.permission, resource: REFUND.resource, operation: REFUND.operation };
    expect(await grant(client, request, { ...asAsked, ...decision })).toMatchObject({
      type: "nack",
      payload: { code: "INVALID_ARGUMENT" },
    });
    expect(outcome.isSettled).toBe(false);
    expect((await auditOf(job)).map(({ action }) => action)).toContain("question.invalid_answer");
    expect((await grant(client, request, asAsked)).type).toBe("ack");
    await settle();
    expect(outcome.value?.resource).toBe("order:ord_4812");
  });
});

describe("how long a lease lasts", () => {
  const HOUR = 3_600;
  const cases: readonly (readonly [string, object, object, number])[] = [
    ["as long as was asked for", { requestedLeaseSeconds: 60 }, {}, 60],
    ["five minutes if nobody says", { requestedLeaseSeconds: undefined }, {}, 300],
    ["an hour at most", { requestedLeaseSeconds: 86_400 }, {}, HOUR],
    ["less if it is granted for less", { requestedLeaseSeconds: 60 }, { lease_seconds: 5 }, 5],
    ["no longer if it is granted for longer", { requestedLeaseSeconds: 60 }, { lease_seconds: 999 }, 60],
    ["until the instant that it is granted to", {}, { expires_at: "2026-01-01T00:00:07.000Z" }, 7],
  ];
  test.each(cases)("%s", async (_what, options, decision, seconds) => {
    await using job = await askingJob();
    const { grant } = await granted(job, { ...REFUND, ...options }, decision);
    expect(Date.parse(grant.expiresAt) - job.clock.now()).toBe(seconds * 1000);
  });

  test("not beyond the job's own lease", async () => {
    await using job = await askingJob();
    const { harness, client, puppet, clock } = job;
    const lease_constraints = { expires_at: new Date(clock.now() + 10_000).toISOString() };
    await client.invoke("puppet", {}, { lease_request: {}, lease_constraints });
    const bound = { ...job, run: await puppet.next() };
    const { grant } = await granted(bound);
    expect(grant.expiresAt).toBe(lease_constraints.expires_at);
    expect(harness.server.runningJobs).toBe(2);
  });
});

describe("what is granted", () => {
  test("can be done, on that target alone, and is not before", async () => {
    covers("V10-15.1-01", "V10-15.4-06");
    await using job = await askingJob();
    const { context } = job.run;
    const capability = "x-vendor.permission.payment.refund.create";
    await expect(context.operation(capability, REFUND.resource, act)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    const { grant } = await granted(job);
    expect([grant.capability, grant.target]).toEqual([capability, REFUND.resource]);
    expect(await context.operation(capability, REFUND.resource, act)).toBe("done");
    expect(await grant.perform(({ target }) => target)).toBe(REFUND.resource);
    for (const other of ["order:ord_4813", "order:ord_48120", "order:*"]) {
      await expect(context.operation(capability, other, act)).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
        details: { target: other },
      });
    }
  });

  test("may be a tool or a model by its name", async () => {
    await using job = await askingJob();
    const { context } = job.run;
    job.harness.server.registerTool("mail.send", { handler: (input) => ({ sent: input }) });
    await expect(context.callTool("mail.send", 1)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await granted(job, { permission: "tool.call", resource: "mail.send", operation: "call" });
    expect(await context.callTool("mail.send", 1)).toEqual({ sent: 1 });
    // A name is a name of one thing.
    await expect(context.useModel("mail.send", act)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await granted(job, { permission: "model.use", resource: "gpt-5", operation: "use" });
    expect(await context.useModel("gpt-5", ({ model }) => model)).toBe("gpt-5");
    await expect(context.useModel("gpt-6", act)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  test("is told to whoever granted it, and to nobody else that does not watch the job", async () => {
    await using job = await askingJob();
    const { harness, run } = job;
    const [chief, clerk] = [await harness.rawSession10(), await harness.rawSession10()];
    const outcome = watched(run.context.requestPermission(REFUND));
    await grant(chief, await asked(chief));
    const lease = await chief.sees(({ type }) => type === "lease.granted");
    await settle();
    expect(lease).toMatchObject({ job_id: job.jobId, payload: { lease_id: outcome.value?.leaseId } });
    outcome.value?.refresh(120);
    await chief.sees(({ type }) => type === "lease.extended");
    await clerk.sees(({ type }) => type === "human.input.cancelled");
    await clerk.fence();
    expect(clerk.ofType("lease.granted", "lease.extended")).toEqual([]);
  });

  test("is shown as it is compared", async () => {
    await using job = await askingJob();
    const read = { permission: "filesystem.read", resource: "/srv/./data//a/../b.txt", operation: "read" };
    job.run.context.requestPermission(read).catch(() => {});
    expect((await asked(job.client)).payload.resource).toBe("/srv/data/b.txt");
  });

  test("covers one target and no pattern, unless the operator says so", async () => {
    const read = { permission: "tool.call", resource: "mail.*", operation: "call" };
    await using strict = await askingJob();
    await expect(strict.run.context.requestPermission(read)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await using job = await askingJob({ grantPolicy: { allowsPatterns: true } });
    const { grant } = await granted(job, read);
    const { context } = job.run;
    expect(await context.operation("tool.call", "mail.send", act)).toBe("done");
    await expect(context.operation("tool.call", "post.send", act)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(grant.perform(act)).rejects.toMatchObject({ canonicalCode: "FAILED_PRECONDITION" });
    await expect(context.requestPermission({ ...read, resource: "**" })).rejects.toMatchObject({
      code: "INVALID_REQUEST",
    });
  });

  test("widens nothing that the job hands on, and nobody else's authority", async () => {
    await using job = await askingJob();
    const { client, puppet } = job;
    await client.invoke("puppet", {}, { lease_request: { "agent.delegate": ["puppet"] } });
    const parent = { ...job, run: await puppet.next() };
    await granted(parent, { permission: "tool.call", resource: "mail.send", operation: "call" });
    const { context } = parent.run;
    expect(await context.operation("tool.call", "mail.send", act)).toBe("done");
    const wide = context.delegate({ agent: "puppet", lease_request: { "tool.call": ["mail.send"] } });
    await expect(wide.accepted).rejects.toMatchObject({ code: "LEASE_SUBSET_VIOLATION" });
    expect(context.lease).toEqual({ "agent.delegate": ["puppet"] });
    const plain = context.delegate({ agent: "puppet" });
    await plain.accepted;
    const child = await puppet.next();
    for (const other of [child, job.run]) {
      await expect(other.context.operation("tool.call", "mail.send", act)).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
      });
    }
  });

  test("does not outlast the job's lease, and spends no more than there is", async () => {
    await using job = await askingJob();
    const { client, puppet, clock } = job;
    const lease_constraints = { expires_at: new Date(clock.now() + 10_000).toISOString() };
    await client.invoke("puppet", {}, { lease_request: { "cost.budget": ["USD:1"] }, lease_constraints });
    const bound = { ...job, run: await puppet.next() };
    const { grant } = await granted(bound);
    await bound.run.context.metric({ name: "cost.tokens", value: 2, unit: "USD" });
    await expect(grant.perform(act)).rejects.toMatchObject({ code: "BUDGET_EXHAUSTED" });
    clock.advance(10_000);
    await expect(grant.perform(act)).rejects.toMatchObject({ code: "LEASE_EXPIRED" });
  });
});

describe("a permission for a URL", () => {
  const fetchFrom = (url: string) => ({ permission: "network.fetch", resource: url, operation: "fetch" });

  test("lets that URL be fetched, and no other", async () => {
    await using server = await WebServer.start();
    const network = { allowedNetworks: ["127.0.0.0/8"], resolve: async () => ["127.0.0.1"] };
    await using job = await askingJob({ operations: { network } });
    const { context } = job.run;
    const url = server.at("/report", "service.test");
    await expect(context.fetch(url)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await granted(job, fetchFrom(url));
    expect(await (await context.fetch(url)).text()).toBe("ok");
    for (const other of [server.at("/", "service.test"), `${url}?all=1`]) {
      await expect(context.fetch(other)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    }
    expect(server.requests).toHaveLength(1);
  });

  test("opens no network that the operator has not opened", async () => {
    await using server = await WebServer.start();
    await using job = await askingJob();
    const url = server.at("/report");
    await granted(job, fetchFrom(url));
    await expect(job.run.context.fetch(url)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      details: { address_class: "loopback" },
    });
    expect(server.requests).toEqual([]);
  });
});

describe("a lease ends", () => {
  test("by itself, without a word", async () => {
    covers("V10-15.5-04", "V10-15.5-05");
    await using job = await askingJob();
    const { client, clock } = job;
    const { grant } = await granted(job);
    clock.advance(59_999);
    expect(await grant.perform(act)).toBe("done");
    const said = client.frames.length;
    clock.advance(1);
    await client.fence();
    expect(
      client.frames
        .slice(said)
        .map(({ type }) => type)
        .filter((type) => type.startsWith("lease.")),
    ).toEqual([]);
    expect(grant.isActive).toBe(false);
    expect(() => grant.assertActive()).toThrow(expect.objectContaining({ canonicalCode: "LEASE_EXPIRED" }));
    const error = await grant.perform(act).catch((thrown) => thrown);
    expect(error).toMatchObject({
      ...{ code: "LEASE_EXPIRED", retryable: false },
      details: { lease_id: grant.leaseId, canonical_parent: "PERMISSION_DENIED" },
    });
    // It is the grant that has ended, not the job's lease.
    expect(await job.run.context.log("info", "still here")).toBeUndefined();
    job.run.fail(error);
    expect(await client.ending(job.jobId)).toMatchObject({ payload: { code: "LEASE_EXPIRED" } });
  });

  test("when whoever granted it takes it back", async () => {
    covers("V10-15.5-03", "V10-15.5-04");
    await using job = await auditedJob();
    const { client, harness } = job;
    const { grant } = await granted(job);
    const stranger = await harness.rawSession10("mallory");
    const foreign = await stranger.ask("lease.revoked", { lease_id: grant.leaseId, reason: "mine" });
    expect(foreign).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
    const id = client.send("lease.revoked", { lease_id: grant.leaseId, reason: "changed my mind" });
    const told = await client.sees(({ type }) => type === "lease.revoked");
    expect(told).toMatchObject({ correlation_id: id, payload: { lease_id: grant.leaseId, reason: "changed my mind" } });
    const error = await grant.perform(act).catch((thrown) => thrown);
    expect(error).toMatchObject({ canonicalCode: "LEASE_REVOKED", code: "PERMISSION_DENIED" });
    job.run.fail(error);
    expect(await client.ending(job.jobId)).toMatchObject({ payload: { code: "LEASE_REVOKED" } });
    expect((await auditOf(job)).map(({ action }) => action)).toContain("lease.revoked");
  });

  test("when the operator takes it back", async () => {
    await using job = await askingJob();
    const { client, harness } = job;
    const { grant } = await granted(job);
    expect(await harness.server.revokeGrant("lease_unknown")).toBe(false);
    expect(await harness.server.revokeGrant(grant.leaseId, "an incident")).toBe(true);
    expect(await harness.server.revokeGrant(grant.leaseId)).toBe(false);
    expect((await client.sees(({ type }) => type === "lease.revoked")).payload.reason).toBe("an incident");
    await expect(grant.perform(act)).rejects.toMatchObject({ details: { reason: "an incident" } });
    const { grant: another } = await granted(job);
    job.run.finish();
    await client.ending(job.jobId);
    expect(await harness.server.revokeGrant(another.leaseId)).toBe(false);
  });

  test("between its check and its use: what was held back meanwhile is not done", async () => {
    await using job = await askingJob();
    const { client, run, clock } = job;
    const { grant } = await granted(job);
    const interrupted = await client.ask("interrupt", { target: "job", target_id: job.jobId });
    expect(interrupted.type).toBe("ack");
    let isDone = false;
    const outcome = watched(
      grant.perform(() => {
        isDone = true;
      }),
    );
    await settle();
    clock.advance(300_000);
    await settle();
    expect(outcome.error).toMatchObject({ code: "LEASE_EXPIRED" });
    expect(isDone).toBe(false);
    run.finish();
  });
});

describe("a lease is extended", () => {
  test("for its holder, up to an hour after it was granted", async () => {
    covers("V10-15.5-02");
    await using job = await askingJob();
    const { client, clock } = job;
    const { grant, lease } = await granted(job);
    clock.advance(30_000);
    grant.refresh();
    const told = await client.sees(({ type }) => type === "lease.extended");
    const expires_at = new Date(clock.now() + 60_000).toISOString();
    expect(told.payload).toMatchObject({ lease_id: lease.payload.lease_id, expires_at });
    expect(grant.expiresAt).toBe(expires_at);
    grant.refresh(86_400);
    expect(Date.parse(grant.expiresAt)).toBe(Date.UTC(2026, 0, 1, 1));
    expect(() => grant.refresh(86_400)).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ reason: "limit" }) }),
    );
  });

  test("not for its holder beyond what was granted for less", async () => {
    await using job = await askingJob();
    const { grant } = await granted(job, REFUND, { lease_seconds: 10 });
    expect(() => grant.refresh(60)).toThrow(expect.objectContaining({ code: "PERMISSION_DENIED" }));
    expect(Date.parse(grant.expiresAt) - job.clock.now()).toBe(10_000);
  });

  test("by a client that may decide, which is told so", async () => {
    covers("V10-15.5-02");
    await using job = await askingJob();
    const { client, harness, clock } = job;
    const { grant } = await granted(job, REFUND, { lease_seconds: 10 });
    const other = await harness.rawSession10();
    const reply = await other.ask("lease.refresh", { lease_id: grant.leaseId, requested_seconds: 120 });
    const expires_at = new Date(clock.now() + 120_000).toISOString();
    expect(reply).toMatchObject({ type: "lease.extended", payload: { lease_id: grant.leaseId, expires_at } });
    expect((await client.sees(({ type }) => type === "lease.extended")).payload.expires_at).toBe(expires_at);
    expect(grant.expiresAt).toBe(expires_at);
  });

  const refusals: readonly (readonly [string, (job: Asking, grant: Grant) => Promise<Frame10>, string])[] = [
    ["that there is not", ({ client }) => client.ask("lease.refresh", { lease_id: "lease_x" }), "NOT_FOUND"],
    [
      "of another principal",
      async ({ harness }, { leaseId }) =>
        (await harness.rawSession10("mallory")).ask("lease.refresh", { lease_id: leaseId }),
      "NOT_FOUND",
    ],
    [
      "that has expired",
      ({ client, clock }, { leaseId }) => {
        clock.advance(60_000);
        return client.ask("lease.refresh", { lease_id: leaseId });
      },
      "LEASE_EXPIRED",
    ],
    [
      "that was revoked",
      async ({ client, harness }, { leaseId }) => {
        await harness.server.revokeGrant(leaseId);
        return client.ask("lease.refresh", { lease_id: leaseId });
      },
      "LEASE_REVOKED",
    ],
    [
      "whose job is over",
      async ({ client, run, jobId }, { leaseId }) => {
        run.finish();
        await client.ending(jobId);
        return client.ask("lease.refresh", { lease_id: leaseId });
      },
      "NOT_FOUND",
    ],
  ];
  test.each(refusals)("but not one %s", async (_what, refresh, code) => {
    await using job = await askingJob();
    const { grant } = await granted(job);
    expect(await refresh(job, grant)).toMatchObject({ type: "nack", payload: { code } });
    expect(job.client.ofType("lease.extended")).toEqual([]);
  });

  test("nor by a session that the operator lets decide about nothing", async () => {
    let mayAnswer = true;
    await using job = await askingJob({ interactionPolicy: () => mayAnswer });
    const { grant } = await granted(job);
    mayAnswer = false;
    for (const type of ["lease.refresh", "lease.revoked"]) {
      expect(await job.client.ask(type, { lease_id: grant.leaseId })).toMatchObject({
        type: "nack",
        payload: { code: "PERMISSION_DENIED" },
      });
    }
    expect(grant.isActive).toBe(true);
  });
});

describe("trust", () => {
  const elevation = (level: string): PermissionOptions => ({
    ...{ permission: `trust.elevate.${level}`, resource: "production", operation: "migrate" },
  });

  test("is not raised unless the operator allows it", async () => {
    covers("V10-15.6-01");
    await using job = await auditedJob();
    await expect(job.run.context.requestPermission(elevation("privileged"))).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      details: { reason: "policy" },
    });
    await job.client.fence();
    expect(requestsOf(job.client)).toEqual([]);
    expect((await auditOf(job)).map(({ action }) => action)).toContain("permission.refused");
    expect(job.run.context.trustLevel).toBe("trusted");
  });

  test("is raised for a time by people, and everybody who audits hears of it", async () => {
    covers("V10-15.3-01", "V10-15.6-01", "V10-15.6-02");
    await using job = await auditedJob({
      maxElevation: (principal) => (principal === "alice" ? "privileged" : undefined),
    });
    const { client, run, clock } = job;
    const { grant } = await granted(job, elevation("privileged"));
    expect(run.context.trustLevel).toBe("privileged");
    const metric = await client.sees(({ payload }) => payload.name === "arcpx.arcp.trust.elevated");
    expect(metric).toMatchObject({ type: "metric", payload: { value: 1, dims: { level: "privileged" } } });
    expect(client.ofType("log").map(({ payload }) => payload)).toMatchObject([
      { level: "warn", attributes: { level: "privileged", lease_id: grant.leaseId } },
    ]);
    expect((await auditOf(job)).map(({ action }) => action)).toContain("trust.elevated");
    await expect(grant.perform(act)).rejects.toMatchObject({ canonicalCode: "FAILED_PRECONDITION" });
    clock.advance(300_000);
    expect(run.context.trustLevel).toBe("trusted");
  });

  test("is not raised beyond what the operator allows", async () => {
    await using job = await askingJob({ maxElevation: () => "trusted" });
    await expect(job.run.context.requestPermission(elevation("privileged"))).rejects.toMatchObject({
      details: { reason: "policy" },
    });
  });
});

describe("a permission for a file", () => {
  let directory = "";
  beforeAll(async () => {
    directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-granted-")));
    await mkdir(join(directory, "sub"));
    await writeFile(join(directory, "sub", "plan.txt"), "the plan");
    await writeFile(join(directory, "sub", "other.txt"), "another");
    await symlink(join(directory, "sub"), join(directory, "link"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  const read = (path: string) => ({ permission: "filesystem.read", resource: path, operation: "read" });

  test("lets that file be read, and no other, until it ends", async () => {
    await using job = await askingJob();
    const { context } = job.run;
    const path = join(directory, "sub", "plan.txt");
    await expect(context.fs.read(path, "utf8")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await granted(job, read(path));
    expect(await context.fs.read(path, "utf8")).toBe("the plan");
    await expect(context.fs.read(join(directory, "sub", "other.txt"))).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    await expect(context.fs.write(path, "x")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(context.fs.list(join(directory, "sub"))).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    job.clock.advance(300_000);
    await expect(context.fs.read(path, "utf8")).rejects.toMatchObject({ code: "LEASE_EXPIRED" });
  });

  test("lets a file be written where there is none yet", async () => {
    await using job = await askingJob();
    const path = join(directory, "sub", "new.txt");
    await granted(job, { permission: "filesystem.write", resource: path, operation: "write" });
    await job.run.context.fs.write(path, "new");
    expect(await readFile(path, "utf8")).toBe("new");
    await expect(job.run.context.fs.remove(join(directory, "sub"))).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
  });

  test("leads through no link", async () => {
    await using job = await askingJob();
    const path = join(directory, "link", "plan.txt");
    await granted(job, read(path));
    await expect(job.run.context.fs.read(path)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  test("adds to what the lease names", async () => {
    await using job = await askingJob();
    const { client, puppet } = job;
    const other = join(directory, "sub", "other.txt");
    await client.invoke("puppet", {}, { lease_request: { "fs.read": [other] } });
    const leased = { ...job, run: await puppet.next() };
    expect(await leased.run.context.fs.read(other, "utf8")).toBe("another");
    await granted(leased, read(join(directory, "sub", "plan.txt")));
    expect(await leased.run.context.fs.read(join(directory, "sub", "plan.txt"), "utf8")).toBe("the plan");
    expect(await leased.run.context.fs.read(other, "utf8")).toBe("another");
  });

  test("of a directory lets it be made on the way to what the lease names, and not once it has ended", async () => {
    await using job = await askingJob();
    const { client, puppet, clock } = job;
    await client.invoke("puppet", {}, { lease_request: { "fs.write": [join(directory, "new", "deep", "**")] } });
    const leased = { ...job, run: await puppet.next() };
    const { fs } = leased.run.context;
    const deep = join(directory, "new", "deep", "er");
    await granted(leased, { permission: "filesystem.write", resource: join(directory, "new"), operation: "mkdir" });
    await granted(leased, { permission: "fs.write", resource: join(directory, "new", "deep"), operation: "mkdir" });
    clock.advance(300_000);
    await expect(fs.mkdir(deep, { recursive: true })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await granted(leased, { permission: "filesystem.write", resource: join(directory, "new"), operation: "mkdir" });
    await granted(leased, { permission: "fs.write", resource: join(directory, "new", "deep"), operation: "mkdir" });
    await fs.mkdir(deep, { recursive: true });
    await fs.write(join(deep, "file"), "x");
    expect(await readFile(join(deep, "file"), "utf8")).toBe("x");
  });

  test("of a pattern, if the operator allows that, lets all be read that it matches", async () => {
    await using job = await askingJob({ grantPolicy: { allowsPatterns: true } });
    await granted(job, read(join(directory, "sub", "*.txt")));
    const { fs } = job.run.context;
    expect(await fs.read(join(directory, "sub", "other.txt"), "utf8")).toBe("another");
    await expect(fs.list(directory)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });
});
