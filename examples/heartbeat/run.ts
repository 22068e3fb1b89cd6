/** A line goes silent, and the heartbeat notices (§6.4): `node examples/heartbeat/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext, pairMemoryTransports } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const back = Promise.withResolvers<void>();

async function sail(_input: unknown, ctx: JobContext): Promise<string> {
  await ctx.log("info", "out of the harbour");
  await back.promise;
  await ctx.log("info", "land in sight");
  return "arrived";
}

await withRuntime(
  { sail },
  async (_connect, server) => {
    let isFirst = true;
    let isSilent = false;
    // The first line swallows what the runtime says once it is silent, and nobody is told.
    const connect = async () => {
      const isCable = isFirst;
      isFirst = false;
      const [near, far] = pairMemoryTransports({
        right: { onSend: () => (isCable && isSilent ? "drop" : "deliver") },
      });
      void server.accept(far);
      return near;
    };
    await using client = await ARCPClient.connect(connect, { token: "demo-token", reconnect: { maxDelayMs: 100 } });
    client.on("state", (state) => {
      if (state.phase === "reconnecting" && state.attempt === 1) console.log(`line   given up: ${state.cause.code}`);
      if (state.phase !== "connected" || !state.isResumed) return;
      console.log("line   a new one, for the same session");
      back.resolve();
    });

    const job = await client.submit({ agent: "sail" });
    for await (const { kind, body } of job) {
      if (kind !== "log") continue;
      console.log(`event  ${body.message}`);
      if (isSilent) continue;
      isSilent = true;
      console.log("line   silent");
    }
    const { result } = await job.done;
    console.log(`job    ${result}`);
    assert.equal(result, "arrived");
  },
  { heartbeatIntervalSeconds: 1 },
);
