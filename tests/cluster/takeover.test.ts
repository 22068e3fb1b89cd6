import type { AgentHandler, SharedStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { Cluster, type Node } from "./cluster.ts";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe.skipIf(reasonForNoPostgres() !== undefined)("a node that is gone", () => {
  test("leaves its durable jobs to another one, and the client sees one history", async () => {
    const done: string[] = [];
    let isKilled = false;
    const worker: AgentHandler = async (_input, context) => {
      let sum = 0;
      for (let n = 1; n <= 6; n += 1) {
        sum += await context.step(`step ${n}`, async () => {
          if (n === 4 && !isKilled) await new Promise(() => {});
          done.push(`step ${n}`);
          return n;
        });
        await context.log("info", String(n));
      }
      return sum;
    };
    const agents = { worker: { handler: worker, options: { durable: true } } };
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Node, Node];
    let node = a;
    const client = await cluster.client(() => node);
    const job = await client.submit({ agent: "worker", input: 1 });
    const numbers: (number | undefined)[] = [];
    for await (const event of job) {
      numbers.push(event.seq);
      if (numbers.length !== 3) continue;
      isKilled = true;
      node = b;
      await a.kill();
      await cluster.silence(b);
    }
    expect((await job.done).result).toBe(21);
    expect(numbers).toEqual(upTo(numbers.length));
    expect(done).toEqual(upTo(6).map((n) => `step ${n}`));
  });

  test("leaves others, too: they end, with an error that may be tried again", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Node, Node];
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1)).payload;
    await emitLogs(await puppet.next(), 2);
    await client.sees(({ event_seq }) => event_seq === 2);
    await a.kill();
    await cluster.silence(b);
    const again = await b.raw();
    await again.resume(client, 2);
    const { payload, event_seq } = await again.end(job_id);
    expect(payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { reason: "runtime_restarted" },
    });
    expect(event_seq).toBe(3);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a node that was taken for dead", () => {
  test("gets nothing in of what others have taken, stops its agents, and begins anew", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler, options: { durable: true } } };
    const frozen = Promise.withResolvers<void>();
    let isFrozen = false;
    // It does not hear from the database for a while, and commits late what it had begun.
    const freezing = (store: SharedStore): SharedStore =>
      new Proxy(store, {
        get(target, name) {
          const member: unknown = Reflect.get(target, name);
          if (typeof member !== "function") return member;
          if (name !== "commit" && name !== "beat") return member.bind(target);
          return async (...args: unknown[]) => {
            if (isFrozen) await frozen.promise;
            return Reflect.apply(member, target, args);
          };
        },
      });
    const cluster = await Cluster.of({ agents, wrap: freezing }, { agents });
    const [, b] = cluster.nodes as [Node, Node];
    const client = await cluster.nodes[0]?.session();
    if (client === undefined) throw new Error("no client");
    const { job_id } = (await client.submit("puppet", 1)).payload;
    const first = await puppet.next();
    await emitLogs(first, 2);
    await client.sees(({ event_seq }) => event_seq === 2);
    isFrozen = true;
    void first.context.log("info", "too late").catch(() => {});
    await cluster.silence(b);
    const second = await puppet.next();
    const again = await b.raw();
    await again.resume(client, 2);
    isFrozen = false;
    frozen.resolve();
    await new Promise<void>((resolve) => first.context.signal.addEventListener("abort", () => resolve()));
    await second.context.log("info", "in time");
    second.finish("done");
    expect((await again.end(job_id)).payload).toMatchObject({ result: "done" });
    const texts = again.ofJob(job_id).flatMap(({ payload }) => payload.body?.message ?? []);
    expect(texts).toContain("in time");
    expect(texts).not.toContain("too late");
    expect(again.numbered.map(({ event_seq }) => event_seq)).toEqual(upTo(again.numbered.length + 2).slice(2));
  });
});
