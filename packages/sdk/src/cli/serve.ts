/** `arcp serve` at work: from the options to a runtime that listens, and back down in order. */
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import {
  type Logger,
  StdioTransport,
  socketUrlOf,
  startSocketServer,
  startWebSocketServer,
  type Transport,
  type WebSocketTlsOptions,
} from "@arcp/core";
import type { SignIn } from "@arcp/dashboard";
import { ARCPServer, type ARCPServerOptions, isShared, type ShutdownReport } from "@arcp/runtime";
import type { ARCPConfig } from "../config.ts";
import {
  admissionOf,
  type CredentialOptions,
  type Credentials,
  hasCredentials,
  readCredentials,
  takesTokens,
  warnOfOpenAccess,
} from "./admission.ts";
import { containAgentFaults } from "./agent-faults.ts";
import { BUILT_IN, loadAgent, parseAgentOption, type ServedAgent } from "./agent-modules.ts";
import { announce } from "./announcement.ts";
import { loadTools, openProvisioning } from "./authority.ts";
import { openSignIn } from "./browser-sign-in.ts";
import { type LoadedConfig, loadConfig } from "./config-file.ts";
import { openData } from "./data.ts";
import { databaseError, shownDatabase } from "./database.ts";
import {
  checkExposure,
  type Endpoint,
  type EndpointOptions,
  endpointOf,
  isStdio,
  type WebSocketEndpoint,
} from "./endpoint.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";
import { type HttpDoors, openHttpDoors } from "./http-doors.ts";
import { type NodeOptions, nodeSettings } from "./node-settings.ts";
import { openPeers } from "./peers.ts";
import { portInUse } from "./port-in-use.ts";
import { isPostgres, postgresError } from "./postgres.ts";
import { createServeLog } from "./serve-log.ts";
import { Shutdown } from "./shutdown.ts";
import { takeStandardOutput } from "./standard-output.ts";
import { stopSignal } from "./stop-signal.ts";
import { openTelemetry } from "./telemetry.ts";
import { proxyRules } from "./tls-proxy.ts";
import { version } from "./version.ts";
import { readWebhooks, type WebhookCommandOptions } from "./webhooks.ts";

export interface ServeOptions extends EndpointOptions, CredentialOptions, NodeOptions, WebhookCommandOptions {
  readonly config?: string;
  readonly agent?: readonly string[];
  readonly db?: string;
  readonly sync?: "full" | "normal";
  readonly tlsKey?: string;
  /** `--no-http`: false. */
  readonly http?: boolean;
  /** `--no-dashboard`: false. */
  readonly dashboard?: boolean;
  /** Seconds. */
  readonly drain?: number;
  readonly logLevel?: NonNullable<ARCPConfig["logLevel"]>;
  readonly json?: boolean;
  readonly metrics?: string;
}

type Accept = (transport: Transport) => Promise<unknown>;

const MS_PER_SECOND = 1000;
const DRAIN_SECONDS = 5;
/** Jobs of one sort that the log names when the server stops. */
const NAMED_JOBS = 100;

