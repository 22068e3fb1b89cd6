import type { SubmitOptions } from "@arcp/client";
import type { Lease } from "@arcp/core";
import type { LeasePolicy } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES } from "../support/raw-client.ts";

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
const TRACE_ID = /^[0-9a-f]{32}$/;

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a submission is accepted with job, lease, time and trace", async () => {
    covers("V11-7.1-02");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const accepted = await client.submit("puppet", { n: 1 }, { lease_request: { "fs.read": ["/a/**"] } });
    expect(accepted.type).toBe("job.accepted");
    expect(accepted.payload).toMatchObject({ lease: { "fs.read": ["/a/**"] }, agent: "puppet@0.0.0" });
    expect(accepted.payload.job_id).toMatch(/^job_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(accepted.payload.accepted_at).toMatch(INSTANT);
    expect(accepted.payload.trace_id).toMatch(TRACE_ID);
    expect(accepted.job_id).toBe(accepted.payload.job_id);
    const run = await puppet.next();
    expect(run.input).toEqual({ n: 1 });
    expect(run.context.jobId).toBe(accepted.payload.job_id);
  });

  test("the acceptance comes before everything that a hasty agent says", async () => {
    covers("V11-7.1-11");
    await using harness = startHarness({
      carrier,
      agents: {
        hasty: (_input, context) => {
          for (let n = 0; n < 3; n += 1) void context.log("info", String(n));
          return "done";
        },
        failing: () => {
          throw new Error("at once");
        },
      },
    });
    const client = await harness.rawSession();
    const ids = Array.from({ length: 10 }, (_, index) =>
      client.send("job.submit", { agent: index % 2 === 0 ? "hasty" : "failing", input: null }),
    );
    const accepted = await Promise.all(
      ids.map((id) => client.find((frame) => frame.payload?.request_id === id, "an acceptance")),
    );
    await Promise.all(accepted.map((frame) => client.end(frame.payload.job_id)));
    for (const frame of accepted) {
      const about = client.frames.filter(({ job_id }) => job_id === frame.payload.job_id);
      expect(about[0]?.type).toBe("job.accepted");
      const more = about.slice(1).map(({ type }) => type);
      expect([["job.event", "job.event", "job.event", "job.result"], ["job.error"]]).toContainEqual(more);
    }
  });
});

test("the client writes every option under its own name, and none that was not set", async () => {
  covers("V11-7.1-01");
  const sent: Frame[] = [];
  await using harness = startHarness({
    agents: { echo: (input) => input },
    faults: () => ({
      left: {
        onSend: (text) => {
          sent.push(JSON.parse(text) as Frame);
          return "deliver";
        },
      },
    }),
  });
  const client = await harness.client();
  const all: SubmitOptions = {
    agent: "echo@0.0.0",
    input: [1, { two: 2 }],
    leaseRequest: { "fs.read": ["/a"] },
    leaseConstraints: { expiresAt: "2999-01-01T00:00:00Z" },
    idempotencyKey: "key-1",
    maxRuntimeSec: 5,
  };
  await (await client.submit(all)).done;
  await (await client.submit({ agent: "echo" })).done;
  expect(sent.filter(({ type }) => type === "job.submit").map(({ payload }) => payload)).toEqual([
    {
      agent: "echo@0.0.0",
      input: [1, { two: 2 }],
      lease_request: { "fs.read": ["/a"] },
      lease_constraints: { expires_at: "2999-01-01T00:00:00Z" },
      idempotency_key: "key-1",
      max_runtime_sec: 5,
    },
    { agent: "echo", input: null },
  ]);
});

