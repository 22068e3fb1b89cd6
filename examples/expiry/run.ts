/** A lease that ends while the job works (§9.5): `node examples/expiry/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext, LeaseExpiredError } from "@arcp/sdk";
import { ShiftedClock } from "../authority/shifted-clock.ts";
import { withRuntime } from "../runtime.ts";

const HOUR_MS = 3_600_000;
const clock = new ShiftedClock();

async function patrol(_input: unknown, ctx: JobContext): Promise<string> {
  for (const hour of [1, 2]) {
    await ctx.operation("tool.call", "camera.look", () => "all quiet").catch(() => {});
    if (hour === 1) clock.advance(HOUR_MS);
  }
  return "all is well";
}

await withRuntime(
  { patrol },
  async (connect) => {
    await using client = await ARCPClient.connect(connect, { token: "demo-token" });
    const job = await client.submit({
      agent: "patrol",
      leaseRequest: { "tool.call": ["camera.look"] },
      leaseConstraints: { expiresAt: new Date(clock.now() + HOUR_MS) },
    });
    console.log(`granted  until ${job.accepted.leaseConstraints?.expiresAt}, an hour from now`);
    for await (const { kind, body } of job) {
      if (kind === "tool_result") console.log(`look     ${body.error === undefined ? "allowed" : body.error.code}`);
    }
    await assert.rejects(job.done, LeaseExpiredError);
    console.log(`job      ${job.finalStatus}: LEASE_EXPIRED`);
  },
  { clock },
);
