import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

beforeEach(() => exporter.reset());
afterAll(async () => {
  trace.disable();
  context.disable();
  propagation.disable();
  await provider.shutdown();
});

const spansNamed = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);

describe("with an OpenTelemetry SDK registered", () => {
  test("a submission carries the trace of the caller's active span, and the job's span lies below it", async () => {
    covers("V11-11-01", "V11-11-03", "V11-11-05");
    let headers: Readonly<Record<string, string>> = {};
    await using harness = startHarness({
      agents: {
        probe: (_input, { traceHeaders }) => {
          headers = traceHeaders;
        },
      },
    });
    const client = await harness.client();
    const caller = trace.getTracer("test").startSpan("caller");
    const job = await context.with(trace.setSpan(context.active(), caller), () => client.submit({ agent: "probe" }));
    await job.done;
    caller.end();

    const [span] = spansNamed("arcp.job");
    expect(job.accepted.traceId).toBe(caller.spanContext().traceId);
    expect(span?.spanContext().traceId).toBe(caller.spanContext().traceId);
    expect(span?.parentSpanContext?.spanId).toBe(caller.spanContext().spanId);
    expect(headers["traceparent"]).toBe(`00-${caller.spanContext().traceId}-${span?.spanContext().spanId}-01`);
  });

  test("spans of sessions and jobs say what ran and under which bounds", async () => {
    covers("V11-11-05", "V11-11-06", "V11-11-07");
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    {
      await using harness = startHarness({
        agents: {
          spender: async (_input, agent) => {
            await agent.metric({ name: "cost.inference", value: 1.25, unit: "USD" });
            trace.getTracer("test").startSpan("inside").end();
          },
        },
      });
      const client = await harness.client();
      const job = await client.submit({
        agent: "spender",
        leaseRequest: { "fs.read": ["/data/**"], "cost.budget": ["USD:5.00"] },
        leaseConstraints: { expiresAt },
      });
      await job.done;
      const [span] = spansNamed("arcp.job");
      expect(span?.attributes).toMatchObject({
        "arcp.session_id": client.session?.sessionId,
        "arcp.job_id": job.jobId,
        "arcp.agent": "spender@0.0.0",
        "arcp.lease.capabilities": ["fs.read", "cost.budget"],
        "arcp.lease.expires_at": expiresAt,
        "arcp.budget.remaining": ["USD:3.75"],
        "arcp.job.status": "success",
      });
      expect(spansNamed("inside")[0]?.parentSpanContext?.spanId).toBe(span?.spanContext().spanId);
      await client.close();
    }
    expect(spansNamed("arcp.session")).toHaveLength(1);
  });

  test("no token, input or principal is put into a span", async () => {
    covers("V11-14-05", "V11-14-06");
    {
      await using harness = startHarness({ agents: { fail: () => Promise.reject(new Error("canary-error")) } });
      const client = await harness.client({ token: "bob" });
      const job = await client.submit({ agent: "fail", input: { secret: "canary-input" } });
      await expect(job.done).rejects.toThrow();
      await client.close();
    }
    const printed = JSON.stringify(
      exporter.getFinishedSpans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
    );
    expect(printed).toContain("arcp.job");
    for (const secret of ["canary", "bob", "rt_"]) expect(printed).not.toContain(secret);
  });
});
