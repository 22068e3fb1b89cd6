/** Episodes, one after another, until the time is over or one of them fails. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { minimiseList } from "../fuzz/minimise.ts";
import { Random, seedOf } from "../fuzz/random.ts";
import { reportCounts } from "../scripts/counts.ts";
import { type Counts, checkEpisode } from "./checker/check.ts";
import { INVARIANTS, type Invariant, type Violation } from "./checker/violation.ts";
import type { ChaosDatabase } from "./database.ts";
import { canMount, SmallDisk } from "./disk.ts";
import { type EpisodeOutcome, playEpisode } from "./episode.ts";
import type { Wire } from "./history.ts";
import { type Plan, planOf } from "./plan.ts";
import type { StoreSettings } from "./stores.ts";

export interface CampaignOptions {
  readonly wires: readonly Wire[];
  readonly synchronous: "FULL" | "NORMAL";
  /** Several runtimes over a PostgreSQL, instead of one over a file. */
  readonly cluster: ClusterOptions | undefined;
  /** A seeded bug. */
  readonly mutant: string | undefined;
  readonly settleMs?: number;
  readonly signal: AbortSignal;
}

export interface ClusterOptions {
  readonly database: ChaosDatabase;
  readonly nodes: number;
}

/** Of one runtime, and of several: these are declared dead, and come back, before it is over. */
const EPISODE_MS = { alone: 9_000, together: 14_000 };
/** Void episodes after which it is said that nothing can be shown here, should the time be over. */
const MIN_ATTEMPTS = 3;
const MAX_MINIMISE_MS = 600_000;
const REPORTS = fileURLToPath(new URL("../reports/", import.meta.url));

/** How an episode went. */
export interface EpisodeVerdict {
  readonly violations: readonly Violation[];
  readonly counts: Counts;
  readonly kills: number;
  readonly lives: number;
  readonly faults: EpisodeOutcome["faults"];
  readonly cuts: number;
  /** Why it shows nothing, if it does not. */
  readonly voidBecause: string | undefined;
}

/** A machine on which anything waits for so long keeps no deadline. */
const MAX_LAG_MS = 5_000;
/** What a machine that is too slow may look like. */
const TIMELY: readonly Invariant[] = ["I9", "I13"];

/** Plays an episode in a directory of its own, which is removed unless something was violated: then it is in `reports`. */
export async function playAndCheck(plan: Plan, options: CampaignOptions): Promise<EpisodeVerdict> {
  const { cluster, synchronous } = options;
  const directory = mkdtempSync(join(tmpdir(), "arcp-chaos-"));
  using disk = plan.steps.some(({ fault }) => fault.do === "fill disk")
    ? new SmallDisk(join(directory, "disk"))
    : undefined;
  const nodes = cluster && { database: cluster.database, schema: cluster.database.freshSchema(), count: cluster.nodes };
  const store: StoreSettings =
    nodes === undefined
      ? { kind: "sqlite", directory: disk?.directory ?? directory, synchronous }
      : { kind: "postgres", url: nodes.database.url, schema: nodes.schema };
  try {
    const { problems, lagMs, ...outcome } = await playEpisode({ ...options, directory, store, nodes, plan, disk });
    const { violations, counts, voidBecause } = options.signal.aborted
      ? { violations: [], counts: { sessions: 0, jobs: 0, events: 0, resumes: 0 }, voidBecause: "it was interrupted" }
      : await checkEpisode(directory, store, nodes && (() => nodes.database.integrityOf(nodes.schema)));
    const all: Violation[] = [...problems.map((what) => ({ invariant: "I13" as const, what })), ...violations];
    if (lagMs > MAX_LAG_MS && all.every(({ invariant }) => TIMELY.includes(invariant))) {
      const slow = `the machine was too slow: this process waited ${Math.round(lagMs)} ms for its turn`;
      return { ...outcome, counts, violations: [], voidBecause: all.length === 0 ? voidBecause : slow };
    }
    if (all.length > 0 && options.mutant === undefined) {
      keep(plan, directory, store, all);
      nodes?.database.dump(nodes.schema, join(reportOf(plan.seed), "database.sql"));
    }
    return { ...outcome, counts, violations: all, voidBecause };
  } finally {
    disk?.[Symbol.dispose]();
    await nodes?.database.drop(nodes.schema);
    rmSync(directory, { recursive: true, force: true });
  }
}

const reportOf = (seed: number): string => join(REPORTS, `chaos-${seed}`);

/** Everything that is needed to look at it, and to play it again. */
function keep(plan: Plan, directory: string, store: StoreSettings, violations: readonly Violation[]): void {
  const report = reportOf(plan.seed);
  rmSync(report, { recursive: true, force: true });
  mkdirSync(report, { recursive: true });
  cpSync(directory, report, { recursive: true });
  if (store.kind === "sqlite" && store.directory !== directory) cpSync(store.directory, report, { recursive: true });
  writeFileSync(join(report, "plan.json"), `${JSON.stringify(plan, null, 2)}\n`);
  writeFileSync(join(report, "violations.json"), `${JSON.stringify(violations, null, 2)}\n`);
}

