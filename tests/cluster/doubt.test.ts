import { describe, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet, type Run, settle } from "../support/puppet.ts";
import { Cluster, type Node, replacing } from "./cluster.ts";

/** What an agent does to the world, and where that is recorded. */
const EFFECTS: readonly (readonly [string, (run: Run, effect: () => string) => Promise<unknown>])[] = [
  ["operation", ({ context }, effect) => context.operation("tool.call", "pay", effect)],
  ["step", ({ context }, effect) => context.step("pay", effect)],
];

describe.skipIf(reasonForNoPostgres() !== undefined)("while a node cannot say that it lives", () => {
  test.each([
    ["operation of a job", EFFECTS[0], false],
    ["step of a job", EFFECTS[1], false],
    ["step of a durable job", EFFECTS[1], true],
  ] as const)("no %s is done: others may do it", async (_what, effect, durable) => {
    const puppet = new Puppet();
    const clock = new ManualClock(Date.now());
    let answered: PromiseWithResolvers<void> | undefined;
    const cluster = await Cluster.of({
      agents: { puppet: { handler: puppet.handler, options: { durable } } },
      server: { clock },
      // Only what it says of itself does not get through.
      wrap: (store) =>
        replacing(store, "beat", (beat) => async (facts) => {
          await answered?.promise;
          return beat(facts);
        }),
    });
    const [a] = cluster.nodes as [Node];
    const client = await a.session();
    await client.submit("puppet", 1, { lease_request: { "tool.call": ["pay"] } });
    const run = await puppet.next();
    answered = Promise.withResolvers();
    clock.advance(2_000);
    const done: string[] = [];
    const paid = effect?.[1](run, () => {
      done.push("paid");
      return "paid";
    });
    // What the operation has said of itself is on disk by then.
    await settle();
    await run.context.log("info", "fence");
    await client.sees(({ payload }) => payload.body?.message === "fence");
    await settle(50);
    expect(done).toEqual([]);
    answered.resolve();
    await paid;
    expect(done).toEqual(["paid"]);
    run.finish();
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a welcome", () => {
  test("names the agents of all nodes that take jobs, over both wires", async () => {
    const { handler } = new Puppet();
    const cluster = await Cluster.of(
      { agents: { "both@1.0.0": { handler }, "here@1.0.0": { handler } } },
      { agents: { "both@2.0.0": { handler }, "there@1.0.0": { handler }, "there@1.1.0": { handler } } },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    await Promise.all([a.knows("there"), b.up()]);
    const all = [
      { name: "both", versions: ["1.0.0", "2.0.0"], default: "1.0.0" },
      { name: "here", versions: ["1.0.0"], default: "1.0.0" },
      { name: "there", versions: ["1.0.0", "1.1.0"], default: "1.1.0" },
    ];
    const { payload } = await (await a.raw()).hello();
    expect(payload.capabilities.agents).toEqual(all);
    const accepted = await (await a.raw10()).open();
    expect(accepted.payload.capabilities.agents).toEqual(all);
  });
});
