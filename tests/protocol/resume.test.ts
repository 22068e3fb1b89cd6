import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient } from "@arcp/client";
import { InternalError, silentLogger } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reconnecting, settle } from "../client/fake-runtime.ts";
import { until } from "../credentials/ledger.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const seqs = (client: RawClient): readonly (number | undefined)[] => client.numbered.map(({ event_seq }) => event_seq);
const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);
const hasSeq =
  (seq: number) =>
  ({ event_seq }: Frame): boolean =>
    event_seq === seq;

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a resume replays what comes after last_event_seq, as it was, and no more", async () => {
    covers("V11-6.3-07", "V11-6.3-08", "V11-6.3-09");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const original = await harness.rawSession();
    const { job_id } = await original.submit("puppet");
    const run = await puppet.next();
    await run.context.log("warn", "one", { deep: { n: 1 } });
    await run.context.thought("two");
    await run.context.toolCall({ call_id: "c1", tool: "search", args: { q: "é" } });
    await run.context.toolResult({ call_id: "c1", result: null });
    await run.context.status("five");
    await run.context.metric({ name: "tokens", value: 6, unit: "count" });
    await run.context.progress(7, { total: 9 });
    await run.context.emitEvent("x-vendor.acme.note", { n: 8 });
    run.finish({ result: 9 });
    await original.ended(job_id as string);
    expect(seqs(original)).toEqual(range(1, 9));

    let session: RawClient = original;
    for (let last = 0; last <= 9; last += 1) {
      await harness.disconnect(session);
      const resumed = await harness.raw();
      await resumed.resume(session, last);
      if (last < 9) await resumed.sees(hasSeq(9));
      await resumed.fence();
      expect(resumed.numbered).toEqual(original.numbered.slice(last));
      session = resumed;
    }
  });

  test("what a job emits while nobody is connected is replayed, its end included", async () => {
    covers("V11-6.3-07", "V11-6.3-11");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 3);
    await client.sees(hasSeq(3));
    await harness.disconnect(client);
    await emitLogs(run, 2_000, 4);
    run.finish("done");
    await run.context.flush();

    const resumed = await harness.raw();
    await resumed.resume(client, 3);
    const end = await resumed.sees(({ type }) => type === "job.result");
    await resumed.fence();
    expect(end.payload.result).toBe("done");
    expect(seqs(resumed)).toEqual(range(4, 2_004));
    expect(resumed.numbered.slice(0, -1).map(({ payload }) => payload.body.message)).toEqual(
      range(4, 2_003).map(String),
    );
  });

  test("live events follow the replayed ones without a gap while the job goes on emitting", async () => {
    covers("V11-6.3-10");
    const isEnough = { value: false };
    await using harness = startHarness({
      carrier,
      agents: {
        restless: async (_input, context) => {
          let n = 0;
          while (!isEnough.value) {
            n += 1;
            await context.log("info", String(n));
            if (n % 50 === 0) await context.flush();
          }
          return n;
        },
      },
    });
    let client = await harness.rawSession(["progress"]);
    await client.submit("restless");
    const received: Frame[] = [];
    for (let round = 0; round < 8; round += 1) {
      await client.sees(hasSeq(received.length + 120));
      await harness.disconnect(client);
      received.push(...client.numbered);
      const resumed = await harness.raw();
      await resumed.resume(client, received.length, "alice", ["progress"]);
      client = resumed;
    }
    await client.sees(hasSeq(received.length + 120));
    isEnough.value = true;
    const end = await client.sees(({ type }) => type === "job.result");
    received.push(...client.numbered);
    expect(received.map(({ event_seq }) => event_seq)).toEqual(range(1, end.payload.result + 1));
    expect(received.slice(0, -1).map(({ payload }) => payload.body.message)).toEqual(
      range(1, end.payload.result).map(String),
    );
  });

  test("each welcome keeps the session and gives another token", async () => {
    covers("V11-6.3-01", "V11-6.3-05", "V11-6.3-06");
    await using harness = startHarness({ carrier });
    let client = await harness.rawSession();
    const { sessionId } = client;
    const tokens = new Set([client.resumeToken]);
    for (let n = 0; n < 3; n += 1) {
      await harness.disconnect(client);
      const resumed = await harness.raw();
      const welcome = await resumed.resume(client, 0);
      expect(welcome.session_id).toBe(sessionId);
      tokens.add(welcome.payload.resume_token);
      client = resumed;
    }
    expect(tokens.size).toBe(4);
  });

  test.each([
    ["on the envelope", (id: string) => [{}, { session_id: id }]],
    ["in the payload", (id: string) => [{ session_id: id }, {}]],
    ["nowhere", () => [{}, {}]],
  ] as const)("session.resume is enough, with the session's id %s", async (_where, placed) => {
    covers("V11-6.3-04", "V11-6.3-06");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 3);
    await client.sees(hasSeq(3));
    await harness.disconnect(client);
    const resumed = await harness.raw();
    const [members, envelope] = placed(client.sessionId as string);
    resumed.send("session.resume", { resume_token: client.resumeToken, last_event_seq: 1, ...members }, envelope);
    const welcome = await resumed.welcomed();
    expect(welcome.type).toBe("session.welcome");
    expect(welcome.session_id).toBe(client.sessionId);
    expect(welcome.payload.resume_token).not.toBe(client.resumeToken);
    await resumed.sees(hasSeq(3));
    expect(resumed.numbered).toEqual(client.numbered.slice(1));
  });

  test("a job submitted before the connection was lost can be cancelled after it", async () => {
    covers("V11-6.3-16");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { job_id } = await client.submit("puppet");
    const run = await puppet.next();
    await harness.disconnect(client);
    const resumed = await harness.raw();
    await resumed.resume(client, 0);
    const answer = await resumed.reply(resumed.send("job.cancel", { reason: "enough" }, { job_id }));
    expect(answer.type).toBe("job.cancelled");
    expect(run.context.signal.aborted).toBe(true);
    run.finish();
    const end = await resumed.ended(job_id as string);
    expect(end.payload).toMatchObject({ final_status: "cancelled", code: "CANCELLED" });
  });

  test("whoever does not hold the token gets nothing, and spoils nothing", async () => {
    covers("V11-6.3-13", "V11-6.3-14");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    await emitLogs(await puppet.next(), 3);
    await client.sees(hasSeq(3));
    const other = await harness.rawSession();
    const { sessionId, resumeToken } = client;
    const wrong = `${resumeToken?.slice(0, -1)}${resumeToken?.endsWith("0") ? "1" : "0"}`;
    const claims = [
      { sessionId, resumeToken: wrong },
      { sessionId, resumeToken: "" },
      { sessionId, resumeToken: other.resumeToken },
      { sessionId: other.sessionId, resumeToken },
      { sessionId: "sess_none", resumeToken },
    ];
    const answers: Frame[] = [];
    for (const claim of claims) {
      const stranger = await harness.raw();
      answers.push(await stranger.resume(claim, 0));
      await stranger.transport.closed;
      expect(stranger.frames).toHaveLength(1);
    }
    const asBob = await harness.raw();
    expect((await asBob.resume(client, 0, "bob")).payload.code).toBe("UNAUTHENTICATED");
    await asBob.transport.closed;
    expect(asBob.frames).toHaveLength(1);

    // The same words whatever was wrong: they tell nothing of what exists.
    expect(new Set(answers.map(({ payload }) => payload.code))).toEqual(new Set(["RESUME_WINDOW_EXPIRED"]));
    expect(new Set(answers.map(({ payload }) => payload.message)).size).toBe(1);
    await client.fence();
    await other.fence();
    await harness.disconnect(client);
    expect((await (await harness.raw()).resume(client, 0)).type).toBe("session.welcome");
  });

  test("a token that has been followed by another in use is void", async () => {
    covers("V11-6.3-02");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const first = await harness.rawSession();
    await harness.disconnect(first);
    const second = await harness.raw();
    await second.resume(first, 0);
    await second.fence();
    const late = await harness.raw();
    expect((await late.resume(first, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    await late.transport.closed;
    await second.submit("puppet");
    await emitLogs(await puppet.next(), 1);
    await second.sees(hasSeq(1));
    await harness.disconnect(second);
    expect((await (await harness.raw()).resume(second, 0)).type).toBe("session.welcome");
  });

  test("a token whose successor was never used is still good: the welcome may have been lost", async () => {
    await using harness = startHarness({ carrier });
    const first = await harness.rawSession();
    await harness.disconnect(first);
    const lost = await harness.raw();
    await lost.resume(first, 0);
    await harness.disconnect(lost);
    const again = await harness.raw();
    expect((await again.resume(first, 0)).session_id).toBe(first.sessionId);
    await again.fence();
    await harness.disconnect(again);
    for (const session of [first, lost]) {
      expect((await (await harness.raw()).resume(session, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");
    }
    expect((await (await harness.raw()).resume(again, 0)).type).toBe("session.welcome");
  });

  test("a resume takes the session over from a connection that still looks open", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    const run = await puppet.next();
    await emitLogs(run, 2);
    await client.sees(hasSeq(2));
    const resumed = await harness.raw();
    await resumed.resume(client, 2);
    await client.transport.closed;
    await emitLogs(run, 2, 3);
    await resumed.sees(hasSeq(4));
    expect(seqs(client)).toEqual([1, 2]);
    expect(seqs(resumed)).toEqual([3, 4]);
  });

  test.each([
    ["beyond the last number", 6],
    ["below what was acknowledged", 2],
  ])("a position %s is refused rather than replayed with a gap", async (_where, lastEventSeq) => {
    covers("V11-6.3-12", "V11-6.3-13");
    const puppet = new Puppet();
    await using harness = startHarness({ carrier, agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    await client.submit("puppet");
    await emitLogs(await puppet.next(), 5);
    await client.sees(hasSeq(5));
    client.send("session.ack", { last_processed_seq: 3 });
    await client.fence();
    await harness.disconnect(client);
    const resumed = await harness.raw();
    const refusal = await resumed.resume(client, lastEventSeq);
    expect(refusal.type).toBe("session.error");
    expect(refusal.payload).toMatchObject({ code: "RESUME_WINDOW_EXPIRED", retryable: false });
    await resumed.transport.closed;
    expect(resumed.frames).toEqual([refusal]);
  });
});

describe("the end of the resume window", () => {
  test("makes the session unresumable, and a resume the last word on its connection", async () => {
    covers("V11-6.3-12", "V11-6.3-13");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, resumeWindowSeconds: 60 },
    });
    const client = await harness.rawSession([]);
    await client.submit("puppet");
    await emitLogs(await puppet.next(), 3);
    await client.sees(hasSeq(3));
    await harness.disconnect(client);
    clock.advance(60_001);
    for (const lastEventSeq of [0, 3]) {
      const late = await harness.raw();
      const refusal = await late.resume(client, lastEventSeq, "alice", []);
      expect([refusal.type, refusal.payload.code]).toEqual(["session.error", "RESUME_WINDOW_EXPIRED"]);
      await late.transport.closed;
      expect(late.frames).toEqual([refusal]);
    }
    const form = await harness.raw();
    form.send("session.resume", { resume_token: client.resumeToken, last_event_seq: 0 });
    expect((await form.welcomed()).payload.code).toBe("RESUME_WINDOW_EXPIRED");
  });

  test("leaves the way back to a keyed job open from another session", async () => {
    covers("V11-6.3-15");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock, resumeWindowSeconds: 60 },
    });
    const client = await harness.rawSession([]);
    const accepted = await client.submit("puppet", { n: 1 }, { idempotency_key: "weekly" });
    const run = await puppet.next();
    await emitLogs(run, 3);
    await harness.disconnect(client);
    // The sweep that forgets the session included.
    clock.advance(200_000);
    await settle();
    expect((await (await harness.raw()).resume(client, 0)).payload.code).toBe("RESUME_WINDOW_EXPIRED");

    const fresh = await harness.rawSession([]);
    const again = await fresh.submit("puppet", { n: 1 }, { idempotency_key: "weekly" });
    expect(again.job_id).toBe(accepted.job_id);
    await emitLogs(run, 2, 4);
    run.finish("done");
    const end = await fresh.ended(accepted.job_id as string);
    expect(end.payload.result).toBe("done");
    expect(seqs(fresh)).toEqual([1, 2, 3]);
    expect(puppet.runs).toHaveLength(1);
  });
});

