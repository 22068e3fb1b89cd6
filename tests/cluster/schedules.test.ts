/** RFC §10.6 over several nodes: whoever is there runs what is due, once. */
import type { SharedStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { Cluster, type Node, type NodeSettings, replacing, until } from "./cluster.ts";

/** Counts over all nodes what was run, by its input. */
function counting(): { readonly runs: number[]; readonly node: NodeSettings } {
  const runs: number[] = [];
  const handler = async (input: unknown): Promise<unknown> => {
    runs.push((input as { n: number }).n);
    return input;
  };
  return { runs, node: { agents: { count: { handler } } } };
}

const schedule = (client: RawClient10, n: number, when: object, members: object = {}) =>
  client.ask(
    "job.schedule",
    { job: { type: "tool.invoke", payload: { tool: "count", arguments: { n } } }, when },
    members,
  );

const areOver = async (cluster: Cluster): Promise<boolean> =>
  (await cluster.ask("SELECT FROM record WHERE kind = 'schedule'")).length === 0;

describe.skipIf(reasonForNoPostgres() !== undefined)("a schedule", () => {
  test("runs once, however many nodes there are, and tells who asked for it", async () => {
    const { runs, node } = counting();
    const cluster = await Cluster.of(node, node, node);
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    await Promise.all([b.up(), c.up()]);
    const client = await a.session10();
    const made = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => schedule(client, n, { after: 1 }));
    const ids = (await Promise.all(made)).map(({ job_id }) => job_id);
    for (const id of ids) {
      const { payload } = await client.sees(
        ({ type, causation_id }) => type === "job.completed" && causation_id === id,
        `the run of ${id}`,
      );
      expect(payload.value).toEqual({ n: ids.indexOf(id) + 1 });
    }
    await until(() => areOver(cluster));
    const keys = await cluster.ask<{ count: string }>("SELECT count(*)::text FROM job");
    expect(keys).toEqual([{ count: "8" }]);
    expect(runs.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(cluster.nodes.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test("is cancelled at another node, and one key is one schedule", async () => {
    const { runs, node } = counting();
    const cluster = await Cluster.of(node, node);
    const [a, b] = cluster.nodes as [Node, Node];
    const [here, there] = [await a.session10(), await b.session10()];
    const once = { idempotency_key: "once" };
    const made = await Promise.all([schedule(here, 1, { after: 2 }, once), schedule(there, 1, { after: 2 }, once)]);
    const [id, same] = made.map(({ job_id }) => job_id);
    expect(same).toBe(id);
    const cancelled = await there.ask("cancel", { target: "job", target_id: id });
    expect(cancelled.type).toBe("cancel.accepted");
    const later = await schedule(here, 2, { after: 3 });
    await here.sees(({ type, causation_id }) => type === "job.completed" && causation_id === later.job_id);
    expect(runs).toEqual([2]);
  });

  test("is run by another node when the one that was about to run it is gone", async () => {
    const { runs, node } = counting();
    const [claimed, isOver] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const isSchedules = ({ principal }: { readonly principal: string }): boolean => principal === "\u0000schedules";
    // The first one claims, and gets no further; the second comes after it.
    const first = (store: SharedStore) =>
      replacing(store, "bindKey", (bindKey) => async (record) => {
        const bound = await bindKey(record);
        if (!isSchedules(record)) return bound;
        claimed.resolve();
        await isOver.promise;
        throw new Error("it is gone");
      });
    const second = (store: SharedStore) =>
      replacing(store, "bindKey", (bindKey) => async (record) => {
        if (isSchedules(record)) await claimed.promise;
        return bindKey(record);
      });
    const cluster = await Cluster.of({ ...node, wrap: first }, { ...node, wrap: second });
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const client = await a.session10();
    await schedule(client, 1, { after: 1 });
    await claimed.promise;
    expect(runs).toEqual([]);
    await a.kill();
    await cluster.silence(b);
    await until(() => areOver(cluster));
    await until(() => runs.length > 0);
    expect(runs).toEqual([1]);
    isOver.resolve();
  });
});
