/** What a tool may do over wire 1.0: what its lease says, and no more (RFC §15). */
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";

const codeOf = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "allowed",
    (error) => String(error.code),
  );

test("a hostile tool gets no further than its lease, and its job goes on", async () => {
  covers("V10-15.1-01", "V10-15.2-01");
  await using harness = startHarness({
    agents: {
      hostile: async (_input, context) => ({
        outside: await codeOf(context.fs.read("/etc/passwd", "utf8")),
        below: await codeOf(context.fs.read("/tmp/../etc/passwd", "utf8")),
        metadata: await codeOf(context.fetch("http://169.254.169.254/latest/meta-data")),
        named: await codeOf(context.fetch("http://localhost/")),
        tool: await codeOf(context.callTool("shell", {})),
        model: await codeOf(context.useModel("any", () => {})),
        agent: await codeOf(context.delegate({ agent: "hostile" }).accepted),
      }),
    },
  });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("hostile", {}, { lease_request: { "fs.read": ["/tmp/arcp-nowhere/**"] } });
  const { payload } = await client.ending(job_id);
  expect(new Set(Object.values(payload.value))).toEqual(new Set(["PERMISSION_DENIED"]));
});

test("the same budget binds a job of either wire", async () => {
  await using harness = startHarness({
    agents: {
      spender: async (_input, context) => {
        await context.metric({ name: "cost.search", value: 0.6, unit: "USD" });
        await context.metric({ name: "cost.search", value: 0.4, unit: "USD" });
        return codeOf(context.operation("tool.call", "search", () => {}));
      },
    },
  });
  const client = await harness.rawSession10();
  const lease_request = { "cost.budget": ["USD:1.00"], "tool.call": ["search"] };
  const { job_id } = await client.invoke("spender", {}, { lease_request });
  expect((await client.ending(job_id)).payload.value).toBe("BUDGET_EXHAUSTED");
  const spent = client.ofType("metric").filter(({ payload }) => payload.name === "cost.usd");
  expect(spent.map(({ payload }) => [payload.value, payload.unit])).toEqual([
    [0.6, "usd"],
    [0.4, "usd"],
  ]);
});
