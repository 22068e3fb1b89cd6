/** Tools are invoked, followed and steered (RFC §6.3, §10.4). */
import { CancelRefusedError } from "@arcp/client";
import { CancelledError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { collect, logsOf, toolClient } from "./support.ts";

describe.each(CARRIERS)("over %s", (carrier) => {
  test("an invocation is accepted, followed and ends with its value", async () => {
    covers("V10-6.3-01");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness);
    expect((await client.ping()).receivedAt).toEqual(expect.any(String));
    const invocation = client.invoke("puppet", { n: 1 });
    const run = await puppet.next();
    expect(run.input).toEqual({ n: 1 });
    const { jobId } = await invocation.accepted;
    expect(invocation.jobId).toBe(jobId);
    const seen = collect(invocation);
    await emitLogs(run, 3);
    run.finish({ ok: true });
    expect((await invocation.done).value).toEqual({ ok: true });
    expect(await invocation.value()).toEqual({ ok: true });
    const events = await seen;
    expect(events[0]?.kind).toBe("started");
    expect(logsOf(events)).toEqual(["1", "2", "3"]);
  });

  test("a lost connection is made again and nothing is missed", async () => {
    covers("V10-19-01", "V10-19-02", "V10-9-03");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    await using client = await toolClient(harness);
    const invocation = client.invoke("puppet");
    const run = await puppet.next();
    const seen = collect(invocation);
    await emitLogs(run, 3);
    await invocation.accepted;
    const { sessionId } = client.session;
    harness.cutAll();
    await emitLogs(run, 3, 4);
    await client.ping();
    expect(client.session.sessionId).not.toBe(sessionId);
    await emitLogs(run, 2, 7);
    run.finish("done");
    expect((await invocation.done).value).toBe("done");
    expect(logsOf(await seen)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
  });
});

test("a job is cancelled, and a second time refused", async () => {
  covers("V10-10.4-01");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  await using client = await toolClient(harness);
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  run.context.signal.addEventListener("abort", () => run.fail(run.context.signal.reason));
  await invocation.cancel("no longer needed");
  await expect(invocation.done).rejects.toBeInstanceOf(CancelledError);
  const jobId = invocation.jobId ?? "";
  await expect(client.cancelJob(jobId)).rejects.toBeInstanceOf(CancelRefusedError);
  await expect(client.cancelJob("job_unknown")).rejects.toMatchObject({ reason: "not_found" });
});

test("closing settles everything", async () => {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const client = await toolClient(harness);
  const invocation = client.invoke("puppet");
  const run = await puppet.next();
  await invocation.accepted;
  const events = collect(invocation);
  const settled = Promise.allSettled([invocation.done, events, client.closed]);
  await client.close({ disposeJobs: "detach", reason: "bye" });
  expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
  expect(() => client.invoke("puppet")).not.toThrow();
  run.finish();
  await settle();
});
