/** Everything else that the client can have done: workflows, schedules, delegation, checkpoints, artifacts (RFC §10, §14, §16, §19, §21). */
import { createHash } from "node:crypto";
import type { Invocation } from "@arcp/client";
import { InvalidRequestError } from "@arcp/core";
import { CanonicalError, codeOf10 } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { scripted } from "./scripted-runtime.ts";
import { collect, logsOf, toolClient } from "./support.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

describe("invocations", () => {
  test("carry key, priority, terms and trace", async () => {
    covers("V10-6.5-01", "V10-17.1-01", "V10-14-03");
    await using scene = await scripted();
    scene.client.invoke(
      "tool",
      { n: 1 },
      {
        ...{ idempotencyKey: "k", priority: "high", durable: true, maxRuntimeSec: 5 },
        ...{ lease: { "fs.read": ["/a/**"] }, leaseConstraints: { expiresAt: new Date("2027-01-01T00:00:00Z") } },
        traceparent: `00-${TRACE}-00f067aa0ba902b7-01`,
      },
    );
    expect(await scene.runtime.next("tool.invoke")).toMatchObject({
      ...{ session_id: "sess_1", idempotency_key: "k", priority: "high" },
      ...{ trace_id: TRACE, span_id: "00f067aa0ba902b7" },
      payload: {
        ...{ tool: "tool", arguments: { n: 1 }, durable: true, max_runtime_sec: 5 },
        ...{ lease_request: { "fs.read": ["/a/**"] }, lease_constraints: { expires_at: "2027-01-01T00:00:00.000Z" } },
      },
    });
    scene.client.startWorkflow("flow", [1, 2]);
    expect((await scene.runtime.next("workflow.start")).payload).toEqual({ workflow: "flow", inputs: [1, 2] });
  });

  test("that no runtime would take are not sent", async () => {
    await using scene = await scripted();
    const { client } = scene;
    const wrong: (() => unknown)[] = [
      () => client.invoke(""),
      () => client.invoke("t", {}, { maxRuntimeSec: 0 }),
      () => client.invoke("t", {}, { traceId: "nonsense" }),
      () => client.startWorkflow(""),
      () => client.delegate("", { task: "x" }),
      () => client.schedule({ tool: "t" }, { at: "2027-01-01T00:00:00Z", after: 1 } as never),
    ];
    for (const call of wrong) expect(call).toThrow(InvalidRequestError);
    await expect(client.sendExtension("job.teleport")).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(client.invoke("t", { text: "x".repeat(2 ** 20) }).done).rejects.toThrow(
      "larger than the runtime reads",
    );
    await expect(client.fetchArtifact("arcp://nowhere")).rejects.toBeInstanceOf(InvalidRequestError);
    await settle();
    expect(scene.runtime.received).toHaveLength(1);
  });

  test("are asked for again after a retryable refusal, under one key, and no sooner than they may", async () => {
    covers("V10-6.4-04", "V10-18.3-04", "V10-18.3-02");
    const clock = new ManualClock();
    await using scene = await scripted({ clock, reconnect: { random: () => 0 } });
    const invocation = scene.client.invoke("tool", {}, { retry: { attempts: 3 } });
    const first = await scene.runtime.answer("tool.invoke", "nack", {
      ...{ code: "RESOURCE_EXHAUSTED", message: "busy", details: { retry_after_seconds: 30 } },
    });
    await settle();
    clock.advance(29_999);
    await settle();
    expect(scene.runtime.ofType("tool.invoke")).toHaveLength(1);
    clock.advance(1);
    const second = await scene.runtime.next("tool.invoke");
    const keyOf = (frame: object): unknown => (frame as { idempotency_key?: string }).idempotency_key;
    expect(second.id).not.toBe(first.id);
    expect(keyOf(second)).toBe(keyOf(first));
    scene.runtime.send("tool.result", { value: 1 }, { correlation_id: second.id });
    expect((await invocation.done).value).toBe(1);
    const refused = scene.client.invoke("tool", {}, { retry: { attempts: 3 } });
    await scene.runtime.answer("tool.invoke", "nack", { code: "INVALID_ARGUMENT", message: "never" });
    await expect(refused.done).rejects.toMatchObject({ message: "never" });
  });

  test("are called off before they are accepted, and after", async () => {
    await using scene = await scripted();
    const stop = new AbortController();
    const early = scene.client.invoke("tool", {}, { signal: stop.signal });
    const { id } = await scene.runtime.next("tool.invoke");
    stop.abort(new Error("changed my mind"));
    await expect(early.accepted).rejects.toThrow("changed my mind");
    await expect(early.done).rejects.toThrow("changed my mind");
    scene.runtime.send("job.accepted", { job_id: "job_1" }, { correlation_id: id, job_id: "job_1" });
    expect((await scene.runtime.next("cancel")).payload).toMatchObject({ target: "job", target_id: "job_1" });
    const late = new AbortController();
    const running = scene.client.invoke("tool", {}, { signal: late.signal });
    await scene.runtime.acceptJob("job_2");
    await running.accepted;
    late.abort();
    expect((await scene.runtime.next("cancel")).payload).toMatchObject({ target_id: "job_2" });
    scene.runtime.send("job.cancelled", {}, { job_id: "job_2" });
    await expect(running.done).rejects.toMatchObject({ code: "CANCELLED" });
    const never = scene.client.invoke("tool", {}, { signal: AbortSignal.abort(new Error("before")) });
    await expect(never.done).rejects.toThrow("before");
    expect(scene.runtime.ofType("tool.invoke")).toHaveLength(2);
  });

  test("of one key are one job, of which each tells", async () => {
    covers("V10-6.4-06");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness);
    const first = client.invoke("puppet", {}, { idempotencyKey: "refund-4812" });
    const run = await puppet.next();
    await first.accepted;
    const second = client.invoke("puppet", {}, { idempotencyKey: "refund-4812" });
    await second.accepted;
    expect(second.jobId).toBe(first.jobId);
    await emitLogs(run, 2);
    run.finish("once");
    expect([(await first.done).value, (await second.done).value]).toEqual(["once", "once"]);
    expect([logsOf(await collect(first)), logsOf(await collect(second))]).toEqual([
      ["1", "2"],
      ["1", "2"],
    ]);
    const third = client.invoke("puppet", {}, { idempotencyKey: "refund-4812" });
    expect((await third.done).value).toBe("once");
    const other = client.invoke("puppet", { other: true }, { idempotencyKey: "refund-4812" });
    await expect(other.done).rejects.toMatchObject({ code: "DUPLICATE_KEY" });
    expect(puppet.runs).toHaveLength(1);
  });

  test("tell what led to what", async () => {
    covers("V10-6.4-09", "V10-6.1.1-10", "V10-6.1.1-11");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    const members = { job_id: "job_1", causation_id: id, trace_id: TRACE, span_id: "00f067aa0ba902b7" };
    const cause = scene.runtime.send("log", { level: "info", message: "first" }, { ...members, id: "msg_z" });
    scene.runtime.send("event.emit", { type: "arcpx.acme.step", value: 2 }, { ...members, causation_id: cause });
    scene.runtime.send("tool.result", { value: 1 }, { correlation_id: id });
    const [log, emitted] = await collect(invocation);
    expect(log).toMatchObject({
      ...{ kind: "log", messageId: "msg_z", jobId: "job_1", causationId: id, correlationId: undefined },
      ...{ ts: "2026-01-01T00:00:00.000Z", traceId: TRACE, spanId: "00f067aa0ba902b7" },
    });
    expect(emitted).toMatchObject({
      kind: "event",
      causationId: log?.messageId,
      body: { name: "arcpx.acme.step", value: 2 },
    });
  });

  test("report every kind of event, and their state", async () => {
    covers("V10-10.1-03", "V10-10.2-01", "V10-17.2-01", "V10-17.3-01", "V10-17.1-03", "V10-11.4-01");
    await using harness = startHarness({
      agents: {
        agent: async (_input, context) => {
          await context.progress(1, { total: 4, message: "a quarter" });
          await context.log("warn", "careful");
          await context.metric({ name: "tokens.used", value: 3, unit: "tokens", dimensions: { kind: "input" } });
          await context.thought("hm");
          await context.checkpoint({ at: 1 }, { label: "here" });
          await context.emitEvent("x-vendor.acme.note", { n: 1 });
        },
      },
    });
    await using client = await toolClient(harness);
    const everything: string[] = [];
    client.on("event", ({ kind }) => void everything.push(kind));
    const invocation = client.invoke("agent");
    const percents: unknown[] = [];
    invocation.onProgress(({ percent }) => void percents.push(percent));
    const events = await collect(invocation);
    await invocation.done;
    const bodies = Object.fromEntries(events.map(({ kind, body }) => [kind, body]));
    expect(bodies["started"]).toEqual({ startedAt: expect.any(String) });
    expect(bodies["progress"]).toMatchObject({ percent: 25, current: 1, total: 4 });
    expect(bodies["log"]).toMatchObject({ level: "warn", message: "careful" });
    expect(events).toContainEqual(
      expect.objectContaining({
        kind: "metric",
        body: { name: "tokens.used", value: 3, unit: "tokens", dims: { kind: "input" } },
      }),
    );
    expect(bodies["thought"]).toMatchObject({ content: "hm", redacted: false });
    expect(bodies["checkpoint"]).toMatchObject({ checkpointId: expect.stringMatching(/^chk_/), label: "here" });
    expect(bodies["event"]).toMatchObject({ name: "x-vendor.acme.note", value: { n: 1 } });
    expect(percents).toEqual([25]);
    expect(everything).toEqual(events.map(({ kind }) => kind));
    expect(invocation.state).toBe("completed");
  });

  test("of this client's jobs are told apart from work that it only hears of", async () => {
    await using harness = startHarness({
      agents: {
        parent: async (_input, context) => {
          const child = context.delegate({ agent: "child" });
          return (await child.done).result;
        },
        child: async (_input, context) => {
          await context.log("info", "from the child");
          return "born";
        },
      },
    });
    await using client = await toolClient(harness);
    const heard: Invocation[] = [];
    client.on("work", (work) => void heard.push(work));
    const invocation = client.invoke("parent", {}, { lease: { "agent.delegate": ["child"] } });
    expect((await invocation.done).value).toBe("born");
    await client.ping();
    expect(heard).toHaveLength(1);
    const [child] = heard;
    expect(child?.jobId).not.toBe(invocation.jobId);
    expect(logsOf(await collect(child as Invocation))).toEqual(["from the child"]);
    expect((await child?.done)?.value).toBe("born");
    expect(logsOf(await collect(invocation))).toEqual([]);
  });
});

