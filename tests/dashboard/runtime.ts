/** A runtime with the dashboard on its port, which can be stopped and started again on the same port and store. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ARCPClient } from "@arcp/client";
import {
  createLogger,
  type Identity,
  type RunningWebSocketServer,
  StaticBearerVerifier,
  startWebSocketServer,
} from "@arcp/core";
import { dashboard, type SignIn } from "@arcp/dashboard";
import { type AgentHandler, ARCPServer, type JobRecord, sqliteStore } from "@arcp/runtime";

const builder = fileURLToPath(new URL("../../scripts/dashboard.mjs", import.meta.url));

/** The pages as their sources are now; does nothing if they are built. */
export const buildPages = async (): Promise<void> => void (await promisify(execFile)(process.execPath, [builder]));

/** By their tokens. */
const PEOPLE = new Map<string, Identity>([
  ["alice", { principal: "alice" }],
  ["bob", { principal: "bob" }],
  ["overseer", { principal: "olga", permissions: ["observe:all"] }],
  ["acme-alice", { principal: "alice", tenant: "acme" }],
  ["acme-overseer", { principal: "olga", tenant: "acme", permissions: ["observe:all"] }],
]);

/** People sign in somewhere that is never asked. */
export const SIGN_IN = {
  ...{ issuer: "https://id.example", clientId: "dashboard", publicUrls: ["https://agents.example/"] as const },
};

export class DashboardRuntime implements AsyncDisposable {
  readonly #agents: Readonly<Record<string, AgentHandler>>;
  readonly #directory = mkdtempSync(join(tmpdir(), "arcp-dashboard-"));
  readonly #clients: ARCPClient[] = [];
  #server: ARCPServer | undefined;
  #store: ReturnType<typeof sqliteStore> | undefined;
  #listener: RunningWebSocketServer | undefined;
  #port = 0;
  /** Log records of level error. */
  readonly errors: string[] = [];

  readonly #signInAt: ((url: string) => SignIn) | undefined;

  private constructor(agents: Readonly<Record<string, AgentHandler>>, signInAt?: (url: string) => SignIn) {
    this.#agents = agents;
    this.#signInAt = signInAt;
  }

  /** With `signInAt` people sign in otherwise than with a token; it is told where the page is. */
  static async start(
    agents: Readonly<Record<string, AgentHandler>>,
    signInAt?: (url: string) => SignIn,
  ): Promise<DashboardRuntime> {
    const runtime = new DashboardRuntime(agents, signInAt);
    await runtime.start();
    return runtime;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  async start(): Promise<void> {
    this.#store = sqliteStore({ path: join(this.#directory, "runtime.db") });
    let signIn: SignIn | undefined;
    const known = new StaticBearerVerifier(PEOPLE);
    const server = new ARCPServer({
      runtime: { name: "test", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: {
        verify: (token) => known.verify(token).catch((error) => signIn?.bearer.verify(token) ?? Promise.reject(error)),
      },
      cancelAuthority: "principal",
      eventLog: this.#store,
      logger: createLogger((line) => void this.errors.push(line), "error"),
    });
    for (const [name, agent] of Object.entries(this.#agents)) {
      server.registerAgent(`${name}@1.0.0`, agent, { durable: name.startsWith("durable") });
    }
    server.registerTool("search", { handler: async () => ({ hits: 3 }) });
    let pages = dashboard();
    this.#listener = await startWebSocketServer({
      port: this.#port,
      // One that comes while it stops is turned away.
      onTransport: (transport) => void server.accept(transport).catch(() => {}),
      onRequest: (request, response) => pages.handle(request, response),
    });
    this.#port = this.#listener.port;
    this.#server = server;
    signIn = this.#signInAt?.(this.url);
    if (signIn !== undefined) pages = dashboard({ signIn });
  }

  /** Stores jobs as they were left by some runtime before. */
  async keep(jobs: readonly JobRecord[]): Promise<void> {
    const nothing = { sessions: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() };
    await this.#store?.commit({ ...nothing, jobs, follows: [], audit: [], credentials: [], records: [] });
  }

  async stop(): Promise<void> {
    await this.#server?.close("restart", { drainMs: 0 });
    await this.#listener?.close();
    await this.#store?.close();
  }

  /** Another client, in the name of `principal`. */
  async connect(principal: string): Promise<ARCPClient> {
    const client = await ARCPClient.connect(this.#listener?.url ?? "", { token: principal });
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
