/** What `arcp serve` would read: its configuration, agents, credentials, and where it would listen. */

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { isLoopbackHost } from "@arcp/core";
import { type CredentialOptions, type Credentials, hasCredentials, readCredentials } from "../admission.ts";
import { loadAgent } from "../agent-modules.ts";
import { type LoadedConfig, loadConfig } from "../config-file.ts";
import { checkExposure, type Endpoint, type EndpointOptions, endpointOf } from "../endpoint.ts";
import { findDeveloperToken } from "../tokens.ts";
import type { Check } from "./finding.ts";

const SETTINGS_PAGE = "docs/cli.md has every setting";

/** `undefined`: it cannot be read. */
export async function checkConfiguration(check: Check, path: string | undefined): Promise<LoadedConfig | undefined> {
  const loaded = await check.attempt(() => loadConfig(path), `mend it; ${SETTINGS_PAGE}`);
  if (loaded === undefined) return undefined;
  if (loaded.file === undefined) check.ok("none, so there are defaults and a built-in agent; `arcp init` makes one");
  else check.ok(loaded.file);
  return loaded;
}

/** Can every agent be loaded? */
export async function checkAgents(check: Check, { config, directory, file }: LoadedConfig): Promise<void> {
  const references: string[] = [];
  for (const [reference, source] of Object.entries(config.agents ?? {})) {
    const agent = await check.attempt(
      () => loadAgent(reference, source, directory),
      "a module of an agent has a function as its default export; `arcp init` makes one to start from",
    );
    if (agent !== undefined) references.push(agent.reference);
  }
  if (references.length > 0) check.ok(references.join(", "));
  else if (file !== undefined && Object.keys(config.agents ?? {}).length === 0) {
    check.warning(
      `${file} has none`,
      'add some, as in agents: { hello: "./agents/hello.ts" }, or pass --agent to `arcp serve`',
    );
  }
}

const MIN_TOKEN_CHARS = 16;

/** Who would be let in, and can nobody else? `undefined`: that cannot be said. */
export async function checkAccess(
  check: Check,
  options: EndpointOptions & CredentialOptions,
  loaded: LoadedConfig,
): Promise<{ readonly endpoint: Endpoint; readonly credentials: Credentials } | undefined> {
  const endpoint = await check.attempt(() => endpointOf(options, loaded), SETTINGS_PAGE);
  if (endpoint === undefined) return undefined;
  const credentials = await check.attempt(() => readCredentials(options, loaded), "docs/authentication.md says how");
  if (credentials === undefined) return undefined;
  const isSafe = await check.attempt(() => {
    checkExposure(endpoint, hasCredentials(credentials));
    return true;
  }, "do what it says, or listen on 127.0.0.1");
  if (isSafe === undefined) return { endpoint, credentials };
  const host = (endpoint.carrier === "listeners" && endpoint.webSocket?.host) || "127.0.0.1";
  if (!hasCredentials(credentials)) await checkDeveloperToken(check);
  else {
    const short = credentials.tokens.filter(({ value }) => value.length < MIN_TOKEN_CHARS);
    if (short.length > 0 && !isLoopbackHost(host)) {
      const whose = [...new Set(short.map(({ principal }) => principal))].join(", ");
      check.warning(
        `${host} is beyond this machine, and a token of ${whose} is short enough to be guessed`,
        "make others: openssl rand -base64 32",
      );
    }
    const { tokens, schemes } = credentials;
    check.ok(
      `tokens: ${tokens.length}${schemes.length === 0 ? "" : `, and ${schemes.map(({ scheme }) => scheme).join(", ")}`}`,
    );
  }
  return { endpoint, credentials };
}

async function checkDeveloperToken(check: Check): Promise<void> {
  const fix = "remove it: `arcp serve` makes another one";
  const found = await check.attempt(async () => ({ token: await findDeveloperToken() }), fix);
  if (found === undefined) return;
  check.ok(
    `on this machine alone, with ${found.token === undefined ? "a token that `arcp serve` will make" : "the token in .arcp/token"}`,
  );
}

const DAY_MS = 86_400_000;
const SOON_MS = 14 * DAY_MS;

/** Are certificate and key there, do they belong together, and is it their time? */
export async function checkTls(check: Check, certPath: string, keyPath: string, now: number): Promise<void> {
  const fix = "--tls-cert and --tls-key, or `tls` of the configuration, name PEM files that this user can read";
  const certificate = await check.attempt(
    async () => new X509Certificate(await readFile(certPath)),
    `${certPath}: ${fix}`,
  );
  const key = await check.attempt(async () => createPrivateKey(await readFile(keyPath)), `${keyPath}: ${fix}`);
  if (certificate === undefined || key === undefined) return;
  if (!certificate.checkPrivateKey(key)) {
    check.error(`${keyPath} is not the key of ${certPath}`, "name the key that the certificate was issued for");
  }
  const { mode } = await stat(keyPath);
  if (process.platform !== "win32" && (mode & 0o007) !== 0) {
    check.warning(`others can read ${keyPath}`, `chmod o-rwx ${keyPath}`);
  }
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  const until = `until ${certificate.validToDate.toISOString().slice(0, 10)}`;
  const renew = "renew it, and start the runtime again";
  if (now > to) check.error(`${certPath} was valid ${until}`, renew);
  else if (now < from) {
    check.error(
      `${certPath} is valid from ${certificate.validFromDate.toISOString()} on`,
      "wait, or set this machine's clock",
    );
  } else if (to - now < SOON_MS) check.warning(`${certPath} is valid ${until} only`, renew);
  else check.ok(`${certPath}, valid ${until}`);
}

/** Where the files are; `undefined`: TLS is not asked for. */
export function tlsPaths(
  { tlsCert, tlsKey }: { readonly tlsCert?: string; readonly tlsKey?: string },
  { config, directory }: LoadedConfig,
): readonly [cert: string, key: string] | undefined {
  const cert = tlsCert ?? (config.tls && resolve(directory, config.tls.cert));
  const key = tlsKey ?? (config.tls && resolve(directory, config.tls.key));
  return cert === undefined && key === undefined ? undefined : [cert ?? "", key ?? ""];
}
