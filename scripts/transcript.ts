/** Pages whose commands are run: blocks of ```console, with `$ ` before each command and what it printed below it. A command goes on behind `\\`. */

export interface Command {
  readonly text: string;
  /** What the page shows of its output: a line `…` stands for any number of lines. Empty: nothing is shown. */
  readonly shown: readonly string[];
  /** Where the lines are in the page: from, and up to but without. */
  readonly from: number;
  readonly to: number;
}

export interface ShownFile {
  readonly name: string;
  readonly text: string;
}

/** In the order of the page. */
export type Step =
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "file"; readonly file: ShownFile };

/** The commands of a page, and the files that it says to make (``Put this into `name`:``) or shows (``is in `name`:``). */
export function stepsOf(page: string): readonly Step[] {
  const lines = page.split("\n");
  const steps: Step[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const [, language] = /^```(\w+)$/.exec(lines[index] ?? "") ?? [];
    if (language === undefined) continue;
    const end = lines.indexOf("```", index);
    const block = lines.slice(index + 1, end);
    const [, name] = /`([^`]+)`:$/.exec(lines.slice(0, index).findLast((line) => line !== "") ?? "") ?? [];
    if (language === "console") steps.push(...commandsOf(block, index + 1));
    else if (name !== undefined) steps.push({ kind: "file", file: { name, text: `${block.join("\n")}\n` } });
    index = end;
  }
  return steps;
}

function commandsOf(block: readonly string[], at: number): Step[] {
  const starts = block.flatMap((line, index) => (line.startsWith("$ ") ? [index] : []));
  return starts.map((start, order) => {
    const end = starts[order + 1] ?? block.length;
    let text = (block[start] ?? "").slice(2);
    let last = start;
    while (text.endsWith("\\") && last + 1 < end) {
      last += 1;
      text = `${text.slice(0, -1)}${block[last]?.trimStart()}`;
    }
    return {
      kind: "command",
      command: { text, shown: block.slice(last + 1, end), from: at + last + 1, to: at + end },
    };
  });
}

/** What is another one at every run. */
const CHANGING: readonly (readonly [RegExp, string])[] = [
  [/\bjob_[0-9A-HJKMNP-TV-Z]{26}\b/g, "job_01M7XX9Z2YG10HKHMBJ5MC076N"],
  [/\b(?!job_)([a-z]+)_[0-9A-HJKMNP-TV-Z]{26}\b/g, "$1_…"],
  [/\bdev_[\w-]{20,}/g, "dev_…"],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, "2026-01-01T12:00:00.000Z"],
  [/\b[0-9a-f]{32}\b/g, "4bf92f3577b34da6a3ce929d0e0e4736"],
  [/\b\d+:\d\d left\b/g, "9:58 left"],
  [/\b\d\d:\d\d:\d\d\b/g, "12:00:00"],
  [/\b\d+(?:\.\d+)? (?:ms|s|min)\b/g, "1.2 s"],
  [/\b\d+(?:\.\d+)?m?s\b/g, "1.2s"],
  [/\(\d+\.\d+ms\)/g, "(1.2s)"],
  [/duration_ms [\d.]+/g, "duration_ms 1200"],
  [/\badded \d+ packages\b/g, "added 69 packages"],
  [/\b\d+:\d\d ago\b/g, "0:05 ago"],
  [/\bprocess \d+\b/g, "process 4711"],
  [/\b[\d,]+ MiB\b/g, "12,345 MiB"],
  [/\bNode \d+\.\d+\.\d+\b/g, "Node 24.21.0"],
  [/\bsha256:[\w:+/=-]{16,}/g, "sha256:…"],
];

/** `line` with what changes from run to run as the page has it. */
export const settled = (line: string): string =>
  CHANGING.reduce((text, [pattern, replacement]) => text.replaceAll(pattern, replacement), line.trimEnd());

/** Where `seen` is not what the page shows; `undefined` where it is. */
export function difference(shown: readonly string[], seen: readonly string[]): string | undefined {
  const expected = trimmed(shown.map(settled));
  const actual = trimmed(seen.map(settled));
  if (expected.length === 0 || matches(expected, actual)) return undefined;
  return `the page shows\n${indented(expected)}\nand it printed\n${indented(actual)}`;
}

function matches(expected: readonly string[], actual: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return actual.length === 0;
  if (first === "…") return actual.some((_, index) => matches(rest, actual.slice(index))) || matches(rest, []);
  return actual.length > 0 && first === actual[0] && matches(rest, actual.slice(1));
}

function trimmed(lines: readonly string[]): readonly string[] {
  const first = lines.findIndex((line) => line !== "");
  return first === -1 ? [] : lines.slice(first, lines.findLastIndex((line) => line !== "") + 1);
}

const indented = (lines: readonly string[]): string => lines.map((line) => `    ${line}`).join("\n");
