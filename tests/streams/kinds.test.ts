import { createHash } from "node:crypto";
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { Frame10 } from "../support/raw-client-10.ts";
import { bytesOf, type SeenStream, streamsOf, textOf } from "../support/streams.ts";

const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** What a client is told of the streams of an agent that does this and returns. */
async function streamsAfter(
  act: (context: JobContext) => unknown,
  { server = {}, carrier = "memory" as (typeof CARRIERS)[number] } = {},
): Promise<{ readonly streams: readonly SeenStream[]; readonly end: Frame10; readonly frames: readonly Frame10[] }> {
  await using harness = startHarness({ carrier, agents: { agent: (_input, context) => act(context) }, server });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("agent");
  const end = await client.ending(job_id);
  // What the agent expected, it throws.
  expect(end).toMatchObject({ type: "tool.result" });
  return { streams: streamsOf(client), end, frames: client.frames };
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a stream of each kind is opened, written and closed", async () => {
    covers("V10-11.1-01", "V10-11.1-02", "V10-11.1-05", "V10-11-02", "V10-11.3-01", "V10-11.3-02", "V10-11.4-01");
    const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index % 256);
    const { streams, end } = await streamsAfter(
      async (context) => {
        const text = context.openStream({ kind: "text", contentType: "text/markdown" });
        const binary = context.openStream({ kind: "binary", contentType: "image/png" });
        const event = context.openStream({ kind: "event" });
        const log = context.openStream({ kind: "log" });
        const metric = context.openStream({ kind: "metric" });
        const thought = context.openStream({ kind: "thought" });
        await text.write("# Title\n");
        await binary.write(bytes.subarray(0, 600));
        await event.write({ name: "found", at: 3 });
        await log.write({ level: "critical", message: "on fire", attributes: { floor: 3 } });
        await metric.write({ name: "tokens.used", value: 12, unit: "tokens", dimensions: { kind: "input" } });
        await metric.write({ name: "depth", value: 2 });
        await thought.write("could be");
        await thought.write({ content: "", redacted: true });
        await text.write("done");
        await binary.write(bytes.subarray(600));
        for (const stream of [text, binary, event, log, metric, thought]) await stream.close();
        return "all";
      },
      { carrier },
    );
    expect(end).toMatchObject({ type: "tool.result", payload: { value: "all" } });
    const [text, binary, event, log, metric, thought] = streams as readonly [
      SeenStream,
      SeenStream,
      SeenStream,
      SeenStream,
      SeenStream,
      SeenStream,
    ];
    expect(streams.map(({ open }) => [open.payload.kind, open.payload.content_type])).toEqual([
      ["text", "text/markdown"],
      ["binary", "image/png"],
      ["event", "application/json"],
      ["log", "application/json"],
      ["metric", "application/json"],
      ["thought", "text/plain"],
    ]);
    for (const { open, end: closed, chunks } of streams) {
      expect(open.payload.related_job_id).toBe(end.job_id);
      expect(closed).toMatchObject({
        type: "stream.close",
        payload: { reason: "completed", total_chunks: chunks.length },
      });
    }
    expect(textOf(text)).toBe("# Title\ndone");
    expect(text.chunks[0]?.payload).toEqual({ sequence: 0, data: "# Title\n", content_type: "text/markdown" });
    expect(text.end?.payload.total_bytes).toBe(12);
    expect(binary.open.payload.encoding).toBe("base64");
    expect(bytesOf(binary)).toEqual(Buffer.from(bytes));
    expect(binary.chunks[0]?.payload).toEqual({
      ...{ sequence: 0, data: Buffer.from(bytes.subarray(0, 600)).toString("base64"), encoding: "base64" },
      ...{ content_type: "image/png", sha256: sha256(bytes.subarray(0, 600)) },
    });
    expect(binary.end?.payload).toMatchObject({ total_bytes: 1000, sha256: sha256(bytes) });
    expect(event.chunks.map(({ payload }) => payload)).toEqual([{ sequence: 0, event: { name: "found", at: 3 } }]);
    expect(log.chunks.map(({ payload }) => payload.log)).toEqual([
      { level: "critical", message: "on fire", attributes: { floor: 3 } },
    ]);
    expect(metric.chunks.map(({ payload }) => payload.metric)).toMatchObject([
      { name: "tokens.used", value: 12, unit: "tokens", dims: { kind: "input" } },
      { name: "arcpx.agent.depth", value: 2 },
    ]);
    expect(thought.chunks.map(({ payload }) => payload)).toEqual([
      { sequence: 0, role: "assistant_thought", content: "could be", redacted: false },
      { sequence: 1, role: "assistant_thought", content: "", redacted: true },
    ]);
  });
});

