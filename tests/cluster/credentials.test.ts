import { type Clock, systemClock } from "@arcp/core";
import { type AgentHandler, type CredentialProvisioner, MetricsRegistry } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { LEASE, Mint } from "../credentials/mint.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";
import { Cluster, type Node, type NodeSettings, until } from "./cluster.ts";

const leased = { lease_request: LEASE };

/** The upstream as one node reaches it. */
const reached = (mint: Mint, overrides: Partial<CredentialProvisioner> = {}): CredentialProvisioner => ({
  name: mint.name,
  issuesFor: (facts) => mint.issuesFor(facts),
  issue: (request) => mint.issue(request),
  revoke: (reference) => mint.revoke(reference),
  ...overrides,
});

const settings = (puppet: Puppet, provisioner: CredentialProvisioner, durable = false): NodeSettings => ({
  agents: { puppet: { handler: puppet.handler, options: { durable } } },
  server: { credentialProvisioners: [provisioner] },
});

const aliases = (mint: Mint): string[] => mint.revocations.map(({ alias }) => alias);

describe.skipIf(reasonForNoPostgres() !== undefined)("a credential", () => {
  test("of a job that another node runs is left alone by a node that begins, and by one that sees a third one die", async () => {
    const [puppet, mint] = [new Puppet(), new Mint()];
    const cluster = await Cluster.of(settings(puppet, mint));
    const [a] = cluster.nodes as [Node];
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1, leased)).payload;
    const run = await puppet.next();
    const b = await cluster.add(settings(puppet, mint));
    await b.up();
    const c = await cluster.add(settings(puppet, mint));
    await c.up();
    await c.server.close();
    const d = await cluster.add(settings(puppet, mint));
    await d.up();
    expect(mint.live).toHaveLength(1);
    run.finish("done");
    await client.end(job_id);
    await until(() => mint.live.length === 0);
    expect(mint.revocations).toHaveLength(1);
  });

  test("of a node that is gone is revoked once, and a job that is gone on with has a new one", async () => {
    const [puppet, mint] = [new Puppet(), new Mint()];
    const one = settings(puppet, mint, true);
    const cluster = await Cluster.of(one, one, one);
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1, leased)).payload;
    await puppet.next();
    await Promise.all([b.up(), c.up()]);
    await a.kill();
    await cluster.silence(b);
    const second = await puppet.next();
    await until(() => mint.minted[0]?.isDead === true);
    expect(mint.minted).toHaveLength(2);
    expect(mint.live.map(({ value }) => value)).toEqual([mint.minted[1]?.value]);
    expect(second.context.credentials.map((credential) => credential.reveal())).toEqual([mint.minted[1]?.value]);
    second.finish("done");
    const again = await b.raw();
    await again.resume(client, 0);
    expect((await again.end(job_id)).payload).toMatchObject({ result: "done" });
    await until(() => mint.live.length === 0);
    expect(new Set(aliases(mint)).size).toBe(2);
    expect(aliases(mint)).toHaveLength(2);
  });

  test("whose revocation a node that is gone had begun is revoked by one of the others", async () => {
    const [puppet, mint] = [new Puppet(), new Mint()];
    const asked = Promise.withResolvers<void>();
    const hanging = reached(mint, {
      revoke: () => {
        asked.resolve();
        return new Promise(() => {});
      },
    });
    const cluster = await Cluster.of(settings(puppet, hanging), settings(puppet, mint), settings(puppet, mint));
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1, leased)).payload;
    (await puppet.next()).finish("done");
    await client.end(job_id);
    await asked.promise;
    await Promise.all([b.up(), c.up()]);
    expect(mint.revocations).toEqual([]);
    await a.kill();
    await cluster.silence(b);
    await until(() => mint.live.length === 0);
    await until(async () => (await cluster.ask("SELECT FROM credential WHERE state < 3")).length === 0);
    expect(mint.revocations).toHaveLength(1);
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("credentials that no living node can revoke", () => {
  test("are told of, by one node, until there is one that can", async () => {
    const [puppet, mint] = [new Puppet(), new Mint()];
    const cluster = await Cluster.of(settings(puppet, mint));
    const [a] = cluster.nodes as [Node];
    const client = await a.session();
    await client.submit("puppet", 1, leased);
    await puppet.next();
    // What is looked at once a minute is looked at all the time.
    const clock: Clock = {
      ...systemClock,
      setTimer: (task, delayMs) => systemClock.setTimer(task, delayMs === 60_000 ? 20 : delayMs),
    };
    const metrics = [new MetricsRegistry(), new MetricsRegistry()];
    const others: Node[] = [];
    for (const one of metrics) others.push(await cluster.add({ server: { clock, metrics: one } }));
    const [b, c] = others as [Node, Node];
    await Promise.all([b.up(), c.up()]);
    await a.kill();
    await cluster.ask("UPDATE node SET beat_at = 0 WHERE facts::json->>'name' = 'a'");
    const isTold = (line: string): boolean => line.includes("no living node has their provisioner");
    const shown = (count: number) => `arcp_credentials_outstanding{state="orphaned"} ${count}\n`;
    await until(() => others.some(({ errors }) => errors.some(isTold)));
    await until(() => metrics.every((one) => one.text().includes(shown(1))));
    const [line] = others.flatMap(({ errors }) => errors.filter(isTold));
    expect(JSON.parse(line ?? "")).toMatchObject({ level: "error", provisioner: mint.name, count: 1 });
    expect(line).not.toContain(mint.minted[0]?.value);
    const told = others.filter(({ errors }) => errors.some(isTold));
    expect(told.map(({ name }) => name)).toEqual(["b"]);
    await cluster.add(settings(puppet, mint));
    await until(() => mint.live.length === 0);
    await until(() => metrics.every((one) => one.text().includes(shown(0))));
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a node that was taken for dead", () => {
  test("hears of it by what it commits, forgets what it had, and takes part again", async () => {
    const [puppet, mint] = [new Puppet(), new Mint()];
    const idle: AgentHandler = async () => "idle";
    const one = settings(puppet, mint);
    const cluster = await Cluster.of({ ...one, agents: { ...one.agents, idle: { handler: idle } } }, one);
    const [a, b] = cluster.nodes as [Node, Node];
    const client = await a.session();
    const { job_id } = (await client.submit("puppet", 1, leased)).payload;
    const { context } = await puppet.next();
    await b.up();
    await cluster.silence(b);
    await context.log("info", "too late").catch(() => {});
    if (!context.signal.aborted) {
      await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));
    }
    const again = await b.raw();
    await again.resume(client, 0);
    expect((await again.end(job_id)).payload).toMatchObject({ details: { reason: "runtime_restarted" } });
    await until(() => mint.live.length === 0);
    expect(mint.revocations).toHaveLength(1);
    // Until it has another id it tells clients to come back.
    let later: RawClient | undefined;
    await until(async () => {
      later = await a.session().catch(() => undefined);
      return later !== undefined;
    });
    if (later === undefined) throw new Error("nobody was let in");
    const answer = await later.submit("idle", 1);
    expect((await later.end(answer.payload.job_id)).payload).toMatchObject({ result: "idle" });
  });
});
