/** A client falls behind, and its job waits for it (§6.5): `node examples/back-pressure/run.ts`. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { ARCPClient, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const PAUSE_MS = 20;
const LOOK_MS = 200;
let told = 0;
let hasCaughtUp = false;

async function narrate(_input: unknown, ctx: JobContext): Promise<string> {
  while (!hasCaughtUp) {
    // To await it is all that an agent has to do.
    await ctx.progress(told + 1);
    told += 1;
    await ctx.sleep(PAUSE_MS);
  }
  return "told";
}

await withRuntime(
  { narrate },
  async (connect) => {
    await using client = await ARCPClient.connect(connect, { token: "demo-token", autoAck: false });
    const job = await client.submit({ agent: "narrate" });
    for await (const { kind, body, seq = 0 } of job) {
      if (kind === "progress" && body.current === 1) {
        client.ack(seq);
        console.log("client   has processed the first event");
      }
      if (kind !== "status" || body.phase !== "back_pressure") continue;
      console.log(`runtime  ${body.message}`);
      const before = told;
      await delay(LOOK_MS);
      assert.equal(told, before, "the agent goes on");
      console.log("agent    waits");
      hasCaughtUp = true;
      client.ack(seq);
    }
    console.log(`result   ${(await job.done).result}`);
    assert.ok(hasCaughtUp);
  },
  { backPressureThreshold: 10 },
);
