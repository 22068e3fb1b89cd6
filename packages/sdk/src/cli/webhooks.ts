/** Whom `arcp serve` tells over HTTP, by options, environment and configuration. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { assertWebhooks, type WebhookEndpoint, type WebhookOptions } from "@arcp/runtime";
import type { SecretSource, WebhookEndpointSettings, WebhookSettings } from "../config.ts";
import type { LoadedConfig } from "./config-file.ts";
import { UsageError } from "./exit-code.ts";
import { readSecret } from "./secrets.ts";
import { requirePrivate } from "./tokens.ts";

export interface WebhookCommandOptions {
  readonly webhook?: readonly string[];
  readonly webhookSecretFile?: string;
}

/** Every member that the settings may have. */
const MEMBERS: Readonly<Record<keyof WebhookSettings, true>> = {
  endpoints: true,
  budgetThresholds: true,
  giveUpAfterMs: true,
  keepDeadMs: true,
  firstRetryMs: true,
  maxRetryMs: true,
  timeoutMs: true,
  concurrency: true,
};
const ENDPOINT_MEMBERS: Readonly<Record<keyof WebhookEndpointSettings, true>> = {
  url: true,
  secret: true,
  name: true,
  events: true,
  tenants: true,
  agents: true,
  texts: true,
  allowInsecure: true,
};

/** `undefined` if nobody is to be told. Throws {@link UsageError}, which repeats no secret, for what cannot be right. */
export async function readWebhooks(
  options: WebhookCommandOptions,
  { config, directory }: LoadedConfig,
): Promise<WebhookOptions | undefined> {
  const { endpoints = [], ...settings } = config.webhooks ?? {};
  checkMembers(settings, MEMBERS, "webhooks");
  const all: WebhookEndpoint[] = [];
  for (const { secret, ...endpoint } of endpoints) {
    checkMembers(endpoint, ENDPOINT_MEMBERS, "webhooks.endpoints");
    all.push({ ...endpoint, secret: await secretsOf(secret, directory) });
  }
  const urls = options.webhook ?? [];
  if (urls.length > 0) {
    const secret = await commonSecrets(options);
    all.push(...urls.map((url) => ({ url, secret })));
  } else if (options.webhookSecretFile !== undefined) throw new UsageError("--webhook-secret-file needs --webhook");
  if (all.length === 0) return undefined;
  const webhooks = { ...settings, endpoints: all };
  try {
    assertWebhooks(webhooks);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return webhooks;
}

async function secretsOf(
  source: WebhookEndpointSettings["secret"] | undefined,
  directory: string,
): Promise<readonly string[]> {
  const sources: readonly (SecretSource | undefined)[] = isList(source) ? source : [source];
  return Promise.all(sources.map((one) => readSecret(one, "webhooks: the secret of an endpoint", directory)));
}

const isList = (source: WebhookEndpointSettings["secret"] | undefined): source is readonly SecretSource[] =>
  Array.isArray(source);

/** Of the endpoints that the command line names. */
async function commonSecrets({ webhookSecretFile }: WebhookCommandOptions): Promise<readonly string[]> {
  let text = process.env["ARCP_WEBHOOK_SECRET"] ?? "";
  if (webhookSecretFile !== undefined) {
    const path = resolve(webhookSecretFile);
    await requirePrivate(path);
    text = await readFile(path, "utf8");
  }
  const secrets = text.split(/[\s,]+/).filter((secret) => secret !== "");
  if (secrets.length === 0) {
    throw new UsageError(
      "--webhook needs ARCP_WEBHOOK_SECRET or --webhook-secret-file; `arcp webhooks secret` makes one",
    );
  }
  return secrets;
}

function checkMembers(value: object, members: object, what: string): void {
  const unknown = Object.keys(value).find((member) => !Object.hasOwn(members, member));
  if (unknown === undefined) return;
  throw new UsageError(`${what}: there is no setting "${unknown}"; there are ${Object.keys(members).join(", ")}`);
}
