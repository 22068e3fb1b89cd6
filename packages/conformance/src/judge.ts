/** Holds what was seen against what a requirement says. */
import { type Matcher, shown } from "./matcher.ts";

/** What a check decides: one requirement, several that say the same of it, or none, if it is only on the way. */
export type Claim = string | readonly string[] | undefined;

const listOf = (claim: Claim): readonly string[] =>
  claim === undefined ? [] : typeof claim === "string" ? [claim] : claim;

/** A requirement was not kept. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** Empty if what went wrong was on the way to what the case is about. */
  readonly requirements: readonly string[];
  readonly expected: string;
  readonly seen: string;

  constructor(claim: Claim, expected: string, seen: string) {
    super(`${listOf(claim).join(", ") || "on the way"}: expected ${expected}; seen: ${seen}`);
    this.requirements = listOf(claim);
    this.expected = expected;
    this.seen = seen;
  }
}

/** The peer has not got what the case is about: nothing is wrong, and nothing is proven. */
export class NotHere extends Error {
  override readonly name = "NotHere";
}

export class Judge {
  readonly #requirements: ReadonlySet<string>;
  /** The requirements that were looked at so far. */
  readonly judged = new Set<string>();

  constructor(requirements: readonly string[]) {
    this.#requirements = new Set(requirements);
  }

  /** Notes what is being looked at. */
  looksAt(claim: Claim): void {
    for (const requirement of listOf(claim)) {
      if (!this.#requirements.has(requirement)) throw new Error(`the case does not name ${requirement}`);
      this.judged.add(requirement);
    }
  }

  /** @throws Violation unless `seen` is as `matcher` says. `what` names it: `job.accepted.payload`. */
  expect(claim: Claim, what: string, seen: unknown, matcher: Matcher): void {
    this.looksAt(claim);
    const problem = matcher.problem(seen);
    if (problem !== undefined) {
      throw new Violation(claim, `${what}: ${matcher.describes}`, `${problem}; all of it: ${shown(seen)}`);
    }
  }

  /** @throws Violation unless `holds`. */
  that(claim: Claim, expected: string, holds: boolean, seen: unknown): void {
    this.looksAt(claim);
    if (!holds) throw new Violation(claim, expected, typeof seen === "string" ? seen : shown(seen));
  }

  /** @throws Violation always. */
  violated(claim: Claim, expected: string, seen: string): never {
    this.looksAt(claim);
    throw new Violation(claim, expected, seen);
  }
}
