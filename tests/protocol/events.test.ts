import type { JobEvent } from "@arcp/client";
import { EVENT_BODIES, type EventKind, InvalidRequestError } from "@arcp/core";
import type { AgentHandler, JobContext } from "@arcp/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame, QUIET_FEATURES } from "../support/raw-client.ts";

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
const ENVELOPE = ["arcp", "event_seq", "id", "job_id", "payload", "session_id", "trace_id", "type"];

/** Everything numbered that a client receives about one run of `agent`, its end included. */
async function framesOf(agent: AgentHandler, features: readonly string[] = ALL_FEATURES): Promise<readonly Frame[]> {
  await using harness = startHarness({ agents: { probe: agent } });
  const client = await harness.rawSession(features);
  const { job_id } = (await client.submit("probe")).payload;
  await client.end(job_id);
  return client.ofJob(job_id);
}

const eventsIn = (frames: readonly Frame[]): readonly Frame[] => frames.filter(({ type }) => type === "job.event");

/** The bodies of the events that `emit` makes, all of which must be of `kind`. */
async function bodiesOf(kind: string, emit: (context: JobContext) => unknown): Promise<readonly unknown[]> {
  const events = eventsIn(await framesOf(async (_input, context) => void (await emit(context))));
  for (const { payload } of events) expect(payload.kind).toBe(kind);
  return events.map(({ payload }) => payload.body);
}

async function collect(events: AsyncIterable<JobEvent>): Promise<readonly JobEvent[]> {
  const list: JobEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

/** An agent that says something of every kind. */
const talkative: AgentHandler = async (_input, context) => {
  await context.log("info", "begun");
  await context.thought("hm");
  await context.toolCall({ tool: "search", args: { q: "x" }, call_id: "call_1" });
  await context.toolResult({ call_id: "call_1", result: [1] });
  await context.status("running");
  await context.metric({ name: "tokens", value: 12 });
  await context.artifactRef({ uri: "file:///report.md", content_type: "text/markdown" });
  await context.delegate({ delegate_id: "del_1", agent: "other", input: {}, lease_request: {} });
  await context.progress(1, { total: 2 });
  await context.emitEvent("x-vendor.acme.note", { text: "hello" });
  await context.streamResult().write("piece");
};

describe.each(CARRIERS)("over %s", (carrier) => {
  test("every event has an envelope with its session, job and number, and a payload with kind, time and body", async () => {
    covers("V11-8.1-01");
    await using harness = startHarness({ carrier, agents: { talkative } });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("talkative")).payload;
    await client.end(job_id);
    const events = eventsIn(client.ofJob(job_id));
    expect(new Set(events.map(({ payload }) => payload.kind))).toEqual(
      new Set([...Object.keys(EVENT_BODIES), "x-vendor.acme.note"]),
    );
    for (const [index, event] of events.entries()) {
      expect(Object.keys(event).sort()).toEqual(ENVELOPE);
      expect(event).toMatchObject({ type: "job.event", session_id: client.sessionId, job_id, event_seq: index + 1 });
      expect(Object.keys(event.payload).sort()).toEqual(["body", "kind", "ts"]);
      expect(event.payload.ts).toMatch(INSTANT);
      expect(Number.isNaN(Date.parse(event.payload.ts))).toBe(false);
      expect(event.payload.body).toBeTypeOf("object");
      const schema = EVENT_BODIES[event.payload.kind as EventKind];
      if (schema) expect(() => schema.parse(event.payload.body)).not.toThrow();
    }
  });

  test("the client gives every event with its kind, time, number and body", async () => {
    covers("V11-8.1-01", "V11-8.2-10");
    await using harness = startHarness({ carrier, agents: { talkative } });
    const job = await (await harness.client()).submit({ agent: "talkative" });
    const seen = (await collect(job.events())).map((event) => [
      event.seq,
      event.kind === "vendor" ? event.name : event.kind,
    ]);
    expect(seen).toEqual(
      [
        ...["log", "thought", "tool_call", "tool_result", "status", "metric", "artifact_ref", "delegate"],
        // What became of the delegation: the lease grants none.
        ...["tool_result", "progress"],
        ...["x-vendor.acme.note", "result_chunk", "result_chunk"],
      ].map((kind, index) => [index + 1, kind]),
    );
  });
});

