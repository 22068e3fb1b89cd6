/** Finding and reading the configuration of `arcp serve`. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { ARCPConfig } from "../config.ts";
import { UsageError } from "./exit-code.ts";
import { importModule } from "./module.ts";
import { hasPassword } from "./postgres.ts";
import { requirePrivate } from "./tokens.ts";

/** What it is called in the working directory: the first that is there counts. */
export const CONFIG_NAMES = ["arcp.config.ts", "arcp.config.js", "arcp.config.mjs", "arcp.config.json"];

export interface LoadedConfig {
  readonly config: ARCPConfig;
  /** Relative paths in the configuration start here. */
  readonly directory: string;
  /** `undefined` when there is none. */
  readonly file: string | undefined;
}

/** The configuration in `path`, or in the working directory, or an empty one. */
export async function loadConfig(path: string | undefined): Promise<LoadedConfig> {
  const found = path ?? CONFIG_NAMES.find((name) => existsSync(name));
  if (found === undefined) return { config: {}, directory: process.cwd(), file: undefined };
  const file = resolve(found);
  if (!existsSync(file)) throw new UsageError(`there is no configuration ${found}`);
  const value = file.endsWith(".json") ? await readJson(file, found) : (await importModule(file)).default;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UsageError(`${found}: the default export must be an object; defineConfig({ … }) makes one`);
  }
  checkNames(value, found);
  if (file.endsWith(".json") && holdsSecret(value)) await requirePrivate(file);
  return { config: value, directory: dirname(file), file: found };
}

/** Are there secrets in it, and not only where they are kept? */
const holdsSecret = ({ db, tokens, litellm, gateway, auth, peers, webhooks }: ARCPConfig): boolean =>
  tokens !== undefined ||
  hasPassword(db ?? "") ||
  [
    ...[litellm?.masterKey, gateway?.admin?.masterKey, auth?.oauth2?.clientSecret, sharedSecret(auth)],
    auth?.oidc?.clientSecret,
    ...(gateway?.upstreams ?? []).map(({ apiKey }) => apiKey),
    ...Object.values(peers ?? {}).map(({ token }) => token),
    ...(webhooks?.endpoints ?? []).flatMap(({ secret }) => secret),
  ].some((source) => typeof source === "string");

function sharedSecret(auth: ARCPConfig["auth"]): unknown {
  const { jwks } = auth?.jwt ?? {};
  return typeof jwks === "object" && "secret" in jwks ? jwks.secret : undefined;
}

async function readJson(file: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new UsageError(`${name} is not JSON: ${(error as Error).message}`);
  }
}

/** Every member that a configuration may have. */
const MEMBERS: Readonly<Record<keyof ARCPConfig, true>> = {
  runtime: true,
  agents: true,
  tools: true,
  gateway: true,
  litellm: true,
  host: true,
  port: true,
  path: true,
  unix: true,
  db: true,
  sync: true,
  postgres: true,
  drainSeconds: true,
  tokens: true,
  tokenFile: true,
  auth: true,
  peers: true,
  webhooks: true,
  metrics: true,
  metricsByPrincipal: true,
  otlp: true,
  tls: true,
  allowInsecure: true,
  tlsProxy: true,
  allowedHosts: true,
  allowedOrigins: true,
  compression: true,
  http: true,
  dashboard: true,
  cancelAuthority: true,
  logLevel: true,
  heartbeatIntervalSeconds: true,
  resumeWindowSeconds: true,
  idleSessionSeconds: true,
  cancelGraceMs: true,
  idempotencyTtlMs: true,
  jobRetentionMs: true,
  eventRetentionMs: true,
  keepInputs: true,
  audit: true,
  caps: true,
  principalCaps: true,
  principalRates: true,
  jobCaps: true,
  concurrency: true,
  jobAuthorizationPolicy: true,
  hideForeignJobs: true,
  leasePolicy: true,
  leaseGraceMs: true,
  leaseUnwindMs: true,
  endJobsAtLeaseExpiry: true,
  modelsWithoutLease: true,
  credentialProvisioners: true,
  delegationCaps: true,
  operations: true,
  requireAuthOnResume: true,
  backPressureThreshold: true,
  authAttempts: true,
  artifactCaps: true,
  artifactRetention: true,
  artifactReadPolicy: true,
  interactionPolicy: true,
  grantPolicy: true,
  maxElevation: true,
  scheduleLimits: true,
  heartbeatRecovery: true,
  refreshDeadlineMs: true,
  fingerprint: true,
  allowMissingTimestamp: true,
  node: true,
  blobs: true,
};

/** A misspelt limit or policy that is silently not applied is worse than no start. */
function checkNames(value: object, name: string): void {
  const unknown = Object.keys(value).find((member) => member !== "$schema" && !Object.hasOwn(MEMBERS, member));
  if (unknown !== undefined) {
    throw new UsageError(`${name}: there is no setting "${unknown}"; there are ${Object.keys(MEMBERS).join(", ")}`);
  }
}
