/** Delegation: what a child is given, what it is refused, and what becomes of it when its parent ends. */
import { describe, expect, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS } from "../support/harness.ts";
import type { ManualClock } from "../support/manual-clock.ts";
import type { Run } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";
import { type AuthorizedJob, authorizedJob, eventsOf, refusalOf } from "./authorized-job.ts";
import { type Body, bodyOf, Family } from "./family.ts";

/** The refusal of a delegation, which stands in the journal as well. */
async function refused(parent: AuthorizedJob, body: Partial<Body>): Promise<string> {
  const before = (await eventsOf(parent, "tool_result")).length;
  const delegation = parent.run.context.delegate(bodyOf(body));
  await expect(delegation).resolves.toBeUndefined();
  const error = await refusalOf(delegation.accepted);
  expect(await refusalOf(delegation.done)).toBe(error);
  const results = (await eventsOf(parent, "tool_result")).slice(before);
  expect(results).toMatchObject([{ call_id: delegation.delegateId, error: { code: error.code } }]);
  return error.code;
}

describe.each(CARRIERS)("a delegation over %s", (carrier) => {
  test("is an event, and a job of its own in the same session", async () => {
    covers("V11-10-01", "V11-10.1-01", "V11-10.1-02", "V11-10.1-03", "V11-10.3-01");
    await using family = new Family({ carrier });
    const parent = await family.parent({ "tool.call": ["search"] });
    const lease_request = { "tool.call": ["search"] };
    const child = await family.child(parent, { delegate_id: "del_1", input: { n: 1 }, lease_request });
    expect(await eventsOf(parent, "delegate")).toEqual([
      { kind: "delegate", delegate_id: "del_1", agent: "child", input: { n: 1 }, lease_request },
    ]);
    expect(child.accepted).toMatchObject({
      session_id: parent.client.sessionId,
      job_id: child.jobId,
      trace_id: parent.accepted.payload.trace_id,
      payload: {
        job_id: child.jobId,
        parent_job_id: parent.jobId,
        delegate_id: "del_1",
        agent: "child@0.0.0",
        lease: lease_request,
        trace_id: parent.accepted.payload.trace_id,
      },
    });
    expect(child.run.input).toEqual({ n: 1 });
    await parent.run.context.log("info", "parent");
    await child.run.context.log("info", "child");
    await parent.run.context.log("info", "parent");
    child.run.finish("from below");
    parent.run.finish(await child.delegation.done);
    const end = await parent.client.end(parent.jobId);
    expect(end.payload).toMatchObject({
      final_status: "success",
      result: { jobId: child.jobId, result: "from below" },
    });
    const { numbered } = parent.client;
    expect(numbered.map(({ event_seq }) => event_seq)).toEqual(numbered.map((_, index) => index + 1));
    expect(new Set(numbered.map(({ job_id }) => job_id))).toEqual(new Set([parent.jobId, child.jobId]));
    expect(new Set(numbered.map(({ trace_id }) => trace_id))).toEqual(new Set([parent.accepted.payload.trace_id]));
    const order = parent.client.frames.filter(({ type, job_id }) => type.startsWith("job.") && job_id === child.jobId);
    expect(order[0]).toBe(child.accepted);
  });
});

describe("what an agent may delegate to", () => {
  test("is what agent.delegate covers", async () => {
    covers("V11-10.1-04", "V11-10.2-03");
    await using family = new Family({ agents: { other: vi.fn() } });
    const parent = await family.parent();
    expect(await refused(parent, { agent: "other" })).toBe("PERMISSION_DENIED");
    const without = await authorizedJob(family.harness, family.parents, {});
    expect(await refused(without, {})).toBe("PERMISSION_DENIED");
    parent.run.finish();
    expect((await parent.client.end(parent.jobId)).payload.final_status).toBe("success");
    expect(parent.client.frames.filter(({ type }) => type === "session.error")).toEqual([]);
    expect(family.harness.server.runningJobs).toBe(1);
  });

  test("must be there", async () => {
    await using family = new Family();
    const parent = await authorizedJob(family.harness, family.parents, { "agent.delegate": ["*"] });
    expect(await refused(parent, { agent: "nobody" })).toBe("AGENT_NOT_AVAILABLE");
  });
});