test("an event carries the time at which it was emitted", async () => {
  const clock = new ManualClock(Date.UTC(2026, 4, 13, 19, 42, 13, 7));
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
  const client = await harness.rawSession(QUIET_FEATURES);
  await client.submit("puppet");
  const run = await puppet.next();
  await run.context.log("info", "first");
  clock.advance(1_500);
  await run.context.log("info", "second");
  run.finish();
  await client.end(run.context.jobId);
  const times = eventsIn(client.numbered).map(({ payload }) => payload.ts);
  expect(times).toEqual(["2026-05-13T19:42:13.007Z", "2026-05-13T19:42:14.507Z"]);
});

describe("the body of", () => {
  test("a log is a level and a message, whatever the logger calls its levels", async () => {
    covers("V11-8.2-01");
    const spelled = {
      ...{ debug: "debug", info: "info", warn: "warn", error: "error" },
      ...{ trace: "debug", warning: "warn", fatal: "error", critical: "error", notice: "info", ERROR: "error" },
    };
    const said = Object.keys(spelled);
    const expected = Object.entries(spelled).map(([message, level]) => ({ level, message }));
    const direct = await bodiesOf("log", async (context) => {
      for (const level of said) await context.log(level, level);
    });
    expect(direct).toEqual(expected);
    const generic = await bodiesOf("log", async (context) => {
      for (const level of said) await context.emitEvent("log", { level, message: level });
    });
    expect(generic).toEqual(expected);
    expect(await bodiesOf("log", (context) => context.log("info", "m", { file: "a.ts", line: 3 }))).toEqual([
      { level: "info", message: "m", attributes: { file: "a.ts", line: 3 } },
    ]);
  });

  test("a thought is a text", async () => {
    covers("V11-8.2-02");
    expect(await bodiesOf("thought", (context) => context.thought("first, the tests"))).toEqual([
      { text: "first, the tests" },
    ]);
  });

  test("a tool call is the tool, its arguments and an id; no arguments are an empty object", async () => {
    covers("V11-8.2-03");
    const bodies = await bodiesOf("tool_call", async (context) => {
      await context.toolCall({ tool: "grep", args: { pattern: "x", paths: ["a", "b"] }, call_id: "c1" });
      await context.toolCall({ tool: "now", call_id: "c2" });
    });
    expect(bodies).toEqual([
      { tool: "grep", args: { pattern: "x", paths: ["a", "b"] }, call_id: "c1" },
      { tool: "now", args: {}, call_id: "c2" },
    ]);
  });

  test("a tool result is exactly one of a result and an error, also of a tool that gives nothing", async () => {
    covers("V11-8.2-04", "V11-12-01");
    const failure = { code: "ACME_QUOTA", message: "used up", retryable: true, details: { limit: 3 } };
    const bodies = await bodiesOf("tool_result", async (context) => {
      await context.toolResult({ call_id: "c1", result: { hits: 2 } });
      await context.toolResult({ call_id: "c2", error: failure });
      await context.toolResult({ call_id: "c3" });
      await context.toolResult({ call_id: "c4", result: null });
      await context.toolResult({ call_id: "c5", result: false });
      await context.toolResult({ call_id: "c6", result: () => "a function is no JSON" });
      await context.emitEvent("tool_result", { call_id: "c7" });
      await context.emitEvent("tool_result", { call_id: "c8", error: { code: "ACME", message: "no" } });
    });
    expect(bodies).toEqual([
      { call_id: "c1", result: { hits: 2 } },
      { call_id: "c2", error: failure },
      { call_id: "c3", result: null },
      { call_id: "c4", result: null },
      { call_id: "c5", result: false },
      { call_id: "c6", result: null },
      { call_id: "c7", result: null },
      { call_id: "c8", error: { code: "ACME", message: "no", retryable: false } },
    ]);
  });

  test("a tool result names the call that it answers, however calls overlap", async () => {
    covers("V11-8.2-05");
    const delays = [3, 1, 2, 0];
    const events = eventsIn(
      await framesOf(async (_input, context) => {
        await Promise.all(
          delays.map(async (turns, index) => {
            const call_id = `call_${index}`;
            await context.toolCall({ tool: "echo", args: { index }, call_id });
            await settle(turns);
            await context.toolResult({ call_id, result: { index } });
          }),
        );
      }),
    );
    const calls = events.filter(({ payload }) => payload.kind === "tool_call");
    const results = events.filter(({ payload }) => payload.kind === "tool_result");
    expect(calls).toHaveLength(delays.length);
    expect(results.map(({ payload }) => payload.body.call_id)).not.toEqual(
      calls.map(({ payload }) => payload.body.call_id),
    );
    for (const { payload, event_seq } of calls) {
      const answers = results.filter((result) => result.payload.body.call_id === payload.body.call_id);
      expect(answers.map((answer) => answer.payload.body.result)).toEqual([payload.body.args]);
      expect(answers[0]?.event_seq).toBeGreaterThan(event_seq ?? 0);
    }
  });

  test("a status is a phase, with a message if there is one", async () => {
    covers("V11-8.2-06");
    const bodies = await bodiesOf("status", async (context) => {
      await context.status("planning");
      await context.status("running", "step 1");
    });
    expect(bodies).toEqual([{ phase: "planning" }, { phase: "running", message: "step 1" }]);
  });

  test("a metric is a name and a number, with unit and dimensions if there are any", async () => {
    covers("V11-8.2-07");
    const metrics = [
      { name: "tokens", value: 0 },
      { name: "delta", value: -1.5e-7 },
      { name: "latency", value: 12.5, unit: "ms", dimensions: { tool: "grep", attempt: 2 } },
    ];
    const bodies = await bodiesOf("metric", async (context) => {
      for (const metric of metrics) await context.metric(metric);
    });
    expect(bodies).toEqual(metrics);
  });

  test("an artifact is a uri and a type, with size and digest if they are known", async () => {
    covers("V11-8.2-08");
    const artifacts = [
      { uri: "s3://bucket/a", content_type: "text/plain" },
      { uri: "file:///b", content_type: "application/pdf", byte_size: 0, sha256: "ab".repeat(32) },
    ];
    const bodies = await bodiesOf("artifact_ref", async (context) => {
      for (const artifact of artifacts) await context.artifactRef(artifact);
    });
    expect(bodies).toEqual(artifacts);
  });

  test("a delegation is its id, agent, input and lease request", async () => {
    covers("V11-8.2-09");
    const delegation = {
      ...{ delegate_id: "del_1", agent: "reviewer@1.0.0", input: { pr: 7 } },
      lease_request: { "fs.read": ["/src/**"] },
    };
    const [event] = eventsIn(await framesOf(async (_input, context) => await context.delegate(delegation)));
    expect(event?.payload).toMatchObject({ kind: "delegate", body: delegation });
  });
});

