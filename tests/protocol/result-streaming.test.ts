import type { JobResult } from "@arcp/client";
import { InvalidRequestError } from "@arcp/core";
import type { AgentHandler, JobCaps, ResultStream } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame } from "../support/raw-client.ts";

const PIECE_BYTES = 256 * 1024;
const WITHOUT_CHUNKS = ALL_FEATURES.filter((name) => name !== "result_chunk");

interface Streamed {
  readonly chunks: readonly Frame["payload"]["body"][];
  /** The payload of the terminal message, with its type. */
  readonly end: Frame["payload"];
  readonly frames: readonly Frame[];
}

interface Terms {
  readonly features?: readonly string[];
  readonly caps?: Partial<JobCaps>;
}

/** What a client is sent about one run of `agent`. */
async function streamed(agent: AgentHandler, { features = ALL_FEATURES, caps = {} }: Terms = {}): Promise<Streamed> {
  await using harness = startHarness({ agents: { streamer: agent }, server: { jobCaps: caps } });
  const client = await harness.rawSession(features);
  const { job_id } = (await client.submit("streamer")).payload;
  const { type, payload } = await client.end(job_id);
  const frames = client.ofJob(job_id);
  const chunks = frames.filter((frame) => frame.payload.kind === "result_chunk").map((frame) => frame.payload.body);
  return { chunks, end: { type, ...payload }, frames };
}

/** An agent whose result is streamed by `write`. */
const streams =
  (write: (stream: ResultStream) => unknown): AgentHandler =>
  async (_input, context) =>
    void (await write(context.streamResult()));

const decoded = (chunks: Streamed["chunks"]): Buffer =>
  Buffer.concat(chunks.map(({ data, encoding }) => Buffer.from(data, encoding)));
const expectFlags = ({ chunks }: Streamed): void =>
  expect(chunks.map(({ more }) => more)).toEqual(chunks.map((_chunk, index) => index < chunks.length - 1));

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a result in pieces is events, and then a result that refers to them", async () => {
    covers("V11-8.4-01", "V11-8.4-02", "V11-8.4-08");
    await using harness = startHarness({
      carrier,
      agents: {
        streamer: async (_input, context) => {
          const stream = context.streamResult();
          await context.log("info", "begun");
          await stream.write("one ");
          await context.log("info", "half way");
          await stream.write("two ✓");
          await stream.finalize(undefined, { summary: "two words" });
        },
      },
    });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("streamer")).payload;
    const end = await client.end(job_id);
    const frames = client.ofJob(job_id);
    expect(frames.map(({ type, payload }) => payload.kind ?? type)).toEqual([
      "log",
      "result_chunk",
      "log",
      "result_chunk",
      "result_chunk",
      "job.result",
    ]);
    const { result_id } = end.payload;
    const bodies = frames.filter(({ payload }) => payload.kind === "result_chunk").map(({ payload }) => payload.body);
    expect(bodies).toEqual([
      { result_id, chunk_seq: 0, data: "one ", encoding: "utf8", more: true },
      { result_id, chunk_seq: 1, data: "two ✓", encoding: "utf8", more: true },
      { result_id, chunk_seq: 2, data: "", encoding: "utf8", more: false },
    ]);
    expect(end.payload).toEqual({
      ...{ job_id, final_status: "success", result_id, summary: "two words" },
      result_size: Buffer.byteLength("one two ✓"),
    });
  });

  test("three megabytes of text and of bytes arrive as they were", async () => {
    covers("V11-8.4-10", "V11-8.4-05");
    const text = "päge \u{1f600} ".repeat(260_000);
    const bytes = new Uint8Array(3_000_000).map((_value, index) => (index * 7919) >> 3);
    await using harness = startHarness({
      carrier,
      agents: {
        text: streams((stream) => stream.finalize(text)),
        bytes: streams((stream) => stream.finalize(bytes)),
      },
    });
    const client = await harness.client();
    const asText = await (await client.submit({ agent: "text" })).done;
    expect(asText.result === text).toBe(true);
    expect(asText.resultSize).toBe(Buffer.byteLength(text));
    const asBytes = await (await client.submit({ agent: "bytes" })).done;
    expect(Buffer.compare(asBytes.result as Uint8Array, bytes)).toBe(0);
    expect(asBytes.resultSize).toBe(bytes.length);
  });
});

