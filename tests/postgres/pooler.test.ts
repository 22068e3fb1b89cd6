/** Nodes behind a pooler in transaction mode: everything but the connection that listens goes through it. */
import { postgresBlobs } from "@arcp/postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { stored } from "../artifacts/blob-contract.ts";
import { collected, patterned } from "../artifacts/content.ts";
import { Cluster, type Node, until } from "../cluster/cluster.ts";
import { storeContract } from "../store/contract.ts";
import { Pooler, reasonForNoPooler } from "../support/pgbouncer.ts";
import { asked, postgresUrl, reasonForNoPostgres } from "../support/postgres.ts";
import { nodeFacts, TestCluster } from "../support/postgres-nodes.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";

const reason = reasonForNoPostgres() ?? reasonForNoPooler();

let pooler: Pooler;

describe.skipIf(reason !== undefined)("through a pooler in transaction mode", () => {
  beforeAll(async () => {
    pooler = await Pooler.before(await postgresUrl());
  }, 60_000);
  afterAll(() => pooler?.close());

  /** How a node behind it is set up. */
  const behind = (cluster: TestCluster) => ({ url: pooler.url, listenUrl: cluster.url });

  storeContract("PostgreSQL through PgBouncer", async () => {
    const cluster = await TestCluster.make();
    return {
      open: async () => (await cluster.node(behind(cluster))).store,
      reopen: async () => {
        await cluster.kill();
        return (await cluster.node(behind(cluster))).store;
      },
    };
  });

  test("contents of artifacts come and go", async () => {
    const { url, schema } = await TestCluster.make();
    const [one, two] = [postgresBlobs({ url: pooler.url, schema }), postgresBlobs({ url, schema })];
    onTestFinished(async () => void (await Promise.all([one.close(), two.close()])));
    const content = patterned(700_000);
    expect(await collected(two.read(await stored(one, content)))).toEqual(Buffer.from(content));
  });

  test("nodes wake each other over the connection that listens, which is not the pooler's", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [cluster.store({ ...behind(cluster), wakeMs: 1 }), cluster.store(behind(cluster))];
    const woken = new Promise<void>((resolve) => void one.watch(() => resolve()));
    await one.join(nodeFacts("node_1"), 60_000);
    await two.join(nodeFacts("node_2"), 60_000);
    await until(async () => {
      const listening = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE $1";
      return (await asked(cluster.url, listening, [`%${cluster.schema}%`])).length > 0;
    });
    await two.send([{ from: "node_2", to: "node_1", data: "wake up" }]);
    await woken;
    expect(await one.receive()).toEqual([{ from: "node_2", to: "node_1", data: "wake up" }]);
  });

  test("a job goes on at another node, even where nobody can listen", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler, options: { durable: true } } };
    // Over the pooler nothing is heard: what is to be seen is looked for.
    const cluster = await Cluster.of(
      { agents, database: { url: pooler.url } },
      { agents, database: { url: pooler.url } },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    let node = a;
    const client = await cluster.client(() => node);
    const job = await client.submit({ agent: "puppet", input: 1 });
    await emitLogs(await puppet.next(), 3);
    node = b;
    await a.kill();
    await cluster.silence(b);
    (await puppet.next()).finish("done");
    expect((await job.done).result).toBe("done");
  });
});