describe("progress", () => {
  test("is a non-negative number, fractions and zero included", async () => {
    covers("V11-8.2.1-01");
    const bodies = await bodiesOf("progress", async (context) => {
      await context.progress(0, { total: 3 });
      await context.progress(0.5, { total: 3, units: "files", message: "a.ts" });
      await context.progress(3, { total: 3 });
    });
    expect(bodies).toEqual([
      { current: 0, total: 3 },
      { current: 0.5, total: 3, units: "files", message: "a.ts" },
      { current: 3, total: 3 },
    ]);
  });

  test("that is no such number is refused to the agent, and nothing is sent", async () => {
    covers("V11-8.2.1-01");
    const events = eventsIn(
      await framesOf(async (_input, context) => {
        for (const current of [-1, -0.001, Number.NaN, Number.POSITIVE_INFINITY, "1" as unknown as number]) {
          await expect(context.progress(current)).rejects.toThrow(InvalidRequestError);
          await expect(context.emitEvent("progress", { current })).rejects.toThrow(InvalidRequestError);
        }
        for (const total of [-1, Number.NaN, "9" as unknown as number]) {
          await expect(context.progress(1, { total })).rejects.toThrow(InvalidRequestError);
        }
      }),
    );
    expect(events).toEqual([]);
  });

  test("may have no total: it is then indeterminate, and the client says so", async () => {
    covers("V11-8.2.1-02");
    await using harness = startHarness({ agents: { probe: (_input, context) => context.progress(5) } });
    const client = await harness.client();
    const events = await collect((await client.submit({ agent: "probe" })).events());
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({ kind: "progress", body: { current: 5 } });
    expect(events[0]?.body).not.toHaveProperty("total");
    expect(Object.keys(events[0]?.body as object)).toEqual(["current"]);
  });

  test("does not go beyond its total, whichever way it is emitted", async () => {
    covers("V11-8.2.1-03");
    const bodies = await bodiesOf("progress", async (context) => {
      await context.progress(11, { total: 10 });
      await context.progress(1, { total: 0 });
      await context.emitEvent("progress", { current: 11, total: 10, units: "files" });
      await context.progress(11, { total: 10, ...({ current: 12 } as object) });
    });
    expect(bodies).toEqual([
      { current: 10, total: 10 },
      { current: 0, total: 0 },
      { current: 10, total: 10, units: "files" },
      { current: 10, total: 10 },
    ]);
  });

  test("that reaches its total ends nothing", async () => {
    covers("V11-8.2.1-04");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("puppet")).payload;
    const run = await puppet.next();
    await run.context.progress(10, { total: 10 });
    expect(await client.listJobs()).toMatchObject([{ job_id, status: "running" }]);
    await run.context.log("info", "and on");
    run.finish("done");
    expect((await client.end(job_id)).payload).toMatchObject({ final_status: "success", result: "done" });
    expect(client.ofJob(job_id).map(({ payload }) => payload.kind)).toEqual(["progress", "log", undefined]);
  });

  test("is left out, without a number, for a client that has not negotiated it", async () => {
    const without = ALL_FEATURES.filter((name) => name !== "progress");
    const frames = await framesOf(async (_input, context) => {
      await context.log("info", "1");
      await context.progress(1);
      await context.log("info", "2");
    }, without);
    expect(frames.map(({ event_seq, payload }) => [event_seq, payload.kind])).toEqual([
      [1, "log"],
      [2, "log"],
      [3, undefined],
    ]);
  });
});

