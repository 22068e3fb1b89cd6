/** Where `arcp serve` can be reached. */
import { resolve } from "node:path";
import { type CompressionOptions, isLoopbackHost, socketPathOf } from "@arcp/core";
import type { ARCPConfig } from "../config.ts";
import type { LoadedConfig } from "./config-file.ts";
import { UsageError } from "./exit-code.ts";

/** What the command line says about it. */
export interface EndpointOptions {
  readonly transport?: "ws" | "stdio";
  readonly stdio?: boolean;
  readonly ws?: boolean;
  readonly bind?: string;
  readonly host?: string;
  readonly port?: string;
  readonly path?: string;
  readonly unix?: string;
  readonly tlsCert?: string;
  readonly allowInsecure?: boolean;
  readonly compression?: boolean;
}

export interface WebSocketEndpoint {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Where it answers besides. */
  readonly otherPaths: readonly string[];
  readonly isEncrypted: boolean;
  readonly allowInsecure: boolean;
  readonly compression: boolean | CompressionOptions;
}

/** Standard input and output, or a listener for WebSockets, for a Unix socket, or for both. */
export type Endpoint =
  | { readonly carrier: "stdio" }
  | {
      readonly carrier: "listeners";
      readonly webSocket: WebSocketEndpoint | undefined;
      /** The path of the socket. */
      readonly unix: string | undefined;
    };

const DEFAULT_PORT = 7777;
const DEFAULT_PATH = "/arcp";
/** Clients of other SDKs ask for these. */
const USUAL_PATHS = ["/", "/ws"];

export const isStdio = ({ stdio, transport }: EndpointOptions): boolean => stdio === true || transport === "stdio";

/** Throws {@link UsageError} for what makes no sense. */
export function endpointOf(options: EndpointOptions, { config, directory }: LoadedConfig): Endpoint {
  if (isStdio(options)) {
    const other = options.ws === true || options.transport === "ws" ? "--ws" : options.unix && "--unix";
    if (other) throw new UsageError(`--stdio and ${other} exclude each other`);
    return { carrier: "stdio" };
  }
  const unix = socketPath(options.unix, process.cwd()) ?? socketPath(config.unix, directory);
  const asks = [options.ws, options.transport, options.bind, options.host, options.port, config.host, config.port];
  const isUnixAlone = unix !== undefined && asks.every((option) => option === undefined);
  return { carrier: "listeners", webSocket: isUnixAlone ? undefined : webSocketOf(options, config), unix };
}

/** A path, or `pipe:name`. */
function socketPath(place: string | undefined, directory: string): string | undefined {
  if (place === undefined) return undefined;
  return place.startsWith("pipe:") ? socketPathOf(place) : resolve(directory, place);
}

function webSocketOf(options: EndpointOptions, config: ARCPConfig): WebSocketEndpoint {
  const bind = options.bind === undefined ? {} : parseBind(options.bind);
  const port = options.port ?? bind.port ?? String(config.port ?? DEFAULT_PORT);
  const chosen = options.path ?? config.path;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new UsageError(`not a port: ${port}`);
  if (chosen?.startsWith("/") === false) throw new UsageError(`--path begins with /: ${chosen}`);
  return {
    host: options.host ?? bind.host ?? config.host ?? "127.0.0.1",
    port: Number(port),
    path: chosen ?? DEFAULT_PATH,
    otherPaths: chosen === undefined ? USUAL_PATHS : [],
    isEncrypted: options.tlsCert !== undefined || config.tls !== undefined,
    allowInsecure: options.allowInsecure ?? config.allowInsecure ?? false,
    compression: config.compression || (options.compression ?? false),
  };
}

/** `host:port`, `[::1]:port`, `:port` or `host`. */
function parseBind(text: string): { readonly host?: string; readonly port?: string } {
  const [, address, name, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
  const host = address ?? name;
  if (host === undefined) throw new UsageError(`--bind ${text}: expected host:port, e.g. 127.0.0.1:7777`);
  return { ...(host === "" ? {} : { host }), ...(port === undefined ? {} : { port }) };
}

const DEFAULT_METRICS_PORT = 9464;

/** Where `/metrics` and its like are to be; `undefined`: nowhere. */
export function metricsEndpointOf(
  asked: string | undefined,
  configured: ARCPConfig["metrics"],
): { readonly host: string; readonly port: number } | undefined {
  if (asked === undefined && configured === undefined) return undefined;
  const { host: configuredHost = "127.0.0.1", port: configuredPort = DEFAULT_METRICS_PORT } = configured ?? {};
  if (asked === undefined) return { host: configuredHost, port: configuredPort };
  const isPort = /^\d+$/.test(asked);
  const { host = configuredHost, port = String(configuredPort) } = isPort ? { port: asked } : parseBind(asked);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new UsageError(`not a port: ${port}`);
  return { host, port: Number(port) };
}

/** Beyond this machine there is no access without credentials, and no credential without encryption. */
export function checkExposure(endpoint: Endpoint, hasCredentials: boolean): void {
  const { host, isEncrypted, allowInsecure } = (endpoint.carrier === "listeners" && endpoint.webSocket) || {};
  if (host === undefined || isLoopbackHost(host)) return;
  if (!hasCredentials) {
    throw new UsageError(`refused to listen on ${host} without tokens: set ARCP_TOKEN or --token-file`);
  }
  if (!isEncrypted && !allowInsecure) {
    throw new UsageError(
      `refused to listen on ${host} without TLS: pass --tls-cert and --tls-key, or --allow-insecure behind a proxy that encrypts`,
    );
  }
}