/** Resolves with the exit code when the server has been stopped. */
export async function serve(options: ServeOptions): Promise<ExitCode> {
  // Before any agent is loaded: what it prints must not get between the messages.
  const output = isStdio(options) ? takeStandardOutput() : process.stdout;
  const loaded = await loadConfig(options.config);
  const { config } = loaded;
  const agents = await loadAgents(options, loaded);
  const tools = await loadTools(loaded);
  const endpoint = endpointOf(options, loaded);
  const credentials = await readCredentials(options, loaded);
  checkExposure(endpoint, hasCredentials(credentials));
  const tls = await readTls(options, loaded, credentials);
  const webhooks = await readWebhooks(options, loaded);
  const runtime = config.runtime ?? { name: "arcp", version };
  const handoff = await openPeers(loaded, runtime);

  await using shutdown = new Shutdown();
  const log = createServeLog(process.stderr, options.logLevel ?? config.logLevel ?? "info");
  const { logger } = log;
  shutdown.defer(containAgentFaults(logger));
  const { database, store, blobs, fingerprint } = await openData(options, loaded, shutdown);
  const node = nodeSettings(options, config, isShared(store));
  // Before the runtime: credentials that it issues are of use, and can be revoked until it has closed.
  const provisioning = await openProvisioning(loaded, store, shutdown, logger);
  const drain = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {
    // It may come before anybody waits, or when everything is over.
  });
  const isHttpServed = (options.http ?? true) && (config.http ?? true);
  const hasDashboard =
    endpoint.carrier === "listeners" &&
    endpoint.webSocket !== undefined &&
    isHttpServed &&
    (options.dashboard ?? true) &&
    (config.dashboard ?? true);
  const signIn = signInOf(credentials, endpoint, hasDashboard, logger);
  const admission = await admissionOf(credentials, endpoint, options.ws === true, signIn);
  if (admission.isOpen) warnOfOpenAccess();
  const telemetry = await openTelemetry(options, loaded, { service: runtime, log }, shutdown);
  const server = new ARCPServer({
    ...settingsOf(config),
    runtime,
    ...(handoff === undefined ? {} : { handoff }),
    capabilities: { encodings: ["json"], agents: [] },
    bearer: admission.bearer,
    authSchemes: credentials.schemes,
    bindTokensToCertificates: credentials.bindTokensToCertificates,
    ...(admission.anonymousPrincipal === undefined ? {} : { anonymousPrincipal: admission.anonymousPrincipal }),
    cancelAuthority: config.cancelAuthority ?? "principal",
    credentialProvisioners: provisioning.provisioners,
    eventLog: store,
    ...(blobs === undefined ? {} : { blobs }),
    ...(node === undefined ? {} : { node }),
    ...(webhooks === undefined ? {} : { webhooks }),
    onDrain: () => drain.resolve(),
    // A load balancer would go on sending clients to a runtime that turns them away.
    onStoreFailure: (error) => failure.reject(failureOf(database, error)),
    fingerprint,
    logger,
    ...(telemetry.instruments === undefined ? {} : { metrics: telemetry.instruments }),
  });
  shutdown.defer(async () => void (await server.close()));
  for (const [name, tool] of tools) server.registerTool(name, tool);
  for (const { reference, handler, options: terms } of agents) server.registerAgent(reference, handler, terms);

  if (isShared(store)) {
    await server.ready.catch((cause) => {
      throw failureOf(database, cause);
    });
  }

  const stop = Promise.race([stopSignal(logger), drain.promise, failure.promise]);
  const drainMs = (options.drain ?? config.drainSeconds ?? DRAIN_SECONDS) * MS_PER_SECOND;
  const close = async (): Promise<void> => {
    const report = await server.close("the runtime is shutting down", { drainMs });
    logger.info(factsOf(report), "stopped");
  };
  telemetry.watch(server);
  const accept = (transport: Transport): Promise<unknown> => server.accept(telemetry.traced(transport));
  if (endpoint.carrier === "stdio") {
    const transport = new StdioTransport({ output });
    await accept(transport);
    await Promise.race([transport.closed, stop]);
    await close();
    return EXIT.success;
  }
  const urls: string[] = [];
  if (endpoint.webSocket !== undefined) {
    const extras = { hasDashboard, signIn, usesClientCertificates: tls?.clientCertificates !== undefined };
    const doors = isHttpServed ? openHttpDoors(accept, endpoint.webSocket, config, extras) : undefined;
    shutdown.defer(async () => doors?.close());
    urls.push(await listen(accept, endpoint.webSocket, config, tls, shutdown, doors));
  }
  if (endpoint.unix !== undefined) urls.push(await listenOnSocket(accept, endpoint.unix, shutdown));
  // Goodbyes go out before the listeners cut what is left.
  shutdown.defer(async () => void (await server.close()));
  announce({
    ...{ urls, agents, tools: tools.map(([name]) => name), provisioning, fingerprint },
    dashboardUrl: hasDashboard ? dashboardUrlOf(urls[0] ?? "") : undefined,
    ...{ healthUrl: telemetry.url, developer: admission.developer, isOpen: admission.isOpen },
    ...{ isJson: options.json === true, file: loaded.file },
    ...(isShared(store) && { node: { name: node?.name ?? hostname(), database: shownDatabase(database) } }),
  });
  await stop;
  await close();
  return EXIT.success;
}

