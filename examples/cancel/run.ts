/** A client cancels its job, and the agent hears of it at once (§7.4): `node examples/cancel/run.ts`. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { ARCPClient, CancelledError, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const LONG_MS = 3_600_000;

async function watch(_input: unknown, ctx: JobContext): Promise<void> {
  await ctx.log("info", "waiting for news");
  try {
    // Whatever waits is given the signal: timers, fetch, child processes.
    await delay(LONG_MS, undefined, { signal: ctx.signal });
  } finally {
    console.log(`agent   stops: ${ctx.signal.reason.message}`);
  }
}

await withRuntime({ watch }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({ agent: "watch" });

  for await (const { kind, body } of job) {
    if (kind !== "log") continue;
    console.log(`client  hears: ${body.message}`);
    await job.cancel("nobody is interested any more");
  }
  await assert.rejects(job.done, CancelledError);
  console.log(`client  knows: the job is ${job.finalStatus}`);
});