describe("two connections with one token at the same moment", () => {
  test("get one session between them", async () => {
    await using harness = startHarness();
    const client = await harness.rawSession();
    await harness.disconnect(client);
    const rivals = await Promise.all([harness.raw(), harness.raw(), harness.raw()]);
    const answers = await Promise.all(rivals.map(async (rival) => rival.resume(client, 0)));
    const welcomed = rivals.filter((_, index) => answers[index]?.type === "session.welcome");
    for (const { payload } of answers.filter(({ type }) => type === "session.error")) {
      expect(payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    }
    await settle();
    const open = welcomed.filter(({ transport }) => !transport.isClosed);
    expect(open).toHaveLength(1);
    await open[0]?.fence();
  });
});

test("a claim whose client has given up waiting does not void the token that the client has", async () => {
  const clock = new ManualClock();
  let isHeld = false;
  const held: (() => void)[] = [];
  const bearer = {
    verify: async () => {
      if (isHeld) await new Promise<void>((resolve) => held.push(resolve));
      return { principal: "alice" };
    },
  };
  await using harness = startHarness({ server: { clock, bearer, handshakeTimeoutMs: 1_000 } });
  const first = await harness.rawSession(QUIET_FEATURES);
  await harness.disconnect(first);
  const slow = await harness.raw();
  const second = await harness.raw();
  isHeld = true;
  const refused = slow.resume(first, 0);
  await settle();
  isHeld = false;
  // It has a new token, and has not used it yet: the one before is good as well.
  await second.resume(first, 0, "alice", QUIET_FEATURES);
  clock.advance(1_000);
  expect((await refused).payload).toMatchObject({ message: "no session.hello in time" });
  for (const release of held) release();
  await settle();
  await harness.disconnect(second);
  const third = await harness.raw();
  expect(await third.resume(second, 0)).toMatchObject({ type: "session.welcome" });
});

test.each(["1.1", "1.0"])(
  "a client of wire %s that was in time is told when its session cannot be stored in time",
  async (wire) => {
    const clock = new ManualClock();
    const gate = Promise.withResolvers<void>();
    let isStopped = false;
    let isHeld = false;
    const inner = sqliteStore();
    const commit = async (batch: Parameters<typeof inner.commit>[0]): Promise<void> => {
      isHeld = isStopped;
      if (isStopped) await gate.promise;
      await inner.commit(batch);
    };
    const store = new Proxy(inner, {
      get(target, name) {
        if (name === "commit") return commit;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    await using harness = startHarness({ server: { clock, eventLog: store, handshakeTimeoutMs: 1_000 } });
    const [client, client10] = [await harness.raw(), await harness.raw10()];
    isStopped = true;
    const answer = wire === "1.1" ? client.hello() : client10.open();
    await until(() => isHeld);
    clock.advance(999);
    await settle();
    expect([client.frames, client10.frames]).toEqual([[], []]);
    clock.advance(1);
    expect((await answer).payload).toMatchObject({
      code: expect.stringMatching(/^INTERNAL/),
      message: "the session could not be stored in time",
      ...(wire === "1.1" && { retryable: true }),
    });
    gate.resolve();
  },
);

describe("the client", () => {
  test.each(["hello", "resume"] as const)(
    "presents its latest token and position, in the form %s",
    async (resumeForm) => {
      covers("V11-6.3-03");
      const { client, server, runtime } = await reconnecting({ reconnect: { resumeForm } }, { resume_token: "rt_1" });
      const submitting = client.submit({ agent: "echo" });
      await runtime.accept("job_1");
      await submitting;
      for (let seq = 1; seq <= 5; seq += 1) runtime.log("job_1", seq);
      await settle();
      runtime.drop();
      const expected = (token: string, lastEventSeq: number): object => ({
        session_id: "sess_1",
        resume_token: token,
        last_event_seq: lastEventSeq,
      });
      for (const [round, token, next] of [
        [1, "rt_1", "rt_2"],
        [2, "rt_2", "rt_3"],
      ] as const) {
        const connection = await server.accept();
        const first = await connection.next(`session.${resumeForm}`);
        expect(connection.received[0]).toBe(first);
        const position = resumeForm === "hello" ? first.payload.resume : first.payload;
        expect(position).toMatchObject(expected(token, 4 + round));
        connection.sendWelcome({ resume_token: next });
        connection.log("job_1", 5 + round);
        await settle();
        connection.drop();
      }
      client.abort();
    },
  );
});

describe("a runtime that starts again on the same file", () => {
  async function onFile(work: (path: string) => Promise<void>): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), "arcp-"));
    try {
      await work(join(directory, "journal.db"));
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  test("after it died goes on with sessions and numbers, and ends what was running", async () => {
    covers("V11-6.3-07", "V11-6.3-09");
    await onFile(async (path) => {
      const puppet = new Puppet();
      const agents = { puppet: puppet.handler, echo: (input: unknown) => input };
      const store = sqliteStore({ path });
      // Not disposed of: it dies with its database handle.
      const dead = startHarness({ agents, server: { eventLog: store, logger: silentLogger } });
      const client = await dead.rawSession();
      const finished = await client.submit("echo", "before");
      await client.ended(finished.job_id as string);
      const { job_id } = await client.submit("puppet");
      await emitLogs(await puppet.next(), 4);
      await client.sees(hasSeq(5));
      await store.close();

      const reopened = sqliteStore({ path });
      {
        await using harness = startHarness({ agents, server: { eventLog: reopened } });
        const resumed = await harness.raw();
        const welcome = await resumed.resume(client, 0);
        expect(welcome.session_id).toBe(client.sessionId);
        expect(welcome.payload.resume_token).not.toBe(client.resumeToken);
        const end = await resumed.ended(job_id as string);
        expect(resumed.numbered.slice(0, 5)).toEqual(client.numbered);
        expect(end).toMatchObject({ type: "job.error", event_seq: 6 });
        expect(end.payload).toMatchObject({
          final_status: "error",
          code: "INTERNAL_ERROR",
          retryable: true,
          details: { reason: "runtime_restarted" },
        });
        const next = await resumed.submit("echo", "after");
        expect((await resumed.ended(next.job_id as string)).event_seq).toBe(7);
        expect(seqs(resumed)).toEqual(range(1, 7));
      }
      await reopened.close();
    });
  });

  test("after it was closed goes on too, and the client is told how its job ended", async () => {
    await onFile(async (path) => {
      const puppet = new Puppet();
      const agents = { puppet: puppet.handler };
      const first = sqliteStore({ path });
      const harness = startHarness({ agents, server: { eventLog: first } });
      const client = await harness.rawSession();
      const { job_id } = await client.submit("puppet");
      await emitLogs(await puppet.next(), 3);
      await client.sees(hasSeq(3));
      await harness.server.close();
      await client.transport.closed;
      await harness[Symbol.asyncDispose]();
      await first.close();
      expect(client.frames.at(-1)?.type).toBe("session.bye");

      const second = sqliteStore({ path });
      {
        await using restarted = startHarness({ agents, server: { eventLog: second } });
        const resumed = await restarted.raw();
        expect((await resumed.resume(client, 1)).session_id).toBe(client.sessionId);
        const end = await resumed.ended(job_id as string);
        expect(end.payload).toMatchObject({ code: "INTERNAL_ERROR", details: { reason: "runtime_restarted" } });
        expect(resumed.numbered).toEqual(client.numbered.slice(1));
      }
      await second.close();
    });
  });

  test("after it died lets the resume window of its connected sessions begin, and end", async () => {
    covers("V11-6.3-12");
    await onFile(async (path) => {
      const store = sqliteStore({ path });
      const dead = startHarness({ server: { eventLog: store, logger: silentLogger } });
      const [early, late] = [await dead.rawSession([]), await dead.rawSession([])];
      await store.close();

      const reopened = sqliteStore({ path });
      {
        const clock = new ManualClock(Date.now());
        const server = { eventLog: reopened, clock, resumeWindowSeconds: 60 };
        await using harness = startHarness({ server });
        await harness.rawSession([]);
        clock.advance(59_000);
        expect((await (await harness.raw()).resume(early, 0, "alice", [])).session_id).toBe(early.sessionId);
        clock.advance(121_000);
        await settle();
        const refusal = await (await harness.raw()).resume(late, 0, "alice", []);
        expect(refusal.payload.code).toBe("RESUME_WINDOW_EXPIRED");
      }
      await reopened.close();
    });
  });

  test("is found again by a client that reconnects by itself", async () => {
    await onFile(async (path) => {
      const puppet = new Puppet();
      const agents = { puppet: puppet.handler };
      const store = sqliteStore({ path });
      const dead = startHarness({ agents, server: { eventLog: store, logger: silentLogger } });
      const reopened = Promise.withResolvers<ReturnType<typeof startHarness>>();
      let connections = 0;
      const client = await ARCPClient.connect(
        async () => {
          connections += 1;
          return (connections === 1 ? dead : await reopened.promise).transport();
        },
        { token: "alice", logger: silentLogger, reconnect: { initialDelayMs: 0 } },
      );
      const job = await client.submit({ agent: "puppet" });
      await emitLogs(await puppet.next(), 3);
      await store.close();
      dead.cutAll();
      const second = sqliteStore({ path });
      const harness = startHarness({ agents, server: { eventLog: second } });
      reopened.resolve(harness);
      const messages: string[] = [];
      for await (const event of job) if (event.kind === "log") messages.push(event.body.message);
      expect(messages).toEqual(["1", "2", "3"]);
      const error = await job.done.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InternalError);
      expect(error).toMatchObject({ retryable: true, details: { reason: "runtime_restarted" } });
      await client.close();
      await harness[Symbol.asyncDispose]();
      await second.close();
    });
  });
});
