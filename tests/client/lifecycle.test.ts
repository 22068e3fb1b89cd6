import { inspect } from "node:util";
import { ARCPClient } from "@arcp/client";
import { CancelledError, createLogger, InvalidRequestError, TransportError } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { collect, connected, FakeRuntime, reconnecting, settle } from "./fake-runtime.ts";

describe("acknowledgements", () => {
  it("go out at most every 250 ms, and only for what is new and processed", async () => {
    covers("V11-6.5-01", "V11-6.5-05", "V11-6.5-06");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const acks = (): number[] => runtime.ofType("session.ack").map(({ payload }) => payload.last_processed_seq);
    for (let seq = 1; seq <= 40; seq += 1) runtime.log("job_1", seq);
    await settle();
    expect(acks()).toEqual([]);
    clock.advance(249);
    await settle();
    expect(acks()).toEqual([]);
    clock.advance(1);
    await settle();
    expect(acks()).toEqual([40]);
    clock.advance(10_000);
    await settle();
    expect(acks()).toEqual([40]);
    const iterator = handle.events();
    for (let taken = 1; taken <= 40; taken += 1) await iterator.next();
    for (let seq = 41; seq <= 50; seq += 1) runtime.log("job_1", seq);
    await settle();
    await iterator.next();
    await iterator.next();
    clock.advance(250);
    await settle();
    expect(acks()).toEqual([40, 42]);
    for (let taken = 43; taken <= 50; taken += 1) await iterator.next();
    clock.advance(250);
    await settle();
    expect(acks()).toEqual([40, 42, 50]);
    await client.close();
    expect(clock.pending).toBe(0);
  });

  it("of what came before a loss follow on the next connection", async () => {
    const clock = new ManualClock();
    const { client, server, runtime } = await reconnecting({ clock });
    for (let seq = 1; seq <= 3; seq += 1) runtime.log("job_1", seq);
    await settle();
    runtime.drop();
    await settle();
    clock.advance(0);
    const second = await server.accept();
    await second.welcome();
    await settle();
    clock.advance(250);
    const ack = await second.next("session.ack");
    expect(ack.payload).toEqual({ last_processed_seq: 3 });
    await client.close();
  });

  it("can be left to the caller, who cannot acknowledge what did not come", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, autoAck: false });
    runtime.log("job_1", 1);
    runtime.log("job_1", 2);
    await settle();
    clock.advance(1_000);
    client.ack(2);
    client.ack(1);
    expect(() => client.ack(3)).toThrow(InvalidRequestError);
    expect(() => client.ack(-1)).toThrow(InvalidRequestError);
    const ack = await runtime.next("session.ack");
    expect(ack.payload).toEqual({ last_processed_seq: 2 });
    await settle();
    expect(runtime.ofType("session.ack")).toHaveLength(1);
    await client.close();
  });
});

