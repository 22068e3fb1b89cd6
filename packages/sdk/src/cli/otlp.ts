/** Spans, metrics and logs of `arcp serve` through OTLP, where an endpoint is configured. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Instruments, Transport } from "@arcp/core";
import type { OtlpSettings } from "../config.ts";
import { UsageError } from "./exit-code.ts";
import type { ServeLog } from "./serve-log.ts";
import type { Shutdown } from "./shutdown.ts";

export interface OtlpOptions {
  readonly settings: OtlpSettings | undefined;
  /** What the resource is called unless `OTEL_SERVICE_NAME` says. */
  readonly service: { readonly name: string; readonly version: string };
  readonly log: ServeLog;
}

/** What is told to the endpoint. */
export interface Otlp {
  readonly instruments: Instruments;
  /** The transport with a span for each frame. */
  traced(transport: Transport): Transport;
}

const SIGNALS = ["TRACES", "METRICS", "LOGS"] as const;
const EXPORT_INTERVAL_MS = 60_000;
/** How long the end of the process waits for a collector. */
const FLUSH_MS = 3_000;

/**
 * Registers an SDK that exports to the endpoint, and returns what measures and traces for it; `undefined` without an
 * endpoint. The packages of the SDK are loaded only then. A provider of spans that the application has registered stays.
 */
export async function openOtlp({ settings, service, log }: OtlpOptions, shutdown: Shutdown): Promise<Otlp | undefined> {
  const { env } = process;
  const named = SIGNALS.some((signal) => env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]);
  const endpoint = settings?.endpoint;
  const isAsked = endpoint !== undefined || named || env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  if (!isAsked || env["OTEL_SDK_DISABLED"] === "true") return undefined;
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint)) throw new UsageError("otlp.endpoint: expected a URL");

  const [
    { logWriter, meterInstruments, withTracing },
    api,
    contexts,
    resources,
    traces,
    metrics,
    traceExporter,
    metricExporter,
    logs,
    logExporter,
  ] = await Promise.all([
    import("@arcp/middleware-otel"),
    import("@opentelemetry/api"),
    import("@opentelemetry/context-async-hooks"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/sdk-metrics"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/exporter-metrics-otlp-http"),
    import("@opentelemetry/sdk-logs"),
    import("@opentelemetry/exporter-logs-otlp-http"),
  ]);
  const resource = resources
    .resourceFromAttributes({ "service.name": service.name, "service.version": service.version })
    .merge(resources.detectResources({ detectors: [resources.envDetector, resources.serviceNameEnvDetector] }));
  const urlOf = (signal: "traces" | "metrics" | "logs"): { readonly url?: string } =>
    endpoint === undefined ? {} : { url: `${endpoint.replace(/\/+$/, "")}/v1/${signal}` };

  const exporter = new traceExporter.OTLPTraceExporter(urlOf("traces"));
  const spans = new traces.TracerProvider({
    resource,
    spanProcessors: [new traces.BatchSpanProcessor({ exporter })],
  });
  if (api.trace.setGlobalTracerProvider(spans)) {
    api.context.setGlobalContextManager(new contexts.AsyncLocalStorageContextManager().enable());
  }
  const meters = new metrics.MeterProvider({
    resource,
    readers: [
      new metrics.PeriodicExportingMetricReader({
        exporter: new metricExporter.OTLPMetricExporter(urlOf("metrics")),
        exportIntervalMillis: Number(env["OTEL_METRIC_EXPORT_INTERVAL"]) || EXPORT_INTERVAL_MS,
      }),
    ],
  });
  const records = new logs.LoggerProvider({
    resource,
    processors: [new logs.BatchLogRecordProcessor({ exporter: new logExporter.OTLPLogExporter(urlOf("logs")) })],
  });
  if (settings?.logs !== false && env["OTEL_LOGS_EXPORTER"] !== "none") {
    log.tee(logWriter(records.getLogger("@arcp/runtime", service.version)));
  }
  // What is left is sent before the process ends. That nobody takes it is no reason to fail, or to stay.
  shutdown.defer(async () => {
    const late = sleep(FLUSH_MS, undefined, { ref: false });
    const outcomes = await Promise.race([
      Promise.allSettled([spans, meters, records].map((provider) => provider.shutdown())),
      late,
    ]);
    const failed = outcomes?.find(({ status }) => status === "rejected");
    if (outcomes === undefined || failed !== undefined) {
      const err = failed?.status === "rejected" ? failed.reason : undefined;
      log.logger.warn({ ...(err !== undefined && { err }) }, "the last spans, metrics and logs could not be sent");
    }
  });
  return {
    instruments: meterInstruments(meters.getMeter("@arcp/runtime", service.version)),
    traced: (transport) => withTracing(transport),
  };
}
