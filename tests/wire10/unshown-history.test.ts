/** Observers of jobs whose own session is not shown all that they write: nothing of it is missing, wherever they come in. */
import { V1_1_FEATURES } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import type { Frame10, RawClient10 } from "../support/raw-client-10.ts";

const MARKER = "subscription.backfill_complete";
const events = (observer: RawClient10): Frame10[] =>
  observer.ofType("subscribe.event").map(({ payload }) => payload.event);

/** What a job says, as an observer sees it, without how it begins. */
const said = (observer: RawClient10, jobId: string): string[] =>
  events(observer)
    .filter(({ job_id, type }) => job_id === jobId && !["job.accepted", "job.started"].includes(type))
    .map(({ type, payload }) => String(payload.message ?? payload.data ?? type));

/** A job of a session of wire 1.1 that has not agreed to streams, and the stream that it writes to all the same. */
async function plainJob(harness: Harness, puppet: Puppet) {
  const client = await harness.client({ features: V1_1_FEATURES });
  const { jobId } = await client.submit({ agent: "puppet" });
  const run = await puppet.next();
  return { jobId, run, stream: run.context.openStream({ kind: "text" }) };
}

async function observing(harness: Harness, jobId: string, since: object = {}): Promise<RawClient10> {
  const observer = await harness.rawSession10();
  observer.send("subscribe", { filter: { job_id: jobId }, since });
  return observer;
}

const marked = (observer: RawClient10): Promise<Frame10> =>
  observer.sees(({ payload }) => payload.event?.payload.name === MARKER, "the marker");

async function ended(observer: RawClient10, run: Run): Promise<void> {
  run.finish("done");
  await observer.sees(({ payload }) => payload.event?.type === "job.completed", "the end");
}

describe("an observer", () => {
  test.each([
    ["while such entries are the last", ["log 1", "chunk 1", "chunk 2"], ["log 2"]],
    ["when there is nothing else", ["chunk 1"], ["chunk 2"]],
    ["when the job is over", ["chunk 1", "log 1", "chunk 2"], []],
  ])("that comes %s sees them once", async (_when, before, after) => {
    covers("V10-13.3-01", "V10-13.3-02");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run, stream } = await plainJob(harness, puppet);
    const write = (what: string) => (what.startsWith("log") ? run.context.log("info", what) : stream.write(what));
    for (const what of before) await write(what);
    if (after.length === 0) run.finish("done");
    await settle();
    const observer = await observing(harness, jobId);
    await marked(observer);
    const history = said(observer, jobId);
    for (const what of after) await write(what);
    await ended(observer, run);
    expect(history.slice(0, before.length + 1)).toEqual(["stream.open", ...before]);
    expect(said(observer, jobId)).toEqual(["stream.open", ...before, ...after, "stream.close", "job.completed"]);
    const ids = events(observer).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("that goes on after a message sees what came after it, and not before", async () => {
    covers("V10-13.3-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run, stream } = await plainJob(harness, puppet);
    const first = await observing(harness, jobId);
    await stream.write("chunk 1");
    await run.context.log("info", "log 1");
    for (const what of ["chunk 2", "chunk 3"]) await stream.write(what);
    await first.sees(({ payload }) => payload.event?.payload.data === "chunk 3");
    const log = events(first).find(({ type }) => type === "log");
    const second = await observing(harness, jobId, { after_message_id: log?.id });
    await marked(second);
    expect(said(second, jobId)).toEqual(["chunk 2", "chunk 3"]);
    await ended(second, run);
  });

  test("goes on after any message that it was shown", async () => {
    covers("V10-13.3-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run, stream } = await plainJob(harness, puppet);
    const first = await observing(harness, jobId);
    await stream.write("chunk 1");
    await run.context.log("info", "log 1");
    const stop = new AbortController();
    const asking = run.context.requestHumanInput({ prompt: "?", signal: stop.signal });
    await first.sees(({ payload }) => payload.event?.type === "human.input.request");
    stop.abort();
    await expect(asking).rejects.toThrow();
    await run.context.log("info", "log 2");
    await stream.write("chunk 2");
    await first.sees(({ payload }) => payload.event?.payload.data === "chunk 2");
    const all = events(first).filter(({ payload }) => payload.name !== MARKER);
    expect(all.map(({ type }) => type)).toContain("human.input.cancelled");
    for (const [index, { id }] of all.entries()) {
      const again = await observing(harness, jobId, { after_message_id: id });
      await marked(again);
      expect(events(again).slice(0, -1)).toEqual(all.slice(index + 1));
    }
    await stream.close();
    await ended(first, run);
  });

  test("of everything goes on after any message of a job that lives", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { jobId, run, stream } = await plainJob(harness, puppet);
    const first = await observing(harness, jobId);
    for (const what of ["chunk 1", "chunk 2"]) await stream.write(what);
    await first.sees(({ payload }) => payload.event?.payload.data === "chunk 2");
    const chunk = events(first).find(({ payload }) => payload.data === "chunk 1");
    const again = await harness.rawSession10();
    await again.ask("subscribe", { filter: {}, since: { after_message_id: chunk?.id } });
    await marked(again);
    expect(said(again, jobId)).toEqual(["chunk 2"]);
    const foreign = await harness.rawSession10("bob");
    const refusal = await foreign.ask("subscribe", { filter: {}, since: { after_message_id: chunk?.id } });
    expect(refusal).toMatchObject({ type: "nack", payload: { code: "DATA_LOSS" } });
    await stream.close();
    await ended(first, run);
  });

  test("that comes at any time sees the same as one that was there from the beginning", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("log", "chunk", "observe", "settle"), { minLength: 4, maxLength: 30 }),
        async (steps) => {
          const puppet = new Puppet();
          await using harness = startHarness({ agents: { puppet: puppet.handler } });
          const { jobId, run, stream } = await plainJob(harness, puppet);
          const observers = [await observing(harness, jobId)];
          const written: string[] = [];
          for (const step of steps) {
            if (step === "settle") await settle();
            else if (step === "observe") observers.push(await observing(harness, jobId));
            else {
              written.push(`${step} ${written.length}`);
              const [what = ""] = written.slice(-1);
              await (step === "log" ? run.context.log("info", what) : stream.write(what));
            }
          }
          await stream.close();
          run.finish("done");
          const expected = ["stream.open", ...written, "stream.close", "job.completed"];
          for (const observer of observers) {
            await observer.sees(({ payload }) => payload.event?.type === "job.completed", "the end");
            await observer.fence();
            expect(said(observer, jobId)).toEqual(expected);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
