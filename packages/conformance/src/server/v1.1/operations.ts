/** What cases have agents do under leases and budgets (§9). */
import { is, shape, shown, such } from "../../matcher.ts";
import type { ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";

export interface Operation {
  readonly capability: string;
  readonly target: string;
  readonly wait_ms?: number;
  readonly cost?: { readonly value: number; readonly unit: string };
}

export interface Outcome {
  readonly performed: boolean;
  readonly code: string | null;
}

export const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

/** Tries operations under a lease, and returns what came of each. */
export async function tried(
  context: ServerContext,
  peer: Peer,
  lease_request: object,
  operations: readonly Operation[],
  more: object = {},
): Promise<readonly Outcome[]> {
  const { result } = await context.perform(peer, "operate", { operations }, { lease_request, ...more });
  return result?.outcomes ?? [];
}

/** Under a lease of that pattern `allowed` are performed, `denied` are refused with PERMISSION_DENIED (or as no target at all). */
export async function decides(
  context: ServerContext,
  peer: Peer,
  requirement: string,
  capability: string,
  pattern: string,
  allowed: readonly string[],
  denied: readonly string[],
): Promise<void> {
  const lease = { [capability]: [pattern] };
  const outcomes = await tried(
    context,
    peer,
    lease,
    [...allowed, ...denied].map((target) => ({ capability, target })),
  );
  for (const [place, target] of [...allowed, ...denied].entries()) {
    const outcome = outcomes[place];
    const what = `${capability} ${target} under ${shown(lease)}`;
    if (place < allowed.length) context.judge.expect(requirement, what, outcome, is({ performed: true, code: null }));
    else
      context.judge.expect(
        requirement,
        what,
        outcome,
        shape({
          performed: is(false),
          code: such(
            "PERMISSION_DENIED, or INVALID_REQUEST for what is no target",
            (code) => code === "PERMISSION_DENIED" || code === "INVALID_REQUEST",
          ),
        }),
      );
  }
}

/** A job that reports costs and then tries to work. */
export async function spent(
  context: ServerContext,
  peer: Peer,
  budget: readonly string[],
  costs: readonly object[],
  operations: readonly Operation[] = [],
  requirement?: string,
) {
  const lease_request = {
    "tool.call": ["suite.tool"],
    "fs.read": ["/a/*"],
    "net.fetch": ["https://api.example.com/**"],
    "cost.budget": budget,
  };
  const done = await context.perform(peer, "spend", { costs, operations }, { lease_request }, requirement);
  return { ...done, outcomes: (done.result?.outcomes ?? []) as readonly Outcome[], left: done.result?.left };
}

export const usd = (value: number, name = "cost.suite"): object => ({ name, value, unit: "USD" });

export const aCall: Operation = { capability: "tool.call", target: "suite.tool" };
