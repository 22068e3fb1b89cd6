import { createLogger } from "@arcp/core";
import { context, trace } from "@opentelemetry/api";
import { expect, test } from "vitest";
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