describe("metrics", () => {
  const budgeted = async (agent: AgentHandler): Promise<readonly Frame[]> => {
    await using harness = startHarness({ agents: { probe: agent } });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("probe", null, { lease_request: { "cost.budget": ["USD:1.00"] } })).payload;
    await client.end(job_id);
    return eventsIn(client.ofJob(job_id));
  };
  const noted = (frames: readonly Frame[]) =>
    frames.map(({ payload }) => [payload.body.name, payload.body.value, payload.body.unit]);

  test("that are no numbers are refused", async () => {
    covers("V11-8.2-07");
    const events = await budgeted(async (_input, context) => {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, "1" as unknown as number, undefined as never]) {
        await expect(context.metric({ name: "tokens", value })).rejects.toThrow(InvalidRequestError);
        await expect(context.emitEvent("metric", { name: "tokens", value })).rejects.toThrow(InvalidRequestError);
        await expect(context.metric({ name: "cost.x", value, unit: "USD" })).rejects.toThrow(InvalidRequestError);
      }
      await expect(context.emitEvent("metric", { value: 1 })).rejects.toThrow(InvalidRequestError);
      await expect(context.emitEvent("metric", null)).rejects.toThrow(InvalidRequestError);
      await expect(context.emitEvent("metric", { name: "n", value: 1, unit: 2 })).rejects.toThrow(InvalidRequestError);
      await expect(context.emitEvent("metric", { name: "n", value: 1, dimensions: "d" })).rejects.toThrow(
        InvalidRequestError,
      );
      expect(context.budget.get("USD")).toBe(1);
    });
    expect(events).toEqual([]);
  });

  test("of cost lower the counter of their unit, which is told after them", async () => {
    const events = await budgeted(async (_input, context) => {
      await context.metric({ name: "cost.inference", value: 0.25, unit: "USD" });
      await context.emitEvent("metric", { name: "cost.search", value: 0.5, unit: "USD" });
      await context.metric({ name: "cost.inference", value: 3, unit: "EUR" });
      await context.metric({ name: "cost.inference", value: 3 });
      await context.metric({ name: "tokens", value: 3, unit: "USD" });
      expect([...context.budget]).toEqual([["USD", 0.25]]);
    });
    expect(noted(events)).toEqual([
      ["cost.inference", 0.25, "USD"],
      ["cost.budget.remaining", 0.75, "USD"],
      ["cost.search", 0.5, "USD"],
      ["cost.budget.remaining", 0.25, "USD"],
      ["cost.inference", 3, "EUR"],
      ["cost.inference", 3, undefined],
      ["tokens", 3, "USD"],
    ]);
  });

  test("of negative cost, and under the runtime's own name, are refused and change nothing", async () => {
    const events = await budgeted(async (_input, context) => {
      for (const emit of [context.metric, (metric: object) => context.emitEvent("metric", metric)]) {
        const say = emit.bind(context) as (metric: object) => Promise<void>;
        await expect(say({ name: "cost.refund", value: -0.5, unit: "USD" })).rejects.toThrow(InvalidRequestError);
        await expect(say({ name: "cost.budget.remaining", value: 9, unit: "USD" })).rejects.toThrow(
          InvalidRequestError,
        );
      }
      expect(context.budget.get("USD")).toBe(1);
    });
    expect(events).toEqual([]);
  });
});

