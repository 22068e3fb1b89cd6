import { ARCPClient } from "@arcp/client";
import {
  DESCRIBE_FEATURE,
  EXTENSION_FEATURE,
  InvalidRequestError,
  silentLogger,
  TimeoutError,
  type Transport,
  TransportError,
  UnauthenticatedError,
  V1_1_FEATURES,
} from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { connected, FakeRuntime, settle } from "./fake-runtime.ts";

describe("the handshake", () => {
  it("says who the client is, what it can do, and authenticates", async () => {
    covers(
      "V11-6.1-01",
      "V11-6.2-01",
      "V11-5.1-01",
      "V11-5.1-03",
      "V11-5.1-02",
      "V11-5.1-04",
      "V11-5.1-12",
      "V11-5.2-01",
    );
    const runtime = new FakeRuntime();
    const client = new ARCPClient({ client: { name: "t", version: "9" }, token: async () => "tok" });
    const connecting = client.connect(runtime.clientTransport);
    const hello = await runtime.welcome();
    expect(hello).toMatchObject({
      arcp: "1.1",
      type: "session.hello",
      payload: {
        client: { name: "t", version: "9" },
        auth: { scheme: "bearer", token: "tok" },
        capabilities: { encodings: ["json"] },
      },
    });
    expect(hello.session_id).toBeUndefined();
    expect(hello.id).toMatch(/^msg_[0-9A-HJKMNP-TV-Z]{26}$/);
    expect(await connecting).toMatchObject({ resume_token: "rt_1", runtime: { name: "fake", version: "1.0.0" } });
    await client.close();
  });

  it("offers the eleven features, and to answer questions, and uses the intersection", async () => {
    covers("V11-6.2-05", "V11-6.2-07", "V11-6.2-08");
    const runtime = new FakeRuntime();
    const client = new ARCPClient({ token: "t", features: ["ack", "subscribe", "heartbeat"] });
    const connecting = client.connect(runtime.clientTransport);
    const hello = await runtime.welcome({
      capabilities: { encodings: ["json"], features: ["ack", "teleport", "list_jobs", "heartbeat"] },
    });
    await connecting;
    expect(hello.payload.capabilities.features).toEqual(["ack", "subscribe", "heartbeat"]);
    expect([...(client.session?.features ?? [])].sort()).toEqual(["ack", "heartbeat"]);
    await client.close();
    const all = await connected();
    const offered = [...V1_1_FEATURES, EXTENSION_FEATURE, DESCRIBE_FEATURE];
    expect(all.runtime.received[0]?.payload.capabilities.features).toEqual(offered);
    await all.client.close();
  });

  it("understands both forms of the agent inventory", async () => {
    covers("V11-6.2-04");
    const flat = await connected({}, { capabilities: { encodings: ["json"], features: [], agents: ["a", "b"] } });
    expect(flat.client.session?.agents).toEqual([
      { name: "a", versions: [] },
      { name: "b", versions: [] },
    ]);
    await flat.client.close();
    const rich = await connected(
      {},
      {
        capabilities: {
          agents: [
            { name: "a", versions: ["1", "2"], default: "2" },
            { name: "bare", bare: true },
          ],
        },
      },
    );
    expect(rich.client.session?.agents).toEqual([
      { name: "a", versions: ["1", "2"], default: "2" },
      { name: "bare", versions: [] },
    ]);
    await rich.client.close();
  });

  it("reads a flat welcome with nulls and unknown members", async () => {
    covers("V11-5.1-13");
    const runtime = new FakeRuntime();
    const client = new ARCPClient({ token: "t" });
    const connecting = client.connect(runtime.clientTransport);
    await runtime.next("session.hello");
    runtime.send(
      "session.welcome",
      {
        runtime_name: "ruby",
        runtime_version: "1.0.0",
        resume_token: "x",
        resume_window_sec: 300,
        heartbeat_interval_sec: null,
        capabilities: { features: ["ack"] },
        motd: "hi",
      },
      { event_seq: null, job_id: null, trace_id: null, timestamp: "now", priority: 3 },
    );
    expect((await connecting).runtime).toEqual({ name: "ruby", version: "1.0.0" });
    expect(client.session?.runtime.name).toBe("ruby");
    await client.close();
  });

  it("names the session itself for the peer that wants that", async () => {
    const runtime = new FakeRuntime();
    const client = new ARCPClient({ token: "t", compat: { dialect: "ruby" } });
    const connecting = client.connect(runtime.clientTransport);
    const hello = await runtime.next("session.hello");
    expect(hello.session_id).toMatch(/^sess_/);
    expect(hello.payload).toMatchObject({ client_name: "arcp-client", client_version: expect.any(String) });
    runtime.sessionId = hello.session_id as string;
    runtime.sendWelcome();
    await connecting;
    const submitting = client.submit({ agent: "a", leaseRequest: { "fs.read": ["/a/**"], "cost.budget": ["USD:1"] } });
    const submit = await runtime.accept("job_1", { lease: { id: "lse_1", capabilities: ["fs.read"], issued_at: "x" } });
    expect(submit.payload.lease_request).toEqual({ capabilities: ["fs.read"], "cost.budget": ["USD:1"] });
    expect((await submitting).accepted.lease).toEqual({ capabilities: ["fs.read"] });
    await client.close();
    await runtime.next("session.bye");
    expect(runtime.ofType("session.close")).toHaveLength(0);
  });

  it("rejects with the runtime's refusal, closes the transport and can be tried again", async () => {
    const runtime = new FakeRuntime();
    const client = new ARCPClient({ token: "secret-token" });
    const connecting = client.connect(runtime.clientTransport);
    await runtime.next("session.hello");
    runtime.send(
      "session.error",
      { code: "UNAUTHENTICATED", message: "no", retryable: false },
      { session_id: undefined },
    );
    const error = await connecting.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnauthenticatedError);
    expect(JSON.stringify(error) + String(error)).not.toContain("secret-token");
    await runtime.transport.closed;
    const second = new FakeRuntime();
    const again = client.connect(second.clientTransport);
    await second.welcome();
    await again;
    await client.close();
  });

  it("times out, and ends with the transport and with the signal", async () => {
    const clock = new ManualClock();
    const client = new ARCPClient({ token: "t", clock, handshakeTimeoutMs: 4_000 });
    const silent = new FakeRuntime();
    const connecting = client.connect(silent.clientTransport);
    await silent.next("session.hello");
    clock.advance(4_000);
    await expect(connecting).rejects.toBeInstanceOf(TimeoutError);
    const dropped = new FakeRuntime();
    const second = client.connect(dropped.clientTransport);
    await dropped.next("session.hello");
    dropped.drop();
    await expect(second).rejects.toBeInstanceOf(TransportError);
    const refused = new FakeRuntime();
    const told = client.connect(refused.clientTransport);
    await refused.next("session.hello");
    refused.transport.close(4401, "who are you");
    await expect(told).rejects.toBeInstanceOf(UnauthenticatedError);
    const abort = new AbortController();
    const third = client.connect(new FakeRuntime().clientTransport, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await expect(third).rejects.toThrow("enough");
    const fourth = client.connect(new FakeRuntime().clientTransport);
    await settle();
    await client.close();
    await expect(fourth).rejects.toMatchObject({ code: "CANCELLED" });
    expect(clock.pending).toBe(0);
  });

  it("ends at once with an answer that cannot be read", async () => {
    for (const [payload, fields] of [
      [{}, { arcp: "2.0" }],
      [{ capabilities: { agents: 7 } }, {}],
      [{ resume_token: 7 }, { session_id: null }],
    ] as const) {
      const client = new ARCPClient({ token: "t", logger: silentLogger });
      const runtime = new FakeRuntime();
      const connecting = client.connect(runtime.clientTransport);
      await runtime.welcome(payload, fields);
      await expect(connecting).rejects.toBeInstanceOf(InvalidRequestError);
      expect(client.state).toEqual({ phase: "idle" });
    }
  });

  it("never sends a token where others can read it", async () => {
    covers("V11-14-01", "V11-4.1-03");
    const runtime = new FakeRuntime();
    const open: Transport = Object.create(runtime.clientTransport, {
      peer: { value: { kind: "websocket", isConfidential: false } },
      close: { value: () => runtime.drop() },
    }) as Transport;
    await expect(new ARCPClient({ token: "t" }).connect(open)).rejects.toBeInstanceOf(InvalidRequestError);
    expect(runtime.received).toEqual([]);
    await expect(ARCPClient.connect("ws://runtime.example.com/arcp", { token: "t" })).rejects.toBeInstanceOf(
      InvalidRequestError,
    );
  });

  it("answers pings even without heartbeats", async () => {
    covers("V11-6.4-05", "V11-6.4-06");
    const { client, runtime } = await connected({ features: [] });
    runtime.send("session.ping", { nonce: "p_1", sent_at: "2026-01-01T00:00:00Z" });
    const pong = await runtime.next("session.pong");
    expect(pong.payload).toEqual({ ping_nonce: "p_1", received_at: expect.stringMatching(/Z$/) });
    expect(pong.session_id).toBe("sess_1");
    await client.close();
  });
});

