/** A runtime on an SQLite file, a client that reaches it over a WebSocket, and a directory that goes with them. */
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ARCPClient,
  ARCPError,
  ARCPServer,
  type ARCPServerOptions,
  type JobHandle,
  StaticBearerVerifier,
  type SubmitOptions,
  sqliteStore,
  startWebSocketServer,
} from "@arcp/sdk";

/** A job as its client saw it. */
export interface SeenJob {
  /** How it ended: `success`, or the code of its error. */
  readonly end: string;
  readonly result: unknown;
  /** The error of every `tool_result` that has one, in order. */
  readonly refusals: readonly Refusal[];
  /** The sum of its `cost.*` metrics in this currency, in billionths. */
  spent(currency: string): bigint;
}

export interface Refusal {
  readonly code: string;
  readonly callId: string;
  /** The narrowest pattern that would have allowed it, if there is one. */
  readonly needed: string | undefined;
}

export class Stage implements AsyncDisposable {
  /** Without links on the way to it. */
  readonly directory: string;
  readonly server: ARCPServer;
  readonly client: ARCPClient;
  readonly #close: () => Promise<void>;

  private constructor(directory: string, server: ARCPServer, client: ARCPClient, close: () => Promise<void>) {
    this.directory = directory;
    this.server = server;
    this.client = client;
    this.#close = close;
  }

  static async open(options: Partial<ARCPServerOptions> = {}): Promise<Stage> {
    const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-authority-")));
    const store = sqliteStore({ path: join(directory, "runtime.db") });
    const server = new ARCPServer({
      runtime: { name: "authority", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map([["demo-token", { principal: "demo" }]])),
      eventLog: store,
      ...options,
    });
    const listener = await startWebSocketServer({ onTransport: (transport) => void server.accept(transport) });
    const client = await ARCPClient.connect(listener.url, { token: "demo-token" });
    return new Stage(directory, server, client, async () => {
      await client.close();
      await server.close();
      await listener.close();
      await store.close();
      await rm(directory, { recursive: true, force: true });
    });
  }

  /** Submits a job and waits for its end, however it ends. */
  async run(options: SubmitOptions): Promise<SeenJob> {
    return seen(await this.client.submit(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

/** Follows a job to its end. */
export async function seen(job: JobHandle): Promise<SeenJob> {
  const refusals: Refusal[] = [];
  const costs: { readonly unit: string | undefined; readonly value: number }[] = [];
  for await (const { kind, body } of job) {
    if (kind === "tool_result" && body.error !== undefined) {
      const { code, details } = body.error;
      const needed = details?.["needed"];
      refusals.push({ code, callId: body.call_id, needed: typeof needed === "string" ? needed : undefined });
    }
    if (kind === "metric" && body.name.startsWith("cost.") && body.name !== "cost.budget.remaining")
      costs.push({ unit: body.unit, value: body.value });
  }
  const { end, result } = await job.done.then(
    (done) => ({ end: "success", result: done.result }),
    (error: unknown) => ({ end: codeOf(error), result: undefined }),
  );
  const spent = (currency: string): bigint =>
    costs.filter(({ unit }) => unit === currency).reduce((sum, { value }) => sum + BigInt(Math.round(value * 1e9)), 0n);
  return { end, result, refusals, spent };
}

const codeOf = (error: unknown): string => (error instanceof ARCPError ? error.code : String(error));

/** What came of an attempt, as the agent saw it: `allowed`, or the code of the refusal. */
export const outcomeOf = (attempt: Promise<unknown>): Promise<string> => attempt.then(() => "allowed", codeOf);
