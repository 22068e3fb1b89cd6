import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";

const DELEGATES = { lease_request: { "agent.delegate": ["*"] } };

describe("with one slot", () => {
  test("a job that waits for those it delegated lends it to them, all the way down", async () => {
    const agents = {
      tree: async (input: unknown, context: JobContext): Promise<unknown> => {
        const depth = input as number;
        if (depth === 0) return 1;
        const body = { agent: "tree", input: depth - 1, lease_request: { ...DELEGATES.lease_request } };
        const children = [context.delegate(body), context.delegate(body)];
        const results = await Promise.all(children.map(({ done }) => done));
        return results.reduce((sum, { result }) => sum + (result as number), 0);
      },
    };
    await using harness = startHarness({ agents, server: { concurrency: { jobs: 1 } } });
    harness.server.registerAgent("tree", agents.tree, { concurrency: 1 });
    const client = await harness.rawSession();
    const roots = [await client.submit("tree", 3, DELEGATES), await client.submit("tree", 2, DELEGATES)];
    const results = [];
    for (const { job_id } of roots) results.push((await client.end(job_id as string)).payload.result);
    expect(results).toEqual([8, 4]);
  });

  test("a job that reads the events of one that it delegated lends it, too", async () => {
    const agents = {
      child: async (_input: unknown, context: JobContext) => {
        for (const text of ["one", "two"]) await context.log("info", text);
      },
      parent: async (_input: unknown, context: JobContext) => {
        const heard: unknown[] = [];
        for await (const { kind, body } of context.delegate({ agent: "child" }).events()) {
          if (kind === "log") heard.push((body as { message: string }).message);
        }
        return heard;
      },
    };
    await using harness = startHarness({ agents, server: { concurrency: { jobs: 1 } } });
    const client = await harness.rawSession();
    const { job_id } = await client.submit("parent", null, DELEGATES);
    expect((await client.end(job_id as string)).payload.result).toEqual(["one", "two"]);
  });

  test("a delegated job goes before those of its principal that nothing waits for", async () => {
    const begun: unknown[] = [];
    const agents = {
      child: () => void begun.push("child"),
      parent: async (_input: unknown, context: JobContext) => {
        begun.push("parent");
        await context.delegate({ agent: "child" }).done;
      },
      other: () => void begun.push("other"),
    };
    await using harness = startHarness({ agents, server: { concurrency: { jobs: 1 } } });
    const client = await harness.rawSession();
    const ids = [];
    for (const agent of ["parent", "other", "other"]) ids.push((await client.submit(agent, null, DELEGATES)).job_id);
    for (const id of ids) await client.end(id as string);
    expect(begun).toEqual(["parent", "child", "other", "other"]);
  });

  test("a job that sleeps lends it, and goes on before any that has not begun", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { concurrency: { jobs: 1 }, clock },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const ids: string[] = [];
    for (const input of [1, 2, 3]) ids.push((await client.submit("puppet", input)).job_id as string);
    const first = await puppet.next();
    let isAwake = false;
    const asleep = first.context.sleep(1_000).then(() => {
      isAwake = true;
    });
    const second = await puppet.next();
    expect(second.input).toBe(2);
    clock.advance(1_000);
    await settle();
    // It has slept enough, but there is no room yet.
    expect(isAwake).toBe(false);
    expect((await client.listJobs()).map(({ status }) => status)).toEqual(["running", "running", "pending"]);
    second.finish();
    await asleep;
    expect(puppet.runs).toHaveLength(2);
    first.finish();
    (await puppet.next()).finish();
    for (const id of ids) await client.end(id);
  });

  test("a job that waits for a person lends it", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { concurrency: { jobs: 1 } } });
    const client = await harness.rawSession10();
    const asking = await client.invoke("puppet", 1);
    const quick = await client.invoke("puppet", 2);
    const first = await puppet.next();
    const answer = first.context.requestHumanInput<string>({ prompt: "name?", responseSchema: { type: "string" } });
    const asked = await client.next("human.input.request");
    (await puppet.next()).finish();
    await client.ending(quick.job_id);
    client.send("human.input.response", { value: "Ada" }, { correlation_id: asked.id, job_id: asking.job_id });
    expect((await answer).value).toBe("Ada");
    first.finish();
    await client.ending(asking.job_id);
  });

  test("a job that is cancelled while it would like to go on does not wait for it", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { concurrency: { jobs: 1 }, clock },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const first = (await client.submit("puppet", 1)).job_id as string;
    const second = (await client.submit("puppet", 2)).job_id as string;
    const sleeper = await puppet.next();
    const slept = sleeper.context.sleep(1_000).then(() => sleeper.context.signal.aborted);
    const other = await puppet.next();
    clock.advance(1_000);
    await settle();
    client.send("job.cancel", {}, { job_id: first });
    expect(await slept).toBe(true);
    sleeper.finish();
    expect((await client.end(first)).payload).toMatchObject({ final_status: "cancelled" });
    other.finish();
    await client.end(second);
  });

  test("a job that waits for one thing and begins to wait for another holds none", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { concurrency: { jobs: 1 }, clock },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const ids: string[] = [];
    for (const input of [1, 2]) ids.push((await client.submit("puppet", input)).job_id as string);
    const first = await puppet.next();
    let isAwake = false;
    first.context.sleep(1_000).then(() => {
      isAwake = true;
    });
    const second = await puppet.next();
    clock.advance(1_000);
    await settle();
    expect(isAwake).toBe(false);
    const longer = first.context.sleep(5_000);
    await settle();
    expect(isAwake).toBe(true);
    clock.advance(5_000);
    second.finish();
    await longer;
    first.finish();
    for (const id of ids) await client.end(id);
  });
});
