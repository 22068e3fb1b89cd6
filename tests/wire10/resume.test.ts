/** A connection is lost, and nothing else (RFC §9, §19). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { type Frame10, isMeasure, type RawClient10 } from "../support/raw-client-10.ts";

/** What came over the wire of a session, apart from replies, in order. */
const feedOf = (client: RawClient10, sessionId: string | undefined): readonly Frame10[] =>
  client.frames.filter(
    ({ session_id, job_id, type }) => session_id === sessionId && job_id !== undefined && type !== "job.heartbeat",
  );

const resume = (client: RawClient10, sessionId: string | undefined, payload: object): string =>
  client.send("resume", payload, { session_id: sessionId });

describe("a client that comes back", () => {
  test("gets what it missed as it was sent, under the old session, then what is new, then nothing twice", async () => {
    covers(
      "V10-19-01",
      "V10-19-02",
      "V10-19-03",
      "V10-19-04",
      "V10-19-07",
      "V10-9-02",
      "V10-9-03",
      "V10-4.3-02",
      "V10-6.4-01",
    );
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const witness = await harness.rawSession10();
    await witness.ask("subscribe", { filter: {} });
    const before = await harness.rawSession10();
    const { job_id } = await before.invoke("puppet");
    const run = await puppet.next();
    await emitLogs(run, 3);
    const last = await before.sees(({ payload }) => payload.message === "3");
    before.cut();
    await settle();
    await emitLogs(run, 4, 4);
    const after = await harness.rawSession10();
    const id = resume(after, before.sessionId, { after_message_id: last.id });
    const done = await after.answerTo(id);
    expect(done).toMatchObject({ type: "ack", payload: { ack_for: id } });
    expect(after.frames.indexOf(done)).toBe(after.frames.length - 1);
    await emitLogs(run, 1, 8);
    run.finish("done");
    const end = await after.ending(job_id);
    expect(end.session_id).toBe(before.sessionId);
    await witness.sees(({ payload }) => payload.event?.type === "tool.result");
    const all = witness.ofType("subscribe.event").map(({ payload }) => payload.event);
    expect([...feedOf(before, before.sessionId), ...feedOf(after, before.sessionId)]).toEqual(all);
  });

  test("from any place, any number of times, sees the one stream", async () => {
    covers("V10-19-03", "V10-19-04");
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 5 }), async (cuts) => {
        const puppet = new Puppet();
        await using harness = startHarness({ agents: { puppet: puppet.handler } });
        const first = await harness.rawSession10();
        const { sessionId } = first;
        const { job_id } = await first.invoke("puppet");
        const run = await puppet.next();
        const got: Frame10[] = [];
        let client = first;
        let written = 0;
        for (const cut of cuts) {
          await emitLogs(run, 3, written + 1);
          written += 3;
          await client.sees(({ payload }) => payload.message === String(written));
          // It may have lost some of what it was sent, or remember something that is no entry.
          const kept = feedOf(client, sessionId).slice(0, Math.max(1, cut));
          got.push(...kept);
          client.cut();
          await settle();
          client = await harness.rawSession10();
          resume(client, sessionId, { after_message_id: got.at(-1)?.id });
        }
        run.finish("done");
        await client.ending(job_id);
        got.push(...feedOf(client, sessionId));
        const said = got.filter((frame) => !isMeasure(frame));
        expect(said.map(({ type, payload }) => payload.message ?? type)).toEqual([
          "job.accepted",
          "job.started",
          ...Array.from({ length: written }, (_, index) => String(index + 1)),
          "tool.result",
        ]);
        expect(new Set(got.map(({ id }) => id)).size).toBe(got.length);
      }),
      { numRuns: 30 },
    );
  });

  test("may name a reply as the last thing that it saw", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const before = await harness.rawSession10();
    const { job_id } = await before.invoke("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    await before.sees(({ payload }) => payload.message === "2");
    const pong = await before.ask("ping");
    before.cut();
    await settle();
    run.finish("done");
    const after = await harness.rawSession10();
    resume(after, before.sessionId, { after_message_id: pong.id });
    await after.ending(job_id);
    const said = feedOf(after, before.sessionId).filter((frame) => !isMeasure(frame));
    expect(said.map(({ type }) => type)).toEqual(["tool.result"]);
  });

  test("to its own session without having left it gets it again", async () => {
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession10();
    const accepted = await client.invoke("echo");
    await client.ending(accepted.job_id);
    const once = feedOf(client, client.sessionId);
    await client.answerTo(resume(client, client.sessionId, { after_message_id: accepted.id }));
    expect(feedOf(client, client.sessionId)).toEqual([...once, ...once.slice(1)]);
  });
});

