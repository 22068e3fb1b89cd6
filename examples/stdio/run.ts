/** A runtime as a child process (§4): `node examples/stdio/run.ts`. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ARCPClient, StdioTransport } from "@arcp/sdk";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Installed, this is `arcp`.
const arcp = here("../../packages/sdk/bin/arcp.js");
const serve = ["serve", "--stdio", "--db", ":memory:", "--agent", `echo=${here("../echo/agent.ts")}`];

await using client = await ARCPClient.connect(
  () =>
    StdioTransport.spawn(process.execPath, [arcp, ...serve], {
      env: { ...process.env, ARCP_TOKEN: "demo-token" },
      onStderr: () => {},
    }),
  { token: "demo-token" },
);
console.log(`runtime  ${client.session?.runtime.name}, at the other end of a pipe`);

const job = await client.submit({ agent: "echo", input: { hello: "pipe", steps: 2 } });
for await (const { kind, body } of job) if (kind === "progress") console.log(`event    ${body.message}`);
const { result } = await job.done;
console.log(`result   ${JSON.stringify(result)}`);
assert.deepEqual(result, { echoed: { hello: "pipe", steps: 2 } });
