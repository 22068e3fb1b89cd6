/** Where requests go: which upstream has a model, and how it is spoken to. */
import { isLoopbackHost } from "@arcp/core";
import { matchGlob } from "@arcp/runtime";
import { Agent, type Dispatcher } from "undici";
import { refusedRequest, upstreamFault } from "./refusal.ts";
import type { Api, Route } from "./routes.ts";

/** One provider: where it is, what it speaks, and the key that jobs never see. */
export interface UpstreamOptions {
  /** The API that it speaks. Nothing is translated. */
  readonly api: Api;
  /** As the vendor's client takes it: `https://api.openai.com/v1`, `https://api.anthropic.com`. */
  readonly baseUrl: string;
  /** The real key. It goes to this upstream and nowhere else. */
  readonly apiKey: string;
  /** Names and patterns of its models, or its models' names by the names that jobs know. */
  readonly models: readonly string[] | Readonly<Record<string, string>>;
  /** The member that limits the output of a chat that names no limit. Default: `max_completion_tokens`. */
  readonly chatLimit?: "max_completion_tokens" | "max_tokens";
  /** Values of `anthropic-beta` that are passed on. Default: none. */
  readonly betas?: readonly string[];
  /** What is refused by default and let through here, such as `web_search_options` or `tools:web_search`. */
  readonly allow?: readonly string[];
  /** Allows `http:` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
}

/** How long a provider may take for what. */
export interface UpstreamTimeouts {
  /** Milliseconds to connect. Default: 10,000. */
  readonly connectMs?: number;
  /** Milliseconds until a response begins. Default: 600,000. */
  readonly headersMs?: number;
  /** Milliseconds between two pieces of a response. Default: 300,000. */
  readonly bodyMs?: number;
}

/** A model as an upstream has it. */
export interface UpstreamModel {
  readonly upstream: Upstream;
  readonly name: string;
}

export class Upstream {
  readonly api: Api;
  readonly chatLimit: string;
  readonly allow: ReadonlySet<string>;
  readonly secret: Buffer;
  readonly #base: URL;
  readonly #models: readonly { readonly pattern: string; readonly name: string | undefined }[];
  readonly #betas: readonly string[];

  /** @throws TypeError for options that cannot be meant. */
  constructor(options: UpstreamOptions) {
    this.api = options.api;
    this.chatLimit = options.chatLimit ?? "max_completion_tokens";
    this.allow = new Set(options.allow);
    this.#base = baseOf(options);
    if (!/^[\x21-\x7e]{1,4096}$/.test(options.apiKey)) throw new TypeError(`no usable apiKey for ${this.#base.host}`);
    this.secret = Buffer.from(options.apiKey);
    this.#betas = options.betas ?? [];
    this.#models = isList(options.models)
      ? options.models.map((pattern) => ({ pattern, name: undefined }))
      : Object.entries(options.models).map(([pattern, name]) => ({ pattern, name }));
  }

  get host(): string {
    return this.#base.host;
  }

  /** The names of models that are no patterns. */
  get names(): string[] {
    return this.#models.map(({ pattern }) => pattern).filter((pattern) => !pattern.includes("*"));
  }

  /** The upstream's own name of `model`; undefined if it has none such. */
  nameOf(model: string): string | undefined {
    const entry = this.#models.find(({ pattern }) => pattern === model || matchGlob(pattern, model));
    return entry === undefined ? undefined : (entry.name ?? model);
  }

  /** Nothing of the client's headers but what the API needs, each in a form that it is known to have. */
  request(route: Route, body: Buffer, client: ClientHeaders, signal: AbortSignal): Dispatcher.RequestOptions {
    const secret = this.secret.toString();
    const version = client["anthropic-version"];
    const betas = String(client["anthropic-beta"] ?? "")
      .split(",")
      .map((beta) => beta.trim());
    const allowed = betas.filter((beta) => this.#betas.includes(beta));
    return {
      origin: this.#base.origin,
      path: `${this.#base.pathname.replace(/\/+$/, "")}${route.upstreamPath}`,
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        // What is compressed cannot be counted as it passes.
        "accept-encoding": "identity",
        "user-agent": "arcp-gateway",
        ...(this.api === "openai"
          ? { authorization: `Bearer ${secret}` }
          : {
              "x-api-key": secret,
              "anthropic-version":
                typeof version === "string" && /^\d{4}-\d{2}-\d{2}$/.test(version) ? version : "2023-06-01",
              ...(allowed.length > 0 && { "anthropic-beta": allowed.join(",") }),
            }),
      },
      body,
      signal,
    };
  }
}

export type ClientHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

const isList = (models: UpstreamOptions["models"]): models is readonly string[] => Array.isArray(models);

function baseOf({ baseUrl, allowInsecure }: UpstreamOptions): URL {
  const url = URL.parse(baseUrl);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new TypeError(`not the URL of an upstream: ${baseUrl}`);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new TypeError("the URL of an upstream has no user, query or fragment");
  }
  if (url.protocol === "http:" && !isLoopbackHost(url.hostname) && allowInsecure !== true) {
    throw new TypeError(`the key of ${url.host} would be sent unencrypted: use https, or allowInsecure`);
  }
  return url;
}

/** All upstreams, and the connections to them. Proxies of the environment are ignored, redirects are not followed. */
export class Upstreams {
  readonly #upstreams: readonly Upstream[];
  readonly #agent: Agent;

  constructor(options: readonly UpstreamOptions[], { connectMs, headersMs, bodyMs }: UpstreamTimeouts = {}) {
    this.#upstreams = options.map((upstream) => new Upstream(upstream));
    this.#agent = new Agent({
      connect: { timeout: connectMs ?? 10_000 },
      headersTimeout: headersMs ?? 600_000,
      bodyTimeout: bodyMs ?? 300_000,
      maxHeaderSize: 32 * 1024,
      pipelining: 1,
    });
  }

  speaks(api: Api): boolean {
    return this.#upstreams.some((upstream) => upstream.api === api);
  }

  /** The models of `api` that are named somewhere; those of patterns are named by `others`. */
  names(api: Api, others: Iterable<string>): string[] {
    const upstreams = this.#upstreams.filter((upstream) => upstream.api === api);
    const known = [...others].filter((name) => upstreams.some((upstream) => upstream.nameOf(name) !== undefined));
    return [...new Set([...upstreams.flatMap(({ names }) => names), ...known])].sort();
  }

  /** The first upstream of `api` that has `model`. @throws InvalidRequestError if none has. */
  find(api: Api, model: string): UpstreamModel {
    for (const upstream of this.#upstreams) {
      const name = upstream.api === api ? upstream.nameOf(model) : undefined;
      if (name !== undefined) return { upstream, name };
    }
    throw refusedRequest("unknown_model", `no upstream has the model ${JSON.stringify(model)}`);
  }

  /**
   * Sends one request. Resolves with a response of any status.
   *
   * @throws UnsentError if the upstream cannot have heard of it, InternalError if it may have.
   */
  async send(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    try {
      return await this.#agent.request(options);
    } catch (error) {
      if (NEVER_SENT.has(codeOf(error))) throw new UnsentError(error);
      throw upstreamFault("upstream_unavailable", "the upstream did not answer", error);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** The upstream was not reached, so it has done nothing. */
export class UnsentError extends Error {
  constructor(cause: unknown) {
    super("the upstream was not reached", { cause });
    this.name = "UnsentError";
  }
}

/** What ends an attempt to connect, before a byte of the request has left. */
const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_HAS_EXPIRED",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);

const codeOf = (error: unknown): string => String((error as { readonly code?: unknown } | undefined)?.code ?? "");
