/**
 * Signatures of webhooks, by the conventions of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 of id, time and body. Needs
 * nothing but Web Cryptography, so that a receiver can be anything.
 */
import { randomBytes } from "../ids.ts";
import { type WebhookEvent, webhookEventSchema } from "./event.ts";

/** The headers of a webhook. */
export const WEBHOOK_HEADERS = {
  id: "webhook-id",
  timestamp: "webhook-timestamp",
  signature: "webhook-signature",
} as const;

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
/** What Standard Webhooks takes for a secret. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;
const VERSION = "v1";
/** More signatures in one header are not looked at. */
const MAX_SIGNATURES = 16;
const DEFAULT_TOLERANCE_SECONDS = 300;
const MAX_BODY_BYTES = 256 * 1024;

const encoder = new TextEncoder();

/** A new secret for an endpoint: `whsec_` and 32 random bytes in base64. */
export const newWebhookSecret = (): string => `${SECRET_PREFIX}${toBase64(randomBytes(SECRET_BYTES))}`;

/**
 * The key in a secret.
 *
 * @throws TypeError, which does not repeat it, for what is not `whsec_` and 24 to 64 bytes in base64.
 */
export function webhookKey(secret: string): Uint8Array<ArrayBuffer> {
  const key = secret.startsWith(SECRET_PREFIX) ? fromBase64(secret.slice(SECRET_PREFIX.length)) : undefined;
  if (key !== undefined && key.length >= MIN_SECRET_BYTES && key.length <= MAX_SECRET_BYTES) return key;
  throw new TypeError(
    `the secret of a webhook is ${SECRET_PREFIX} and ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes in base64`,
  );
}

/** A webhook as it is posted: its body, and the headers that vouch for it. */
export interface SignedWebhook {
  /** The same whenever the same thing is told again. */
  readonly id: string;
  /** When it is sent, in seconds since the epoch. */
  readonly timestamp: number;
  readonly body: string;
}

/**
 * The value of `webhook-signature`: one signature per secret, so that a receiver can change from one to the next.
 *
 * @throws TypeError for a secret that is none.
 */
export async function signWebhook(webhook: SignedWebhook, secrets: readonly string[]): Promise<string> {
  const content = contentOf(webhook.id, String(webhook.timestamp), webhook.body);
  const signatures = secrets.map(async (secret) => {
    const mac = await crypto.subtle.sign("HMAC", await imported(secret), content);
    return `${VERSION},${toBase64(new Uint8Array(mac))}`;
  });
  return (await Promise.all(signatures)).join(" ");
}

/** By which secrets, and how old at most, a webhook is believed. */
export interface VerifyWebhookOptions {
  /** The endpoint's secret; while it is changed, the old one and the new one. */
  readonly secret: string | readonly string[];
  /** How far the sender's clock may be off, and how old a webhook may be, in seconds. Default: 300. */
  readonly toleranceSeconds?: number;
  /** Milliseconds since the epoch. Default: now. */
  readonly now?: number;
}

/** A request as it came in: `body` byte for byte, or as text, and never parsed and written anew. */
export interface WebhookRequest {
  /** Those of `fetch`, or of Node.js. */
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string | Uint8Array;
}

/** A webhook that comes from who has the secret, and in time. */
export interface VerifiedWebhook {
  /** The same for everything that was delivered twice: what has been dealt with can be left out by it. */
  readonly id: string;
  readonly event: WebhookEvent;
}

/** Why a webhook is not to be believed. */
export type WebhookRefusal = "headers" | "timestamp" | "signature" | "body";

/** A webhook is not to be believed; `reason` says why. What it says must not be acted on. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError";
  readonly reason: WebhookRefusal;

  constructor(reason: WebhookRefusal, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * What a runtime has told, if it has: a request that was signed with one of the secrets, not long ago, and not changed since.
 * Signatures are compared in constant time. A request that is sent again within the tolerance verifies again, with the same id.
 *
 * @throws WebhookVerificationError, which says why not; answer with 400 or 401 then.
 * @throws TypeError for a secret that is none.
 */
export async function verifyWebhook(
  { headers, body }: WebhookRequest,
  { secret, toleranceSeconds = DEFAULT_TOLERANCE_SECONDS, now = Date.now() }: VerifyWebhookOptions,
): Promise<VerifiedWebhook> {
  const [id, timestamp, signature] = [
    headerOf(headers, WEBHOOK_HEADERS.id),
    headerOf(headers, WEBHOOK_HEADERS.timestamp),
    headerOf(headers, WEBHOOK_HEADERS.signature),
  ];
  if (id === undefined || timestamp === undefined || signature === undefined) {
    throw new WebhookVerificationError("headers", "a webhook has an id, a timestamp and a signature");
  }
  const sentAt = /^\d{1,12}$/.test(timestamp) ? Number(timestamp) : Number.NaN;
  if (!(Math.abs(now / 1000 - sentAt) <= toleranceSeconds)) {
    throw new WebhookVerificationError("timestamp", "the webhook is too old, or of a time that is yet to come");
  }
  const text = typeof body === "string" ? body : decoded(body);
  if (text.length > MAX_BODY_BYTES) throw new WebhookVerificationError("body", "the webhook is too long");
  const secrets = typeof secret === "string" ? [secret] : secret;
  if (!(await isSigned(contentOf(id, timestamp, text), signature, secrets))) {
    throw new WebhookVerificationError("signature", "the webhook is not signed with this secret");
  }
  return { id, event: eventIn(text) };
}

/** Every secret and signature is tried, whichever is right. */
async function isSigned(
  content: Uint8Array<ArrayBuffer>,
  header: string,
  secrets: readonly string[],
): Promise<boolean> {
  const macs = header.split(" ", MAX_SIGNATURES).flatMap((one) => {
    const [version, value = ""] = one.split(",");
    const mac = version === VERSION ? fromBase64(value) : undefined;
    return mac === undefined ? [] : [mac];
  });
  const verdicts = secrets.map(async (secret) => {
    const key = await imported(secret);
    return Promise.all(macs.map((mac) => crypto.subtle.verify("HMAC", key, mac, content)));
  });
  return (await Promise.all(verdicts)).flat().includes(true);
}

const imported = (secret: string) =>
  crypto.subtle.importKey("raw", webhookKey(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);

const contentOf = (id: string, timestamp: string, body: string): Uint8Array<ArrayBuffer> =>
  encoder.encode(`${id}.${timestamp}.${body}`);

function headerOf(headers: WebhookRequest["headers"], name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const value = headers[name] ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return typeof value === "string" ? value : undefined;
}

function decoded(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw new WebhookVerificationError("body", "the webhook is not UTF-8");
  }
}

function eventIn(text: string): WebhookEvent {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new WebhookVerificationError("body", "the webhook is no JSON");
  }
  const parsed = webhookEventSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new WebhookVerificationError("body", "the webhook is none that this version knows");
}

const toBase64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (!/^[A-Za-z0-9+/]{1,128}={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined; // It is no base64.
  }
}
