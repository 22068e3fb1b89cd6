/** `arcp serve` at work: from the options to a runtime that listens, and back down in order. */
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  isLoopbackHost,
  type RunningWebSocketServer,
  StaticBearerVerifier,
  StdioTransport,
  startWebSocketServer,
} from "@arcp/core";
import { ARCPServer, type ARCPServerOptions, type Store, sqliteStore } from "@arcp/runtime";
import type { ARCPConfig } from "../config.ts";
import { containAgentFaults } from "./agent-faults.ts";
import { BUILT_IN, loadAgent, parseAgentOption, type ServedAgent } from "./agent-modules.ts";
import { loadTools, openProvisioning, type Provisioning } from "./authority.ts";
import { type LoadedConfig, loadConfig } from "./config-file.ts";
import { toSafeJson } from "./escape.ts";
import { EXIT, type ExitCode, UsageError } from "./exit-code.ts";
import { lockFile } from "./file-lock.ts";
import { portInUse } from "./port-in-use.ts";
import { DEFAULT_URL, warnOfVisibleToken } from "./runtime-address.ts";
import { createServeLog } from "./serve-log.ts";
import { Shutdown } from "./shutdown.ts";
import { takeStandardOutput } from "./standard-output.ts";
import { stopSignal } from "./stop-signal.ts";
import { Terminal } from "./terminal.ts";
import {
  ensureDeveloperToken,
  LOCAL_PRINCIPAL,
  parseToken,
  parseTokenList,
  readTokenFile,
  type Token,
} from "./tokens.ts";
import { version } from "./version.ts";

export interface ServeOptions {
  readonly config?: string;
  readonly agent?: readonly string[];
  readonly stdio?: boolean;
  readonly bind?: string;
  readonly host?: string;
  readonly port?: string;
  readonly path?: string;
  readonly db?: string;
  readonly sync?: "full" | "normal";
  readonly token?: readonly string[];
  readonly tokenFile?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly allowInsecure?: boolean;
  readonly logLevel?: NonNullable<ARCPConfig["logLevel"]>;
  readonly json?: boolean;
}

const DEFAULT_PORT = 7777;
const MEMORY = ":memory:";

/** Resolves with the exit code when the server has been stopped. */
export async function serve(options: ServeOptions): Promise<ExitCode> {
  // Before any agent is loaded: what it prints must not get between the messages.
  const output = options.stdio === true ? takeStandardOutput() : process.stdout;
  const loaded = await loadConfig(options.config);
  const { config } = loaded;
  const agents = await loadAgents(options, loaded);
  const tools = await loadTools(loaded);
  const endpoint = options.stdio === true ? undefined : endpointOf(options, config);
  const tokens = await configuredTokens(options, loaded);
  if (endpoint !== undefined) checkExposure(endpoint, tokens);
  const tls = await readTls(options, loaded);

  await using shutdown = new Shutdown();
  const logger = createServeLog(process.stderr, options.logLevel ?? config.logLevel ?? "info");
  shutdown.defer(containAgentFaults(logger));
  const store = openStore(options, loaded, shutdown);
  // Before the runtime: credentials that it issues are of use, and can be revoked until it has closed.
  const provisioning = await openProvisioning(loaded, store, shutdown, logger);
  const isOpen = tokens.length === 0 && endpoint === undefined;
  const developer = tokens.length === 0 && endpoint !== undefined ? await ensureDeveloperToken() : undefined;
  const accepted = developer === undefined ? tokens : [developer];
  const server = new ARCPServer({
    ...settingsOf(config),
    runtime: config.runtime ?? { name: "arcp", version },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map(accepted.map(({ value, principal }) => [value, { principal }]))),
    ...(isOpen ? { anonymousPrincipal: LOCAL_PRINCIPAL } : {}),
    cancelAuthority: config.cancelAuthority ?? "principal",
    credentialProvisioners: provisioning.provisioners,
    eventLog: store,
    logger,
  });
  shutdown.defer(() => server.close());
  for (const [name, tool] of tools) server.registerTool(name, tool);
  for (const { reference, handler } of agents) server.registerAgent(reference, handler);

  const stop = stopSignal(logger);
  if (endpoint === undefined) {
    const transport = new StdioTransport({ output });
    await server.accept(transport);
    await Promise.race([transport.closed, stop]);
    return EXIT.success;
  }
  const listener = await listen(server, endpoint, config, tls);
  shutdown.defer(() => listener.close());
  // Goodbyes go out before the listener cuts what is left.
  shutdown.defer(() => server.close());
  announce({
    ...{ url: listener.url, agents, tools: tools.map(([name]) => name), provisioning, developer },
    ...{ isJson: options.json === true, file: loaded.file },
  });
  await stop;
  return EXIT.success;
}

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

interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly isEncrypted: boolean;
  readonly allowInsecure: boolean;
}

function endpointOf(options: ServeOptions, config: ARCPConfig): Endpoint {
  const bind = options.bind === undefined ? {} : parseBind(options.bind);
  const port = options.port ?? bind.port ?? String(config.port ?? DEFAULT_PORT);
  const path = options.path ?? config.path ?? "/arcp";
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new UsageError(`not a port: ${port}`);
  if (!path.startsWith("/")) throw new UsageError(`--path begins with /: ${path}`);
  return {
    host: options.host ?? bind.host ?? config.host ?? "127.0.0.1",
    port: Number(port),
    path,
    isEncrypted: options.tlsCert !== undefined || config.tls !== undefined,
    allowInsecure: options.allowInsecure ?? config.allowInsecure ?? false,
  };
}

