/** Streams. */
import type { Frame } from "../../frame.ts";
import { aString, is, perhaps, shape, text } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { ending, ofJob, v10 } from "./case.ts";

export const streamCases = [
  ...[
    { kind: "text", requirements: ["11-02", "11.1-01", "11.1-02", "11.1-05", "6.1.1-06"] },
    { kind: "binary", requirements: ["11.1-02", "11.3-01", "11.3-02", "11.3-05"] },
    { kind: "thought", requirements: ["11.1-02", "11.4-01", "11.4-02"] },
  ].map(({ kind, requirements }) =>
    v10(
      `streams/${kind}`,
      `a stream of kind ${kind} is opened, written and closed`,
      requirements,
      ["stream"],
      async (context) => {
        const { judge } = context;
        const { peer } = await context.open10();
        const pieces = ["one ", "two ü ", "three"];
        const jobId = jobOf(await context.invoke(peer, "stream", { kind, pieces, redacted: kind === "thought" }));
        await ending(peer, jobId);
        const of = (type: string): readonly Frame[] => ofJob(peer, jobId).filter((frame) => frame.type === type);
        const [open] = of("stream.open");
        judge.expect(
          kind === "text" ? ["V10-11.1-02", "V10-11.1-01"] : "V10-11.1-02",
          "stream.open.payload.kind",
          open?.payload?.kind,
          is(kind),
        );
        const chunks = of("stream.chunk");
        judge.that("V10-11.1-02", "three chunks", chunks.length === 3, chunks);
        if (kind === "text") {
          const types = ofJob(peer, jobId)
            .map(({ type }) => type)
            .filter((type) => type.startsWith("stream."));
          judge.expect(
            "V10-11.1-05",
            "the messages of the stream",
            types,
            is(["stream.open", "stream.chunk", "stream.chunk", "stream.chunk", "stream.close"]),
          );
          for (const frame of [...of("stream.open"), ...chunks, ...of("stream.close")])
            judge.expect("V10-6.1.1-06", `stream_id of ${frame.type}`, frame["stream_id"], is(open?.["stream_id"]));
          judge.looksAt("V10-11-02");
        }
        if (kind === "binary") {
          const bytes = Buffer.concat(chunks.map(({ payload }) => Buffer.from(String(payload.data), "base64")));
          judge.expect(
            ["V10-11.3-01", "V10-11.3-05"],
            "the bytes of all chunks",
            bytes.toString("utf8"),
            is(pieces.join("")),
          );
          for (const { payload } of chunks)
            judge.expect(
              "V10-11.3-02",
              "sha256",
              payload.sha256,
              perhaps(text(/^[0-9a-f]{64}$/, "64 hexadecimal characters")),
            );
        }
        if (kind === "thought") {
          for (const { payload } of chunks) {
            judge.expect("V10-11.4-02", "a chunk that is kept back", payload, shape({ redacted: is(true) }));
            judge.expect(
              "V10-11.4-01",
              "a chunk of thought",
              payload,
              shape({ redacted: is(true), role: perhaps(aString) }),
            );
          }
        }
      },
    ),
  ),
];
