/** Webhooks over several nodes: each is told by one of them, and by another if that one is gone. */
import { describe, expect, test } from "vitest";
import { Cluster, type Node, type NodeSettings, until } from "../cluster/cluster.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { type Received, Receiver, status } from "./receiver.ts";

const JOBS = 12;

/** Without `ttlMs` a node that says nothing for two seconds is taken for dead: that of a busy machine might be. */
const settings = (receiver: Receiver, ttlMs?: number): NodeSettings => ({
  agents: { echo: { handler: async (input) => input } },
  server: {
    ...(ttlMs !== undefined && { node: { name: "patient", ttlMs } }),
    webhooks: { endpoints: [{ name: "ops", url: receiver.url, secret: receiver.secret }], firstRetryMs: 50 },
  },
});

const idsOf = (requests: readonly Received[]): string[] => requests.map(({ headers }) => String(headers["webhook-id"]));

const isTold = async (cluster: Cluster): Promise<boolean> =>
  (await cluster.ask("SELECT FROM record WHERE kind = 'webhook/ops'")).length === 0;

describe.skipIf(reasonForNoPostgres() !== undefined)("what several nodes have to tell", () => {
  test("is told once, whoever has it to tell and however often it was refused before", async () => {
    await using receiver = await Receiver.start();
    let refusals = JOBS;
    receiver.answer = (response) => void response.writeHead(refusals-- > 0 ? 503 : 204).end();
    const cluster = await Cluster.of(...Array(3).fill(settings(receiver, 60_000)));
    const clients = await Promise.all(cluster.nodes.map((node) => node.session()));
    for (let n = 0; n < JOBS; n += 1) await clients[n % clients.length]?.submit("echo", { n });
    await until(() => isTold(cluster));
    expect(receiver.all).toHaveLength(2 * JOBS);
    expect(new Set(idsOf(receiver.all)).size).toBe(JOBS);
    // Nothing is left of the claims.
    await until(async () => {
      const claims = await cluster.ask("SELECT FROM idempotency WHERE principal LIKE '%webhooks'");
      return claims.length === 0;
    });
    expect(cluster.nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test("is told by another node when the one that was telling it is gone", async () => {
    await using receiver = await Receiver.start();
    receiver.answer = () => {}; // Whoever comes first waits for ever.
    const cluster = await Cluster.of(settings(receiver), settings(receiver));
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const client = await a.session();
    const { job_id } = await client.submit("echo", {});
    const [first] = await receiver.has(1);
    receiver.answer = status(204);
    const teller = await ownerOf(cluster);
    const [gone, left] = teller === "a" ? [a, b] : [b, a];
    await gone.kill();
    await cluster.silence(left);
    const [, second] = await receiver.has(2);
    expect(idsOf([first as Received, second as Received])).toEqual(Array(2).fill(first?.headers["webhook-id"]));
    expect((await receiver.verified(second as Received)).event.data["job_id"]).toBe(job_id);
    await until(() => isTold(cluster));
  });
});

/** The name of the node that tells it. */
async function ownerOf(cluster: Cluster): Promise<string | undefined> {
  const [row] = await cluster.ask<{ name: string }>(
    "SELECT facts::json->>'name' AS name FROM idempotency JOIN node ON node.id = node WHERE principal LIKE '%webhooks'",
  );
  return row?.name;
}
