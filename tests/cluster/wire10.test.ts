/** Wire 1.0 at one node, with jobs at another. */
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { emitLogs, Puppet, type Run } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { Cluster, type Node, until } from "./cluster.ts";

interface Apart {
  readonly cluster: Cluster;
  readonly client: RawClient10;
  readonly jobId: string;
  readonly run: Run;
}

/** A client at a node that does not have the agent of its job. */
async function apart(): Promise<Apart> {
  const puppet = new Puppet();
  const cluster = await Cluster.of({}, { agents: { puppet: { handler: puppet.handler } } });
  const [a, b] = cluster.nodes as [Node, Node];
  await Promise.all([a.knows("puppet"), b.up()]);
  const client = await a.session10();
  const { job_id: jobId = "" } = await client.invoke("puppet", 1);
  return { cluster, client, jobId, run: await puppet.next() };
}

describe.skipIf(reasonForNoPostgres() !== undefined)("over wire 1.0, from another node", () => {
  test("a job is run, and its client sees what it does", async () => {
    const { client, jobId, run } = await apart();
    run.finish({ sum: 1 });
    expect((await client.ending(jobId)).type).toMatch(/job.completed|tool.result/);
  });

  test("a stream is cancelled, and its job goes on", async () => {
    const { client, jobId, run } = await apart();
    const stream = run.context.openStream({ kind: "text" });
    await stream.write("one");
    const { stream_id } = await client.sees(({ type }) => type === "stream.chunk", "a chunk");
    const cancelled = await client.ask("cancel", { target: "stream", target_id: stream_id });
    expect(cancelled.type).toBe("cancel.accepted");
    await expect(stream.write("two")).rejects.toThrow();
    const again = await client.ask("cancel", { target: "stream", target_id: stream_id });
    expect(again.type).toBe("cancel.refused");
    run.finish("done");
    await client.ending(jobId);
  });

  test("a checkpoint is asked for", async () => {
    const { client, jobId, run } = await apart();
    run.context.onCheckpoint(() => ({ at: 7 }));
    const answer = await client.ask("checkpoint.create", {}, { job_id: jobId });
    expect(answer).toMatchObject({ type: "ack" });
    run.finish("done");
    await client.ending(jobId);
  });

  test("a session is closed with its jobs", async () => {
    const { client, run } = await apart();
    const stopped = new Promise<void>((resolve) => run.context.signal.addEventListener("abort", () => resolve()));
    client.send("session.close", { reason: "enough", dispose_jobs: "cancel" });
    await stopped;
    run.fail(run.context.signal.reason);
  });

  test("a session is observed, and resumed where it was observed from", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler } };
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Node, Node];
    const owner = await a.session();
    const observer = await b.session10();
    const answer = await observer.ask("subscribe", { filter: { session_id: [owner.sessionId] } });
    expect(answer.type).toBe("subscribe.accepted");
    owner.cut();
    const again = await b.raw();
    expect((await again.resume(owner, 0)).type).toBe("session.welcome");
    const { job_id } = (await again.submit("puppet", 1)).payload;
    (await puppet.next()).finish("done");
    expect((await again.end(job_id)).payload).toMatchObject({ result: "done" });
  });

  test("a permission is granted, extended and taken back, and the operator takes one back at any node", async () => {
    const { client, jobId, run, cluster } = await apart();
    const [a, b] = cluster.nodes as [Node, Node];
    const what = {
      permission: "payments.refund",
      resource: "invoice/42",
      operation: "refund",
      requestedLeaseSeconds: 60,
    };
    const ask = async (from: RawClient10) => {
      const asking = run.context.requestPermission(what);
      const seen = new Set(from.ofType("permission.request").map(({ id }) => id));
      const request = await from.sees(({ type, id }) => type === "permission.request" && !seen.has(id));
      from.send("permission.grant", {}, { correlation_id: request.id });
      return asking;
    };
    const grant = await ask(client);
    const lease = { lease_id: grant.leaseId };
    const before = grant.expiresAt;
    client.send("lease.refresh", { ...lease, requested_seconds: 120 });
    await client.sees(({ type, payload }) => type === "lease.extended" && payload.lease_id === grant.leaseId);
    expect(Date.parse(grant.expiresAt)).toBeGreaterThan(Date.parse(before));
    // Of another session at the same node, which does not follow the job.
    const other = await a.session10();
    const taken = await other.ask("lease.revoked", { ...lease, reason: "enough" });
    expect(taken.type).toBe("ack");
    expect(grant.isActive).toBe(false);
    for (const one of [client, other]) {
      await one.sees(({ type, payload }) => type === "lease.revoked" && payload.lease_id === grant.leaseId);
    }
    const late = await other.ask("lease.refresh", lease);
    expect(late.payload).toMatchObject({ code: "LEASE_REVOKED" });
    const unknown = await other.ask("lease.refresh", { lease_id: "lease_unknown" });
    expect(unknown.payload).toMatchObject({ code: "NOT_FOUND" });
    const stranger = await a.session10("bob");
    const second = await ask(client);
    const denied = await stranger.ask("lease.revoked", { lease_id: second.leaseId });
    expect(denied.payload).toMatchObject({ code: "NOT_FOUND" });
    expect(await a.server.revokeGrant(second.leaseId)).toBe(true);
    expect(await b.server.revokeGrant(second.leaseId)).toBe(false);
    expect(second.isActive).toBe(false);
    run.finish("done");
    await client.ending(jobId);
  });

  test("whatever jobs write is observed live, once and in order, also when another node goes on with one", async () => {
    const puppet = new Puppet();
    const agents = { puppet: { handler: puppet.handler, options: { durable: true } } };
    const cluster = await Cluster.of({ agents }, { agents });
    const [a, b] = cluster.nodes as [Node, Node];
    const owner = await a.session();
    const early = (await owner.submit("puppet", 1)).payload.job_id as string;
    const first = await puppet.next();
    await emitLogs(first, 2);
    const observer = await b.session10();
    const stranger = await b.session10("bob");
    for (const one of [observer, stranger]) {
      expect((await one.ask("subscribe", { filter: {} })).type).toBe("subscribe.accepted");
    }
    const seen = (jobId: string) =>
      observer
        .ofType("subscribe.event")
        .map(({ payload }) => payload.event)
        .filter(({ job_id }) => job_id === jobId);
    const texts = (jobId: string) =>
      seen(jobId).flatMap(({ type, payload }) => (type === "log" ? payload.message : []));
    await emitLogs(first, 2, 3);
    const late = (await owner.submit("puppet", 2)).payload.job_id as string;
    const second = await puppet.next();
    await emitLogs(second, 2);
    second.finish("done");
    await until(() => seen(late).some(({ type }) => type === "job.completed"));
    await until(() => texts(early).length === 2);
    expect(seen(late).map(({ type }) => type)).toContain("job.started");
    await a.kill();
    await cluster.silence(b);
    const again = await puppet.next();
    await emitLogs(again, 4);
    await emitLogs(again, 1, 5);
    again.finish("done");
    await until(() => seen(early).some(({ type }) => type === "job.completed"));
    expect(texts(early)).toEqual(["3", "4", "5"]);
    expect(texts(late)).toEqual(["1", "2"]);
    const ids = [...seen(early), ...seen(late)].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(stranger.ofType("subscribe.event")).toEqual([]);
  });

  test("history of a session is observed, and what its jobs write then, each once", async () => {
    const { client, jobId, run } = await apart();
    await emitLogs(run, 3);
    const texts = () =>
      client
        .ofType("subscribe.event")
        .flatMap(({ payload: { event } }) => (event.type === "log" ? event.payload.message : []));
    await client.ask("subscribe", { filter: { job_id: [jobId] }, since: {} });
    await emitLogs(run, 3, 4);
    run.finish("done");
    await until(() => client.ofType("subscribe.event").some(({ payload }) => payload.event.type === "tool.result"));
    expect(texts()).toEqual(["1", "2", "3", "4", "5", "6"]);
  });
});
