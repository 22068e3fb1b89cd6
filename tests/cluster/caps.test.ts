import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet } from "../support/puppet.ts";
import { Cluster, type Node, until } from "./cluster.ts";

describe.skipIf(reasonForNoPostgres() !== undefined)("over all nodes a principal has at most", () => {
  test("so many jobs that have not ended", async () => {
    const puppet = new Puppet();
    const settings = {
      agents: { puppet: { handler: puppet.handler } },
      server: { principalCaps: { maxConcurrentJobs: 2 } },
    };
    const cluster = await Cluster.of(settings, settings);
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const [here, there] = [await a.session(), await b.session()];
    const first = await here.submit("puppet", 1);
    expect((await there.submit("puppet", 2)).type).toBe("job.accepted");
    for (const client of [here, there]) {
      expect((await client.submit("puppet", 3)).payload).toMatchObject({
        code: "INTERNAL_ERROR",
        details: { limit: "maxConcurrentJobsPerPrincipal", max: 2 },
      });
    }
    expect((await (await b.session("bob")).submit("puppet", 4)).type).toBe("job.accepted");
    (await puppet.next()).finish();
    await here.end(first.payload.job_id);
    expect((await there.submit("puppet", 5)).type).toBe("job.accepted");
    for (const run of puppet.runs) run.finish();
  });

  test("so many jobs in one session, wherever those run and it is", async () => {
    const puppet = new Puppet();
    const settings = { agents: { puppet: { handler: puppet.handler } }, server: { caps: { maxConcurrentJobs: 1 } } };
    const cluster = await Cluster.of(settings, settings);
    const [a, b] = cluster.nodes as [Node, Node];
    await b.up();
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1)).payload;
    client.cut();
    const again = await b.raw();
    await again.resume(client, 0);
    expect((await again.submit("puppet", 2)).payload).toMatchObject({
      details: { limit: "maxConcurrentJobs", max: 1 },
    });
    (await puppet.next()).finish();
    await again.end(job_id);
    expect((await again.submit("puppet", 3)).type).toBe("job.accepted");
    (await puppet.next()).finish();
  });

  test("so many sessions, also those that are detached", async () => {
    const settings = { server: { principalCaps: { maxSessions: 2 } } };
    const cluster = await Cluster.of(settings, settings);
    const [a, b] = cluster.nodes as [Node, Node];
    await b.session("bob");
    (await a.session()).cut();
    await b.session();
    await until(async () => (await cluster.ask("SELECT FROM session WHERE detached_at > 0")).length === 1);
    for (const node of [a, b]) {
      await expect(node.session()).rejects.toThrow('"limit":"maxSessions","max":2');
      const later = await (await node.raw10()).open();
      expect(later.type).toBe("session.rejected");
    }
  });
});
