/** What the clients of other SDKs read of streams, spans and checkpoints (PROTOCOL.md, Peers). */
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import type { Frame10 } from "../support/raw-client-10.ts";

/** Every message of a job that uses everything, as a client sees it that opens its session like this. */
async function seenBy(payload: object, members: object): Promise<readonly Frame10[]> {
  const act = async (_input: unknown, context: JobContext): Promise<void> => {
    await context.openStream({ kind: "event" }).write({ at: 1 });
    await context.openStream({ kind: "log" }).write({ level: "info", message: "m" });
    await context.openStream({ kind: "metric" }).write({ name: "gpu.seconds", value: 1 });
    await context.openStream({ kind: "text" }).write("t");
    await context.thought("hm");
    await context.span("plan", {}, () => {});
    await context.checkpoint({ at: 1 });
  };
  await using harness = startHarness({ agents: { agent: act } });
  const client = await harness.raw10();
  await client.open(payload, members);
  const id = client.send("tool.invoke", { tool: "agent", arguments: {} }, members);
  const { job_id } = await client.sees(({ type }) => type === "job.accepted", `a job for ${id}`);
  await client.ending(job_id);
  return client.ofJob(job_id);
}

const chunks = (frames: readonly Frame10[]): readonly unknown[] =>
  frames.filter(({ type }) => type === "stream.chunk").map(({ payload }) => payload);

describe("Rust's client", () => {
  test("reads what any chunk brings from `data`, and of checkpoints by a type that it knows", async () => {
    const frames = await seenBy({}, { arcp: "1.1" });
    expect(chunks(frames)).toMatchObject([
      { sequence: 0, data: { at: 1 } },
      { sequence: 0, data: { level: "info", message: "m" } },
      { sequence: 0, data: { name: "gpu.seconds", value: 1 } },
      { sequence: 0, data: "t" },
      { sequence: 0, data: "hm", role: "assistant_thought", redacted: false },
    ]);
    const types = new Set(frames.map(({ type }) => type));
    expect(types).not.toContain("job.checkpoint");
    const told = frames.find(({ type }) => type === "event.emit");
    expect(told?.payload).toMatchObject({ name: "job.checkpoint", data: { checkpoint_id: expect.any(String) } });
    const spans = frames.filter(({ type }) => type === "trace.span").map(({ payload }) => payload);
    for (const member of ["name", "trace_id", "span_id", "start_time", "end_time"]) {
      expect(spans.map((span) => typeof span[member])).toEqual(["string", "string"]);
    }
  });
});

describe("F#'s client", () => {
  test("reads the same, numbered from 1, and the times of spans by names of its own", async () => {
    const frames = await seenBy({ arcp: "1.0" }, {});
    expect(chunks(frames)).toMatchObject([
      { sequence: 1, data: { at: 1 } },
      { sequence: 1, data: { level: "info", message: "m" } },
      { sequence: 1, data: { name: "gpu.seconds", value: 1 } },
      { sequence: 1, data: "t" },
      { sequence: 1, data: "hm" },
    ]);
    const span = frames.find(({ type }) => type === "trace.span")?.payload;
    expect([span.started_at, span.ended_at]).toEqual([span.start_time, span.end_time]);
    expect(frames.filter(({ type }) => type === "stream.open").map(({ payload }) => payload.kind)).toContainEqual({
      type: "event",
    });
  });
});

test("TypeScript's client reads how long a span took", async () => {
  const frames = await seenBy({}, {});
  const spans = frames.filter(({ type }) => type === "trace.span").map(({ payload }) => payload);
  expect(spans.map(({ duration_ms }) => typeof duration_ms)).toEqual(["number", "number"]);
  expect(chunks(frames)[0]).toEqual({ sequence: 0, event: { at: 1 } });
});
