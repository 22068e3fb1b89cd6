/** What the examples of hosts have in common: a runtime with one agent, and a client that uses it over a WebSocket. */
import assert from "node:assert/strict";
import { ARCPClient, ARCPServer, silentLogger } from "@arcp/sdk";
import { bearer } from "./runtime.ts";

/** A runtime that says back what it is told. */
export function echoRuntime(): ARCPServer {
  const server = new ARCPServer({
    runtime: { name: "example", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer,
  });
  server.registerAgent("echo", async (input, context) => {
    await context.log("info", "working");
    return { echoed: input };
  });
  return server;
}

/** Asks for the application's page and for a job, both at one port. Throws if either is not as it should be. */
export async function useBoth(origin: string, say: (line: string) => void = console.log): Promise<void> {
  const page = await (await fetch(`${origin}/`)).text();
  say(`page   ${page}`);
  assert.equal(page, "the application");

  const url = `${origin.replace("http", "ws")}/arcp`;
  const client = await ARCPClient.connect(url, { token: "demo-token", logger: silentLogger });
  const job = await client.submit({ agent: "echo", input: "hello" });
  for await (const event of job) say(`event  ${event.seq} ${event.kind}`);
  const { result } = await job.done;
  say(`result ${JSON.stringify(result)}`);
  assert.deepEqual(result, { echoed: "hello" });
  await client.close();
}
