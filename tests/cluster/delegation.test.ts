import type { AgentHandler } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { Recording } from "../otel/recording.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import { Cluster, type Node, until } from "./cluster.ts";

const LEASE = { "agent.delegate": ["child"], "cost.budget": ["USD:5"] };
const OWN = { "cost.budget": ["USD:2"] };
const spend = ({ context }: Run, value: number) => context.metric({ name: "cost.x", value, unit: "USD" });

interface Family {
  readonly cluster: Cluster;
  /** Of the parents. */
  readonly a: Node;
  /** Of the children, as the ones after it. */
  readonly b: Node;
  readonly c: Node;
  readonly parents: Puppet;
  readonly children: Puppet;
}

/** One node that has the parent's agent, and two that have the child's. */
async function family({ isDurable = false } = {}): Promise<Family> {
  const [parents, children] = [new Puppet(), new Puppet()];
  const theirs = { agents: { child: { handler: children.handler, options: { durable: isDurable } } } };
  const cluster = await Cluster.of({ agents: { parent: { handler: parents.handler } } }, theirs, theirs);
  const [a, b, c] = cluster.nodes as [Node, Node, Node];
  await Promise.all([a.knows("child"), b.up(), c.up()]);
  return { cluster, a, b, c, parents, children };
}

const stops = ({ context, fail }: Run): void =>
  context.signal.addEventListener("abort", () => fail(context.signal.reason));

/** Delegates to the child. What this resolves with is no promise itself. */
async function delegated({ context }: Run, more: object = { lease_request: OWN }) {
  const { accepted, done, events, cancel } = context.delegate({ agent: "child", input: 7, ...more });
  await accepted;
  return { accepted, done, events, cancel };
}

