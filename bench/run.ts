/**
 * Runs the benchmarks and prints one table: `npm run bench -- [--scenario 3,4] [--runs 5] [--quick]
 * [--sync NORMAL|FULL|both] [--only limit|product] [--directory DIR]`. See README.md.
 */
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runLoad } from "./load-process.ts";
import { type Figures, median } from "./scenarios.ts";
import type { ServerSettings } from "./server-control.ts";
import { SERVER_NAMES, type ServerName } from "./server-process.ts";
import { describeTarget, isMet, isScenarioId, ratioOf, SCENARIO_IDS, SCENARIOS, type ScenarioId } from "./targets.ts";

type Synchronous = ServerSettings["synchronous"];

interface Plan {
  readonly scenarios: readonly ScenarioId[];
  readonly levels: readonly Synchronous[];
  readonly servers: readonly ServerName[];
  readonly runs: number;
  readonly scale: number;
  readonly directory: string;
}

interface Line {
  readonly synchronous: Synchronous;
  readonly scenario: ScenarioId;
  readonly title: string;
  readonly measure: string;
  readonly unit: string;
  readonly limit: number | undefined;
  readonly product: number | undefined;
  readonly ratio: number | undefined;
  readonly target: string;
  readonly met: boolean | undefined;
}

type Medians = Partial<Record<ServerName, Figures>>;

const REPORT = new URL("../reports/bench-latest.json", import.meta.url);
const QUICK_SCALE = 0.1;
const TMPFS_MAGIC = 0x01021994;

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      scenario: { type: "string" },
      runs: { type: "string" },
      quick: { type: "boolean", default: false },
      sync: { type: "string", default: "both" },
      only: { type: "string" },
      directory: { type: "string", default: tmpdir() },
    },
  });
  const scenarios = values.scenario?.split(",").map((id) => id.trim()) ?? [...SCENARIO_IDS];
  const known = scenarios.filter(isScenarioId);
  if (known.length !== scenarios.length) throw new Error(`--scenario takes some of ${SCENARIO_IDS.join(",")}`);
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(runs) || runs < 1) throw new Error("--runs takes a whole number from 1");
  const levels = (["NORMAL", "FULL"] as const).filter((level) => ["both", level].includes(values.sync));
  if (levels.length === 0) throw new Error("--sync takes NORMAL, FULL or both");
  const servers = SERVER_NAMES.filter((name) => values.only === undefined || name === values.only);
  if (servers.length === 0) throw new Error("--only takes limit or product");
  return {
    scenarios: known,
    levels,
    servers,
    runs,
    scale: values.quick ? QUICK_SCALE : 1,
    directory: values.directory,
  };
}

/** Runs one scenario on every server in turns, so that what else the machine does meets all of them alike. */
async function runInterleaved(
  plan: Plan,
  scenario: ScenarioId,
  synchronous: Synchronous,
  signal: AbortSignal,
): Promise<Medians> {
  const runs: Record<ServerName, Figures[]> = { limit: [], product: [] };
  for (let run = 1; run <= plan.runs; run += 1) {
    for (const server of plan.servers) {
      process.stderr.write(`scenario ${scenario}, ${synchronous}, run ${run} of ${plan.runs}: ${server}\n`);
      const { scale, directory } = plan;
      runs[server].push(await runLoad({ server, scenario, synchronous, scale, directory }, signal));
    }
  }
  return Object.fromEntries(plan.servers.map((server) => [server, medians(runs[server])]));
}

function medians(runs: readonly Figures[]): Figures {
  const keys = Object.keys(runs[0] ?? {});
  return Object.fromEntries(keys.map((key) => [key, median(runs.map((figures) => figures[key] ?? Number.NaN))]));
}

function toLines(scenario: ScenarioId, synchronous: Synchronous, figures: Medians): Line[] {
  const { title, measures } = SCENARIOS[scenario];
  return measures.map(({ key, label, unit, target }) => {
    const limit = figures.limit?.[key];
    const product = figures.product?.[key];
    const ratio = ratioOf(product, limit);
    return {
      synchronous,
      scenario,
      title,
      measure: label,
      unit,
      limit,
      product,
      ratio,
      target: describeTarget(target, unit),
      met: isMet(target, product, ratio),
    };
  });
}

function figure(value: number | undefined, unit = ""): string {
  if (value === undefined) return "-";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return unit.startsWith("/") ? `${text}${unit}` : `${text} ${unit}`.trimEnd();
}

/** A Markdown table whose columns line up in plain text. */
function table(lines: readonly Line[]): string {
  const header = ["#", "Scenario", "Measure", "Limit", "Product", "Ratio", "Target", "Met"];
  const rows = lines.map(({ scenario, title, measure, unit, limit, product, ratio, target, met }) => [
    scenario,
    title,
    measure,
    figure(limit, unit),
    figure(product, unit),
    figure(ratio),
    target,
    met === undefined ? "" : met ? "yes" : "NO",
  ]);
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const format = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [format(header), format(widths.map((width) => "-".repeat(width))), ...rows.map(format)].join("\n");
}

function describeRun({ runs, scale, directory }: Plan): string {
  const size = scale === 1 ? "full size" : `${scale} of full size, for a quick look only`;
  const disk = statfsSync(directory).type === TMPFS_MAGIC ? "; the directory is in memory, NOT on disk" : "";
  return `node ${process.version}, ${availableParallelism()} cores, median of ${runs} interleaved runs, ${size}${disk}`;
}

async function main(signal: AbortSignal): Promise<void> {
  const plan = readPlan();
  const lines: Line[] = [];
  const failures: string[] = [];
  for (const synchronous of plan.levels) {
    for (const scenario of plan.scenarios) {
      try {
        lines.push(...toLines(scenario, synchronous, await runInterleaved(plan, scenario, synchronous, signal)));
      } catch (error) {
        if (signal.aborted) throw error;
        failures.push(`${synchronous}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  const about = describeRun(plan);
  process.stdout.write(`\n${about}\n`);
  for (const level of plan.levels) {
    const ofLevel = lines.filter(({ synchronous }) => synchronous === level);
    if (ofLevel.length > 0) process.stdout.write(`\nsynchronous = ${level}\n\n${table(ofLevel)}\n`);
  }
  for (const failure of failures) process.stderr.write(`\nFAILED ${failure}\n`);
  mkdirSync(new URL(".", REPORT), { recursive: true });
  writeFileSync(REPORT, `${JSON.stringify({ about, at: new Date().toISOString(), lines, failures }, null, 2)}\n`);
  process.stdout.write(`\nwritten to ${fileURLToPath(REPORT)}\n`);
  if (failures.length > 0) process.exitCode = 1;
}

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

try {
  await main(interrupt.signal);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = interrupt.signal.aborted ? 130 : 2;
}
