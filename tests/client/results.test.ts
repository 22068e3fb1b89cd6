import type { ClientOptions, JobHandle } from "@arcp/client";
import { InternalError } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { collect, connected, type FakeRuntime } from "./fake-runtime.ts";

async function running(options: ClientOptions = {}): Promise<{
  runtime: FakeRuntime;
  handle: JobHandle;
  close: () => Promise<void>;
}> {
  const { client, runtime } = await connected(options);
  const submitting = client.submit({ agent: "echo" });
  await runtime.accept("job_1");
  return { runtime, handle: await submitting, close: () => client.close() };
}

interface Chunk {
  readonly data: string;
  readonly encoding: "utf8" | "base64";
  readonly seq?: number;
}

/** Streams chunks, numbered from 1, and ends the job. */
function stream(runtime: FakeRuntime, chunks: readonly Chunk[], result: object = {}): void {
  chunks.forEach(({ data, encoding, seq }, index) => {
    runtime.event("job_1", index + 1, "result_chunk", {
      result_id: "res_1",
      chunk_seq: seq ?? index,
      data,
      encoding,
      more: (seq ?? index) < chunks.length - 1,
    });
  });
  runtime.result("job_1", chunks.length + 1, { result_id: "res_1", ...result });
}

describe("a result inline", () => {
  it("is read under the names that the SDKs give it", async () => {
    covers("V11-8.4-11");
    for (const [payload, expected] of [
      [{ result: { a: 1 } }, { a: 1 }],
      [{ output: [1] }, [1]],
      [{ value: "x" }, "x"],
      [{ result: null }, null],
      [{ result: 0, output: 1 }, 0],
    ] as const) {
      const { runtime, handle, close } = await running();
      runtime.result("job_1", 1, payload);
      expect(await handle.done).toEqual({ finalStatus: "success", result: expected });
      await close();
    }
    const { runtime, handle, close } = await running();
    runtime.result("job_1", 1, { summary: "only words" });
    expect(await handle.done).toEqual({ finalStatus: "success", summary: "only words" });
    await close();
  });
});

