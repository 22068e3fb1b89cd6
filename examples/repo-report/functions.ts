/**
 * The longest functions, found by indentation: a function ends where a line is indented no deeper than the one that
 * opened it. Exact for formatted code, and a good guess for the rest.
 */
import type { SourceFile } from "./source-file.ts";

/** Shorter ones are nothing to report. */
const MIN_LINES = 40;
/** Where the search for an end is given up. */
const MAX_LINES = 5_000;
const MAX_LINE_LENGTH = 400;
/** Deeper than any line: a blank one ends nothing. */
const BLANK = Number.POSITIVE_INFINITY;

export interface LongFunction {
  readonly path: string;
  readonly name: string;
  readonly line: number;
  readonly lines: number;
  readonly isTest: boolean;
}

interface Syntax {
  /** Each matches a line that opens a function; its first group is the name. */
  readonly openings: readonly RegExp[];
  /** Does a line of its own, `}`, close the function? If not, it ends before the first line that is not deeper. */
  readonly hasClosingLine: boolean;
}

const SCRIPT: Syntax = {
  openings: [
    /^\s*(?:export\s+)?(?:default\s+)?(?:async\s+)?function\b\s*\*?\s*([\w$]*)/,
    /^\s*(?:export\s+)?(?:const|let|var)\s+([\w$]+)\b[^=]*=\s*(?:async\s*)?(?:function\b.*\{|.*=>\s*\{|\()$/,
    /^\s*(?:(?:public|private|protected|static|override|async|get|set)\s+)*\*?(?!(?:if|for|while|switch|catch|with)\b)(#?[\w$]+)(?:<[^>]*>)?\((?:.*\{)?$/,
  ],
  hasClosingLine: true,
};
const SYNTAX: Readonly<Record<string, Syntax>> = {
  TypeScript: SCRIPT,
  JavaScript: SCRIPT,
  Python: { openings: [/^\s*(?:async\s+)?def\s+(\w+)/], hasClosingLine: false },
  Go: { openings: [/^func\s+(?:\([^)]*\)\s*)?(\w+)/], hasClosingLine: true },
  Rust: {
    openings: [/^\s*(?:pub(?:\([^)]*\))?\s+)?(?:(?:const|async|unsafe|extern)\s+)*fn\s+(\w+)/],
    hasClosingLine: true,
  },
};

export class FunctionFinder {
  /** Those of {@link MIN_LINES} lines and more. */
  readonly functions: LongFunction[] = [];

  add(file: SourceFile): void {
    const syntax = SYNTAX[file.language.name];
    if (syntax === undefined || file.lines.length < MIN_LINES) return;
    const indentations = file.lines.map(indentationOf);
    for (const [index, line] of file.lines.entries()) {
      const name = nameOpenedBy(line, syntax);
      if (name === undefined) continue;
      const lines = lengthFrom(file.lines, indentations, index, syntax);
      if (lines < MIN_LINES) continue;
      this.functions.push({ path: file.path, name: name || "(unnamed)", line: index + 1, lines, isTest: file.isTest });
    }
  }
}

function nameOpenedBy(line: string, { openings }: Syntax): string | undefined {
  if (line.length > MAX_LINE_LENGTH) return undefined;
  for (const opening of openings) {
    const match = opening.exec(line);
    if (match !== null) return match[1] ?? "";
  }
  return undefined;
}

/** How many lines the function that opens at `start` has; 0 if it has no body, or none that can be told apart. */
function lengthFrom(
  lines: readonly string[],
  indentations: readonly number[],
  start: number,
  { hasClosingLine }: Syntax,
): number {
  const indentation = indentations[start] ?? 0;
  let last = start;
  for (let index = start + 1; index < Math.min(lines.length, start + MAX_LINES); index++) {
    const line = lines[index] ?? "";
    if ((indentations[index] ?? 0) <= indentation && !continuesSignature(line)) {
      if (!hasClosingLine) break;
      return /^\s*\}[;,]?$/.test(line) ? index - start + 1 : 0;
    }
    if (indentations[index] !== BLANK) last = index;
  }
  return hasClosingLine ? 0 : last - start + 1;
}

/** `): Type {` and `}: Props) {` close a list of parameters and open the body; Python's `) -> int:` does the same. */
function continuesSignature(line: string): boolean {
  return /^\s*[)}\]].*[{:]$/.test(line);
}

function indentationOf(line: string): number {
  const text = line.trimStart();
  return text === "" ? BLANK : line.length - text.length;
}
