/** The model gateway: who may come in, and where to. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import {
  ARCPError,
  type Clock,
  InternalError,
  isLoopbackHost,
  LeaseExpiredError,
  type Logger,
  PermissionDeniedError,
  rootLogger,
  systemClock,
} from "@arcp/core";
import { type CredentialProvisioner, validateLeaseOp } from "@arcp/runtime";
import { ClientResponse } from "./client-response.ts";
import { exchange } from "./exchange.ts";
import { type Key, Keyring } from "./keyring.ts";
import { type ListenOptions, listen, type RunningListener } from "./listener.ts";
import { type ModelPrice, PriceTable } from "./price.ts";
import { GatewayProvisioner } from "./provisioner.ts";
import { invalidKey, refusalOf, refusedRequest, tooManyRequests, upstreamFault } from "./refusal.ts";
import { type BodyLimits, parseModelRequest, parseObject, readBody } from "./request.ts";
import { type Api, apiOf, routeOf } from "./routes.ts";
import { KeyAdmin } from "./standalone/key-admin.ts";
import { type KeyStore, noKeyStore, openKeyFile } from "./standalone/key-file.ts";
import { type UpstreamOptions, Upstreams, type UpstreamTimeouts } from "./upstream.ts";

/** How much a request for a model may be, and how long it may take. */
export interface GatewayLimits {
  /** Bytes of a request's body. Default: 32 MiB. */
  readonly maxBodyBytes: number;
  /** Milliseconds in which a body arrives. Default: 60,000. */
  readonly bodyTimeoutMs: number;
  /** Bytes of a response that is not streamed. Default: 64 MiB. */
  readonly maxResponseBytes: number;
  /** Bytes of one event of a stream. Default: 16 MiB. */
  readonly maxEventBytes: number;
  /** Requests under way with one key. Default: 64. */
  readonly maxConcurrentRequests: number;
  /** Milliseconds that a client may leave a response unread. Default: 60,000. */
  readonly stallTimeoutMs: number;
}

/** The limits where none are given. */
export const DEFAULT_GATEWAY_LIMITS: GatewayLimits = {
  maxBodyBytes: 32 * 1024 * 1024,
  bodyTimeoutMs: 60_000,
  maxResponseBytes: 64 * 1024 * 1024,
  maxEventBytes: 16 * 1024 * 1024,
  maxConcurrentRequests: 64,
  stallTimeoutMs: 60_000,
};

/** Keys that are made over HTTP, by whoever has the master key. */
export interface KeyAdminOptions {
  /** At least 16 characters. */
  readonly masterKey: string;
  /** A file in which the keys outlive the process, as digests. Without it they die with the process. */
  readonly keyFile?: string;
}

/** Where the models are, what they cost, and how much may be asked at once. */
export interface ModelGatewayOptions {
  /** The providers, each with its key. */
  readonly upstreams: readonly UpstreamOptions[];
  /** By the names, or patterns of names, under which jobs know the models. */
  readonly prices?: Readonly<Record<string, ModelPrice>>;
  /** Turns on `/key/*`. Default: there is no such thing. */
  readonly admin?: KeyAdminOptions;
  /** The provisioner's name in the runtime's ledger. Default: `arcp-gateway`. */
  readonly name?: string;
  /** The API for whose clients a credential's endpoint is made. Default: `openai`, if an upstream speaks it. */
  readonly profile?: Api;
  /** Where agents reach the gateway, without a path. Default: where it listens. */
  readonly publicUrl?: string;
  /** What keys begin with. Default: `sk-arcp-`. */
  readonly keyPrefix?: string;
  /** How much a request may be, and how long it may take. Default: {@link DEFAULT_GATEWAY_LIMITS}. */
  readonly limits?: Partial<GatewayLimits>;
  readonly timeouts?: UpstreamTimeouts;
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** Default: warnings and errors, on the standard error stream. */
  readonly logger?: Logger;
}

/**
 * Stands between jobs and model providers: each job has a key of its own, which opens the models of its lease while its
 * lease and its budget last (§9.6 to §9.8).
 */