describe("feature discipline", () => {
  it("refuses here what was not negotiated", async () => {
    covers("V11-6.2-06", "V11-7.5-01", "V11-7.6-01", "V11-9.5-01", "V11-6.6-01", "V11-6.5-01");
    const { client, runtime } = await connected({}, { capabilities: { encodings: ["json"], features: [] } });
    const refused = [
      client.subscribe("job_1"),
      client.listJobs(),
      client.submit({ agent: "a@1.0.0" }),
      client.submit({ agent: "a", leaseConstraints: { expiresAt: new Date() } }),
      client.submit({ agent: "a", leaseRequest: { "cost.budget": ["USD:1"] } }),
      client.submit({ agent: "a", leaseRequest: { "model.use": ["x"] } }),
      client.submit({ agent: "Not A Name" }),
      client.submit({ agent: "a", traceId: "xyz" }),
      client.submit({ agent: "a", maxRuntimeSec: 0 }),
    ];
    for (const request of refused) await expect(request).rejects.toBeInstanceOf(InvalidRequestError);
    expect(() => client.ack(0)).toThrow(InvalidRequestError);
    runtime.log("job_1", 1);
    await settle();
    expect(runtime.received.map(({ type }) => type)).toEqual(["session.hello"]);
    await client.close();
  });

  it("sends what was negotiated in the wire's form", async () => {
    covers("V11-7.1-01", "V11-7.5-05", "V11-11-01", "V11-5.1-07", "V11-5.1-08", "V11-9.2-01");
    const { client, runtime } = await connected();
    const submitting = client.submit({
      agent: "a@1.0.0",
      input: null,
      leaseRequest: { "fs.read": ["/a/**"], "cost.budget": ["USD:1.00"], "model.use": ["tier/*"] },
      leaseConstraints: { expiresAt: "2030-01-01T02:00:00+02:00" },
      idempotencyKey: "key",
      maxRuntimeSec: 5,
      traceId: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    const submit = await runtime.accept("job_1");
    expect(submit.trace_id).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(submit.payload).toEqual({
      agent: "a@1.0.0",
      input: null,
      lease_request: { "fs.read": ["/a/**"], "cost.budget": ["USD:1.00"], "model.use": ["tier/*"] },
      lease_constraints: { expires_at: "2030-01-01T00:00:00.000Z" },
      idempotency_key: "key",
      max_runtime_sec: 5,
    });
    await submitting;
    await client.close();
  });
});
