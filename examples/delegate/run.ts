/** An agent hands on a part of its work, and of its authority (§10): `node examples/delegate/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext, LeaseSubsetViolationError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

async function edit(_input: unknown, ctx: JobContext): Promise<string> {
  const greedy = ctx.delegate({ agent: "read", lease_request: { "cost.budget": ["USD:5.00"] } });
  await assert.rejects(greedy.done, LeaseSubsetViolationError);
  await ctx.log("info", "USD 5.00 are more than there is: LEASE_SUBSET_VIOLATION");

  const reading = ctx.delegate({
    agent: "read",
    input: "chapter 3",
    lease_request: { "cost.budget": ["USD:0.40"] },
  });
  const { result } = await reading.done;
  await ctx.log("info", `the reader says: ${result}`);
  return "edited";
}

async function read(chapter: unknown, ctx: JobContext): Promise<string> {
  return `${chapter} is too long, and I had USD ${ctx.budget.get("USD")?.toFixed(2)}`;
}

await withRuntime({ edit, read }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({
    agent: "edit",
    leaseRequest: { "agent.delegate": ["read"], "cost.budget": ["USD:1.00"] },
  });
  for await (const { kind, body } of job) {
    if (kind === "delegate") console.log(`delegate  ${body.agent}, with ${body.lease_request?.["cost.budget"]}`);
    if (kind === "log") console.log(`log       ${body.message}`);
  }
  const { result } = await job.done;
  console.log(`result    ${result}`);
  assert.equal(result, "edited");
});
