import type { JobStream } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { bytesOf, chunkOf, type SeenStream, streamsOf, textOf } from "../support/streams.ts";

interface Scene {
  readonly clock: ManualClock;
  readonly harness: Harness;
  readonly client: RawClient10;
  readonly run: Run;
  readonly jobId: string;
}

/** An agent that waits for its test, asked for by `client`, under a clock that stands. */
async function scene(options: { readonly server?: object } = {}): Promise<Scene & AsyncDisposable> {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({
    agents: { puppet: puppet.handler },
    // Of heartbeats there shall be none while the clock is moved.
    server: { clock, heartbeatIntervalSeconds: 86_400, ...options.server },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const run = await puppet.next();
  return {
    ...{ clock, harness, client, run, jobId: job_id as string },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

/** Says how much of `stream` the client can take. Resolves when the runtime has heard it. */
async function slow(client: RawClient10, stream: { readonly id: string }, payload: object): Promise<void> {
  client.send("backpressure", payload, { stream_id: stream.id });
  await client.fence();
}

/** Writes numbers to `stream` as fast as it takes them, until it is told to stop. */
function pump(stream: JobStream<"text">): { readonly stop: () => void; readonly done: Promise<unknown> } {
  let isStopped = false;
  const write = async (): Promise<void> => {
    for (let n = 0; !isStopped; n += 1) await stream.write(`${n};`);
  };
  const stop = (): void => {
    isStopped = true;
  };
  return { stop, done: write().catch((error: unknown) => error) };
}

/** Moves time on step by step, with room for what happens in between. */
async function pass(clock: ManualClock, ms: number, stepMs = 50): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs);
    await settle(6);
  }
}

const chunks = (client: RawClient10, id: string): number =>
  streamsOf(client).find((stream) => stream.id === id)?.chunks.length ?? 0;

describe("a stream that a client asks to be slower", () => {
  test("brings as many chunks a second as the client can take, and none is lost", async () => {
    covers("V10-11-01", "V10-11.2-02");
    await using stage = await scene();
    const { clock, client, run } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await slow(client, stream, { desired_rate_per_second: 5, reason: "client_render_queue_full" });
    const producer = pump(stream);
    await pass(clock, 4000);
    expect(chunks(client, stream.id)).toBeGreaterThanOrEqual(19);
    expect(chunks(client, stream.id)).toBeLessThanOrEqual(21);
    expect(client.ofType("nack")).toEqual([]);
    producer.stop();
    await pass(clock, 1000);
    run.finish();
    await client.ending(stage.jobId);
    const [seen] = streamsOf(client) as [SeenStream];
    expect(textOf(seen)).toBe(seen.chunks.map((_chunk, index) => `${index};`).join(""));
    expect(seen.end?.payload.total_chunks).toBe(seen.chunks.length);
  });

  test.each([0, 0.001])(
    "is as fast as before when nothing was said for 30 seconds, also after %d a second",
    async (rate) => {
      await using stage = await scene();
      const { clock, client, run } = stage;
      const stream = run.context.openStream({ kind: "text" });
      await slow(client, stream, { desired_rate_per_second: rate });
      const write = stream.write("at last");
      await pass(clock, 29_900, 650);
      expect(chunks(client, stream.id)).toBe(0);
      await pass(clock, 200);
      await write;
      expect((await chunkOf(client, stream.id, 0)).payload.data).toBe("at last");
      run.finish();
    },
  );

  test("waits as long as there is no room, and then takes as much as there is", async () => {
    covers("V10-11-01");
    await using stage = await scene();
    const { clock, client, run } = stage;
    const stream = run.context.openStream({ kind: "binary" });
    const bytes = Buffer.alloc(10_000, "content");
    await slow(client, stream, { buffer_remaining_bytes: 0 });
    const write = stream.write(bytes);
    await pass(clock, 5000);
    expect(chunks(client, stream.id)).toBe(0);
    await slow(client, stream, { buffer_remaining_bytes: 4000 });
    await settle();
    const sizes = () => streamsOf(client)[0]?.chunks.map(({ payload }) => Buffer.from(payload.data, "base64").length);
    expect(sizes()).toEqual([4000]);
    await slow(client, stream, { buffer_remaining_bytes: 1_000_000 });
    await write;
    await chunkOf(client, stream.id, 1);
    expect(sizes()).toEqual([4000, 6000]);
    expect(bytesOf(streamsOf(client)[0] as SeenStream).equals(bytes)).toBe(true);
    run.finish();
  });

  test("goes on at once when the client names no bound any more, or is gone", async () => {
    await using stage = await scene();
    const { clock, client, run, harness } = stage;
    const stream = run.context.openStream({ kind: "text" });
    const { pending } = clock;
    await slow(client, stream, { desired_rate_per_second: 0 });
    const first = stream.write("1");
    expect(clock.pending).toBe(pending + 1);
    await slow(client, stream, {});
    await first;
    expect(clock.pending).toBe(pending);
    await slow(client, stream, { desired_rate_per_second: 0 });
    const second = stream.write("2");
    await pass(clock, 1000);
    await harness.disconnect(client);
    await second;
    expect(stream.chunks).toBe(2);
    run.finish();
  });

  test("is as slow as the slowest of the principal's sessions that asked", async () => {
    await using stage = await scene();
    const { clock, client, run, harness, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    const other = await harness.rawSession10();
    await other.ask("job.subscribe", { job_id: jobId });
    await slow(client, stream, { desired_rate_per_second: 10 });
    await slow(other, stream, { desired_rate_per_second: 2 });
    const producer = pump(stream);
    await pass(clock, 2000);
    expect(stream.chunks).toBe(4);
    await slow(other, stream, { desired_rate_per_second: 100 });
    await pass(clock, 4000);
    expect(stream.chunks).toBeGreaterThanOrEqual(43);
    expect(stream.chunks).toBeLessThanOrEqual(45);
    await harness.disconnect(other);
    producer.stop();
    await pass(clock, 200);
    run.finish();
  });

  test("keeps a rate that no timer could", async () => {
    await using stage = await scene();
    const { clock, client, run } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await slow(client, stream, { desired_rate_per_second: 4000 });
    const producer = pump(stream);
    await pass(clock, 500, 5);
    expect(stream.chunks).toBeGreaterThan(1900);
    expect(stream.chunks).toBeLessThanOrEqual(2100);
    producer.stop();
    await pass(clock, 10, 5);
    run.finish();
  });

  test("is not slowed down by anybody else", async () => {
    await using stage = await scene({
      server: { jobAuthorizationPolicy: (_job: unknown, principal: string) => principal === "oscar" },
    });
    const { client, run, harness, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await stream.write("seen");
    await chunkOf(client, stream.id, 0);
    const stop = { desired_rate_per_second: 0 };
    const stranger = await harness.rawSession10("mallory");
    const refused = await stranger.ask("backpressure", stop, { stream_id: stream.id });
    expect(refused).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
    const nothing = await stranger.ask("backpressure", stop, { stream_id: "str_01J00000000000000000000000" });
    // What there is not looks the same, but for the name.
    const withoutName = ({ payload: { details, ack_for, ...rest } }: typeof nothing): object => rest;
    expect(withoutName(refused)).toEqual(withoutName(nothing));
    const observer = await harness.rawSession10("oscar");
    await observer.ask("job.subscribe", { job_id: jobId });
    expect(await observer.ask("backpressure", stop, { stream_id: stream.id })).toMatchObject({
      type: "nack",
      payload: { code: "PERMISSION_DENIED" },
    });
    await stream.write("not held up");
    run.finish();
  });

  test("has to be named, and be open", async () => {
    covers("V10-18.2-06");
    await using stage = await scene();
    const { client, run } = stage;
    expect(await client.ask("backpressure", {})).toMatchObject({ payload: { code: "INVALID_ARGUMENT" } });
    const stream = run.context.openStream({ kind: "text" });
    await stream.close();
    await client.sees(({ type }) => type === "stream.close");
    expect(await client.ask("backpressure", {}, { stream_id: stream.id })).toMatchObject({
      type: "nack",
      payload: { code: "NOT_FOUND" },
    });
    for (const payload of [{ desired_rate_per_second: -1 }, { buffer_remaining_bytes: 1.5 }]) {
      expect(await client.ask("backpressure", payload, { stream_id: stream.id })).toMatchObject({
        payload: { code: "INVALID_ARGUMENT" },
      });
    }
    run.finish();
  });

  test("still ends with its job: what waits is not written", async () => {
    await using stage = await scene();
    const { client, run, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await slow(client, stream, { desired_rate_per_second: 0 });
    const write = stream.write("too late");
    run.fail(new Error("broken"));
    await client.ending(jobId);
    await expect(write).rejects.toThrow();
    expect(streamsOf(client)[0]).toMatchObject({ chunks: [], end: { type: "stream.error" } });
  });

  test("is not whole if its job ends with a result that did not wait for it", async () => {
    await using stage = await scene();
    const { client, run, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await slow(client, stream, { desired_rate_per_second: 0 });
    const write = stream.write("too late");
    await run.context.streamResult().finalize("done");
    expect(await client.ending(jobId)).toMatchObject({ type: "tool.result" });
    await expect(write).rejects.toMatchObject({ details: { code: "ABORTED" } });
    expect(streamsOf(client)[0]).toMatchObject({
      chunks: [],
      end: { type: "stream.error", payload: { code: "ABORTED" } },
    });
    run.finish();
  });

  test("is written to its end before its job succeeds", async () => {
    await using stage = await scene();
    const { clock, client, run, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    await slow(client, stream, { desired_rate_per_second: 1 });
    for (const word of ["one ", "two ", "three"]) void stream.write(word);
    run.finish("done");
    await pass(clock, 4000);
    expect(await client.ending(jobId)).toMatchObject({ payload: { value: "done" } });
    expect(textOf(streamsOf(client)[0] as SeenStream)).toBe("one two three");
  });
});

/** What a script does to one of some streams. */
type Step =
  | { readonly do: "write"; readonly stream: number; readonly size: number }
  | {
      readonly do: "slow";
      readonly stream: number;
      readonly rate: number | undefined;
      readonly room: number | undefined;
    }
  | { readonly do: "cancel" | "close"; readonly stream: number }
  | { readonly do: "pass"; readonly ms: number };

const STREAMS = 3;
const stream = fc.nat({ max: STREAMS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("write" as const), stream, size: fc.nat({ max: 3000 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("slow" as const),
      stream,
      rate: fc.constantFrom(undefined, 0, 3, 50),
      room: fc.constantFrom(undefined, 0, 500, 2500),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("cancel" as const, "close" as const), stream }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.constantFrom(10, 400, 31_000) }) },
);

test("whatever is written, slowed down and cancelled, every stream is whole up to its end", async () => {
  covers("V10-11-01", "V10-11-02", "V10-11.1-05", "V10-10.4-06");
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await using stage = await scene();
      const { clock, client, run, jobId } = stage;
      const streams = Array.from({ length: STREAMS }, () => run.context.openStream({ kind: "text" }));
      const written = streams.map(() => "");
      const closing = new Set<JobStream>();
      const failures: Promise<unknown>[] = [];
      let count = 0;
      for (const act of steps) {
        const target = "stream" in act ? (streams[act.stream] as JobStream<"text">) : undefined;
        if (act.do === "pass") await pass(clock, act.ms, Math.max(10, act.ms / 10));
        else if (target === undefined || target.isClosed || closing.has(target)) continue;
        else if (act.do === "write") {
          count += 1;
          const text = `${count}:`.padEnd(act.size, "é");
          written[act.stream] += text;
          failures.push(target.write(text).catch((error: unknown) => error));
        } else if (act.do === "close") {
          closing.add(target);
          failures.push(target.close().catch((error: unknown) => error));
        } else if (act.do === "cancel") {
          const answer = await client.ask("cancel", { target: "stream", target_id: target.id });
          expect(["cancel.accepted", "cancel.refused"]).toContain(answer.type);
        } else if (act.do === "slow") {
          const payload = { desired_rate_per_second: act.rate, buffer_remaining_bytes: act.room };
          await slow(client, target, payload);
        }
      }
      for (const target of streams) if (!target.isClosed) await slow(client, target, {});
      run.finish("done");
      await pass(clock, 100);
      expect(await client.ending(jobId)).toMatchObject({ type: "tool.result" });
      await Promise.all(failures);
      const seen = streamsOf(client);
      expect(seen).toHaveLength(STREAMS);
      for (const [index, one] of seen.entries()) {
        const text = textOf(one);
        expect(one.end?.payload.total_chunks ?? one.chunks.length).toBe(one.chunks.length);
        if (one.end?.type === "stream.close") expect(text).toBe(written[index]);
        else {
          expect(one.end).toMatchObject({ type: "stream.error", payload: { code: "CANCELLED" } });
          expect(written[index]?.startsWith(text)).toBe(true);
        }
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);

describe("a result that comes in pieces", () => {
  test("is as fast as its readers too, and whole", async () => {
    covers("V10-11.2-02");
    await using stage = await scene();
    const { clock, client, run, jobId } = stage;
    const result = run.context.streamResult();
    await result.write("1 ");
    const open = await client.sees(({ type }) => type === "stream.open");
    await slow(client, { id: open.stream_id as string }, { desired_rate_per_second: 2 });
    void result.write("2 ");
    void run.context.resultChunk({ data: "3 ", encoding: "utf8", more: true });
    void run.context.resultChunk({ data: "4", encoding: "utf8", more: false });
    run.finish();
    await pass(clock, 950);
    expect(chunks(client, open.stream_id as string)).toBe(2);
    await pass(clock, 1100);
    expect(await client.ending(jobId)).toMatchObject({ type: "tool.result", payload: { stream_id: open.stream_id } });
    expect(textOf(streamsOf(client)[0] as SeenStream)).toBe("1 2 3 4");
  });

  test("cannot be cancelled without its job, and is not waited for when that ends", async () => {
    covers("V10-10.4-02");
    await using stage = await scene();
    const { client, run, jobId } = stage;
    await run.context.streamResult().write("1");
    const open = await client.sees(({ type }) => type === "stream.open");
    expect(await client.ask("cancel", { target: "stream", target_id: open.stream_id })).toMatchObject({
      type: "cancel.refused",
      payload: { reason: "not_cancellable" },
    });
    await slow(client, { id: open.stream_id as string }, { desired_rate_per_second: 0 });
    const late = run.context.streamResult().write("2");
    run.fail(new Error("broken"));
    await client.ending(jobId);
    await expect(late).rejects.toThrow();
    expect(streamsOf(client)[0]).toMatchObject({ end: { type: "stream.error" } });
  });
});
