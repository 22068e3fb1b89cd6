import type { AgentHandler } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { Cluster } from "./cluster.ts";

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe.skipIf(reasonForNoPostgres() !== undefined)("a session", () => {
  test("is resumed at another node, which shows it what its job at the first one writes", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Cluster["nodes"][0], Cluster["nodes"][0]];
    const first = await a.session();
    const { job_id } = (await first.submit("puppet", 1)).payload as { job_id: string };
    const run = await puppet.next();
    await emitLogs(run, 3);
    await first.sees(({ event_seq }) => event_seq === 3);
    first.cut();

    const again = await b.raw();
    expect((await again.resume(first, 3)).type).toBe("session.welcome");
    await emitLogs(run, 3, 4);
    run.finish("done");
    const { payload } = await again.end(job_id);
    expect(payload).toMatchObject({ final_status: "success", result: "done" });
    expect(again.numbered.map(({ event_seq }) => event_seq)).toEqual([4, 5, 6, 7]);
  });

  test("of the client is at one node after the other, in one loop", async () => {
    let isOver = false;
    const counter: AgentHandler = async (_input, context) => {
      for (let n = 1; n <= 150; n += 1) {
        await context.log("info", String(n));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      isOver = true;
      return "done";
    };
    const agents = { counter: { handler: counter } };
    const cluster = await Cluster.of({ agents }, { agents }, { agents });
    let at = 0;
    const client = await cluster.client(() => cluster.nodes[at % 3] as never);
    const job = await client.submit({ agent: "counter", input: 1 });
    const numbers: (number | undefined)[] = [];
    const texts: unknown[] = [];
    for await (const event of job) {
      numbers.push(event.seq);
      if (event.kind === "log") texts.push(Number(event.body.message));
      if (numbers.length % 30 === 0 && !isOver) {
        at += 1;
        cluster.cut();
      }
    }
    expect((await job.done).result).toBe("done");
    expect(numbers).toEqual(upTo(150));
    expect(texts).toEqual(upTo(150));
    expect(at).toBeGreaterThanOrEqual(3);
  });
});
