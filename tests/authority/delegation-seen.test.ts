/** What clients, tracers and auditors see of delegation and of leases that end. */
import type { JobHandle } from "@arcp/client";
import type { Lease } from "@arcp/core";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { afterAll, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { bodyOf, Family } from "./family.ts";

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
trace.setGlobalTracerProvider(provider);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

afterAll(async () => {
  trace.disable();
  context.disable();
  propagation.disable();
  await provider.shutdown();
});

describe("a client", () => {
  test("is given a handle of each child, with its events and its end", async () => {
    covers("V11-10.1-02", "V11-10.1-03");
    await using family = new Family();
    const client = await family.harness.client();
    const delegated: JobHandle[] = [];
    client.on("delegated", (child) => delegated.push(child));
    const job = await client.submit({ agent: "puppet", leaseRequest: { "agent.delegate": ["child"] } });
    const parent = await family.parents.next();
    const { accepted } = parent.context.delegate(bodyOf({ delegate_id: "d1" }));
    const { jobId } = await accepted;
    const run = await family.children.next();
    await run.context.log("info", "from below");
    run.finish({ sum: 3 });
    parent.finish("done");
    await expect(job.done).resolves.toMatchObject({ result: "done" });
    const [child] = delegated;
    expect(delegated).toHaveLength(1);
    expect(child?.accepted).toMatchObject({
      jobId,
      parentJobId: job.jobId,
      delegateId: "d1",
      traceId: job.accepted.traceId,
    });
    await expect(child?.done).resolves.toMatchObject({ result: { sum: 3 } });
    const kinds: string[] = [];
    for await (const event of child?.events() ?? []) kinds.push(event.kind);
    expect(kinds).toEqual(["log"]);
  });
});

describe("a tracer", () => {
  test("is given a span of the child's own, below its parent's", async () => {
    covers("V11-10.3-01", "V11-10.3-02");
    exporter.reset();
    const ids: string[] = [];
    {
      await using family = new Family();
      const parent = await family.parent();
      const child = await family.child(parent);
      child.run.finish();
      await child.delegation.done;
      parent.run.finish();
      await parent.client.end(parent.jobId);
      ids.push(parent.jobId, child.jobId);
    }
    const [above, below] = ids.map((id) =>
      exporter
        .getFinishedSpans()
        .find(({ name, attributes }) => name === "arcp.job" && attributes["arcp.job_id"] === id),
    );
    const delegation = exporter.getFinishedSpans().find(({ name }) => name.startsWith("arcp.delegate "));
    expect(below?.spanContext().traceId).toBe(above?.spanContext().traceId);
    expect(below?.parentSpanContext?.spanId).toBe(delegation?.spanContext().spanId);
    expect(delegation?.parentSpanContext?.spanId).toBe(above?.spanContext().spanId);
    expect(below?.spanContext().spanId).not.toBe(above?.spanContext().spanId);
  });
});

describe("the journal", () => {
  test("has the delegate event before anything of the child, in the numbers of the session", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    await child.run.context.log("info", "child");
    child.run.finish();
    await parent.client.end(child.jobId);
    const { frames } = parent.client;
    const delegate = frames.find(({ payload }) => payload?.kind === "delegate");
    const first = frames.find(({ job_id, event_seq }) => job_id === child.jobId && event_seq !== undefined);
    expect(delegate?.event_seq).toBeLessThan(first?.event_seq ?? 0);
    expect(frames.indexOf(child.accepted)).toBeLessThan(frames.indexOf(first as (typeof frames)[number]));
  });

  test("is the same job for the parent's caller: what a child was granted is frozen too", async () => {
    await using family = new Family();
    const parent = await family.parent({ "tool.call": ["search"] });
    const request = { "tool.call": ["search"] };
    const child = await family.child(parent, { lease_request: request });
    request["tool.call"].push("deploy");
    const lease = child.run.context.lease as Record<string, string[]> & Lease;
    expect(lease).toEqual({ "tool.call": ["search"] });
    expect(() => lease["tool.call"]?.push("deploy")).toThrow(TypeError);
  });
});