describe("a child's lease", () => {
  test.each<[string, object, object]>([
    ["another capability", { "fs.read": ["/a/**"] }, { "fs.write": ["/a/**"] }],
    ["a broader pattern", { "fs.read": ["/a/*"] }, { "fs.read": ["/a/**"] }],
    ["a path beside", { "fs.read": ["/a/**"] }, { "fs.read": ["/b/**"] }],
    ["everything", { "fs.read": ["/a/**"] }, { "fs.read": ["/**"] }],
    ["a part that leaves", { "fs.read": ["/a/**"] }, { "fs.read": ["/a/x", "/b"] }],
    ["another agent", {}, { "agent.delegate": ["other"] }],
  ])("with %s is refused", async (_what, own, lease_request) => {
    covers("V11-9.4-01", "V11-10.2-02", "V11-10.2-03");
    await using family = new Family();
    const parent = await family.parent(own);
    expect(await refused(parent, { lease_request } as Partial<Body>)).toBe("LEASE_SUBSET_VIOLATION");
    expect(family.children.runs).toEqual([]);
    parent.run.finish();
    expect((await parent.client.end(parent.jobId)).payload.final_status).toBe("success");
    expect(parent.client.frames.filter(({ type }) => type === "session.error")).toEqual([]);
  });

  test.each([
    ["/a/**", "/a/b/*"],
    ["/a/**", "/a/**"],
    ["/a/**", "/a/b"],
    ["/a/*/c", "/a/b/c"],
  ])("under %s may be %s", async (own, asked) => {
    covers("V11-9.4-02");
    await using family = new Family();
    const parent = await family.parent({ "fs.read": [own] });
    const child = await family.child(parent, { lease_request: { "fs.read": [asked] } });
    expect(child.accepted.payload.lease).toEqual({ "fs.read": [asked] });
  });

  test.each([
    ["/a/*", "/**"],
    ["/a/**", "/a/../b/**"],
    ["/a/*", "/a/b**"],
    ["/a/*", "/a/.."],
    ["/a/**", "/a/%2e%2e/b"],
  ])("under %s is not %s, which nobody can prove to lie within", async (own, asked) => {
    covers("V11-9.4-04");
    await using family = new Family();
    const parent = await family.parent({ "fs.read": [own] });
    const code = await refused(parent, { lease_request: { "fs.read": [asked] } });
    expect(["LEASE_SUBSET_VIOLATION", "INVALID_REQUEST"]).toContain(code);
    expect(family.children.runs).toEqual([]);
  });

  test("may be empty, and then allows nothing", async () => {
    covers("V11-9.4-03");
    await using family = new Family();
    const parent = await family.parent({ "tool.call": ["search"], "cost.budget": ["USD:1"] });
    const child = await family.child(parent);
    expect(child.accepted.payload.lease).toEqual({});
    const error = await refusalOf(child.run.context.operation("tool.call", "search", () => 1));
    expect(error).toMatchObject({ code: "PERMISSION_DENIED" });
  });

  test("lies within what the parent was granted, not within what was asked for it", async () => {
    covers("V11-10.2-01");
    const leasePolicy = (request: Record<string, readonly string[]>) => {
      const { "fs.write": _, ...rest } = request;
      return rest;
    };
    await using family = new Family({ server: { leasePolicy } });
    const parent = await family.parent({ "fs.read": ["/a/**"], "fs.write": ["/a/**"] });
    expect(parent.accepted.payload.lease).not.toHaveProperty(["fs.write"]);
    expect(await refused(parent, { lease_request: { "fs.write": ["/a/**"] } })).toBe("LEASE_SUBSET_VIOLATION");
  });

  test("names only models that the parent may use", async () => {
    covers("V11-9.4-10");
    await using family = new Family();
    const parent = await family.parent({ "model.use": ["tier-fast/*"] });
    for (const model of ["tier-slow/a", "**"]) {
      expect(await refused(parent, { lease_request: { "model.use": [model] } })).toBe("LEASE_SUBSET_VIOLATION");
    }
    const child = await family.child(parent, { lease_request: { "model.use": ["tier-fast/a"] } });
    await expect(child.run.context.useModel("tier-fast/a", ({ model }) => model)).resolves.toBe("tier-fast/a");
  });
});

