/** Streams as the client reads them (RFC §11). */
import { createHash } from "node:crypto";
import type { IncomingStream, StreamChunk } from "@arcp/client";
import { InvalidRequestError } from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Harness, startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { type Scene, scripted } from "./scripted-runtime.ts";
import { collect, toolClient } from "./support.ts";

const BYTES = Uint8Array.from({ length: 1000 }, (_, index) => index % 256);

const agentOf = (act: (context: JobContext) => unknown): Harness =>
  startHarness({ agents: { agent: (_input, context) => act(context) } });

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => codeOf10(error),
  );

describe.each(CARRIERS)("over %s", (carrier) => {
  test("each kind brings what it is of", async () => {
    covers("V10-11.1-02", "V10-11.1-05", "V10-11-02", "V10-11.3-01", "V10-11.3-03", "V10-11.3-04", "V10-11.4-02");
    await using harness = startHarness({
      carrier,
      agents: {
        agent: async (_input, context) => {
          const text = context.openStream({ kind: "text", contentType: "text/markdown" });
          const binary = context.openStream({ kind: "binary", contentType: "image/png" });
          const event = context.openStream({ kind: "event" });
          await text.write("# Tit");
          await binary.write(BYTES.subarray(0, 600));
          await event.write({ name: "found", at: 3 });
          await text.write("le é✓");
          await binary.write(BYTES.subarray(600));
          await context.thought("could be");
          for (const stream of [text, binary, event]) await stream.close("enough");
          return "all";
        },
      },
    });
    await using client = await toolClient(harness);
    const isSidecar = client.session.capabilities.binary_encoding.includes("sidecar");
    expect(isSidecar).toBe(carrier === "memory" || carrier === "websocket");
    const invocation = client.invoke("agent");
    const events = collect(invocation);
    const read: unknown[] = [];
    for await (const stream of invocation.streams()) {
      const { kind, contentType } = stream;
      if (kind === "binary") read.push([kind, contentType, await stream.bytes()]);
      else if (kind === "event") read.push([kind, contentType, (await collect(stream)).map(({ data }) => data)]);
      else read.push([kind, contentType, await stream.text()]);
      expect((await stream.closed).chunks).toBeGreaterThan(0);
    }
    expect(read).toEqual([
      ["text", "text/markdown", "# Title é✓"],
      ["binary", "image/png", BYTES],
      ["event", "application/json", [{ name: "found", at: 3 }]],
      ["thought", expect.any(String), "could be"],
    ]);
    const seen = await events;
    expect(seen.filter(({ kind }) => kind === "stream")).toHaveLength(3);
    expect(seen.find(({ kind }) => kind === "thought")).toMatchObject({
      body: { content: "could be", redacted: false },
    });
  });
});

test("a reader takes the kinds that it wants, and is not held up by the others", async () => {
  covers("V10-11.1-04", "V10-11.4-03");
  await using harness = agentOf(async (context) => {
    const text = context.openStream({ kind: "text" });
    const log = context.openStream({ kind: "log" });
    const musing = context.openStream({ kind: "thought" });
    for (let n = 0; n < 50; n += 1) {
      await musing.write("hm ".repeat(200));
      await log.write({ level: "debug", message: String(n) });
      await text.write(`${n};`);
    }
    for (const stream of [text, log, musing]) await stream.close();
    return "done";
  });
  await using client = await toolClient(harness, { maxUnreadStreamBytes: 2_000 });
  const observer = await client.openSubscription({ types: ["stream.open", "stream.chunk", "tool.result"] });
  const invocation = client.invoke("agent");
  const text = Promise.withResolvers<string>();
  invocation.on("stream", ({ body: stream }) => {
    if (stream.kind === "text") text.resolve(stream.text());
  });
  expect((await invocation.done).value).toBe("done");
  expect(await text.promise).toBe(Array.from({ length: 50 }, (_, n) => `${n};`).join(""));
  const shown: unknown[] = [];
  const thoughts = new Set<string | undefined>();
  for await (const { type, streamId, payload } of observer) {
    if (type === "tool.result") break;
    if (type === "stream.open" && payload["kind"] === "thought") thoughts.add(streamId);
    else if (!thoughts.has(streamId)) shown.push(payload["content"]);
  }
  expect(thoughts.size).toBe(1);
  expect(shown.filter((content) => content !== undefined)).toEqual([]);
});

test("a result that is streamed is collected, or left to whoever reads it", async () => {
  const act = async (context: JobContext): Promise<void> => {
    const result = context.streamResult();
    for (const piece of ["one ", "two ", "three"]) await result.write(piece);
    await result.finalize();
  };
  await using harness = agentOf(act);
  await using client = await toolClient(harness);
  const collected = client.invoke("agent");
  expect((await collected.done).value).toBe("one two three");
  expect(await collected.value()).toBe("one two three");
  const taken = client.invoke("agent");
  const texts: string[] = [];
  for await (const stream of taken.streams()) if (stream.resultId !== undefined) texts.push(await stream.text());
  expect(texts).toEqual(["one two three"]);
  expect((await taken.done).value).toBeUndefined();
});

