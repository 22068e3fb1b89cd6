/** Money: two agents at work at once, each of which would spend everything, on the budget of the one that sent them. */
import type { JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import { outcomeOf, type Stage, seen } from "./stage.ts";

const BUDGET_CENTS = 100;
const PRICE_CENTS = 7;
const dollars = (cents: number): number => cents / 100;

/** Buys until it may not, three at once, and ends with the error of the first purchase that was refused. */
async function spender(_input: unknown, context: JobContext): Promise<never> {
  for (;;) {
    const purchases = await Promise.allSettled([1, 2, 3].map(() => context.callTool("paint")));
    for (const purchase of purchases) if (purchase.status === "rejected") throw purchase.reason;
  }
}

/** Sends out one that asks for more than there is, and then two that share what there is. */
async function investor(_input: unknown, context: JobContext): Promise<unknown> {
  const greedy = context.delegate({ agent: "spender", lease_request: { "cost.budget": ["USD:1.01"] } });
  const beyond = await outcomeOf(greedy.accepted);
  const lease_request = { "tool.call": ["paint"] };
  const children = [1, 2].map(() => context.delegate({ agent: "spender", lease_request }));
  const ends = await Promise.all(children.map(({ done }) => outcomeOf(done)));
  return { beyond, ends, left: context.budget.get("USD") };
}

export async function boundMoney(stage: Stage, proof: Proof): Promise<void> {
  let paidCents = 0;
  stage.server.registerTool("paint", {
    cost: { USD: dollars(PRICE_CENTS) },
    async handler(_input, { report }) {
      paidCents += PRICE_CENTS;
      await report({ name: "cost.paint", value: dollars(PRICE_CENTS), unit: "USD" });
      return "painted";
    },
  });
  stage.server.registerAgent("spender", spender);
  stage.server.registerAgent("investor", investor);
  const lease = { "cost.budget": ["USD:1.00"], "tool.call": ["paint"], "agent.delegate": ["spender"] };
  proof.title(`Money. The lease: cost.budget USD:1.00; each call of the tool costs USD ${dollars(PRICE_CENTS)}`);

  const children: ReturnType<typeof seen>[] = [];
  const stop = stage.client.on("delegated", (job) => void children.push(seen(job)));
  const job = await stage.run({ agent: "investor", leaseRequest: lease });
  const spenders = await Promise.all(children);
  stop();

  const { beyond, ends, left } = (job.result ?? {}) as { beyond?: string; ends?: string[]; left?: number };
  proof.code("delegates USD:1.01", beyond ?? job.end, "LEASE_SUBSET_VIOLATION");
  for (const child of [0, 1])
    proof.code(`child ${child + 1} spends until it may not`, ends?.[child] ?? job.end, "BUDGET_EXHAUSTED");
  const shares = spenders.map(({ spent }) => Number(spent("USD")) / 1e9);
  const reported = spenders.reduce((sum, { spent }) => sum + spent("USD"), 0n);
  const cents = Number(reported / 10_000_000n);
  proof.fact(`the children spent USD ${shares.join(" and ")}`, spenders.length === 2);
  proof.fact(
    `together USD ${dollars(cents).toFixed(2)}, of USD 1.00`,
    cents <= BUDGET_CENTS && cents > BUDGET_CENTS - PRICE_CENTS,
  );
  proof.fact(
    "the tool was paid exactly that",
    paidCents === cents && reported % 10_000_000n === 0n,
    `${paidCents} cents`,
  );
  proof.fact("what is left is the exact difference", left === dollars(BUDGET_CENTS - cents), `USD ${left}`);
  proof.code("the job that delegated", job.end, "success");
}