describe("result_id", () => {
  test("is the runtime's, the same for all chunks of a job, and another one for every job", async () => {
    covers("V11-8.4-03");
    const agent = streams(async (stream) => {
      for (let n = 0; n < 5; n += 1) await stream.write(String(n));
    });
    const results = [await streamed(agent), await streamed(agent)];
    const ids = results.map(({ chunks }) => new Set(chunks.map(({ result_id }) => result_id)));
    for (const [at, own] of ids.entries()) {
      expect(own.size).toBe(1);
      expect([...own][0]).toMatch(/^res_[0-9A-HJKMNP-TV-Z]{26}$/);
      expect(results[at]?.end.result_id).toBe([...own][0]);
    }
    expect(ids[0]).not.toEqual(ids[1]);
  });

  test("is one for a job: asking for a stream again continues it, and another id is refused", async () => {
    covers("V11-8.4-03", "V11-8.4-04");
    const { chunks, end } = await streamed(async (_input, context) => {
      await context.streamResult().write("a");
      await context.streamResult().write("b");
      await context.resultChunk({ data: "c", encoding: "utf8", more: true });
      expect(() => context.streamResult({ resultId: "res_other" })).toThrow(InvalidRequestError);
      await expect(
        context.resultChunk({ result_id: "res_other", data: "d", encoding: "utf8", more: false }),
      ).rejects.toThrow(InvalidRequestError);
    });
    expect(chunks.map(({ chunk_seq, data }) => [chunk_seq, data])).toEqual([
      [0, "a"],
      [1, "b"],
      [2, "c"],
      [3, ""],
    ]);
    expect(new Set(chunks.map(({ result_id }) => result_id))).toEqual(new Set([end.result_id]));
  });
});

test("chunk_seq counts from 0 without a gap, in the order of sending", async () => {
  covers("V11-8.4-04");
  const result = await streamed(
    streams(async (stream) => {
      for (let n = 0; n < 99; n += 1) void stream.write(`${n},`);
      await stream.finalize("99");
    }),
  );
  expect(result.chunks.map(({ chunk_seq }) => chunk_seq)).toEqual(Array.from({ length: 100 }, (_, index) => index));
  expect(decoded(result.chunks).toString()).toBe(Array.from({ length: 100 }, (_, index) => index).join(","));
  expectFlags(result);
});

describe("encoding", () => {
  test("is utf8 for text and base64 for bytes", async () => {
    covers("V11-8.4-05", "V11-8.4-06");
    const { chunks, end } = await streamed(
      streams(async (stream) => {
        await stream.write("text ✓");
        await stream.write(Buffer.from([0, 255, 128]));
        await stream.write(new Uint8Array([1, 2, 3, 4]).subarray(1, 3));
        await stream.write(Buffer.from("as text ✓"), { encoding: "utf8" });
        await stream.finalize(Buffer.from("coded").toString("base64"), { encoding: "base64" });
      }),
    );
    expect(chunks.map(({ data, encoding }) => [data, encoding])).toEqual([
      ["text ✓", "utf8"],
      ["AP+A", "base64"],
      ["AgM=", "base64"],
      ["as text ✓", "utf8"],
      ["Y29kZWQ=", "base64"],
    ]);
    expect(end.result_size).toBe(decoded(chunks).length);
  });

  test.each([
    ["text that is no base64", "not base64!"],
    ["base64 without its padding", "Y29kZWQ"],
  ])("given wrongly is refused: %s", async (_what, data) => {
    covers("V11-8.4-05");
    const { chunks } = await streamed(
      streams(async (stream) => {
        await expect(stream.write(data, { encoding: "base64" })).rejects.toThrow(InvalidRequestError);
        await stream.finalize("ok");
      }),
    );
    expect(chunks.map(({ data }) => data)).toEqual(["ok"]);
  });
});