describe("a child's budget", () => {
  test("is at most what the parent has left, per currency", async () => {
    covers("V11-9.4-05", "V11-9.4-06", "V11-10.2-04");
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:5.00"] });
    await parent.run.context.metric({ name: "cost.inference", value: 3, unit: "USD" });
    const budget = (...amounts: string[]) => ({ lease_request: { "cost.budget": amounts } });
    expect(await refused(parent, budget("USD:2.01"))).toBe("LEASE_SUBSET_VIOLATION");
    expect(await refused(parent, budget("EUR:1"))).toBe("LEASE_SUBSET_VIOLATION");
    expect(parent.run.context.budget.get("USD")).toBe(2);
    const child = await family.child(parent, budget("USD:2.00"));
    expect(child.accepted.payload.budget).toEqual({ USD: 2 });
    expect(parent.run.context.budget.get("USD")).toBe(0);
    expect(await refused(parent, budget("USD:0.01"))).toBe("BUDGET_EXHAUSTED");
  });

  test("goes back when it ends, as far as it was not spent, and the parent is told", async () => {
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:5.00"] });
    const child = await family.child(parent, { lease_request: { "cost.budget": ["USD:2.00"] } });
    expect(parent.run.context.budget.get("USD")).toBe(3);
    await child.run.context.metric({ name: "cost.inference", value: 0.5, unit: "USD" });
    expect(child.run.context.budget.get("USD")).toBe(1.5);
    expect(parent.run.context.budget.get("USD")).toBe(3);
    child.run.finish();
    await child.delegation.done;
    expect(parent.run.context.budget.get("USD")).toBe(4.5);
    const told = await eventsOf(parent, "metric");
    expect(told).toMatchObject([
      { name: "cost.budget.remaining", value: 3, unit: "USD" },
      { name: "cost.budget.remaining", value: 4.5, unit: "USD" },
    ]);
    const { budget } = (await parent.client.ask("job.subscribe", { job_id: parent.jobId })).payload;
    expect(budget).toEqual({ USD: 4.5 });
  });

  test("that is not named is the parent's own (D13)", async () => {
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:5"], "tool.call": ["search"] });
    const child = await family.child(parent, { lease_request: { "tool.call": ["search"] } });
    await child.run.context.metric({ name: "cost.inference", value: 6, unit: "USD" });
    expect(parent.run.context.budget.get("USD")).toBe(-1);
    for (const { context } of [parent.run, child.run]) {
      expect(await refusalOf(context.operation("tool.call", "search", () => 1))).toMatchObject({
        code: "BUDGET_EXHAUSTED",
      });
    }
    expect(await eventsOf(parent, "metric")).toMatchObject([{ name: "cost.budget.remaining", value: -1 }]);
  });

  test("that is overspent is taken from the parent at once", async () => {
    await using family = new Family();
    const parent = await family.parent({ "cost.budget": ["USD:1.00"] });
    const child = await family.child(parent, { lease_request: { "cost.budget": ["USD:0.40"] } });
    await child.run.context.metric({ name: "cost.inference", value: 0.7, unit: "USD" });
    expect(child.run.context.budget.get("USD")).toBe(-0.3);
    expect(parent.run.context.budget.get("USD")).toBe(0.3);
    child.run.finish();
    await child.delegation.done;
    expect(parent.run.context.budget.get("USD")).toBe(0.3);
  });
});

