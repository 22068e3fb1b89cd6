/** A result in pieces, read while it is written (§8.4): `node examples/result-chunks/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const VERSES = ["The tide comes in,\n", "the tide goes out,\n", "and the harbour stays.\n"];
const THINKING_MS = 30;

async function poem(_input: unknown, ctx: JobContext): Promise<void> {
  const result = ctx.streamResult();
  for (const verse of VERSES) {
    await result.write(verse);
    await ctx.sleep(THINKING_MS);
  }
  await result.finalize();
}

await withRuntime({ poem }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });

  const read = await client.submit({ agent: "poem" });
  for await (const piece of read.resultStream()) if (piece !== "") console.log(`piece  ${String(piece).trim()}`);

  const collected = await client.submit({ agent: "poem" });
  const { result, resultSize } = await collected.done;
  console.log(`whole  ${resultSize} bytes`);
  assert.equal(result, VERSES.join(""));
});
