/**
 * The runtime under test: a child process of `runtime-process.ts`. Its settings are the first argument, as JSON; which
 * fail-points are armed is in `ARCP_FAILPOINTS`.
 */
import { join } from "node:path";
import { createLogger, type Identity, StaticBearerVerifier, startWebSocketServer, type Transport } from "@arcp/core";
import { ARCPServer, isShared, litellmProvisioner } from "@arcp/runtime";
import Database from "better-sqlite3";
import { registerAgents } from "./agents.ts";
import { FailPoints, parseFailPlans } from "./fail-points.ts";
import { Recorder } from "./history.ts";
import { MovedClock } from "./moved-clock.ts";
import type { Mutant } from "./mutants/mutant.ts";
import { MUTANTS } from "./mutants/mutants.ts";
import { onRecord } from "./ownership.ts";
import {
  FILES,
  HEARTBEAT_SECONDS,
  NODE_TTL_MS,
  type ParentMessage,
  PRINCIPALS,
  type RuntimeMessage,
  type RuntimeSettings,
} from "./runtime-settings.ts";
import { openStore } from "./stores.ts";
import {
  blobsWithFailPoints,
  patchSchemaSteps,
  provisionerWithFailPoints,
  storeWithFailPoints,
  transportWithFailPoints,
} from "./wrappers.ts";

const MEMORY_INTERVAL_MS = 500;
/** The store has failed, or could not be opened: whoever runs a runtime starts it anew. */
const EXIT_STORE_FAILED = 70;

const [argument] = process.argv.slice(2);
if (argument === undefined || process.send === undefined) {
  console.error("this is a child process of the fault harness; to run it: npm run chaos");
  process.exit(2);
}
const settings = JSON.parse(argument) as RuntimeSettings;
const { directory, node, life } = settings;
const tell = (message: RuntimeMessage): void => void process.send?.(message);
// Nothing outlives the supervisor.
process.on("disconnect", () => process.exit(0));

const ledger = new Recorder(join(directory, FILES.ledger));
const mutant: Mutant = settings.mutant === undefined ? {} : (MUTANTS[settings.mutant]?.make?.(settings) ?? {});
const clock = new MovedClock(settings.clock);
const points = new FailPoints(
  parseFailPlans(process.env["ARCP_FAILPOINTS"] ?? ""),
  ({ moment, action }) => ledger.write({ kind: "failpoint", life, point: `${moment}:${action}` }),
  () => tell({ tell: "shoot" }),
);
patchSchemaSteps(Database, points);

const INJECTED = [
  ...["FailPointError", "SQLITE_FULL", "disk is full", "ENOSPC"],
  // A runtime that ends while its database is away, or has been taken from it, gives up what nobody was told of.
  ...["the database cannot be reached", "PostgreSQL is", "was declared dead"],
];
const isInjected = (line: string): boolean => INJECTED.some((sign) => line.includes(sign));

const same = <Part>(part: Part): Part => part;
const opened = openStore(settings.store, { reader: false, name: node ?? "chaos" });
const stored = (mutant.store ?? same)(storeWithFailPoints(opened.store, points));
const blobs = blobsWithFailPoints(opened.blobs, points);
const provisioner = provisionerWithFailPoints(
  litellmProvisioner({ baseUrl: settings.upstream.url, masterKey: settings.upstream.masterKey, models: ["small"] }),
  points,
);
const transports = new Set<Transport>();
const identities = new Map<string, Identity>(PRINCIPALS.map((name) => [name, { principal: name }]));

const server = new ARCPServer({
  runtime: { name: "chaos", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(identities),
  authAttempts: "unlimited",
  eventLog: isShared(stored) ? onRecord(stored, ledger, life) : stored,
  blobs: (mutant.blobs ?? same)(blobs),
  credentialProvisioners: [(mutant.provisioner ?? same)(provisioner)],
  clock: (mutant.clock ?? same)(clock),
  ...(node !== undefined && { node: { name: node, ttlMs: NODE_TTL_MS } }),
  // Nobody is told which jobs of others there are.
  hideForeignJobs: true,
  heartbeatIntervalSeconds: HEARTBEAT_SECONDS,
  // Longer than any jump of the clock: what cannot be resumed was lost.
  resumeWindowSeconds: 86_400,
  artifactRetention: { default_seconds: 86_400, max_seconds: 86_400 },
  cancelGraceMs: 1_000,
  onDrain: end,
  principalCaps: { maxSessions: 10_000, maxConcurrentJobs: 10_000 },
  logger: createLogger((line) => {
    if (line.includes("store failed")) process.exitCode = EXIT_STORE_FAILED;
    // What a fail-point or a full disk does to the store is noticed by the runtime as what it is.
    if (line.includes('"invariant":true') && !isInjected(line)) tell({ tell: "invariant", line });
    process.stderr.write(`${line}\n`);
    // The end of the process is the only way in which what is not stored is certainly not told.
    if (process.exitCode === EXIT_STORE_FAILED) setTimeout(() => process.exit(), 20);
  }, "warn"),
  ...mutant.options,
});
registerAgents(server, {
  ...{ ledger, life, effectsUrl: settings.effectsUrl },
  wrapHandler: mutant.handler ?? same,
});

const listener = await startWebSocketServer({
  port: 0,
  onTransport: (transport) => {
    transports.add(transport);
    void transport.closed.then(() => transports.delete(transport));
    const faulty = transportWithFailPoints((mutant.transport ?? same)(transport), points);
    points
      .pass("accept.before")
      .then(() => server.accept(faulty))
      .then(() => points.pass("accept.after"))
      .catch((error: unknown) => transport.abort(String(error)));
  },
});
tell({ tell: "ready", port: listener.port });

process.on("message", (message: ParentMessage) => {
  if (message.tell === "clock") clock.move(message.offset);
});
process.on("SIGTERM", end);
setInterval(() => {
  const queuedBytes = Math.max(0, ...[...transports].map(({ bufferedBytes }) => bufferedBytes));
  tell({ tell: "memory", rssBytes: process.memoryUsage.rss(), queuedBytes });
}, MEMORY_INTERVAL_MS).unref();

function end(): void {
  const gracefully = async (): Promise<void> => {
    await server.close();
    await listener.close();
    await stored.close();
    process.exit(0);
  };
  gracefully().catch((error: unknown) => {
    process.stderr.write(`the graceful end failed: ${String(error)}\n`);
    process.exit(1);
  });
}
