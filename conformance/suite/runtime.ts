/** Our own runtime, with the reference fixture: what the suite is tried on. */
import { join } from "node:path";
import { type Manifest, REFERENCE_MANIFEST } from "@arcp/conformance";
import { fixtureProvisioner, registerFixtureAgents } from "@arcp/conformance/fixture";
import { ARCPError, type JobId, StaticBearerVerifier, silentLogger } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { ARCPServer, sqliteStore } from "@arcp/runtime";

export const TOKEN = "suite-token-a";
export const TOKEN_B = "suite-token-b";
/** Alice's too, for a moment. */
export const TOKEN_BRIEF = "suite-token-brief";

/** Somebody who may observe everybody's jobs. */
export const TOKEN_OBSERVER = "suite-token-observer";

/** So short that a suite can wait for the end of it. */
export const WINDOW_SECONDS = 4;

const JOBS_PER_SESSION = 20;
/** Of one chunk of a result. */
const CHUNK_BYTES = 500_000;

/** The fixture, and the bounds of this runtime. */
export const MANIFEST: Manifest = {
  ...REFERENCE_MANIFEST,
  limits: { jobs_per_session: JOBS_PER_SESSION, chunk_bytes: CHUNK_BYTES },
};

const BRIEF_MS = 3000;

export interface RuntimeOptions {
  /** Where to keep what a runtime that issues credentials has to keep. Default: it issues none, and keeps nothing. */
  readonly directory?: string;
  /** How long sessions can be resumed. Default: 600. */
  readonly resumeWindowSeconds?: number;
}

const tokens = new StaticBearerVerifier(
  new Map([
    [TOKEN, { principal: "alice" }],
    [TOKEN_B, { principal: "bob" }],
    [TOKEN_BRIEF, { principal: "alice" }],
    [TOKEN_OBSERVER, { principal: "carol", permissions: ["observe:all"] }],
  ]),
);

/** A runtime whose times are short, so that whatever takes time can be waited for. Who gave it a directory removes that. */
export function startRuntime({ directory, resumeWindowSeconds = 600 }: RuntimeOptions = {}): ARCPServer {
  const server = new ARCPServer({
    runtime: { name: "arcp", version: "0.1.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: {
      verify: async (token) => {
        const identity = await tokens.verify(token);
        return token === TOKEN_BRIEF ? { ...identity, expiresAt: Date.now() + BRIEF_MS } : identity;
      },
    },
    authAttempts: "unlimited",
    logger: silentLogger,
    heartbeatIntervalSeconds: 2,
    resumeWindowSeconds,
    cancelGraceMs: 300,
    cancelAuthority: "session",
    caps: { maxConcurrentJobs: JOBS_PER_SESSION },
    jobCaps: { maxChunkBytes: CHUNK_BYTES },
    maxElevation: () => "privileged",
    fingerprint: `sha256:${"a".repeat(64)}`,
    ...(directory !== undefined && {
      eventLog: sqliteStore({ path: join(directory, "suite.db") }),
      credentialProvisioners: [fixtureProvisioner()],
    }),
  });
  registerFixtureAgents(server, {
    ownFailure: (code, message) => new ARCPError(code, message),
    passingFailure: () => new CanonicalError("UNAVAILABLE", "busy"),
    ...(directory !== undefined && { rotate: (jobId, id) => server.rotateCredential(jobId as JobId, id) }),
  });
  return server;
}
