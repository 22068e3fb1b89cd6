/**
 * The load process: starts one server in a process of its own, runs one scenario against it, prints the figures as one
 * line of JSON, and ends both. `run.ts` starts a load process per measurement, so that every one begins from nothing.
 *
 *     node bench/load.ts --server limit --scenario 3 [--sync FULL] [--scale 0.1] [--directory DIR] [--profile-dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Figures, RUN, type Scene, SERVER_FLAGS } from "./scenarios.ts";
import { SERVER_NAMES, ServerProcess, timeout } from "./server-process.ts";
import { isScenarioId } from "./targets.ts";

const SCENARIO_TIMEOUT_MS = 300_000;
const CRASH_REPORT_MS = 1_000;

const { values } = parseArgs({
  options: {
    server: { type: "string" },
    scenario: { type: "string" },
    sync: { type: "string", default: "NORMAL" },
    scale: { type: "string", default: "1" },
    directory: { type: "string", default: tmpdir() },
    "profile-dir": { type: "string" },
  },
});

async function main(): Promise<Figures> {
  const serverName = SERVER_NAMES.find((name) => name === values.server);
  const { scenario = "", sync } = values;
  const scale = Number(values.scale);
  if (serverName === undefined) throw new Error("--server takes limit or product");
  if (!isScenarioId(scenario)) throw new Error(`there is no scenario "${scenario}"`);
  if (sync !== "NORMAL" && sync !== "FULL") throw new Error("--sync takes NORMAL or FULL");
  if (!(scale > 0 && scale <= 1)) throw new Error("--scale takes a number above 0 and up to 1");

  const directory = mkdtempSync(join(values.directory, `arcp-bench-${serverName}-`));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  const profileDirectory = values["profile-dir"];
  const flags = [...(SERVER_FLAGS[scenario] ?? [])];
  if (profileDirectory !== undefined) flags.push("--cpu-prof", `--cpu-prof-dir=${profileDirectory}`);
  const server = await ServerProcess.start(serverName, { directory, synchronous: sync }, flags);
  try {
    return await runScenario({ server, serverName, scale }, RUN[scenario]);
  } finally {
    await server.stop();
  }
}

async function runScenario(scene: Scene, run: (scene: Scene) => Promise<Figures>): Promise<Figures> {
  const deadline = timeout(SCENARIO_TIMEOUT_MS, `the scenario did not end in ${SCENARIO_TIMEOUT_MS / 1_000} s`);
  try {
    return await Promise.race([run(scene), scene.server.crashed, deadline.promise]);
  } catch (error) {
    // A server that died is seen as a lost connection first; why it died comes a moment later.
    await Promise.race([scene.server.crashed, delay(CRASH_REPORT_MS)]);
    throw error;
  } finally {
    deadline.cancel();
  }
}

// When run.ts goes, so does this process, and with it the server.
process.once("disconnect", () => process.exit(1));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

main().then(
  (figures) => {
    process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`, () => process.exit(1));
  },
);
