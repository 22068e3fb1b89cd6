/** What an issuer says of a token, in a JWT (RFC 7519) or in its answer to a question (RFC 7662). */
import { type Identity, type JsonObject, PERMISSIONS, type Permission } from "@arcp/core";
import { notValid } from "./scheme.ts";

const MAX_PRINCIPAL_CHARS = 512;
/** The last instant that a date can hold, in seconds. */
const MAX_SECONDS = 8_640_000_000_000;
/** Sender-constrained tokens (RFC 8705, RFC 9449) mean nothing in the hands of somebody who is not asked for the key. */
const CONFIRMATION = "cnf";

/** The claim itself: nothing that an object has by birth. */
export const claimOf = (claims: JsonObject, name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : undefined;

/** Can it be the name of a principal? */
export const isPrincipal = (value: unknown): value is string =>
  typeof value === "string" &&
  value.trim() !== "" &&
  value.length <= MAX_PRINCIPAL_CHARS &&
  value.isWellFormed() &&
  !/[\x00-\x1f\x7f]/.test(value);

/** @throws UnauthenticatedError if the claim is no name. */
function principalIn(claims: JsonObject, name: string): string {
  const value = claimOf(claims, name);
  if (!isPrincipal(value)) throw notValid(`the claim ${name} is no principal`);
  return value;
}

/**
 * Milliseconds since the epoch; `undefined` if there is no such claim.
 *
 * @throws UnauthenticatedError if it is no time.
 */
function instantIn(claims: JsonObject, name: string): number | undefined {
  const value = claimOf(claims, name);
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(Math.abs(value) <= MAX_SECONDS)) throw notValid(`the claim ${name} is no time`);
  return value * 1000;
}

/**
 * When the token ends, in milliseconds since the epoch; `undefined` if it does not say.
 *
 * @throws UnauthenticatedError for a token that is of another time, or of whoever has a certain key.
 */
export function validityIn(
  claims: JsonObject,
  { now, toleranceMs }: { readonly now: number; readonly toleranceMs: number },
): number | undefined {
  for (const name of ["nbf", "iat"]) {
    const from = instantIn(claims, name);
    if (from !== undefined && from > now + toleranceMs) throw notValid(`the claim ${name} is in the future`);
  }
  if (claimOf(claims, CONFIRMATION) !== undefined) throw notValid("the token is bound to a key");
  return instantIn(claims, "exp");
}

/** Where an issuer says more than who somebody is. */
export interface IdentityClaims {
  /** The claim that names the principal. Default: `sub`. */
  readonly principalClaim?: string;
  /** The claim that names the tenant; a token without it is not valid. Default: there are no tenants. */
  readonly tenantClaim?: string;
  /**
   * The claim with the scopes, `scope` or `permissions` for example: words with spaces between them, or a list. `submit`,
   * `observe:own`, `observe:all`, `answer` and `admin`, or the same after `arcp:`, are what the token permits; others mean
   * nothing here. A token without the claim permits nothing. Default: a token permits what concerns its principal's own jobs.
   */
  readonly scopesClaim?: string;
}

/**
 * Who the claims speak for, and what they permit.
 *
 * @throws UnauthenticatedError if one that there has to be is no name.
 */
export function identityIn(
  claims: JsonObject,
  { principalClaim = "sub", tenantClaim, scopesClaim }: IdentityClaims,
): Pick<Identity, "principal" | "tenant" | "permissions"> {
  return {
    principal: principalIn(claims, principalClaim),
    ...(tenantClaim !== undefined && { tenant: principalIn(claims, tenantClaim) }),
    ...(scopesClaim !== undefined && { permissions: permissionsIn(claimOf(claims, scopesClaim)) }),
  };
}

/** What scopes permit, in the order of {@link PERMISSIONS}. */
function permissionsIn(claim: unknown): readonly Permission[] {
  const scopes = scopesIn(claim);
  return PERMISSIONS.filter((name) => scopes.includes(name) || scopes.includes(`arcp:${name}`));
}

/** Words with spaces between them, or a list (RFC 8693 §4.2, and what issuers make of it). */
function scopesIn(claim: unknown): readonly string[] {
  const scopes: readonly unknown[] = typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
  return scopes.filter((scope) => typeof scope === "string");
}

/** Does a claim of one name or several have one of `expected`? */
export function hasOneOf(value: unknown, expected: readonly string[]): boolean {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  return names.some((name) => typeof name === "string" && expected.includes(name));
}
