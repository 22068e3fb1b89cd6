/** What happens to a runtime in one episode: chosen by a seed, and a list that can be repeated, or made shorter. */
import type { Random } from "../fuzz/random.ts";
import { anyClusterFault, type ClusterFault } from "./cluster-faults.ts";
import type { EffectFault } from "./effects.ts";
import {
  FAIL_POINTS,
  type FailAction,
  type FailMoment,
  type FailPlan,
  type FailPoint,
  formatFailPlans,
  SHARED_POINTS,
} from "./fail-points.ts";
import type { Ending } from "./proxy.ts";

export type Fault =
  /** `kill -9`, and fail-points for the processes that follow, one each. */
  | { readonly do: "kill"; readonly failPoints: readonly string[] }
  /** `kill -9` while the next processes are still starting, so many times. */
  | { readonly do: "kill in recovery"; readonly afterMs: readonly number[] }
  | { readonly do: "terminate" }
  | { readonly do: "stop"; readonly forMs: number }
  | { readonly do: "cut all"; readonly way: Ending }
  /** A client asks for more than a connection takes, and does not read. */
  | { readonly do: "flood"; readonly forMs: number }
  | { readonly do: "bad weather"; readonly forMs: number }
  /** The wall clock is set. */
  | { readonly do: "set clock"; readonly byMs: number }
  /** The machine has slept. */
  | { readonly do: "sleep"; readonly ms: number }
  | { readonly do: "upstream"; readonly route: "generate" | "delete"; readonly kinds: readonly UpstreamFault[] }
  | { readonly do: "effects"; readonly faults: readonly EffectFault[] }
  /** No room on the disk. */
  | { readonly do: "fill disk"; readonly forMs: number }
  | ClusterFault;

export type UpstreamFault = "hang" | "silent" | "reset" | "duplicate" | "500" | "429";

export interface Step {
  readonly afterMs: number;
  readonly fault: Fault;
  /** Which of several runtimes it happens to, from 0 on. Default: the first. */
  readonly node?: number;
}

export interface Plan {
  readonly seed: number;
  /** How long clients ask for new things. */
  readonly forMs: number;
  readonly steps: readonly Step[];
  /** Fail-points of the first process, which makes the database. */
  readonly firstFailPoints?: string;
}

const HOUR_MS = 3_600_000;
const UPSTREAM_FAULTS: readonly UpstreamFault[] = ["hang", "silent", "reset", "duplicate", "500", "429"];

export interface PlanOptions {
  readonly forMs: number;
  /** Can the disk of the episode be filled? */
  readonly canFillDisk: boolean;
  /** How many runtimes share a PostgreSQL; `undefined`: there is one, on SQLite. */
  readonly nodes: number | undefined;
}

export function planOf(seed: number, random: Random, { forMs, canFillDisk, nodes }: PlanOptions): Plan {
  const steps: Step[] = [];
  let elapsed = 0;
  while (elapsed < forMs) {
    const afterMs = 100 + random.below(900);
    elapsed += afterMs;
    if (nodes === undefined) steps.push({ afterMs, fault: anyFault(random, canFillDisk, FAIL_POINTS) });
    else steps.push({ afterMs, ...anyOfCluster(random, nodes) });
  }
  if (nodes !== undefined) return { seed, forMs, steps };
  const first: FailPlan = {
    moment: `schema.${random.oneIn(2) ? "before" : "after"}`,
    nth: 1 + random.below(3),
    action: random.oneIn(2) ? "kill" : "shoot",
  };
  return { seed, forMs, steps, ...(random.oneIn(4) && { firstFailPoints: formatFailPlans([first]) }) };
}

/** About half of what happens to a cluster happens to any runtime. */
function anyOfCluster(random: Random, nodes: number): Omit<Step, "afterMs"> {
  const node = random.below(nodes);
  if (random.oneIn(2)) return { node, fault: anyClusterFault(random) };
  return { node, fault: anyFault(random, false, [...FAIL_POINTS, ...SHARED_POINTS, ...SHARED_POINTS]) };
}

function anyFault(random: Random, canFillDisk: boolean, points: readonly FailPoint[]): Fault {
  const roll = random.below(100);
  if (roll < 14) return { do: "kill", failPoints: [] };
  if (roll < 42)
    return { do: "kill", failPoints: Array.from({ length: 1 + random.below(2) }, () => anyFailPoints(random, points)) };
  if (roll < 48) {
    return { do: "kill in recovery", afterMs: Array.from({ length: 1 + random.below(3) }, () => random.below(500)) };
  }
  if (roll < 52) return { do: "terminate" };
  if (roll < 57) return { do: "stop", forMs: 100 + random.below(1_400) };
  if (roll < 66) return { do: "cut all", way: random.pick(["end", "reset", "half-open"]) };
  if (roll < 78) return { do: "bad weather", forMs: 300 + random.below(1_500) };
  if (roll < 79) return { do: "flood", forMs: 1_500 };
  if (roll < 83) return { do: "set clock", byMs: (random.oneIn(2) ? 1 : -1) * random.below(HOUR_MS) };
  if (roll < 85) return { do: "sleep", ms: random.below(HOUR_MS / 2) };
  if (roll < 93) {
    const kinds = Array.from({ length: 1 + random.below(4) }, () => random.pick(UPSTREAM_FAULTS));
    return { do: "upstream", route: random.oneIn(2) ? "generate" : "delete", kinds };
  }
  if (roll < 97 || !canFillDisk) {
    return {
      do: "effects",
      faults: Array.from({ length: 1 + random.below(4) }, () => random.pick(["reset", "refuse"])),
    };
  }
  return { do: "fill disk", forMs: 200 + random.below(800) };
}

/** Points that every start passes, so that a process may end before it is ready. */
const EARLY: readonly string[] = ["take-over", "commit", "commit.inside", "schema", "join", "beat", "claim"];
/** Points that are passed for every frame. */
const FREQUENT: readonly string[] = ["send", "send.numbered", "receive", "commit", "commit.inside", "commit.entries"];

function anyFailPoints(random: Random, points: readonly FailPoint[]): string {
  const isEarly = random.oneIn(5);
  const point = isEarly ? random.pick(points.filter((name) => EARLY.includes(name))) : random.pick(points);
  const moment: FailMoment = `${point}.${random.oneIn(2) ? "before" : "after"}`;
  const nth = isEarly ? 1 + random.below(2) : 1 + random.below(FREQUENT.includes(point) ? 120 : 6);
  const actions: readonly FailAction[] = ["kill", "kill", "shoot", "throw", "sleep", "block"];
  const plan: FailPlan = { moment, nth, action: random.pick(actions) };
  return formatFailPlans([plan]);
}