describe("a vendor's kind", () => {
  test("reaches the client unchanged", async () => {
    covers("V11-8.2-10");
    const body = { text: "✓", nested: { list: [1, null, { a: "b" }] } };
    const events = eventsIn(
      await framesOf(async (_input, context) => {
        await context.emitEvent("x-vendor.acme.note", body);
        await context.emitEvent("x-vendor.acme.deep.name-1", {});
        await context.emitEvent("x-vendor.acme.note", undefined);
      }),
    );
    expect(events.map(({ payload }) => [payload.kind, payload.body])).toEqual([
      ["x-vendor.acme.note", body],
      ["x-vendor.acme.deep.name-1", {}],
      ["x-vendor.acme.note", {}],
    ]);
  });

  test("is a name in a vendor's namespace: any other name is refused", async () => {
    const names = ["note", "x-vendor.acme", "x-vendor.", "vendor.acme.note", "", "constructor", 'x-vendor.a."b'];
    const events = eventsIn(
      await framesOf(async (_input, context) => {
        for (const name of names) await expect(context.emitEvent(name, {})).rejects.toThrow(InvalidRequestError);
      }),
    );
    expect(events).toEqual([]);
  });

  test("has an object for a body: anything else is refused, not dropped", async () => {
    covers("V11-8.1-01");
    const events = eventsIn(
      await framesOf(async (_input, context) => {
        for (const body of ["text", 7, true, [1, 2], new Date(0)]) {
          await expect(context.emitEvent("x-vendor.acme.note", body)).rejects.toThrow(InvalidRequestError);
        }
      }),
    );
    expect(events).toEqual([]);
  });
});

