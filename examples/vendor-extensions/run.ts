/** Events of a vendor's own kind (§8.2, §15): `node examples/vendor-extensions/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const MOVE = "x-vendor.acme.move";

async function play(_input: unknown, ctx: JobContext): Promise<string> {
  await ctx.emitEvent(MOVE, { from: "e2", to: "e4" });
  await ctx.emitEvent("x-vendor.acme.clock", { white: 598 });
  await ctx.emitEvent(MOVE, { from: "e7", to: "e5" });
  return "a draw";
}

await withRuntime({ play }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({ agent: "play" });

  let moves = 0;
  for await (const event of job) {
    // The body is a stranger's: in earnest, a schema stands here.
    if (event.kind === "vendor" && event.name === MOVE) {
      moves += 1;
      const { from, to } = event.body as { readonly from: string; readonly to: string };
      console.log(`move    ${from} ${to}`);
    } else console.log(`other   ${event.kind === "vendor" ? event.name : event.kind}`);
  }
  console.log(`result  ${(await job.done).result}`);
  assert.equal(moves, 2);
});
