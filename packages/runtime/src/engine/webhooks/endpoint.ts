/** Where webhooks go, as the operator has said it: nobody else ever names a URL. */
import { createHash } from "node:crypto";
import { InvalidRequestError, isLoopbackHost } from "@arcp/core";
import { WEBHOOK_EVENT_TYPES, type WebhookEventType, webhookKey } from "@arcp/core/webhooks";

/** Who is told of what. */
export interface WebhookEndpoint {
  /** `https:`, or `http:` within this machine. Without user information and fragment. */
  readonly url: string;
  /**
   * `whsec_` and 24 to 64 bytes in base64, as `newWebhookSecret` makes it. While a receiver changes to another one: both, at
   * most 4; each webhook is signed with all of them.
   */
  readonly secret: string | readonly string[];
  /**
   * By which operators know it: letters, digits, `.`, `_` and `-`. What waits for it is kept under this name, so it stays the same
   * when the URL changes. Default: made of the URL.
   */
  readonly name?: string;
  /** What it is told of. Default: everything. */
  readonly events?: readonly WebhookEventType[];
  /** Only what concerns these tenants' jobs; `""` stands for principals without a tenant. Default: everybody's. */
  readonly tenants?: readonly string[];
  /** Only what concerns these agents' jobs, by name or `name@version`. Default: all. */
  readonly agents?: readonly string[];
  /**
   * Are the prompts of questions and the messages of errors told, without what has the form of a secret? They are what agents
   * have worded. Default: false.
   */
  readonly texts?: boolean;
  /** Allows `http:` beyond this machine: everybody on the way can read it. Default: false. */
  readonly allowInsecure?: boolean;
}

/** Who is told of what, and for how long that is tried. */
export interface WebhookOptions {
  /** Who is told, each of what it asks for. */
  readonly endpoints: readonly WebhookEndpoint[];
  /** Shares of a budget, above 0 and up to 1, whose use is told. Default: 0.8 and 1. */
  readonly budgetThresholds?: readonly number[];
  /** How long a delivery is tried again, in milliseconds. Default: 3 days. */
  readonly giveUpAfterMs?: number;
  /** How long what was given up is kept, in milliseconds. Default: 30 days. */
  readonly keepDeadMs?: number;
  /** The first wait after a failure, which doubles with each, in milliseconds. Default: 5,000. */
  readonly firstRetryMs?: number;
  /** The longest wait, in milliseconds. Default: an hour. */
  readonly maxRetryMs?: number;
  /** One attempt, from the connection to the status, in milliseconds. Default: 15,000. */
  readonly timeoutMs?: number;
  /** Attempts that are under way to one endpoint at a time. Default: 4. */
  readonly concurrency?: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The settings of webhooks where none are given; times in milliseconds. */
export const DEFAULT_WEBHOOK_SETTINGS = {
  budgetThresholds: [0.8, 1],
  giveUpAfterMs: 3 * DAY_MS,
  keepDeadMs: 30 * DAY_MS,
  firstRetryMs: 5_000,
  maxRetryMs: HOUR_MS,
  timeoutMs: 15_000,
  concurrency: 4,
} as const satisfies Omit<WebhookOptions, "endpoints">;

const MAX_ENDPOINTS = 32;
const MAX_SECRETS = 4;
const MAX_CONCURRENCY = 64;
const MAX_THRESHOLDS = 10;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What an event is told by. */
export interface EventSubject {
  readonly type: WebhookEventType;
  /** `""`: none. */
  readonly tenant: string;
  readonly agent: string;
  readonly agentRef: string;
}

/** An endpoint, checked. */
export interface Receiver {
  readonly name: string;
  readonly url: URL;
  readonly secrets: readonly string[];
  readonly tellsTexts: boolean;
  wants(subject: EventSubject): boolean;
}

export interface WebhookSettings extends Required<Omit<WebhookOptions, "endpoints">> {
  readonly receivers: readonly Receiver[];
}

/** @throws InvalidRequestError, which never repeats a secret, for what cannot be right. */
export function webhookSettings({ endpoints, ...options }: WebhookOptions): WebhookSettings {
  const settings = { ...DEFAULT_WEBHOOK_SETTINGS, ...options };
  if (endpoints.length > MAX_ENDPOINTS) throw wrong("endpoints", `at most ${MAX_ENDPOINTS}`);
  const receivers = endpoints.map(receiverOf);
  const names = receivers.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw wrong("endpoints", `two are called ${twice}: give them names`);
  const { budgetThresholds, concurrency, ...times } = settings;
  if (budgetThresholds.length > MAX_THRESHOLDS || !budgetThresholds.every((share) => share > 0 && share <= 1)) {
    throw wrong("budgetThresholds", `at most ${MAX_THRESHOLDS} shares above 0 and up to 1`);
  }
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
    throw wrong("concurrency", `1 to ${MAX_CONCURRENCY}`);
  }
  for (const [name, ms] of Object.entries(times)) {
    if (!Number.isFinite(ms) || ms < 0) throw wrong(name, "a time in milliseconds");
  }
  return { ...settings, receivers };
}

/** Is it what {@link WebhookOptions} may be? Throws `InvalidRequestError`, which never repeats a secret, if not. */
export function assertWebhooks(options: WebhookOptions): void {
  webhookSettings(options);
}

function receiverOf(endpoint: WebhookEndpoint): Receiver {
  const url = endpointUrl(endpoint);
  const name = endpoint.name ?? `${url.hostname.replace(/[^\w.-]/g, "")}-${digestOf(url.href)}`.replace(/^\W+/, "");
  if (!NAME.test(name)) throw wrong("name", "up to 64 letters, digits, dots, hyphens and underscores");
  const secrets = typeof endpoint.secret === "string" ? [endpoint.secret] : endpoint.secret;
  if (secrets.length === 0 || secrets.length > MAX_SECRETS) throw wrong("secret", `one to ${MAX_SECRETS}`);
  for (const secret of secrets) assertSecret(secret);
  const { events, tenants, agents, texts = false } = endpoint;
  const unknown = events?.find((type) => !WEBHOOK_EVENT_TYPES.includes(type));
  if (unknown !== undefined)
    throw wrong("events", `there is no ${unknown}; there are ${WEBHOOK_EVENT_TYPES.join(", ")}`);
  return {
    ...{ name, url, secrets, tellsTexts: texts },
    wants: ({ type, tenant, agent, agentRef }) =>
      (events?.includes(type) ?? true) &&
      (tenants?.includes(tenant) ?? true) &&
      (agents === undefined || agents.includes(agent) || agents.includes(agentRef)),
  };
}

function endpointUrl({ url: text, allowInsecure = false }: WebhookEndpoint): URL {
  const url = URL.parse(text);
  if (url === null || url.username !== "" || url.password !== "" || url.hash !== "") {
    throw wrong("url", "a URL without a user and a fragment");
  }
  if (url.protocol === "https:") return url;
  if (url.protocol === "http:" && (allowInsecure || isLoopbackHost(url.hostname))) return url;
  throw wrong("url", `${url.protocol}//${url.host}: use https, or allow what everybody on the way can read`);
}

function assertSecret(secret: string): void {
  try {
    webhookKey(secret);
  } catch (error) {
    throw wrong("secret", (error as Error).message);
  }
}

const DIGITS = 8;

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, DIGITS);

const wrong = (member: string, expected: string): InvalidRequestError =>
  new InvalidRequestError(`webhooks.${member}: ${expected}`);
