/**
 * One trace over three processes: `node examples/observability/run.ts`.
 *
 * A client submits a job to one runtime; the job delegates, and what it delegated to is handed over to another runtime,
 * where a tool is called. All three send their spans to a collector, which draws them. Exits with 1 if they are not one tree.
 */
import { withTracing } from "@arcp/middleware-otel";
import { ARCPClient, connectTransport } from "@arcp/sdk";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { inNewsroom, SECRETS } from "./newsroom.ts";
import { OtlpReceiver } from "./receiver.ts";
import { SPAN, storyBy } from "./story.ts";
import { drawTrace, pathTo } from "./tree.ts";

const FIRST_LINES = 6;

/** What an application does once, with its own exporter. */
function startTelemetry(collectorUrl: string): TracerProvider {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "client" }),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${collectorUrl}/v1/traces` }) })],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  return provider;
}

async function submit(url: string): Promise<string> {
  const client = new ARCPClient({ client: { name: "reader", version: "1.0.0" }, token: SECRETS.client });
  await client.connect(withTracing(await connectTransport(url)));
  const job = await client.submit(storyBy("courier"));
  await job.done;
  await client.close();
  return job.accepted.traceId ?? "";
}

async function main(): Promise<void> {
  await using collector = await OtlpReceiver.start();
  const telemetry = startTelemetry(collector.url);
  const [traceId, metrics] = await inNewsroom({ collectorUrl: collector.url }, async ({ url, healthUrl }) => {
    const id = await trace.getTracer("example").startActiveSpan(SPAN, async (span) => {
      try {
        return await submit(url);
      } finally {
        span.end();
      }
    });
    return [id, await (await fetch(`${healthUrl}/metrics`)).text()] as const;
  });
  await telemetry.shutdown();

  const spans = collector.spans.filter((span) => span.traceId === traceId);
  console.log(`trace ${traceId}: ${spans.length} spans\n`);
  for (const line of drawTrace(spans)) console.log(line);
  const tool = spans.find(({ name }) => name === "execute_tool search");
  const way = tool === undefined ? [] : pathTo(tool, spans);
  console.log(`\nthe way to the tool: ${way.map(({ service, name }) => `${name} (${service})`).join(" → ")}`);
  const ended = metrics.split("\n").filter((line) => line.startsWith("arcp_jobs_ended_total"));
  console.log(`\nmetrics of the newsroom:\n  ${ended.slice(0, FIRST_LINES).join("\n  ")}`);

  const services = new Set(way.map(({ service }) => service));
  if (way[0]?.name !== SPAN || services.size !== 3) throw new Error("the spans are not one tree");
  if (spans.some((span) => pathTo(span, spans)[0] !== way[0])) throw new Error("a span has lost its parent");
  if (ended.length < 2) throw new Error("the jobs were not counted");
  const told = collector.bodies.join("\n") + metrics;
  for (const secret of Object.values(SECRETS)) if (told.includes(secret)) throw new Error("a secret was told");
  if (!collector.metricNames.has("arcp.jobs.ended")) throw new Error("the metrics were not exported");
}

await main();