describe("schedules", () => {
  const plan = async (clock: ManualClock) => {
    const puppet = new Puppet();
    const harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, heartbeatIntervalSeconds: 86_400 } as never,
    });
    const client = await toolClient(harness);
    return {
      ...{ puppet, harness, client },
      async [Symbol.asyncDispose]() {
        await client.close();
        await harness[Symbol.asyncDispose]();
      },
    };
  };

  test("run again and again until they are cancelled", async () => {
    covers("V10-10.6-01", "V10-10.6-02", "V10-10.6-03");
    const clock = new ManualClock();
    await using stage = await plan(clock);
    const { client, puppet } = stage;
    const schedule = client.schedule({ tool: "puppet", arguments: { n: 1 } }, { every: "FREQ=MINUTELY" });
    const { jobId } = await schedule.accepted;
    const runs = schedule.runs();
    for (const said of ["one", "two"]) {
      clock.advance(60_000);
      const run = await puppet.next();
      expect(run.input).toEqual({ n: 1 });
      await emitLogs(run, 1);
      run.finish(said);
      const invocation = (await runs.next()).value as Invocation;
      expect(invocation.jobId).not.toBe(jobId);
      expect((await invocation.done).value).toBe(said);
      expect(logsOf(await collect(invocation))).toEqual(["1"]);
    }
    await schedule.cancel("enough");
    await expect(runs.next()).rejects.toMatchObject({ code: "CANCELLED" });
    clock.advance(120_000);
    await client.ping();
    expect(puppet.runs).toHaveLength(2);
  });

  test("run once, and are over", async () => {
    const clock = new ManualClock();
    await using stage = await plan(clock);
    const { client, puppet } = stage;
    const schedule = client.schedule({ workflow: "puppet", inputs: 1 }, { after: 5 });
    await schedule.accepted;
    clock.advance(5_001);
    const run = await puppet.next();
    run.finish("done");
    const values: unknown[] = [];
    for await (const invocation of schedule) values.push(await invocation.value());
    expect(values).toEqual(["done"]);
    await schedule.job.done;
  });

  test("whose acceptance is lost with the connection may have been made, and are not made twice", async () => {
    await using scene = await scripted();
    const schedule = scene.client.schedule({ tool: "t" }, { after: 1 });
    await scene.runtime.next("job.schedule");
    scene.runtime.drop();
    await expect(schedule.accepted).rejects.toMatchObject({ retryable: true });
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", "ack");
    await settle();
    expect(second.ofType("job.schedule")).toEqual([]);
  });
});