describe("a streamed result", () => {
  it("goes by where a subscription says so, however large it is", async () => {
    const { client, runtime } = await connected({ maxResultBytes: 2 });
    const subscribing = client.subscribe("job_1", { collectResult: false });
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { job_id: "job_1", current_status: "running", agent: "echo@1.0.0", lease: {} });
    const subscription = await subscribing;
    const chunks = ["a", "b", "c"].map((data) => ({ data, encoding: "utf8" as const }));
    stream(runtime, chunks, { result_size: 3, summary: "abc" });
    expect(await subscription.done).toEqual({
      finalStatus: "success",
      resultId: "res_1",
      resultSize: 3,
      summary: "abc",
    });
    await client.close();
  });

  it("of text is joined to a string", async () => {
    covers("V11-8.4-10");
    const { runtime, handle, close } = await running();
    stream(
      runtime,
      [
        { data: "grüße \ud83d", encoding: "utf8" },
        { data: "\ude00!", encoding: "utf8" },
        { data: "", encoding: "utf8" },
      ],
      { result_size: 14, summary: "s" },
    );
    expect(await handle.done).toEqual({
      finalStatus: "success",
      result: "grüße 😀!",
      resultId: "res_1",
      resultSize: 14,
      summary: "s",
    });
    await close();
  });

  it("of bytes is exact, however characters were cut", async () => {
    covers("V11-8.4-10", "V11-5.2-02");
    const bytes = Buffer.from("añ€😀\u0000z".repeat(1000));
    const chunks: Chunk[] = [];
    for (let at = 0; at < bytes.length; at += 7) {
      chunks.push({ data: bytes.subarray(at, at + 7).toString("base64"), encoding: "base64" });
    }
    const { runtime, handle, close } = await running();
    stream(runtime, chunks);
    const { result, resultSize } = await handle.done;
    expect(result).toBeInstanceOf(Uint8Array);
    expect(Buffer.compare(result as Uint8Array, bytes)).toBe(0);
    expect(resultSize).toBe(bytes.length);
    await close();
  });

  it("may mix encodings, and is then bytes", async () => {
    const { runtime, handle, close } = await running();
    stream(runtime, [
      { data: "€", encoding: "utf8" },
      { data: "/w==", encoding: "base64" },
      { data: "\ud83d", encoding: "utf8" },
      { data: "\ude00", encoding: "utf8" },
    ]);
    const { result } = await handle.done;
    expect([...(result as Uint8Array)]).toEqual([0xe2, 0x82, 0xac, 0xff, 0xf0, 0x9f, 0x98, 0x80]);
    await close();
  });

  it("is put in order, and a chunk that comes twice counts once", async () => {
    covers("V11-8.4-10");
    const { runtime, handle, close } = await running();
    stream(runtime, [
      { data: "a", encoding: "utf8" },
      { data: "c", encoding: "utf8", seq: 2 },
      { data: "b", encoding: "utf8", seq: 1 },
      { data: "b again", encoding: "utf8", seq: 1 },
    ]);
    expect((await handle.done).result).toBe("abc");
    await close();
  });

  it("that is incomplete, not base64 or too large fails with a typed error", async () => {
    const cases: {
      chunks: Chunk[];
      result?: object;
      /** Begins with a chunk that says that more follow. */
      prefix?: boolean;
      options?: ClientOptions;
      message: RegExp;
    }[] = [
      { chunks: [{ data: "a", encoding: "utf8", seq: 1 }], message: /incomplete/ },
      {
        chunks: [
          { data: "a", encoding: "utf8" },
          { data: "c", encoding: "utf8", seq: 2 },
        ],
        message: /incomplete/,
      },
      { chunks: [], result: { result_size: 3 }, prefix: true, message: /incomplete/ },
      { chunks: [{ data: "**", encoding: "base64" }], message: /base64/ },
      { chunks: [{ data: "12345", encoding: "utf8" }], options: { maxResultBytes: 4 }, message: /larger than 4/ },
    ];
    for (const { chunks, result, prefix, options, message } of cases) {
      const { runtime, handle, close } = await running(options);
      if (prefix === true) {
        const body = { result_id: "res_1", chunk_seq: 0, data: "a", encoding: "utf8", more: true };
        runtime.event("job_1", undefined, "result_chunk", body);
      }
      stream(runtime, chunks, result);
      const error = (await handle.done.catch((thrown: unknown) => thrown)) as InternalError;
      expect(error).toBeInstanceOf(InternalError);
      expect(error.message).toMatch(message);
      expect(error.retryable).toBe(false);
      expect(handle.finalStatus).toBe("success");
      await close();
    }
  });

  it("can be read piece by piece, and is then not collected", async () => {
    const { runtime, handle, close } = await running({ maxResultBytes: 2 });
    runtime.event("job_1", 1, "result_chunk", {
      result_id: "res_1",
      chunk_seq: 0,
      data: "ab",
      encoding: "utf8",
      more: true,
    });
    for await (const event of handle) {
      expect(event.kind).toBe("result_chunk");
      break;
    }
    const pieces = collect(handle.resultStream());
    runtime.event("job_1", 2, "result_chunk", {
      result_id: "res_1",
      chunk_seq: 1,
      data: "//8=",
      encoding: "base64",
      more: false,
    });
    runtime.result("job_1", 3, { result_id: "res_1", result_size: 4 });
    expect((await pieces).map((piece) => (typeof piece === "string" ? piece : [...piece]))).toEqual([
      "ab",
      [0xff, 0xff],
    ]);
    expect(await handle.done).toEqual({ finalStatus: "success", resultId: "res_1", resultSize: 4 });
    await close();
  });

  it("gives what was collected in one piece to a reader who comes after the end", async () => {
    const { runtime, handle, close } = await running();
    const chunk = { result_id: "res_1", encoding: "utf8" };
    runtime.event("job_1", 1, "result_chunk", { ...chunk, chunk_seq: 0, data: "ab", more: true });
    runtime.event("job_1", 2, "result_chunk", { ...chunk, chunk_seq: 1, data: "cd", more: false });
    runtime.result("job_1", 3, { result_id: "res_1", result_size: 4 });
    await handle.done;
    expect(await collect(handle.resultStream())).toEqual(["abcd"]);
    await close();
  });

  it("fails its reader when the job fails", async () => {
    const { runtime, handle, close } = await running();
    const pieces = collect(handle.resultStream());
    runtime.event("job_1", 1, "result_chunk", {
      result_id: "res_1",
      chunk_seq: 0,
      data: "ab",
      encoding: "utf8",
      more: true,
    });
    runtime.error("job_1", 2, { final_status: "error", code: "BOOM", message: "boom", retryable: false });
    await expect(pieces).rejects.toMatchObject({ code: "BOOM" });
    await close();
  });

  it("decodes without Node's Buffer", async () => {
    const { decodeBase64 } = await import("../../packages/client/src/base64.ts");
    expect([...decodeBase64("AAEC/w==")]).toEqual([0, 1, 2, 255]);
    expect(() => decodeBase64("A!==")).toThrow();
  });
});
