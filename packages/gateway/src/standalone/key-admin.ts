/** Keys that an administrator makes, in the words of LiteLLM's virtual keys. */

import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import {
  type Clock,
  InvalidRequestError,
  type JsonObject,
  type Lease,
  type Logger,
  UnauthenticatedError,
} from "@arcp/core";
import { validateLeaseShape } from "@arcp/runtime";
import { decimalOf, numberOf, parseDecimal, unitsOf } from "../amount.ts";
import { digestOf, type Key, type Keyring, newSecret } from "../keyring.ts";
import { malformed, refusedRequest, revoked } from "../refusal.ts";
import { isObject } from "../usage.ts";
import { StandaloneGuard } from "./guard.ts";
import type { KeyRecord, KeyStore } from "./key-file.ts";
import { Ledger, type Units } from "./ledger.ts";

export interface KeyAdminTools {
  readonly masterKey: string;
  readonly prefix: string;
  readonly keyring: Keyring;
  readonly store: KeyStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

type Body = Readonly<Record<string, unknown>>;

/** A key, with what it has spent. */
interface Account {
  readonly record: KeyRecord;
  readonly ledger: Ledger;
  isBlocked: boolean;
  readonly key: Key;
}

const CURRENCY = "USD";
const MIN_MASTER_KEY_LENGTH = 16;
const MAX_ALIAS_LENGTH = 256;
/** LiteLLM's own word for every model. */
const ALL_MODELS = "all-proxy-models";
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800, mo: 2_592_000 } as const;

/** Members that are understood; those that limit nothing and are passed over. Others are refused, not ignored. */
const GENERATE_MEMBERS = new Set(["models", "max_budget", "duration", "key_alias", "metadata"]);
const PASSED_OVER = new Set(
  "user_id team_id organization_id project_id tags key_type allowed_routes send_invite_email soft_budget aliases config permissions".split(
    " ",
  ),
);

export class KeyAdmin {
  readonly #tools: KeyAdminTools;
  readonly #masterDigest: Buffer;
  readonly #byDigest = new Map<string, Account>();
  readonly #byAlias = new Map<string, Account>();

  /** @throws TypeError for a master key that can be guessed. */
  constructor(tools: KeyAdminTools) {
    if (tools.masterKey.length < MIN_MASTER_KEY_LENGTH) {
      throw new TypeError(`the master key has at least ${MIN_MASTER_KEY_LENGTH} characters`);
    }
    this.#tools = tools;
    this.#masterDigest = Buffer.from(digestOf(tools.masterKey));
    for (const record of tools.store.keys) this.#open(record);
  }

  /** Is `method path` one of the administrator's? */
  static serves(method: string | undefined, path: string): boolean {
    return Object.hasOwn(ENDPOINTS, `${method} ${path}`);
  }

  /** @throws UnauthenticatedError unless `headers` carry the master key. */
  authorize(headers: IncomingHttpHeaders): void {
    const secret = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1] ?? "";
    if (timingSafeEqual(Buffer.from(digestOf(secret)), this.#masterDigest)) return;
    throw new UnauthenticatedError("the master key is not valid");
  }

  /** Carries out a request that {@link authorize} let in. Returns the answer. */
  handle(method: string, path: string, query: URLSearchParams, body: Body): JsonObject {
    const name = `${method} ${path}`;
    if (!Object.hasOwn(ENDPOINTS, name)) throw refusedRequest("no_such_endpoint", "there is nothing here");
    return ENDPOINTS[name as keyof typeof ENDPOINTS](this, body, query);
  }

  /** @internal */
  generate(body: Body): JsonObject {
    for (const [name, value] of Object.entries(body)) {
      if (value === null || GENERATE_MEMBERS.has(name) || PASSED_OVER.has(name)) continue;
      throw malformed(`${name.slice(0, 64)} is not supported`);
    }
    const { prefix, clock, store, logger } = this.#tools;
    const secret = newSecret(prefix);
    const digest = digestOf(secret);
    const alias = aliasOf(body["key_alias"]) ?? `key-${digest.slice(0, 16)}`;
    if (this.#byAlias.has(alias)) {
      throw new InvalidRequestError(`a key with the alias ${JSON.stringify(alias)} exists already`);
    }
    const createdAt = clock.now();
    const lifetimeMs = lifetimeOf(body["duration"]);
    const record: KeyRecord = {
      digest,
      alias,
      lease: leaseOf(body),
      expiresAt: lifetimeMs === undefined ? null : createdAt + lifetimeMs,
      createdAt,
      metadata: metadataOf(body["metadata"]),
      isBlocked: false,
      spent: new Map(),
    };
    // Written first: a key that works can also be revoked after a restart.
    store.added(record);
    const account = this.#open(record);
    logger.info({ alias }, "a key was made");
    return { key: secret, token_id: digest, ...infoOf(account) };
  }

  /** @internal Idempotent: what is not there is not deleted. */
  delete(body: Body): JsonObject {
    const names = [...listOf(body, "keys"), ...listOf(body, "key_aliases")];
    if (names.length === 0) throw malformed("keys or key_aliases is required");
    const deleted = names.filter((name) => {
      const account = this.#find(name) ?? this.#byAlias.get(name);
      if (account === undefined) return false;
      const { digest, alias } = account.record;
      this.#tools.store.deleted(digest);
      this.#byDigest.delete(digest);
      this.#byAlias.delete(alias);
      this.#tools.keyring.remove(alias, revoked());
      this.#tools.logger.info({ alias }, "a key was deleted");
      return true;
    });
    return { deleted_keys: deleted };
  }

  /** @internal */
  block(body: Body, isBlocked: boolean): JsonObject {
    const { key } = body;
    if (typeof key !== "string") throw malformed("key is required");
    const account = this.#known(key);
    this.#tools.store.blocked(account.record.digest, isBlocked);
    account.isBlocked = isBlocked;
    if (isBlocked) account.key.stop(new UnauthenticatedError("the API key is blocked"));
    return { token: account.record.digest, ...infoOf(account) };
  }

  /** @internal */
  info(key: string | null): JsonObject {
    if (key === null) throw malformed("key is required");
    const account = this.#known(key);
    return { key: account.record.digest, info: infoOf(account) };
  }

  #known(key: string): Account {
    const account = this.#find(key);
    if (account === undefined) throw refusedRequest("unknown_key", "there is no such key");
    return account;
  }

