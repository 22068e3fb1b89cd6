/** A delegated lease lies within its parent's (§9.4). What cannot be proven is refused. */
import { ARCPError, type Lease, LeaseSubsetViolationError } from "@arcp/core";
import { Budget } from "./budget.ts";
import { grantedBy, kindOf } from "./capability.ts";
import { proofEffort } from "./glob.ts";
import { patternCovers, patternOf } from "./pattern.ts";

/** What of a parent's lease is still there to be handed on. */
export interface LeaseSubsetOptions {
  /** What the parent has left, per currency. Without it, what its lease started with. */
  readonly remaining?: ReadonlyMap<string, number> | undefined;
}

/**
 * Returns if everything that `child` grants is granted by `parent`: each of its patterns is covered by one pattern of
 * the same capability, and its budget by what is left. A lease is within itself; a capability that the child does not
 * name is no matter.
 *
 * @throws LeaseSubsetViolationError whose details name the capability and the first pattern that is not covered.
 */
export function assertLeaseSubset(child: Lease, parent: Lease, options: LeaseSubsetOptions = {}): void {
  const effort = proofEffort();
  for (const [capability, patterns] of Object.entries(child)) {
    const granted = grantedBy(parent, capability);
    if (kindOf(capability) === "amount") {
      assertBudgetSubset(child, parent, options.remaining);
      continue;
    }
    const outer = granted.flatMap((pattern) => patternOf(capability, pattern) ?? []);
    for (const text of patterns) {
      const inner = patternOf(capability, text);
      if (inner !== undefined && outer.some((pattern) => patternCovers(pattern, inner, effort))) continue;
      throw new LeaseSubsetViolationError(`the parent's lease is not proven to cover ${capability} ${text}`, {
        details: { capability, pattern: text, parent_patterns: granted },
      });
    }
  }
}

/** Whether {@link assertLeaseSubset} returns. */
export function isLeaseSubset(child: Lease, parent: Lease, options: LeaseSubsetOptions = {}): boolean {
  try {
    assertLeaseSubset(child, parent, options);
    return true;
  } catch (error) {
    if (error instanceof LeaseSubsetViolationError) return false;
    throw error;
  }
}

function assertBudgetSubset(child: Lease, parent: Lease, remaining: ReadonlyMap<string, number> | undefined): void {
  const left = remaining === undefined ? budgetOf(parent) : Budget.fromRemaining(remaining);
  const asked = budgetOf(child);
  const currency = asked?.firstAbove(left);
  if (asked !== undefined && currency === undefined) return;
  throw new LeaseSubsetViolationError("the child's budget is above what its parent has left", {
    details: {
      capability: "cost.budget",
      ...(currency !== undefined && { currency, remaining: left?.remaining().get(currency) ?? null }),
    },
  });
}

/** Undefined without a budget, and for amounts that are none. */
function budgetOf(lease: Lease): Budget | undefined {
  try {
    return Budget.fromLease(lease);
  } catch (error) {
    if (error instanceof ARCPError) return undefined;
    throw error;
  }
}
