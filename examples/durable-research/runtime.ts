/** The runtime, in a process that can be killed: `node runtime.ts DATABASE PORT`. Says on which port it listens. */
import { ARCPServer, StaticBearerVerifier, sqliteStore, startWebSocketServer } from "@arcp/sdk";
import research, { version } from "./agent.ts";

const [path = ":memory:", port = "0"] = process.argv.slice(2);
const server = new ARCPServer({
  runtime: { name: "durable-research", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["demo-token", { principal: "demo" }]])),
  eventLog: sqliteStore({ path }),
});
server.registerAgent(`research@${version}`, research, { durable: true });
const listener = await startWebSocketServer({
  port: Number(port),
  onTransport: (transport) => void server.accept(transport),
});
process.send?.(Number(new URL(listener.url).port));
// Whoever started it has gone.
process.once("disconnect", () => process.exit());
