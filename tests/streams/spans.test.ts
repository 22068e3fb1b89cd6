import type { JobContext } from "@arcp/runtime";
import { context as otelContext, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterEach, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import type { Frame10, RawClient10 } from "../support/raw-client-10.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER = "00f067aa0ba902b7";

interface Told {
  readonly frame: Frame10;
  readonly payload: {
    readonly trace_id: string;
    readonly span_id: string;
    readonly parent_span_id?: string;
    readonly name: string;
    readonly start_time: string;
    readonly end_time: string;
    readonly status: string;
    readonly attributes: Readonly<Record<string, unknown>>;
  };
}

const spansOf = (client: RawClient10): ReadonlyMap<string, Told> =>
  new Map(client.ofType("trace.span").map((frame) => [frame.payload.name, { frame, payload: frame.payload }]));

async function told(act: (context: JobContext, clock: ManualClock) => unknown) {
  const clock = new ManualClock();
  await using harness = startHarness({
    agents: { agent: (_input, context) => act(context, clock) },
    server: { clock },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("agent", {}, {}, { trace_id: TRACE });
  const end = await client.ending(job_id);
  return { client, end, spans: spansOf(client), frames: client.ofJob(job_id) };
}

describe("the spans of a job", () => {
  test("are a tree without missing parents, whose root is the job", async () => {
    covers("V10-17.1-01", "V10-17.1-03");
    const { client, spans, end } = await told(async (context, clock) => {
      const result = await context.span("plan", { model: "m", depth: 2 }, async () => {
        clock.advance(10);
        await Promise.all([
          context.span("search", {}, () => clock.advance(5)),
          context.span("read", {}, async () => {
            await context.span("parse", {}, () => clock.advance(1));
          }),
        ]);
        return "planned";
      });
      await context.span("act", {}, () => context.log("info", result));
    });
    expect(end.type).toBe("tool.result");
    expect([...spans.keys()]).toEqual(["search", "parse", "read", "plan", "act", "arcp.job"]);
    const idOf = (name: string): string | undefined => spans.get(name)?.payload.span_id;
    const parentOf = (name: string): string | undefined => spans.get(name)?.payload.parent_span_id;
    expect(["search", "read", "parse", "plan", "act"].map(parentOf)).toEqual(
      ["plan", "plan", "read", "arcp.job", "arcp.job"].map(idOf),
    );
    const { payload, frame } = spans.get("arcp.job") as Told;
    expect(payload).not.toHaveProperty("parent_span_id");
    // Every message of the job names the span that is the root.
    expect(new Set(client.ofJob(end.job_id).map(({ span_id }) => span_id))).toEqual(new Set([payload.span_id]));
    expect(client.frames.indexOf(frame)).toBeLessThan(client.frames.indexOf(end));
    for (const { payload: span } of spans.values()) {
      expect(span.trace_id).toBe(TRACE);
      expect(span.span_id).toMatch(/^[0-9a-f]{16}$/);
    }
    expect(new Set([...spans.values()].map(({ payload: { span_id } }) => span_id)).size).toBe(spans.size);
    expect(spans.get("plan")?.payload).toMatchObject({
      status: "ok",
      attributes: { model: "m", depth: 2 },
      start_time: "2026-01-01T00:00:00.000Z",
      end_time: "2026-01-01T00:00:00.016Z",
    });
    expect(payload.attributes).toMatchObject({ "arcp.agent": "agent@0.0.0", "arcp.job.status": "success" });
  });

  test("say what failed, and pass it on", async () => {
    const { spans, end } = await told(async (context) => {
      await expect(context.span("caught", {}, () => Promise.reject(new TypeError("no")))).rejects.toThrow("no");
      await context.span("thrown", { at: 1 }, () => {
        throw Object.assign(new Error("broken"), { code: "E_BROKEN" });
      });
    });
    expect(end.type).toBe("tool.error");
    expect(spans.get("caught")?.payload).toMatchObject({ status: "error", attributes: { "error.type": "TypeError" } });
    expect(spans.get("thrown")?.payload).toMatchObject({
      status: "error",
      attributes: { at: 1, "error.type": "E_BROKEN" },
    });
    expect(spans.get("arcp.job")?.payload).toMatchObject({
      status: "error",
      attributes: { "arcp.job.status": "error", "error.type": "INTERNAL_ERROR" },
    });
  });

  test("lie below the caller's, and those of a job that it delegated to below its own", async () => {
    covers("V10-17.1-03");
    await using harness = startHarness({
      agents: {
        agent: async (_input, context) => {
          await context.span("ask", {}, async () => {
            await context.delegate({ delegate_id: "d1", agent: "helper", input: null, lease_request: {} }).done;
          });
        },
        helper: (_input, context) => context.span("help", {}, () => {}),
      },
    });
    const client = await harness.rawSession10();
    const members = { trace_id: TRACE, span_id: CALLER };
    const { job_id } = await client.invoke("agent", {}, { lease_request: { "agent.delegate": ["helper"] } }, members);
    expect(await client.ending(job_id)).toMatchObject({ type: "tool.result" });
    const [help, child, ask, root] = client.ofType("trace.span");
    const names = [help, child, ask, root].map((frame) => frame?.payload.name);
    expect(names).toEqual(["help", "arcp.job", "ask", "arcp.job"]);
    expect(root).toMatchObject({ job_id, payload: { parent_span_id: CALLER } });
    expect(child?.payload).toMatchObject({ parent_span_id: root?.payload.span_id, trace_id: TRACE });
    expect(help?.payload).toMatchObject({ parent_span_id: child?.payload.span_id, trace_id: TRACE });
  });

  test.each([
    ["", {}],
    [3, {}],
    ["name", null],
    ["name", [1]],
    ["name", { self: 1n }],
  ])("are not begun with the name %j and attributes that cannot be told", async (name, attributes) => {
    let isCalled = false;
    const { end, spans } = await told(async (context) => {
      const span = context.span(name as string, attributes as never, () => {
        isCalled = true;
      });
      await expect(span).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    });
    expect(end.type).toBe("tool.result");
    expect(isCalled).toBe(false);
    expect([...spans.keys()]).toEqual(["arcp.job"]);
  });

  test("are no event of wire 1.1, where nothing is measured that was not asked for", async () => {
    await using harness = startHarness({
      agents: { agent: (_input, context) => context.span("plan", {}, () => "done") },
    });
    const draft = await harness.rawSession();
    const { job_id } = (await draft.submit("agent")).payload;
    await draft.end(job_id);
    expect(draft.numbered.map(({ event_seq, type }) => [event_seq, type])).toEqual([[1, "job.result"]]);
  });
});

describe("with an OpenTelemetry SDK registered", () => {
  const exporter = new InMemorySpanExporter();
  afterEach(() => {
    trace.disable();
    otelContext.disable();
  });

  test("spans of agents are its spans, with the same ids", async () => {
    covers("V10-17.1-03");
    trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }));
    otelContext.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const { spans } = await told(async (context) => {
      await context.span("plan", { model: "m", skipped: { deep: true } }, () =>
        context.span("search", {}, () => {
          trace.getTracer("test").startSpan("inside").end();
        }),
      );
      await expect(context.span("fail", {}, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    });
    const finished = new Map(exporter.getFinishedSpans().map((span) => [span.name, span]));
    const parentOf = (name: string): string | undefined => finished.get(name)?.parentSpanContext?.spanId;
    const idOf = (name: string): string | undefined => finished.get(name)?.spanContext().spanId;
    expect(["inside", "search", "plan"].map(parentOf)).toEqual(["search", "plan", "arcp.job"].map(idOf));
    expect(["plan", "search"].map(idOf)).toEqual(["plan", "search"].map((name) => spans.get(name)?.payload.span_id));
    expect(finished.get("plan")?.attributes).toEqual({ model: "m" });
    expect(finished.get("fail")?.status).toMatchObject({ message: "Error" });
  });
});
