/** Runtime and client in one process: registers the echo agent, submits a job and prints what it emits. */
import { ARCPClient, ARCPServer, pairMemoryTransports, StaticBearerVerifier } from "@arcp/sdk";
import echo from "./agent.ts";

const server = new ARCPServer({
  runtime: { name: "example", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["tok", { principal: "me" }]])),
});
server.registerAgent("echo", echo);

const [clientEnd, serverEnd] = pairMemoryTransports();
void server.accept(serverEnd);

const client = new ARCPClient({ token: "tok", client: { name: "example", version: "1.0.0" } });
await client.connect(clientEnd);

const job = await client.submit({ agent: "echo", input: { hello: "world", steps: 3 } });
for await (const event of job) console.log(event.kind, event.body);
console.log(await job.done);

await client.close();
await server.close();
