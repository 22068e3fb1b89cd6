/** What clients ask for. */
import type { Random } from "../fuzz/random.ts";
import { BUDGET_USD, type Work } from "./agents.ts";
import { secretOf } from "./runtime-settings.ts";

export interface Submission {
  readonly agent: string;
  readonly input: Work;
  readonly lease: Readonly<Record<string, readonly string[]>>;
  /** Is it to be cancelled after a while? */
  readonly cancelAfterMs: number | undefined;
}

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
};
const AGENTS = Object.keys(LEASES);

export function anySubmission(random: Random, principal: string): Submission {
  const agent = random.pick([...AGENTS, "counter", "worker", "credentialed", "durable", "durable"]);
  const isEndless = agent === "patient" || agent === "stubborn";
  return {
    agent,
    input: { secret: secretOf(principal), count: 1 + random.below(random.oneIn(4) ? 120 : 24) },
    lease: LEASES[agent] ?? {},
    cancelAfterMs: random.oneIn(isEndless ? 2 : 10) ? random.below(600) : undefined,
  };
}
