/** What a permission is about (RFC §15.1, §15.6): a capability and what it may be used on, or a level of trust. */
import { InvalidRequestError } from "@arcp/core";
import { TRUST_LEVELS, type TrustLevel } from "@arcp/core/v1.0";
import { isValidCapabilityName } from "../lease/capability.ts";
import { compilePattern, isUnlimited, matchesPattern } from "../lease/pattern.ts";
import { canonicalizeTarget } from "../lease/target.ts";

export type PermissionScope =
  | {
      readonly kind: "capability";
      readonly capability: string;
      /** As it is compared and shown: a canonical target, or a pattern. */
      readonly target: string;
      readonly isPattern: boolean;
      /** Is this canonical target within it? */
      readonly covers: (target: string) => boolean;
    }
  | { readonly kind: "trust"; readonly level: TrustLevel };

/** RFC §15.1's names for capabilities of a lease (§9.2). */
const CAPABILITIES: ReadonlyMap<string, string> = new Map([
  ["filesystem.read", "fs.read"],
  ["filesystem.write", "fs.write"],
  ["network.fetch", "net.fetch"],
]);

/** What a grant never widens: authority to hand on authority, and money. */
const NEVER_GRANTED: ReadonlySet<string> = new Set(["agent.delegate", "cost.budget"]);

/** Every other permission is a capability of this name and its own. */
const PERMISSION_PREFIX = "x-vendor.permission.";
const ELEVATION_PREFIX = "trust.elevate.";

/** The lease capability that `permission` stands for. Throws {@link InvalidRequestError} for what is no name. */
function capabilityOf(permission: string): string {
  const named = CAPABILITIES.get(permission) ?? permission;
  const capability = isValidCapabilityName(named) ? named : `${PERMISSION_PREFIX}${named}`;
  if (!isValidCapabilityName(capability)) {
    throw new InvalidRequestError("a permission is a name such as email.send, in lower case", {
      details: { permission: permission.slice(0, 128) },
    });
  }
  if (NEVER_GRANTED.has(capability)) {
    throw new InvalidRequestError(`${capability} is no permission that can be asked for`, { details: { permission } });
  }
  return capability;
}

/**
 * What `permission` on `resource` covers: one target, as the lease compares it, or with `mayBePattern` all that a pattern
 * matches. Throws {@link InvalidRequestError} for what is no permission, and as {@link canonicalizeTarget} does.
 */
export function scopeOf(permission: string, resource: string, mayBePattern: boolean): PermissionScope {
  if (permission.startsWith(ELEVATION_PREFIX)) {
    const level = TRUST_LEVELS.find((known) => permission === `${ELEVATION_PREFIX}${known}`);
    if (level === undefined)
      throw new InvalidRequestError("there is no such level of trust", { details: { permission } });
    return { kind: "trust", level };
  }
  const capability = capabilityOf(permission);
  if (mayBePattern && resource.includes("*")) return patternScope(capability, resource);
  const target = canonicalizeTarget(capability, resource);
  return { kind: "capability", capability, target, isPattern: false, covers: (other) => other === target };
}

function patternScope(capability: string, text: string): PermissionScope {
  const pattern = compilePattern(capability, text);
  if (isUnlimited(pattern)) {
    throw new InvalidRequestError(`${capability}: ${text} covers everything, which cannot be asked for`, {
      details: { capability, pattern: text },
    });
  }
  const covers = (other: string): boolean => matchesPattern(pattern, other);
  return { kind: "capability", capability, target: text, isPattern: true, covers };
}

/** Is `left` at least as much trust as `right`? */
export const isTrustedAs = (left: TrustLevel, right: TrustLevel): boolean =>
  TRUST_LEVELS.indexOf(left) >= TRUST_LEVELS.indexOf(right);
