/** Observers of wire 1.0: what they asked for, once, in order, and nothing that is not theirs to see (RFC §13). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, type Run, settle } from "../support/puppet.ts";
import { type Frame10, isMeasure, type RawClient10 } from "../support/raw-client-10.ts";

const MARKER = "subscription.backfill_complete";

const events = (observer: RawClient10): Frame10[] =>
  observer.ofType("subscribe.event").map(({ payload }) => payload.event);
/** Without markers. */
const seen = (observer: RawClient10): Frame10[] => events(observer).filter(({ payload }) => payload.name !== MARKER);
const marked = (observer: RawClient10): Promise<Frame10> =>
  observer.sees(
    ({ type, payload }) => type === "subscribe.event" && payload.event.payload.name === MARKER,
    "the marker",
  );

async function started(harness: Harness, puppet: Puppet, token = "alice") {
  const client = await harness.rawSession10(token);
  const { job_id } = await client.invoke("puppet");
  return { client, jobId: job_id as string, run: await puppet.next() };
}

async function finish(client: RawClient10, jobId: string, run: Run): Promise<void> {
  run.finish("done");
  await client.ending(jobId);
  await client.fence();
  await settle();
}

describe("an observer", () => {
  test("gets the original messages of what it asked for, and no others", async () => {
    covers("V10-13.1-01", "V10-13.1-02", "V10-13.2-01", "V10-13.2-02", "V10-6.1.1-07", "V10-13.3-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const observer = await harness.rawSession10();
    const { client, jobId, run } = await started(harness, puppet);
    const accepted = await observer.ask("subscribe", { filter: { job_id: [jobId], types: ["log", "tool.result"] } });
    const { subscription_id } = accepted.payload;
    expect(accepted).toMatchObject({ type: "subscribe.accepted", subscription_id });
    await run.context.progress(1, { total: 2 });
    await emitLogs(run, 3);
    await finish(client, jobId, run);
    await observer.sees(({ payload }) => payload.event?.type === "tool.result");
    const originals = client.ofJob(jobId).filter(({ type }) => ["log", "tool.result"].includes(type));
    expect(originals).toHaveLength(4);
    expect(seen(observer)).toEqual(originals);
    for (const frame of observer.ofType("subscribe.event")) expect(frame).toMatchObject({ subscription_id });
  });

  test("of everything sees jobs of either wire, and nothing of anybody else's", async () => {
    covers("V10-13.1-03", "V10-13.2-04");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const observer = await harness.rawSession10();
    await observer.ask("subscribe", { filter: {} });
    const critical = await harness.rawSession10();
    await critical.ask("subscribe", { filter: { min_priority: "critical" } });
    const { client, jobId, run } = await started(harness, puppet);
    const foreign = await started(harness, puppet, "bob");
    const draft = await harness.rawSession();
    const { payload } = await draft.submit("puppet");
    const drafted = await puppet.next();
    await emitLogs(run, 1);
    await emitLogs(foreign.run, 1);
    await emitLogs(drafted, 1);
    await finish(foreign.client, foreign.jobId, foreign.run);
    await finish(client, jobId, run);
    drafted.finish("done");
    await draft.end(payload.job_id);
    await observer.sees((frame) => frame.payload.event?.type === "job.completed");
    const told = (id: string) =>
      seen(observer)
        .filter((frame) => frame.job_id === id && !isMeasure(frame))
        .map(({ type }) => type);
    expect(told(jobId)).toEqual(["job.accepted", "job.started", "log", "tool.result"]);
    expect(told(payload.job_id)).toEqual(["job.accepted", "job.started", "log", "job.completed"]);
    expect(told(foreign.jobId)).toEqual([]);
    expect(seen(critical).map(({ type }) => type)).toEqual(["tool.result", "job.completed"]);
  });

  test.each([
    ["another principal's session", (foreign: { session: string }) => ({ session_id: [foreign.session] })],
    ["a session that is not there", () => ({ session_id: ["sess_01J00000000000000000000000"] })],
    ["another principal's job", (foreign: { job: string }) => ({ job_id: [foreign.job] })],
  ])("is refused %s", async (_what, filterOf) => {
    covers("V10-13.2-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const foreign = await started(harness, puppet, "bob");
    const observer = await harness.rawSession10();
    const filter = filterOf({ session: foreign.client.sessionId as string, job: foreign.jobId });
    expect(await observer.ask("subscribe", { filter })).toMatchObject({
      type: "nack",
      payload: { code: "PERMISSION_DENIED" },
    });
    await finish(foreign.client, foreign.jobId, foreign.run);
    expect(events(observer)).toEqual([]);
  });

  test("sees another principal's job where the policy says so", async () => {
    covers("V10-13.1-03");
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { jobAuthorizationPolicy: (_job, principal) => principal === "oscar" },
    });
    const observer = await harness.rawSession10("oscar");
    const { client, jobId, run } = await started(harness, puppet);
    await observer.ask("subscribe", { filter: { session_id: [client.sessionId] } });
    await finish(client, jobId, run);
    await observer.sees(({ payload }) => payload.event?.type === "tool.result");
  });

  test("is told of a filter that means nothing here", async () => {
    await using harness = startHarness();
    const observer = await harness.rawSession10();
    const answer = await observer.ask("subscribe", { filter: { max_priority: "low" } });
    expect(answer).toMatchObject({ type: "nack", payload: { code: "INVALID_ARGUMENT" } });
  });
});