describe("closing", () => {
  it("asks with session.close and leaves it at the runtime's agreement", async () => {
    covers("V11-6.7-01");
    const { client, runtime } = await connected();
    await client.close("done");
    expect(runtime.ofType("session.close")[0]?.payload).toEqual({ reason: "done" });
    expect(runtime.ofType("session.bye")).toEqual([]);
    await client.close();
    await runtime.transport.closed;
    expect(runtime.ofType("session.close")).toHaveLength(1);
    await expect(client.submit({ agent: "a" })).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(client.connect(new FakeRuntime().clientTransport)).rejects.toBeInstanceOf(InvalidRequestError);
  });

  it("says goodbye to a runtime that does not know session.close, and nothing after that", async () => {
    covers("V11-6.7-05", "V11-6.7-06");
    const { client, runtime } = await connected();
    runtime.onClose = "error";
    await client.close();
    await settle();
    expect(runtime.received.slice(-2).map(({ type }) => type)).toEqual(["session.close", "session.bye"]);
  });

  it("does not wait for ever", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, closeTimeoutMs: 2_000 });
    runtime.onClose = "silence";
    const never = client.listJobs();
    const closing = client.close();
    await expect(never).rejects.toBeInstanceOf(CancelledError);
    await runtime.next("session.close");
    clock.advance(2_000);
    await closing;
    await runtime.next("session.bye");
    expect(clock.pending).toBe(0);
  });

  it("by disposal, and of a client that never connected", async () => {
    await new ARCPClient().close();
    const { client, runtime } = await connected();
    {
      await using scoped = client;
      expect(scoped.session?.sessionId).toBe("sess_1");
    }
    await client.closed;
    await runtime.transport.closed;
  });

  it("by abort settles everything at once", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const reading = collect(handle);
    const session = collect(client.events());
    const listing = client.listJobs();
    client.abort(new TransportError("pulled"));
    await expect(reading).rejects.toThrow("pulled");
    await expect(listing).rejects.toThrow("pulled");
    await expect(handle.done).rejects.toThrow("pulled");
    await expect(client.closed).rejects.toThrow("pulled");
    expect(await session).toEqual([]);
    await runtime.transport.closed;
    expect(await collect(client.events())).toEqual([]);
  });

  it("by the runtime is a lost connection", async () => {
    const { client, server, runtime } = await reconnecting();
    runtime.send("session.bye", { reason: "restart" });
    const second = await server.accept();
    expect((await second.welcome()).payload.resume.session_id).toBe("sess_1");
    await settle();
    await client.close();
  });

  it("causes no unhandled rejection when nobody looks", async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", onUnhandled);
    try {
      const { client, runtime } = await connected();
      const submitting = client.submit({ agent: "echo" });
      await runtime.accept("job_1");
      const handle = await submitting;
      void handle.done;
      runtime.error("job_1", 1, { final_status: "error", code: "BOOM", message: "b", retryable: false });
      const second = client.submit({ agent: "echo" });
      await runtime.accept("job_2");
      await second;
      const subscribing = client.subscribe("job_3");
      await runtime.next("job.subscribe");
      runtime.send("job.subscribed", { job_id: "job_3", current_status: "running" });
      await subscribing;
      client.abort();
      await settle();
      expect(unhandled).toEqual([]);
    } finally {
      process.off("unhandledRejection", onUnhandled);
    }
  });

  it("leaves listeners that throw to themselves", async () => {
    const lines: string[] = [];
    const { client, runtime } = await connected({ logger: createLogger((line) => lines.push(line)) });
    client.on("event", () => {
      throw new Error("mine");
    });
    runtime.log("job_1", 1);
    await settle();
    expect(client.resumeInfo?.lastEventSeq).toBe(1);
    expect(lines).toHaveLength(1);
    await client.close();
  });
});

