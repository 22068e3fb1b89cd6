/** A gateway between a fake upstream and real clients. */
import Anthropic from "@anthropic-ai/sdk";
import { createLogger, type Lease } from "@arcp/core";
import { ModelGateway, type ModelGatewayOptions, type ModelPrice, type UpstreamOptions } from "@arcp/gateway";
import type { IssuedCredential } from "@arcp/runtime";
import OpenAI from "openai";
import { ManualClock } from "../support/manual-clock.ts";
import { FakeUpstream } from "./fake-upstream.ts";
import { TestJob } from "./job-guard.ts";

export const OPENAI_SECRET = "sk-upstream-openai-0123456789";
export const ANTHROPIC_SECRET = "sk-ant-upstream-9876543210";
export const MASTER_KEY = "sk-master-0123456789abcdef";

/** One dollar buys a million tokens of input, or half a million of output. */
const PRICES: Readonly<Record<string, ModelPrice>> = {
  "gpt-small": { input: "1", output: "2", cachedInput: "0.5", maxOutputTokens: 1000 },
  "tier-fast/*": { input: "1", output: "2" },
  "claude-small": { input: "3", output: "15", cachedInput: "0.3", cacheWrite: "3.75", maxOutputTokens: 1000 },
  "embed-small": { input: "0.02", output: "0" },
  "gpt-euro": { input: "1", output: "2", currency: "EUR" },
  "gpt-vision": { input: "1", output: "2", imageTokens: 1500 },
};

export interface FixtureOptions {
  readonly gateway?: Partial<ModelGatewayOptions>;
  readonly openai?: Partial<UpstreamOptions>;
  readonly anthropic?: Partial<UpstreamOptions>;
}

export class Fixture implements AsyncDisposable {
  readonly upstream: FakeUpstream;
  readonly gateway: ModelGateway;
  readonly clock: ManualClock;
  /** What was logged, as JSON. */
  readonly logged: string[];
  readonly origin: string;

  private constructor(
    upstream: FakeUpstream,
    gateway: ModelGateway,
    clock: ManualClock,
    logged: string[],
    origin: string,
  ) {
    this.upstream = upstream;
    this.gateway = gateway;
    this.clock = clock;
    this.logged = logged;
    this.origin = origin;
  }

  static async start(options: FixtureOptions = {}): Promise<Fixture> {
    const upstream = await FakeUpstream.start();
    const clock = new ManualClock();
    const logged: string[] = [];
    const gateway = new ModelGateway({
      upstreams: [
        {
          api: "openai",
          baseUrl: `${upstream.origin}/v1`,
          apiKey: OPENAI_SECRET,
          models: ["gpt-small", "gpt-big", "gpt-free", "gpt-euro", "gpt-vision", "embed-small", "tier-fast/*"],
          ...options.openai,
        },
        {
          api: "anthropic",
          baseUrl: upstream.origin,
          apiKey: ANTHROPIC_SECRET,
          models: { "claude-small": "claude-small-20260101" },
          ...options.anthropic,
        },
      ],
      prices: PRICES,
      clock,
      logger: createLogger((line) => logged.push(line), "debug"),
      ...options.gateway,
    });
    const { origin } = await gateway.listen();
    return new Fixture(upstream, gateway, clock, logged, origin);
  }

  /** A job with `lease`, and a credential for it. */
  async job(
    lease: Lease,
    expiresAt?: string,
  ): Promise<{ readonly job: TestJob; readonly credential: IssuedCredential }> {
    const job = new TestJob(lease, this.clock, expiresAt);
    return { job, credential: await job.issue(this.gateway.provisioner) };
  }

  openai(apiKey: string): OpenAI {
    return new OpenAI({ apiKey, baseURL: `${this.origin}/v1` });
  }

  anthropic(apiKey: string): Anthropic {
    return new Anthropic({ apiKey, authToken: null, baseURL: this.origin });
  }

  /** A request without a client library. */
  post(path: string, key: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(`${this.origin}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  /** The same for an administrator. */
  async admin(method: string, path: string, body?: unknown, key = MASTER_KEY): Promise<AdminAnswer> {
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close();
    await this.upstream[Symbol.asyncDispose]();
    if (this.clock.pending > 0) throw new Error(`${this.clock.pending} timers were left behind`);
  }
}

export interface AdminAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export const HELLO = [{ role: "user" as const, content: "Hello" }];

/** What a promise is rejected with. */
export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error("it was not rejected");
    },
    (error: unknown) => error,
  );
