/** What a lease may say (§9.1, §9.2, §9.5): shape and names. What its patterns match is decided where they are enforced. */
import { InvalidRequestError, type Lease, type LeaseConstraints } from "@arcp/core";
import { Budget } from "./budget.ts";

/** The capability namespaces of the specification, with what their patterns mean. */
const RESERVED = {
  "fs.read": "path",
  "fs.write": "path",
  "net.fetch": "url",
  "tool.call": "name",
  "agent.delegate": "name",
  "cost.budget": "amount",
  "model.use": "name",
} as const;

const VENDOR_CAPABILITY = /^x-vendor\.[a-z0-9_-]+(\.[a-z0-9_-]+)+$/;

export const isReservedCapabilityName = (name: string): boolean => Object.hasOwn(RESERVED, name);

/** Reserved names, and vendor names in lower case. */
export const isValidCapabilityName = (name: string): boolean =>
  isReservedCapabilityName(name) || VENDOR_CAPABILITY.test(name);

const MAX_PATTERNS = 64;
const MAX_PATTERN_LENGTH = 1024;

/**
 * Returns `value` as a lease. Throws {@link InvalidRequestError} unless it is an object that maps capability names
 * to lists of non-empty pattern strings, with every `cost.budget` pattern an amount.
 */
export function validateLeaseShape(value: unknown): Lease {
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
    lease[name] = validatePatterns(name, patterns);
  }
  Budget.fromLease(lease);
  return Object.freeze(lease);
}

function validatePatterns(name: string, patterns: unknown): readonly string[] {
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

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/;

/**
 * Returns `value` as constraints. Throws {@link InvalidRequestError} unless `expires_at`, if there is one, is RFC 3339
 * in UTC with `Z`, names a day that exists, and lies after `now` (milliseconds since the epoch).
 */
export function validateLeaseConstraints(value: LeaseConstraints, now: number): LeaseConstraints {
  const { expires_at } = value;
  if (expires_at === undefined) return Object.freeze({});
  const at = parseInstant(expires_at);
  if (at === undefined) {
    throw new InvalidRequestError("lease_constraints.expires_at: expected RFC 3339 in UTC with a Z suffix", {
      details: { path: "payload.lease_constraints.expires_at" },
    });
  }
  if (at <= now) {
    throw new InvalidRequestError("lease_constraints.expires_at is not in the future", {
      details: { path: "payload.lease_constraints.expires_at" },
    });
  }
  return Object.freeze({ expires_at });
}

function parseInstant(text: string): number | undefined {
  if (!INSTANT.test(text)) return undefined;
  const at = Date.parse(text);
  // The parser turns 30 February into 2 March: what it read must print as what was written.
  return Number.isFinite(at) && new Date(at).toISOString().slice(0, 19) === text.slice(0, 19) ? at : undefined;
}

/** The counters that a lease starts with, per currency; empty without `cost.budget`. */
export const initialBudgetFromLease = (lease: Lease): ReadonlyMap<string, number> =>
  Budget.fromLease(lease)?.remaining() ?? new Map();

/** Is every pattern of `part` literally one of `whole`'s? Enough to see that a policy took away and added nothing. */
export const isLiteralPart = (part: Lease, whole: Lease): boolean =>
  Object.entries(part).every(([name, patterns]) => patterns.every((pattern) => (whole[name] ?? []).includes(pattern)));
