/** What a lease may say (§9.1, §9.2): shape, names and patterns. */
import { InvalidRequestError, type Lease } from "@arcp/core";
import { Budget, initialBudgetFromLease } from "./budget.ts";
import { grantedBy, isValidCapabilityName, kindOf } from "./capability.ts";
import { compilePattern, isUnlimited } from "./pattern.ts";

const MAX_PATTERNS = 64;
const MAX_PATTERN_LENGTH = 1024;
/** The currencies of the specification (§9.6). Others are the runtime's own, but not these in other letters. */
const CURRENCIES = ["USD", "EUR", "credits"];

/** How much a lease may be asked to cover. */
export interface LeaseShapeOptions {
  /** Accepts patterns that cover everything (`**`, `/**`). A submitter's request is not given that; a policy may be. */
  readonly mayBeUnlimited?: boolean;
}

/**
 * Returns `value` as a lease, a frozen copy. Throws {@link InvalidRequestError} unless it is an object that maps
 * capability names to lists of canonical patterns, at most 64 of at most 1024 characters each, with every
 * `cost.budget` pattern an amount.
 */
export function validateLeaseShape(value: unknown, { mayBeUnlimited = false }: LeaseShapeOptions = {}): Lease {
  const lease = validateLeaseEntries(value);
  for (const [name, patterns] of Object.entries(lease)) {
    if (kindOf(name) === "amount") continue;
    for (const text of patterns) {
      if (isUnlimited(compilePattern(name, text)) && !mayBeUnlimited) {
        throw new InvalidRequestError(`${name}: ${text} covers everything, which cannot be asked for`, {
          details: { capability: name, pattern: text },
        });
      }
    }
  }
  for (const currency of initialBudgetFromLease(lease).keys()) {
    const meant = CURRENCIES.find((known) => known.toLowerCase() === currency.toLowerCase());
    if (meant !== undefined && meant !== currency) {
      throw new InvalidRequestError(`the currency ${currency} is written ${meant}`, { details: { currency } });
    }
  }
  return lease;
}

/** The part of {@link validateLeaseShape} that does not look into patterns: names, lists and amounts. */
export function validateLeaseEntries(value: unknown): Lease {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidRequestError("a lease is an object of capability names and pattern lists");
  }
  const lease: Record<string, readonly string[]> = {};
  for (const [name, patterns] of Object.entries(value)) {
    if (!isValidCapabilityName(name)) {
      throw new InvalidRequestError(`unknown capability ${JSON.stringify(name.slice(0, 128))}`, {
        details: { capability: name.slice(0, 128) },
      });
    }
    lease[name] = patternList(name, patterns);
  }
  Budget.fromLease(lease);
  return Object.freeze(lease);
}

function patternList(name: string, patterns: unknown): readonly string[] {
  const isList = Array.isArray(patterns) && patterns.length <= MAX_PATTERNS;
  const isText = (pattern: unknown): boolean =>
    typeof pattern === "string" && pattern.length > 0 && pattern.length <= MAX_PATTERN_LENGTH;
  if (!isList || !patterns.every(isText)) {
    throw new InvalidRequestError(
      `${name}: expected at most ${MAX_PATTERNS} patterns of 1 to ${MAX_PATTERN_LENGTH} characters`,
      { details: { capability: name } },
    );
  }
  return Object.freeze([...(patterns as string[])]);
}

/** Is every pattern of `part` literally one of `whole`'s? Enough to see that a policy took away and added nothing. */
export const isLiteralPart = (part: Lease, whole: Lease): boolean =>
  Object.entries(part).every(([name, patterns]) =>
    patterns.every((pattern) => grantedBy(whole, name).includes(pattern)),
  );
