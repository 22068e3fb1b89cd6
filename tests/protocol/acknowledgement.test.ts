import { InvalidRequestError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { connected } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, type Run, settle } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
const seqs = (client: RawClient): readonly (number | undefined)[] => client.numbered.map(({ event_seq }) => event_seq);

const ack = async (client: RawClient, seq: number): Promise<void> => {
  client.send("session.ack", { last_processed_seq: seq });
  await client.fence();
};

/** A session that has been sent `count` events of one job. */
async function sessionWith(
  harness: Harness,
  puppet: Puppet,
  count: number,
  features?: readonly string[],
): Promise<{ readonly client: RawClient; readonly run: Run }> {
  const client = await harness.rawSession(features);
  await client.submit("puppet");
  const run = await puppet.next();
  await emitLogs(run, count);
  await client.sees(({ event_seq }) => event_seq === count);
  return { client, run };
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("an acknowledgement carries no number and takes none", async () => {
    covers("V11-6.5-06");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const { client, run } = await sessionWith(harness, puppet, 1);
    for (let seq = 2; seq <= 10; seq += 1) {
      await ack(client, seq - 1);
      await emitLogs(run, 1, seq);
      await client.sees(({ event_seq }) => event_seq === seq);
    }
    expect(seqs(client)).toEqual(range(1, 10));
    // Nothing is said in reply.
    const types = new Set(client.frames.map(({ type }) => type));
    expect(types).toEqual(new Set(["session.welcome", "job.accepted", "job.event", "session.pong"]));
  });

  test("what was acknowledged does not decide where a resume begins", async () => {
    covers("V11-6.5-07");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const { client } = await sessionWith(harness, puppet, 30);
    await ack(client, 10);
    await harness.disconnect(client);
    const resumed = await harness.raw();
    await resumed.resume(client, 20);
    await resumed.sees(({ event_seq }) => event_seq === 30);
    await resumed.fence();
    expect(seqs(resumed)).toEqual(range(21, 30));
  });

  test("what was acknowledged is freed: a resume from before it is refused", async () => {
    covers("V11-6.5-02");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const { client } = await sessionWith(harness, puppet, 10);
    await ack(client, 10);
    await harness.disconnect(client);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    await resumed.transport.closed;
    expect((await (await harness.raw()).resume(client, 10)).type).toBe("session.welcome");
  });
});