describe("a child's expiry", () => {
  const at = (clock: ManualClock, ms: number) => ({ expires_at: new Date(clock.now() + ms).toISOString() });

  test("is at most the parent's (D15)", async () => {
    covers("V11-9.4-07", "V11-10.2-04");
    await using family = new Family();
    const { clock } = family;
    const parent = await family.parent({}, at(clock, 10_000));
    for (const ms of [10_001, 11_000]) {
      expect(await refused(parent, { lease_constraints: at(clock, ms) })).toBe("LEASE_SUBSET_VIOLATION");
    }
    for (const ms of [10_000, 9000]) {
      const child = await family.child(parent, { lease_constraints: at(clock, ms) });
      expect(child.accepted.payload.lease_constraints).toEqual(at(clock, ms));
      expect((await child.delegation.accepted).leaseConstraints).toEqual(at(clock, ms));
    }
  });

  test("may be earlier: then the child's operations fail and the parent's do not", async () => {
    covers("V11-9.4-08");
    await using family = new Family();
    const lease = { "tool.call": ["search"] };
    const parent = await family.parent(lease, at(family.clock, 10_000));
    const child = await family.child(parent, { lease_request: lease, lease_constraints: at(family.clock, 1000) });
    family.clock.advance(1000);
    const search = ({ run }: { readonly run: Run }) => run.context.operation("tool.call", "search", () => 1);
    expect(await refusalOf(search(child))).toMatchObject({ code: "LEASE_EXPIRED" });
    await expect(search(parent)).resolves.toBe(1);
  });

  test("is the parent's if it names none (D15)", async () => {
    covers("V11-9.4-09");
    await using family = new Family();
    const lease = { "tool.call": ["search"] };
    const constraints = at(family.clock, 10_000);
    const parent = await family.parent(lease, constraints);
    const child = await family.child(parent, { lease_request: lease });
    expect(child.accepted.payload.lease_constraints).toEqual(constraints);
    family.clock.advance(10_000);
    const attempt = child.run.context.operation("tool.call", "search", () => 1);
    expect(await refusalOf(attempt)).toMatchObject({ code: "LEASE_EXPIRED" });
  });

  test("has an end: nothing can be delegated after the parent's", async () => {
    await using family = new Family();
    const parent = await family.parent({}, at(family.clock, 1000));
    family.clock.advance(1000);
    expect(await refused(parent, {})).toBe("LEASE_EXPIRED");
  });
});

describe("delegations are bounded (D16)", () => {
  test("in depth", async () => {
    const refusal = Promise.withResolvers<unknown>();
    const lease = { "agent.delegate": ["deeper"] };
    let depth = 0;
    await using family = new Family({
      agents: {
        async deeper(_input, context) {
          depth += 1;
          const { done } = context.delegate(bodyOf({ agent: "deeper", lease_request: lease }));
          await done.catch(refusal.resolve);
        },
      },
    });
    const client = await family.harness.rawSession(QUIET_FEATURES);
    const accepted = await client.submit("deeper", null, { lease_request: lease });
    expect(await refusal.promise).toMatchObject({
      code: "INTERNAL_ERROR",
      details: { limit: "maxDelegationDepth" },
    });
    await client.end(accepted.payload.job_id);
    expect(depth).toBe(9);
  });

  test("in breadth, counting those that live", async () => {
    await using family = new Family({ server: { delegationCaps: { maxLiveChildren: 2 } } });
    const parent = await family.parent();
    const first = await family.child(parent);
    await family.child(parent);
    expect(await refused(parent, {})).toBe("INTERNAL_ERROR");
    first.run.finish();
    await first.delegation.done;
    await family.child(parent);
  });
});