function signInOf(
  credentials: Credentials,
  endpoint: Endpoint,
  hasDashboard: boolean,
  logger: Logger,
): SignIn | undefined {
  if (credentials.signIn === undefined) return undefined;
  const webSocket = endpoint.carrier === "listeners" ? endpoint.webSocket : undefined;
  if (webSocket === undefined || !hasDashboard)
    throw new UsageError(
      "people sign in to the dashboard, which is not served here: leave out --oidc-issuer (auth.oidc)",
    );
  return openSignIn(credentials.signIn, webSocket, { acceptsTokens: takesTokens(credentials), logger });
}

/** The page is at the root of where clients connect. */
const dashboardUrlOf = (url: string): string => new URL("/", url.replace(/^ws/, "http")).href;

const failureOf = (database: string, cause: unknown): Error =>
  isPostgres(database) ? postgresError(database, cause) : databaseError(database, cause);

/** What became of the jobs, for the log. */
const factsOf = ({ finished, handedOver, waiting, interrupted }: ShutdownReport): object => ({
  ...{ finished: finished.length, waiting: waiting.length },
  ...{ handedOver: handedOver.length, handedOverJobs: handedOver.slice(0, NAMED_JOBS) },
  ...{ interrupted: interrupted.length, interruptedJobs: interrupted.slice(0, NAMED_JOBS) },
});

async function loadAgents(options: ServeOptions, { config, directory, file }: LoadedConfig): Promise<ServedAgent[]> {
  const agents: ServedAgent[] = [];
  for (const [reference, source] of Object.entries(config.agents ?? {})) {
    agents.push(await loadAgent(reference, source, directory));
  }
  for (const text of options.agent ?? []) {
    const { reference, path } = parseAgentOption(text);
    agents.push(await loadAgent(reference, path, process.cwd()));
  }
  if (agents.length > 0) return agents;
  if (file === undefined) return [BUILT_IN];
  throw new UsageError(`${file} has no agents: add some, or pass --agent name=file`);
}

async function readTls(
  options: ServeOptions,
  { config, directory }: LoadedConfig,
  { certificates }: Credentials,
): Promise<WebSocketTlsOptions | undefined> {
  const { tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError("--tls-cert and --tls-key go together");
  const cert = tlsCert ?? (config.tls && resolve(directory, config.tls.cert));
  const key = tlsKey ?? (config.tls && resolve(directory, config.tls.key));
  if (cert === undefined || key === undefined) {
    if (certificates !== undefined) throw new UsageError("auth.mtls needs --tls-cert and --tls-key");
    return undefined;
  }
  const pem = { cert: await readFile(cert), key: await readFile(key) };
  return certificates === undefined ? pem : { ...pem, clientCertificates: certificates };
}

function settingsOf(config: ARCPConfig): Partial<ARCPServerOptions> {
  const { runtime, agents, tools, gateway, litellm, host, port, path, unix, db, sync, postgres, ...more } = config;
  const { tokens, tokenFile, auth, peers, metrics, otlp, tls, drainSeconds, webhooks, ...rest } = more;
  const { allowInsecure, allowedHosts, allowedOrigins, tlsProxy, compression, ...others } = rest;
  const { cancelAuthority, logLevel, http, dashboard, ...settings } = others;
  return settings;
}

/** Resolves with the URL for clients. */
async function listen(
  accept: Accept,
  { isEncrypted: _, ...endpoint }: WebSocketEndpoint,
  { allowedHosts, allowedOrigins, tlsProxy }: ARCPConfig,
  tls: WebSocketTlsOptions | undefined,
  shutdown: Shutdown,
  doors: HttpDoors | undefined,
): Promise<string> {
  try {
    const listener = await startWebSocketServer({
      ...(doors === undefined ? {} : { onRequest: doors.handle }),
      ...endpoint,
      ...proxyRules(tlsProxy),
      onTransport: (transport) => void accept(transport),
      ...(tls === undefined ? {} : { tls }),
      ...(allowedHosts === undefined ? {} : { allowedHosts }),
      ...(allowedOrigins === undefined ? {} : { allowedOrigins }),
    });
    shutdown.defer(() => listener.close());
    return listener.url;
  } catch (error) {
    throw portInUse(error, endpoint.host, endpoint.port);
  }
}

async function listenOnSocket(accept: Accept, path: string, shutdown: Shutdown): Promise<string> {
  const listener = await startSocketServer({
    path,
    onTransport: (transport) => void accept(transport),
  });
  shutdown.defer(() => listener.close());
  return socketUrlOf(listener.path);
}
