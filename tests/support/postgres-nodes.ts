/** Stores over one schema, each of them a node. */
import { ulid } from "@arcp/core";
import { type PostgresOptions, postgres } from "@arcp/postgres";
import type { NodeFacts, NodeId, SharedStore } from "@arcp/runtime";
import { onTestFinished } from "vitest";
import { asked, freshSchema, postgresUrl } from "./postgres.ts";

/** What a node says of itself in tests. */
export const nodeFacts = (id: NodeId, overrides: Partial<NodeFacts> = {}): NodeFacts => ({
  ...{ id, name: id, version: "1", agents: ["worker@1.0.0"], labels: {}, isDraining: false },
  ...{ jobs: 0, sessions: 0, lagMs: 0 },
  ...overrides,
});

export interface TestNode {
  readonly id: NodeId;
  readonly store: SharedStore;
}

/** Long enough for no test to wait for it. */
const TTL_MS = 60_000;

export class TestCluster {
  readonly url: string;
  readonly schema: string;

  private constructor(url: string) {
    this.url = url;
    this.schema = freshSchema(url);
  }

  /** An empty schema, with nobody in it. */
  static async make(): Promise<TestCluster> {
    return new TestCluster(await postgresUrl());
  }

  /** A store that is closed with the test, and that has not been used. */
  store(options: Partial<PostgresOptions> = {}): SharedStore {
    const store = postgres({ url: this.url, schema: this.schema, pool: { max: 4 }, ...options });
    onTestFinished(() => store.close());
    return store;
  }

  /** The same as a node. */
  async node(options: Partial<PostgresOptions> = {}): Promise<TestNode> {
    const [id, store]: [NodeId, SharedStore] = [`node_${ulid()}`, this.store(options)];
    await store.join(nodeFacts(id), TTL_MS);
    return { id, store };
  }

  /** Asks the database, with the tables by their names alone. */
  ask<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    const url = new URL(this.url);
    url.searchParams.set("options", `-c search_path=${this.schema}`);
    return asked<Row>(url.href, text, values);
  }

  /** Every node that is up has been declared dead, and nothing else has happened. */
  async kill(): Promise<void> {
    await this.ask("UPDATE node SET is_up = false WHERE is_up");
  }

  /** Lets the time of every node that is up run out, but for `survivor`; who beats next declares them dead. */
  async expire(survivor?: NodeId): Promise<void> {
    await this.ask("UPDATE node SET beat_at = beat_at - ttl_ms - 1 WHERE is_up AND id IS DISTINCT FROM $1", [survivor]);
  }
}
