import type { ARCPClient, JobEvent, JobHandle } from "@arcp/client";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { collect, connected, type FakeRuntime, settle } from "./fake-runtime.ts";

async function running(
  options: ConstructorParameters<typeof ARCPClient>[0] = {},
): Promise<{ client: ARCPClient; runtime: FakeRuntime; handle: JobHandle }> {
  const { client, runtime } = await connected(options);
  const submitting = client.submit({ agent: "echo" });
  await runtime.accept("job_1");
  return { client, runtime, handle: await submitting };
}

const BODIES = {
  log: { level: "INFO", message: "m", fields: { a: 1 } },
  thought: { text: "t" },
  tool_call: { tool: "x", call_id: "c" },
  tool_result: { call_id: "c", result: 1, error: null },
  status: { phase: "running" },
  metric: { name: "m", value: 1, dims: { a: "b" } },
  artifact_ref: { uri: "file:///a", content_type: "text/plain" },
  delegate: { child_job_id: "job_2", agent: "b" },
  progress: { current: 0.5 },
  result_chunk: { result_id: "r", chunk_seq: 0, data: "x", encoding: "utf8", more: false },
};

describe("events", () => {
  it("are typed by kind, for every kind and every SDK's body", async () => {
    covers("V11-8.2-10", "V11-8.2-11", "V11-8.2.1-04");
    const { client, runtime, handle } = await running();
    let seq = 0;
    for (const [kind, body] of Object.entries(BODIES)) {
      seq += 1;
      runtime.event("job_1", seq, kind, body);
    }
    runtime.event("job_1", 11, "x-vendor.acme.note", { any: "thing" });
    runtime.event("job_1", 12, "hologram", null);
    runtime.event("job_1", 13, "progress", { current: "half" });
    runtime.send("job.event", { kind: "thought" }, { job_id: "job_1", event_seq: 14 });
    runtime.send("job.future", { any: 1 }, { job_id: "job_1" });
    runtime.result("job_1", 15, { result_id: "r", result_size: 1 });
    const events = await collect(handle);
    expect(events.slice(0, 10).map(({ kind }) => kind)).toEqual(Object.keys(BODIES));
    expect(events[10]).toMatchObject({ kind: "vendor", name: "x-vendor.acme.note", body: { any: "thing" } });
    expect(events[11]).toMatchObject({ kind: "vendor", name: "hologram", body: null });
    expect(events[12]).toMatchObject({ kind: "vendor", name: "progress", problem: expect.stringContaining("current") });
    expect(events[13]).toMatchObject({ kind: "vendor", name: "thought", ts: undefined });
    const [first] = events;
    if (first?.kind === "log") expect(first.body.message satisfies string).toBe("m");
    expect(await handle.done).toMatchObject({ result: "x", resultId: "r" });
    await client.close();
  });

  it("that come before the acceptance, even the ending, are kept", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    const submit = await runtime.next("job.submit");
    runtime.event("job_1", 1, "thought", { text: "early" });
    runtime.result("job_1", undefined, { job_id: "job_1", result: 7 });
    runtime.send("job.accepted", { job_id: "job_1", agent: "echo@1", reply_to: submit.id });
    const handle = await submitting;
    expect((await collect(handle)).map(({ kind }) => kind)).toEqual(["thought"]);
    expect((await handle.done).result).toBe(7);
    await client.close();
  });

  it("of delegated children reach their own handles", async () => {
    const { client, runtime, handle } = await running();
    const children: JobHandle[] = [];
    client.on("delegated", (child) => children.push(child));
    runtime.event("job_2", 1, "thought", { text: "before word of the child" });
    runtime.send("job.accepted", { job_id: "job_2", parent_job_id: "job_1", delegate_id: "d", lease: {} });
    runtime.log("job_2", 2);
    runtime.result("job_2", 3, { result: "child" });
    runtime.result("job_1", 4, { result: "parent" });
    expect(await handle.done).toMatchObject({ result: "parent" });
    const child = children[0] as JobHandle;
    expect(child.accepted).toMatchObject({ parentJobId: "job_1", delegateId: "d" });
    expect((await collect(child)).map(({ seq }) => seq)).toEqual([1, 2]);
    expect(await child.done).toMatchObject({ result: "child" });
    await client.close();
  });

  it("of the whole session can be followed", async () => {
    const { client, runtime } = await running();
    const seen: (number | undefined)[] = [];
    const stop = client.on("event", ({ seq }) => seen.push(seq));
    const all = collect(client.events());
    runtime.log("job_1", 1);
    runtime.log("job_7", 2);
    await settle();
    stop();
    runtime.log("job_1", 3);
    await settle();
    await client.close();
    expect((await all).map(({ jobId, seq }) => [jobId, seq])).toEqual([
      ["job_1", 1],
      ["job_7", 2],
      ["job_1", 3],
    ]);
    expect(seen).toEqual([1, 2]);
  });

  it("go to every iterator, and breaking out leaves the job alone", async () => {
    const { client, runtime, handle } = await running();
    const second = handle.events();
    runtime.log("job_1", 1);
    runtime.log("job_1", 2);
    for await (const event of handle) {
      expect(event.seq).toBe(1);
      break;
    }
    runtime.result("job_1", 3);
    expect((await collect(second)).map(({ seq }) => seq)).toEqual([1, 2]);
    await handle.done;
    await client.close();
  });

  it("are only kept to a bound while nobody iterates, and never hold up the result", async () => {
    const { client, runtime, handle } = await running({ maxKeptEvents: 10, maxUnreadEvents: 4 });
    for (let seq = 1; seq <= 50; seq += 1) runtime.log("job_1", seq);
    runtime.result("job_1", 51, { result: "ok" });
    expect((await handle.done).result).toBe("ok");
    expect((await collect(handle)).map(({ seq }) => seq)).toEqual([41, 42, 43, 44, 45, 46, 47, 48, 49, 50]);
    await client.close();
  });

  it("stop the connection while a consumer lags, and lose nothing", async () => {
    const { client, runtime, handle } = await running({ maxUnreadEvents: 8 });
    const iterator = handle.events();
    const total = 200;
    const seen: (number | undefined)[] = [];
    for (let seq = 1; seq <= total; seq += 1) runtime.log("job_1", seq);
    await settle();
    for (let seq = total + 1; seq <= 2 * total; seq += 1) runtime.log("job_1", seq);
    await settle();
    expect(runtime.transport.bufferedBytes).toBeGreaterThan(0);
    runtime.result("job_1", 2 * total + 1);
    for await (const { seq } of iterator) seen.push(seq);
    expect(seen).toEqual(Array.from({ length: 2 * total }, (_, at) => at + 1));
    await client.close();
  });

  it("flow again when the consumer that lags gives up", async () => {
    const { client, runtime, handle } = await running({ maxUnreadEvents: 4 });
    const abort = new AbortController();
    handle.events({ signal: abort.signal });
    for (let seq = 1; seq <= 50; seq += 1) runtime.log("job_1", seq);
    await settle();
    expect(client.resumeInfo?.lastEventSeq).toBe(0);
    abort.abort();
    runtime.result("job_1", 51, { result: "ok" });
    expect((await handle.done).result).toBe("ok");
    await client.close();
  });

  it("do not keep a reply from a consumer that lags and asks", async () => {
    const { client, runtime, handle } = await running({ maxUnreadEvents: 4 });
    const iterator = handle.events();
    for (let seq = 1; seq <= 50; seq += 1) runtime.log("job_1", seq);
    await settle();
    await iterator.next();
    const cancelling = handle.cancel();
    await runtime.next("job.cancel");
    runtime.send("job.cancelled", {}, { job_id: "job_1" });
    await cancelling;
    await client.close();
  });

  it("end with the signal's reason when the reader gives up", async () => {
    const { client, runtime, handle } = await running();
    const abort = new AbortController();
    const reading = collect(handle.events({ signal: abort.signal }));
    abort.abort(new Error("seen enough"));
    await expect(reading).rejects.toThrow("seen enough");
    runtime.result("job_1", 1);
    await handle.done;
    await client.close();
  });

  it("survive messages that cannot be read", async () => {
    const { client, runtime, handle } = await running();
    const problems: string[] = [];
    client.on("error", (error) => problems.push(error.message));
    runtime.transport.send("{not json");
    runtime.send("job.event", { body: {} }, { job_id: "job_1", event_seq: 1 });
    runtime.event("job_1", 2, "thought", { text: "t" }, { session_id: null, extensions: null });
    runtime.result("job_1", 3);
    const events: JobEvent[] = await collect(handle);
    expect(events.map(({ seq }) => seq)).toEqual([2]);
    expect(problems).toHaveLength(2);
    await client.close();
  });

  it("of too many unknown jobs are forgotten, the oldest first", async () => {
    const { client, runtime } = await connected();
    for (let n = 1; n <= 300; n += 1) runtime.log(`job_${n}`, n);
    await settle();
    const [forgotten, kept] = [client.job("job_1").events(), client.job("job_300").events()];
    expect((await kept.next()).value?.seq).toBe(300);
    await client.close();
    await expect(forgotten.next()).rejects.toThrow("closed");
  });

  it("leave no listener on a signal behind", async () => {
    const { client, runtime, handle } = await running();
    const signal = new AbortController().signal;
    const listeners = new Set<unknown>();
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>): void => {
      listeners.add(args[1]);
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>): void => {
      listeners.delete(args[1]);
      removeEventListener.apply(signal, args);
    };
    const reading = [collect(handle.events({ signal })), collect(client.events({ signal }))];
    const pieces = collect(handle.resultStream({ signal }));
    const cancelling = handle.cancel({ signal });
    const subscribing = client.subscribe("job_2", { signal });
    await runtime.next("job.subscribe");
    expect(listeners.size).toBe(5);
    runtime.send("job.cancelled", {}, { job_id: "job_1" });
    runtime.send("job.subscribed", { job_id: "job_2", current_status: "running" });
    await cancelling;
    (await subscribing).unsubscribe();
    runtime.result("job_1", 1);
    await pieces;
    await client.close();
    await Promise.all(reading);
    expect(listeners.size).toBe(0);
  });

  it("of a job of which nothing is known wait for a handle", async () => {
    const { client, runtime } = await connected();
    runtime.log("job_5", 1);
    runtime.result("job_5", 2, { result: 5 });
    await settle();
    const handle = client.job("job_5");
    expect(await collect(handle)).toHaveLength(1);
    expect((await handle.done).result).toBe(5);
    await client.close();
  });
});