  /** By the key or by its digest. */
  #find(key: string): Account | undefined {
    return this.#byDigest.get(digestOf(key)) ?? this.#byDigest.get(key);
  }

  #open(record: KeyRecord): Account {
    const { keyring, store, clock } = this.#tools;
    const { digest, alias, lease } = record;
    const limits = limitsOf(lease);
    const ledger = new Ledger(limits, record.spent, {
      held: (id, units) => store.held(digest, id, units),
      spent: (id, units) => store.spent(digest, id, units),
      released: (id) => store.released(digest, id),
    });
    const expiresAt = record.expiresAt ?? undefined;
    const guard = new StandaloneGuard({ lease, expiresAt, ledger, clock });
    const key = keyring.add(
      {
        ...{ digest, alias, lease, expiresAt, currencies: new Set(limits.keys()) },
        guard: () => (account.isBlocked ? undefined : guard),
      },
      revoked(),
    );
    const account: Account = { record, ledger, key, isBlocked: record.isBlocked };
    this.#byDigest.set(digest, account);
    this.#byAlias.set(alias, account);
    return account;
  }
}

const ENDPOINTS = {
  "POST /key/generate": (admin: KeyAdmin, body: Body): JsonObject => admin.generate(body),
  "POST /key/delete": (admin: KeyAdmin, body: Body): JsonObject => admin.delete(body),
  "POST /key/block": (admin: KeyAdmin, body: Body): JsonObject => admin.block(body, true),
  "POST /key/unblock": (admin: KeyAdmin, body: Body): JsonObject => admin.block(body, false),
  "GET /key/info": (admin: KeyAdmin, _: Body, query: URLSearchParams): JsonObject => admin.info(query.get("key")),
} as const;

function infoOf({ record, ledger, isBlocked }: Account): JsonObject {
  const { alias, lease, expiresAt, createdAt, metadata } = record;
  const limit = limitsOf(lease).get(CURRENCY);
  return {
    key_alias: alias,
    models: [...(lease["model.use"] ?? [])],
    max_budget: limit === undefined ? null : numberOf(limit),
    spend: numberOf(ledger.spent(CURRENCY)),
    expires: expiresAt === null ? null : new Date(expiresAt).toISOString(),
    created_at: new Date(createdAt).toISOString(),
    blocked: isBlocked,
    metadata,
  };
}

function leaseOf(body: Body): Lease {
  const models = listOf(body, "models").map((model) => (model === ALL_MODELS ? "**" : model));
  if (models.length === 0) throw malformed(`models is required; ${ALL_MODELS} stands for every model`);
  const budget = budgetOf(body["max_budget"]);
  const lease = { "model.use": models, ...(budget !== undefined && { "cost.budget": [budget] }) };
  return validateLeaseShape(lease, { mayBeUnlimited: true });
}

function budgetOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0 || value > 1e12) {
    throw malformed("max_budget is an amount of USD, not below zero");
  }
  return `${CURRENCY}:${decimalOf(unitsOf(value))}`;
}

/** The counters that a lease of {@link leaseOf} starts with. */
function limitsOf(lease: Lease): Units {
  return new Map(
    (lease["cost.budget"] ?? []).map((amount) => [CURRENCY, parseDecimal(amount.split(":")[1] ?? "") ?? 0n]),
  );
}

function lifetimeOf(duration: unknown): number | undefined {
  if (duration === undefined || duration === null) return undefined;
  const [, count, unit] = /^(\d{1,9})(s|m|h|d|w|mo)$/.exec(String(duration)) ?? [];
  if (count === undefined) throw malformed('duration is a number and a unit, such as "30s", "15m", "24h" or "7d"');
  return Number(count) * SECONDS[unit as keyof typeof SECONDS] * 1000;
}

function aliasOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && value !== "" && value.length <= MAX_ALIAS_LENGTH) return value;
  throw malformed(`key_alias has 1 to ${MAX_ALIAS_LENGTH} characters`);
}

function metadataOf(value: unknown): JsonObject {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw malformed("metadata is an object");
  return value as JsonObject;
}

function listOf(body: Body, name: string): string[] {
  const value = body[name] ?? [];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw malformed(`${name} is a list of texts`);
}