describe.skipIf(reasonForNoPostgres() !== undefined)("a job that another node must run", () => {
  test("tells its parent what it does and how it ends, and gives back what it did not spend", async () => {
    const { a, parents, children } = await family();
    const client = await a.session();
    const { job_id } = (await client.submit("parent", 1, { lease_request: LEASE })).payload;
    const parent = await parents.next();
    const made = await delegated(parent);
    const child = await children.next();
    expect(child.input).toBe(7);
    expect(child.context.budget.get("USD")).toBe(2);
    expect(parent.context.budget.get("USD")).toBe(3);
    await spend(child, 0.5);
    await child.context.log("info", "working");
    child.finish({ sum: 1 });
    expect(await made.done).toMatchObject({ result: { sum: 1 } });
    expect(parent.context.budget.get("USD")).toBe(4.5);
    const kinds: string[] = [];
    for await (const { kind } of made.events()) kinds.push(kind);
    expect(kinds).toEqual(["status", "x-vendor.arcp.started", "metric", "metric", "log"]);
    const { jobId } = await made.accepted;
    expect((await client.end(jobId)).payload).toMatchObject({ result: { sum: 1 } });
    parent.finish("done");
    await client.end(job_id);
  });

  test("is below its delegation in the trace", async () => {
    await using recording = new Recording();
    const { a, parents, children } = await family();
    const client = await a.session();
    const { job_id } = (await client.submit("parent", 1, { lease_request: LEASE })).payload;
    const parent = await parents.next();
    const { done } = await delegated(parent);
    (await children.next()).finish();
    await done;
    parent.finish();
    await client.end(job_id);
    const child = recording.named("arcp.job").find(({ attributes }) => attributes["arcp.agent"] === "child@0.0.0");
    // Above the parent is the client, which records nothing.
    expect(recording.path(child)).toEqual(["?", "arcp.job", "arcp.delegate child", "arcp.job"]);
  });

  test("is refused without a budget of its own, where its parent has one", async () => {
    const { a, parents } = await family();
    const client = await a.session();
    await client.submit("parent", 1, { lease_request: LEASE });
    const parent = await parents.next();
    await expect(delegated(parent, {})).rejects.toMatchObject({
      code: "LEASE_SUBSET_VIOLATION",
      details: { currency: "USD", reason: "remote_child_without_budget" },
    });
    expect(parent.context.budget.get("USD")).toBe(5);
    parent.finish();
  });

  test("is cancelled by its parent, and with it", async () => {
    const { a, parents, children } = await family();
    const client = await a.session();
    const { job_id } = (await client.submit("parent", 1, { lease_request: LEASE })).payload;
    const parent = await parents.next();
    stops(parent);
    const one = await delegated(parent);
    stops(await children.next());
    one.cancel("enough");
    await expect(one.done).rejects.toMatchObject({ code: "CANCELLED" });
    const other = await delegated(parent);
    stops(await children.next());
    await client.ask("job.cancel", { job_id });
    const { jobId } = await other.accepted;
    expect((await client.end(jobId)).payload).toMatchObject({ final_status: "cancelled" });
  });

  test("ends when the node of its parent is gone", async () => {
    const { cluster, a, b, parents, children } = await family();
    const client = await a.session();
    await client.submit("parent", 1, { lease_request: LEASE });
    const made = await delegated(await parents.next());
    const child = await children.next();
    stops(child);
    const { jobId } = await made.accepted;
    await a.kill();
    await cluster.ask("UPDATE node SET beat_at = 0 WHERE facts::json->>'name' = 'a'");
    const again = await b.raw();
    await again.resume(client, 0);
    expect((await again.end(jobId)).payload).toMatchObject({ final_status: "cancelled" });
    expect(child.context.signal.aborted).toBe(true);
  });

  test("is gone on with when its own node is gone, and its parent hears the end of it once", async () => {
    const { cluster, a, b, c, parents, children } = await family({ isDurable: true });
    const client = await a.session();
    await client.submit("parent", 1, { lease_request: LEASE });
    const parent = await parents.next();
    const made = await delegated(parent);
    await spend(await children.next(), 0.5);
    const { jobId } = await made.accepted;
    const [owner] = await cluster.ask<{ name: string }>(
      "SELECT n.facts::json->>'name' AS name FROM job j JOIN node n ON n.id = j.node WHERE j.id = $1",
      [jobId],
    );
    await until(async () => (await cluster.ask("SELECT FROM job WHERE budget LIKE '%1.5%'")).length > 0);
    await (owner?.name === "b" ? b : c).kill();
    await cluster.ask("UPDATE node SET beat_at = 0 WHERE facts::json->>'name' = $1", [owner?.name]);
    const second = await children.next();
    expect(second.context.budget.get("USD")).toBe(1.5);
    second.finish("done");
    expect(await made.done).toMatchObject({ result: "done" });
    expect(parent.context.budget.get("USD")).toBe(4.5);
    parent.finish();
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a durable job that has delegated to another node", () => {
  test.each([
    ["that still runs", false],
    ["that has ended meanwhile", true],
  ])("goes on with the child %s when its own node is gone", async (_which, isOver) => {
    const children = new Puppet();
    let calls = 0;
    const parent: AgentHandler = async (_input, context) => {
      calls += 1;
      const made = context.delegate({ agent: "child", input: 7, lease_request: OWN });
      const { result } = await made.done;
      return { result, left: context.budget.get("USD") };
    };
    const theirs = { agents: { child: { handler: children.handler } } };
    const ours = { agents: { parent: { handler: parent, options: { durable: true } } } };
    const cluster = await Cluster.of(theirs, ours, ours);
    const [a, b, c] = cluster.nodes as [Node, Node, Node];
    await Promise.all([a.up(), b.knows("child"), c.knows("child")]);
    const client = await b.session();
    const { job_id } = (await client.submit("parent", 1, { lease_request: LEASE })).payload;
    const child = await children.next();
    await spend(child, 0.5);
    await b.kill();
    if (isOver) {
      child.finish("done");
      await until(async () => (await cluster.ask("SELECT FROM job WHERE status = 'success'")).length > 0);
    }
    await cluster.ask("UPDATE node SET beat_at = 0 WHERE facts::json->>'name' = 'b'");
    await until(() => calls === 2);
    if (!isOver) {
      // The parent's node asks about it again and again from now on.
      await until(async () => (await cluster.ask("SELECT FROM record WHERE kind = 'owed'")).length > 0);
      child.finish("done");
    }
    const again = await c.raw();
    await again.resume(client, 0);
    expect((await again.end(job_id)).payload).toMatchObject({ result: { result: "done", left: 4.5 } });
    expect(children.runs).toHaveLength(1);
    expect(await cluster.ask("SELECT FROM record WHERE kind = 'owed'")).toEqual([]);
  });

  test("goes on where the child is, and what that does not spend comes back once", async () => {
    const [parents, children] = [new Puppet(), new Puppet()];
    const parent = { handler: parents.handler, options: { durable: true } };
    const cluster = await Cluster.of(
      { agents: { parent } },
      { agents: { parent, child: { handler: children.handler } } },
    );
    const [a, b] = cluster.nodes as [Node, Node];
    await a.knows("child");
    const client = await a.session();
    const { job_id } = (await client.submit("parent", 1, { lease_request: LEASE })).payload;
    await delegated(await parents.next());
    const child = await children.next();
    await spend(child, 0.5);
    await child.context.flush();
    await a.kill();
    await cluster.silence(b);
    const second = await parents.next();
    const again = await delegated(second);
    expect(second.context.budget.get("USD")).toBe(3);
    child.finish("done");
    expect(await again.done).toMatchObject({ result: "done" });
    expect(second.context.budget.get("USD")).toBe(4.5);
    second.finish("over");
    const late = await b.raw();
    await late.resume(client, 0);
    expect((await late.end(job_id)).payload).toMatchObject({ result: "over" });
    expect(await cluster.ask("SELECT FROM record WHERE kind = 'owed'")).toEqual([]);
  });
});
