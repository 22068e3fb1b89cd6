/** Streams. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { aString, is, nothing, perhaps, shape, text } from "../../matcher.ts";
import { CAPABILITIES, jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { codeOf, ending, ofJob, stop, v10 } from "./case.ts";

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
  v10(
    "streams/cancel",
    "a stream that is cancelled ends with that, and brings no more",
    ["10.4-06"],
    ["stream"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, stream_id } = await flowing(context, peer, { delay_ms: 50 });
      const answer = await peer.ask("V10-10.4-06", "cancel", { target: "stream", target_id: stream_id });
      if (answer.type !== "cancel.accepted") throw new NotHere(`a stream cannot be cancelled: ${answer.type}`);
      const error = await peer.sees(
        "V10-10.4-06",
        "stream.error",
        (frame) => frame.type === "stream.error" && frame["stream_id"] === stream_id,
      );
      judge.expect("V10-10.4-06", "its code", codeOf(error), is("CANCELLED"));
      await peer.quiet();
      const late = peer.frames.slice(peer.frames.indexOf(error)).filter((frame) => isChunk(frame, stream_id));
      judge.expect("V10-10.4-06", "chunks after it", late, is([]));
      stop(peer, jobId);
    },
  ),
  v10(
    "streams/backpressure",
    "whoever cannot read so fast says so, and is heard",
    ["11-01", "11.2-01", "11.2-02"],
    ["stream"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, stream_id } = await flowing(context, peer, { delay_ms: 10 });
      const id = peer.send("backpressure", { desired_rate_per_second: 5, reason: "suite" }, { stream_id });
      const isOver = (): boolean =>
        peer.frames.some((frame) => frame.type === "stream.close" && frame["stream_id"] === stream_id);
      for (let quiet = 0; quiet < SLOW_TURNS && !isOver(); quiet += 1) await peer.quiet();
      const refusal = peer.frames.find(({ type, correlation_id }) => type === "nack" && correlation_id === id);
      judge.expect(["V10-11-01", "V10-11.2-01"], "a refusal of backpressure", refusal, nothing);
      const chunks = peer.frames.filter((frame) => isChunk(frame, stream_id));
      const seen = chunks.map(({ payload }) => payload.sequence);
      judge.that(
        ["V10-11.2-02", "V10-11-01"],
        "a stream that is slower than it was, and not over by now",
        !isOver(),
        `${seen.length} chunks`,
      );
      judge.that(
        "V10-11.2-02",
        "nothing left out",
        seen.every((sequence, place) => sequence === seen[0] + place),
        seen,
      );
      stop(peer, jobId);
    },
  ),
  v10(
    "streams/resumed",
    "a stream that was open goes on where it was",
    ["19-09"],
    ["stream", "connections"],
    async (context) => {
      const { judge } = context;
      const before = (await context.open10()).peer;
      const pieces = Array.from({ length: 12 }, (_, place) => `${place}`);
      const { jobId, stream_id } = await flowing(context, before, { delay_ms: 40, pieces });
      const last = before.frames.findLast((frame) => isChunk(frame, stream_id)) as Frame;
      before.cut();
      const after = (await context.open10()).peer;
      const asked = { after_message_id: last.id, include_open_streams: true };
      const answer = await after.ask("V10-19-09", "resume", asked, { session_id: before.sessionId });
      if (answer.type === "nack") throw new NotHere(`open streams are not resumed: ${codeOf(answer)}`);
      await ending(after, jobId, "V10-19-09");
      const rest = after.frames.filter((frame) => isChunk(frame, stream_id)).map(({ payload }) => payload.sequence);
      const due = Array.from({ length: rest.length }, (_, place) => last.payload.sequence + 1 + place);
      judge.expect("V10-19-09", "the numbers of the chunks that followed", rest, is(due));
      const closed = after.frames.some((frame) => frame.type === "stream.close" && frame["stream_id"] === stream_id);
      judge.that(
        "V10-19-09",
        "the end of the stream",
        closed,
        after.frames.map(({ type }) => type),
      );
    },
  ),
  v10(
    "streams/sidecar",
    "bytes may follow their messages where frames may be binary",
    ["22-04", "11.3-03"],
    ["websocket", "stream"],
    async (context) => {
      const { judge } = context;
      const capabilities = { ...CAPABILITIES, binary_encoding: ["base64", "sidecar"] };
      const { peer, accepted } = await context.open10({ capabilities });
      const { binary_encoding } = accepted.payload.capabilities;
      judge.that("V10-22-04", "sidecar in binary_encoding", binary_encoding?.includes("sidecar"), binary_encoding);
      const jobId = jobOf(await context.invoke(peer, "stream", { kind: "binary", pieces: ["one", "three"] }));
      await ending(peer, jobId);
      const chunks = ofJob(peer, jobId).filter(({ type }) => type === "stream.chunk");
      const beside = chunks.filter(({ payload }) => payload.data === undefined);
      const lengths = peer.garbage.map((text) => Number(/binary frame of (\d+) bytes/.exec(text)?.[1]));
      judge.expect(
        "V10-11.3-03",
        "the lengths of what followed",
        lengths,
        is(beside.map(({ payload }) => payload.byte_length)),
      );
    },
  ),
  v10(
    "streams/stdio",
    "over standard output bytes are base64, and nothing else",
    ["22-05"],
    ["stdio", "stream"],
    async (context) => {
      const { judge } = context;
      const capabilities = { ...CAPABILITIES, binary_encoding: ["base64", "sidecar"] };
      const { peer, accepted } = await context.open10({ capabilities });
      const { binary_encoding } = accepted.payload.capabilities;
      judge.expect("V10-22-05", "binary_encoding", binary_encoding ?? ["base64"], is(["base64"]));
      const jobId = jobOf(await context.invoke(peer, "stream", { kind: "binary", pieces: ["one", "\u0001\u00ff\n"] }));
      await ending(peer, jobId);
      const chunks = ofJob(peer, jobId).filter(({ type }) => type === "stream.chunk");
      const data = Buffer.concat(chunks.map(({ payload }) => Buffer.from(String(payload.data), "base64")));
      judge.expect("V10-22-05", "the bytes", data.toString("utf8"), is("one\u0001\u00ff\n"));
      judge.expect("V10-22-05", "what came and is no message", peer.garbage, is([]));
    },
  ),
];

/** So many pieces take two seconds at their own pace. */
const MANY_PIECES = 200;
/** Longer than that. */
const SLOW_TURNS = 24;

const isChunk = (frame: Frame, streamId: string): boolean =>
  frame.type === "stream.chunk" && frame["stream_id"] === streamId;

/** A job whose stream brings something already. */
async function flowing(
  context: ServerContext,
  peer: Peer,
  input: { readonly delay_ms: number; readonly pieces?: readonly string[] },
): Promise<{ readonly jobId: string; readonly stream_id: string }> {
  const pieces = Array.from({ length: MANY_PIECES }, (_, place) => `${place}`);
  const jobId = jobOf(await context.invoke(peer, "stream", { kind: "text", pieces, ...input }));
  const chunk = await peer.sees(
    undefined,
    "its first chunk",
    ({ type, job_id }) => type === "stream.chunk" && job_id === jobId,
  );
  return { jobId, stream_id: String(chunk["stream_id"]) };
}
