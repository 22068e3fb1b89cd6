/** What an issuer says of a token, in a JWT (RFC 7519) or in its answer to a question (RFC 7662). */
import type { JsonObject } from "@arcp/core";
import { notValid } from "./scheme.ts";

const MAX_PRINCIPAL_CHARS = 512;
/** The last instant that a date can hold, in seconds. */
const MAX_SECONDS = 8_640_000_000_000;
/** Sender-constrained tokens (RFC 8705, RFC 9449) mean nothing in the hands of somebody who is not asked for the key. */
const CONFIRMATION = "cnf";

/** The claim itself: nothing that an object has by birth. */
export const claimOf = (claims: JsonObject, name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : undefined;

/** @throws UnauthenticatedError if the claim is no name. */
export function principalIn(claims: JsonObject, name: string): string {
  const value = claimOf(claims, name);
  const isName =
    typeof value === "string" &&
    value.trim() !== "" &&
    value.length <= MAX_PRINCIPAL_CHARS &&
    value.isWellFormed() &&
    !/[\x00-\x1f\x7f]/.test(value);
  if (!isName) throw notValid(`the claim ${name} is no principal`);
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

/** Does a claim of one name or several have one of `expected`? */
export function hasOneOf(value: unknown, expected: readonly string[]): boolean {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  return names.some((name) => typeof name === "string" && expected.includes(name));
}
