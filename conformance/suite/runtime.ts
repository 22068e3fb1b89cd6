/** Our own runtime, with the reference fixture: what the suite is tried on. */
import { join } from "node:path";
import { fixtureProvisioner, registerFixtureAgents } from "@arcp/conformance/fixture";
import { ARCPError, type JobId, StaticBearerVerifier, silentLogger } from "@arcp/core";
import { ARCPServer, sqliteStore } from "@arcp/runtime";

export const TOKEN = "suite-token-a";
export const TOKEN_B = "suite-token-b";

export interface RuntimeOptions {
  /** Where to keep what a runtime that issues credentials has to keep. Default: it issues none, and keeps nothing. */
  readonly directory?: string;
}

/** A runtime whose times are short, so that whatever takes time can be waited for. Who gave it a directory removes that. */
export function startRuntime({ directory }: RuntimeOptions = {}): ARCPServer {
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
    ...(directory !== undefined && {
      eventLog: sqliteStore({ path: join(directory, "suite.db") }),
      credentialProvisioners: [fixtureProvisioner()],
    }),
  });
  registerFixtureAgents(server, {
    ownFailure: (code, message) => new ARCPError(code, message),
    ...(directory !== undefined && { rotate: (jobId, id) => server.rotateCredential(jobId as JobId, id) }),
  });
  return server;
}
