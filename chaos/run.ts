/**
 * Breaks a runtime in every way that is known, while clients use it, and decides afterwards whether it has kept its word.
 *
 *   npm run chaos -- --minutes 10 --seed 1
 *   npm run chaos -- --seconds 40 --seed 1
 *   npm run chaos -- --episode 123456                     one episode again, by its seed
 *   npm run chaos -- --replay reports/chaos-123456/plan.json [--minimise]
 *   npm run chaos -- --mutants [--only second-terminal]
 *   npm run chaos -- --power-loss
 *   npm run chaos -- --store postgres --nodes 3 …         several runtimes over one PostgreSQL
 */
import { parseArgs } from "node:util";
import { reportCounts } from "../scripts/counts.ts";
import { type ClusterOptions, campaign, replayPlan } from "./campaign.ts";
import { ChaosDatabase, whyNoDatabase } from "./database.ts";
import type { Wire } from "./history.ts";
import { mutantRun } from "./mutant-run.ts";
import { powerLoss } from "./power-loss/run.ts";

const MS_PER_SECOND = 1_000;
const DEFAULT_CUTS = 25;
const MAX_NODES = 9;
const MS_PER_MINUTE = 60_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string" },
    episode: { type: "string" },
    replay: { type: "string" },
    minimise: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    only: { type: "string" },
    "power-loss": { type: "boolean", default: false },
    cuts: { type: "string" },
    wire: { type: "string", default: "both" },
    store: { type: "string", default: "sqlite" },
    nodes: { type: "string", default: "3" },
    sync: { type: "string", default: "FULL" },
  },
});

const USAGE = `usage: npm run chaos -- [--minutes N | --seconds N] [--seed N] [--wire 1.0|1.1|both]
                        [--store sqlite [--sync FULL|NORMAL] | --store postgres [--nodes N]]
                        [--episode SEED | --replay FILE [--minimise] | --mutants [--only NAME,…] | --power-loss [--cuts N]]`;

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    interrupted.abort();
    // Once more, and nobody is waited for: what was started is killed by `process.on("exit")`.
    process.once(signal, () => process.exit(130));
  });
}

function fail(problem: string): never {
  console.error(`${problem}\n${USAGE}`);
  process.exit(2);
}

function numberOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  return value >= 0 && Number.isFinite(value) ? value : fail(`${name} takes a number`);
}

const WIRES: Readonly<Record<string, readonly Wire[]>> = { "1.0": ["1.0"], "1.1": ["1.1"], both: ["1.1", "1.0"] };
const wires = WIRES[values.wire] ?? fail("--wire takes 1.0, 1.1 or both");
if (values.store !== "sqlite" && values.store !== "postgres") fail("--store takes sqlite or postgres");
const nodes = numberOf(values.nodes, "--nodes") ?? 0;
if (!Number.isInteger(nodes) || nodes < 1 || nodes > MAX_NODES) fail(`--nodes takes a number up to ${MAX_NODES}`);
const synchronous: "FULL" | "NORMAL" =
  values.sync === "FULL" || values.sync === "NORMAL" ? values.sync : fail("--sync takes FULL or NORMAL");
const minutes = numberOf(values.minutes, "--minutes") ?? 1;
const forMs = (numberOf(values.seconds, "--seconds") ?? 0) * MS_PER_SECOND || minutes * MS_PER_MINUTE;
const seed = numberOf(values.seed, "--seed") ?? Math.floor(Math.random() * 2 ** 31);
const common = { wires, synchronous, signal: interrupted.signal, mutant: undefined };

function chosen(cluster: ClusterOptions | undefined): Promise<number> {
  const options = { ...common, cluster };
  if (values.mutants) return mutantRun({ ...options, seed, only: values.only });
  if (values.replay !== undefined) return replayPlan(values.replay, { ...options, minimise: values.minimise });
  return campaign({ ...options, seed, forMs, episode: numberOf(values.episode, "--episode") });
}

async function onCluster(): Promise<number> {
  const reason = whyNoDatabase();
  if (reason !== undefined) {
    console.log(`skipped: ${reason}`);
    reportCounts("chaos-cluster", { passed: 0, failed: 0, skipped: 1 });
    return 0;
  }
  await using database = await ChaosDatabase.start();
  return await chosen({ database, nodes });
}

async function run(): Promise<number> {
  if (values["power-loss"]) {
    const cuts = numberOf(values.cuts, "--cuts") ?? DEFAULT_CUTS;
    return powerLoss({ seed, cuts, signal: interrupted.signal });
  }
  return values.store === "postgres" ? onCluster() : chosen(undefined);
}

process.exitCode = await run();
if (interrupted.signal.aborted) process.exitCode = 130;
// Whatever is still open belongs to nobody any more.
process.exit();
