/** Finds which tests say, with `covers("…")`, which requirements they prove. */

export interface Citation {
  readonly id: string;
  /** Relative to the root, with forward slashes. */
  readonly file: string;
  readonly test: string;
}

export interface Citations {
  readonly citations: readonly Citation[];
  /** Calls that cannot be counted, each as `file:line: why`. */
  readonly problems: readonly string[];
}

interface TestTitle {
  readonly index: number;
  readonly title: string;
  readonly isSkipped: boolean;
}

/** `test("title", …)`, `it.only("title", …)`, and a suite's own `overEveryTransport("title", async …)`. */
const TEST =
  /(?<![\w.])(?!describe\b)(?<callee>(?:test|it)(?:\.\w+)*|\w+)\(\s*(?<quote>["'`])(?<title>(?:\\.|(?!\k<quote>)[^\\])*)\k<quote>\s*,\s*(?:\{[^{}]*\}\s*,\s*)?(?:async\b|\(|function\b|\w+\s*=>)/g;
/** `test.each(table)("title", …)`, whose table may hold anything. */
const TABLE_TEST =
  /\)\(\s*(?<quote>["'`])(?<title>(?:\\.|(?!\k<quote>)[^\\])*)\k<quote>\s*,\s*(?:\{[^{}]*\}\s*,\s*)?(?:async\b|\(|function\b|\w+\s*=>)/g;
const COVERS = /(?<![\w.])covers\((?<ids>[^()]*)\)/g;
const ID_LIST = /^\s*(["'])[\w.-]+\1(?:\s*,\s*(["'])[\w.-]+\2)*\s*,?\s*$/;
const SKIPPED_SUITE = /(?<![\w.])describe\.(?:skip|todo)\b/;
const SKIPPING_MODIFIER = /\.(?:skip|todo|fails|skipIf|runIf)\b/;

/** Reads the citations of one test file. */
export function citationsOf(file: string, source: string): Citations {
  const text = withoutComments(source);
  const titles = testTitlesOf(text);
  const citations: Citation[] = [];
  const problems: string[] = [];
  for (const match of text.matchAll(COVERS)) {
    const test = titles.findLast(({ index }) => index < match.index);
    const problem = citationProblem(match.groups?.["ids"] ?? "", test);
    if (problem === undefined && test !== undefined) {
      const ids = (match.groups?.["ids"] ?? "").matchAll(/["']([^"']+)["']/g);
      for (const [, id = ""] of ids) citations.push({ id, file, test: test.title });
    } else {
      problems.push(`${file}:${text.slice(0, match.index).split("\n").length}: ${problem}`);
    }
  }
  const skippedSuite = SKIPPED_SUITE.exec(text);
  if (skippedSuite !== null && citations.length > 0) {
    return { citations: [], problems: [...problems, `${file}: cites requirements next to ${skippedSuite[0]}()`] };
  }
  return { citations, problems };
}

function citationProblem(ids: string, test: TestTitle | undefined): string | undefined {
  if (!ID_LIST.test(ids)) return "covers() takes requirement ids as string literals only";
  if (test === undefined) return "covers() is outside a test";
  if (test.isSkipped) return `covers() is in a test that is not always run: "${test.title}"`;
  return undefined;
}

function testTitlesOf(text: string): TestTitle[] {
  const plain = [...text.matchAll(TEST)].map((match) => testTitle(match, match.groups?.["callee"] ?? ""));
  const tables = [...text.matchAll(TABLE_TEST)].map((match) => testTitle(match, calleeOfTable(text, match.index)));
  return [...plain, ...tables].sort((a, b) => a.index - b.index);
}

/** `test.each` of the `test.each(…)` whose closing parenthesis is at an index. */
function calleeOfTable(text: string, closing: number): string {
  let depth = 0;
  for (let index = closing; index >= 0; index -= 1) {
    if (text[index] === ")") depth += 1;
    if (text[index] === "(") depth -= 1;
    if (depth === 0) return /[\w.]*$/.exec(text.slice(0, index))?.[0] ?? "";
  }
  return "";
}

function testTitle(match: RegExpExecArray, callee: string): TestTitle {
  const title = (match.groups?.["title"] ?? "").replace(/\\(.)/g, "$1").replace(/\s+/g, " ");
  return { index: match.index, title, isSkipped: SKIPPING_MODIFIER.test(callee) };
}

/** Blanks comments that stand on lines of their own; what they say is not run. */
function withoutComments(source: string): string {
  return source
    .replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/^[ \t]*\/\/.*$/gm, "");
}
