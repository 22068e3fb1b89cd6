/** The harness itself is tested: every seeded bug has to be caught. */
import { Random, seedOf } from "../fuzz/random.ts";
import { type CampaignOptions, playAndCheck } from "./campaign.ts";
import type { Invariant } from "./checker/violation.ts";
import type { SeededBug } from "./mutants/mutant.ts";
import { LEFT_OUT, MUTANTS, MUTANTS_ALONE, MUTANTS_TOGETHER } from "./mutants/mutants.ts";
import { type Plan, planOf, type Step } from "./plan.ts";

/** Shorter than those of a campaign: a bug that needs a long life has many. Of several runtimes: one has to be taken for dead. */
const EPISODE_MS = { alone: 4_000, together: 8_000 };
const MAX_EPISODES = 8;
/** What a bug has lost is not waited for. */
const SETTLE_MS = 6_000;

interface Outcome {
  readonly name: string;
  readonly caughtBy: readonly Invariant[];
  readonly episodes: number;
  readonly seconds: number;
  readonly what: string;
}

/** Looks for each bug, or for those that `only` names, with commas between them. Returns the exit code: 1 if one was not found, 2 if there is none. */
export async function mutantRun(
  options: CampaignOptions & { readonly seed: number; readonly only: string | undefined },
): Promise<number> {
  const { only, signal, cluster } = options;
  const all = cluster === undefined ? MUTANTS_ALONE : MUTANTS_TOGETHER;
  const bugs = Object.entries(all).filter(([name]) => only?.split(",").includes(name) ?? true);
  if (bugs.length === 0) {
    console.error(`there is no seeded bug called ${only}: ${Object.keys(all).join(", ")}`);
    return 2;
  }
  const outcomes: Outcome[] = [];
  for (const [name, bug] of bugs) {
    if (signal.aborted) break;
    const outcome = await lookFor(name, bug, options);
    outcomes.push(outcome);
    console.log(rowOf(outcome));
  }
  if (only === undefined && cluster === undefined)
    for (const [name, why] of Object.entries(LEFT_OUT)) console.log(`${name.padEnd(NAME)} left out: ${why}`);
  const caught = outcomes.filter(({ caughtBy }) => caughtBy.length > 0).length;
  console.log(`${caught} of ${bugs.length} seeded bugs were caught`);
  return caught === bugs.length ? 0 : 1;
}

const NAME = 24;

function rowOf({ name, caughtBy, episodes, seconds, what }: Outcome): string {
  const how = caughtBy.length === 0 ? "SURVIVED" : caughtBy.join(" ");
  const bug = MUTANTS[name]?.is ?? "";
  return `${name.padEnd(NAME)} ${how.padEnd(10)} ${episodes} episode${episodes === 1 ? " " : "s"} ${String(seconds).padStart(4)} s  ${bug}\n${" ".repeat(NAME)} ${what}`;
}

async function lookFor(
  name: string,
  bug: SeededBug,
  options: CampaignOptions & { readonly seed: number },
): Promise<Outcome> {
  const startedAt = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedAt) / 1000);
  const others = new Set<string>();
  for (let part = 0; part < MAX_EPISODES && !options.signal.aborted; part += 1) {
    const plan = planFor(bug, seedOf(options.seed, part), options.cluster?.nodes);
    const { violations } = await playAndCheck(plan, {
      ...{ ...options, mutant: name },
      ...(bug.needsRevocation !== true && { settleMs: SETTLE_MS }),
    });
    const found = violations.filter(({ invariant }) => bug.caughtBy.includes(invariant));
    for (const { invariant } of violations) others.add(invariant);
    if (found.length > 0) {
      const caughtBy = [...new Set(found.map(({ invariant }) => invariant))];
      return { name, caughtBy, episodes: part + 1, seconds: seconds(), what: found[0]?.what ?? "" };
    }
  }
  const what =
    others.size === 0 ? "nothing was violated" : `violated, but not what it ought to: ${[...others].join(" ")}`;
  return { name, caughtBy: [], episodes: MAX_EPISODES, seconds: seconds(), what };
}

/** Any plan, with what the bug is waiting for between its steps. */
function planFor({ faults = [] }: SeededBug, seed: number, nodes: number | undefined): Plan {
  const random = new Random(seed);
  const plan = planOf(seed, random, {
    forMs: nodes === undefined ? EPISODE_MS.alone : EPISODE_MS.together,
    canFillDisk: false,
    nodes,
  });
  if (faults.length === 0) return plan;
  // What takes several runtimes takes its time, and some of them have to be at work.
  const every = nodes === undefined ? 1 : 3;
  const steps = plan.steps.flatMap((step, index): readonly Step[] => {
    const fault = index % every === 0 ? faults[(index / every) % faults.length] : undefined;
    return fault === undefined ? [step] : [{ ...step, fault }, step];
  });
  return { ...plan, steps };
}
