import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type HarnessOptions, startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";
import { chunkOf, type SeenStream, streamsOf, textOf } from "../support/streams.ts";

async function scene(options: HarnessOptions = {}) {
  const puppet = new Puppet();
  const harness = startHarness({ agents: { puppet: puppet.handler }, ...options });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const run = await puppet.next();
  return { harness, client, run, jobId: job_id as string, [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose]() };
}

const cancel = (id: string, more: object = {}): object => ({ target: "stream", target_id: id, ...more });

describe("a stream that a client cancels", () => {
  test("ends with CANCELLED, its writer is told, and the job goes on", async () => {
    covers("V10-10.4-01", "V10-10.4-02", "V10-10.4-06");
    await using stage = await scene();
    const { client, run, jobId } = stage;
    const [stream, other] = [run.context.openStream({ kind: "text" }), run.context.openStream({ kind: "text" })];
    await stream.write("so far");
    await chunkOf(client, stream.id, 0);
    const answer = await client.ask("cancel", cancel(stream.id, { reason: "seen enough" }));
    expect(answer).toMatchObject({
      type: "cancel.accepted",
      payload: { target: "stream", target_id: stream.id },
    });
    await expect(stream.write("more")).rejects.toMatchObject({ code: "CANCELLED", message: "seen enough" });
    await stream.close();
    await other.write("goes on");
    run.finish("done");
    expect(await client.ending(jobId)).toMatchObject({ type: "tool.result", payload: { value: "done" } });
    const [seen, rest] = streamsOf(client) as [SeenStream, SeenStream];
    expect(textOf(seen)).toBe("so far");
    expect(seen.end).toMatchObject({
      type: "stream.error",
      stream_id: stream.id,
      payload: { code: "CANCELLED", message: "seen enough", retryable: false },
    });
    expect(client.frames.indexOf(answer)).toBeLessThan(client.frames.indexOf(seen.end as never));
    expect(textOf(rest)).toBe("goes on");
  });

  test("does not write what was waiting", async () => {
    covers("V10-10.4-06");
    await using stage = await scene();
    const { client, run, jobId } = stage;
    const stream = run.context.openStream({ kind: "text" });
    client.send("backpressure", { desired_rate_per_second: 0 }, { stream_id: stream.id });
    await client.fence();
    const writes = ["1", "2"].map((text) => stream.write(text));
    await client.ask("cancel", cancel(stream.id));
    for (const write of writes) await expect(write).rejects.toMatchObject({ code: "CANCELLED" });
    run.finish();
    await client.ending(jobId);
    expect(streamsOf(client)[0]?.chunks).toEqual([]);
  });

  test("once more, or after its end, is refused", async () => {
    covers("V10-10.4-02");
    await using stage = await scene();
    const { client, run } = stage;
    const [first, second] = [run.context.openStream({ kind: "text" }), run.context.openStream({ kind: "text" })];
    await client.ask("cancel", cancel(first.id));
    await second.close();
    await client.sees(({ type }) => type === "stream.close");
    for (const { id } of [first, second]) {
      expect(await client.ask("cancel", cancel(id))).toMatchObject({
        type: "cancel.refused",
        payload: { target: "stream", target_id: id, reason: "already_terminal" },
      });
    }
    run.finish();
  });

  test("does not exist for anybody else", async () => {
    covers("V10-10.4-02", "V10-10.4-10");
    await using stage = await scene();
    const { client, run, harness } = stage;
    const [open, ended] = [run.context.openStream({ kind: "text" }), run.context.openStream({ kind: "text" })];
    await ended.close();
    const mallory = await harness.rawSession10("mallory");
    for (const id of [open.id, ended.id, "str_01J00000000000000000000000"]) {
      expect(await mallory.ask("cancel", cancel(id))).toMatchObject({
        type: "cancel.refused",
        payload: { reason: "not_found" },
      });
    }
    await open.write("still open");
    const other = await harness.rawSession10();
    expect(await other.ask("cancel", cancel(open.id))).toMatchObject({
      type: "cancel.refused",
      payload: { reason: "permission_denied" },
    });
    expect(await client.ask("cancel", cancel(open.id))).toMatchObject({ type: "cancel.accepted" });
    run.finish();
  });

  test("may be any session's of the principal where the runtime says so", async () => {
    await using stage = await scene({ server: { cancelAuthority: "principal" } });
    const { run, harness } = stage;
    const stream = run.context.openStream({ kind: "text" });
    const other = await harness.rawSession10();
    expect(await other.ask("cancel", cancel(stream.id))).toMatchObject({ type: "cancel.accepted" });
    run.finish();
  });

  test("cannot be that of a job's thoughts, which are a part of it", async () => {
    await using stage = await scene();
    const { client, run } = stage;
    await run.context.thought("hm");
    const open = await client.sees(({ type }) => type === "stream.open");
    expect(await client.ask("cancel", cancel(open.stream_id as string))).toMatchObject({
      type: "cancel.refused",
      payload: { reason: "not_cancellable" },
    });
    await run.context.thought("I see");
    run.finish();
  });
});

test("streams of a job that has to be killed end with ABORTED", async () => {
  covers("V10-10.4-09", "V10-11.1-05");
  await using stage = await scene();
  const { client, run, jobId } = stage;
  await run.context.openStream({ kind: "text" }).write("so far");
  await client.ask("cancel", { target: "job", target_id: jobId, deadline_ms: 0 });
  expect(await client.ending(jobId)).toMatchObject({ type: "job.failed", payload: { code: "ABORTED" } });
  expect(streamsOf(client)[0]?.end).toMatchObject({ type: "stream.error", payload: { code: "ABORTED" } });
  run.finish();
});

test("streams of a job that is cancelled end with CANCELLED, before it", async () => {
  covers("V10-10.4-05", "V10-11.1-05");
  await using stage = await scene();
  const { client, run, jobId } = stage;
  const stream = run.context.openStream({ kind: "text" });
  await stream.write("so far");
  run.context.signal.addEventListener("abort", () => run.fail(run.context.signal.reason));
  await client.ask("cancel", { target: "job", target_id: jobId });
  const end = await client.ending(jobId);
  expect(end.type).toBe("job.cancelled");
  const [seen] = streamsOf(client) as [SeenStream];
  expect(seen.end).toMatchObject({ type: "stream.error", payload: { code: "CANCELLED" } });
  expect(client.frames.indexOf(seen.end as never)).toBeLessThan(client.frames.indexOf(end));
});