describe("more", () => {
  test.each<[string, AgentHandler, number]>([
    ["one chunk", streams((stream) => stream.finalize("all")), 1],
    ["nothing", streams((stream) => stream.finalize()), 1],
    ["an empty text", streams((stream) => stream.finalize("")), 1],
    ["no bytes", streams((stream) => stream.finalize(new Uint8Array(0))), 1],
    ["a write and no last piece", streams((stream) => stream.write("a").then(() => stream.finalize())), 2],
    ["a stream that is never finalized", streams((stream) => stream.write("a")), 2],
    ["a stream that is never written to", streams(() => {}), 1],
    ["a long text", streams((stream) => stream.finalize("x".repeat(300_000))), 4],
    ["many bytes", streams((stream) => stream.finalize(new Uint8Array(PIECE_BYTES * 3 + 1))), 4],
    ["as many bytes as a piece has", streams((stream) => stream.finalize(new Uint8Array(PIECE_BYTES))), 1],
  ])("is false on the last chunk alone: %s", async (_what, agent, count) => {
    covers("V11-8.4-07", "V11-8.4-02");
    const result = await streamed(agent);
    expect(result.chunks).toHaveLength(count);
    expectFlags(result);
    for (const chunk of result.chunks) {
      expect(Object.keys(chunk).sort()).toEqual(["chunk_seq", "data", "encoding", "more", "result_id"]);
    }
    expect(result.end).toMatchObject({ type: "job.result", result_id: result.chunks[0]?.result_id });
    expect(result.end.result_size).toBe(decoded(result.chunks).length);
  });
});

describe("a streamed result and an inline one exclude each other", () => {
  test("what an agent returns after it has streamed is not sent", async () => {
    covers("V11-8.4-09");
    for (const finalizes of [true, false]) {
      const { chunks, end } = await streamed(async (_input, context) => {
        const stream = context.streamResult();
        await stream.write("streamed");
        if (finalizes) await stream.finalize();
        return { returned: true };
      });
      expect(decoded(chunks).toString()).toBe("streamed");
      expect(end).toMatchObject({ type: "job.result", result_id: chunks[0]?.result_id });
      expect(end).not.toHaveProperty("result");
    }
  });

  test("an agent that throws after it has streamed has failed", async () => {
    covers("V11-8.4-09");
    const { end } = await streamed(async (_input, context) => {
      await context.streamResult().write("half");
      throw new Error("no more");
    });
    expect(end).toMatchObject({ type: "job.error", code: "INTERNAL_ERROR" });
    expect(end).not.toHaveProperty("result_id");
  });

  test("after the last chunk no other follows", async () => {
    covers("V11-8.4-07", "V11-8.4-09");
    const { chunks } = await streamed(async (_input, context) => {
      await context.resultChunk({ data: "a", encoding: "utf8", more: true });
      await context.resultChunk({ data: "b", encoding: "utf8", more: false });
      const late = context.resultChunk({ data: "c", encoding: "utf8", more: false });
      await expect(late).rejects.toThrow(InvalidRequestError);
      await expect(context.streamResult().write("d")).rejects.toThrow(InvalidRequestError);
    });
    expect(chunks.map(({ data }) => data)).toEqual(["a", "b"]);
  });

  test("after an inline result no chunk follows", async () => {
    covers("V11-8.4-09", "V11-8.4-11");
    let late: Promise<unknown> = Promise.resolve();
    await using harness = startHarness({
      agents: {
        hasty: (_input, context) => {
          setImmediate(() => {
            late = context
              .streamResult()
              .finalize("late")
              .catch((error: unknown) => error);
          });
          return "inline";
        },
      },
    });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("hasty")).payload;
    const end = await client.end(job_id);
    await client.fence();
    expect(await late).toBeInstanceOf(InvalidRequestError);
    expect(end.payload).toEqual({ job_id, final_status: "success", result: "inline" });
    expect(client.ofJob(job_id)).toHaveLength(1);
  });
});

