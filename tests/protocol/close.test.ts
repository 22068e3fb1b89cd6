import { CancelledError, type Transport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { connected, settle } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { RawClient } from "../support/raw-client.ts";
import { Recorder } from "../support/recorder.ts";

describe.each(CARRIERS)("over %s", (carrier) => {
  test("session.close is acknowledged, and then the connection ends", async () => {
    covers("V11-6.7-02");
    await using harness = startHarness({ carrier });
    const client = await harness.rawSession();
    const id = client.send("session.close", { reason: "done for today" });
    const closed = await client.next();
    expect(closed.type).toBe("session.closed");
    expect(closed.session_id).toBe(client.sessionId);
    expect(closed.payload).toEqual({ request_id: id, reason: "done for today" });
    await client.transport.closed;
    expect(client.frames.at(-1)).toBe(closed);
  });

  test("session.closed comes after the replies to what was asked before", async () => {
    covers("V11-6.7-02");
    await using harness = startHarness({ carrier, agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const asked = [
      client.send("session.list_jobs"),
      client.send("job.submit", { agent: "echo", input: 1 }),
      client.send("job.cancel", { job_id: "job_none" }),
      client.send("session.list_jobs"),
    ];
    const closing = client.send("session.close");
    await client.transport.closed;
    const replies = client.frames.flatMap(({ correlation_id }) => correlation_id ?? []).slice(1);
    expect(replies).toEqual([...asked, closing]);
    expect(client.frames.at(-1)?.type).toBe("session.closed");
  });

  test("jobs go on after a close, and their session can be resumed", async () => {
    covers("V11-6.7-03", "V11-6.7-04");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { job_id } = await client.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    await client.sees(({ event_seq }) => event_seq === 2);
    client.send("session.close");
    await client.next("session.closed");
    await client.transport.closed;
    expect(run.context.signal.aborted).toBe(false);

    const observer = await harness.rawSession();
    const listed = await observer.reply(observer.send("session.list_jobs"));
    expect(listed.payload.jobs).toMatchObject([{ job_id, status: "running" }]);
    await observer.reply(observer.send("job.subscribe", { job_id }));
    await emitLogs(run, 2, 3);
    run.finish("success");
    expect((await observer.ended(job_id as string)).payload).toMatchObject({
      final_status: "success",
      result: "success",
    });

    const resumed = await harness.raw();
    expect((await resumed.resume(client, 2)).session_id).toBe(client.sessionId);
    await resumed.ended(job_id as string);
    expect(resumed.numbered.map(({ event_seq, type }) => [event_seq, type])).toEqual([
      [3, "job.event"],
      [4, "job.event"],
      [5, "job.result"],
    ]);
  });

  test("session.bye ends the connection without an error, and the session can be resumed", async () => {
    covers("V11-6.7-05", "V11-6.7-07");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    client.send("session.bye", { reason: "leaving" });
    await client.transport.closed;
    expect(client.frames.map(({ type }) => type)).toEqual(["session.welcome", "job.accepted"]);
    expect(run.context.signal.aborted).toBe(false);
    await emitLogs(run, 1);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 0)).session_id).toBe(client.sessionId);
    await resumed.sees(({ event_seq }) => event_seq === 1);
  });

  test("the runtime says goodbye last when it shuts down", async () => {
    covers("V11-6.7-05", "V11-6.7-06");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const idle = await harness.rawSession();
    const { job_id } = await client.submit("puppet");
    await emitLogs(await puppet.next(), 100);
    await harness.server.close("maintenance");
    await Promise.all([client.transport.closed, idle.transport.closed]);
    const end = client.frames.filter((frame) => frame.job_id === job_id).at(-1);
    expect(end).toMatchObject({ type: "job.error", event_seq: 101 });
    for (const { frames } of [client, idle]) {
      expect(frames.at(-1)).toMatchObject({ type: "session.bye", payload: { reason: "maintenance" } });
      expect(frames.filter(({ type }) => type === "session.bye")).toHaveLength(1);
    }
  });

  test("the client closes a session that goes on without it", async () => {
    covers("V11-6.7-01", "V11-6.7-03", "V11-6.7-04");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.client();
    const job = await client.submit({ agent: "puppet" });
    const run = await puppet.next();
    const info = client.resumeInfo;
    await client.close();
    await expect(job.done).rejects.toBeInstanceOf(CancelledError);
    run.finish("success");
    await run.context.flush();
    const resumed = new RawClient(await harness.transport());
    await resumed.resume({ sessionId: info?.sessionId, resumeToken: info?.resumeToken }, 0);
    expect((await resumed.ended(job.jobId)).payload.result).toBe("success");
  });
});

describe("after session.bye", () => {
  test("the runtime sends nothing more, however fast a job emits", async () => {
    covers("V11-6.7-06");
    const recorder = new Recorder();
    const isEnough = { value: false };
    await using harness = startHarness({
      faults: recorder.faults,
      agents: {
        restless: async (_input, context) => {
          for (let n = 1; !isEnough.value; n += 1) await context.log("info", String(n));
        },
      },
    });
    const client = await harness.rawSession();
    await client.submit("restless");
    await client.sees(({ event_seq }) => event_seq === 300);
    client.send("session.bye");
    await client.transport.closed;
    const sent = recorder.down.length;
    const received = client.frames.length;
    await settle(20);
    expect(recorder.down.length).toBe(sent);
    expect(client.frames.length).toBe(received);
    expect(client.frames.at(-1)?.type).toBe("job.event");
    isEnough.value = true;
    const resumed = await harness.raw();
    await resumed.resume(client, client.numbered.length);
    await resumed.next("job.result");
  });

  test("the client sends nothing more", async () => {
    covers("V11-6.7-06");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const job = await submitting;
    runtime.onClose = "error";
    const closing = client.close();
    runtime.send("session.ping", { nonce: "p", sent_at: "2026-01-01T00:00:00Z" });
    await closing;
    runtime.send("session.ping", { nonce: "late", sent_at: "2026-01-01T00:00:00Z" });
    await settle();
    expect(runtime.received.at(-1)?.type).toBe("session.bye");
    expect(runtime.ofType("session.bye")).toHaveLength(1);
    await expect(job.done).rejects.toBeInstanceOf(CancelledError);
  });

  test("of the runtime, the client sends nothing more", async () => {
    covers("V11-6.7-06");
    const { client, runtime } = await connected();
    const before = runtime.received.length;
    runtime.send("session.bye", { reason: "maintenance" });
    runtime.send("session.ping", { nonce: "late", sent_at: "2026-01-01T00:00:00Z" });
    await settle();
    await expect(client.submit({ agent: "echo" })).rejects.toThrow();
    await settle();
    expect(runtime.received).toHaveLength(before);
    client.abort();
  });
});

describe("the client", () => {
  test("says session.close, waits for session.closed, and then ends the connection", async () => {
    covers("V11-6.7-01");
    const { client, runtime } = await connected();
    const order: string[] = [];
    const watched = (transport: Transport): void => void transport.closed.then(() => order.push("closed"));
    watched(runtime.transport);
    runtime.onClose = "silence";
    const closing = client.close("done").then(() => order.push("resolved"));
    const close = await runtime.next("session.close");
    expect(close.payload).toEqual({ reason: "done" });
    expect(close.session_id).toBe("sess_1");
    await settle();
    expect(order).toEqual([]);
    runtime.send("session.closed", {});
    await closing;
    await settle();
    expect(order.sort()).toEqual(["closed", "resolved"]);
    expect(runtime.received.map(({ type }) => type)).toEqual(["session.hello", "session.close"]);
    await client.closed;
  });
});