test("a task is delegated to an agent, under the trace of its context", async () => {
  covers("V10-14-02", "V10-14-03");
  await using harness = startHarness({ agents: { research: (input, { traceId }) => ({ input, traceId }) } });
  await using client = await toolClient(harness);
  const context = { trace_id: TRACE, shared_memory_ref: "art_mem_001", permissions_inherited: ["filesystem.read"] };
  const { value } = await client.delegate("research", { task: "Summarize RFCs", context }).done;
  expect(value).toEqual({
    traceId: TRACE,
    input: { task: "Summarize RFCs", context: { shared_memory_ref: "art_mem_001" } },
  });
});

test("a checkpoint is made, and gone on from", async () => {
  covers("V10-19-08");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness);
  const invocation = client.invoke("puppet", { pages: 3 });
  const run = await puppet.next();
  const { jobId = "" } = await invocation.accepted;
  await expect(client.createCheckpoint(jobId)).rejects.toSatisfy((error) => codeOf10(error) === "FAILED_PRECONDITION");
  run.context.onCheckpoint(() => ({ page: 2 }));
  const { checkpointId } = await client.createCheckpoint(jobId, { label: "now" });
  run.finish("first");
  const made = (await collect(invocation)).find(({ kind }) => kind === "checkpoint");
  expect(made?.body).toMatchObject({ checkpointId, label: "now" });
  const restored = client.restoreCheckpoint(checkpointId ?? "");
  const again = await puppet.next();
  expect(again.input).toEqual({ pages: 3 });
  expect(again.context.restored).toEqual({ page: 2 });
  again.finish("second");
  expect((await restored.done).value).toBe("second");
});

