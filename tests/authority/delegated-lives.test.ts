/** The lives of delegated jobs: how they end with their parents, and who is told of them. */
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";
import { eventsOf, jobOf, refusalOf } from "./authorized-job.ts";
import { bodyOf, Family, isAcceptanceOf } from "./family.ts";

describe("the handle of a delegation", () => {
  test("shows the child's events from the first on, and its end", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent, { delegate_id: "d1" });
    expect(child.delegation.delegateId).toBe("d1");
    await child.run.context.log("info", "one");
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { kind, body } of child.delegation.events()) seen.push(`${kind} ${body["message"]}`);
    })();
    await child.run.context.log("info", "two");
    child.run.finish({ sum: 3 });
    await watching;
    expect(seen).toEqual(["log one", "log two"]);
    await expect(child.delegation.done).resolves.toEqual({ jobId: child.jobId, result: { sum: 3 } });
  });

  test("rejects with the child's error", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    child.run.fail(new Error("broken"));
    expect(await refusalOf(child.delegation.done)).toMatchObject({ code: "INTERNAL_ERROR" });
    expect((await parent.client.end(child.jobId)).payload).toMatchObject({ final_status: "error" });
    parent.run.finish();
    expect((await parent.client.end(parent.jobId)).payload.final_status).toBe("success");
  });

  test("cancels the child, and the child alone", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    child.delegation.cancel("not needed");
    child.run.context.signal.addEventListener("abort", () => child.run.finish());
    await parent.client.fence();
    child.run.finish();
    expect(await refusalOf(child.delegation.done)).toMatchObject({ code: "CANCELLED" });
    expect((await parent.client.end(child.jobId)).payload).toMatchObject({ final_status: "cancelled" });
    expect(parent.run.context.signal.aborted).toBe(false);
  });

  test("of a refused delegation has no events", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const delegation = parent.run.context.delegate(bodyOf({ lease_request: { "fs.read": ["/**"] } }));
    await expect(delegation.events()[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "LEASE_SUBSET_VIOLATION",
    });
    delegation.cancel();
  });
});

describe("a delegate_id", () => {
  test("stands for one delegation of a job: a second is refused, and nothing of it is written", async () => {
    await using family = new Family();
    const parent = await family.parent();
    await family.child(parent, { delegate_id: "d1" });
    const again = parent.run.context.delegate(bodyOf({ delegate_id: "d1" }));
    for (const part of [again, again.accepted, again.done]) {
      expect(await refusalOf(part)).toMatchObject({ code: "INVALID_REQUEST" });
    }
    expect(await eventsOf(parent, "delegate")).toHaveLength(1);
    expect(await eventsOf(parent, "tool_result")).toEqual([]);
    const other = await jobOf(parent.client, family.parents, { "agent.delegate": ["child"] });
    await family.child(other, { delegate_id: "d1" });
  });
});

describe("when its parent", () => {
  test("is cancelled, a child is told to stop, and so are the child's own", async () => {
    await using family = new Family();
    const lease_request = { "agent.delegate": ["child"] };
    const parent = await family.parent();
    const child = await family.child(parent, { lease_request });
    const grandchild = await family.child({ ...parent, run: child.run, jobId: child.jobId });
    parent.client.send("job.cancel", { job_id: parent.jobId }, { job_id: parent.jobId });
    await parent.client.fence();
    for (const { run } of [parent, child, grandchild]) expect(run.context.signal.aborted).toBe(true);
    const late = parent.run.context.delegate(bodyOf({}));
    expect(await refusalOf(late.accepted)).toMatchObject({ code: "CANCELLED" });
    for (const { run } of [parent, child, grandchild]) run.finish();
    for (const { jobId } of [parent, child, grandchild]) {
      expect((await parent.client.end(jobId)).payload.final_status).toBe("cancelled");
    }
  });

  test("does not stop in time, both end all the same", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    parent.client.send("job.cancel", { job_id: parent.jobId }, { job_id: parent.jobId });
    await parent.client.fence();
    family.clock.advance(1000);
    for (const { jobId } of [parent, child]) {
      expect((await parent.client.end(jobId)).payload.final_status).toBe("cancelled");
    }
  });

  test("runs out of time, a child is told to stop", async () => {
    await using family = new Family();
    const client = await family.harness.rawSession(QUIET_FEATURES);
    const submission = { lease_request: { "agent.delegate": ["child"] }, max_runtime_sec: 1 };
    const accepted = await client.submit("puppet", null, submission);
    const parent = { client, accepted, jobId: accepted.payload.job_id, run: await family.parents.next() };
    const child = await family.child(parent);
    family.clock.advance(1000);
    expect((await client.end(parent.jobId)).payload.final_status).toBe("timed_out");
    expect(child.run.context.signal.aborted).toBe(true);
    child.run.finish();
    expect((await client.end(child.jobId)).payload.final_status).toBe("cancelled");
  });

  test("fails, a child is told to stop", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    parent.run.fail(new Error("broken"));
    expect((await parent.client.end(parent.jobId)).payload.final_status).toBe("error");
    expect(child.run.context.signal.aborted).toBe(true);
    child.run.finish();
    expect((await parent.client.end(child.jobId)).payload.final_status).toBe("cancelled");
  });

  test("succeeds, a child goes on, bounded as it was", async () => {
    await using family = new Family();
    const lease = { "cost.budget": ["USD:1.00"], "tool.call": ["search"] };
    const parent = await family.parent(lease);
    const child = await family.child(parent, {
      lease_request: { "tool.call": ["search"], "cost.budget": ["USD:0.10"] },
    });
    parent.run.finish();
    expect((await parent.client.end(parent.jobId)).payload.final_status).toBe("success");
    const { context } = child.run;
    expect(context.signal.aborted).toBe(false);
    await expect(context.operation("tool.call", "search", () => 1)).resolves.toBe(1);
    await context.metric({ name: "cost.x", value: 0.1, unit: "USD" });
    expect(await refusalOf(context.operation("tool.call", "search", () => 1))).toMatchObject({
      code: "BUDGET_EXHAUSTED",
    });
    child.run.finish("late");
    expect((await parent.client.end(child.jobId)).payload).toMatchObject({ final_status: "success", result: "late" });
  });
});

