/** A runtime as a child process: stdin and stdout are its connection, stderr has its log. */
import { createLogger, StaticBearerVerifier, StdioTransport } from "@arcp/core";
import { ARCPServer } from "@arcp/runtime";

const server = new ARCPServer({
  runtime: { name: "child", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
  logger: createLogger((line) => console.error(line), "debug"),
});

server.registerAgent("echo", async (input, context) => {
  context.logger.debug({ input }, "a diagnostic");
  console.log("printed by the agent");
  if (typeof input === "string") await context.log("info", input);
  return input;
});

const transport = new StdioTransport();
await server.accept(transport);
await transport.closed;
await server.close();
