/** What the examples run with: a runtime in this process, which clients reach through memory. */
import {
  type AgentHandler,
  ARCPServer,
  type ARCPServerOptions,
  pairMemoryTransports,
  StaticBearerVerifier,
  type TransportFactory,
} from "@arcp/sdk";

/** The one user of the runtime. */
export const bearer = new StaticBearerVerifier(new Map([["demo-token", { principal: "demo" }]]));

const LONG_MS = 60_000;

/**
 * Calls `act` with a way to a runtime that has these agents (`name`, or `name@version`), and stops the runtime. Rejects with
 * what `act` throws.
 */
export async function withRuntime(
  agents: Readonly<Record<string, AgentHandler>>,
  act: (connect: TransportFactory, server: ARCPServer) => Promise<void>,
  options: Partial<ARCPServerOptions> = {},
): Promise<void> {
  const server = new ARCPServer({
    runtime: { name: "example", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer,
    ...options,
  });
  for (const [name, agent] of Object.entries(agents)) server.registerAgent(name, agent);
  // Where everybody waits for time to pass, and there is no socket, nothing else keeps the process.
  const stay = setInterval(() => {}, LONG_MS);
  try {
    await act(async () => {
      const [near, far] = pairMemoryTransports();
      void server.accept(far);
      return near;
    }, server);
  } finally {
    clearInterval(stay);
    await server.close();
  }
}
