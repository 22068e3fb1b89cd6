/** Several runtimes over one PostgreSQL, each a node, and clients that come to any of them. */
import { ARCPClient, type ConnectOptions } from "@arcp/client";
import { createLogger, pairMemoryTransports, StaticBearerVerifier, silentLogger, type Transport } from "@arcp/core";
import type { PostgresOptions } from "@arcp/postgres";
import {
  type AgentHandler,
  type AgentOptions,
  ARCPServer,
  type ARCPServerOptions,
  type SharedStore,
} from "@arcp/runtime";
import { onTestFinished } from "vitest";
import { TestCluster } from "../support/postgres-nodes.ts";
import { ALL_FEATURES, RawClient } from "../support/raw-client.ts";
import { RawClient10 } from "../support/raw-client-10.ts";

const TOKENS = ["alice", "bob"];

export interface TestAgent {
  readonly handler: AgentHandler;
  readonly options?: AgentOptions;
}

export interface NodeSettings {
  readonly agents?: Readonly<Record<string, TestAgent>>;
  readonly server?: Partial<ARCPServerOptions>;
  /** How it comes to the database. */
  readonly database?: Partial<PostgresOptions>;
  /** Changes what the node sees of the store. */
  readonly wrap?: (store: SharedStore) => SharedStore;
}

/** Resolves when what other processes do has come so far: nobody tells of it here. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** The store, with `method` done by `replace` given how it is done. */
export const replacing = <Name extends keyof SharedStore>(
  store: SharedStore,
  method: Name,
  replace: (original: SharedStore[Name]) => SharedStore[Name],
): SharedStore => {
  const replaced = replace((store[method] as () => unknown).bind(store) as unknown as SharedStore[Name]);
  return new Proxy(store, {
    get(target, name) {
      if (name === method) return replaced;
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
};

/** One runtime. */
export class Node {
  readonly name: string;
  readonly server: ARCPServer;
  readonly store: SharedStore;
  readonly errors: string[] = [];
  readonly #ends = new Set<Transport>();

  constructor(name: string, store: SharedStore, { agents = {}, server, wrap = (one) => one }: NodeSettings) {
    this.name = name;
    this.store = store;
    this.server = new ARCPServer({
      runtime: { name: "cluster", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map(TOKENS.map((token) => [token, { principal: token }]))),
      logger: createLogger((line) => this.errors.push(line), "warn"),
      eventLog: wrap(store),
      node: { name, ttlMs: 2_000 },
      ...server,
    });
    for (const [agent, { handler, options }] of Object.entries(agents)) {
      this.server.registerAgent(agent, handler, options);
    }
  }

  /** The client's end of a new connection. */
  readonly connect = async (): Promise<Transport> => {
    const [near, far] = pairMemoryTransports();
    this.#ends.add(near);
    await this.server.accept(far);
    return near;
  };

  async raw(): Promise<RawClient> {
    return new RawClient(await this.connect());
  }

  /** A client of single frames, welcomed. */
  async session(token = "alice", features: readonly string[] = ALL_FEATURES): Promise<RawClient> {
    const client = await this.raw();
    const answer = await client.hello(features, token);
    if (answer.type !== "session.welcome") throw new Error(`no welcome: ${JSON.stringify(answer.payload)}`);
    return client;
  }

  async raw10(): Promise<RawClient10> {
    return new RawClient10(await this.connect());
  }

  /** The same over wire 1.0. */
  async session10(token = "alice"): Promise<RawClient10> {
    const client = await this.raw10();
    const answer = await client.open({ auth: { scheme: "bearer", token } });
    if (answer.type !== "session.accepted") throw new Error(`not accepted: ${JSON.stringify(answer.payload)}`);
    return client;
  }

  cut(): void {
    for (const end of this.#ends) end.abort("cut by the test");
    this.#ends.clear();
  }

  /** Resolves when it takes part. */
  async up(): Promise<void> {
    await this.session();
  }

  /** Resolves when it has heard of another node that has the agent. */
  async knows(agent: string): Promise<void> {
    await until(async () => {
      const { payload } = await (await this.raw()).hello();
      const agents = payload.capabilities.agents as readonly { readonly name: string }[];
      return agents.some(({ name }) => name === agent);
    });
  }

  /** Pulls every cable, and lets go of the database without a word: as when the process is killed. */
  async kill(): Promise<void> {
    this.cut();
    await this.store.close();
  }
}

export class Cluster {
  readonly #database: TestCluster;
  readonly nodes: Node[] = [];

  private constructor(database: TestCluster) {
    this.#database = database;
  }

  /** Nodes `a`, `b`, …, with the same agents, or with those that each is given. */
  static async of(...settings: readonly NodeSettings[]): Promise<Cluster> {
    const cluster = new Cluster(await TestCluster.make());
    for (const one of settings) await cluster.add(one);
    return cluster;
  }

  async add(settings: NodeSettings): Promise<Node> {
    const name = String.fromCharCode(97 + this.nodes.length);
    const node = new Node(name, this.#database.store({ wakeMs: 1, ...settings.database }), settings);
    this.nodes.push(node);
    onTestFinished(() =>
      node.server.close().then(
        () => {},
        () => {},
      ),
    );
    return node;
  }

  /** Pulls every cable of every client. */
  cut(): void {
    for (const node of this.nodes) node.cut();
  }

  /** Everybody but `survivor` has been silent for too long. Resolves when they were declared dead for it. */
  async silence(survivor: Node): Promise<void> {
    const others = await this.ask<{ id: string }>("SELECT id FROM node WHERE is_up AND facts::json->>'name' <> $1", [
      survivor.name,
    ]);
    const ids = others.map(({ id }) => id);
    // One that lives may say so before anybody notices.
    await until(async () => {
      const late = "UPDATE node SET beat_at = beat_at - ttl_ms - 1 WHERE is_up AND id = ANY ($1) RETURNING id";
      return (await this.ask(late, [ids])).length === 0;
    });
  }

  /** Asks the database. */
  ask<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.#database.ask<Row>(text, values);
  }

  /** The real client; it goes to `node()` whenever it connects. */
  async client(node: () => Node, options: ConnectOptions = {}): Promise<ARCPClient> {
    const client = await ARCPClient.connect(() => node().connect(), {
      ...{ token: "alice", logger: silentLogger, reconnect: { initialDelayMs: 10, maxDelayMs: 50 } },
      ...options,
    });
    onTestFinished(async () => {
      client.closed.catch(() => {});
      await client.close();
    });
    return client;
  }
}
