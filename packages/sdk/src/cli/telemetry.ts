/** What `arcp serve` tells those who watch over it: metrics, health, and what goes out through OTLP. */
import { type Instruments, joinedInstruments, type Transport } from "@arcp/core";
import { type ARCPServer, MetricsRegistry } from "@arcp/runtime";
import type { LoadedConfig } from "./config-file.ts";
import { metricsEndpointOf } from "./endpoint.ts";
import { startHealthServer } from "./health-server.ts";
import { openOtlp } from "./otlp.ts";
import { readSecret } from "./secrets.ts";
import type { ServeLog } from "./serve-log.ts";
import type { Shutdown } from "./shutdown.ts";

export interface Telemetry {
  /** For the runtime; `undefined` if nobody is told. */
  readonly instruments: Instruments | undefined;
  /** Where `/metrics` and its like are; `undefined`: nowhere. */
  readonly url: string | undefined;
  /** The transport, with a span for each frame where spans go anywhere. */
  traced(transport: Transport): Transport;
  /** The runtime is there: it can be ready from now on. */
  watch(server: ARCPServer): void;
}

/** Opens what was asked for. It is closed after what is deferred later, so that the end of the runtime is seen. */
export async function openTelemetry(
  options: { readonly metrics?: string },
  { config, directory }: LoadedConfig,
  { service, log }: { readonly service: { readonly name: string; readonly version: string }; readonly log: ServeLog },
  shutdown: Shutdown,
): Promise<Telemetry> {
  const exported = await openOtlp({ settings: config.otlp, service, log }, shutdown);
  const endpoint = metricsEndpointOf(options.metrics, config.metrics);
  let watched: ARCPServer | undefined;
  const watch = (server: ARCPServer): void => {
    watched = server;
  };
  const traced = (transport: Transport): Transport => exported?.traced(transport) ?? transport;
  if (endpoint === undefined) return { instruments: exported?.instruments, url: undefined, traced, watch };
  const registry = new MetricsRegistry();
  const token = config.metrics?.token;
  const health = await startHealthServer({
    ...{ ...endpoint, metrics: registry },
    token:
      token === undefined ? process.env["ARCP_METRICS_TOKEN"] : await readSecret(token, "metrics.token", directory),
    unreadiness: async () => (watched === undefined ? "starting" : watched.unreadiness()),
  });
  shutdown.defer(() => health.close());
  const instruments = exported === undefined ? registry : joinedInstruments(registry, exported.instruments);
  return { instruments, url: health.url, traced, watch };
}
