/** However it ends, everything that the client has handed out settles. */
import { ARCPToolClient, type Invocation } from "@arcp/client";
import { CancelledError, silentLogger } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { type Scene, ScriptedRuntime, scripted } from "./scripted-runtime.ts";
import { collect, logsOf, toolClient } from "./support.ts";

/** Has a client ask for one of everything, of which nothing is answered, or everything is under way. */
async function everything({ client, runtime }: Scene): Promise<Readonly<Record<string, Promise<unknown>>>> {
  const running = client.invoke("running");
  await runtime.acceptJob("job_1");
  await running.accepted;
  const streams = running.streams();
  const about = { job_id: "job_1", stream_id: "str_1" };
  runtime.send("stream.open", { kind: "text" }, about);
  runtime.send("stream.chunk", { sequence: 0, data: "a" }, about);
  const stream = (await streams.next()).value;
  if (stream === undefined) throw new Error("no stream");
  const chunks = stream.chunks();
  await chunks.next();
  const opening = client.openSubscription({}, { backfill: true });
  await runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" });
  const subscription = await opening;
  const asked = new Promise((resolve) => {
    client.onHumanInput((_question, signal) => {
      signal.addEventListener("abort", resolve);
      return new Promise<undefined>((answer) => signal.addEventListener("abort", () => answer(undefined)));
    });
  });
  runtime.send("human.input.request", { prompt: "?" }, { job_id: "job_1" });
  const schedule = client.schedule({ tool: "t" }, { after: 1 });
  const unaccepted = client.invoke("unaccepted");
  return {
    ...{ done: running.done, value: running.value(), events: collect(running), later: running.events().next() },
    ...{ moreStreams: streams.next(), moreChunks: chunks.next(), streamClosed: stream.closed },
    ...{ streamCancel: stream.cancel(), cancel: running.cancel(), interrupt: running.interrupt("?") },
    ...{ unaccepted: unaccepted.accepted, unacceptedDone: unaccepted.done, unacceptedCancel: unaccepted.cancel() },
    ...{ scheduled: schedule.accepted, runs: collect(schedule), job: schedule.job.done },
    ...{ ping: client.ping(), refresh: client.leases.refresh("lease_1"), revoke: client.leases.revoke("lease_1") },
    ...{ put: client.putArtifact("x"), fetch: client.fetchArtifact("art_1"), release: client.releaseArtifact("art_1") },
    ...{ checkpoint: client.createCheckpoint("job_1"), restore: client.restoreCheckpoint("chk_1").done },
    ...{ delegate: client.delegate("a", { task: "t" }).done, workflow: client.startWorkflow("w").done },
    ...{ extension: client.sendExtension("arcpx.acme.note.v1"), observed: collect(subscription) },
    ...{ backfill: subscription.backfillComplete, subscribing: client.openSubscription() },
    ...{ asked, closed: client.closed },
  };
}

const ENDINGS: Readonly<Record<string, (scene: Scene) => unknown>> = {
  "close()": ({ client }) => client.close(),
  "abort()": ({ client }) => client.abort(),
  disposal: ({ client }) => client[Symbol.asyncDispose](),
  "an eviction for good": ({ runtime }) =>
    runtime.send("session.evicted", { code: "UNAUTHENTICATED", message: "revoked", allow_resume: false }),
  "a connection that cannot be made again": ({ runtime, server }) => {
    server.isUnreachable = true;
    runtime.drop();
  },
  "a connection that is refused": async ({ runtime, server }) => {
    runtime.drop();
    const second = await server.connection();
    const open = await second.next("session.open");
    second.send("session.rejected", { code: "PERMISSION_DENIED", message: "no more" }, { correlation_id: open.id });
  },
};

