/** A job spends until its budget is used up (§9.6): `node examples/budget/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, BudgetExhaustedError, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

async function summarise(_input: unknown, ctx: JobContext): Promise<string> {
  let pages = 0;
  try {
    for (;;) {
      await ctx.useModel(
        "tier-fast/small",
        // The model's API would be called here. What it says of its cost is taken from the budget.
        (use) => use.report({ name: "cost.inference", value: 0.3, unit: "USD" }),
        { cost: { USD: 0.3 } },
      );
      pages += 1;
      await ctx.log("info", `page ${pages}: USD ${ctx.budget.get("USD")?.toFixed(2)} left`);
    }
  } catch (error) {
    if (!(error instanceof BudgetExhaustedError)) throw error;
    return `${pages} pages, then ${error.code}`;
  }
}

await withRuntime({ summarise }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({
    agent: "summarise",
    leaseRequest: { "cost.budget": ["USD:1.00"], "model.use": ["tier-fast/*"] },
  });
  console.log(`granted  USD ${job.accepted.budget?.["USD"]?.toFixed(2)}`);
  for await (const { kind, body } of job) if (kind === "log") console.log(body.message);
  const { result } = await job.done;
  console.log(`result   ${result}`);
  assert.equal(result, "3 pages, then BUDGET_EXHAUSTED");
});