/** The plan of an episode, from its seed alone. */
function planOfSeed(seed: number, nodes: number | undefined): Plan {
  const forMs = nodes === undefined ? EPISODE_MS.alone : EPISODE_MS.together;
  return planOf(seed, new Random(seed), { forMs, canFillDisk: canMount, nodes });
}

/** Runs episodes for `forMs`, or the one of seed `episode`. Returns the exit code: 1 if something was violated. */
export async function campaign(
  options: CampaignOptions & { readonly seed: number; readonly forMs: number; readonly episode: number | undefined },
): Promise<number> {
  const { seed, forMs, episode, cluster, signal } = options;
  const startedAt = performance.now();
  console.log(episode === undefined ? `seed ${seed}, ${forMs / 1000} s` : `episode ${episode}`);
  const isDiskLeftOut = cluster === undefined && !canMount;
  if (isDiskLeftOut) console.log("no disk is filled: this machine does not let one be mounted");
  const total = { episodes: 0, kills: 0, lives: 0, faults: 0, cuts: 0, sessions: 0, jobs: 0, events: 0, resumes: 0 };
  const done = new Map<string, number>();
  let violations = 0;
  let voids = 0;
  for (let part = 0; !signal.aborted && violations === 0; part += 1) {
    const isEnough = performance.now() - startedAt > forMs && (voids < part || part >= MIN_ATTEMPTS);
    if (part > 0 && (episode !== undefined || isEnough)) break;
    const own = episode ?? seedOf(seed, part);
    const verdict = await playAndCheck(planOfSeed(own, cluster?.nodes), options);
    total.episodes += 1;
    for (const key of ["kills", "lives", "cuts"] as const) total[key] += verdict[key];
    total.faults += verdict.faults.length + verdict.cuts;
    for (const fault of verdict.faults) done.set(fault, (done.get(fault) ?? 0) + 1);
    for (const key of ["sessions", "jobs", "events", "resumes"] as const) total[key] += verdict.counts[key];
    violations += verdict.violations.length;
    if (verdict.violations.length === 0 && verdict.voidBecause !== undefined) {
      voids += 1;
      console.log(`episode ${own} is void: ${verdict.voidBecause}`);
    }
    if (verdict.violations.length > 0) explain(own, verdict.violations, options);
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const kinds = [...done].sort(([, a], [, b]) => b - a).map(([fault, count]) => `${count} ${fault}`);
  console.log(`${kinds.join(", ")}; ${total.cuts} connections disturbed`);
  console.log(
    `${total.episodes} episodes in ${seconds} s: ${total.kills} kills, ${total.lives} processes, ${total.faults} faults; ` +
      `${total.sessions} sessions, ${total.resumes} resumes, ${total.jobs} jobs, ${total.events} events; ` +
      `${voids} void, ${violations} violations`,
  );
  const failed = violations > 0 ? 1 : 0;
  reportCounts(cluster === undefined ? "chaos" : "chaos-cluster", {
    passed: total.episodes - voids - failed,
    failed,
    skipped: voids + (isDiskLeftOut ? 1 : 0),
  });
  // What was shown by nothing but void episodes is nothing.
  return violations === 0 && voids < total.episodes ? 0 : 1;
}

function explain(
  seed: number,
  violations: readonly Violation[],
  { wires, synchronous, cluster }: Pick<CampaignOptions, "wires" | "synchronous" | "cluster">,
): void {
  for (const { invariant, what } of violations) console.error(`${invariant} (${INVARIANTS[invariant]}): ${what}`);
  const report = relative(process.cwd(), reportOf(seed));
  const [only] = wires;
  const wire = wires.length === 1 ? ` --wire ${only}` : "";
  const sync = synchronous === "FULL" ? "" : ` --sync ${synchronous}`;
  const store = cluster === undefined ? "" : ` --store postgres --nodes ${cluster.nodes}`;
  console.error(`  again: npm run chaos -- --episode ${seed}${store}${wire}${sync}\n  what happened: ${report}`);
}

/** Plays the plan in `file` again. With `minimise`, leaves out what is not needed for the same violation. */
export async function replayPlan(
  file: string,
  options: CampaignOptions & { readonly minimise: boolean },
): Promise<number> {
  const plan = JSON.parse(readFileSync(file, "utf8")) as Plan;
  const first = await playAndCheck(plan, options);
  if (first.violations.length === 0) {
    console.log("nothing is violated any more");
    return 0;
  }
  explain(plan.seed, first.violations, options);
  if (options.minimise) {
    const invariant = first.violations[0]?.invariant;
    const fails = async (steps: Plan["steps"]): Promise<boolean> => {
      if (options.signal.aborted) return false;
      const { violations } = await playAndCheck({ ...plan, steps }, options);
      return violations.some((violation) => violation.invariant === invariant);
    };
    const steps = await minimiseList(plan.steps, fails, MAX_MINIMISE_MS);
    const target = `${file.replace(/\.json$/, "")}-small.json`;
    writeFileSync(target, `${JSON.stringify({ ...plan, steps }, null, 2)}\n`);
    console.log(`${steps.length} of ${plan.steps.length} faults are needed: ${target}`);
  }
  return 1;
}