describe("a trace", () => {
  test("goes on in the child, with its state", async () => {
    covers("V11-10.3-01", "V11-10.3-03");
    await using family = new Family();
    const client = await family.harness.rawSession(QUIET_FEATURES);
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const id = client.send(
      "job.submit",
      { agent: "puppet", input: null, lease_request: { "agent.delegate": ["child"] } },
      { trace_id, traceparent: `00-${trace_id}-00f067aa0ba902b7-01`, tracestate: "vendor=value" },
    );
    const accepted = await client.reply(id);
    const parent = { client, accepted, jobId: accepted.payload.job_id, run: await family.parents.next() };
    const child = await family.child(parent);
    expect(accepted.payload.trace_id).toBe(trace_id);
    expect(child.accepted).toMatchObject({ trace_id, payload: { trace_id } });
    expect(child.run.context.traceId).toBe(trace_id);
    expect(child.run.context.traceHeaders["tracestate"]).toBe("vendor=value");
  });
});

describe("the session that submitted the parent", () => {
  test("is told on resume of a child that was accepted while it was away", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const { client } = parent;
    const last = client.numbered.at(-1)?.event_seq ?? 0;
    await family.harness.disconnect(client);
    const delegation = parent.run.context.delegate(bodyOf({ delegate_id: "d1" }));
    const { jobId } = await delegation.accepted;
    const run = await family.children.next();
    await run.context.log("info", "unseen");
    const back = await family.harness.raw();
    expect((await back.resume(client, last, "alice", QUIET_FEATURES)).type).toBe("session.welcome");
    const accepted = await back.find(isAcceptanceOf(jobId));
    expect(accepted.payload).toMatchObject({ parent_job_id: parent.jobId, delegate_id: "d1" });
    const log = await back.find(({ job_id, payload }) => job_id === jobId && payload.kind === "log");
    expect(back.frames.indexOf(accepted)).toBeLessThan(back.frames.indexOf(log));
    run.finish();
    expect((await back.end(jobId)).payload.final_status).toBe("success");
    const numbers = back.numbered.map(({ event_seq }) => event_seq);
    expect(numbers).toEqual(numbers.map((_, index) => last + 1 + index));
  });

  test("lists parent and child", async () => {
    await using family = new Family();
    const parent = await family.parent();
    const child = await family.child(parent);
    const jobs = await parent.client.listJobs();
    expect(jobs.map(({ job_id, parent_job_id }) => [job_id, parent_job_id])).toEqual(
      expect.arrayContaining([[child.jobId, parent.jobId]]),
    );
  });
});

describe("when the parent in between has succeeded", () => {
  const asked = (context: JobContext, value: number) => context.metric({ name: "cost.model", value, unit: "USD" });

  test.each([
    ["its own budget", { "cost.budget": ["USD:3"] }],
    ["the budget of the parent in between", {}],
  ])("what a grandchild spends of %s still counts against its grandparent's budget", async (_name, own) => {
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:10"] });
    const lease_request = { "agent.delegate": ["child"], "cost.budget": ["USD:6"] };
    const child = await family.child(parent, { lease_request });
    const grandchild = await family.child({ ...parent, run: child.run, jobId: child.jobId }, { lease_request: own });
    await asked(child.run.context, 1);
    child.run.finish();
    expect((await parent.client.end(child.jobId)).payload.final_status).toBe("success");
    await asked(grandchild.run.context, 2);
    grandchild.run.finish();
    expect((await parent.client.end(grandchild.jobId)).payload.final_status).toBe("success");
    expect(parent.run.context.budget.get("USD")).toBe(7);
  });

  test("and what it overspends is its grandparent's at once: neither spends the same twice", async () => {
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:10"], "tool.call": ["pay"] });
    const lease_request = { "agent.delegate": ["child"], "cost.budget": ["USD:6"] };
    const child = await family.child(parent, { lease_request });
    const grandchild = await family.child(
      { ...parent, run: child.run, jobId: child.jobId },
      { lease_request: { "cost.budget": ["USD:3"] } },
    );
    child.run.finish();
    await parent.client.end(child.jobId);
    // The child's own three are back.
    expect(parent.run.context.budget.get("USD")).toBe(7);
    await asked(grandchild.run.context, 10);
    expect(parent.run.context.budget.get("USD")).toBe(0);
    family.harness.server.registerTool("pay", { handler: () => "paid" });
    expect(await refusalOf(parent.run.context.callTool("pay"))).toMatchObject({ code: "BUDGET_EXHAUSTED" });
  });
});
