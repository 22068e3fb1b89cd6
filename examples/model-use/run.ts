/** A lease names the models of a job (§9.7): `node examples/model-use/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext, PermissionDeniedError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

/** Stands for the call of a model's API. */
const ask = async (model: string): Promise<string> => `${model} says hello`;

async function chat(_input: unknown, ctx: JobContext): Promise<string> {
  try {
    return await ctx.useModel("tier-best/large", ({ model }) => ask(model));
  } catch (error) {
    if (!(error instanceof PermissionDeniedError)) throw error;
    return ctx.useModel("tier-fast/small", ({ model }) => ask(model));
  }
}

await withRuntime({ chat }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({ agent: "chat", leaseRequest: { "model.use": ["tier-fast/*"] } });
  for await (const { kind, body } of job) {
    if (kind === "tool_call") console.log(`tries   ${JSON.stringify(body.args)}`);
    if (kind === "tool_result") console.log(`        ${body.error === undefined ? "allowed" : body.error.code}`);
  }
  const { result } = await job.done;
  console.log(`result  ${result}`);
  assert.equal(result, "tier-fast/small says hello");
});
