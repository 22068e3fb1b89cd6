/** What a whole run came to. */
import type { Verdict } from "../case.ts";
import { type Level, type Requirement, requirementsOf, type Wire } from "../requirements.ts";

/** Everything that a run has found out. */
export interface Report {
  readonly role: "server" | "client";
  readonly wire: Wire;
  /** What was asked: an address, a command. */
  readonly target: string;
  /** ISO 8601 in UTC. */
  readonly startedAt: string;
  readonly ms: number;
  readonly counts: Counts;
  readonly verdicts: readonly Verdict[];
  /** The requirements of this role that no case can decide, and why. */
  readonly unseen: readonly Unseen[];
}

/** A requirement that no case judges, and why. */
export interface Unseen {
  readonly id: string;
  readonly level: Requirement["level"];
  readonly reason: string;
}

/** How many cases came to which end, and how many requirements were not kept. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Failed cases by the level of what was violated. */
  readonly failedBy: Readonly<Record<Level, number>>;
}

export function countsOf(verdicts: readonly Verdict[]): Counts {
  const having = (outcome: Verdict["outcome"]): readonly Verdict[] =>
    verdicts.filter((verdict) => verdict.outcome === outcome);
  const failed = having("failed");
  const failedAt = (level: Level): number => failed.filter((verdict) => verdict.level === level).length;
  return {
    passed: having("passed").length,
    failed: failed.length,
    skipped: having("skipped").length,
    failedBy: { MUST: failedAt("MUST"), SHOULD: failedAt("SHOULD"), MAY: failedAt("MAY") },
  };
}

/** Those of a wire's requirements that `reasons` names, in the order of the specification. */
export function unseenOf(wire: Wire, reasons: Readonly<Record<string, string>>): readonly Unseen[] {
  return [...requirementsOf(wire).values()].flatMap(({ id, level }) => {
    const reason = reasons[id];
    return reason === undefined ? [] : [{ id, level, reason }];
  });
}

/** 0 if nothing that counts was violated; 1 if a MUST was, or with `isStrict` anything. */
export function exitCodeOf({ counts }: Report, isStrict = false): 0 | 1 {
  return (isStrict ? counts.failed : counts.failedBy.MUST) > 0 ? 1 : 0;
}
