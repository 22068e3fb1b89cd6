/**
 * One trace over three processes: `node examples/observability/run.ts`.
 *
 * A client submits a job to one runtime; the job delegates, and what it delegated to is handed over to another runtime,
 * where a tool is called. All three send their spans to a collector, which draws them. Exits with 1 if they are not one tree.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { withTracing } from "@arcp/middleware-otel";
import { ARCPClient, connectTransport } from "@arcp/sdk";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { OtlpReceiver } from "./receiver.ts";
import { RuntimeProcess } from "./runtime-process.ts";
import { drawTrace, pathTo } from "./tree.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const SECRETS = { client: "the-clients-token", peer: "the-newsrooms-token" };
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
  const job = await client.submit({
    agent: "editor",
    input: { topic: "lighthouses" },
    leaseRequest: {
      ...{ "agent.delegate": ["courier", "researcher"], "tool.call": ["search"] },
      ...{ "model.use": ["small"], "cost.budget": ["USD:1.00"] },
    },
  });
  await job.done;
  await client.close();
  return job.accepted.traceId ?? "";
}

async function main(directory: string): Promise<void> {
  const config = async (name: string, settings: object): Promise<string> => {
    const file = join(directory, `${name}.json`);
    await writeFile(file, JSON.stringify({ port: 0, db: ":memory:", logLevel: "warn", ...settings }), { mode: 0o600 });
    return file;
  };
  await using collector = await OtlpReceiver.start();
  const telemetry = startTelemetry(collector.url);
  let traceId = "";
  let metrics = "";
  {
    await using archive = await RuntimeProcess.start({
      ...{ service: "archive", collectorUrl: collector.url },
      config: await config("archive", {
        ...{ agents: { researcher: here("researcher.ts") }, tools: { search: here("search.ts") } },
        tokens: { [SECRETS.peer]: "newsroom" },
      }),
    });
    const { url, fingerprint } = archive.ready;
    await using newsroom = await RuntimeProcess.start({
      ...{ service: "newsroom", collectorUrl: collector.url, env: { PEER_TOKEN: SECRETS.peer } },
      config: await config("newsroom", {
        agents: { editor: here("editor.ts"), courier: here("courier.ts") },
        tokens: { [SECRETS.client]: "reader" },
        peers: { archive: { url, fingerprint, token: { env: "PEER_TOKEN" } } },
      }),
    });
    traceId = await trace.getTracer("example").startActiveSpan("read the news", async (span) => {
      try {
        return await submit(newsroom.ready.url);
      } finally {
        span.end();
      }
    });
    metrics = await (await fetch(`${newsroom.ready.healthUrl}/metrics`)).text();
  }
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
  if (way[0]?.name !== "read the news" || services.size !== 3) throw new Error("the spans are not one tree");
  if (spans.some((span) => pathTo(span, spans)[0] !== way[0])) throw new Error("a span has lost its parent");
  if (ended.length < 2) throw new Error("the jobs were not counted");
  const told = collector.bodies.join("\n") + metrics;
  for (const secret of Object.values(SECRETS)) if (told.includes(secret)) throw new Error("a secret was told");
  if (!collector.metricNames.has("arcp.jobs.ended")) throw new Error("the metrics were not exported");
}

const directory = await mkdtemp(join(tmpdir(), "arcp-observability-"));
try {
  await main(directory);
} finally {
  await rm(directory, { recursive: true, force: true });
}