describe("what is granted", () => {
  const onlyReading: LeasePolicy = (request, { principal }) =>
    principal === "alice"
      ? request
      : Object.fromEntries(Object.entries(request).filter(([capability]) => capability === "fs.read"));

  test("a policy takes away from what a restricted principal asks for, and the job runs under what is left", async () => {
    covers("V11-7.1-03", "V11-7.1-04");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { leasePolicy: onlyReading } });
    const request = { "fs.read": ["/a/**"], "fs.write": ["/a/**"], "net.fetch": ["https://example.com/**"] };
    const grants: unknown[] = [];
    for (const token of ["alice", "bob"]) {
      const client = await harness.rawSession(undefined, token);
      const accepted = await client.submit("puppet", null, { lease_request: request });
      grants.push(accepted.payload.lease);
      const { context } = await puppet.next();
      // What is not in the lease that the agent holds cannot be used through it.
      expect(context.lease).toEqual(accepted.payload.lease);
      expect(Object.isFrozen(context.lease)).toBe(true);
      expect(() => Object.assign(context.lease, { "fs.write": ["/**"] })).toThrow(TypeError);
    }
    expect(grants).toEqual([request, { "fs.read": ["/a/**"] }]);
  });

  const CAPABILITIES = ["fs.read", "fs.write", "net.fetch", "tool.call", "model.use", "x-vendor.acme.print"];
  const word = fc.stringMatching(/^[a-z][a-z*]{0,5}$/);
  const words = fc.array(word, { minLength: 1, maxLength: 3 });
  const PREFIXES: Readonly<Record<string, string>> = {
    "fs.read": "/",
    "fs.write": "/",
    "net.fetch": "https://a.test/",
  };
  const patternsOf = (capability: string) =>
    fc.array(
      words.map((segments) => (PREFIXES[capability] ?? "") + segments.join("/")),
      { maxLength: 4 },
    );
  const leases = fc
    .uniqueArray(fc.constantFrom(...CAPABILITIES))
    .chain((names) => fc.record(Object.fromEntries(names.map((name) => [name, patternsOf(name)]))));

  test("no request, none at all included, is granted more than it asks for", async () => {
    covers("V11-7.1-05");
    await using harness = startHarness({
      agents: { echo: (input) => input },
      // Takes away every second pattern.
      server: {
        leasePolicy: (request) =>
          Object.fromEntries(
            Object.entries(request).map(([name, patterns]) => [name, patterns.filter((_, index) => index % 2 === 0)]),
          ),
      },
    });
    const client = await harness.rawSession();
    expect((await client.submit("echo")).payload.lease).toEqual({});
    expect((await client.submit("echo", null, { lease_request: null })).payload.lease).toEqual({});
    await fc.assert(
      fc.asyncProperty(leases, async (request) => {
        const { payload } = await client.submit("echo", null, { lease_request: request });
        for (const [name, patterns] of Object.entries(payload.lease as Lease)) {
          for (const granted of patterns) expect(request[name]).toContain(granted);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("a policy that grants what was not asked for is a fault of the runtime: no job comes of it", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { leasePolicy: (request) => ({ ...request, "fs.write": ["/**"] }) },
    });
    const client = await harness.rawSession();
    const refusal = await client.submit("puppet", null, { lease_request: { "fs.read": ["/a"] } });
    expect(refusal.payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    expect(await client.listJobs()).toEqual([]);
    expect(puppet.runs).toEqual([]);
  });

  test("constraints are echoed when there are any", async () => {
    covers("V11-7.1-06");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const expires_at = "2999-02-28T12:00:00.5Z";
    const bound = await client.submit("echo", null, { lease_constraints: { expires_at } });
    expect(bound.payload.lease_constraints).toEqual({ expires_at });
    for (const lease_constraints of [undefined, null, {}, { expires_at: null }]) {
      const free = await client.submit("echo", null, { lease_constraints });
      expect(free.type).toBe("job.accepted");
      expect(free.payload).not.toHaveProperty("lease_constraints");
    }
  });

  test("a budget starts with the amounts of the lease, and is not shown without one", async () => {
    covers("V11-7.1-07");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const budgeted = await client.submit("echo", null, {
      lease_request: { "cost.budget": ["USD:5.00", "credits:1000"] },
    });
    expect(budgeted.payload.budget).toEqual({ USD: 5, credits: 1000 });
    const free = await client.submit("echo", null, { lease_request: { "fs.read": ["/a"] } });
    expect(free.payload).not.toHaveProperty("budget");
  });

  test("a lease without constraints does not expire", async () => {
    covers("V11-7.1-08");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const accepted = await client.submit("puppet", null, { lease_request: { "fs.read": ["/a"] } });
    const { context, finish } = await puppet.next();
    clock.advance(400 * 24 * 3_600_000);
    expect(context.signal.aborted).toBe(false);
    await context.toolCall({ tool: "read", args: { path: "/a" }, call_id: "1" });
    await context.toolResult({ call_id: "1", result: "text" });
    finish("done");
    expect((await client.end(accepted.payload.job_id)).payload).toMatchObject({
      final_status: "success",
      result: "done",
    });
    expect(JSON.stringify(client.frames)).not.toContain("LEASE_EXPIRED");
  });

  test("without a budget no cost ends a job", async () => {
    covers("V11-7.1-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("puppet", null, { lease_request: { "fs.read": ["/a"] } });
    const { context, finish } = await puppet.next();
    await context.metric({ name: "cost.inference", value: 1e12, unit: "USD" });
    await context.metric({ name: "cost.inference", value: 1e12, unit: "USD" });
    const subscribed = await client.ask("job.subscribe", { job_id: payload.job_id });
    finish("done");
    expect((await client.end(payload.job_id)).payload.final_status).toBe("success");
    expect(subscribed.payload).not.toHaveProperty("budget");
    const names = client.ofJob(payload.job_id).map((frame) => frame.payload.body?.name);
    expect(names).toEqual(["cost.inference", "cost.inference", undefined]);
    expect(JSON.stringify(client.frames)).not.toContain("BUDGET_EXHAUSTED");
  });

  test("a runtime without a provisioner shows no credentials", async () => {
    covers("V11-7.1-10");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const accepted = await client.submit("echo", null, { lease_request: { "model.use": ["tier-fast/*"] } });
    expect(accepted.type).toBe("job.accepted");
    expect(accepted.payload).not.toHaveProperty("credentials");
  });
});

describe("what is refused creates no job", () => {
  const budget = { lease_request: { "cost.budget": ["USD:1"] } };
  const refusals: readonly (readonly [what: string, payload: object, code: string])[] = [
    ["an unknown agent", { agent: "nobody" }, "AGENT_NOT_AVAILABLE"],
    ["an unknown version", { agent: "puppet@9" }, "AGENT_VERSION_NOT_AVAILABLE"],
    ["no agent", {}, "INVALID_REQUEST"],
    ["an agent that is no text", { agent: 5 }, "INVALID_REQUEST"],
    ["a lease that is a list", { agent: "puppet", lease_request: ["fs.read"] }, "INVALID_REQUEST"],
    ["an unknown capability", { agent: "puppet", lease_request: { "fs.fly": ["/a"] } }, "INVALID_REQUEST"],
    ["a pattern that is no list", { agent: "puppet", lease_request: { "fs.read": "/a" } }, "INVALID_REQUEST"],
    ["an empty pattern", { agent: "puppet", lease_request: { "fs.read": [""] } }, "INVALID_REQUEST"],
    ["too many patterns", { agent: "puppet", lease_request: { "fs.read": Array(65).fill("/a") } }, "INVALID_REQUEST"],
    ["an amount that is none", { agent: "puppet", lease_request: { "cost.budget": ["USD:-1"] } }, "INVALID_REQUEST"],
    [
      "a past expiry",
      { agent: "puppet", lease_constraints: { expires_at: "2020-01-01T00:00:00Z" } },
      "INVALID_REQUEST",
    ],
    [
      "an expiry elsewhere",
      { agent: "puppet", lease_constraints: { expires_at: "2999-01-01T00:00:00+01:00" } },
      "INVALID_REQUEST",
    ],
    ["30 February", { agent: "puppet", lease_constraints: { expires_at: "2999-02-30T00:00:00Z" } }, "INVALID_REQUEST"],
    ["no runtime at all", { agent: "puppet", max_runtime_sec: 0 }, "INVALID_REQUEST"],
    ["a negative runtime", { agent: "puppet", max_runtime_sec: -1 }, "INVALID_REQUEST"],
    ["a runtime that is text", { agent: "puppet", max_runtime_sec: "60" }, "INVALID_REQUEST"],
    ["an empty key", { agent: "puppet", idempotency_key: "" }, "INVALID_REQUEST"],
    ["a key used otherwise", { agent: "puppet", input: "other", idempotency_key: "taken" }, "DUPLICATE_KEY"],
  ];

  test("whatever the reason", async () => {
    covers("V11-7.1-12");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const first = await client.submit("puppet", "first", { idempotency_key: "taken" });
    for (const [what, payload, code] of refusals) {
      const reply = await client.ask("job.submit", { input: null, ...payload });
      expect({ what, type: reply.type, code: reply.payload.code }).toEqual({ what, type: "session.error", code });
    }
    const listed = await client.listJobs();
    expect(listed.map(({ job_id }) => job_id)).toEqual([first.payload.job_id]);
    expect(client.frames.filter(({ type }) => type === "job.accepted")).toHaveLength(1);
    expect(puppet.runs).toHaveLength(1);
  });

  test.each([
    ["lease_expires_at", { lease_constraints: { expires_at: "2999-01-01T00:00:00Z" } }],
    ["cost.budget", budget],
    ["model.use", { lease_request: { "model.use": ["*"] } }],
    ["agent_versions", { agent: "puppet@0.0.0" }],
  ])("a member that needs %s, which was not negotiated", async (feature, payload) => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession(QUIET_FEATURES.filter((name) => name !== feature));
    const reply = await client.ask("job.submit", { agent: "puppet", input: null, ...payload });
    expect(reply.payload).toMatchObject({ code: "INVALID_REQUEST", details: { feature } });
    expect(await client.listJobs()).toEqual([]);
    expect(puppet.runs).toEqual([]);
  });

  test("one job too many, until there is room again", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { caps: { maxConcurrentJobs: 1 } },
    });
    const client = await harness.rawSession();
    const first = await client.submit("puppet");
    const refused = await client.submit("puppet");
    expect(refused.payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { retry: "after_capacity" },
    });
    expect(await client.listJobs()).toHaveLength(1);
    (await puppet.next()).finish();
    await client.end(first.payload.job_id);
    expect((await client.submit("puppet")).type).toBe("job.accepted");
  });
});

test("a refusal names the member that is wrong, also inside one that may be absent", async () => {
  covers("V11-12-04");
  await using harness = startHarness({ agents: { echo: (input) => input } });
  const client = await harness.rawSession();
  const refusal = await client.submit("echo", null, { lease_request: { "fs.read": ["/a/**", 7] } });
  expect(refusal.payload).toMatchObject({
    code: "INVALID_REQUEST",
    details: { type: "job.submit", path: "payload.lease_request.fs.read.1" },
  });
  expect(refusal.payload.message).toContain("expected string");
});
