/** A page with the tracer of OpenTelemetry, whose job belongs to its trace. */
import { ARCPClient } from "@arcp/client";
import { connectTransport } from "@arcp/core";
import { withTracing } from "@arcp/middleware-otel";
import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, StackContextManager, TracerProvider } from "@opentelemetry/sdk-trace";
import { SPAN, storyBy } from "../story.ts";

interface Settings {
  readonly runtimeUrl: string;
  readonly collectorUrl: string;
  readonly token: string;
  readonly reporter: "courier" | "researcher";
}

function startTelemetry(collectorUrl: string): TracerProvider {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "browser" }),
    spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${collectorUrl}/v1/traces` }) })],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new StackContextManager().enable());
  return provider;
}

async function read({ runtimeUrl, token, reporter }: Settings): Promise<string> {
  const span = trace.getTracer("example").startSpan(SPAN);
  // In pages a context lasts until the first `await`: each call is made within the span.
  const within = <Value>(act: () => Value): Value => context.with(trace.setSpan(context.active(), span), act);
  try {
    const client = await within(() =>
      ARCPClient.connect(async (signal) => withTracing(await connectTransport(runtimeUrl, { signal })), { token }),
    );
    const job = await within(() => client.submit(storyBy(reporter)));
    const { result } = await job.done;
    await within(() => client.close());
    return (result as { readonly text: string }).text;
  } finally {
    span.end();
  }
}

const settings = (await (await fetch("/settings")).json()) as Settings;
const telemetry = startTelemetry(settings.collectorUrl);
const story = document.getElementById("story") as HTMLElement;
document.getElementById("read")?.addEventListener("click", async () => {
  try {
    const text = await read(settings);
    await telemetry.forceFlush();
    story.textContent = text;
  } catch (error) {
    story.textContent = `There is no news: ${String(error)}`;
  }
});
