import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import type { RawClient10 } from "../support/raw-client-10.ts";

const STANDARD: Readonly<Record<string, string>> = {
  ...{ "tokens.used": "tokens", "cost.usd": "usd", "gpu.seconds": "seconds", "tool.invocations": "count" },
  ...{ "latency.ms": "ms", "bytes.in": "bytes", "bytes.out": "bytes", "errors.total": "count" },
};

const metrics = (client: RawClient10, name?: string) =>
  client
    .ofType("metric")
    .filter(({ payload }) => name === undefined || payload.name === name)
    .map(({ payload }) => payload);

describe("what the runtime measures of a job", () => {
  test("is one invocation for each tool.invoke, and how long it waited and worked", async () => {
    covers("V10-17.3-01", "V10-17.3.1-01", "V10-17.3.1-03", "V10-17.3.1-04");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession10();
    for (let n = 0; n < 3; n += 1) {
      const { job_id } = await client.invoke("puppet");
      const run = await puppet.next();
      clock.advance(250);
      run.finish();
      await client.ending(job_id);
    }
    expect(metrics(client, "tool.invocations")).toEqual(
      [1, 2, 3].map(() => ({ name: "tool.invocations", value: 1, unit: "count", dims: { tool: "puppet" } })),
    );
    const latencies = metrics(client, "latency.ms").slice(0, 3);
    expect(latencies.map(({ value, unit, dims }) => [dims.phase, value, unit])).toEqual([
      ["queue", 0, "ms"],
      ["exec", 250, "ms"],
      ["total", 250, "ms"],
    ]);
    expect(metrics(client, "errors.total")).toEqual([]);
    const last = client.frames.at(-1);
    expect(last?.type).toBe("tool.result");
  });

  test("is no invocation for a workflow", async () => {
    covers("V10-17.3.1-04");
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession10();
    const { job_id } = await client.ask("workflow.start", { workflow: "echo", inputs: {} });
    await client.ending(job_id);
    expect(metrics(client).map(({ name }) => name)).toEqual(["latency.ms", "latency.ms", "latency.ms"]);
  });

  test("has an error by its canonical code, once", async () => {
    covers("V10-17.3.1-03");
    await using harness = startHarness({
      agents: {
        broken: () => {
          throw new Error("broken");
        },
        slow: () => new Promise(() => {}),
      },
    });
    const client = await harness.rawSession10();
    await client.ending((await client.invoke("broken")).job_id);
    await client.ending((await client.invoke("slow", {}, { max_runtime_sec: 0.02 })).job_id);
    const slow = await client.invoke("slow");
    await client.ask("cancel", { target: "job", target_id: slow.job_id, deadline_ms: 0 });
    await client.ending(slow.job_id);
    expect(metrics(client, "errors.total").map(({ value, dims }) => [value, dims.code])).toEqual([
      [1, "INTERNAL"],
      [1, "DEADLINE_EXCEEDED"],
      [1, client.ofType("job.failed", "job.cancelled").at(-1)?.payload.code],
    ]);
  });

  test("stands beside what agents measure, under the reserved names and units or a name of their own", async () => {
    covers("V10-17.3.1-01", "V10-17.3.1-02", "V10-17.3.1-05", "V10-17.3.1-06");
    await using harness = startHarness({
      agents: {
        agent: async (_input, context) => {
          for (const kind of ["input", "output", "cache_read", "cache_write"]) {
            await context.metric({ name: "tokens.used", value: 10, unit: "tok", dimensions: { kind } });
          }
          await context.metric({ name: "cost.inference", value: 0.1234567, unit: "USD" });
          await context.metric({ name: "gpu.seconds", value: 2 });
          await context.metric({ name: "bytes.in", value: 10, unit: "octets" });
          await context.metric({ name: "cache_hits", value: 3 });
          await context.metric({ name: "arcpx.acme.cache_hit_ratio", value: 0.5, unit: "1" });
        },
      },
    });
    const client = await harness.rawSession10();
    await client.ending((await client.invoke("agent")).job_id);
    for (const { name, value, unit, dims } of metrics(client)) {
      expect(typeof value).toBe("number");
      if (STANDARD[name] !== undefined) expect(unit).toBe(STANDARD[name]);
      else expect(name).toMatch(/^arcpx\.[a-z]+\.[a-z_]+$/);
      expect(dims).toBeTypeOf("object");
    }
    expect(metrics(client, "tokens.used").map(({ dims }) => dims.kind)).toEqual([
      ...["input", "output", "cache_read", "cache_write"],
    ]);
    expect(metrics(client, "cost.usd")).toMatchObject([{ value: 0.123457, unit: "usd", dims: { kind: "inference" } }]);
    expect(metrics(client, "arcpx.agent.cache_hits")).toHaveLength(1);
  });

  test("is nothing for a job of wire 1.1, whoever watches it", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const draft = await harness.rawSession();
    const watcher = await harness.rawSession10();
    const { job_id } = (await draft.submit("puppet")).payload;
    await watcher.ask("job.subscribe", { job_id });
    (await puppet.next()).finish(1);
    await watcher.ending(job_id);
    await settle();
    expect(metrics(watcher)).toEqual([]);
    expect(draft.numbered.map(({ type }) => type)).toEqual(["job.result"]);
  });
});