export class ModelGateway implements AsyncDisposable {
  /** Issues keys to the jobs of a runtime in this process: every request passes the job's guard. */
  readonly provisioner: CredentialProvisioner;
  /** {@link answer}, bound, for `node:http`. */
  readonly handle: RequestListener = (request, response) => void this.#answer(request, response);
  readonly #keyring = new Keyring();
  readonly #upstreams: Upstreams;
  readonly #prices: PriceTable;
  readonly #admin: KeyAdmin | undefined;
  readonly #store: KeyStore;
  readonly #limits: GatewayLimits;
  readonly #bodyLimits: BodyLimits;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #publicOrigin: string | undefined;
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #listener: RunningListener | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @throws TypeError for options that cannot be meant.
   * @throws Error if the key file cannot be used.
   */
  constructor(options: ModelGatewayOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? rootLogger;
    this.#limits = { ...DEFAULT_GATEWAY_LIMITS, ...options.limits };
    const { maxBodyBytes: maxBytes, bodyTimeoutMs: timeoutMs } = this.#limits;
    this.#bodyLimits = { maxBytes, timeoutMs, clock: this.#clock };
    this.#prices = new PriceTable(options.prices ?? {});
    this.#upstreams = new Upstreams(options.upstreams, options.timeouts);
    this.#publicOrigin = options.publicUrl === undefined ? undefined : originOf(options.publicUrl);
    const prefix = options.keyPrefix ?? "sk-arcp-";
    this.provisioner = new GatewayProvisioner({
      name: options.name ?? "arcp-gateway",
      prefix,
      keyring: this.#keyring,
      profile: options.profile ?? (this.#upstreams.speaks("openai") ? "openai" : "anthropic"),
      origin: () => this.origin,
    });
    const { admin } = options;
    this.#store = admin?.keyFile === undefined ? noKeyStore : openKeyFile(admin.keyFile, this.#logger);
    this.#admin =
      admin === undefined
        ? undefined
        : new KeyAdmin({
            ...{ masterKey: admin.masterKey, prefix, keyring: this.#keyring },
            ...{ store: this.#store, clock: this.#clock, logger: this.#logger },
          });
  }

  /** Where agents reach it, such as `http://127.0.0.1:4000`. @throws InternalError while it neither listens nor knows. */
  get origin(): string {
    const origin = this.#publicOrigin ?? this.#listener?.origin;
    if (origin === undefined) throw new InternalError("the model gateway is not listening");
    return origin;
  }

  /** Starts a server of its own, on loopback by default. Rejects when it may not or cannot listen. */
  async listen(options: ListenOptions = {}): Promise<{ readonly origin: string; readonly port: number }> {
    if (this.#listener !== undefined || this.#closing !== undefined) throw new Error("the gateway listens once");
    this.#listener = await listen(this.handle, options);
    return this.#listener;
  }

  /** Ends what is under way, settles it, and closes every connection. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const reason = upstreamFault("shutting_down", "the gateway is shutting down");
    this.#stop.abort(reason);
    this.#keyring.stopAll(reason);
    await Promise.all(this.#underWay);
    await this.#listener?.close();
    await this.#upstreams.close();
    this.#store.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clock, limits } = { clock: this.#clock, limits: this.#limits };
    const client = new ClientResponse(response, { clock, stallMs: limits.stallTimeoutMs });
    const [path = ""] = (request.url ?? "").split("?", 1);
    const answered = this.#dispatch(request, path, client).catch((thrown: unknown) => {
      this.#refuse(thrown, routeOf(request.method, path)?.api ?? apiOf(path, request.headers), request, client);
    });
    this.#underWay.add(answered);
    await answered;
    this.#underWay.delete(answered);
  }

  #refuse(thrown: unknown, api: Api, request: IncomingMessage, client: ClientResponse): void {
    const error = ARCPError.from(thrown);
    if (error.code === "INTERNAL_ERROR") {
      this.#logger.warn({ err: error.cause ?? error, reason: error.details?.["reason"] }, "a request failed");
    }
    if (client.hasBegun) {
      // What is left of it would look like an end.
      client.abort();
      return;
    }
    const { status, headers, body } = refusalOf(error, api);
    client.begin(status, { ...headers, ...(!request.complete && { connection: "close" }) });
    client.end(body);
  }

  async #dispatch(request: IncomingMessage, path: string, client: ClientResponse): Promise<void> {
    if (this.#closing !== undefined) throw upstreamFault("shutting_down", "the gateway is shutting down");
    if (this.#admin !== undefined && KeyAdmin.serves(request.method, path)) {
      await this.#administer(this.#admin, request, path, client);
      return;
    }
    const route = routeOf(request.method, path);
    const isListing = request.method === "GET" && path === "/v1/models";
    if (route === undefined && !isListing) throw refusedRequest("no_such_endpoint", "there is nothing here");
    const key = this.#keyOf(request);
    const stopped = key.signal;
    const guard = key.facts.guard();
    if (guard === undefined) throw invalidKey();
    if (route === undefined) {
      this.#list(key, apiOf(path, request.headers), client);
      return;
    }
    const leave = key.enter(this.#limits.maxConcurrentRequests);
    if (leave === undefined) throw tooManyRequests(this.#limits.maxConcurrentRequests);
    try {
      const asked = parseModelRequest(route, await readBody(request, this.#bodyLimits, stopped));
      await exchange(
        { upstreams: this.#upstreams, prices: this.#prices, logger: this.#logger, limits: this.#limits },
        { route, request: asked, headers: request.headers, key, guard, stopped, client },
      );
    } finally {
      leave();
    }
  }

  #keyOf(request: IncomingMessage): Key {
    const key = this.#keyring.find(secretOf(request));
    if (key === undefined) throw invalidKey();
    return key;
  }

  /** The models that `key` may use, of those that have a name. */
  #list({ facts }: Key, api: Api, client: ClientResponse): void {
    const { lease, expiresAt } = facts;
    if (expiresAt !== undefined && this.#clock.now() >= expiresAt) throw new LeaseExpiredError("the lease has expired");
    const names = this.#upstreams.names(api, this.#prices.names).filter((name) => {
      try {
        return validateLeaseOp(lease, "model.use", name) === name;
      } catch (error) {
        if (error instanceof PermissionDeniedError) return false;
        throw error;
      }
    });
    const list =
      api === "openai"
        ? { object: "list", data: names.map((id) => ({ id, object: "model", created: 0, owned_by: "arcp-gateway" })) }
        : {
            data: names.map((id) => ({ type: "model", id, display_name: id, created_at: new Date(0).toISOString() })),
            has_more: false,
            first_id: names[0] ?? null,
            last_id: names.at(-1) ?? null,
          };
    answerJson(client, list);
  }

  async #administer(admin: KeyAdmin, request: IncomingMessage, path: string, client: ClientResponse): Promise<void> {
    admin.authorize(request.headers);
    const body =
      request.method === "GET" ? {} : parseObject(await readBody(request, this.#bodyLimits, this.#stop.signal));
    const query = new URLSearchParams((request.url ?? "").slice(path.length + 1));
    answerJson(client, admin.handle(request.method ?? "", path, query, body));
  }
}

function answerJson(client: ClientResponse, body: object): void {
  client.begin(200, { "content-type": "application/json" });
  client.end(JSON.stringify(body));
}

/** The one credential of a request: of several, something in front might have looked at another. */
function secretOf({ headersDistinct }: { readonly headersDistinct: NodeJS.Dict<string[]> }): string {
  const bearers = (headersDistinct["authorization"] ?? []).map((text) => /^Bearer (\S+)$/i.exec(text)?.[1]);
  const secrets = new Set([...bearers, ...(headersDistinct["x-api-key"] ?? [])]);
  const [secret, ...others] = secrets;
  if (secret === undefined || others.length > 0) throw invalidKey();
  return secret;
}

/** @throws TypeError for a URL over which a credential must not be sent. */
function originOf(publicUrl: string): string {
  const url = URL.parse(publicUrl);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new TypeError(`not the URL of a gateway: ${publicUrl}`);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw new TypeError("publicUrl has no path");
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname)) {
    throw new TypeError("publicUrl is https beyond this machine: credentials are sent there");
  }
  return url.origin;
}
