import { createLogger } from "@arcp/core";
import { type EmittedLog, logWriter } from "@arcp/middleware-otel";
import { context, trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { Recording } from "./recording.ts";

test("a log of a job names its trace and the span that it was written in", async () => {
  await using recording = new Recording();
  const lines: Record<string, unknown>[] = [];
  let inner = "";
  {
    await using harness = startHarness({
      server: { logger: createLogger((line) => lines.push(JSON.parse(line))) },
      agents: {
        talker: async (_input, { logger, jobId }) => {
          logger.info({ step: 1 }, "in the job");
          const child = logger.child({ part: "search" });
          await trace.getTracer("test").startActiveSpan("inner", async (span) => {
            inner = span.spanContext().spanId;
            child.warn({}, "in a span");
            span.end();
          });
          context.with(context.active(), () => logger.error({ authorization: "canary", jobId }, "in the job again"));
        },
      },
    });
    const client = await harness.client();
    const job = await client.submit({ agent: "talker" });
    await job.done;
    const [span] = recording.named("arcp.job");
    const { traceId, spanId } = span?.spanContext() ?? {};
    const of = (msg: string) => lines.find((line) => line["msg"] === msg);
    expect(of("in the job")).toMatchObject({ jobId: job.jobId, traceId, spanId, step: 1 });
    expect(of("in a span")).toMatchObject({ jobId: job.jobId, traceId, spanId: inner, part: "search" });
    expect(JSON.stringify(lines)).not.toContain("canary");
  }
});

describe("a line of a log", () => {
  const recorded = (line: string): EmittedLog[] => {
    const records: EmittedLog[] = [];
    logWriter({ emit: (record) => void records.push(record) })(line);
    return records;
  };

  test("is a record with its time, its severity and its span", () => {
    const [traceId, spanId] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    const line = { level: "error", time: "2026-01-01T00:00:00.000Z", jobId: "job_1", traceId, spanId, n: 1, msg: "oh" };
    const [record] = recorded(JSON.stringify({ ...line, list: [1], none: null, err: { name: "E", message: "m" } }));
    expect(record).toMatchObject({
      ...{ timestamp: Date.UTC(2026, 0, 1), severityNumber: 17, severityText: "ERROR", body: "oh" },
      attributes: { "arcp.job_id": "job_1", n: 1, list: "[1]", "exception.type": "E", "exception.message": "m" },
    });
    expect(record && trace.getSpanContext(record.context)).toMatchObject({ traceId, spanId });
  });

  test("that names a trace alone has it as an attribute, whatever span is active", () => {
    const [record] = recorded('{"level":"info","traceId":"t","msg":"x","long":"'.concat("y".repeat(10_000), '"}'));
    expect(record?.attributes).toMatchObject({ trace_id: "t", long: "y".repeat(8_192) });
    expect(record && trace.getSpanContext(record.context)).toBeUndefined();
  });

  test("that is none is left out", () => {
    for (const line of ["", "x", "null", "7"]) expect(recorded(line)).toEqual([]);
    expect(recorded("{}")).toMatchObject([{ body: "", severityNumber: 0, attributes: {} }]);
  });
});