describe("what was open", () => {
  test("a stream goes on where it was", async () => {
    covers("V10-19-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const before = await harness.rawSession10();
    await before.invoke("puppet");
    const run = await puppet.next();
    const stream = run.context.openStream({ kind: "text" });
    await stream.write("one ");
    const seen = await before.sees(({ type }) => type === "stream.chunk");
    before.cut();
    await settle();
    await stream.write("two ");
    const after = await harness.rawSession10();
    resume(after, before.sessionId, { after_message_id: seen.id, include_open_streams: true });
    await stream.write("three");
    await stream.close();
    run.finish("done");
    await after.sees(({ type }) => type === "stream.close");
    const chunks = [...before.ofType("stream.chunk"), ...after.ofType("stream.chunk")];
    expect(chunks.map(({ payload }) => [payload.sequence, payload.data])).toEqual([
      [0, "one "],
      [1, "two "],
      [2, "three"],
    ]);
    expect(new Set(chunks.map(({ stream_id }) => stream_id))).toEqual(new Set([stream.id]));
  });

  test("a subscription is asked for again, from the last event that was seen", async () => {
    covers("V10-19-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const owner = await harness.rawSession10();
    const { job_id } = await owner.invoke("puppet");
    const run = await puppet.next();
    const filter = { session_id: [owner.sessionId] };
    const before = await harness.rawSession10();
    await before.ask("subscribe", { filter, since: {} });
    await emitLogs(run, 2);
    const last = await before.sees(({ payload }) => payload.event?.payload.message === "2");
    before.cut();
    await emitLogs(run, 2, 3);
    await settle();
    const after = await harness.rawSession10();
    await after.ask("subscribe", { filter, since: { after_message_id: last.payload.event.id } });
    run.finish("done");
    await owner.ending(job_id);
    await after.sees(({ payload }) => payload.event?.type === "tool.result");
    const seen = after.ofType("subscribe.event").map(({ payload }) => payload.event);
    const logs = seen.filter(({ type }) => type === "log");
    expect(logs.map(({ payload }) => payload.message)).toEqual(["3", "4"]);
  });
});

describe("is data loss", () => {
  test.each([
    ["a session that never was", "sess_01J00000000000000000000000", undefined],
    ["a message that was never sent", undefined, "msg_01J00000000000000000000000"],
  ])("%s", async (_what, sessionId, messageId) => {
    covers("V10-19-06", "V10-18.2-01");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    const id = resume(client, sessionId ?? client.sessionId, { after_message_id: messageId ?? "msg_x" });
    expect(await client.answerTo(id)).toMatchObject({ type: "nack", payload: { code: "DATA_LOSS", retryable: false } });
    await client.fence();
  });

  test("a session that was kept as long as it is kept", async () => {
    covers("V10-19-05", "V10-19-06");
    const clock = new ManualClock();
    await using harness = startHarness({
      agents: { echo: (input) => input },
      server: { clock, resumeWindowSeconds: 60 },
    });
    const before = await harness.rawSession10();
    const accepted = await before.invoke("echo");
    await before.ending(accepted.job_id);
    before.cut();
    await settle();
    clock.advance(60_001);
    const after = await harness.rawSession10();
    const answer = await after.answerTo(resume(after, before.sessionId, { after_message_id: accepted.id }));
    expect(answer.payload.code).toBe("DATA_LOSS");
  });

  test("somebody else's session", async () => {
    covers("V10-9-04");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const owner = await harness.rawSession10();
    const accepted = await owner.invoke("echo");
    await owner.ending(accepted.job_id);
    const thief = await harness.rawSession10("mallory");
    const answer = await thief.answerTo(resume(thief, owner.sessionId, { after_message_id: accepted.id }));
    expect(answer.payload.code).toBe("DATA_LOSS");
    await owner.fence();
    expect(feedOf(thief, owner.sessionId)).toEqual([]);
  });
});

test("a connection carries at most 16 sessions", async () => {
  await using harness = startHarness();
  const client = await harness.rawSession10();
  const answers: Frame10[] = [];
  for (let n = 0; n < 16; n += 1) {
    const other = await harness.rawSession10();
    other.cut();
    await settle();
    answers.push(await client.answerTo(resume(client, other.sessionId, {})));
  }
  expect(answers.slice(0, 15).map(({ type }) => type)).toEqual(Array.from({ length: 15 }, () => "ack"));
  expect(answers[15]).toMatchObject({ type: "nack", payload: { code: "RESOURCE_EXHAUSTED" } });
});
