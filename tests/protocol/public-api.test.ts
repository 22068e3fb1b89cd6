/** The names and defaults of the public contract, on the roots of the packages. */
import * as client from "@arcp/client";
import * as core from "@arcp/core";
import * as runtime from "@arcp/runtime";
import * as sdk from "@arcp/sdk";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES, RawClient } from "../support/raw-client.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const CORE = [
  ...["buildEnvelope", "messageEnvelope", "isPreSessionType", "ARCPError", "MemoryTransport", "StdioTransport"],
  ...["pairMemoryTransports", "WebSocketTransport", "startWebSocketServer", "SessionState", "PendingRegistry"],
  ...["StaticBearerVerifier", "negotiateCapabilities"],
];
const RUNTIME = [
  ...["ARCPServer", "SessionContext", "StaticBearerVerifier", "validateLeaseShape", "validateLeaseConstraints"],
  ...["isValidCapabilityName", "isReservedCapabilityName", "initialBudgetFromLease"],
];

test.each([
  ["@arcp/core", core, CORE],
  ["@arcp/client", client, ["ARCPClient"]],
  ["@arcp/runtime", runtime, RUNTIME],
  ["@arcp/sdk", sdk, [...CORE, "ARCPClient", ...RUNTIME]],
])("%s exports the contract's functions and classes", (_name, exports, names) => {
  for (const name of names) expect(exports, name).toHaveProperty(name, expect.any(Function));
});

test("@arcp/sdk exports the very values of the three packages", () => {
  const shown: Record<string, unknown> = { ...sdk };
  for (const exports of [core, client, runtime]) {
    for (const [name, value] of Object.entries(exports)) expect(shown[name], name).toBe(value);
  }
});

test("classes have the contract's methods", () => {
  const methods = (type: { readonly prototype: object }): readonly string[] =>
    Object.getOwnPropertyNames(type.prototype);
  expect(methods(client.ARCPClient)).toEqual(
    expect.arrayContaining(["connect", "resume", "submit", "subscribe", "listJobs", "cancelJob", "ack"]),
  );
  expect(methods(runtime.ARCPServer)).toEqual(expect.arrayContaining(["accept", "registerAgent", "subscribers"]));
  expect(methods(runtime.SessionContext)).toEqual(
    expect.arrayContaining([
      ...["state", "nextEventSeq", "registerHandler", "send", "emitSessionError", "emitJobError"],
      ...["negotiatedFeatures", "lastAckedEventSeq"],
    ]),
  );
});

describe("@arcp/core", () => {
  test("has an error class per code", () => {
    expect(core.ERROR_CODES).toHaveLength(15);
    type ErrorClass = new (message: string) => core.ARCPError;
    const classes = (Object.values(core) as unknown[]).filter(
      (value): value is ErrorClass =>
        typeof value === "function" && value.prototype instanceof core.ARCPError && value !== core.TransportError,
    );
    const codes = classes.map((Class) => new Class("m").code);
    expect(codes.sort()).toEqual([...core.ERROR_CODES].sort());
  });

  test("builds envelopes with the wire's version and an id of their own", () => {
    const payload = { last_processed_seq: 3 };
    const first = core.buildEnvelope({ type: "session.ack", payload, session_id: undefined });
    expect(JSON.parse(JSON.stringify(first))).toEqual({ arcp: "1.1", id: first.id, type: "session.ack", payload });
    expect(first.id).toMatch(/^msg_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(core.buildEnvelope({ type: "session.ack", payload }).id).not.toBe(first.id);
    expect(core.buildEnvelope({ type: "session.ack", payload, id: first.id, arcp: "1" })).toMatchObject({
      arcp: "1",
      id: first.id,
    });
    expect(core.decodeClientMessage(JSON.parse(JSON.stringify(first)) as core.JsonObject).payload).toEqual(payload);
  });

  test("makes schemas of messages", () => {
    const schema = core.messageEnvelope("x-vendor.acme.ask", core.thoughtBody);
    const built = core.buildEnvelope({ type: "x-vendor.acme.ask", payload: { text: "why?" } });
    expect(schema.parse(built)).toEqual(built);
    expect(schema.safeParse({ ...built, type: "x-vendor.acme.tell" }).success).toBe(false);
    expect(schema.safeParse({ ...built, payload: {} }).success).toBe(false);
  });

  test("knows what may come before the session, and which features there are", () => {
    expect(["session.hello", "session.resume", "job.submit"].map(core.isPreSessionType)).toEqual([true, true, false]);
    expect(core.V1_1_FEATURES).toHaveLength(11);
    expect(core.negotiateCapabilities(core.V1_1_FEATURES, ["ack", "other"])).toEqual(["ack"]);
  });
});

describe("a server without options", () => {
  test("has a heartbeat every 30 seconds, a resume window of 600 seconds, and offers every feature that it has", async () => {
    await using harness = startHarness();
    const { payload } = await (await harness.raw()).hello();
    expect(payload).toMatchObject({ heartbeat_interval_sec: 30, resume_window_sec: 600 });
    expect(payload.capabilities.features).toEqual(
      core.V1_1_FEATURES.filter((name) => name !== "provisioned_credentials"),
    );
  });

  test("has the contract's caps", async () => {
    expect(runtime.DEFAULT_SESSION_CAPS).toEqual({
      maxBufferedEvents: 10_000,
      maxBufferedBytes: 16 * 1024 * 1024,
      maxConcurrentJobs: 100,
    });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const raw = await harness.rawSession();
    const replies = await Promise.all(
      Array.from({ length: 101 }, () => raw.ask("job.submit", { agent: "puppet", input: null })),
    );
    expect(replies.filter(({ type }) => type === "job.accepted")).toHaveLength(100);
    for (const run of puppet.runs) run.finish();
  });

  test("gives a cancelled agent 30 seconds", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const raw = await harness.rawSession(QUIET_FEATURES);
    const { job_id } = (await raw.submit("puppet")).payload;
    await puppet.next();
    await raw.ask("job.cancel", { job_id });
    clock.advance(29_999);
    await raw.fence();
    expect(raw.ofJob(job_id)).toEqual([]);
    clock.advance(1);
    expect((await raw.end(job_id)).payload.code).toBe("CANCELLED");
  });

  test("remembers an idempotency key for 24 hours", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { clock } });
    const raw = await harness.rawSession(QUIET_FEATURES);
    const submit = async (): Promise<string> => {
      const { payload } = await raw.submit("echo", null, { idempotency_key: "k" });
      await raw.end(payload.job_id);
      return payload.job_id;
    };
    const first = await submit();
    clock.advance(DAY_MS - 1);
    expect(await submit()).toBe(first);
    clock.advance(2);
    await settle();
    expect(await submit()).not.toBe(first);
  });

  test("shows a job to its submitter alone", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { job_id } = (await (await harness.rawSession()).submit("puppet")).payload;
    const mallory = await harness.rawSession(undefined, "mallory");
    expect((await mallory.ask("job.subscribe", { job_id })).payload.code).toBe("PERMISSION_DENIED");
    expect(await mallory.listJobs()).toEqual([]);
  });

  test("lets nobody in without a verifier", async () => {
    await using harness = startHarness({ server: { bearer: undefined as never } });
    expect((await (await harness.raw()).hello()).payload.code).toBe("UNAUTHENTICATED");
  });
});

