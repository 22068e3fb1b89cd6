/** What is lost for good, and what can be done about it (RFC §19). */
import type { DataLoss } from "@arcp/client";
import { codeOf10 } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { scripted } from "./scripted-runtime.ts";
import { collect, logsOf, toolClient } from "./support.ts";

/** A client whose session the runtime forgets while it is away. */
async function forgotten(onDataLoss: "fail" | "continue") {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({
    agents: { puppet: puppet.handler },
    server: { clock, resumeWindowSeconds: 60, heartbeatIntervalSeconds: 86_400 } as never,
  });
  let gate: Promise<void> | undefined;
  const client = await toolClient(harness, { reconnect: { onDataLoss } }, async () => {
    await gate;
    return harness.transport();
  });
  const losses: DataLoss[] = [];
  client.on("dataLoss", (loss) => void losses.push(loss));
  return {
    ...{ puppet, harness, client, losses, clock },
    /** Stays away for longer than the runtime waits, and does that meanwhile. */
    async away(meanwhile: () => Promise<void>): Promise<void> {
      const back = Promise.withResolvers<void>();
      gate = back.promise;
      harness.cutAll();
      await settle();
      await meanwhile();
      clock.advance(60_001);
      await settle();
      back.resolve();
      gate = undefined;
      await client.ping();
      while (losses.length === 0) await settle();
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

test("a session that the runtime has forgotten fails its invocations, and the client goes on", async () => {
  covers("V10-19-06", "V10-19-05");
  await using stage = await forgotten("fail");
  const { client, puppet, losses } = stage;
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  await invocation.accepted;
  const events = collect(invocation);
  const { sessionId } = client.session;
  await stage.away(async () => {});
  await expect(invocation.done).rejects.toSatisfy((error) => codeOf10(error) === "DATA_LOSS");
  await expect(events).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
  expect(losses).toMatchObject([{ sessionId, invocations: [invocation] }]);
  run.finish();
  const next = client.invoke("puppet");
  (await puppet.next()).finish("on");
  expect((await next.done).value).toBe("on");
});

describe("a client that goes on", () => {
  test("has the rest of a job that still runs", async () => {
    covers("V10-6.4-04", "V10-6.4-06", "V10-8.5-03");
    await using stage = await forgotten("continue");
    const { client, puppet } = stage;
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    await invocation.accepted;
    const { jobId } = invocation;
    const events = collect(invocation);
    await stage.away(() => emitLogs(run, 2, 3));
    await client.ping();
    await emitLogs(run, 2, 5);
    run.finish("after all");
    expect((await invocation.done).value).toBe("after all");
    expect(invocation.jobId).toBe(jobId);
    // What was said while nobody was there is what was lost.
    expect(logsOf(await events)).toEqual(["1", "2", "5", "6"]);
    expect(puppet.runs).toHaveLength(1);
  });

  test("has the result of a job that has ended", async () => {
    covers("V10-6.4-06");
    await using stage = await forgotten("continue");
    const { client, puppet } = stage;
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    await invocation.accepted;
    await stage.away(async () => {
      run.finish("meanwhile");
      await settle();
    });
    expect((await invocation.done).value).toBe("meanwhile");
    expect(puppet.runs).toHaveLength(1);
  });

  test("asks again under the same key, and believes what it is told", async () => {
    covers("V10-6.4-04");
    await using scene = await scripted({ reconnect: { onDataLoss: "continue" } });
    const invocation = scene.client.invoke("tool", { n: 1 });
    const first = await scene.runtime.acceptJob();
    await invocation.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", "nack", { code: "DATA_LOSS", message: "gone" });
    const again = await second.next("tool.invoke");
    const keyOf = (frame: object): unknown => (frame as { idempotency_key?: string }).idempotency_key;
    expect([again.id === first.id, keyOf(again) === keyOf(first)]).toEqual([false, true]);
    second.send("job.accepted", { job_id: "job_2" }, { job_id: "job_2", correlation_id: again.id });
    second.send("log", { level: "info", message: "anew" }, { job_id: "job_2" });
    second.send("tool.result", { value: 2 }, { job_id: "job_2", correlation_id: again.id });
    expect((await invocation.done).value).toBe(2);
    expect(invocation.jobId).toBe("job_2");
    expect(logsOf(await collect(invocation))).toEqual(["anew"]);
  });
});

test("what was asked and not answered fails too, because it may have been done", async () => {
  await using scene = await scripted();
  const invocation = scene.client.invoke("tool");
  const ping = scene.client.ping();
  await scene.runtime.next("tool.invoke");
  scene.runtime.drop();
  const second = await scene.server.connection();
  await second.accept();
  const never = scene.client.invoke("tool", { asked: "later" });
  await second.answer("resume", "nack", { code: "DATA_LOSS", message: "gone" });
  await expect(invocation.done).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
  // What does no harm is asked again, and what was never asked is.
  await second.answer("tool.invoke", "tool.result", { value: 1 });
  expect((await never.done).value).toBe(1);
  second.send("pong", {}, { correlation_id: (await second.next("ping")).id });
  await ping;
});

test("a runtime that cannot be found is not looked for forever", async () => {
  const clock = new ManualClock();
  await using scene = await scripted({
    clock,
    reconnect: { random: () => 1, initialDelayMs: 1_000, giveUpAfterMs: 5_000 },
  });
  const invocation = scene.client.invoke("tool");
  const { server, runtime, client } = scene;
  server.isUnreachable = true;
  runtime.drop();
  await settle();
  expect(client.state).toMatchObject({ phase: "reconnecting", attempt: 1 });
  for (let second = 0; second < 12; second += 1) {
    clock.advance(1_000);
    await settle();
  }
  expect(client.state.phase).toBe("closed");
  await expect(invocation.done).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
  await expect(client.closed).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED" });
});
