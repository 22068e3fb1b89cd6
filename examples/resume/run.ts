/** The connection is lost in the middle of a job, and nothing of the job is (§6.3): `node examples/resume/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext, type Transport } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const BEAT_MS = 20;

async function count(_input: unknown, ctx: JobContext): Promise<string> {
  for (let n = 1; n <= 8; n += 1) {
    await ctx.progress(n, { total: 8 });
    await ctx.sleep(BEAT_MS);
  }
  return "counted";
}

await withRuntime({ count }, async (connect) => {
  let line: Transport | undefined;
  const connectOver = async (signal: AbortSignal): Promise<Transport> => {
    line = await connect(signal);
    return line;
  };
  await using client = await ARCPClient.connect(connectOver, { token: "demo-token", reconnect: { maxDelayMs: 100 } });
  client.on("state", (state) => {
    if (state.phase === "connected" && state.isResumed) console.log("connection  is back, and the session is the same");
  });

  const job = await client.submit({ agent: "count" });
  const seen: number[] = [];
  for await (const { kind, body } of job) {
    if (kind !== "progress") continue;
    seen.push(body.current);
    if (body.current !== 3) continue;
    console.log("connection  is cut after 3");
    line?.abort("somebody stumbled over the cable");
  }
  const { result } = await job.done;
  console.log(`seen        ${seen.join(" ")}`);
  console.log(`result      ${result}`);
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
});