test("a server tells what stands for a connection: its session, its jobs, its numbers", async () => {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const [left, right] = core.pairMemoryTransports();
  const context = await harness.server.accept(right);
  expect([context.state.phase, context.sessionId, context.negotiatedFeatures]).toEqual([
    "pre-handshake",
    undefined,
    [],
  ]);
  const raw = new RawClient(left);
  await raw.hello(["ack"]);
  expect([context.state.phase, context.sessionId, context.principal]).toEqual(["accepted", raw.sessionId, "alice"]);
  expect(context.negotiatedFeatures).toEqual(["ack"]);
  const { job_id } = (await raw.submit("puppet", null, { lease_request: { "fs.read": ["/a"] } })).payload;
  const run = await puppet.next();
  expect(context.jobs.list().map(({ jobId }) => jobId)).toEqual([job_id]);
  expect(context.jobs.get(job_id)).toMatchObject({
    ...{ jobId: job_id, sessionId: raw.sessionId, agent: "puppet", agentVersion: "0.0.0", agentRef: "puppet@0.0.0" },
    ...{ lease: { "fs.read": ["/a"] }, submitterPrincipal: "alice", state: "running", isTerminal: false },
  });
  expect(harness.server.subscribers.get(job_id)).toEqual(new Set([context]));
  expect([context.nextEventSeq(), context.lastAckedEventSeq]).toEqual([1, 0]);
  await run.context.log("info", "1");
  await raw.find(({ event_seq }) => event_seq === 1);
  raw.send("session.ack", { last_processed_seq: 1 });
  await raw.fence();
  expect([context.nextEventSeq(), context.lastAckedEventSeq]).toEqual([2, 1]);

  context.registerHandler("x-vendor.acme.ask", () => context.send({ type: "x-vendor.acme.tell", payload: { a: 1 } }));
  raw.send("x-vendor.acme.ask");
  expect((await raw.next("x-vendor.acme.tell")).payload).toEqual({ a: 1 });
  expect(() => context.registerHandler("job.submit", () => {})).toThrow(core.InvalidRequestError);

  context.emitJobError(job_id, { code: "ACME_STOP", message: "by the host", retryable: false });
  expect((await raw.end(job_id)).payload).toMatchObject({ code: "ACME_STOP", message: "by the host" });
  context.emitSessionError(new core.InternalError("the host is leaving"));
  expect((await raw.next("session.error")).payload.message).toBe("the host is leaving");
  await raw.transport.closed;
  expect(context.state.phase).toBe("closed");
  const logged: string[] = [];
  for await (const { type } of harness.server.eventLog.entries(job_id)) logged.push(type);
  expect(logged).toEqual(["job.event", "job.error"]);
});

test("leases are checked and counted by functions of their own", () => {
  const lease = runtime.validateLeaseShape({ "fs.read": ["/a/**"], "cost.budget": ["USD:1.50", "USD:0.25"] });
  expect(runtime.initialBudgetFromLease(lease)).toEqual(new Map([["USD", 1.75]]));
  expect(() => runtime.validateLeaseShape({ "no.such": [] })).toThrow(core.InvalidRequestError);
  expect(["fs.read", "x-vendor.acme.print", "fs.delete"].map(runtime.isValidCapabilityName)).toEqual([
    true,
    true,
    false,
  ]);
  expect(["fs.read", "x-vendor.acme.print"].map(runtime.isReservedCapabilityName)).toEqual([true, false]);
});
