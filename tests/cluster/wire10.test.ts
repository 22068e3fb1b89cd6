/** Wire 1.0 at one node, with jobs at another. */
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";
import { Cluster, type Node } from "./cluster.ts";

interface Apart {
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
  return { client, jobId, run: await puppet.next() };
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
});
