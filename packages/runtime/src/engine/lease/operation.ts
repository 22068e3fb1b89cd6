/** May this operation take place under this lease, now (§9.3, §9.5, §9.6)? */
import {
  BudgetExhaustedError,
  type Lease,
  type LeaseConstraints,
  LeaseExpiredError,
  PermissionDeniedError,
} from "@arcp/core";
import { grantedBy, kindOf } from "./capability.ts";
import { parseInstant } from "./constraints.ts";
import { matchesPattern, type Pattern, patternOf } from "./pattern.ts";
import { canonicalizeTarget } from "./target.ts";

/** When an operation is asked about, and what is left to spend. */
export interface LeaseOperationContext {
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly constraints?: LeaseConstraints | undefined;
  /** What is left, per currency. */
  readonly budget?: ReadonlyMap<string, number> | undefined;
  /** How long after `expires_at` operations still pass, for clocks that differ. None by default. */
  readonly graceMs?: number | undefined;
}

/**
 * Returns the canonical target if `lease` covers `capability` on it: what was checked is what has to be used. The
 * order is fixed: expiry, then budget, then patterns. Text in
 * `lease` that is no pattern matches nothing.
 *
 * @throws LeaseExpiredError at and after `expires_at`.
 * @throws BudgetExhaustedError if any counter is zero or less.
 * @throws PermissionDeniedError if no pattern matches; its details name the capability, the target, the patterns that
 *   there are and, if one pattern can say it, the narrowest that would have allowed it.
 * @throws InvalidRequestError for a target that is not of the capability's kind.
 */
export function validateLeaseOp(
  lease: Lease,
  capability: string,
  target: unknown,
  context?: LeaseOperationContext,
): string {
  assertNotExpired(context);
  assertBudgetLeft(context?.budget);
  const granted = grantedBy(lease, capability);
  return coveredTarget(
    capability,
    target,
    granted,
    granted.flatMap((text) => patternOf(capability, text) ?? []),
  );
}

/** The last of the checks: returns the canonical target if one of `patterns`, the compiled `granted`, matches it. */
export function coveredTarget(
  capability: string,
  target: unknown,
  granted: readonly string[],
  patterns: readonly Pattern[],
): string {
  const kind = kindOf(capability);
  if (kind === undefined || kind === "amount") throw denied(capability, textOf(target), [], undefined);
  const canonical = canonicalOrDenied(capability, target, granted);
  if (!patterns.some((pattern) => matchesPattern(pattern, canonical))) {
    throw denied(capability, canonical, granted, patternFor(capability, canonical));
  }
  return canonical;
}

function assertNotExpired(context: LeaseOperationContext | undefined): void {
  if (context?.constraints?.expires_at === undefined) return;
  const { now, graceMs = 0 } = context;
  const { expires_at } = context.constraints;
  // An end that cannot be read has been reached.
  const at = parseInstant(expires_at) ?? Number.NEGATIVE_INFINITY;
  if (now < at + graceMs) return;
  throw new LeaseExpiredError("the lease has expired", { details: { expires_at } });
}

function assertBudgetLeft(budget: ReadonlyMap<string, number> | undefined): void {
  for (const [currency, remaining] of budget ?? []) {
    if (remaining > 0) continue;
    throw new BudgetExhaustedError(`the budget in ${currency} is used up`, { details: { currency, remaining } });
  }
}

/** The canonical target; a refusal of its spelling says which operation it belongs to. */
function canonicalOrDenied(capability: string, target: unknown, granted: readonly string[]): string {
  try {
    return canonicalizeTarget(capability, target);
  } catch (error) {
    if (!(error instanceof PermissionDeniedError)) throw error;
    throw denied(capability, textOf(target), granted, undefined, error.message);
  }
}

const MAX_SHOWN = 256;

const textOf = (target: unknown): string => (typeof target === "string" ? target : "");

function denied(
  capability: string,
  target: string,
  patterns: readonly string[],
  needed: string | undefined,
  reason = "the lease does not cover it",
): PermissionDeniedError {
  const name = capability.slice(0, MAX_SHOWN);
  const shown = shownTarget(capability, target);
  return new PermissionDeniedError(`${name} ${JSON.stringify(shown)}: ${reason}`, {
    details: { capability: name, target: shown, patterns, ...(needed !== undefined && { needed }) },
  });
}

/** What is told of a target. */
export const shownTarget = (capability: string, target: string): string =>
  withoutSecrets(capability, target).slice(0, MAX_SHOWN);

/**
 * Queries, fragments and user information carry secrets, and a refusal is shown to whoever watches the job. After a host
 * an `@` is a part of the path; in text that has none, what stands before the last one may be user information.
 */
function withoutSecrets(capability: string, target: string): string {
  if (kindOf(capability) !== "url") return target;
  const text = target.replace(/[?#].*/s, "");
  const url = URL.parse(text);
  const isPlain = url !== null && url.host !== "" && url.username === "" && url.password === "";
  return isPlain ? text : text.slice(text.lastIndexOf("@") + 1);
}

/** The pattern that stands for `target` alone; undefined if a pattern cannot say that. */
function patternFor(capability: string, target: string): string | undefined {
  const text = withoutSecrets(capability, target);
  if (text.includes("*") || text.length > MAX_SHOWN) return undefined;
  return patternOf(capability, text)?.text;
}