describe("an agent that emits nonsense", () => {
  const loop: Record<string, unknown> = {};
  loop["self"] = loop;
  const NONSENSE: readonly [what: string, emit: (context: JobContext) => Promise<void>][] = [
    ["a log without a message", (context) => context.emitEvent("log", { level: "info" })],
    ["a log with a number for a message", (context) => context.log("info", 7 as unknown as string)],
    ["a log with a number for a level", (context) => context.log(7 as unknown as string, "m")],
    ["a log with text for attributes", (context) => context.log("info", "m", "attributes" as never)],
    ["a thought that is no text", (context) => context.thought(undefined as unknown as string)],
    ["a thought without a text", (context) => context.emitEvent("thought", {})],
    ["a tool call without an id", (context) => context.toolCall({ tool: "grep", args: {} } as never)],
    ["a tool call of nothing", (context) => context.toolCall(null as never)],
    ["a tool result without an id", (context) => context.toolResult({ result: 1 } as never)],
    ["a tool result of nothing", (context) => context.toolResult(undefined as never)],
    [
      "a tool result that is a result and an error",
      (context) =>
        context.toolResult({ call_id: "c", result: 1, error: { code: "A", message: "", retryable: false } as never }),
    ],
    ["a tool result with a text for an error", (context) => context.toolResult({ call_id: "c", error: "e" as never })],
    ["a status without a phase", (context) => context.status(undefined as unknown as string)],
    ["a status with a number for a message", (context) => context.status("running", 3 as unknown as string)],
    ["a metric of nothing", (context) => context.metric(null as never)],
    ["an artifact without a type", (context) => context.artifactRef({ uri: "file:///a" } as never)],
    [
      "an artifact of a negative size",
      (context) => context.artifactRef({ uri: "a", content_type: "b", byte_size: -1 }),
    ],
    ["a delegation without an agent", (context) => context.delegate({ input: {} } as never)],
    ["a delegation of nothing", (context) => context.delegate(null as never)],
    ["progress in units that are no text", (context) => context.progress(1, { units: 5 as unknown as string })],
    ["progress of nothing", (context) => context.progress(1, null as never)],
    ["a body with a cycle", (context) => context.emitEvent("x-vendor.acme.note", loop)],
    ["a body with a BigInt", (context) => context.emitEvent("x-vendor.acme.note", { n: 1n })],
    ["a chunk in an unknown encoding", (context) => context.resultChunk({ ...chunk, encoding: "hex" as never })],
    ["a chunk without data", (context) => context.resultChunk({ encoding: "utf8", more: false } as never)],
    ["a chunk that is no base64", (context) => context.resultChunk({ ...chunk, encoding: "base64", data: "*" })],
    [
      "a chunk that does not say whether more follow",
      (context) => context.resultChunk({ ...chunk, more: "?" as never }),
    ],
    ["a chunk of nothing", (context) => context.emitEvent("result_chunk", null)],
  ];
  const chunk = { data: "abcd", encoding: "utf8", more: false } as const;

  test.each(NONSENSE)("is refused %s, and no event comes of it", async (_what, emit) => {
    covers("V11-8.2-01", "V11-8.2-02", "V11-8.2-03", "V11-8.2-04", "V11-8.2-06", "V11-8.2-08", "V11-8.2-09");
    const refusals: unknown[] = [];
    const frames = await framesOf(async (_input, context) => {
      await emit(context).catch((error: unknown) => refusals.push(error));
      await context.log("info", "still here");
      return "done";
    });
    expect(refusals).toEqual([expect.any(InvalidRequestError)]);
    expect(frames.map(({ type, event_seq }) => [type, event_seq])).toEqual([
      ["job.event", 1],
      ["job.result", 2],
    ]);
    expect(frames[1]?.payload.result).toBe("done");
  });
});

