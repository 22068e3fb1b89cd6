/** How a client of wire 1.0 reads streams (RFC §11). */
import { createHash } from "node:crypto";
import { is, isSame } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { asked, type Job10, openSession10 } from "./session.ts";

const streamOf = (job: Job10, stream_id: string, kind: string, more: JsonObject = {}): void =>
  void job.send("stream.open", { kind, related_job_id: job.id, ...more }, { stream_id });
const chunkOf = (job: Job10, stream_id: string, sequence: number, more: JsonObject): void =>
  void job.send("stream.chunk", { sequence, ...more }, { stream_id });
const closeOf = (job: Job10, stream_id: string, total_chunks: number): void =>
  void job.send("stream.close", { total_chunks }, { stream_id });

export const streams10: readonly ClientCase[] = [
  {
    id: "streams/kinds",
    wire: "1.0",
    requirements: ["V10-11.1-02", "V10-11.1-03", "V10-11.1-05", "V10-11-02"],
    title: "streams of every kind, an unknown one included, several at a time, each with its own chunks",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      const kinds = ["text", "event", "log", "metric", "zzz"];
      for (const kind of kinds) streamOf(job, `str_${kind}`, kind);
      for (let sequence = 0; sequence < 2; sequence += 1) {
        for (const kind of kinds)
          chunkOf(job, `str_${kind}`, sequence, { data: kind === "text" ? `t${sequence}` : { at: sequence } });
      }
      for (const kind of kinds) closeOf(job, `str_${kind}`, 2);
      chunkOf(job, "str_text", 2, { data: "after its end" });
      job.result("done");
      const { streams } = await job.wait("V10-11.1-02");
      for (const kind of kinds) {
        const stream = streams.find(({ id }) => id === `str_${kind}`);
        const chunks = (stream?.["chunks"] ?? []) as readonly JsonObject[];
        const expected = [0, 1].map((at) => (kind === "text" ? `t${at}` : { at }));
        const seen = chunks.map(({ data }) => data);
        stage.judge.that("V10-11.1-05", "nothing after the end of a stream", seen.length <= 2, streams);
        stage.judge.that("V10-11-02", `two chunks of ${kind}`, isSame(seen, expected), streams);
        const expectedKind = kind === "zzz" ? "event" : kind;
        const requirement = kind === "zzz" ? "V10-11.1-03" : "V10-11.1-02";
        stage.judge.that(requirement, `the kind ${expectedKind}`, stream?.["kind"] === expectedKind, stream);
      }
    },
  },
  {
    id: "streams/bytes",
    wire: "1.0",
    requirements: ["V10-11.3-01", "V10-11.3-02"],
    title: "bytes in base64 are the bytes that they were; a digest that is wrong is noticed",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      const bytes = Buffer.from([0, 255, 10, 13, 128]);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const chunk = { data: bytes.toString("base64"), encoding: "base64", content_type: "application/octet-stream" };
      for (const [name, digest] of [
        ["good", sha256],
        ["bad", "0".repeat(64)],
      ] as const) {
        streamOf(job, `str_${name}`, "binary", { content_type: chunk.content_type, encoding: "base64" });
        chunkOf(job, `str_${name}`, 0, { ...chunk, sha256: digest });
        closeOf(job, `str_${name}`, 1);
      }
      job.result("done");
      const { streams } = await job.wait("V10-11.3-01");
      const [good, bad] = ["good", "bad"].map((name) => streams.find(({ id }) => id === `str_${name}`));
      const seen = (good?.["chunks"] as readonly JsonObject[] | undefined)?.[0]?.["data"];
      stage.judge.expect("V10-11.3-01", "the reported bytes", seen, is({ base64: bytes.toString("base64") }));
      stage.judge.that("V10-11.3-02", "the wrong digest to be an error", bad?.["error"] !== undefined, bad);
    },
  },
  {
    id: "streams/sidecar",
    wire: "1.0",
    requirements: ["V10-11.3-04"],
    title: "bytes beside their messages go to their streams",
    needs: ["websocket"],
    async run(stage) {
      const session = await openSession10(stage, { capabilities: { binary_encoding: ["base64", "sidecar"] } });
      const job = await session.job({ streams: true });
      for (const name of ["a", "b"]) streamOf(job, `str_${name}`, "binary", { encoding: "sidecar" });
      for (let sequence = 0; sequence < 2; sequence += 1) {
        for (const name of ["a", "b"]) {
          const bytes = Buffer.from(`${name}${sequence}`);
          chunkOf(job, `str_${name}`, sequence, {
            encoding: "sidecar",
            byte_length: bytes.length,
            content_type: "application/octet-stream",
          });
          session.caller.sendBinary(bytes);
        }
      }
      for (const name of ["a", "b"]) closeOf(job, `str_${name}`, 2);
      job.result("done");
      const { streams } = await job.wait("V10-11.3-04");
      for (const name of ["a", "b"]) {
        const chunks = (streams.find(({ id }) => id === `str_${name}`)?.["chunks"] ?? []) as readonly JsonObject[];
        const expected = [0, 1].map((at) => ({ base64: Buffer.from(`${name}${at}`).toString("base64") }));
        stage.judge.that(
          "V10-11.3-04",
          `the bytes of ${name}`,
          isSame(
            chunks.map(({ data }) => data),
            expected,
          ),
          streams,
        );
      }
    },
  },
  {
    id: "streams/no-sidecar",
    wire: "1.0",
    requirements: ["V10-11.3-05", "V10-22-05"],
    title: "over standard streams nothing but base64 is asked for",
    needs: ["stdio"],
    async run(stage) {
      const session = await openSession10(stage);
      const encodings = session.open.payload?.capabilities?.binary_encoding ?? ["base64"];
      stage.judge.expect("V10-11.3-05", "binary_encoding", encodings, is(["base64"]));
      const doing = session.client.starts("put", {
        base64: Buffer.from("bytes").toString("base64"),
        media_type: "text/plain",
      });
      const ref = { artifact_id: "art_1", uri: "arcp://artifacts/art_1", media_type: "text/plain", size: 5 };
      const { command } = await asked(session, "V10-22-05", doing, "artifact.put", "artifact.ref", ref);
      stage.judge.expect(
        "V10-22-05",
        "artifact.put.payload.data",
        command.payload?.data,
        is(Buffer.from("bytes").toString("base64")),
      );
      const { garbage } = session.caller;
      stage.judge.that("V10-22-05", "nothing but JSON", garbage.length === 0, garbage);
    },
  },
];