describe("a stream", () => {
  test("of a kind that nobody knows is one of events", async () => {
    covers("V10-11.1-03");
    const { streams } = await streamsAfter(async (context) => {
      const stream = context.openStream({ kind: "hologram" as "event" });
      expect(stream.kind).toBe("event");
      await stream.write([1, 2]);
    });
    expect(streams[0]?.open.payload.kind).toBe("event");
    expect(streams[0]?.chunks[0]?.payload).toEqual({ sequence: 0, event: [1, 2] });
  });

  test("is told apart from nine others that are written at once, also without waiting", async () => {
    covers("V10-11-02");
    const { streams } = await streamsAfter((context) => {
      const open = Array.from({ length: 10 }, () => context.openStream({ kind: "text" }));
      for (let round = 0; round < 20; round += 1) {
        for (const [index, stream] of open.entries()) void stream.write(`${index}:${round};`);
      }
    });
    expect(streams.map(textOf)).toEqual(
      Array.from({ length: 10 }, (_, index) =>
        Array.from({ length: 20 }, (_round, round) => `${index}:${round};`).join(""),
      ),
    );
    for (const { end } of streams) expect(end).toMatchObject({ type: "stream.close", payload: { total_chunks: 20 } });
  });

  test("is cut into chunks that every client can read, and never inside a character", async () => {
    const text = `${"x".repeat(100_000)}${"😀".repeat(100_000)}${"é".repeat(50_001)}`;
    const bytes = Buffer.alloc(700_001, "abc");
    const { streams } = await streamsAfter(async (context) => {
      await context.openStream({ kind: "text" }).write(text);
      await context.openStream({ kind: "binary" }).write(bytes);
    });
    const [first, second] = streams as [SeenStream, SeenStream];
    expect(textOf(first)).toBe(text);
    expect(first.chunks.length).toBeGreaterThan(2);
    expect(first.chunks.every(({ payload }) => payload.data.isWellFormed())).toBe(true);
    expect(bytesOf(second).equals(bytes)).toBe(true);
    expect(second.chunks.map(({ payload }) => Buffer.from(payload.data, "base64").length)).toEqual([
      262_144, 262_144, 175_713,
    ]);
  });

  test("of text takes halves of characters, as text and as bytes", async () => {
    const { streams } = await streamsAfter(async (context) => {
      const halves = context.openStream({ kind: "text" });
      await halves.write("a\ud83d");
      await halves.write("\ude00b\ud83d");
      const bytes = context.openStream({ kind: "text" });
      const [first, second] = [Buffer.from("é✓").subarray(0, 3), Buffer.from("é✓").subarray(3)];
      await bytes.write(first);
      await bytes.write(second);
      await bytes.write(Buffer.from([0xe2]));
      await bytes.close();
      const broken = context.openStream({ kind: "text" });
      await expect(broken.write(Buffer.from([0xff]))).rejects.toThrow("not UTF-8");
    });
    expect(streams.map(textOf)).toEqual(["a😀b\ufffd", "é✓\ufffd", ""]);
  });

  test("keeps the bytes that it was given, whatever becomes of them", async () => {
    const { streams } = await streamsAfter((context) => {
      const stream = context.openStream({ kind: "binary" });
      const buffer = Buffer.from("first");
      void stream.write(buffer);
      void stream.write(buffer);
      buffer.fill(0);
    });
    expect(bytesOf(streams[0] as SeenStream).toString()).toBe("firstfirst");
  });

  test("that nobody closes is closed with its job, before the job's end", async () => {
    covers("V10-11.1-05");
    const { streams, frames } = await streamsAfter(async (context) => {
      await context.openStream({ kind: "text" }).write("half");
      await using disposed = context.openStream({ kind: "text" });
      await disposed.write("whole");
    });
    expect(streams.map(({ end }) => end?.payload.reason)).toEqual(["completed", "completed"]);
    const types = frames.map(({ type }) => type);
    expect(types.lastIndexOf("stream.close")).toBeLessThan(types.indexOf("tool.result"));
  });

  test.each([
    ["INTERNAL", "failed", () => Promise.reject(new Error("broken")), {}],
    ["ABORTED", "has run too long", () => new Promise(() => {}), { max_runtime_sec: 0.05 }],
  ] as const)("of a job that ends otherwise ends with %s: it %s", async (code, _what, act, terms) => {
    covers("V10-11.1-05");
    await using harness = startHarness({
      agents: {
        agent: async (_input, context) => {
          await context.openStream({ kind: "text" }).write("so far");
          await act();
        },
      },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("agent", {}, terms);
    const end = await client.ending(job_id);
    expect(end.type).toBe("tool.error");
    const [stream] = streamsOf(client);
    expect(textOf(stream as SeenStream)).toBe("so far");
    expect(stream?.end).toMatchObject({ type: "stream.error", payload: { code } });
  });

  test("that its agent fails ends at once, with the agent's word", async () => {
    const { streams } = await streamsAfter(async (context) => {
      const stream = context.openStream({ kind: "text" });
      await stream.write("a");
      await stream.fail(new Error("the tape is torn"));
      await expect(stream.write("b")).rejects.toThrow("the tape is torn");
      await stream.close();
      expect(stream).toMatchObject({ isClosed: true, chunks: 1 });
    });
    expect(streams[0]?.end).toMatchObject({
      type: "stream.error",
      payload: { code: "INTERNAL", message: "the tape is torn" },
    });
  });

  test("that fails between two chunks of one write is not written any more", async () => {
    const { streams } = await streamsAfter(async (context) => {
      const stream = context.openStream({ kind: "binary" });
      const write = stream.write(Buffer.alloc(700_000));
      await stream.fail(new Error("torn"));
      await expect(write).rejects.toThrow("torn");
    });
    expect(streams[0]?.chunks).toHaveLength(1);
  });

  test("is not written after its end, or while it is being closed", async () => {
    const { streams } = await streamsAfter(async (context) => {
      const cut = context.openStream({ kind: "text" });
      void cut.write("a\ud83d");
      void cut.close();
      await expect(cut.write("\ude00")).rejects.toThrow("closed");
      const stream = context.openStream({ kind: "text" });
      await stream.close("enough");
      await expect(stream.write("late")).rejects.toThrow("closed");
      await stream.close();
    });
    expect(streams.map(textOf)).toEqual(["a\ufffd", ""]);
  });

  test("of a job that has ended cannot be opened or written", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    const { context, finish } = await puppet.next();
    const stream = context.openStream({ kind: "text" });
    finish();
    await client.ending(job_id);
    await expect(stream.write("late")).rejects.toThrow("ended");
    expect(() => context.openStream({ kind: "text" })).toThrow("ended");
    await expect(context.thought("late")).rejects.toThrow("ended");
  });

  test.each([
    ["text", 3],
    ["binary", "text"],
    ["log", { level: "info" }],
    ["log", { level: "info", message: "x", attributes: 3 }],
    ["metric", { name: "x", value: "many" }],
    ["metric", { name: "x", value: 1, unit: 3 }],
    ["metric", { name: "x", value: 1, dimensions: 3 }],
    ["metric", { name: "cost.inference", value: 1, unit: "USD" }],
    ["thought", { text: "x" }],
    ["event", JSON.parse('{"__proto__":1}')],
  ] as const)("of %s is not written %j", async (kind, data) => {
    const { streams, end } = await streamsAfter(async (context) => {
      const stream = context.openStream({ kind });
      await expect(stream.write(data as never)).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    });
    expect(end.type).toBe("tool.result");
    expect(streams[0]?.chunks).toEqual([]);
  });

  test("takes names that are text alone", async () => {
    await streamsAfter((context) => {
      for (const contentType of ["", "text/plain\r\nx: y", "é", "x".repeat(257)]) {
        expect(() => context.openStream({ kind: "text", contentType })).toThrow("printable");
      }
      expect(() => context.openStream({ kind: "text", encoding: "base64" })).toThrow("bytes");
    });
  });
});

describe("bounds", () => {
  test("of one value: it is refused, and the stream goes on", async () => {
    const { streams } = await streamsAfter(
      async (context) => {
        const stream = context.openStream({ kind: "event" });
        await expect(stream.write("x".repeat(2000))).rejects.toMatchObject({
          details: { limit: "maxChunkBytes", max: 1000 },
        });
        await stream.write("y");
        await context.openStream({ kind: "text" }).write("z".repeat(2000));
      },
      { server: { jobCaps: { maxChunkBytes: 1000 } } },
    );
    expect(streams[0]?.chunks.map(({ payload }) => payload.event)).toEqual(["y"]);
    expect(streams[1]?.chunks.map(({ payload }) => payload.data.length)).toEqual([333, 333, 333, 333, 333, 333, 2]);
  });

  test("of a whole stream: it fails, and the job goes on", async () => {
    const { streams, end } = await streamsAfter(
      async (context) => {
        const stream = context.openStream({ kind: "binary" });
        await stream.write(Buffer.alloc(900));
        await expect(stream.write(Buffer.alloc(200))).rejects.toMatchObject({ details: { limit: "maxStreamBytes" } });
        await expect(stream.write(Buffer.alloc(1))).rejects.toMatchObject({ details: { limit: "maxStreamBytes" } });
        return "still here";
      },
      { server: { jobCaps: { maxStreamBytes: 1000 } } },
    );
    expect(end.payload.value).toBe("still here");
    expect(bytesOf(streams[0] as SeenStream)).toHaveLength(900);
    expect(streams[0]?.end).toMatchObject({
      type: "stream.error",
      payload: { code: "RESOURCE_EXHAUSTED", retryable: false },
    });
  });

  test("of streams that are open at once, which thoughts are none of", async () => {
    await streamsAfter(
      async (context) => {
        await context.thought("first of all");
        const [first] = [context.openStream({ kind: "text" }), context.openStream({ kind: "text" })];
        expect(() => context.openStream({ kind: "text" })).toThrow("maxOpenStreams (2)");
        await first?.close();
        context.openStream({ kind: "text" });
      },
      { server: { jobCaps: { maxOpenStreams: 2 } } },
    );
  });

  test("of what waits to be written: the stream fails, as what was refused is missing from it", async () => {
    const { streams, end } = await streamsAfter(
      async (context) => {
        const patient = context.openStream({ kind: "text" });
        for (let n = 0; n < 30; n += 1) {
          await patient.write("x".repeat(1000));
          await context.flush();
        }
        const [stream, other] = [context.openStream({ kind: "text" }), context.openStream({ kind: "text" })];
        const writes = Array.from({ length: 15 }, () => stream.write("x".repeat(1000)));
        // What waits counts for all streams of the job together.
        const more = Array.from({ length: 15 }, () => other.write("x".repeat(1000)));
        expect((await Promise.allSettled(writes)).every(({ status }) => status === "fulfilled")).toBe(true);
        const outcomes = await Promise.allSettled(more);
        expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
      },
      { server: { jobCaps: { maxUnawaitedBytes: 20_000 } } },
    );
    expect(end.type).toBe("tool.result");
    expect(streams.map((stream) => stream.end?.type)).toEqual(["stream.close", "stream.close", "stream.error"]);
  });
});

test("a chunk that there is no room for in a turn is not skipped: its stream fails", async () => {
  const { streams } = await streamsAfter(
    async (context) => {
      const stream = context.openStream({ kind: "text" });
      await stream.write("first");
      const logs = Array.from({ length: 30 }, () => context.log("info", "x".repeat(1000)).catch(() => {}));
      await expect(stream.write("second")).rejects.toMatchObject({ details: { limit: "maxUnawaitedBytes" } });
      await Promise.all(logs);
      await expect(stream.write("third")).rejects.toMatchObject({ details: { limit: "maxUnawaitedBytes" } });
    },
    { server: { jobCaps: { maxUnawaitedBytes: 20_000 } } },
  );
  expect(textOf(streams[0] as SeenStream)).toBe("first");
  expect(streams[0]?.end).toMatchObject({ type: "stream.error" });
});

describe("a session of wire 1.1", () => {
  test("sees nothing of streams, and no numbers are missing", async () => {
    await using harness = startHarness({
      agents: {
        agent: async (_input, context) => {
          await context.openStream({ kind: "text" }).write("for others");
          await context.log("info", "for all");
          await context.thought("plain");
          return 1;
        },
      },
    });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("agent")).payload;
    await client.end(job_id);
    expect(client.numbered.map(({ event_seq, payload }) => [event_seq, payload.kind ?? payload.result])).toEqual([
      [1, "log"],
      [2, "thought"],
      [3, 1],
    ]);
    expect(client.numbered[1]?.payload.body).toEqual({ text: "plain" });
    const observer = await harness.rawSession10();
    await observer.ask("job.subscribe", { job_id, history: true });
    await observer.ending(job_id);
    await settle();
    expect(streamsOf(observer).map(({ open }) => open.payload.kind)).toEqual(["text", "thought"]);
  });
});
