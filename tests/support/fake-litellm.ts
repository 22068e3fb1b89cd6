/** The administrative API of LiteLLM over HTTP, with a ledger of every key and faults on demand. */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Route = "generate" | "delete" | "use";

/** What happens to the next request of a route instead of what should. */
export type Fault =
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Nothing is done, and nothing is said. */
  | { readonly kind: "hang" }
  /** It is done, and nothing is said. */
  | { readonly kind: "silent" }
  /** Nothing is said; it is done when the test calls {@link FakeLiteLLM.doLate}. */
  | { readonly kind: "late" }
  /** It is done, and the connection breaks. */
  | { readonly kind: "reset" }
  /** Two keys are made under one alias, and one is returned. */
  | { readonly kind: "duplicate" }
  /** A key is made with the value of the one before. */
  | { readonly kind: "repeat" };

export interface FakeKey {
  readonly alias: string;
  readonly value: string;
  /** The body of the request. */
  readonly asked: Readonly<Record<string, unknown>>;
  readonly mintedAt: number;
  readonly expiresAt: number;
  revokedAt: number | undefined;
  spentUsd: number;
  uses: number;
}

export class FakeLiteLLM implements AsyncDisposable {
  readonly masterKey = `sk-master-${randomBytes(12).toString("hex")}`;
  readonly keys: FakeKey[] = [];
  /** Every request, in order: its route, and the aliases or the key that it was about. */
  readonly requests: { readonly route: Route; readonly about: string; readonly authorization: string }[] = [];
  /** Uses of dead keys that were refused. */
  refusedUses = 0;
  /** What a use costs. */
  costUsd = 0.01;
  readonly #server: Server;
  readonly #now: () => number;
  readonly #faults: Record<Route, Fault[]> = { generate: [], delete: [], use: [] };
  readonly #late: (() => void)[] = [];
  readonly #standing = new Map<Route, Fault>();
  #wake: (() => void)[] = [];

  private constructor(server: Server, now: () => number) {
    this.#server = server;
    this.#now = now;
    server.on("request", async (request, response) => {
      await this.#serve(request, response);
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  static async start(now: () => number = Date.now): Promise<FakeLiteLLM> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeLiteLLM(server, now);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The keys that can be used. */
  get live(): readonly FakeKey[] {
    return this.keys.filter((key) => key.revokedAt === undefined && key.expiresAt > this.#now());
  }

  /** The next requests of `route` meet with these, one each. */
  fail(route: Route, ...faults: readonly Fault[]): void {
    this.#faults[route].push(...faults);
  }

  /** Every request of `route` does, until {@link heal}. */
  failAlways(route: Route, fault: Fault): void {
    this.#standing.set(route, fault);
  }

  heal(): void {
    this.#standing.clear();
    for (const list of Object.values(this.#faults)) list.length = 0;
  }

  /** Resolves when `isTrue`, which is looked at after each request. */
  async until(isTrue: (self: this) => boolean): Promise<void> {
    while (!isTrue(this)) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Does what late requests asked for. Returns how many there were. */
  doLate(): number {
    return this.#late.splice(0).map((run) => run()).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const route = ROUTES.get(`${request.method} ${request.url}`);
    if (route === undefined) return reply(response, 404, { detail: "Not Found" });
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
    const authorization = request.headers.authorization ?? "";
    this.requests.push({
      route,
      about: String(body["key_alias"] ?? body["key_aliases"] ?? body["model"]),
      authorization,
    });
    const fault = this.#faults[route].shift() ?? this.#standing.get(route);
    if (fault?.kind === "hang") return;
    if (fault?.kind === "status") {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '{"error":{"message":"fault"}}');
      return;
    }
    if (fault?.kind === "late") {
      this.#late.push(() => void this.#answer(route, body, authorization, undefined));
      return;
    }
    const { status, answer } = this.#answer(route, body, authorization, fault);
    if (fault?.kind === "silent") return;
    if (fault?.kind === "reset") request.socket.destroy();
    else reply(response, status, answer);
  }

  #answer(route: Route, body: Record<string, unknown>, authorization: string, fault: Fault | undefined) {
    if (route === "use") return this.#use(body, authorization);
    if (authorization !== `Bearer ${this.masterKey}`) return refusal(401, "auth_error", "not the master key");
    return route === "generate" ? this.#generate(body, fault) : this.#delete(body);
  }

  #generate(body: Record<string, unknown>, fault: Fault | undefined) {
    const alias = String(body["key_alias"]);
    if (this.keys.some((key) => key.alias === alias && key.revokedAt === undefined)) {
      return refusal(400, "bad_request_error", `Key with alias '${alias}' already exists`);
    }
    const value = fault?.kind === "repeat" ? this.keys.at(-1)?.value : undefined;
    const key = this.#mint(alias, body, value);
    if (fault?.kind === "duplicate") this.#mint(alias, body);
    const { models, max_budget } = body;
    const expires = new Date(key.expiresAt).toISOString();
    return { status: 200, answer: { key: key.value, key_alias: alias, expires, models, max_budget, token_id: "h" } };
  }

  #mint(alias: string, asked: Record<string, unknown>, value = `sk-${randomBytes(16).toString("base64url")}`): FakeKey {
    const now = this.#now();
    const seconds = Number(/^(\d+)s$/.exec(String(asked["duration"]))?.[1] ?? Number.POSITIVE_INFINITY);
    const key = { alias, value, asked, mintedAt: now, expiresAt: now + seconds * 1000, revokedAt: undefined };
    this.keys.push({ ...key, spentUsd: 0, uses: 0 });
    return this.keys.at(-1) as FakeKey;
  }

  #delete(body: Record<string, unknown>) {
    const aliases = (body["key_aliases"] ?? []) as string[];
    const values = (body["keys"] ?? []) as string[];
    const found = this.keys.filter(
      (key) => key.revokedAt === undefined && (aliases.includes(key.alias) || values.includes(key.value)),
    );
    if (found.length === 0) return refusal(404, "internal_server_error", "{'error': 'No keys found'}");
    for (const key of found) key.revokedAt = this.#now();
    return { status: 200, answer: { deleted_keys: aliases } };
  }

  #use(body: Record<string, unknown>, authorization: string) {
    const key = this.live.find(({ value }) => authorization === `Bearer ${value}`);
    if (key === undefined) {
      this.refusedUses += 1;
      return refusal(401, "token_not_found_in_db", "Authentication Error, Invalid proxy server token passed.");
    }
    const models = key.asked["models"] as string[];
    const isAllowed = models.some((model) => model === body["model"] || model === "all-proxy-models");
    if (models.length > 0 && !isAllowed) {
      return refusal(
        403,
        "key_model_access_denied",
        `key not allowed to access model. This key can only access ${models}`,
      );
    }
    const max = key.asked["max_budget"];
    if (typeof max === "number" && key.spentUsd >= max) {
      return refusal(
        400,
        "budget_exceeded",
        `Budget has been exceeded! Current cost: ${key.spentUsd}, Max budget: ${max}`,
      );
    }
    key.spentUsd += this.costUsd;
    key.uses += 1;
    const message = { role: "assistant", content: "ok" };
    return { status: 200, answer: { id: "x", object: "chat.completion", choices: [{ index: 0, message }] } };
  }
}

const ROUTES: ReadonlyMap<string, Route> = new Map([
  ["POST /key/generate", "generate"],
  ["POST /key/delete", "delete"],
  ["POST /v1/chat/completions", "use"],
]);

const refusal = (status: number, type: string, message: string) => ({
  status,
  answer: { error: { message, type, param: "None", code: String(status) } },
});

function reply(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
