import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AgentHandler } from "@arcp/runtime";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";

const HOUR_MS = 3_600_000;

async function scene(options: { readonly server?: object } = {}) {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({
    agents: { puppet: puppet.handler },
    server: { clock, heartbeatIntervalSeconds: 86_400, ...options.server },
  });
  const client = await harness.rawSession10();
  return {
    ...{ clock, puppet, harness, client },
    begin: async (input: unknown = {}, payload: object = {}, members: object = {}) => {
      const { job_id } = await client.invoke("puppet", input, payload, members);
      return { run: await puppet.next(), jobId: job_id as string };
    },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

const restore = (client: RawClient10, checkpoint_id: string) => client.ask("checkpoint.restore", { checkpoint_id });

describe("a checkpoint that an agent makes", () => {
  test("is told of, and another job goes on from it with the same input, lease and trace", async () => {
    covers("V10-10.1-02", "V10-19-08");
    await using stage = await scene();
    const { client, puppet, begin } = stage;
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const lease = { "fs.read": ["/srv/docs/**"], "cost.budget": ["USD:5.00", "credits:7"] };
    const { run, jobId } = await begin({ pages: 3 }, { lease_request: lease, durable: true }, { trace_id });
    expect(run.context.restored).toBeUndefined();
    await run.context.metric({ name: "cost.inference", value: 1.25, unit: "USD" });
    const { checkpointId } = await run.context.checkpoint({ page: 2, notes: ["é"] }, { label: "second page" });
    const told = await client.sees(({ type }) => type === "job.checkpoint");
    expect(told).toMatchObject({
      job_id: jobId,
      payload: {
        ...{ checkpoint_id: checkpointId, label: "second page", size: Buffer.byteLength('{"page":2,"notes":["é"]}') },
        created_at: "2026-01-01T00:00:00.000Z",
      },
    });
    expect(checkpointId).toMatch(/^chk_[0-9A-Z]{26}$/);
    expect(JSON.stringify(client.frames)).not.toContain("notes");
    await run.context.metric({ name: "cost.inference", value: 1, unit: "USD" });
    run.fail(new Error("the disk is full"));
    await client.ending(jobId);
    const accepted = await restore(client, checkpointId);
    expect(accepted).toMatchObject({ type: "job.accepted", trace_id });
    expect(accepted.job_id).not.toBe(jobId);
    const again = await puppet.next();
    expect(again.input).toEqual({ pages: 3 });
    expect(again.context).toMatchObject({ agentRef: "puppet@0.0.0", traceId: trace_id });
    expect(again.context.lease["fs.read"]).toEqual(["/srv/docs/**"]);
    expect([...again.context.budget]).toEqual([
      ["USD", 3.75],
      ["credits", 7],
    ]);
    expect(again.context.restored).toEqual({ page: 2, notes: ["é"] });
    again.finish("done");
    // It ends as the first one would have.
    expect(await client.ending(accepted.job_id)).toMatchObject({ type: "job.completed", payload: { value: "done" } });
  });

  test("may be restored once for each idempotency key, and as often as wanted without", async () => {
    await using stage = await scene();
    const { client, puppet, begin } = stage;
    const { run, jobId } = await begin();
    const [first, second] = [await run.context.checkpoint(1), await run.context.checkpoint(2)];
    run.finish();
    await client.ending(jobId);
    const ask = (id: string) => client.ask("checkpoint.restore", { checkpoint_id: id }, { idempotency_key: "k" });
    const one = await ask(first.checkpointId);
    const restored = await puppet.next();
    expect(await ask(first.checkpointId)).toMatchObject({ type: "job.accepted", job_id: one.job_id });
    expect(await ask(second.checkpointId)).toMatchObject({ type: "nack", payload: { code: "ALREADY_EXISTS" } });
    restored.finish();
    const [left, right] = [await restore(client, second.checkpointId), await restore(client, second.checkpointId)];
    expect(left.job_id).not.toBe(right.job_id);
    for (const run of [await puppet.next(), await puppet.next()]) {
      expect(run.context.restored).toBe(2);
      run.finish();
    }
  });

  test("is nobody else's", async () => {
    covers("V10-18.2-06");
    await using stage = await scene();
    const { client, harness, puppet, begin } = stage;
    const { run } = await begin();
    const { checkpointId } = await run.context.checkpoint("mine");
    const mallory = await harness.rawSession10("mallory");
    const answers = [await restore(mallory, checkpointId), await restore(mallory, "chk_01J00000000000000000000000")];
    for (const { type, payload } of answers) expect([type, payload.code]).toEqual(["nack", "NOT_FOUND"]);
    const about = ({ payload }: (typeof answers)[number]) => [payload.message, Object.keys(payload.details)];
    expect(about(answers[0] as never)).toEqual(about(answers[1] as never));
    expect(puppet.runs).toHaveLength(1);
    // Any session of its own may.
    const other = await harness.rawSession10();
    expect(await restore(other, checkpointId)).toMatchObject({ type: "job.accepted" });
    (await puppet.next()).finish();
    run.finish();
    await client.fence();
  });

  test("is kept while its job lives, and for a time after that; then it is data loss, and then unknown", async () => {
    await using stage = await scene({ server: { jobRetentionMs: 24 * HOUR_MS } });
    const { client, clock, puppet, begin } = stage;
    const { run, jobId } = await begin();
    const { checkpointId } = await run.context.checkpoint("old");
    const pass = async (hours: number): Promise<void> => {
      for (let hour = 0; hour < hours; hour += 1) {
        clock.advance(HOUR_MS);
        await settle();
      }
    };
    await pass(100);
    run.finish();
    await client.ending(jobId);
    await pass(11);
    expect(await restore(client, checkpointId)).toMatchObject({ type: "job.accepted" });
    (await puppet.next()).finish();
    await pass(14);
    expect(await restore(client, checkpointId)).toMatchObject({ type: "nack", payload: { code: "DATA_LOSS" } });
    await pass(26);
    expect(await restore(client, checkpointId)).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
  });

  test("takes the place of the oldest beyond so many of one job", async () => {
    await using stage = await scene({ server: { jobCaps: { maxCheckpoints: 2 } } });
    const { client, puppet, begin } = stage;
    const { run } = await begin();
    const made: string[] = [];
    for (let n = 0; n < 3; n += 1) made.push((await run.context.checkpoint(n)).checkpointId);
    expect(await restore(client, made[0] as string)).toMatchObject({ payload: { code: "DATA_LOSS" } });
    expect(await restore(client, made[1] as string)).toMatchObject({ type: "job.accepted" });
    (await puppet.next()).finish();
    run.finish();
  });

  test("has bounds, and is JSON", async () => {
    await using stage = await scene({ server: { jobCaps: { maxCheckpointBytes: 100, maxUnawaitedBytes: 20_000 } } });
    const { client, begin } = stage;
    const { run, jobId } = await begin();
    const { context } = run;
    await expect(context.checkpoint("x".repeat(100))).rejects.toMatchObject({
      details: { limit: "maxCheckpointBytes", max: 100 },
    });
    await expect(context.checkpoint({ at: 1n })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(context.checkpoint(1, { label: "x".repeat(257) })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    const logs = Array.from({ length: 30 }, () => context.log("info", "x".repeat(1000)).catch(() => {}));
    await expect(context.checkpoint("untold")).rejects.toMatchObject({ details: { limit: "maxUnawaitedBytes" } });
    await Promise.all(logs);
    run.finish();
    await client.ending(jobId);
    await expect(context.checkpoint("late")).rejects.toThrow("ended");
    expect(await stage.harness.server.eventLog.listRecords({ kind: "checkpoint", limit: 10 })).toEqual([]);
    expect(client.ofType("job.checkpoint")).toEqual([]);
  });

  test("that goes over the budget or the time that is left is no way around them", async () => {
    await using stage = await scene();
    const { client, clock, puppet, begin } = stage;
    const expires_at = new Date(clock.now() + HOUR_MS).toISOString();
    const lease_request = { "cost.budget": ["USD:1"] };
    const { run, jobId } = await begin({}, { lease_request, lease_constraints: { expires_at } });
    await run.context.metric({ name: "cost.inference", value: 3, unit: "USD" });
    const { checkpointId } = await run.context.checkpoint("broke");
    run.finish();
    await client.ending(jobId);
    expect(await restore(client, checkpointId)).toMatchObject({ type: "job.accepted" });
    const again = await puppet.next();
    expect([...again.context.budget]).toEqual([["USD", 0]]);
    expect(again.context.leaseConstraints).toEqual({ expires_at });
    again.finish();
    clock.advance(2 * HOUR_MS);
    await settle();
    expect((await restore(client, checkpointId)).type).toBe("nack");
  });

  test("survives the process that made it", async () => {
    covers("V10-10.1-02", "V10-19-08");
    const directory = mkdtempSync(join(tmpdir(), "arcp-"));
    const path = join(directory, "journal.db");
    let checkpointId = "";
    const first = sqliteStore({ path });
    {
      const puppet = new Puppet();
      await using harness = startHarness({ agents: { "puppet@2": puppet.handler }, server: { eventLog: first } });
      const client = await harness.rawSession10();
      await client.invoke("puppet", { n: 1 });
      checkpointId = (await (await puppet.next()).context.checkpoint({ at: 5 })).checkpointId;
    }
    await first.close();
    const eventLog = sqliteStore({ path });
    const seen: unknown[] = [];
    const agent: AgentHandler = (input, context) => void seen.push([context.agentRef, input, context.restored]);
    {
      await using harness = startHarness({ agents: { "puppet@2": agent, "puppet@3": agent }, server: { eventLog } });
      const client = await harness.rawSession10();
      const { job_id } = await restore(client, checkpointId);
      await client.ending(job_id);
    }
    await eventLog.close();
    expect(seen).toEqual([["puppet@2", { n: 1 }, { at: 5 }]]);
    rmSync(directory, { recursive: true });
  });
});

describe("a checkpoint that a client asks for", () => {
  const create = (client: RawClient10, job_id: string, payload: object = {}) =>
    client.ask("checkpoint.create", payload, { job_id });

  test("is what the agent says it is, told of before it is acknowledged", async () => {
    covers("V10-10.1-02");
    await using stage = await scene();
    const { client, puppet, begin } = stage;
    const { run, jobId } = await begin("input");
    const labels: unknown[] = [];
    run.context.onCheckpoint(() => "overwritten");
    run.context.onCheckpoint(({ label }) => {
      labels.push(label);
      return { asked: labels.length };
    });
    const done = await create(client, jobId, { label: "before lunch" });
    expect(done).toMatchObject({ type: "ack", payload: { job_id: jobId } });
    const { checkpoint_id } = done.payload;
    const told = await client.sees(({ type }) => type === "job.checkpoint");
    expect(told).toMatchObject({
      causation_id: done.correlation_id,
      payload: { checkpoint_id, label: "before lunch" },
    });
    expect(client.frames.indexOf(told)).toBeLessThan(client.frames.indexOf(done));
    await create(client, jobId);
    expect(labels).toEqual(["before lunch", undefined]);
    run.finish();
    await client.ending(jobId);
    await settle();
    expect(labels).toHaveLength(2);
    await restore(client, checkpoint_id);
    const again = await puppet.next();
    expect([again.input, again.context.restored]).toEqual(["input", { asked: 1 }]);
    again.finish();
  });

  test("is refused by an agent that makes none, or fails at it, or has ended, or is somebody else's", async () => {
    covers("V10-18.2-06");
    await using stage = await scene();
    const { client, harness, begin } = stage;
    const { run, jobId } = await begin();
    const codeOf = async (answer: ReturnType<typeof create>): Promise<unknown> => {
      const { type, payload } = await answer;
      return [type, payload.code];
    };
    expect(await codeOf(create(client, jobId))).toEqual(["nack", "FAILED_PRECONDITION"]);
    run.context.onCheckpoint(() => {
      throw new Error("not now");
    });
    expect(await codeOf(create(client, jobId))).toEqual(["nack", "INTERNAL"]);
    run.context.onCheckpoint(() => Promise.reject(new Error("not now")));
    expect(await codeOf(create(client, jobId))).toEqual(["nack", "INTERNAL"]);
    const mallory = await harness.rawSession10("mallory");
    expect(await codeOf(create(mallory, jobId))).toEqual(["nack", "NOT_FOUND"]);
    expect(await codeOf(create(client, "job_01J00000000000000000000000"))).toEqual(["nack", "NOT_FOUND"]);
    expect(await codeOf(client.ask("checkpoint.create"))).toEqual(["nack", "INVALID_ARGUMENT"]);
    run.finish();
    await client.ending(jobId);
    expect(await codeOf(create(client, jobId))).toEqual(["nack", "FAILED_PRECONDITION"]);
    expect(await codeOf(create(mallory, jobId))).toEqual(["nack", "NOT_FOUND"]);
    expect(client.ofType("job.checkpoint")).toEqual([]);
  });

  test("holds up nobody, and is not waited for without end", async () => {
    await using stage = await scene();
    const { client, clock, begin } = stage;
    const { run, jobId } = await begin();
    const { pending } = clock;
    run.context.onCheckpoint(() => new Promise(() => {}));
    const late = create(client, jobId);
    await client.fence();
    clock.advance(30_000);
    expect(await late).toMatchObject({ type: "nack", payload: { code: "DEADLINE_EXCEEDED" } });
    const cut = create(client, jobId);
    await client.fence();
    run.finish();
    expect(await cut).toMatchObject({ type: "nack", payload: { code: "FAILED_PRECONDITION" } });
    await client.ending(jobId);
    expect(clock.pending).toBe(pending);
  });

  test("needs that both sides have agreed on checkpoints", async () => {
    covers("V10-18.2-07");
    await using stage = await scene();
    const { harness, begin } = stage;
    const { run, jobId } = await begin();
    const client = await harness.rawSession10("alice", { capabilities: { ...ALL_CAPABILITIES, checkpoints: false } });
    for (const answer of [await create(client, jobId), await restore(client, "chk_01J00000000000000000000000")]) {
      expect(answer).toMatchObject({ type: "nack", payload: { code: "UNIMPLEMENTED" } });
    }
    run.finish();
  });

  test.each([
    ["at once", (data: unknown) => data],
    ["a little later", async (data: unknown) => settle(3).then(() => data)],
  ])("is made of a job that is cancelled, before it ends, %s", async (_when, give) => {
    covers("V10-10.4-03", "V10-10.1-02");
    await using stage = await scene();
    const { client, begin, puppet } = stage;
    const { run, jobId } = await begin();
    run.context.onCheckpoint(() => give({ page: 7 }));
    run.context.signal.addEventListener("abort", () => run.fail(run.context.signal.reason));
    await client.ask("cancel", { target: "job", target_id: jobId });
    const end = await client.ending(jobId);
    expect(end.type).toBe("job.cancelled");
    const [told] = client.ofType("job.checkpoint");
    expect(told?.payload).toMatchObject({ label: "cancelled" });
    expect(client.frames.indexOf(told as never)).toBeLessThan(client.frames.indexOf(end));
    await restore(client, told?.payload.checkpoint_id);
    const again = await puppet.next();
    expect(again.context.restored).toEqual({ page: 7 });
    again.finish();
  });
});

describe("resume with a checkpoint", () => {
  test("goes on in the messages after it, if its job lives or has succeeded", async () => {
    covers("V10-19-02", "V10-19-08");
    await using stage = await scene();
    const { client, harness, begin } = stage;
    const { run, jobId } = await begin();
    await run.context.log("info", "before");
    const { checkpointId } = await run.context.checkpoint(1);
    await run.context.log("info", "after");
    await client.sees(({ payload }) => payload.message === "after");
    client.cut();
    await settle();
    const back = await harness.rawSession10();
    const resumed = back.send("resume", { checkpoint_id: checkpointId }, { session_id: client.sessionId });
    expect(await back.answerTo(resumed)).toMatchObject({ type: "ack", payload: { session_id: client.sessionId } });
    run.finish("done");
    await back.ending(jobId);
    const said = back.ofJob(jobId).filter(({ type }) => type === "log" || type === "job.checkpoint");
    expect(said.map(({ payload }) => payload.message)).toEqual(["after"]);
    const once = await harness.rawSession10();
    const again = once.send("resume", { checkpoint_id: checkpointId }, { session_id: client.sessionId });
    expect(await once.answerTo(again)).toMatchObject({ type: "ack" });
    expect(once.ofType("tool.result")).toHaveLength(1);
  });

  test("goes on with the work, if its job has failed", async () => {
    covers("V10-19-08");
    await using stage = await scene();
    const { client, puppet, begin } = stage;
    const { run, jobId } = await begin("input");
    const { checkpointId } = await run.context.checkpoint({ at: 3 });
    run.fail(new Error("broken"));
    await client.ending(jobId);
    const accepted = await client.ask("resume", { checkpoint_id: checkpointId });
    expect(accepted.type).toBe("job.accepted");
    const again = await puppet.next();
    expect([again.input, again.context.restored]).toEqual(["input", { at: 3 }]);
    again.finish("done");
    expect(await client.ending(accepted.job_id)).toMatchObject({ payload: { value: "done" } });
  });

  test("that is not there, or not in this session, says so", async () => {
    covers("V10-19-06", "V10-19-08");
    await using stage = await scene();
    const { client, harness, begin } = stage;
    const { run } = await begin();
    const { checkpointId } = await run.context.checkpoint(1);
    const mallory = await harness.rawSession10("mallory");
    for (const [who, checkpoint_id, code] of [
      [mallory, checkpointId, "NOT_FOUND"],
      [client, "chk_01J00000000000000000000000", "NOT_FOUND"],
      [await harness.rawSession10(), checkpointId, "DATA_LOSS"],
    ] as const) {
      expect(await who.ask("resume", { checkpoint_id })).toMatchObject({ type: "nack", payload: { code } });
    }
    run.finish();
  });
});
