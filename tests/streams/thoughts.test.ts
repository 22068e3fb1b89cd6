import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";
import { type SeenStream, streamsOf } from "../support/streams.ts";

const contents = ({ chunks }: SeenStream): unknown[] => chunks.map(({ payload }) => payload);

describe("the thoughts of a job", () => {
  test("are one stream, opened with the first and closed before the job's end", async () => {
    covers("V10-11.4-01", "V10-11.1-05");
    await using harness = startHarness({
      agents: {
        thinker: async (_input, context) => {
          await context.log("info", "before");
          await context.thought("one");
          await context.log("info", "between");
          void context.thought("two");
          await context.emitEvent("thought", { text: "three", stream_id: "str_forged", sequence: 7 });
          return "wise";
        },
      },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("thinker");
    await client.ending(job_id);
    const said = client.ofJob(job_id).filter(({ type }) => type.startsWith("stream.") || type === "log");
    expect(said.map(({ type, payload }) => payload.message ?? payload.content ?? type)).toEqual([
      "before",
      "stream.open",
      "one",
      "between",
      "two",
      "three",
      "stream.close",
    ]);
    const [stream] = streamsOf(client) as [SeenStream];
    expect(stream.open.payload).toMatchObject({ kind: "thought", content_type: "text/plain", related_job_id: job_id });
    expect(contents(stream)).toEqual(
      ["one", "two", "three"].map((content, sequence) => ({
        ...{ sequence, role: "assistant_thought", content, redacted: false },
      })),
    );
    expect(stream.end?.payload).toMatchObject({ reason: "completed", total_chunks: 3 });
  });

  test("that are kept back are told of without what was thought", async () => {
    covers("V10-11.4-02");
    await using harness = startHarness({
      agents: {
        thinker: async (_input, context) => {
          await context.thought("the secret recipe", { redacted: true });
          await context.thought("the secret recipe", { redacted: "compared two recipes" });
        },
      },
    });
    const client = await harness.rawSession10();
    const draft = await harness.rawSession();
    const { job_id } = await client.invoke("thinker");
    await client.ending(job_id);
    await draft.ask("job.subscribe", { job_id, history: true });
    await draft.end(job_id as string);
    expect(contents(streamsOf(client)[0] as SeenStream)).toMatchObject([
      { content: "", redacted: true },
      { content: "compared two recipes", redacted: true },
    ]);
    const shown = draft.numbered.filter(({ payload }) => payload.kind === "thought");
    expect(shown.map(({ payload }) => payload.body)).toMatchObject([
      { text: "", redacted: true },
      { text: "compared two recipes", redacted: true },
    ]);
    expect(JSON.stringify([...client.frames, ...draft.frames])).not.toContain("secret recipe");
  });

  test("of a job of wire 1.1 are as they were, and each is a stream to whoever watches over wire 1.0", async () => {
    covers("V10-11.4-02");
    await using harness = startHarness({
      agents: {
        thinker: async (_input, context) => {
          await context.thought("one");
          await context.thought("two", { redacted: true });
          await context.emitEvent("thought", { text: "three", stream_id: "str_forged", sequence: 7, mood: "bright" });
        },
      },
    });
    const draft = await harness.rawSession();
    const watcher = await harness.rawSession10();
    const { job_id } = (await draft.submit("thinker")).payload;
    await draft.end(job_id);
    expect(draft.numbered.slice(0, -1).map(({ payload }) => payload.body)).toEqual([
      { text: "one" },
      { text: "", redacted: true },
      { text: "three", mood: "bright" },
    ]);
    await watcher.ask("job.subscribe", { job_id, history: true });
    await watcher.ending(job_id);
    expect(streamsOf(watcher).map(contents)).toEqual([
      [{ sequence: 0, role: "assistant_thought", content: "one", redacted: false }],
      [{ sequence: 0, role: "assistant_thought", content: "", redacted: true }],
      [{ sequence: 0, role: "assistant_thought", content: "three", redacted: false }],
    ]);
  });

  test("wait for clients that cannot take them so fast", async () => {
    covers("V10-11.2-02");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    const run = await puppet.next();
    await run.context.thought("first");
    const open = await client.sees(({ type }) => type === "stream.open");
    client.send("backpressure", { buffer_remaining_bytes: 0 }, { stream_id: open.stream_id });
    await client.fence();
    let isThrough = false;
    const second = run.context.thought("second").then(() => {
      isThrough = true;
    });
    await client.fence();
    expect(isThrough).toBe(false);
    client.send("backpressure", {}, { stream_id: open.stream_id });
    await second;
    run.finish();
    await client.ending(job_id);
    expect(contents(streamsOf(client)[0] as SeenStream)).toHaveLength(2);
  });
});
