import { createLogger } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { connected } from "../client/fake-runtime.ts";
import { covers } from "../support/covers.ts";
import { CARRIERS, type HarnessOptions, startHarness } from "../support/harness.ts";
import { emitLogs, Puppet, settle } from "../support/puppet.ts";
import { RawClient } from "../support/raw-client.ts";
import { Recorder } from "../support/recorder.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

const agents: NonNullable<HarnessOptions["agents"]> = {
  echo: (input) => input,
  chatter: async (input, context) => {
    for (let n = 1; n <= (input as number); n += 1) await context.log("info", String(n));
    return "done";
  },
};

/** A session of the real client with everything that it commonly sends and is sent. */
async function recordedSession(): Promise<Recorder> {
  const recorder = new Recorder();
  await using harness = startHarness({ agents, faults: recorder.faults });
  const client = await harness.client();
  const job = await client.submit({ agent: "chatter", input: 1_000, traceId: TRACE });
  for await (const event of job) if (event.seq === 500) client.ack(event.seq);
  await client.submit({ agent: "echo", input: 1 }).then(async ({ done }) => done);
  await client.listJobs();
  await client.subscribe(job.jobId, { history: true });
  await client.cancelJob("job_unknown").catch(() => {});
  await client.close();
  return recorder;
}

