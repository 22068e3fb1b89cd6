/** A second client comes late, and watches the job of the first (§7.6): `node examples/subscribe/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const visitor = Promise.withResolvers<void>();

async function bake(_input: unknown, ctx: JobContext): Promise<string> {
  await ctx.status("mixing", "flour, water, salt");
  await ctx.status("resting", "for an hour");
  await visitor.promise;
  await ctx.status("baking", "at 240 °C");
  return "bread";
}

await withRuntime({ bake }, async (connect) => {
  await using baker = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await baker.submit({ agent: "bake" });
  for await (const { kind, body } of job) if (kind === "status" && body.phase === "resting") break;

  await using watcher = await ARCPClient.connect(connect, { token: "demo-token" });
  const seen = await watcher.subscribe(job.jobId, { history: true });
  console.log(`subscribed  to ${seen.subscribed.agent}, which is ${seen.subscribed.currentStatus}`);
  visitor.resolve();

  const phases: string[] = [];
  for await (const { kind, body } of seen) {
    if (kind !== "status") continue;
    phases.push(body.phase);
    console.log(`${body.phase.padEnd(11)} ${body.message}`);
  }
  const { result } = await seen.done;
  console.log(`result      ${result}`);
  assert.deepEqual(phases, ["mixing", "resting", "baking"]);
});
