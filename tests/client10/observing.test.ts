/** Observers, over connections that last and over others (RFC §13, §19). */
import type { ObservedEvent, Subscription } from "@arcp/client";
import { CancelledError } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cutAt } from "../support/faulty.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { scripted } from "./scripted-runtime.ts";
import { collect, toolClient } from "./support.ts";

/** Reads until an event of that type has come. */
async function until(events: AsyncIterator<ObservedEvent, undefined>, type: string): Promise<ObservedEvent[]> {
  const seen: ObservedEvent[] = [];
  for (;;) {
    const { value } = await events.next();
    if (value === undefined) return seen;
    seen.push(value);
    if (value.type === type) return seen;
  }
}

const logsOf = (events: readonly ObservedEvent[]): unknown[] =>
  events.filter(({ type }) => type === "log").map(({ payload }) => payload["message"]);

describe.each(CARRIERS)("over %s", (carrier) => {
  test("an observer sees what matches, from before and from now on", async () => {
    covers("V10-13.1-01", "V10-13.1-02", "V10-13.2-01", "V10-13.2-02", "V10-13.3-01", "V10-13.3-02", "V10-13.4-01");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness);
    await using observer = await toolClient(harness);
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    const { jobId } = await invocation.accepted;
    const filter = { jobId: jobId ?? "", types: ["log", "tool.result"] };
    await using whole = await observer.openSubscription(filter, { backfill: true });
    await using live = await observer.openSubscription(filter);
    await live.backfillComplete;
    await whole.backfillComplete;
    await emitLogs(run, 2, 3);
    run.finish("done");
    const all = await until(whole[Symbol.asyncIterator](), "tool.result");
    expect(logsOf(all)).toEqual(["1", "2", "3", "4"]);
    expect(all.map(({ isHistory }) => isHistory)).toEqual([true, true, false, false, false]);
    expect(all[0]).toMatchObject({ jobId, sessionId: client.session.sessionId, priority: "normal" });
    expect(all.at(-1)).toMatchObject({ type: "tool.result", priority: "critical", payload: { value: "done" } });
    expect(logsOf(await until(live[Symbol.asyncIterator](), "tool.result"))).toEqual(["3", "4"]);
    const [, second] = all;
    await using rest = await observer.openSubscription({ types: "log" as never }, { since: second?.id ?? "" });
    await rest.backfillComplete;
    await rest.close();
    expect(logsOf(await collect(rest))).toEqual(["3", "4"]);
  });
});

test("a job is shown from its beginning where its session is forgotten, and where it is somebody else's", async () => {
  covers("V10-13.3-01");
  const clock = new ManualClock();
  const puppet = new Puppet();
  await using harness = startHarness({
    agents: { puppet: puppet.handler },
    server: {
      clock,
      resumeWindowSeconds: 60,
      heartbeatIntervalSeconds: 86_400,
      bearer: {
        verify: async (token) => ({ principal: token, ...(token === "oscar" && { permissions: ["admin"] }) }),
      },
    },
  });
  const client = await toolClient(harness);
  const { accepted } = client.invoke("puppet", {}, { durable: true });
  const run = await puppet.next();
  await emitLogs(run, 2);
  const { jobId = "" } = await accepted;
  const seenBy = async (token: string): Promise<unknown[]> => {
    await using observer = await toolClient(harness, { token });
    await using subscription = await observer.openSubscription({ jobId, types: ["log"] }, { backfill: true });
    await subscription.backfillComplete;
    await subscription.close();
    return logsOf(await collect(subscription));
  };
  expect(await seenBy("oscar")).toEqual(["1", "2"]);
  await emitLogs(run, 1, 3);
  run.finish();
  await client.close();
  for (let minutes = 0; minutes < 4; minutes += 1) {
    clock.advance(60_000);
    await settle();
  }
  expect(await seenBy("alice")).toEqual(["1", "2", "3"]);
  expect(await seenBy("oscar")).toEqual(["1", "2", "3"]);
});

test("nobody observes what is not theirs", async () => {
  covers("V10-13.1-03", "V10-13.2-03");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness);
  await using mallory = await toolClient(harness, { token: "mallory" });
  const opening = mallory.openSubscription({ sessionId: client.session.sessionId });
  await expect(opening).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
});