test("a reader that is slow has the sender slow down, and loses nothing", async () => {
  covers("V10-11-01", "V10-11.2-01", "V10-11.2-02");
  let written = 0;
  let mostAhead = 0;
  let readBytes = 0;
  await using harness = agentOf(async (context) => {
    const stream = context.openStream({ kind: "text" });
    for (; written < 400; written += 1) {
      await stream.write("x".repeat(1000));
      // What is not on disk yet is not on its way either.
      if (written % 10 === 0) await context.flush();
      mostAhead = Math.max(mostAhead, written - readBytes / 1000);
    }
    await stream.close();
  });
  await using client = await toolClient(harness, { maxUnreadStreamBytes: 32_000 });
  const invocation = client.invoke("agent");
  for await (const stream of invocation.streams()) {
    for await (const chunk of stream) {
      readBytes += String(chunk.data).length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  await invocation.done;
  expect(readBytes).toBe(400_000);
  expect(mostAhead).toBeLessThan(200);
});

test("a stream is cancelled, and fails with that", async () => {
  covers("V10-10.4-06");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness);
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  const open = run.context.openStream({ kind: "text" });
  await open.write("a");
  const [stream] = (await invocation
    .streams()
    [Symbol.asyncIterator]()
    .next()
    .then(({ value }) => [value])) as [IncomingStream];
  await stream.cancel("too long");
  expect(await codeOf(stream.closed)).toBe("CANCELLED");
  await expect(stream.text()).rejects.toMatchObject({ code: "CANCELLED" });
  run.finish();
  await invocation.done;
});

describe("with a runtime that does not keep to it", () => {
  /** A stream of `kind`, opened by the only job. */
  async function opened(scene: Scene, kind = "text", open: object = {}): Promise<IncomingStream> {
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    scene.runtime.send("stream.open", { kind, ...open }, { job_id: "job_1", stream_id: "str_1" });
    return (await invocation.streams().next()).value as IncomingStream;
  }
  const chunk = (scene: Scene, payload: object): unknown =>
    scene.runtime.send("stream.chunk", payload, { job_id: "job_1", stream_id: "str_1" });
  const close = (scene: Scene, payload: object = {}): unknown =>
    scene.runtime.send("stream.close", payload, { job_id: "job_1", stream_id: "str_1" });

  test("a chunk that is missing is data loss, one that comes again is nothing", async () => {
    covers("V10-6.4-08");
    await using scene = await scripted();
    const stream = await opened(scene);
    for (const sequence of [0, 1, 1, 0, 2]) chunk(scene, { sequence, data: String(sequence) });
    chunk(scene, { sequence: 4, data: "4" });
    const seen: unknown[] = [];
    const reading = (async () => {
      for await (const { data, sequence } of stream) seen.push([sequence, data]);
    })();
    expect(await codeOf(reading)).toBe("DATA_LOSS");
    expect(seen).toEqual([
      [0, "0"],
      [1, "1"],
      [2, "2"],
    ]);
  });

  test("an end that counts other chunks is data loss", async () => {
    await using scene = await scripted();
    const stream = await opened(scene);
    chunk(scene, { sequence: 0, data: "a" });
    close(scene, { total_chunks: 2 });
    expect(await codeOf(stream.text())).toBe("DATA_LOSS");
    expect(await codeOf(stream.closed)).toBe("DATA_LOSS");
  });

  test("bytes that are not those of the digest are data loss, and so are too few", async () => {
    covers("V10-11.3-02");
    const data = Buffer.from(BYTES).toString("base64");
    const sha256 = createHash("sha256").update(BYTES).digest("hex");
    await using scene = await scripted();
    const good = await opened(scene, "binary");
    chunk(scene, { sequence: 0, data, sha256: `sha256:${sha256.toUpperCase()}`, byte_length: BYTES.length });
    close(scene);
    expect(await good.bytes()).toEqual(BYTES);
    for (const wrong of [{ sha256: `0${sha256.slice(1)}`.replace(/^00/, "10") }, { byte_length: 3 }]) {
      await using other = await scripted();
      const stream = await opened(other, "binary");
      chunk(other, { sequence: 0, data, ...wrong });
      close(other);
      expect(await codeOf(stream.bytes())).toBe("DATA_LOSS");
    }
  });

  test("an unknown kind is one of events", async () => {
    covers("V10-11.1-03");
    await using scene = await scripted();
    const stream = await opened(scene, "smell");
    chunk(scene, { event: { name: "smoke" } });
    close(scene);
    expect(stream.kind).toBe("event");
    expect((await collect(stream)).map(({ data, sequence }: StreamChunk) => [sequence, data])).toEqual([
      [0, { name: "smoke" }],
    ]);
  });

  test("what nobody reads is kept within bounds, and then not at all", async () => {
    await using scene = await scripted({ maxUnreadStreamBytes: 10 });
    const opening = Promise.withResolvers<IncomingStream>();
    scene.client.on("event", (event) => event.kind === "stream" && opening.resolve(event.body));
    scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    scene.runtime.send("stream.open", { kind: "text" }, { job_id: "job_1", stream_id: "str_1" });
    for (let sequence = 0; sequence < 4; sequence += 1) chunk(scene, { sequence, data: "12345" });
    close(scene, { total_chunks: 4 });
    const stream = await opening.promise;
    await stream.closed;
    await expect(stream.text()).rejects.toThrow("was not read in time");
    expect(scene.runtime.ofType("backpressure")).toEqual([]);
  });

  test("what somebody will come to is kept, and its sender told to wait", async () => {
    await using scene = await scripted({ maxUnreadStreamBytes: 10 });
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    const streams = invocation.streams();
    const next = streams.next();
    for (const stream_id of ["str_1", "str_2"]) {
      scene.runtime.send("stream.open", { kind: "text" }, { job_id: "job_1", stream_id });
      for (let sequence = 0; sequence < 4; sequence += 1) {
        scene.runtime.send("stream.chunk", { sequence, data: "12345" }, { job_id: "job_1", stream_id });
      }
      scene.runtime.send("stream.close", { total_chunks: 4 }, { job_id: "job_1", stream_id });
    }
    const [first, second] = [(await next).value, (await streams.next()).value];
    await settle();
    expect(scene.runtime.ofType("backpressure").map(({ stream_id }) => stream_id)).toEqual(["str_1", "str_2"]);
    expect([await second?.text(), await first?.text()]).toEqual(["12345".repeat(4), "12345".repeat(4)]);
  });

  test("many streams that nobody reads are kept within the bounds of one", async () => {
    await using scene = await scripted({ maxUnreadStreamBytes: 10 });
    const streams: IncomingStream[] = [];
    scene.client.on("event", (event) => void (event.kind === "stream" && streams.push(event.body)));
    scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    for (const stream_id of ["str_1", "str_2", "str_3"]) {
      const members = { job_id: "job_1", stream_id };
      scene.runtime.send("stream.open", { kind: "text" }, members);
      scene.runtime.send("stream.chunk", { sequence: 0, data: "12345" }, members);
      scene.runtime.send("stream.close", { total_chunks: 1 }, members);
      scene.runtime.send("stream.open", { kind: "text" }, members);
    }
    await settle();
    const read = await Promise.allSettled(streams.map((stream) => stream.text()));
    expect(read.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  });

  test("a stream has one reader, and who leaves it is not pressed", async () => {
    await using scene = await scripted({ maxUnreadStreamBytes: 10 });
    const stream = await opened(scene);
    chunk(scene, { sequence: 0, data: "12345" });
    for await (const { data } of stream) {
      expect(data).toBe("12345");
      break;
    }
    expect(() => stream.chunks()).toThrow(InvalidRequestError);
    for (let sequence = 1; sequence < 9; sequence += 1) chunk(scene, { sequence, data: "12345" });
    await settle();
    expect(scene.runtime.ofType("backpressure")).toEqual([]);
  });

  test("the sender hears how much there is room for, and when it may go on", async () => {
    covers("V10-11.2-01");
    await using scene = await scripted({ maxUnreadStreamBytes: 100 });
    const stream = await opened(scene);
    const chunks = stream.chunks();
    const first = chunks.next();
    for (let sequence = 0; sequence < 7; sequence += 1) chunk(scene, { sequence, data: "0123456789" });
    await first;
    await scene.runtime.next("backpressure");
    for (let taken = 1; taken < 7; taken += 1) await chunks.next();
    await settle();
    const said = scene.runtime.ofType("backpressure");
    expect(said.every(({ stream_id }) => stream_id === "str_1")).toBe(true);
    expect(said[0]?.payload).toEqual({ buffer_remaining_bytes: expect.any(Number), reason: "the reader is slow" });
    expect(said.at(-1)?.payload).toEqual({});
    stream.backpressure({ ratePerSecond: 5, reason: "by hand" });
    await settle();
    expect(scene.runtime.ofType("backpressure").at(-1)?.payload).toEqual({
      desired_rate_per_second: 5,
      reason: "by hand",
    });
  });

  test("bytes beside their message that do not come, or come alone, are problems", async () => {
    covers("V10-11.3-03");
    await using scene = await scripted(
      {},
      { capabilities: { streaming: true, binary_encoding: ["base64", "sidecar"] } },
    );
    const problems: string[] = [];
    scene.client.on("problem", ({ message }) => void problems.push(message));
    const stream = await opened(scene, "binary");
    chunk(scene, { sequence: 0, encoding: "sidecar", byte_length: 3 });
    scene.runtime.transport.sendBinary(new Uint8Array([1, 2, 3]));
    chunk(scene, { sequence: 1, encoding: "sidecar", byte_length: 3 });
    close(scene, { total_chunks: 1 });
    scene.runtime.transport.sendBinary(new Uint8Array([4]));
    expect(await stream.bytes()).toEqual(new Uint8Array([1, 2, 3]));
    await settle();
    expect(problems).toEqual(["stream.chunk: its bytes did not follow", "bytes that belong to no message"]);
  });
});
