/** When a lease ends (§9.5), and that a delegated one ends no later than its parent's (§9.4). */
import { InvalidRequestError, type LeaseConstraints, LeaseSubsetViolationError } from "@arcp/core";

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

/** Milliseconds since the epoch, digits below that cut off; undefined for text that is no instant. */
export function parseInstant(text: string): number | undefined {
  if (!INSTANT.test(text)) return undefined;
  const at = Date.parse(text);
  // The parser turns 30 February into 2 March: what it read must print as what was written.
  return Number.isFinite(at) && new Date(at).toISOString().slice(0, 19) === text.slice(0, 19) ? at : undefined;
}

/**
 * The constraints that a child with `child` under a parent with `parent` is held to: the earlier `expires_at`, and the
 * parent's if the child names none. Both are valid.
 *
 * @throws LeaseSubsetViolationError if the child's `expires_at` is later than the parent's.
 */
export function assertLeaseConstraintsSubset(child: LeaseConstraints, parent: LeaseConstraints): LeaseConstraints {
  const own = child.expires_at;
  const bound = parent.expires_at;
  if (own === undefined) return Object.freeze(bound === undefined ? {} : { expires_at: bound });
  if (parseInstant(own) === undefined || (bound !== undefined && comparable(own) > comparable(bound))) {
    throw new LeaseSubsetViolationError("the child's lease would expire later than its parent's", {
      details: { expires_at: own, ...(bound !== undefined && { parent_expires_at: bound }) },
    });
  }
  return Object.freeze({ expires_at: own });
}

/** Instants as texts of one length, in the order of time: to the last of the nine digits. */
const comparable = (instant: string): string => `${instant.slice(0, 19)}.${instant.slice(20, -1).padEnd(9, "0")}`;
