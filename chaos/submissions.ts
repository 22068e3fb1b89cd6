/** What clients ask for. */
import type { Random } from "../fuzz/random.ts";
import { BUDGET_USD, DURABLE_AGENTS, type Work } from "./agents.ts";
import { secretOf } from "./runtime-settings.ts";
import { leaseOf } from "./world.ts";

export interface Submission {
  readonly agent: string;
  readonly input: Work;
  readonly lease: Readonly<Record<string, readonly string[]>>;
  /** Is it to be cancelled after a while? */
  readonly cancelAfterMs: number | undefined;
  /** Longer than anything takes: a clock that is set, or a timer that overflows, must not make it shorter. */
  readonly maxRuntimeSec: number | undefined;
}

/** What is there to be reached for. */
export interface Places {
  /** The directory of the files. */
  readonly files: string;
  /** The URL of the pages. */
  readonly pages: string;
}

/** An hour is less than the clock is set forward; 30 days are more than a timer of Node.js takes. */
export const RUNTIME_LIMITS_SEC = { short: 3_000, long: 30 * 86_400 } as const;

const BUDGET = { "cost.budget": [`USD:${BUDGET_USD}`] };
const LEASES: Readonly<Record<string, Submission["lease"]>> = {
  counter: {},
  worker: { "tool.call": ["effect"] },
  spender: { "tool.call": ["spend"], ...BUDGET },
  delegator: { "tool.call": ["spend"], "agent.delegate": ["spender"], ...BUDGET },
  patient: {},
  stubborn: { "tool.call": ["effect"] },
  streamer: {},
  keeper: {},
  failing: {},
  durable: {},
  checkpointing: {},
  credentialed: { "model.use": ["small"] },
  prober: {},
};
const AGENTS = Object.keys(LEASES);

export function anySubmission(random: Random, principal: string, places: Places): Submission {
  const agent = random.pick([...AGENTS, "counter", "worker", "credentialed", "durable", "durable"]);
  const isEndless = agent === "patient" || agent === "stubborn";
  const isDurable = DURABLE_AGENTS.includes(agent);
  return {
    agent,
    input: {
      ...{ secret: secretOf(principal), count: 1 + random.below(random.oneIn(4) ? 120 : 24) },
      ...(agent === "prober" && places),
    },
    lease: agent === "prober" ? leaseOf(places.files, places.pages) : (LEASES[agent] ?? {}),
    maxRuntimeSec: isDurable || !random.oneIn(4) ? undefined : RUNTIME_LIMITS_SEC[random.oneIn(2) ? "short" : "long"],
    cancelAfterMs: random.oneIn(isEndless ? 2 : 10) ? random.below(600) : undefined,
  };
}
