import { createHash } from "node:crypto";
import type { Transport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Harness, startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_CAPABILITIES, type Frame10, RawClient10 } from "../support/raw-client-10.ts";
import { bytesOf, type SeenStream, streamsOf } from "../support/streams.ts";

const BOTH = { ...ALL_CAPABILITIES, binary_encoding: ["base64", "sidecar"] };

/** A client that takes binary frames, each with the message right before it. */
class SidecarClient extends RawClient10 {
  readonly #beside = new Map<Frame10, Uint8Array>();

  constructor(transport: Transport) {
    super(transport);
    if (!transport.carriesBinary) return;
    transport.onBinary((bytes) => {
      const message = this.frames.at(-1);
      if (message === undefined || this.#beside.has(message)) throw new Error("a binary frame without its message");
      this.#beside.set(message, bytes);
    });
  }

  /** The content of each stream, put together by `stream_id` and `sequence` from what came beside the envelopes. */
  contents(): ReadonlyMap<string, Buffer> {
    const contents = new Map<string, Buffer>();
    for (const frame of this.ofType("stream.chunk")) {
      const { stream_id = "", payload } = frame;
      const bytes = this.#beside.get(frame);
      if (bytes?.length !== payload.byte_length) throw new Error(`${bytes?.length} bytes, not ${payload.byte_length}`);
      contents.set(stream_id, Buffer.concat([contents.get(stream_id) ?? Buffer.alloc(0), bytes as Uint8Array]));
    }
    return contents;
  }
}

/** A client of both encodings, accepted. */
async function bothways(harness: Harness): Promise<{ client: SidecarClient; accepted: Frame10 }> {
  const client = new SidecarClient(await harness.transport());
  return { client, accepted: await client.open({ capabilities: BOTH }) };
}

const content = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + seed) % 256));
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe.each(CARRIERS)("over %s", (carrier) => {
  test("bytes come beside their envelopes where the carrier can, and inside of them where it cannot", async () => {
    covers("V10-11.3-03", "V10-11.3-04", "V10-11.3-05", "V10-11.3-06", "V10-11.3-02");
    const [left, right] = [content(700_000, 1), content(5000, 2)];
    await using harness = startHarness({
      carrier,
      agents: {
        painter: async (_input, context) => {
          const [first, second] = [context.openStream({ kind: "binary" }), context.openStream({ kind: "binary" })];
          void first.write(left);
          for (let at = 0; at < right.length; at += 1000) await second.write(right.subarray(at, at + 1000));
          await context.log("info", "in between");
          await first.close();
        },
      },
    });
    const { client, accepted } = await bothways(harness);
    const { carriesBinary } = client.transport;
    expect(carriesBinary).toBe(carrier === "memory" || carrier === "websocket");
    expect(accepted.payload.capabilities.binary_encoding).toEqual(carriesBinary ? ["base64", "sidecar"] : ["base64"]);
    const { job_id } = await client.invoke("painter");
    await client.ending(job_id);
    await client.fence();
    const seen = streamsOf(client) as readonly [SeenStream, SeenStream];
    for (const { open, chunks, end } of seen) {
      const encoding = carriesBinary ? "sidecar" : "base64";
      expect(open.payload).toMatchObject({ kind: "binary", encoding });
      for (const { payload } of chunks) {
        expect(payload).toMatchObject({ encoding, content_type: "application/octet-stream" });
        expect("data" in payload).toBe(!carriesBinary);
      }
      expect(end?.type).toBe("stream.close");
    }
    const got = carriesBinary ? [...client.contents().values()] : seen.map(bytesOf);
    expect(got.map(sha256)).toEqual([left, right].map(sha256));
    expect(seen.map(({ end }) => end?.payload.sha256)).toEqual([left, right].map(sha256));
  });
});

describe("a sidecar", () => {
  test("is not sent to a client that did not ask for it", async () => {
    covers("V10-11.3-06");
    await using harness = startHarness({
      agents: { painter: (_input, context) => context.openStream({ kind: "binary" }).write(content(100, 3)) },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("painter");
    await client.ending(job_id);
    expect(bytesOf(streamsOf(client)[0] as SeenStream)).toEqual(content(100, 3));
  });

  test("follows a chunk that is replayed as it followed the original, for every carrier its own encoding", async () => {
    covers("V10-11.3-03", "V10-19-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { client: before } = await bothways(harness);
    const { job_id } = await before.invoke("puppet");
    const run = await puppet.next();
    const stream = run.context.openStream({ kind: "binary" });
    await stream.write(content(50, 1));
    const first = await before.sees(({ type }) => type === "stream.chunk");
    before.cut();
    await settle();
    await stream.write(content(60, 2));
    const plain = await harness.rawSession10();
    const after = { after_message_id: first.id, include_open_streams: true };
    plain.send("resume", after, { session_id: before.sessionId });
    const inside = await plain.sees(({ type }) => type === "stream.chunk");
    expect(inside.payload).toMatchObject({ sequence: 1, encoding: "base64" });
    plain.cut();
    await settle();
    const { client } = await bothways(harness);
    client.send("resume", after, { session_id: before.sessionId });
    const beside = await client.sees(({ type }) => type === "stream.chunk");
    expect(beside).toMatchObject({ id: inside.id, payload: { sequence: 1, encoding: "sidecar", byte_length: 60 } });
    expect([...client.contents().values()]).toEqual([content(60, 2)]);
    run.finish();
    await client.ending(job_id);
  });

  test("carries a result that comes in pieces of bytes too", async () => {
    await using harness = startHarness({
      agents: { painter: (_input, context) => context.streamResult().write(content(300_000, 4)) },
    });
    const { client } = await bothways(harness);
    const { job_id } = await client.invoke("painter");
    const end = await client.ending(job_id);
    const streamId = end.payload.stream_id;
    expect(client.contents().get(streamId)?.equals(content(300_000, 4))).toBe(true);
  });
});
