import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import type { AgentHandler } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const TRACEPARENT = /^00-([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-01$/;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

/** A tool server on this machine that remembers the headers of every call. */
async function startToolServer(): Promise<
  AsyncDisposable & { readonly url: string; readonly calls: readonly IncomingHttpHeaders[] }
> {
  const calls: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    calls.push(request.headers);
    response.setHeader("connection", "close");
    response.end(JSON.stringify({ answer: 42 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    calls,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

/** Calls a tool over HTTP, and tells of it. */
const caller =
  (url: string): AgentHandler =>
  async (_input, context) => {
    await context.toolCall({ tool: "answer", args: {}, call_id: "c1" });
    const response = await fetch(url, { headers: context.traceHeaders, signal: context.signal });
    const result: unknown = await response.json();
    await context.toolResult({ call_id: "c1", result });
    return { traceId: context.traceId, result };
  };

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a submission without a trace gets one, which all of the job's messages carry", async () => {
    covers("V11-11-02");
    await using harness = startHarness({
      carrier,
      agents: {
        echo: async (input, context) => {
          await context.log("info", context.traceId ?? "");
          return input;
        },
      },
    });
    const client = await harness.rawSession();
    const traces = new Set<string>();
    for (let n = 0; n < 3; n += 1) {
      const { payload } = await client.submit("echo");
      expect(payload.trace_id).toMatch(TRACE_ID);
      traces.add(payload.trace_id);
      await client.end(payload.job_id);
      const frames = client.ofJob(payload.job_id);
      expect(frames.map(({ type, trace_id }) => [type, trace_id])).toEqual([
        ["job.event", payload.trace_id],
        ["job.result", payload.trace_id],
      ]);
      expect(frames[0]?.payload.body.message).toBe(payload.trace_id);
    }
    expect(traces.size).toBe(3);
    expect((await client.listJobs()).map(({ trace_id }) => trace_id)).toEqual([...traces]);
  });

  test("a trace that was given is kept, for observers too", async () => {
    covers("V11-11-03");
    await using harness = startHarness({ carrier, agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const accepted = await client.submit("echo", null, {}, { trace_id: TRACE });
    const { job_id } = accepted.payload;
    expect([accepted.payload.trace_id, accepted.trace_id]).toEqual([TRACE, TRACE]);
    expect((await client.end(job_id)).trace_id).toBe(TRACE);
    expect(await client.listJobs()).toMatchObject([{ job_id, trace_id: TRACE }]);
    const observer = await harness.rawSession();
    const subscribed = await observer.ask("job.subscribe", { job_id, history: true });
    expect(subscribed.payload.trace_id).toBe(TRACE);
    expect((await observer.end(job_id)).trace_id).toBe(TRACE);
  });
});

describe("a trace on a submission", () => {
  test.each<[string, object, string]>([
    ["32 characters", { trace_id: TRACE }, TRACE],
    ["upper case", { trace_id: TRACE.toUpperCase() }, TRACE],
    ["a whole traceparent", { trace_id: `00-${TRACE}-${SPAN}-01` }, TRACE],
    ["a traceparent beside the id", { trace_id: TRACE, traceparent: `00-${TRACE}-${SPAN}-01` }, TRACE],
    ["a traceparent alone", { traceparent: `00-${TRACE}-${SPAN}-01` }, TRACE],
    ["a traceparent of another trace", { trace_id: TRACE, traceparent: `00-${"9".repeat(32)}-${SPAN}-01` }, TRACE],
  ])("is understood as %s", async (_what, members, expected) => {
    covers("V11-11-03");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const { payload } = await client.submit("echo", null, {}, members);
    expect(payload.trace_id).toBe(expected);
    expect((await client.end(payload.job_id)).trace_id).toBe(expected);
  });

  test.each<[string, unknown]>([
    ["all zeros", "0".repeat(32)],
    ["too short", "abc"],
    ["not hexadecimal", "g".repeat(32)],
    ["empty", ""],
    ["a number", 7],
    ["null", null],
    ["an object", {}],
  ])("that is %s is replaced by a new one, and fails nothing", async (_what, trace_id) => {
    covers("V11-11-02");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession();
    const { type, payload } = await client.submit("echo", null, {}, { trace_id });
    expect(type).toBe("job.accepted");
    expect(payload.trace_id).toMatch(TRACE_ID);
    expect((await client.end(payload.job_id)).trace_id).toBe(payload.trace_id);
  });
});

describe("the trace context reaches a tool server", () => {
  test("as a traceparent with the job's trace", async () => {
    covers("V11-11-04");
    await using tools = await startToolServer();
    await using harness = startHarness({ agents: { caller: caller(tools.url) } });
    const client = await harness.client();
    const given = await client.submit({ agent: "caller", traceId: TRACE });
    expect((await given.done).result).toEqual({ traceId: TRACE, result: { answer: 42 } });
    const made = await client.submit({ agent: "caller" });
    await made.done;
    const seen = tools.calls.map(({ traceparent }) => TRACEPARENT.exec(String(traceparent))?.[1]);
    expect(seen).toEqual([TRACE, made.accepted.traceId]);
    expect(tools.calls[0]).not.toHaveProperty("tracestate");
  });

  test("with the caller's span and state, if the submission had them", async () => {
    covers("V11-11-04");
    await using tools = await startToolServer();
    await using harness = startHarness({ agents: { caller: caller(tools.url) } });
    const client = await harness.rawSession();
    const traced = { trace_id: TRACE, traceparent: `00-${TRACE}-${SPAN}-01`, tracestate: "acme=1,other=2" };
    await client.end((await client.submit("caller", null, {}, traced)).payload.job_id);
    // A header must not be made of what is none.
    const forged = { ...traced, tracestate: "acme=1\r\nx-forged: 1" };
    const forgedEnd = await client.end((await client.submit("caller", null, {}, forged)).payload.job_id);
    expect(forgedEnd.type).toBe("job.result");
    expect(tools.calls.map(({ traceparent, tracestate }) => [traceparent, tracestate])).toEqual([
      [`00-${TRACE}-${SPAN}-01`, "acme=1,other=2"],
      [`00-${TRACE}-${SPAN}-01`, undefined],
    ]);
    expect(tools.calls[1]).not.toHaveProperty("x-forged");
  });
});
