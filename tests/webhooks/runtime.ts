/** A runtime to be killed: `node runtime.ts DATABASE URL SECRET`. It runs one job, and tells an endpoint how that ended. */

import { ARCPClient } from "@arcp/client";
import { pairMemoryTransports, StaticBearerVerifier, silentLogger } from "@arcp/core";
import { ARCPServer, sqliteStore } from "@arcp/runtime";

const [path = "", url = "", secret = "", jobs = "0"] = process.argv.slice(2);
const server = new ARCPServer({
  runtime: { name: "told", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
  logger: silentLogger,
  eventLog: sqliteStore({ path }),
  webhooks: { endpoints: [{ name: "ops", url, secret }] },
});
server.registerAgent("echo", (input) => input);
// Whoever forked it has gone.
process.once("disconnect", () => process.exit());

const [near, far] = pairMemoryTransports();
await server.accept(far);
const client = new ARCPClient({ token: "alice", logger: silentLogger });
await client.connect(near);
for (let count = 0; count < Number(jobs); count += 1) {
  const job = await client.submit({ agent: "echo", input: count });
  await job.done;
  process.send?.(job.jobId);
}