describe("without result_chunk a streamed result comes inline", () => {
  test("as text if every chunk was text", async () => {
    covers("V11-8.4-11");
    const { frames, end } = await streamed(
      streams(async (stream) => {
        await stream.write("one ✓ ");
        await stream.finalize("two", { summary: "words" });
      }),
      { features: WITHOUT_CHUNKS },
    );
    expect(frames.map(({ event_seq, type }) => [event_seq, type])).toEqual([[1, "job.result"]]);
    expect(end).toMatchObject({ final_status: "success", result: "one ✓ two", summary: "words" });
    for (const member of ["result_id", "result_size", "result_encoding"]) expect(end).not.toHaveProperty(member);
  });

  test("as base64, and says so, otherwise", async () => {
    covers("V11-8.4-11");
    const { frames, end } = await streamed(
      streams(async (stream) => {
        await stream.write("text ✓ ");
        await stream.finalize(new Uint8Array([0, 255]));
      }),
      { features: WITHOUT_CHUNKS },
    );
    expect(frames).toHaveLength(1);
    expect(end.result_encoding).toBe("base64");
    expect(Buffer.from(end.result, "base64")).toEqual(Buffer.concat([Buffer.from("text ✓ "), Buffer.from([0, 255])]));
  });

  test("or not at all if it is too long", async () => {
    covers("V11-12-01");
    const { frames, end } = await streamed(
      streams((stream) => stream.finalize("x".repeat(1001))),
      { features: WITHOUT_CHUNKS, caps: { maxInlineResultBytes: 1000 } },
    );
    expect(frames).toHaveLength(1);
    expect(end).toMatchObject({
      ...{ type: "job.error", final_status: "error", code: "INTERNAL_ERROR", retryable: true },
      details: { limit: "maxInlineResultBytes", max: 1000, retry: "never" },
    });
  });
});

describe("bounds", () => {
  const exceeds = (limit: keyof JobCaps, max: number): object => ({
    ...{ type: "job.error", code: "INTERNAL_ERROR", retryable: true, final_status: "error" },
    details: { limit, max, retry: "never" },
  });

  test("a chunk that is too long ends the job", async () => {
    covers("V11-14-24", "V11-14-25");
    let refusal: unknown;
    const { chunks, end } = await streamed(
      async (_input, context) => {
        await context.resultChunk({ data: "x".repeat(100), encoding: "utf8", more: true });
        await context.resultChunk({ data: "x".repeat(101), encoding: "utf8", more: true }).catch((error: unknown) => {
          refusal = error;
        });
        await context.resultChunk({ data: "x", encoding: "utf8", more: false }).catch(() => {});
      },
      { caps: { maxChunkBytes: 100 } },
    );
    expect(chunks).toHaveLength(1);
    expect(end).toMatchObject(exceeds("maxChunkBytes", 100));
    expect(refusal).toMatchObject({ code: "INTERNAL_ERROR", details: { limit: "maxChunkBytes" } });
  });

  test.each<[string, string | Uint8Array]>([
    ["text, counted in bytes", "✓✓✓"],
    ["bytes", new Uint8Array(9)],
  ])("a result that is too long ends the job: %s", async (_what, piece) => {
    covers("V11-14-24", "V11-14-25");
    const { chunks, end } = await streamed(
      streams(async (stream) => {
        await stream.write(piece);
        await stream.write("x");
        await stream.write("x");
      }),
      { caps: { maxResultBytes: 10 } },
    );
    expect(chunks).toHaveLength(2);
    expect(end).toMatchObject(exceeds("maxResultBytes", 10));
  });

  test.each([
    ["characters", "x"],
    ["bytes, not characters", "✓"],
  ])("an inline result that is too long ends the job: %s", async (_what, unit) => {
    covers("V11-8.4-11");
    const size = Buffer.byteLength(unit);
    const caps = { maxInlineResultBytes: 300 };
    const fits = await streamed(() => unit.repeat(Math.floor(250 / size)), { caps });
    expect(fits.end).toMatchObject({ type: "job.result", result: unit.repeat(Math.floor(250 / size)) });
    const tooLong = await streamed(() => unit.repeat(Math.ceil(310 / size)), { caps });
    expect(tooLong.end).toMatchObject(exceeds("maxInlineResultBytes", 300));
  });
});

