/** The invariants that the checker decides, by the numbers of the threat model. */

export const INVARIANTS = {
  I1: "exactly one terminal message per job",
  I2: "numbers without gaps, and one message per number",
  I3: "nothing that was acknowledged or seen is lost",
  I4: "one job per idempotency key, one effect per operation",
  I5: "a job, and a session, is one runtime's at a time, and who has lost it gets nothing in",
  I6: "leases bound what is reached, and for how long, and nothing that they cover is refused",
  I7: "budgets bound what is spent",
  I8: "every credential is revoked",
  I9: "a cancelled job ends within its grace, and does nothing after its end",
  I10: "a session goes on, for whoever holds its current token, in one place",
  I11: "nobody sees what is not theirs",
  I12: "memory is bounded",
  I13: "the runtime comes back, and accepted jobs end",
  I16: "the audit is whole",
  I17: "artifacts are whole",
} as const;

export type Invariant = keyof typeof INVARIANTS;

export interface Violation {
  readonly invariant: Invariant;
  readonly what: string;
}

/** One after another, so that a check reads as what must not be. */
export type Report = (invariant: Invariant, what: string) => void;