describe("what an agent says", () => {
  test("loses unpaired surrogates, and nothing else", async () => {
    const awkward = "\ud800 a \udfff\u0000\u2028 \\ud800 \u{1f600}\ud83d";
    const fixed = "\ufffd a \ufffd\u0000\u2028 \\ud800 \u{1f600}\ufffd";
    await using harness = startHarness({
      agents: {
        probe: async (_input, context) => {
          await context.log("info", awkward);
          await context.emitEvent("x-vendor.acme.note", { [awkward]: [awkward] });
          return { [awkward]: awkward };
        },
      },
    });
    const client = await harness.client();
    const job = await client.submit({ agent: "probe" });
    const events = await collect(job.events());
    expect(events.map(({ body }) => body)).toEqual([{ level: "info", message: fixed }, { [fixed]: [fixed] }]);
    expect((await job.done).result).toEqual({ [fixed]: fixed });
  });

  test("may use any member name that is safe to read", async () => {
    const body = { constructor: "Ferrari", prototype: { constructor: [1] }, toString: "text", hasOwnProperty: false };
    await using harness = startHarness({
      agents: {
        probe: async (_input, context) => {
          await context.emitEvent("x-vendor.acme.car", body);
          return body;
        },
      },
    });
    const job = await (await harness.client()).submit({ agent: "probe" });
    expect((await collect(job.events())).map((event) => event.body)).toEqual([body]);
    expect((await job.done).result).toEqual(body);
  });

  test("never holds a member that no client would read: the agent is told, and a job always ends", async () => {
    const body: unknown = JSON.parse('{"nested":[{"__proto__":{"isAdmin":true}}]}');
    await using harness = startHarness({
      agents: {
        probe: async (_input, context) => {
          await expect(context.emitEvent("x-vendor.acme.car", body)).rejects.toThrow(InvalidRequestError);
          await context.thought('"__proto__": as text');
          return body;
        },
      },
    });
    const job = await (await harness.client()).submit({ agent: "probe" });
    expect(await collect(job.events())).toMatchObject([{ kind: "thought", body: { text: '"__proto__": as text' } }]);
    await expect(job.done).rejects.toMatchObject({ code: "INTERNAL_ERROR" });
  });
});

describe("after the end of its job", () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  beforeEach(() => {
    unhandled.length = 0;
    process.on("unhandledRejection", onUnhandled);
  });
  afterEach(() => void process.off("unhandledRejection", onUnhandled));

  const EMITTERS: readonly [name: string, emit: (context: JobContext) => Promise<unknown>][] = [
    ["log", (context) => context.log("info", "late")],
    ["thought", (context) => context.thought("late")],
    ["status", (context) => context.status("late")],
    ["metric", (context) => context.metric({ name: "late", value: 1 })],
    ["toolCall", (context) => context.toolCall({ tool: "late", args: {}, call_id: "c" })],
    ["toolResult", (context) => context.toolResult({ call_id: "c" })],
    ["artifactRef", (context) => context.artifactRef({ uri: "late", content_type: "a" })],
    ["delegate", (context) => context.delegate({ agent: "late" })],
    ["progress", (context) => context.progress(1)],
    ["emitEvent", (context) => context.emitEvent("x-vendor.acme.late", {})],
    ["resultChunk", (context) => context.resultChunk({ data: "late", encoding: "utf8", more: false })],
    ["streamResult().write", (context) => context.streamResult().write("late")],
    ["streamResult().finalize", (context) => context.streamResult().finalize("late")],
  ];

  test.each(EMITTERS)("%s rejects with the error that the job ended with, and nothing is sent", async (_name, emit) => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { cancelGraceMs: 0 } });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("puppet")).payload;
    const { context, finish } = await puppet.next();
    client.send("job.cancel", { job_id });
    await client.end(job_id);
    await expect(emit(context)).rejects.toMatchObject({ code: "CANCELLED" });
    expect(context.signal.aborted).toBe(true);
    finish("too late");
    await client.fence();
    expect(client.ofJob(job_id).map(({ type }) => type)).toEqual(["job.error"]);
  });

  test("emitters that nobody waits for disturb nobody", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const { job_id } = (await client.submit("puppet")).payload;
    const { context, finish } = await puppet.next();
    const stream = context.streamResult();
    finish("done");
    await client.end(job_id);
    for (const [, emit] of EMITTERS) void emit(context);
    void stream.write(new Uint8Array(3));
    void context.metric({ name: "bad", value: Number.NaN });
    void context.emitEvent("result_chunk", null);
    void context.flush();
    await settle();
    expect(unhandled).toEqual([]);
    expect(client.ofJob(job_id).at(-1)?.type).toBe("job.result");
  });
});