describe.each(CARRIERS)("artifacts over %s", (carrier) => {
  test("are put, fetched in parts, checked and released", async () => {
    covers("V10-16.1-01", "V10-16.1-02", "V10-16.1-03", "V10-16.2-04", "V10-16.2-06", "V10-16.3-03");
    const big = new Uint8Array(900_000).map((_, at) => (at * 31) % 251);
    await using harness = startHarness({
      carrier,
      agents: {
        big: async () => ({ text: "x".repeat(1_500_000) }),
        image: async (_input, context) => ({ ...(await context.putArtifact(big, { mediaType: "image/png" })) }),
      },
      server: { jobCaps: { maxInlineResultBytes: 100_000 } } as never,
    });
    await using client = await toolClient(harness);
    const small = await client.putArtifact(new Uint8Array([1, 2, 3]), {
      mediaType: "application/x-three",
      ttlSeconds: 60,
    });
    expect(small).toMatchObject({
      ...{ media_type: "application/x-three", size: 3, expires_at: expect.any(String) },
      uri: `arcp://session/${client.session.sessionId}/artifact/${small.artifact_id}`,
      sha256: createHash("sha256")
        .update(new Uint8Array([1, 2, 3]))
        .digest("hex"),
    });
    expect(await client.fetchArtifact(small)).toEqual(new Uint8Array([1, 2, 3]));
    expect(await client.fetchArtifact(small.uri ?? "")).toEqual(new Uint8Array([1, 2, 3]));
    await client.releaseArtifact(small.artifact_id);
    await expect(client.fetchArtifact(small)).rejects.toSatisfy((error) => codeOf10(error) === "NOT_FOUND");
    const image = (await client.invoke("image").done).value as { artifact_id: string };
    // Of an id alone the size is not known.
    expect(await client.fetchArtifact(image.artifact_id)).toEqual(big);
    expect(await client.fetchArtifact(image as never)).toEqual(big);
    const result = await client.invoke("big").done;
    expect(result).toMatchObject({
      value: undefined,
      ref: { media_type: "application/json", size: expect.any(Number) },
    });
    expect(await client.invoke("big").value()).toEqual({ text: "x".repeat(1_500_000) });
  });
});

test.each(["memory", "websocket", "stdio"] as const)("an artifact as large as a frame over %s", async (carrier) => {
  covers("V10-16.2-01", "V10-22-04", "V10-22-05");
  const big = new Uint8Array(1_000_000).map((_, at) => (at * 31) % 251);
  await using harness = startHarness({ carrier });
  await using client = await toolClient(harness);
  const put = client.putArtifact(big);
  // Bytes beside their message take no more room than they have; in one they do.
  if (carrier === "stdio") await expect(put).rejects.toThrow("larger than the runtime reads");
  else expect(await client.fetchArtifact(await put)).toEqual(big);
  await client.ping();
});

