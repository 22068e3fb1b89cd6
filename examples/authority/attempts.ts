/** An agent that tries one thing after another, and goes on after each refusal. */
import type { JobContext, Lease } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import { outcomeOf, type Refusal, type Stage } from "./stage.ts";

export interface Attempt {
  /** In words. */
  readonly what: string;
  readonly target: string;
  /** `allowed`, or the code of the refusal. */
  readonly expected: string;
  /** Default: the one of {@link Attempts}. */
  readonly capability?: string;
}

export interface Attempts {
  /** The agent's name. */
  readonly agent: string;
  readonly capability: string;
  readonly lease: Lease;
  readonly attempts: readonly Attempt[];
  /** Does one thing. */
  readonly act: (attempt: Attempt, context: JobContext) => Promise<unknown>;
  /** Said of refusals that no pattern would change. */
  readonly otherwise: string;
}

/** Runs a job that makes all of the attempts, and shows what came of each. */
export async function showAttempts(stage: Stage, proof: Proof, options: Attempts): Promise<void> {
  const { agent, capability, lease, attempts, act, otherwise } = options;
  stage.server.registerAgent(agent, async (_input, context) => {
    const outcomes: string[] = [];
    for (const attempt of attempts) outcomes.push(await outcomeOf(act(attempt, context)));
    return outcomes;
  });
  const job = await stage.run({ agent, leaseRequest: lease });
  const outcomes = Array.isArray(job.result) ? job.result.map(String) : [];
  const refusals = [...job.refusals];
  for (const [index, { what, expected, capability: own = capability }] of attempts.entries()) {
    const outcome = outcomes[index] ?? job.end;
    proof.code(what, outcome, expected, outcome === "allowed" ? "" : neededBy(own, refusals.shift()) || otherwise);
  }
  proof.code("the job, after all of that", job.end, "success");
}

const neededBy = (capability: string, refusal: Refusal | undefined): string =>
  refusal?.needed === undefined ? "" : `would need ${capability} ${refusal.needed}`;
