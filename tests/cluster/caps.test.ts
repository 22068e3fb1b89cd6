import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet } from "../support/puppet.ts";
import { Cluster, type Node } from "./cluster.ts";

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

  test("so many sessions", async () => {
    const settings = { server: { principalCaps: { maxSessions: 2 } } };
    const cluster = await Cluster.of(settings, settings);
    const [a, b] = cluster.nodes as [Node, Node];
    await b.session("bob");
    await a.session();
    await b.session();
    for (const node of [a, b]) {
      await expect(node.session()).rejects.toThrow('"limit":"maxSessions","max":2');
      const later = await (await node.raw10()).open();
      expect(later.type).toBe("session.rejected");
    }
  });
});
