/** Two versions of one agent (§7.5): `node examples/agent-versions/run.ts`. */
import assert from "node:assert/strict";
import { AgentVersionNotAvailableError, ARCPClient } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

const agents = {
  "greet@1.0.0": async (name: unknown) => `Hello ${name}`,
  "greet@2.0.0": async (name: unknown) => `Hello ${name}, how are you?`,
};

await withRuntime(agents, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });

  for (const agent of ["greet", "greet@1.0.0"]) {
    const job = await client.submit({ agent, input: "Ada" });
    const { result } = await job.done;
    console.log(`${agent.padEnd(12)} ${job.accepted.agent}: ${result}`);
  }

  await assert.rejects(client.submit({ agent: "greet@3.0.0", input: "Ada" }), AgentVersionNotAvailableError);
  console.log("greet@3.0.0  AGENT_VERSION_NOT_AVAILABLE");
});