describe("secrets", () => {
  it("are in no report, error or log line", async () => {
    covers("V11-6.2-14", "V11-14-05");
    const told: unknown[] = [];
    const logger = createLogger((line) => told.push(line), "debug");
    const { client, server, runtime } = await reconnecting(
      { logger, token: "bearer-secret" },
      { resume_token: "rt-secret" },
    );
    client.on("state", (state) => told.push(state));
    client.on("error", (error) => told.push(error, error.toWire(), String(error.stack)));
    void client.submit({ agent: "echo" }).catch((error: unknown) => told.push(error));
    const submit = await runtime.next("job.submit");
    runtime.transport.send("{");
    runtime.log("job_1", 7);
    const second = await server.accept();
    await second.next("session.hello");
    second.send("session.error", { code: "RESUME_WINDOW_EXPIRED", message: "gone", retryable: false });
    await client.closed.catch((error: unknown) => told.push(error));
    expect(told.length).toBeGreaterThan(6);
    const text = told.map((value) => JSON.stringify(value) + inspect(value)).join("\n") + inspect(client, { depth: 9 });
    expect(text).not.toMatch(/bearer-secret|rt-secret/);
    expect(submit.trace_id).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("retrying a submit", () => {
  it("repeats it under one key while the refusal is retryable", async () => {
    covers("V11-12-08");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const submitting = client.submit({ agent: "echo", retry: { attempts: 3, initialDelayMs: 1 } });
    const first = await runtime.next("job.submit");
    runtime.send("session.error", { code: "INTERNAL_ERROR", message: "b", retryable: true, request_id: first.id });
    await settle();
    clock.advance(1);
    const second = await runtime.accept("job_1");
    expect(second.payload.idempotency_key).toBe(first.payload.idempotency_key);
    expect(second.payload.idempotency_key).toEqual(expect.any(String));
    expect((await submitting).jobId).toBe("job_1");
    await client.close();
  });

  it("never repeats what is not retryable, nor more often than allowed", async () => {
    covers("V11-12-08");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const refused = client.submit({ agent: "echo", retry: { attempts: 5 } });
    const first = await runtime.next("job.submit");
    runtime.send("session.error", { code: "BUDGET_EXHAUSTED", message: "b", retryable: false, request_id: first.id });
    await expect(refused).rejects.toMatchObject({ code: "BUDGET_EXHAUSTED" });
    const limited = client.submit({ agent: "echo", retry: { attempts: 1 } });
    const second = await runtime.next("job.submit");
    runtime.send("session.error", { code: "INTERNAL_ERROR", message: "b", retryable: true, request_id: second.id });
    await expect(limited).rejects.toMatchObject({ code: "INTERNAL_ERROR" });
    const aborted = new AbortController();
    const stopped = client.submit({ agent: "echo", retry: { attempts: 5 }, signal: aborted.signal });
    const third = await runtime.next("job.submit");
    runtime.send("session.error", { code: "TIMEOUT", message: "b", retryable: true, request_id: third.id });
    await settle();
    aborted.abort();
    await expect(stopped).rejects.toThrow();
    await client.close();
    expect(clock.pending).toBe(0);
  });
});

describe("provisioned credentials", () => {
  const CREDENTIAL = {
    id: "cred_1",
    scheme: "bearer",
    value: "sk-secret",
    endpoint: "https://gateway.example.com/v1",
    profile: "openai",
    constraints: { "cost.budget": ["USD:5.00"] },
  };

  it("are held while the job lives, rotated, and wiped when it ends", async () => {
    covers("V11-9.8.1-04", "V11-9.8.2-13", "V11-9.8.2-14", "V11-14-18", "V11-9.8.1-05", "V11-9.8.3-05");
    const lines: string[] = [];
    const { client, runtime } = await connected({ logger: createLogger((line) => lines.push(line), "debug") });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1", {
      lease: { "model.use": ["x"] },
      credentials: [CREDENTIAL, { ...CREDENTIAL, id: "cred_2", scheme: "signed_url", value: { at: "https://…" } }],
    });
    const handle = await submitting;
    const events = collect(handle);
    const [credential] = handle.credentials;
    expect(handle.credentials).toHaveLength(1);
    expect(handle.accepted.credentials).toEqual(handle.credentials);
    expect(credential).toMatchObject({ id: "cred_1", endpoint: "https://gateway.example.com/v1", profile: "openai" });
    expect(credential?.value).toBe("sk-secret");
    expect(JSON.stringify(handle.accepted)).not.toContain("sk-secret");
    const rotations = [
      { phase: "credential_rotated", id: "cred_1", value: "sk-1" },
      { phase: "credential_rotated", message: "cred_1", details: { id: "cred_1", value: "sk-2" } },
      { phase: "credential_rotated", fields: { id: "cred_1" } },
      { phase: "credential_rotated", message: JSON.stringify({ id: "cred_1", value: "sk-3" }) },
    ];
    const values: (string | undefined)[] = [];
    for (const [index, body] of rotations.entries()) {
      runtime.event("job_1", index + 1, "status", body);
      await settle();
      values.push(credential?.value);
    }
    expect(values).toEqual(["sk-1", "sk-2", "sk-2", "sk-3"]);
    runtime.result("job_1", 5);
    expect(JSON.stringify(await events)).not.toContain("sk-");
    await handle.done;
    expect(credential?.value).toBeUndefined();
    expect(handle.credentials[0]?.value).toBeUndefined();
    await client.close();
    expect(lines.join("\n")).not.toContain("sk-");
    expect(lines.join("\n")).not.toContain("secret-token");
  });

  it("of a subscription are wiped with the job, and when the client closes", async () => {
    covers("V11-9.8.2-14");
    const { client, runtime } = await connected();
    const subscribing = client.subscribe("job_1");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { job_id: "job_1", current_status: "running", credentials: [CREDENTIAL] });
    const subscription = await subscribing;
    const [credential] = subscription.subscribed.credentials;
    expect(credential?.value).toBe("sk-secret");
    await client.close();
    await expect(subscription.done).rejects.toBeInstanceOf(CancelledError);
    expect(credential?.value).toBeUndefined();
  });
});