describe("artifacts", () => {
  test("may come beside their message", async () => {
    await using scene = await scripted({}, { capabilities: { artifacts: true, binary_encoding: ["sidecar"] } });
    const fetched = scene.client.fetchArtifact("art_1");
    await scene.runtime.answer("artifact.fetch", "artifact.put", { media_type: "a/b", encoding: "sidecar" });
    scene.runtime.transport.sendBinary(new Uint8Array([7]));
    expect(await fetched).toEqual(new Uint8Array([7]));
  });

  const ref = { artifact_id: "art_1", uri: undefined, media_type: "text/plain", size: 5, expires_at: undefined };

  test("that are not what their reference says are data loss", async () => {
    await using scene = await scripted();
    const fetched = scene.client.fetchArtifact({ ...ref, sha256: "00" } as never);
    await scene.runtime.answer("artifact.fetch", "artifact.put", { media_type: "text/plain", data: "aGVsbG8=" });
    await expect(fetched).rejects.toSatisfy((error) => codeOf10(error) === "DATA_LOSS");
    const short = scene.client.fetchArtifact(ref);
    await scene.runtime.answer("artifact.fetch", "artifact.put", { media_type: "text/plain", data: "aGVs" });
    await scene.runtime.answer("artifact.fetch", "artifact.put", { media_type: "text/plain", data: "" });
    await expect(short).rejects.toSatisfy((error) => codeOf10(error) === "DATA_LOSS");
  });

  test("that are elsewhere are fetched from there only if the caller says how", async () => {
    await using scene = await scripted();
    const redirect = { artifact_id: "art_1", uri: "https://files.example.com/1", media_type: "text/plain" };
    const refused = scene.client.fetchArtifact("art_1");
    await scene.runtime.answer("artifact.fetch", "artifact.ref", redirect);
    await expect(refused).rejects.toMatchObject({ details: { uri: "https://files.example.com/1" } });
    const fetched = scene.client.fetchArtifact("art_1", {
      download: async (uri) => new TextEncoder().encode(uri.slice(-1)),
    });
    await scene.runtime.answer("artifact.fetch", "artifact.ref", redirect);
    expect(await fetched).toEqual(new Uint8Array([0x31]));
  });

  test("larger than the client collects are not fetched", async () => {
    await using scene = await scripted({ maxResultBytes: 4 });
    await expect(scene.client.fetchArtifact(ref)).rejects.toBeInstanceOf(CanonicalError);
    expect(scene.runtime.ofType("artifact.fetch")).toEqual([]);
  });

  test("whose reference was lost with the connection are found", async () => {
    await using scene = await scripted();
    const put = scene.client.putArtifact("hello");
    const { payload } = await scene.runtime.next("artifact.put");
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", "ack");
    await second.answer("artifact.put", "nack", { code: "ALREADY_EXISTS", message: "there is one" });
    await second.answer("artifact.fetch", "artifact.put", { ...payload, data: "aA==" });
    expect(await put).toMatchObject({ artifact_id: payload.artifact_id, media_type: "text/plain", size: 5 });
  });
});

describe("extensions", () => {
  test("are spoken if both sides know them", async () => {
    covers("V10-21.2-01", "V10-21.2-02", "V10-21.1-01");
    await using scene = await scripted({ extensions: ["arcpx.acme.note.v1"] });
    const heard: unknown[] = [];
    scene.client.on("extension", ({ type, payload }) => void heard.push([type, payload]));
    scene.runtime.send("arcpx.acme.note.v1", { n: 1 });
    const sent = scene.client.sendExtension("arcpx.acme.note.v1", { n: 2 }, { jobId: "job_1" });
    const message = await scene.runtime.next("arcpx.acme.note.v1");
    expect(message).toMatchObject({ job_id: "job_1", payload: { n: 2 } });
    scene.runtime.send("ack", {}, { correlation_id: message.id });
    await sent;
    const refused = scene.client.sendExtension("arcpx.acme.other.v1");
    await scene.runtime.answer("arcpx.acme.other.v1", "nack", { code: "UNIMPLEMENTED", message: "unknown" });
    await expect(refused).rejects.toMatchObject({ message: "unknown" });
    await scene.client.sendExtension("com.acme.workflow.v2", {}, { optional: true });
    expect(await scene.runtime.next("com.acme.workflow.v2")).toMatchObject({ extensions: { optional: true } });
    expect(heard).toEqual([["arcpx.acme.note.v1", { n: 1 }]]);
    expect(scene.runtime.ofType("nack")).toEqual([]);
  });
});