test("a subscription outlives its connection: nothing is missed, and nothing comes twice", async () => {
  covers("V10-19-10", "V10-13.3-01");
  const cuts = fc.array(fc.integer({ min: 2, max: 30 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(cuts, fc.boolean(), async (plan, backfill) => {
      const puppet = new Puppet();
      await using harness = startHarness({ agents: { puppet: puppet.handler } });
      await using client = await toolClient(harness);
      let connections = 0;
      await using observer = await toolClient(harness, {}, async () => {
        const received = plan[connections - 1];
        connections += 1;
        const transport = await harness.transport();
        return received === undefined ? transport : cutAt(transport, { received });
      });
      client.invoke("puppet");
      client.invoke("puppet");
      const runs = [await puppet.next(), await puppet.next()] as const;
      for (const run of runs) await emitLogs(run, 2);
      const subscription = await observer.openSubscription({ types: ["log", "tool.result"] }, { backfill });
      const seen: ObservedEvent[] = [];
      const reading = (async () => {
        for await (const event of subscription) {
          seen.push(event);
          if (seen.filter(({ type }) => type === "tool.result").length === 2) break;
        }
      })();
      // What was there before may be cut off by a cut.
      if (!backfill) await observer.ping();
      for (let n = 3; n < 40; n += 3) {
        if (n === 12) harness.cutAll();
        for (const run of runs) await emitLogs(run, 3, n);
        await settle(3);
      }
      for (const run of runs) run.finish();
      await reading;
      for (const { context } of runs) {
        const logs = logsOf(seen.filter(({ jobId }) => jobId === context.jobId));
        const first = backfill ? 1 : 3;
        expect(logs).toEqual(Array.from({ length: 42 - first }, (_, index) => String(index + first)));
      }
    }),
    { numRuns: 40 },
  );
}, 60_000);

describe("without anything seen yet", () => {
  test("a subscription goes on from its own beginning", async () => {
    await using scene = await scripted();
    const opening = scene.client.openSubscription({ types: ["log"] });
    await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" }, { id: "msg_began" });
    const subscription = await opening;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const again = await second.answer("subscribe", "nack", { code: "DATA_LOSS", message: "unknown" });
    expect(again.payload).toEqual({ filter: { types: ["log"] }, since: { after_message_id: "msg_began" } });
    // Where that is not known either: everything, without what was over then.
    const whole = await second.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_2" });
    expect(whole.payload.since).toEqual({});
    const log = (id: string, timestamp: string): object => ({
      ...{ arcp: "1.0", id, type: "log", timestamp, payload: { level: "info", message: id } },
    });
    for (const one of [log("msg_old", "2025-12-31T23:59:59Z"), log("msg_new", "2026-01-01T00:00:01Z")]) {
      second.send("subscribe.event", { event: one }, { subscription_id: "sub_2" });
    }
    expect((await subscription[Symbol.asyncIterator]().next()).value).toMatchObject({
      id: "msg_new",
      isHistory: false,
    });
    expect(subscription.subscriptionId).toBe("sub_2");
  });
});

describe("what was missed is gone", () => {
  async function losing(onDataLoss: "fail" | "continue"): Promise<{
    readonly subscription: Subscription;
    readonly scene: Awaited<ReturnType<typeof scripted>>;
    readonly problems: string[];
  }> {
    const scene = await scripted({ reconnect: { onDataLoss } });
    const problems: string[] = [];
    scene.client.on("problem", ({ code }) => void problems.push(code));
    const opening = scene.client.openSubscription({}, { backfill: true });
    await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" });
    const subscription = await opening;
    const event = { arcp: "1.0", id: "msg_a", type: "log", timestamp: "2026-01-01T00:00:00Z", payload: {} };
    scene.runtime.send("subscribe.event", { event }, { subscription_id: "sub_1" });
    expect((await subscription[Symbol.asyncIterator]().next()).value?.id).toBe("msg_a");
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const again = await second.answer("subscribe", "nack", { code: "DATA_LOSS", message: "too long ago" });
    expect(again.payload.since).toEqual({ after_message_id: "msg_a" });
    return { subscription, scene, problems };
  }

  test("and the subscription fails", async () => {
    const { subscription, scene } = await losing("fail");
    await expect(collect(subscription)).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
    await expect(subscription.backfillComplete).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
    scene.client.abort();
  });

  test("and the subscription goes on with what is new, if the caller wants that", async () => {
    const { subscription, scene, problems } = await losing("continue");
    const [, second] = scene.server.connections;
    const live = await second?.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_3" });
    expect(live?.payload).toEqual({ filter: {} });
    await subscription.backfillComplete;
    const event = { arcp: "1.0", id: "msg_b", type: "log", timestamp: "2026-01-01T00:00:00Z", payload: {} };
    second?.send("subscribe.event", { event }, { subscription_id: "sub_3" });
    expect((await subscription[Symbol.asyncIterator]().next()).value?.id).toBe("msg_b");
    expect(problems).toEqual(["RESUME_WINDOW_EXPIRED"]);
    scene.client.abort();
  });
});

test("a subscription ends with its signal, with its reader, and with its client", async () => {
  await using scene = await scripted({ silenceMs: 1 });
  const stop = new AbortController();
  const open = async (signal?: AbortSignal): Promise<Subscription> => {
    const id = `sub_${scene.runtime.received.length}`;
    const opening = scene.client.openSubscription({}, signal ? { signal } : {});
    await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: id }, { subscription_id: id });
    return opening;
  };
  const signalled = await open(stop.signal);
  stop.abort();
  expect(await collect(signalled)).toEqual([]);
  const left = await open();
  const reading = (async () => {
    for await (const _event of left) break;
  })();
  const event = { arcp: "1.0", id: "msg_a", type: "log", timestamp: "2026-01-01T00:00:00Z", payload: {} };
  scene.runtime.send("subscribe.event", { event }, { subscription_id: left.subscriptionId });
  await reading;
  await settle();
  expect(scene.runtime.ofType("unsubscribe").map(({ payload }) => payload.subscription_id)).toEqual([
    signalled.subscriptionId,
    left.subscriptionId,
  ]);
  const last = await open();
  scene.client.abort();
  await expect(collect(last)).rejects.toBeInstanceOf(CancelledError);
  await expect(last.backfillComplete).resolves.toBeUndefined();
  await expect(scene.client.openSubscription()).rejects.toBeInstanceOf(CancelledError);
});
