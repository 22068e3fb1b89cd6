/** Streams, and connections and processes that are lost (RFC §11, §19). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sqliteStore } from "@arcp/runtime";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { Frame10 } from "../support/raw-client-10.ts";
import { chunkOf, type SeenStream, streamsIn, textOf } from "../support/streams.ts";

const ofStreams = (frames: readonly Frame10[]): readonly Frame10[] =>
  frames.filter(({ type }) => type.startsWith("stream."));

test("a stream that is open goes on where its reader lost it, with the next number", async () => {
  covers("V10-19-03", "V10-19-04", "V10-19-07", "V10-19-09");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const before = await harness.rawSession10();
  const { job_id } = await before.invoke("puppet");
  const run = await puppet.next();
  const [first, second] = [run.context.openStream({ kind: "text" }), run.context.openStream({ kind: "text" })];
  for (let n = 0; n < 5; n += 1) {
    await first.write(`a${n} `);
    await second.write(`b${n} `);
  }
  await chunkOf(before, second.id, 4);
  const last = await chunkOf(before, first.id, 2);
  before.cut();
  await settle();
  await first.write("a5 ");
  const after = await harness.rawSession10();
  const resume = { after_message_id: last.id, include_open_streams: true };
  await after.answerTo(after.send("resume", resume, { session_id: before.sessionId }));
  await second.write("b5 ");
  run.finish();
  await after.ending(job_id);
  const kept = before.frames.slice(0, before.frames.indexOf(last) + 1);
  // What came twice is the same.
  const repeated = before.frames.slice(kept.length);
  expect(ofStreams(after.frames).slice(0, repeated.length)).toEqual(repeated);
  const streams = streamsIn([...kept, ...ofStreams(after.frames)]);
  expect(streams.map(textOf)).toEqual(["a0 a1 a2 a3 a4 a5 ", "b0 b1 b2 b3 b4 b5 "]);
  for (const { chunks, end } of streams) {
    expect(chunks.map(({ payload }) => payload.sequence)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(end).toMatchObject({ type: "stream.close", payload: { total_chunks: 6 } });
  }
});

test("the streams of a process that is no more end before their jobs do, once", async () => {
  covers("V10-11.1-05");
  const directory = mkdtempSync(join(tmpdir(), "arcp-streams-"));
  const path = join(directory, "journal.db");
  const store = sqliteStore({ path });
  const puppet = new Puppet();
  const before = startHarness({ agents: { puppet: puppet.handler }, server: { eventLog: store } });
  const client = await before.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const { context } = await puppet.next();
  const [closed, open] = [context.openStream({ kind: "text" }), context.openStream({ kind: "binary" })];
  await closed.write("whole");
  await closed.close();
  await open.write(Buffer.from("half"));
  await context.thought("unfinished");
  await context.flush();
  await client.fence();
  // The process ends without a word: nothing more reaches its store.
  await store.close();

  const eventLog = sqliteStore({ path });
  {
    await using after = startHarness({ server: { eventLog } });
    const back = await after.rawSession10();
    await back.ask("resume", { after_message_id: client.frames.at(-1)?.id }, { session_id: client.sessionId });
    const end = await back.ending(job_id);
    expect(end).toMatchObject({ type: "tool.error", payload: { details: { reason: "runtime_restarted" } } });
    const streams = streamsIn([...client.frames, ...back.frames]) as readonly SeenStream[];
    expect(streams.map(({ open: { payload }, end: last }) => [payload.kind, last?.type, last?.payload.code])).toEqual([
      ["text", "stream.close", undefined],
      ["binary", "stream.error", "ABORTED"],
      ["thought", "stream.error", "ABORTED"],
    ]);
    const last = back.frames.findLastIndex(({ type }) => type === "stream.error");
    expect(last).toBeLessThan(back.frames.indexOf(end));
  }
  // Nothing is left that says that one is open.
  expect(await eventLog.listRecords({ kind: "stream", limit: 10 })).toEqual([]);
  await eventLog.close();
  await before[Symbol.asyncDispose]().catch(() => {});
  rmSync(directory, { recursive: true });
});

test("a result that breaks off ends the stream that it is shown as", async () => {
  covers("V10-11.1-05");
  await using harness = startHarness({
    agents: {
      agent: async (_input, context) => {
        await context.streamResult().write("the first half");
        throw new Error("broken");
      },
    },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("agent");
  const end = await client.ending(job_id);
  const [stream] = streamsIn(client.frames) as [SeenStream];
  expect(textOf(stream)).toBe("the first half");
  expect(stream.end).toMatchObject({ type: "stream.error", payload: { code: "INTERNAL" } });
  expect(client.frames.indexOf(stream.end as Frame10)).toBeLessThan(client.frames.indexOf(end));
});