describe("an inline result", () => {
  test.each([["text"], [0], [false], [null], [[1, { a: [] }]], [{ result_id: "res_mine" }]])(
    "is the member result: %j",
    async (value) => {
      covers("V11-8.4-11");
      const { end } = await streamed(() => value);
      expect(end.result).toEqual(value);
      expect(end).not.toHaveProperty("result_id");
      const inline = await streamed(() => value, { features: WITHOUT_CHUNKS });
      expect(inline.end.result).toEqual(value);
    },
  );

  test("of nothing is no member at all", async () => {
    covers("V11-8.4-11");
    expect((await streamed(() => undefined)).end).not.toHaveProperty("result");
  });
});

/** One write: text or bytes, short or longer than one chunk may be. */
type Piece = { readonly data: string | Uint8Array; readonly encoding?: "utf8" };

const longer = fc.oneof(
  { weight: 12, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.integer({ min: 20_000, max: 120_000 }) },
);
const text = fc.tuple(fc.string({ unit: "binary", maxLength: 12 }), longer).map(([unit, times]) => unit.repeat(times));
const bytes = fc
  .tuple(fc.uint8Array({ maxLength: 12 }), longer)
  .map(([unit, times]) => new Uint8Array(Buffer.concat(Array.from({ length: times }, () => unit))));
const textPiece: fc.Arbitrary<Piece> = fc.oneof(
  text.map((data) => ({ data })),
  text.map((data) => ({ data: new Uint8Array(Buffer.from(`\ufeff${data}`)), encoding: "utf8" as const })),
);
const anyPiece: fc.Arbitrary<Piece> = fc.oneof(
  textPiece,
  bytes.map((data) => ({ data })),
);
const result = fc.oneof(fc.array(textPiece, { maxLength: 8 }), fc.array(anyPiece, { maxLength: 8 }));

test("whatever an agent streams, the client has it byte for byte", async () => {
  covers("V11-8.4-10", "V11-8.4-05", "V11-8.4-06", "V11-8.4-08");
  await using harness = startHarness({
    agents: {
      streamer: async (input, context) => {
        const { pieces, isLastFinal } = waiting.get(input as number) as Written;
        const stream = context.streamResult();
        for (const { data, encoding } of isLastFinal ? pieces.slice(0, -1) : pieces) {
          await stream.write(data, encoding && { encoding });
        }
        const last = isLastFinal ? pieces.at(-1) : undefined;
        await stream.finalize(last?.data, last?.encoding && { encoding: last.encoding });
      },
    },
  });
  interface Written {
    readonly pieces: readonly Piece[];
    readonly isLastFinal: boolean;
  }
  const waiting = new Map<number, Written>();
  const whole = await harness.client();
  const inline = await harness.client({ features: WITHOUT_CHUNKS });
  const run = async (client: typeof whole, written: Written): Promise<JobResult> => {
    waiting.set(waiting.size, written);
    return (await client.submit({ agent: "streamer", input: waiting.size - 1 })).done;
  };
  await fc.assert(
    fc.asyncProperty(result, fc.boolean(), async (pieces, isLastFinal) => {
      const expected = Buffer.concat(pieces.map(({ data }) => Buffer.from(data as Uint8Array)));
      const isText = pieces.every(({ data, encoding }) => typeof data === "string" || encoding === "utf8");
      const assembled = await run(whole, { pieces, isLastFinal });
      expect(assembled.resultSize).toBe(expected.length);
      expect(typeof assembled.result).toBe(isText ? "string" : "object");
      expect(Buffer.compare(Buffer.from(assembled.result as Uint8Array), expected)).toBe(0);
      const { result: joined } = await run(inline, { pieces, isLastFinal });
      expect(Buffer.compare(Buffer.from(joined as string, isText ? "utf8" : "base64"), expected)).toBe(0);
    }),
    { numRuns: 120 },
  );
});

