import type { JobStream } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { streamsOf, textOf } from "../support/streams.ts";

/** An agent of a client that has stopped reading, and whose connection has no room any more. */
async function congested(server: object = {}) {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({
    agents: { puppet: puppet.handler },
    server: { clock, heartbeatIntervalSeconds: 86_400, caps: { maxBufferedBytes: 10_000 }, ...server },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const run = await puppet.next();
  const open = (priority?: "low" | "normal" | "high"): JobStream<"text"> =>
    run.context.openStream({ kind: "text", ...(priority && { priority }) });
  return {
    ...{ clock, harness, client, run, open, jobId: job_id as string },
    /** Leaves no room on the connection. */
    congest: async (): Promise<void> => {
      client.transport.pause();
      await run.context.log("info", "x".repeat(20_000));
      await settle();
    },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

/** Writes numbers without waiting for each other, and counts those that are through. */
function burst(stream: JobStream<"text">, count: number): { through: number } {
  const state = { through: 0 };
  const onThrough = (): void => {
    state.through += 1;
  };
  for (let n = 0; n < count; n += 1) void stream.write(`${n};`).then(onThrough);
  return state;
}

const numbers = (count: number): string => Array.from({ length: count }, (_, n) => `${n};`).join("");

describe("while the client does not read", () => {
  test("a stream of lower priority waits for those of a higher one, with its share of turns", async () => {
    covers("V10-6.5-01", "V10-6.5-02", "V10-6.5-03", "V10-6.5-04", "V10-11.2-03");
    await using stage = await congested();
    const { client, run, open, congest, jobId } = stage;
    const [low, high] = [open("low"), open("high")];
    await congest();
    const lowly = burst(low, 5);
    await settle();
    expect(lowly.through).toBe(0);
    const first = burst(high, 8);
    await settle();
    expect([first.through, lowly.through]).toEqual([8, 0]);
    // Of ten chunks one is its own.
    const second = burst(high, 1);
    await settle();
    expect([second.through, lowly.through]).toEqual([1, 1]);
    const third = burst(high, 9);
    await settle();
    expect([third.through, lowly.through]).toEqual([9, 2]);
    client.transport.resume();
    await settle();
    expect(lowly.through).toBe(5);
    run.finish();
    await client.ending(jobId);
    const seen = streamsOf(client);
    expect(seen.map(textOf)).toEqual([numbers(5), `${numbers(8)}0;${numbers(9)}`]);
    expect(seen.map(({ open: { priority } }) => priority)).toEqual(["low", "high"]);
    for (const { open: opened, chunks } of seen) {
      expect(new Set(chunks.map(({ priority }) => priority))).toEqual(new Set([opened.priority]));
    }
  });

  test("nobody waits where there is nobody of a higher priority, or none is open any more", async () => {
    await using stage = await congested();
    const { run, open, congest } = stage;
    const [low, other, high] = [open("low"), open("low"), open()];
    await congest();
    const waiting = burst(low, 3);
    const normal = burst(high, 3);
    await settle();
    expect([waiting.through, normal.through]).toEqual([0, 3]);
    await high.close();
    await settle();
    expect(waiting.through).toBe(3);
    await other.write("too");
    stage.client.transport.resume();
    run.finish();
  });

  test("nobody waits for longer than 30 seconds, or when the client is gone", async () => {
    await using stage = await congested();
    const { clock, client, harness, run, open, congest } = stage;
    const [low] = [open("low"), open("high")];
    await congest();
    const waiting = burst(low, 1);
    clock.advance(29_999);
    await settle();
    expect(waiting.through).toBe(0);
    clock.advance(1);
    await settle();
    expect(waiting.through).toBe(1);
    const again = burst(low, 2);
    await settle();
    expect(again.through).toBe(0);
    await harness.disconnect(client);
    await settle();
    expect(again.through).toBe(2);
    run.finish();
  });

  test("a stream that fails does not wait any more", async () => {
    await using stage = await congested();
    const { client, run, open, congest } = stage;
    const [low] = [open("low"), open("high")];
    await congest();
    const write = low.write("too late");
    await low.fail(new Error("torn"));
    await expect(write).rejects.toThrow("torn");
    client.transport.resume();
    run.finish();
  });

  test("a stream is whole when its job ends, if all that is waited for is the client", async () => {
    await using stage = await congested({ backPressureThreshold: 1 });
    const { client, run, open, congest, jobId } = stage;
    const stream = open();
    await congest();
    for (const text of ["further", "and further", "behind"]) void run.context.log("info", text);
    await settle();
    const state = burst(stream, 1);
    await settle();
    expect([state.through, stream.chunks]).toEqual([0, 1]);
    void run.context.streamResult().finalize("done");
    client.transport.resume();
    await client.ending(jobId);
    expect(streamsOf(client)[0]).toMatchObject({ end: { type: "stream.close", payload: { total_chunks: 1 } } });
    run.finish();
  });

  test("a stream that waits ends with its job", async () => {
    await using stage = await congested();
    const { client, run, open, congest } = stage;
    const [low] = [open("low"), open("high")];
    await congest();
    const write = low.write("too late");
    const refused = expect(write).rejects.toThrow();
    run.fail(new Error("broken"));
    await settle();
    await refused;
    client.transport.resume();
  });
});

test("while the client reads, priorities make no difference", async () => {
  await using stage = await congested();
  const { run, open } = stage;
  const [low] = [open("low"), open("high")];
  const written = burst(low, 50);
  await settle();
  expect(written.through).toBe(50);
  run.finish();
});
