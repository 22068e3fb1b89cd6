/** Delegation: an agent that would hand on more than it has. */
import type { JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import type { ShiftedClock } from "./shifted-clock.ts";
import { outcomeOf, type Stage } from "./stage.ts";

const LEASE_MS = 60_000;

interface Handover {
  readonly what: string;
  readonly agent?: string;
  readonly lease: Record<string, string[]>;
  readonly expiresInMs?: number;
  readonly expected: string;
}

const handovers: readonly Handover[] = [
  { what: "a part of what it has", lease: { "fs.read": ["/srv/project/docs/*"] }, expected: "allowed" },
  { what: "a wider pattern", lease: { "fs.read": ["/srv/**"] }, expected: "LEASE_SUBSET_VIOLATION" },
  { what: "another capability", lease: { "fs.write": ["/srv/project/**"] }, expected: "LEASE_SUBSET_VIOLATION" },
  { what: "more money than it has", lease: { "cost.budget": ["USD:1.01"] }, expected: "LEASE_SUBSET_VIOLATION" },
  { what: "more time than it has", lease: {}, expiresInMs: 2 * LEASE_MS, expected: "LEASE_SUBSET_VIOLATION" },
  { what: "to an agent that it may not send", agent: "delegator", lease: {}, expected: "PERMISSION_DENIED" },
  { what: "USD:0.60, to a child that goes on", lease: { "cost.budget": ["USD:0.60"] }, expected: "allowed" },
  { what: "USD:0.60 again, meanwhile", lease: { "cost.budget": ["USD:0.60"] }, expected: "LEASE_SUBSET_VIOLATION" },
];

export async function boundDelegation(stage: Stage, clock: ShiftedClock, proof: Proof): Promise<void> {
  let started = 0;

  /** Waits for the end of its job. */
  async function waiter(_input: unknown, { signal }: JobContext): Promise<void> {
    started += 1;
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  }

  async function delegator(_input: unknown, context: JobContext): Promise<string[]> {
    const outcomes: string[] = [];
    for (const { agent = "waiter", lease, expiresInMs } of handovers) {
      const expires_at = expiresInMs === undefined ? undefined : new Date(clock.now() + expiresInMs).toISOString();
      const child = context.delegate({
        agent,
        lease_request: lease,
        ...(expires_at !== undefined && { lease_constraints: { expires_at } }),
      });
      outcomes.push(await outcomeOf(child.accepted));
      // All but the one with money of its own end before the next.
      if (!Object.hasOwn(lease, "cost.budget")) child.cancel();
    }
    return outcomes;
  }

  stage.server.registerAgent("waiter", waiter);
  stage.server.registerAgent("delegator", delegator);
  proof.title(
    "Delegation. The lease: fs.read /srv/project/**, agent.delegate waiter, cost.budget USD:1.00, one minute",
  );
  const job = await stage.run({
    agent: "delegator",
    leaseRequest: { "fs.read": ["/srv/project/**"], "agent.delegate": ["waiter"], "cost.budget": ["USD:1.00"] },
    leaseConstraints: { expiresAt: new Date(clock.now() + LEASE_MS) },
  });
  const outcomes = Array.isArray(job.result) ? job.result.map(String) : [];
  for (const [index, { what, expected }] of handovers.entries()) {
    proof.code(`hands on ${what}`, outcomes[index] ?? job.end, expected);
  }
  proof.fact("two children started, and no more", started === 2, `${started} started`);
}
