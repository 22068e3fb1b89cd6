import { EXTENSION_FEATURE } from "@arcp/core";
import type { AgentHandler } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { emitLogs, Puppet } from "../support/puppet.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";
import { Cluster, type Node } from "./cluster.ts";

const textsOf = (frames: readonly { readonly payload: { readonly body?: { readonly message?: string } } }[]) =>
  frames.flatMap(({ payload }) => payload.body?.message ?? []);

/** Of clients that show questions. */
const PEOPLE = [...ALL_FEATURES, EXTENSION_FEATURE];

/** Two nodes that have the puppet. */
async function two(): Promise<{
  readonly cluster: Cluster;
  readonly a: Node;
  readonly b: Node;
  readonly puppet: Puppet;
}> {
  const puppet = new Puppet();
  const agents = { puppet: { handler: puppet.handler } };
  const cluster = await Cluster.of({ agents }, { agents });
  const [a, b] = cluster.nodes as [Node, Node];
  return { cluster, a, b, puppet };
}

describe.skipIf(reasonForNoPostgres() !== undefined)("from another node a job", () => {
  test("is listed, and subscribed to with its history", async () => {
    const { a, b, puppet } = await two();
    const owner = await a.session();
    const { job_id } = (await owner.submit("puppet", 1)).payload;
    const run = await puppet.next();
    await emitLogs(run, 3);
    const observer = await b.session();
    expect((await observer.listJobs()).map((job) => [job.job_id, job.status])).toEqual([[job_id, "running"]]);
    const subscribed = await observer.ask("job.subscribe", { job_id, history: true });
    expect(subscribed.type).toBe("job.subscribed");
    await emitLogs(run, 3, 4);
    run.finish("done");
    expect((await observer.end(job_id)).payload).toMatchObject({ result: "done" });
    expect(textsOf(observer.ofJob(job_id))).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(observer.numbered.map(({ event_seq }) => event_seq)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test("is not shown any more to who has unsubscribed", async () => {
    const { a, b, puppet } = await two();
    const owner = await a.session();
    const { job_id } = (await owner.submit("puppet", 1)).payload;
    const run = await puppet.next();
    const observer = await b.session();
    await observer.ask("job.subscribe", { job_id, history: true });
    await emitLogs(run, 1);
    await observer.sees(({ event_seq }) => event_seq === 1);
    observer.send("job.unsubscribe", { job_id });
    await observer.fence();
    await emitLogs(run, 3, 2);
    run.finish();
    await owner.end(job_id);
    const late = await observer.ask("job.subscribe", { job_id, history: false });
    expect(late.type).toBe("job.subscribed");
    expect(textsOf(observer.ofJob(job_id))).toEqual(["1"]);
  });

  test("is cancelled, by who may", async () => {
    const { a, b, puppet } = await two();
    const owner = await a.session();
    const { job_id } = (await owner.submit("puppet", 1)).payload;
    const run = await puppet.next();
    run.context.signal.addEventListener("abort", () => run.fail(run.context.signal.reason));
    const stranger = await b.session("bob");
    expect((await stranger.ask("job.cancel", { job_id })).payload).toMatchObject({ code: "JOB_NOT_FOUND" });
    owner.cut();
    const again = await b.raw();
    await again.resume(owner, 0);
    expect((await again.ask("job.cancel", { job_id, reason: "enough" })).type).toBe("job.cancelled");
    expect((await again.end(job_id)).payload).toMatchObject({ final_status: "cancelled" });
  });

  test("is the same one for the same key, and no other", async () => {
    const { a, b, puppet } = await two();
    const [one, other] = [await a.session(), await b.session()];
    const answers = await Promise.all(
      [one, other, one, other].map((client) =>
        client.ask("job.submit", { agent: "puppet", input: 1, idempotency_key: "k" }),
      ),
    );
    const accepted = answers.filter(({ type }) => type === "job.accepted").map(({ payload }) => payload.job_id);
    // Who asks while the other node is storing it is told to ask again.
    for (const { payload } of answers.filter(({ type }) => type !== "job.accepted")) {
      expect(payload).toMatchObject({ retryable: true });
    }
    expect(new Set(accepted).size).toBe(1);
    const late = await other.ask("job.submit", { agent: "puppet", input: 1, idempotency_key: "k" });
    expect(late.payload.job_id).toBe(accepted[0]);
    const different = await other.ask("job.submit", { agent: "puppet", input: 2, idempotency_key: "k" });
    expect(different.payload).toMatchObject({ code: "DUPLICATE_KEY" });
    expect(puppet.runs).toHaveLength(1);
    puppet.runs[0]?.finish("done");
    expect((await other.end(accepted[0] ?? "")).payload).toMatchObject({ result: "done" });
  });

  test("that only one of them can run is run there, wherever it is asked for", async () => {
    const handler: AgentHandler = async (input, context) => {
      await context.log("info", "here");
      return { input, agent: context.agentRef };
    };
    const cluster = await Cluster.of({}, { agents: { "only@2.0.0": { handler, options: { durable: true } } } });
    const [a] = cluster.nodes as [Node];
    const client = await a.session();
    // What the other one has is known with its sign of life.
    let answer = await client.submit("only", 7);
    while (answer.type !== "job.accepted") {
      expect(answer.payload.code).toBe("AGENT_NOT_AVAILABLE");
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await client.submit("only", 7);
    }
    expect(answer.payload.agent).toBe("only@2.0.0");
    const { payload } = await client.end(answer.payload.job_id);
    expect(payload).toMatchObject({ result: { input: 7, agent: "only@2.0.0" } });
    expect(textsOf(client.ofJob(answer.payload.job_id))).toContain("here");
  });
});

describe.skipIf(reasonForNoPostgres() !== undefined)("a question", () => {
  test("is asked of people at another node, and answered there", async () => {
    const { a, b, puppet } = await two();
    const owner = await a.session("alice", PEOPLE);
    const { job_id } = (await owner.submit("puppet", 1)).payload;
    const run = await puppet.next();
    const early = await b.session("alice", PEOPLE);
    const answered = run.context.requestHumanInput({ prompt: "which?", responseSchema: { type: "string" } });
    const isQuestion = (frame: { readonly payload: { readonly kind?: string } }): boolean =>
      frame.payload?.kind === "x-vendor.arcp.question";
    const asked = await early.sees(isQuestion);
    const late = await b.session("alice", PEOPLE);
    expect((await late.sees(isQuestion)).payload.body.id).toBe(asked.payload.body.id);
    const wrong = await late.ask("x-vendor.arcp.human.input.response", { request_id: asked.payload.body.id, value: 1 });
    expect(wrong.payload).toMatchObject({ code: "INVALID_REQUEST" });
    await late.ask("x-vendor.arcp.human.input.response", { request_id: asked.payload.body.id, value: "that" });
    expect(await answered).toMatchObject({ value: "that" });
    run.finish();
    await owner.end(job_id);
  });
});
