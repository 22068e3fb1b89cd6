/** Virtual keys of a LiteLLM proxy, or of what speaks its administrative API, as credentials of jobs (§9.8). */
import {
  type ARCPError,
  BudgetExhaustedError,
  type JsonObject,
  LeaseExpiredError,
  PermissionDeniedError,
} from "@arcp/core";
import { Agent, type Dispatcher } from "undici";
import type {
  CredentialProvisioner,
  CredentialReference,
  CredentialRequest,
  IssuedCredential,
} from "../engine/credentials/provisioner.ts";
import { Secret } from "../engine/credentials/secret.ts";
import { matchesPattern, patternOf } from "../engine/lease/pattern.ts";
import { explainUpstreamRefusal } from "./upstream-refusal.ts";

/** Where the LiteLLM proxy is, and what its keys are good for. */
export interface LiteLLMOptions {
  /** Where the proxy is, e.g. `https://litellm.internal:4000`. */
  readonly baseUrl: string;
  /** An administrator's key. It goes to the origin of `baseUrl` and nowhere else. */
  readonly masterKey: string;
  /** What jobs are told to use. Default: `baseUrl` with `/v1`. */
  readonly endpoint?: string;
  /** Stands in the ledger, and finds the provisioner after a restart: keep it. Default: `litellm`. */
  readonly name?: string;
  /** What jobs are told of the API that is spoken there. Default: `openai`. */
  readonly profile?: string;
  /**
   * The names of the proxy's models. A key gets those that `model.use` covers, by name. Without this, `model.use` may
   * hold names, `provider/**` and `**`: the proxy's own wildcards mean nothing narrower. A name must not be that of an
   * access group then, which would stand for all of its models.
   */
  readonly models?: readonly string[];
  /** The longest that a key lives, also without an expiry of the lease: should all else fail. Default: 24 hours. */
  readonly maxDurationSec?: number;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
}

const DAY_SEC = 86_400;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Below the timeouts of whoever calls: only an upstream that sends and sends would get here. */
const SOCKET_TIMEOUT_MS = 60_000;

/**
 * Issues virtual keys that are limited to the lease's models, to what is left of its budget in USD, and to its time.
 *
 * @throws TypeError for options that cannot be right.
 */
export function litellmProvisioner(options: LiteLLMOptions): CredentialProvisioner {
  return new LiteLLMProvisioner(options);
}

class LiteLLMProvisioner implements CredentialProvisioner {
  readonly name: string;
  readonly #base: URL;
  readonly #masterKey: Secret;
  readonly #endpoint: string;
  readonly #profile: string;
  readonly #models: readonly string[] | undefined;
  readonly #maxDurationSec: number;
  readonly #now: () => number;
  /** Of its own: the environment names no proxy for it. */
  readonly #dispatcher = new Agent({ headersTimeout: SOCKET_TIMEOUT_MS, bodyTimeout: SOCKET_TIMEOUT_MS });

  constructor(options: LiteLLMOptions) {
    const { masterKey, models, maxDurationSec = DAY_SEC, now = Date.now } = options;
    this.#base = baseOf(options.baseUrl);
    if (masterKey === "") throw new TypeError("the master key of LiteLLM is empty");
    if (!Number.isInteger(maxDurationSec) || maxDurationSec < 1)
      throw new TypeError("maxDurationSec is a whole number");
    if (models?.some((model) => model.includes("*") || isSpecial(model))) {
      throw new TypeError("models are names: no wildcards, and none that LiteLLM takes for all models");
    }
    this.name = options.name ?? "litellm";
    this.#masterKey = new Secret(masterKey);
    this.#endpoint = options.endpoint ?? new URL("v1", this.#base).href;
    this.#profile = options.profile ?? "openai";
    this.#models = models;
    this.#maxDurationSec = maxDurationSec;
    this.#now = now;
  }

  /** A key without a list of models is one for all of them, so there is none for a lease that names none. */
  issuesFor({ lease }: Pick<CredentialRequest, "lease">): boolean {
    return (lease["model.use"]?.length ?? 0) > 0;
  }

  async issue(request: CredentialRequest, signal: AbortSignal): Promise<IssuedCredential> {
    const { alias, jobId, agent, credentialId } = request;
    const limits = this.#limits(request);
    const { status, body } = await this.#post(
      "key/generate",
      {
        key_alias: alias,
        models: limits.models,
        ...(limits.budget !== undefined && { max_budget: limits.budget }),
        duration: `${limits.durationSec}s`,
        metadata: { arcp_job_id: jobId, arcp_credential_id: credentialId, arcp_agent: agent },
      },
      signal,
    );
    if (status !== 200) throw new LiteLLMError("did not issue a key", status);
    const { key, key_alias: actual } = body ?? {};
    if (typeof key !== "string") throw new LiteLLMError("answered without a key", status);
    if (actual !== undefined && actual !== alias) {
      // By its alias it will not be found.
      await this.#post("key/delete", { keys: [key] }, signal);
      throw new LiteLLMError("gave the key another alias", status);
    }
    const credential = { scheme: "bearer", value: key, endpoint: this.#endpoint, profile: this.#profile };
    return { ...credential, constraints: limits.constraints };
  }

