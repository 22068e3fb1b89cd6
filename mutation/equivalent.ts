/** Mutants of the lease algebra that no test can tell from it, each with the reason. */

export interface EquivalentMutant {
  readonly file: string;
  /** The line that the mutant begins on. */
  readonly line: string;
  readonly mutator: string;
  readonly replacement: string;
  readonly reason: string;
}

export const EQUIVALENT_MUTANTS: readonly EquivalentMutant[] = [
  {
    file: "constraints.ts",
    line: String.raw`const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/;`,
    mutator: "Regex",
    replacement: String.raw`/\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/`,
    reason: "What begins with anything else does not print as it was written, which is compared next.",
  },
  {
    file: "pattern.ts",
    line: "} catch {",
    mutator: "BlockStatement",
    replacement: "{}",
    reason: "Without a statement the function returns undefined, which its only caller takes for false.",
  },
  {
    file: "target.ts",
    line: "} catch {",
    mutator: "BlockStatement",
    replacement: "{}",
    reason: "Without a statement the function returns undefined, which its only caller takes for false.",
  },
  {
    file: "pattern.ts",
    line: "outer === undefined || (inner !== undefined && globCovers(outer, inner, false, effort));",
    mutator: "BooleanLiteral",
    replacement: "true",
    reason: "Whether there are empty segments matters to `**` alone, which none of these parts can have.",
  },
  {
    file: "budget.ts",
    line: "const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);",
    mutator: "EqualityOperator",
    replacement: "a >= b",
    reason: "Of two that are equal either is the greater.",
  },
  {
    file: "budget.ts",
    line: "const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);",
    mutator: "EqualityOperator",
    replacement: "a <= b",
    reason: "Of two that are equal either is the less.",
  },
  {
    file: "budget.ts",
    line: "if (shift >= 0) return digits * 10n ** BigInt(shift);",
    mutator: "EqualityOperator",
    replacement: "shift > 0",
    reason: "Without a shift the divisor is one.",
  },
];
