/**
 * `expected.txt`: what an example prints. `…` stands for any text within a line, and alone on a line for any number of
 * lines, none included. Everything else is as it is printed, but for spaces at the ends of lines.
 */

/** What is another one at every run, and what of it stays to be read. */
const CHANGING: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z]+)_[0-9A-HJKMNP-TV-Z]{26}\b/g, "$1_…"],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "…"],
  [/\b[0-9a-f]{32}\b/g, "…"],
  [/\bsha256 [0-9a-f]{16}/g, "sha256 …"],
  [/\b(127\.0\.0\.1|localhost|example\.com):\d+/g, "$1:…"],
  [/\/\S*\/arcp-([a-z]+)-[0-9A-Za-z]{6}\b/g, "…/arcp-$1-…"],
  [/(?: *\b\d+(?:\.\d+)?) ms\b/g, " … ms"],
  [/(?: *\b\d+\.\d+) s\b/g, " … s"],
  [/\b(process|kill -9|back as) \d+\b/g, "$1 …"],
];

/** `printed` with `…` for times, ids, ports and durations: a first `expected.txt`. */
export function masked(printed: string): string {
  const text = CHANGING.reduce((all, [pattern, replacement]) => all.replaceAll(pattern, replacement), printed);
  return `${linesOf(text).join("\n")}\n`;
}

/** What is wrong with `printed`, for people; `undefined` if it is what was expected. */
export function outputProblem(expected: string, printed: string): string | undefined {
  const wanted = linesOf(expected);
  const seen = linesOf(printed);
  const parting = partingOf(wanted, seen);
  if (parting === undefined) return undefined;
  const { line, at } = parting;
  return `line ${at + 1} of the output: expected\n    ${wanted[line] ?? "the end"}\nprinted\n    ${seen[at] ?? "the end"}`;
}

/** Where the two part for good: an expected line that no printed one is, and the last that it was compared with. */
function partingOf(wanted: readonly string[], seen: readonly string[]): { line: number; at: number } | undefined {
  let parting = { line: 0, at: 0 };
  // Where the last `…` was, and how many lines it stands for so far: with more of them, what follows may fit.
  let gap: { readonly line: number; at: number } | undefined;
  let line = 0;
  let at = 0;
  while (line < wanted.length || at < seen.length) {
    if (wanted[line] === "…") {
      gap = { line, at };
      line += 1;
    } else if (line < wanted.length && at < seen.length && isLine(wanted[line] ?? "", seen[at] ?? "")) {
      line += 1;
      at += 1;
    } else {
      if (line >= parting.line) parting = { line, at };
      if (gap === undefined || gap.at >= seen.length) return parting;
      gap.at += 1;
      line = gap.line + 1;
      at = gap.at;
    }
  }
  return undefined;
}

function isLine(expected: string, printed: string): boolean {
  const parts = expected.split("…").map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "u").test(printed);
}

function linesOf(text: string): readonly string[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());
}
