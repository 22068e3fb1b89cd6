/** Holds what was seen against what a requirement says. */
import { type Matcher, shown } from "./matcher.ts";

/** A requirement was not kept. */
export class Violation extends Error {
  override readonly name = "Violation";
  /** Absent if what went wrong was on the way to what the case is about. */
  readonly requirement: string | undefined;
  readonly expected: string;
  readonly seen: string;

  constructor(requirement: string | undefined, expected: string, seen: string) {
    super(`${requirement ?? "on the way"}: expected ${expected}; seen: ${seen}`);
    this.requirement = requirement;
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

  /** Notes that `requirement` is being looked at. `undefined` is what is only on the way. */
  looksAt(requirement: string | undefined): void {
    if (requirement === undefined) return;
    if (!this.#requirements.has(requirement)) throw new Error(`the case does not name ${requirement}`);
    this.judged.add(requirement);
  }

  /** @throws Violation unless `seen` is as `matcher` says. `what` names it: `job.accepted.payload`. */
  expect(requirement: string | undefined, what: string, seen: unknown, matcher: Matcher): void {
    this.looksAt(requirement);
    const problem = matcher.problem(seen);
    if (problem !== undefined) {
      throw new Violation(requirement, `${what}: ${matcher.describes}`, `${problem}; all of it: ${shown(seen)}`);
    }
  }

  /** @throws Violation unless `holds`. */
  that(requirement: string | undefined, expected: string, holds: boolean, seen: unknown): void {
    this.looksAt(requirement);
    if (!holds) throw new Violation(requirement, expected, typeof seen === "string" ? seen : shown(seen));
  }

  /** @throws Violation always. */
  violated(requirement: string | undefined, expected: string, seen: string): never {
    this.looksAt(requirement);
    throw new Violation(requirement, expected, seen);
  }
}
