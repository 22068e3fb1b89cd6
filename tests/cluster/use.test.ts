/** What a principal may do and have, over all nodes. */
import { type Clock, systemClock } from "@arcp/core";
import type { ARCPServerOptions, NodeUse, SharedStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";
import { Cluster, type Node, replacing, until } from "./cluster.ts";

/** A node that says what it has heard of the others. */
function hearing() {
  const heard = new Map<string, number>();
  let gate: Promise<void> | undefined;
  let asked = 0;
  const wrap = (store: SharedStore): SharedStore =>
    replacing(store, "exchangeUse", (exchange) => async (changed): Promise<readonly NodeUse[]> => {
      asked += 1;
      await gate;
      const uses = await exchange(changed);
      for (const { name, principal, value } of uses) heard.set(`${name} ${principal}`, value);
      return uses;
    });
  /** It neither says nor hears anything until what this returns is called. */
  const hold = (): (() => void) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    gate = promise;
    return resolve;
  };
  return {
    wrap,
    hold,
    hears: (what: string, value: number) => until(() => heard.get(what) === value),
    /** What others let in from now on is counted: what they had let in before it listened is not. */
    listens: () => until(() => asked > 1),
  };
}

/** Two nodes with the same settings. */
async function two(server: Partial<ARCPServerOptions>) {
  const puppet = new Puppet();
  const agents = { puppet: { handler: puppet.handler } };
  const [hereHears, thereHears] = [hearing(), hearing()];
  const cluster = await Cluster.of({ agents, server, wrap: hereHears.wrap }, { agents, server, wrap: thereHears.wrap });
  const [a, b] = cluster.nodes as [Node, Node];
  // Who comes second is known when it has said so.
  await b.up();
  await Promise.all([hereHears.listens(), thereHears.listens()]);
  const [here, there] = [await a.session(), await b.session()];
  return { puppet, here, there, hereHears, thereHears };
}

const isAccepted = async (client: RawClient): Promise<boolean> =>
  (await client.submit("puppet", 1)).type === "job.accepted";

describe.skipIf(reasonForNoPostgres() !== undefined)("over all nodes a principal may", () => {
  test("ask for so many jobs, and what was let in at once makes up for itself", async () => {
    let minutes = 0;
    const clock: Clock = { ...systemClock, monotonic: () => minutes * 60_000 };
    const { here, there, hereHears, thereHears } = await two({ clock, principalRates: { submitsPerMinute: 2 } });
    expect(await isAccepted(here)).toBe(true);
    await thereHears.hears("submitsPerMinute alice", 1);
    expect(await isAccepted(there)).toBe(true);
    const refused = await there.submit("puppet", 1);
    expect(refused.payload).toMatchObject({ details: { limit: "submitsPerMinute", retry_after_seconds: 30 } });
    await hereHears.hears("submitsPerMinute alice", 1);
    expect(await isAccepted(here)).toBe(false);
    const release = [hereHears, thereHears].map((one) => one.hold());
    minutes += 1;
    // Before either has heard of the other: twice as many as there may be.
    const accepted = await Promise.all([here, there, here, there].map(isAccepted));
    expect(accepted).toEqual([true, true, true, true]);
    for (const go of release) go();
    await Promise.all([hereHears, thereHears].map((one) => one.hears("submitsPerMinute alice", 3)));
    minutes += 1;
    expect(await Promise.all([here, there].map(isAccepted))).toEqual([false, false]);
    minutes += 1;
    expect(await isAccepted(here)).toBe(true);
  });

  test("have so many jobs that work, and those that wait elsewhere have their turn", async () => {
    const { puppet, here, there, hereHears, thereHears } = await two({
      concurrency: { perPrincipal: 1, maxWaitingPerPrincipal: 2 },
    });
    const submit = async (client: RawClient, input: string) => (await client.submit("puppet", input)).payload;
    await submit(here, "a1");
    const first = await puppet.next();
    await thereHears.hears("queue.working alice", 1);
    await submit(there, "b1");
    await submit(here, "a2");
    await Promise.all([hereHears, thereHears].map((one) => one.hears("queue.waiting alice", 1)));
    for (const client of [here, there]) {
      expect(await submit(client, "one more")).toMatchObject({ details: { limit: "maxWaitingPerPrincipal", max: 2 } });
    }
    first.finish();
    const second = await puppet.next();
    expect(second.input).toBe("b1");
    second.finish();
    const third = await puppet.next();
    expect(third.input).toBe("a2");
    third.finish();
  });
});
