/** One trace, from the client to a tool of a delegated job (§11): `node examples/tracing/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, type JobContext } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const traces: (string | undefined)[] = [];

/** Stands for a server of tools: what it is told in its headers. */
function search(headers: Readonly<Record<string, string>>): string {
  traces.push(headers["traceparent"]?.split("-")[1]);
  return "found";
}

async function answer(_input: unknown, ctx: JobContext): Promise<unknown> {
  traces.push(ctx.traceId);
  return (await ctx.delegate({ agent: "look", lease_request: {} }).done).result;
}

const look = async (_input: unknown, ctx: JobContext): Promise<string> => search(ctx.traceHeaders);

await withRuntime({ answer, look }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({
    agent: "answer",
    leaseRequest: { "agent.delegate": ["look"] },
    traceId: TRACE_ID,
  });
  await job.done;
  const [agent, tool] = traces;
  for (const [who, trace] of Object.entries({ client: TRACE_ID, job: job.accepted.traceId, agent, tool })) {
    console.log(`${who.padEnd(7)} ${trace === TRACE_ID ? "in the trace" : "not in it"}`);
    assert.equal(trace, TRACE_ID);
  }
});
