/** `arcp gateway` at work: a model gateway by itself. */
import { resolve } from "node:path";
import { isLoopbackHost } from "@arcp/core";
import type { ARCPConfig, GatewaySettings, SecretSource } from "../config.ts";
import { type LoadedConfig, loadConfig } from "./config-file.ts";
import { toSafeJson } from "./escape.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";
import { mountGateway } from "./gateway-settings.ts";
import { createServeLog } from "./serve-log.ts";
import { Shutdown } from "./shutdown.ts";
import { stopSignal } from "./stop-signal.ts";
import { Terminal } from "./terminal.ts";

export interface GatewayOptions {
  readonly config?: string;
  readonly masterKeyFile?: string;
  readonly keyFile?: string;
  readonly host?: string;
  readonly port?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly allowInsecure?: boolean;
  readonly logLevel?: NonNullable<ARCPConfig["logLevel"]>;
  readonly json?: boolean;
}

const DEFAULT_PORT = 4000;
const MASTER_KEY_VARIABLE = "ARCP_GATEWAY_MASTER_KEY";

/** Resolves with the exit code when the gateway has been stopped. */
export async function runGateway(options: GatewayOptions): Promise<ExitCode> {
  const loaded = await loadConfig(options.config);
  const settings = settingsOf(options, loaded);
  const { host } = settings;
  if (host !== undefined && !isLoopbackHost(host) && settings.tls === undefined && settings.allowInsecure !== true) {
    throw new UsageError(
      `refused to listen on ${host} without TLS: pass --tls-cert and --tls-key, or --allow-insecure behind a proxy that encrypts`,
    );
  }
  await using shutdown = new Shutdown();
  const { logger } = createServeLog(process.stderr, options.logLevel ?? loaded.config.logLevel ?? "info");
  const stop = stopSignal(logger);
  const { url } = await mountGateway(settings, loaded.directory, shutdown, logger);
  announce(url, settings, options.json === true);
  await stop;
  return EXIT.success;
}

/** What the command line says comes first, with paths from the working directory. */
function settingsOf(options: GatewayOptions, { config, file }: LoadedConfig): GatewaySettings {
  const { gateway } = config;
  if (gateway === undefined) {
    throw new UsageError(
      file === undefined
        ? "there is no configuration: write the upstreams and prices as `gateway` in arcp.config.ts, or pass --config"
        : `${file} has no \`gateway\`: that is where the upstreams and prices are`,
    );
  }
  const { tlsCert, tlsKey, keyFile, port } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError("--tls-cert and --tls-key go together");
  if (port !== undefined && (!/^\d{1,5}$/.test(port) || Number(port) > 65_535))
    throw new UsageError(`not a port: ${port}`);
  const path = keyFile === undefined ? gateway.admin?.keyFile : resolve(keyFile);
  return {
    ...gateway,
    port: port === undefined ? (gateway.port ?? DEFAULT_PORT) : Number(port),
    admin: { masterKey: masterKeyOf(options, gateway), ...(path === undefined ? {} : { keyFile: path }) },
    ...(options.host === undefined ? {} : { host: options.host }),
    ...(tlsCert === undefined || tlsKey === undefined ? {} : { tls: { cert: resolve(tlsCert), key: resolve(tlsKey) } }),
    ...(options.allowInsecure === true ? { allowInsecure: true } : {}),
  };
}

/** By option, then environment, then configuration. */
function masterKeyOf({ masterKeyFile }: GatewayOptions, { admin }: GatewaySettings): SecretSource {
  if (masterKeyFile !== undefined) return { file: resolve(masterKeyFile) };
  if (process.env[MASTER_KEY_VARIABLE] || admin === undefined) return { env: MASTER_KEY_VARIABLE };
  return admin.masterKey;
}

function announce(url: string, { upstreams, admin }: GatewaySettings, isJson: boolean): void {
  if (isJson) {
    process.stdout.write(`${toSafeJson({ type: "ready", url, pid: process.pid })}\n`);
    return;
  }
  const terminal = new Terminal(process.stdout);
  const lines = [
    `${terminal.style("green", "●")} ${terminal.style("bold", url)}`,
    `  upstreams  ${upstreams.map(({ baseUrl }) => baseUrl).join(", ")}`,
    `  keys       ${admin?.keyFile ?? "in memory: they die with this process"}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