const ULID = /^(?:[a-z]+_)?[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** Answers that leave the state as it was. */
async function expectUntouched(client: RawClient): Promise<void> {
  const listed = await client.reply(client.send("session.list_jobs"));
  expect(listed.payload.jobs).toEqual([]);
}

describe("an envelope", () => {
  test("names one version of the protocol through the whole session", async () => {
    covers("V11-5.1-01");
    const { sent, received } = await recordedSession();
    expect(new Set(sent.map(({ arcp }) => arcp))).toEqual(new Set(["1.1"]));
    expect(new Set(received.map(({ arcp }) => arcp))).toEqual(new Set(["1.1"]));
  });

  test.each(["1", "1.0", "1.1", "1.7"])("is answered in the version of the hello, %s", async (arcp) => {
    covers("V11-5.1-01");
    await using harness = startHarness({ agents });
    const client = await harness.raw();
    const auth = { scheme: "bearer", token: "alice" };
    client.send("session.hello", { client: { name: "raw", version: "1" }, auth }, { arcp });
    await client.welcomed();
    const { job_id } = await client.submit("chatter", 3, {}, { arcp });
    await client.ended(job_id as string);
    client.send("nonsense", {}, { arcp });
    await client.next("session.error");
    expect(new Set(client.frames.map((frame) => frame.arcp))).toEqual(new Set([arcp]));
  });

  test.each([undefined, 1.1, null, "", "0.9", "2", "2.0", "1.x", "11"])("of version %j is refused", async (arcp) => {
    covers("V11-5.1-01");
    await using harness = startHarness();
    const fresh = await harness.raw();
    fresh.send("session.hello", { auth: { scheme: "bearer", token: "alice" } }, { arcp });
    expect((await fresh.welcomed()).payload.code).toBe("INVALID_REQUEST");
    await fresh.transport.closed;
    const open = await harness.rawSession();
    open.send("session.list_jobs", {}, { arcp });
    expect((await open.next()).payload.code).toBe("INVALID_REQUEST");
    await expectUntouched(open);
  });

  test("has an id of its own", async () => {
    covers("V11-5.1-02", "V11-5.1-03");
    const { sent, received } = await recordedSession();
    const ids = [...sent, ...received].map(({ id }) => id);
    expect(ids.length).toBeGreaterThan(1_000);
    for (const id of ids) expect(id).toMatch(ULID);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("has an id that no other session's messages have", async () => {
    covers("V11-5.1-02");
    await using harness = startHarness({ agents });
    const clients = await Promise.all(["alice", "alice", "bob"].map(async (name) => harness.rawSession([], name)));
    for (const client of clients) await client.ended((await client.submit("chatter", 50)).job_id as string);
    const ids = clients.flatMap(({ frames }) => frames.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("names the session on everything after the welcome, in both directions", async () => {
    covers("V11-5.1-05", "V11-5.1-06");
    const { sent, received } = await recordedSession();
    const [welcome, ...rest] = received;
    expect(welcome?.type).toBe("session.welcome");
    expect(welcome?.session_id).toMatch(/^sess_/);
    const [hello, ...requests] = sent;
    expect(hello?.type).toBe("session.hello");
    const named = new Set([...rest, ...requests].map(({ session_id }) => session_id));
    expect(named).toEqual(new Set([welcome?.session_id]));
  });

  test("may carry a trace id, and need not", async () => {
    covers("V11-5.1-07");
    await using harness = startHarness({ agents });
    const client = await harness.rawSession();
    const traced = await client.submit("echo", 1, {}, { trace_id: TRACE });
    const plain = await client.submit("echo", 1);
    expect([traced.type, plain.type]).toEqual(["job.accepted", "job.accepted"]);
    expect(traced.trace_id).toBe(TRACE);
    const end = await client.sees(({ type, job_id }) => type === "job.result" && job_id === traced.job_id);
    expect(end.trace_id).toBe(TRACE);
  });

  test("has no trace id but 32 lowercase hexadecimal characters, whatever was sent", async () => {
    covers("V11-5.1-08");
    await using harness = startHarness({ agents });
    const client = await harness.rawSession();
    const given = [
      TRACE,
      TRACE.toUpperCase(),
      `00-${TRACE}-00f067aa0ba902b7-01`,
      "0".repeat(32),
      "xyz",
      "",
      17,
      null,
      undefined,
    ];
    for (const trace_id of given) {
      const accepted = await client.submit("chatter", 2, {}, { trace_id });
      expect(accepted.type).toBe("job.accepted");
      await client.ended(accepted.job_id as string);
    }
    const listed = await client.reply(client.send("session.list_jobs"));
    const emitted = [
      ...client.frames.flatMap((frame) => ("trace_id" in frame ? [frame.trace_id] : [])),
      ...client.frames.flatMap(({ payload }) => ("trace_id" in payload ? [payload.trace_id] : [])),
      ...listed.payload.jobs.map((job: { trace_id: string }) => job.trace_id),
    ];
    expect(emitted.length).toBeGreaterThan(given.length * 4);
    for (const traceId of emitted) expect(traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  });

  test("has only such trace ids from the client", async () => {
    covers("V11-5.1-08");
    const { sent } = await recordedSession();
    const emitted = sent.flatMap((frame) => ("trace_id" in frame ? [frame.trace_id] : []));
    expect(emitted).toContain(TRACE);
    for (const traceId of emitted) expect(traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
  });

  test("has a job's id at the top wherever it is about a job", async () => {
    covers("V11-5.1-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const observer = await harness.rawSession();
    const accepted = await client.submit("puppet");
    const job_id = accepted.job_id as string;
    const run = await puppet.next();
    await emitLogs(run, 1);
    await observer.reply(observer.send("job.subscribe", { job_id, history: true }));
    client.send("job.cancel", {}, { job_id });
    await client.next("job.cancelled");
    run.finish();
    await client.ended(job_id);
    await observer.ended(job_id);
    const second = await client.submit("puppet");
    (await puppet.next()).finish();
    await client.ended(second.job_id as string);
    const about = [...client.frames, ...observer.frames].filter(({ type }) => type.startsWith("job."));
    expect(new Set(about.map(({ type }) => type))).toEqual(
      new Set(["job.accepted", "job.event", "job.cancelled", "job.error", "job.subscribed", "job.result"]),
    );
    for (const frame of about) expect([job_id, second.job_id]).toContain(frame.job_id);
  });

  test("has a number if it is an event, a result or an error of a job, and has none if it is about the session", async () => {
    covers("V11-5.1-10", "V11-5.1-11");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    for (const end of ["finish", "fail"] as const) {
      const { job_id } = await client.submit("puppet");
      const run = await puppet.next();
      for (let n = 1; n <= 5; n += 1) {
        await emitLogs(run, 1);
        await client.fence();
        client.send("session.ack", { last_processed_seq: 1 });
        await client.reply(client.send("session.list_jobs"));
      }
      run[end](new Error("no"));
      await client.ended(job_id as string);
    }
    for (const { type, event_seq } of client.frames) {
      const isNumbered = ["job.event", "job.result", "job.error"].includes(type);
      expect(Number.isSafeInteger(event_seq), type).toBe(isNumbered);
    }
    expect(client.numbered.map(({ event_seq }) => event_seq)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
  });

  test("has an object as its payload", async () => {
    covers("V11-5.1-12");
    const { sent, received } = await recordedSession();
    for (const { payload } of [...sent, ...received])
      expect(Object.prototype.toString.call(payload)).toMatch("Object]");
  });
});

const WITHOUT_TYPE: readonly (readonly [what: string, members: object])[] = [
  ["no type", { type: undefined }],
  ["a number as its type", { type: 17 }],
  ["null as its type", { type: null }],
  ["no payload", { payload: undefined }],
  ["null as its payload", { payload: null }],
  ["an array as its payload", { payload: [] }],
  ["a string as its payload", { payload: "{}" }],
];

describe.each(CARRIERS)("over %s", (carrier) => {
  test.each(WITHOUT_TYPE)(
    "a message with %s is answered with INVALID_REQUEST and changes nothing",
    async (_what, members) => {
      covers("V11-5.1-04", "V11-5.1-12");
      await using harness = startHarness({ carrier, agents });
      const client = await harness.rawSession();
      const id = client.send("job.submit", { agent: "echo", input: 1 }, members);
      const answer = await client.next();
      expect(answer.type).toBe("session.error");
      expect(answer.payload).toMatchObject({ code: "INVALID_REQUEST", retryable: false, request_id: id });
      await expectUntouched(client);
      const fresh = await harness.raw();
      fresh.send("session.hello", { auth: { scheme: "bearer", token: "alice" } }, members);
      expect((await fresh.welcomed()).payload.code).toBe("INVALID_REQUEST");
      await fresh.transport.closed;
    },
  );

  test.each(["{", "", "[]", "null", '"text"', "17", '{"arcp":"1.1"}', "{}"])("%j is not an envelope", async (text) => {
    covers("V11-5.2-01");
    await using harness = startHarness({ carrier });
    const client = await harness.rawSession();
    client.sendText(text);
    // A blank line is none at all.
    const isLine = carrier === "stdio" || carrier === "socket";
    if (text !== "" || !isLine) expect((await client.next()).payload.code).toBe("INVALID_REQUEST");
    await expectUntouched(client);
  });

  test("top-level members that nobody knows are ignored", async () => {
    covers("V11-5.1-13");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.raw();
    const unknown = { priority: 3, "x-foo": { deep: [1] }, correlation_id: "c_1", timestamp: "2026", nothing: null };
    const auth = { scheme: "bearer", token: "alice" };
    client.send("session.hello", { client: { name: "raw", version: "1" }, auth }, unknown);
    expect((await client.welcomed()).type).toBe("session.welcome");
    const accepted = await client.submit("echo", { n: 1 }, {}, unknown);
    expect(accepted.type).toBe("job.accepted");
    expect((await client.ended(accepted.job_id as string)).payload.result).toEqual({ n: 1 });
  });

  test("text keeps every character on its way there and back", async () => {
    covers("V11-5.2-01", "V11-5.2-02");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.client();
    const round = async (input: unknown): Promise<unknown> =>
      (await (await client.submit({ agent: "echo", input })).done).result;
    const texts = [
      "😀 🏳️‍🌈 𝒜",
      "e\u0301 vs \u00e9",
      "\u2028\u2029\ufeff",
      '\\u0041 " \\ / \b\f\n\r\t',
      "\u202eعربى",
      "日本語",
    ];
    for (const text of texts) expect(await round(text)).toBe(text);
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), async (text) => {
        fc.pre(!text.includes("\u0000"));
        expect(await round({ text })).toEqual({ text });
      }),
      { numRuns: 30 },
    );
  });

  test("integers that are none, or too large, are refused", async () => {
    covers("V11-5.2-03");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.rawSession();
    await client.ended((await client.submit("chatter", 3)).job_id as string);
    for (const number of ["9223372036854775808", "1e400", "-1", "1.5", '"3"', "-0"]) {
      client.sendText(`{"arcp":"1.1","id":"ack","type":"session.ack","payload":{"last_processed_seq":${number}}}`);
      const answer = await client.next("session.error");
      expect(answer.payload.code, number).toBe("INVALID_REQUEST");
      const fresh = await harness.raw();
      fresh.sendText(
        `{"arcp":"1.1","id":"r","type":"session.resume","session_id":"${client.sessionId}",` +
          `"payload":{"resume_token":"${client.resumeToken}","last_event_seq":${number}}}`,
      );
      expect((await fresh.welcomed()).payload.code, number).toBe("INVALID_REQUEST");
    }
    for (const { event_seq } of client.numbered) expect(Number.isSafeInteger(event_seq)).toBe(true);
    // None of it counted: the session is where it was.
    const again = await harness.raw();
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
    await again.sees(({ event_seq }) => event_seq === 4);
  });

  test("JSON is spoken with a client that would rather speak something else", async () => {
    covers("V11-5.2-01", "V11-5.2-04");
    await using harness = startHarness({ carrier, agents });
    const client = await harness.raw();
    client.send("session.hello", {
      client: { name: "raw", version: "1" },
      auth: { scheme: "bearer", token: "alice" },
      capabilities: { encodings: ["cbor", "json"], features: [] },
    });
    const welcome = await client.welcomed();
    expect(welcome.payload.capabilities.encodings).toEqual(["json"]);
    expect((await client.submit("echo", 1)).type).toBe("job.accepted");
  });
});

describe("the client", () => {
  test("ignores top-level members that it does not know, and messages of unknown types or of none", async () => {
    covers("V11-5.1-04", "V11-5.1-13");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const job = await submitting;
    const unknown = { priority: 3, "x-foo": {}, correlation_id: "c_1" };
    runtime.event("job_1", 1, "log", { level: "info", message: "one" }, unknown);
    runtime.send("job.dreamt", {}, { job_id: "job_1" });
    runtime.send("x", {}, { type: undefined });
    runtime.send("x", {}, { type: 17 });
    runtime.log("job_1", 2, "two");
    runtime.result("job_1", 3, { result: "done" });
    const messages: unknown[] = [];
    for await (const event of job) messages.push(event.body);
    expect(messages).toMatchObject([{ message: "one" }, { message: "two" }]);
    expect((await job.done).result).toBe("done");
    await client.close();
  });

  test("survives messages without an object as their payload", async () => {
    covers("V11-5.1-12");
    const { client, runtime } = await connected();
    const problems: string[] = [];
    client.on("error", ({ code }) => problems.push(code));
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const job = await submitting;
    for (const payload of ["text", 17, []]) runtime.send("session.closed", payload);
    await settle();
    expect(problems).toEqual(["INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST"]);
    runtime.result("job_1", 1, { result: "done" });
    expect((await job.done).result).toBe("done");
    await client.close();
  });

  test("offers JSON", async () => {
    covers("V11-5.2-01");
    const { client, runtime } = await connected();
    expect(runtime.received[0]?.payload.capabilities.encodings).toEqual(["json"]);
    await client.close();
  });
});

describe("a peer that sends one unreadable message after another", () => {
  test("is given up in the end, and its session is kept", async () => {
    const lines: string[] = [];
    await using harness = startHarness({ server: { logger: createLogger((line) => lines.push(line), "error") } });
    const client = await harness.rawSession();
    for (let n = 0; n < 50; n += 1) client.sendText("{");
    await client.transport.closed;
    expect(client.frames.filter(({ type }) => type === "session.error").length).toBeLessThan(50);
    expect(lines).toEqual([]);
    const again = new RawClient(await harness.transport());
    expect((await again.resume(client, 0)).type).toBe("session.welcome");
  });

  test("is not given up while it makes sense in between", async () => {
    await using harness = startHarness();
    const client = await harness.rawSession();
    for (let n = 0; n < 50; n += 1) {
      client.sendText("{");
      client.send("session.pong", { ping_nonce: "none" });
    }
    await client.fence();
    expect(client.frames.filter(({ type }): boolean => type === "session.error")).toHaveLength(50);
  });
});