describe("the runtime", () => {
  test("keeps what a connected client has not acknowledged beyond the resume window", async () => {
    covers("V11-6.5-03");
    const clock = new ManualClock();
    const puppet = new Puppet();
    const server = { clock, resumeWindowSeconds: 60, jobRetentionMs: 0, idempotencyTtlMs: 0 };
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server });
    const { client, run } = await sessionWith(harness, puppet, 20, ["ack"]);
    run.finish();
    await client.sees(({ type }) => type === "job.result");
    await ack(client, 5);
    for (let minute = 0; minute < 10; minute += 1) {
      clock.advance(60_000);
      await settle();
    }
    await harness.disconnect(client);
    const resumed = await harness.raw();
    expect((await resumed.resume(client, 5, "alice", ["ack"])).type).toBe("session.welcome");
    await resumed.sees(({ event_seq }) => event_seq === 21);
    expect(resumed.numbered).toEqual(client.numbered.slice(5));
  });

  test("ignores a number that it has heard before, and refuses one that it never sent", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { client } = await sessionWith(harness, puppet, 10);
    await ack(client, 6);
    await ack(client, 2);
    const refusal = await client.reply(client.send("session.ack", { last_processed_seq: 11 }));
    expect(refusal.payload).toMatchObject({ code: "INVALID_REQUEST", details: { highest: 10 } });
    await harness.disconnect(client);
    const early = await harness.raw();
    expect((await early.resume(client, 5)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    const resumed = await harness.raw();
    await resumed.resume(client, 6);
    await resumed.sees(({ event_seq }) => event_seq === 10);
    expect(seqs(resumed)).toEqual(range(7, 10));
  });

  test("tells a client that has fallen behind, and holds the job up until it has caught up", async () => {
    covers("V11-6.5-04");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, backPressureThreshold: 100 },
    });
    const { client, run } = await sessionWith(harness, puppet, 5, ["ack"]);
    await ack(client, 5);
    await emitLogs(run, 400, 6);
    await client.sees(({ event_seq }) => event_seq === 405);
    clock.advance(1_001);
    const held = { value: true };
    const emitting = run.context.log("info", "406").then(() => {
      held.value = false;
    });
    const signal = await client.sees(({ payload }) => payload.kind === "status");
    expect(signal.type).toBe("job.event");
    expect(signal.payload.body.phase).toBe("back_pressure");
    await settle();
    expect(held.value).toBe(true);
    await ack(client, signal.event_seq ?? 0);
    await emitting;
    await emitLogs(run, 1, 407);
    await client.sees(({ payload }) => payload.body?.message === "407");
    expect(seqs(client)).toEqual(range(1, client.numbered.length));
    expect(client.numbered.filter(({ payload }) => payload.kind === "status")).toHaveLength(1);
  });

  test("does not hold a job up for a client that keeps up", async () => {
    covers("V11-6.5-04");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, backPressureThreshold: 10 },
    });
    const { client, run } = await sessionWith(harness, puppet, 5, ["ack"]);
    for (let seq = 5; seq < 100; seq += 5) {
      await ack(client, seq);
      clock.advance(1_001);
      await emitLogs(run, 5, seq + 1);
      await client.sees(({ event_seq }) => event_seq === seq + 5);
    }
    expect(client.numbered.filter(({ payload }) => payload.kind === "status")).toEqual([]);
  });
});

describe("the client", () => {
  test("acknowledges what it has received, four times a second at most", async () => {
    covers("V11-6.5-01", "V11-6.5-05");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, maxUnreadEvents: 100_000 });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    await submitting;
    for (let tick = 0; tick < 100; tick += 1) {
      for (let n = 1; n <= 100; n += 1) runtime.log("job_1", tick * 100 + n);
      await settle(3);
      clock.advance(10);
    }
    await settle();
    const acks = runtime.ofType("session.ack").map(({ payload }) => payload.last_processed_seq);
    expect(acks).toEqual([2_500, 5_000, 7_500, 10_000]);
    for (const frame of runtime.ofType("session.ack")) expect(frame).not.toHaveProperty("event_seq");
    // Nothing new, nothing to say.
    clock.advance(10_000);
    await settle();
    expect(runtime.ofType("session.ack")).toHaveLength(4);
    client.abort();
  });

  test("does not acknowledge what its consumer has not taken", async () => {
    covers("V11-6.5-01");
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock });
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const events = (await submitting).events();
    for (let seq = 1; seq <= 10; seq += 1) runtime.log("job_1", seq);
    await settle();
    for (let n = 0; n < 4; n += 1) await events.next();
    clock.advance(250);
    await settle();
    expect(runtime.ofType("session.ack").map(({ payload }) => payload.last_processed_seq)).toEqual([4]);
    await events.return?.();
    clock.advance(250);
    await settle();
    expect(runtime.ofType("session.ack").map(({ payload }) => payload.last_processed_seq)).toEqual([4, 10]);
    client.abort();
  });

  test("acknowledges on request, and nothing that it has not received", async () => {
    covers("V11-6.5-01");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.client({ autoAck: false });
    const job = await client.submit({ agent: "puppet" });
    const run = await puppet.next();
    await emitLogs(run, 3);
    const events = job.events();
    for (let n = 0; n < 3; n += 1) await events.next();
    expect(() => client.ack(4)).toThrow(InvalidRequestError);
    client.ack(3);
    run.finish();
    await job.done;
    expect(() => client.ack(-1)).toThrow(InvalidRequestError);
  });
});