describe("everything settles with", () => {
  test.each(Object.keys(ENDINGS))("%s", async (ending) => {
    const scene = await scripted({ silenceMs: 1, reconnect: { maxAttempts: 2, random: () => 0 } });
    const pending = await everything(scene);
    const left = new Set(Object.keys(pending));
    const all = Object.entries(pending).map(([name, promise]) =>
      promise.then(
        () => void left.delete(name),
        () => void left.delete(name),
      ),
    );
    await settle();
    await ENDINGS[ending]?.(scene);
    await Promise.race([Promise.all(all), new Promise((resolve) => setTimeout(resolve, 2_000))]);
    expect([...left]).toEqual([]);
    const next = scene.client.invoke("after");
    await expect(next.done).rejects.toBeInstanceOf(Error);
    await expect(scene.client.ping()).rejects.toBeInstanceOf(Error);
    expect(scene.client.state.phase).toBe("closed");
    expect(scene.client.questions).toEqual([]);
  });

  test("the loss of the one transport that there was", async () => {
    const runtime = new ScriptedRuntime();
    const opening = ARCPToolClient.open(runtime.clientTransport, { token: "t", logger: silentLogger });
    await runtime.accept();
    const client = await opening;
    const invocation = client.invoke("tool");
    await runtime.acceptJob();
    runtime.drop();
    await expect(invocation.done).rejects.toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    await expect(client.closed).rejects.toMatchObject({ retryable: true });
  });
});

describe("closing", () => {
  test("says what becomes of open work, also of that which other sessions have begun", async () => {
    covers("V10-9-05");
    await using scene = await scripted();
    const old = scene.client.invoke("tool");
    await scene.runtime.acceptJob("job_old");
    await old.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", "ack");
    await scene.client.ping({ signal: AbortSignal.timeout(50) }).catch(() => {});
    const own = scene.client.invoke("tool");
    await second.acceptJob("job_own");
    await own.accepted;
    const closed = scene.client.close({ disposeJobs: "cancel", reason: "shutdown" });
    const goodbye = await second.next("session.close");
    expect(goodbye.payload).toEqual({ dispose_jobs: "cancel", reason: "shutdown" });
    expect(second.ofType("cancel").map(({ payload }) => payload.target_id)).toEqual(["job_old"]);
    second.transport.close();
    await closed;
    await scene.client.close();
    await expect(old.done).rejects.toBeInstanceOf(CancelledError);
  });

  test("leaves jobs to go on, or has them cancelled", async () => {
    covers("V10-9-05");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    for (const disposeJobs of ["detach", "cancel"] as const) {
      const client = await toolClient(harness);
      client.invoke("puppet");
      const run = await puppet.next();
      await client.close({ disposeJobs });
      await settle();
      expect(run.context.signal.aborted).toBe(disposeJobs === "cancel");
      run.finish();
    }
  });
});

describe("a consumer that lags", () => {
  test("holds the connection up, but no answer, and loses nothing", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness, { maxUnreadEvents: 8 });
    const invocation: Invocation = client.invoke("puppet");
    const run = await puppet.next();
    await invocation.accepted;
    const events = invocation.events();
    let heard = 0;
    client.on("event", () => {
      heard += 1;
    });
    await events.next();
    for (let n = 1; n < 200; n += 20) {
      await emitLogs(run, 20, n);
      await settle(2);
    }
    expect(heard).toBeLessThan(100);
    await client.ping();
    expect(heard).toBeGreaterThan(199);
    run.finish();
    expect(logsOf(await collect(events))).toEqual(Array.from({ length: 200 }, (_, n) => String(n + 1)));
  });

  test("has its oldest events dropped while there is none", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness, { maxKeptEvents: 5 });
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    await emitLogs(run, 20);
    await client.ping();
    const events = invocation.events();
    run.finish();
    expect(logsOf(await collect(events)).slice(0, 5)).toEqual(["16", "17", "18", "19", "20"]);
  });

  test("may leave, and the others read on", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness);
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    const stop = new AbortController();
    const [staying, stopped] = [collect(invocation), collect(invocation.events({ signal: stop.signal }))];
    for await (const _event of invocation) break;
    stop.abort();
    await expect(stopped).rejects.toThrow();
    await emitLogs(run, 3);
    run.finish();
    expect(logsOf(await staying)).toEqual(["1", "2", "3"]);
  });
});

test("a listener that throws harms nobody", async () => {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness);
  client.on("event", () => {
    throw new Error("a listener's own");
  });
  const invocation = client.invoke("puppet");
  invocation.on("log", () => {
    throw new Error("another's");
  });
  const run = await puppet.next();
  await emitLogs(run, 1);
  run.finish(1);
  expect((await invocation.done).value).toBe(1);
});