  async revoke({ alias }: CredentialReference, signal: AbortSignal): Promise<void> {
    const { status, body, retryAfterMs } = await this.#post("key/delete", { key_aliases: [alias] }, signal);
    if (status === 200) return;
    // It has no such key. A server that has no such route says so in other words.
    if (status === 404 && body !== undefined && "error" in body) return;
    throw new LiteLLMError("did not delete the key", status, retryAfterMs);
  }

  explain(error: unknown): ARCPError | undefined {
    return explainUpstreamRefusal(error);
  }

  /** What the key is limited to, as LiteLLM says it and as the lease does. */
  #limits({ lease, leaseConstraints, budget, expiresAt }: CredentialRequest) {
    const patterns = lease["model.use"] ?? [];
    const models = this.#models === undefined ? wildcardsOf(patterns) : covered(this.#models, patterns);
    const usd = budget.get("USD");
    if (usd !== undefined && usd <= 0) throw new BudgetExhaustedError("there is no budget left for a credential");
    const now = this.#now();
    const leftSec = expiresAt === undefined ? Number.POSITIVE_INFINITY : Math.floor((expiresAt - now) / 1000);
    if (expiresAt !== undefined && expiresAt <= now) throw new LeaseExpiredError("the lease has expired");
    const durationSec = Math.max(1, Math.min(leftSec, this.#maxDurationSec));
    const isBySelf = leftSec > this.#maxDurationSec || leaseConstraints.expires_at === undefined;
    const constraints: JsonObject = {
      "model.use": this.#models === undefined ? [...patterns] : models,
      ...(usd !== undefined && { "cost.budget": [`USD:${decimal(usd)}`] }),
      expires_at: isBySelf ? new Date(now + durationSec * 1000).toISOString() : leaseConstraints.expires_at,
    };
    return { models, budget: usd, durationSec, constraints };
  }

  /** Answers that are no JSON objects have no body. */
  async #post(path: string, body: JsonObject, signal: AbortSignal) {
    const response = await this.#dispatcher.request({
      origin: this.#base.origin,
      path: new URL(path, this.#base).pathname,
      method: "POST",
      headers: { authorization: `Bearer ${this.#masterKey.reveal()}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    const text = await textOf(response);
    return { status: response.statusCode, body: objectIn(text), retryAfterMs: retryAfterIn(response, this.#now()) };
  }
}

/** Says what went wrong, and with which status; nothing of what LiteLLM wrote. */
class LiteLLMError extends Error {
  override readonly name = "LiteLLMError";
  readonly status: number;
  readonly retryAfterMs: number | undefined;

  constructor(what: string, status: number, retryAfterMs?: number) {
    super(`LiteLLM ${what} (HTTP ${status})`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

function baseOf(text: string): URL {
  const url = URL.parse(text);
  const isPlain = url !== null && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (!isPlain || !/^https?:$/.test(url.protocol)) throw new TypeError("the base URL of LiteLLM is an HTTP URL");
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

/** Names that stand for many models. */
const isSpecial = (name: string): boolean => /^(?:all|no)-.*models$/.test(name);

/** Those of `models` that the lease covers. */
function covered(models: readonly string[], patterns: readonly string[]): string[] {
  const allowed = patterns.flatMap((text) => patternOf("model.use", text) ?? []);
  const names = models.filter((model) => allowed.some((pattern) => matchesPattern(pattern, model)));
  // Not one name would be taken for every name.
  if (names.length > 0) return names;
  throw new PermissionDeniedError("the upstream has no model that the lease covers", {
    details: { capability: "model.use", patterns: [...patterns] },
  });
}

/** The lease's patterns as LiteLLM's, where a star stands for anything, slashes included. */
function wildcardsOf(patterns: readonly string[]): string[] {
  return patterns.map((pattern) => {
    if (pattern === "**") return "all-proxy-models";
    if (!pattern.includes("*") && !isSpecial(pattern)) return pattern;
    // Letters and digits alone: LiteLLM makes a regular expression of it.
    if (/^[A-Za-z0-9_-]+\/\*\*$/.test(pattern)) return pattern.slice(0, -1);
    throw new PermissionDeniedError("the upstream cannot limit a credential to this pattern", {
      details: { capability: "model.use", pattern },
    });
  });
}

/** Without an exponent. */
const decimal = (amount: number): string => amount.toFixed(9).replace(/\.?0+$/, "");

async function textOf({ body }: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error("LiteLLM's answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined; // Whoever asked says what is missing.
  }
}

/** Seconds or a date (RFC 9110). */
function retryAfterIn({ headers }: Dispatcher.ResponseData, now: number): number | undefined {
  const value = headers["retry-after"];
  if (typeof value !== "string") return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