describe("history", () => {
  test("comes first and from where it was asked for, then a marker, then what is new", async () => {
    covers("V10-13.3-01", "V10-13.3-02");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { client, jobId, run } = await started(harness, puppet);
    await emitLogs(run, 4);
    await client.sees(({ type, payload }) => type === "log" && payload.message === "4");
    const second = client.ofType("log")[1];
    const observer = await harness.rawSession10();
    await observer.ask("subscribe", { filter: { job_id: jobId }, since: { after_message_id: second?.id } });
    await marked(observer);
    expect(events(observer).map(({ type, payload }) => payload.message ?? payload.name ?? type)).toEqual([
      "3",
      "4",
      MARKER,
    ]);
    await emitLogs(run, 1, 5);
    await finish(client, jobId, run);
    await observer.sees(({ payload }) => payload.event?.type === "tool.result");
    const all = client.ofJob(jobId);
    expect(seen(observer).slice(2)).toEqual(all.slice(all.findIndex(({ payload }) => payload.message === "5")));
  });

  test("that is empty is marked all the same; that is gone is data loss", async () => {
    covers("V10-13.3-02");
    await using harness = startHarness();
    const observer = await harness.rawSession10();
    await observer.ask("subscribe", { filter: {}, since: {} });
    await marked(observer);
    const lost = { filter: {}, since: { after_message_id: "msg_01J00000000000000000000000" } };
    expect(await observer.ask("subscribe", lost)).toMatchObject({ type: "nack", payload: { code: "DATA_LOSS" } });
  });

  test("meets the live stream without loss, repetition or disorder", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("emit", "subscribe", "settle", "invoke"), { minLength: 5, maxLength: 30 }),
        async (steps) => {
          const puppet = new Puppet();
          await using harness = startHarness({ agents: { puppet: puppet.handler } });
          const client = await harness.rawSession10();
          const observers: RawClient10[] = [];
          const runs: { readonly run: Run; readonly jobId: string }[] = [];
          let written = 0;
          for (const step of ["invoke", ...steps]) {
            if (step === "invoke") {
              const { job_id } = await client.invoke("puppet");
              runs.push({ run: await puppet.next(), jobId: job_id as string });
            } else if (step === "emit") {
              written += 1;
              const { run } = runs[written % runs.length] as (typeof runs)[number];
              void run.context.log("info", String(written));
            } else if (step === "settle") await settle();
            else {
              const observer = await harness.rawSession10();
              observer.send("subscribe", { filter: { session_id: client.sessionId }, since: {} });
              observers.push(observer);
            }
          }
          for (const { run, jobId } of runs) await finish(client, jobId, run);
          const all = client.frames.filter(({ job_id }) => job_id !== undefined);
          for (const observer of observers) {
            await marked(observer);
            await observer.sees(() => seen(observer).length >= all.length);
            await observer.fence();
            expect(seen(observer)).toEqual(all);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe("a subscription ends", () => {
  test("when it is told to, and only that one", async () => {
    covers("V10-13.4-01", "V10-13.4-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const observer = await harness.rawSession10();
    const first = (await observer.ask("subscribe", { filter: {} })).payload.subscription_id;
    const second = (await observer.ask("subscribe", { filter: {} })).payload.subscription_id;
    const closed = await observer.ask("unsubscribe", {}, { subscription_id: first });
    expect(closed).toMatchObject({
      type: "subscribe.closed",
      subscription_id: first,
      payload: { reason: "unsubscribed" },
    });
    const { client, jobId, run } = await started(harness, puppet);
    await finish(client, jobId, run);
    await observer.sees(({ payload }) => payload.event?.type === "tool.result");
    expect(new Set(observer.ofType("subscribe.event").map(({ subscription_id }) => subscription_id))).toEqual(
      new Set([second]),
    );
    const again = await observer.ask("unsubscribe", { subscription_id: first });
    expect(again).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
  });

  test("when its observer does not read", async () => {
    covers("V10-13.4-02", "V10-13.4-03");
    const puppet = new Puppet();
    await using harness = startHarness({
      carrier: "websocket",
      agents: { puppet: puppet.handler },
      server: { caps: { maxBufferedEvents: 200 } },
    });
    const observer = await harness.rawSession10();
    await observer.ask("subscribe", { filter: {} });
    observer.transport.pause();
    const { client, jobId, run } = await started(harness, puppet);
    const text = "x".repeat(60_000);
    for (let n = 0; n < 400; n += 1) await run.context.log("info", text);
    await finish(client, jobId, run);
    observer.transport.resume();
    const closed = await observer.sees(({ type }) => type === "subscribe.closed");
    expect(closed.payload).toMatchObject({ code: "BACKPRESSURE_OVERFLOW" });
    // Only the subscription has ended.
    await observer.fence();
  });
});

test("a connection has at most 64 subscriptions", async () => {
  await using harness = startHarness();
  const observer = await harness.rawSession10();
  for (let n = 0; n < 64; n += 1) observer.send("subscribe", { filter: {} });
  const refused = await observer.ask("subscribe", { filter: {} });
  expect(refused).toMatchObject({ type: "nack", payload: { code: "RESOURCE_EXHAUSTED", details: { max: 64 } } });
  expect(observer.ofType("subscribe.accepted")).toHaveLength(64);
});
