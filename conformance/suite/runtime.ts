/** Our own runtime, with the reference fixture: what the suite is tried on. */
import { registerFixtureAgents } from "@arcp/conformance/fixture";
import { ARCPError, StaticBearerVerifier, silentLogger } from "@arcp/core";
import { ARCPServer } from "@arcp/runtime";

export const TOKEN = "suite-token-a";
export const TOKEN_B = "suite-token-b";

/** A runtime whose times are short, so that whatever takes time can be waited for. */
export function startRuntime(): ARCPServer {
  const server = new ARCPServer({
    runtime: { name: "arcp", version: "0.1.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(
      new Map([
        [TOKEN, { principal: "alice" }],
        [TOKEN_B, { principal: "bob" }],
      ]),
    ),
    authAttempts: "unlimited",
    logger: silentLogger,
    heartbeatIntervalSeconds: 2,
    cancelGraceMs: 300,
    cancelAuthority: "session",
  });
  registerFixtureAgents(server, { ownFailure: (code, message) => new ARCPError(code, message) });
  return server;
}
