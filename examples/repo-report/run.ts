/** Runtime and client in one process: reports on this very directory, and prints the report as it arrives. */
import { ARCPClient, ARCPServer, pairMemoryTransports, StaticBearerVerifier } from "@arcp/sdk";
import repoReport from "./agent.ts";

const server = new ARCPServer({
  runtime: { name: "example", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["tok", { principal: "me" }]])),
});
server.registerAgent("repo-report", repoReport);

const [clientEnd, serverEnd] = pairMemoryTransports();
void server.accept(serverEnd);

const client = new ARCPClient({ token: "tok", client: { name: "example", version: "1.0.0" } });
await client.connect(clientEnd);

const job = await client.submit({ agent: "repo-report", input: { directory: import.meta.dirname } });
for await (const { kind, body } of job) {
  if (kind === "result_chunk") process.stdout.write(body.data);
  else console.error(kind, body);
}
await job.done;

await client.close();
await server.close();