test("text is cut between characters, and bytes anywhere", async () => {
  covers("V11-8.4-10", "V11-8.4-06");
  for (const offset of [0, 1]) {
    const source = `${"x".repeat(offset)}${"\u{1f600}".repeat(120_000)}`;
    const asText = await streamed(streams((stream) => stream.finalize(source)));
    expect(asText.chunks.length).toBeGreaterThan(1);
    for (const { data } of asText.chunks) {
      expect(data.isWellFormed()).toBe(true);
      expect(Buffer.byteLength(data)).toBeLessThanOrEqual(PIECE_BYTES);
    }
    expect(asText.chunks.map(({ data }) => data).join("") === source).toBe(true);
    const asBytes = await streamed(streams((stream) => stream.finalize(Buffer.from(source))));
    expect(decoded(asBytes.chunks).toString() === source).toBe(true);
  }
});

describe("an agent that does not wait", () => {
  /** More than one chunk takes. */
  const LONG = 600_000;

  test("has its writes in order, and all of them before the end", async () => {
    await using harness = startHarness({
      agents: {
        hasty: (_input, context) => {
          const stream = context.streamResult();
          for (const letter of "abc") void stream.write(letter.repeat(LONG));
          void stream.finalize("d".repeat(LONG));
          return undefined;
        },
        forgetful: (_input, context) => {
          const stream = context.streamResult();
          for (const letter of "abcd") void stream.write(letter.repeat(LONG));
          return undefined;
        },
      },
    });
    const client = await harness.client();
    const expected = [..."abcd"].map((letter) => letter.repeat(LONG)).join("");
    for (const agent of ["hasty", "forgetful"]) {
      const job = await client.submit({ agent });
      const { result, resultSize } = await job.done;
      expect([agent, result === expected, resultSize]).toEqual([agent, true, 4 * LONG]);
    }
  });

  test("and whose data is refused in between goes on with the rest", async () => {
    await using harness = startHarness({
      agents: {
        clumsy: async (_input, context) => {
          const stream = context.streamResult();
          void stream.write("a".repeat(LONG));
          const refused = stream.write("not base64", { encoding: "base64" });
          void stream.write("b");
          await expect(refused).rejects.toMatchObject({ code: "INVALID_REQUEST" });
          await stream.finalize("c");
        },
      },
    });
    const job = await (await harness.client()).submit({ agent: "clumsy" });
    expect((await job.done).result).toBe(`${"a".repeat(LONG)}bc`);
  });
});

test("text that is cut inside a character arrives whole, whatever the cuts", async () => {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const client = await harness.client();
  const text = fc.string({ unit: fc.constantFrom("a", "é", "€", "😀", "𝄞"), minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 3 }), fc.boolean(), async (whole, step, endsWithLast) => {
      const job = await client.submit({ agent: "puppet" });
      const { context } = await puppet.next();
      const cuts = Array.from({ length: Math.ceil(whole.length / step) }, (_, index) =>
        whole.slice(index * step, (index + 1) * step),
      );
      const last = endsWithLast ? cuts.pop() : undefined;
      // One stream or several: they are the same result.
      for (const cut of cuts) await context.streamResult().write(cut);
      await context.streamResult().finalize(last);
      const { result, resultSize } = await job.done;
      expect([result, resultSize]).toEqual([whole, Buffer.byteLength(whole)]);
    }),
    { numRuns: 60 },
  );
});

test("half a character that is never completed is replaced, and moves nothing", async () => {
  const half = String.fromCharCode(0xd83d);
  await using harness = startHarness({
    agents: {
      halves: async (_input, context) => {
        const stream = context.streamResult();
        await stream.write(`a${half}`);
        await stream.write("b");
        await stream.write(half);
        await stream.write(Buffer.from("c"));
        await stream.write(half);
        await stream.finalize();
      },
    },
  });
  const job = await (await harness.client()).submit({ agent: "halves" });
  const { result, resultSize } = await job.done;
  expect(Buffer.from(result as Uint8Array).toString()).toBe("a\ufffdb\ufffdc\ufffd");
  expect(resultSize).toBe(12);
});