/** `host:port`, `[::1]:port`, `:port` or `host`. */
function parseBind(text: string): { readonly host?: string; readonly port?: string } {
  const [, address, name, port] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
  const host = address ?? name;
  if (host === undefined) throw new UsageError(`--bind ${text}: expected host:port, e.g. 127.0.0.1:7777`);
  return { ...(host === "" ? {} : { host }), ...(port === undefined ? {} : { port }) };
}

/** Beyond this machine there is no access without a token, and no token without encryption. */
function checkExposure({ host, isEncrypted, allowInsecure }: Endpoint, tokens: readonly Token[]): void {
  if (isLoopbackHost(host)) return;
  if (tokens.length === 0) {
    throw new UsageError(`refused to listen on ${host} without tokens: set ARCP_TOKEN or --token-file`);
  }
  if (!isEncrypted && !allowInsecure) {
    throw new UsageError(
      `refused to listen on ${host} without TLS: pass --tls-cert and --tls-key, or --allow-insecure behind a proxy that encrypts`,
    );
  }
}

async function configuredTokens(options: ServeOptions, { config, directory }: LoadedConfig): Promise<Token[]> {
  if (options.token !== undefined) warnOfVisibleToken();
  const tokens = [...(options.token ?? []).map(parseToken), ...parseTokenList(process.env["ARCP_TOKEN"] ?? "")];
  if (options.tokenFile !== undefined) tokens.push(...(await readTokenFile(options.tokenFile)));
  if (config.tokenFile !== undefined) tokens.push(...(await readTokenFile(resolve(directory, config.tokenFile))));
  for (const [value, principal] of Object.entries(config.tokens ?? {})) tokens.push({ value, principal });
  return tokens;
}

async function readTls(
  options: ServeOptions,
  { config, directory }: LoadedConfig,
): Promise<{ readonly cert: Buffer; readonly key: Buffer } | undefined> {
  const { tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError("--tls-cert and --tls-key go together");
  const cert = tlsCert ?? (config.tls && resolve(directory, config.tls.cert));
  const key = tlsKey ?? (config.tls && resolve(directory, config.tls.key));
  if (cert === undefined || key === undefined) return undefined;
  return { cert: await readFile(cert), key: await readFile(key) };
}

function openStore(options: ServeOptions, { config, directory }: LoadedConfig, shutdown: Shutdown): Store {
  const configured = config.db === undefined || config.db === MEMORY ? config.db : resolve(directory, config.db);
  const path = options.db ?? configured ?? join(".arcp", "runtime.db");
  const synchronous = (options.sync ?? config.sync) === "normal" ? "NORMAL" : "FULL";
  if (path !== MEMORY) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    shutdown.defer(lockFile(path, "give this one a database of its own with --db"));
    // SQLite gives the files that it keeps beside the database the same mode.
    closeSync(openSync(path, "a", 0o600));
    if (process.platform !== "win32") chmodSync(path, 0o600);
  }
  const store = sqliteStore({ path, synchronous });
  shutdown.defer(() => store.close());
  return store;
}

function settingsOf(config: ARCPConfig): Partial<ARCPServerOptions> {
  const { runtime, agents, tools, gateway, litellm, host, port, path, db, sync, ...more } = config;
  const { tokens, tokenFile, tls, ...rest } = more;
  const { allowInsecure, allowedHosts, allowedOrigins, cancelAuthority, logLevel, ...settings } = rest;
  return settings;
}

async function listen(
  server: ARCPServer,
  { host, port, path, allowInsecure }: Endpoint,
  { allowedHosts, allowedOrigins }: ARCPConfig,
  tls: { readonly cert: Buffer; readonly key: Buffer } | undefined,
): Promise<RunningWebSocketServer> {
  try {
    return await startWebSocketServer({
      onTransport: (transport) => void server.accept(transport),
      host,
      port,
      path,
      allowInsecure,
      ...(tls === undefined ? {} : { tls }),
      ...(allowedHosts === undefined ? {} : { allowedHosts }),
      ...(allowedOrigins === undefined ? {} : { allowedOrigins }),
    });
  } catch (error) {
    throw portInUse(error, host, port);
  }
}

interface Announcement {
  readonly url: string;
  readonly agents: readonly ServedAgent[];
  readonly tools: readonly string[];
  readonly provisioning: Provisioning;
  readonly developer: Token | undefined;
  readonly isJson: boolean;
  readonly file: string | undefined;
}

function announce({ url, agents, tools, provisioning, developer, isJson, file }: Announcement): void {
  const names = agents.map(({ reference }) => reference);
  const provisioners = provisioning.provisioners.map(({ name }) => name);
  const gateway = provisioning.gatewayUrl;
  if (isJson) {
    process.stdout.write(
      `${toSafeJson({ type: "ready", url, pid: process.pid, agents: names, tools, provisioners, gateway })}\n`,
    );
    return;
  }
  const terminal = new Terminal(process.stdout);
  const lines = [`${terminal.style("green", "●")} ${terminal.style("bold", url)}`, `  agents   ${names.join(", ")}`];
  if (tools.length > 0) lines.push(`  tools    ${tools.join(", ")}`);
  if (provisioners.length > 0) lines.push(`  keys by  ${provisioners.join(", ")}`);
  if (gateway !== undefined) lines.push(`  gateway  ${gateway}`);
  if (file !== undefined) lines.push(`  config   ${file}`);
  if (developer !== undefined) {
    lines.push(`  token    made for this directory, in ${join(".arcp", "token")}; commands that you run here find it`);
  }
  const [name = ""] = (names[0] ?? "").split("@");
  const where = url === DEFAULT_URL ? "" : ` --url ${url}`;
  lines.push("", "Now type, in another terminal:", `  npx arcp submit ${name}${where} --input '{"hello":"world"}'`, "");
  process.stdout.write(`${lines.join("\n")}\n`);
}
