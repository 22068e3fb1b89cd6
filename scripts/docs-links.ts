/** Links between the documents: every relative link in a Markdown file leads to a file, and its anchor to a heading. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, posix } from "node:path";

interface Link {
  readonly target: string;
  /** From 1. */
  readonly line: number;
  /** From 0: where the target begins. */
  readonly column: number;
}

/** What a link can lead to. */
export interface LinkTargets {
  exists(path: string): boolean;
  /** The text of a Markdown file, or undefined where there are no headings to look for. */
  markdown(path: string): string | undefined;
}

const INLINE_LINK = /\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*["'])?\s*\)/dg;
const LINK_DEFINITION = /^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?/dg;
const HTML_LINK = /\b(?:href|src)="([^"]+)"/dg;

/** Every broken link of a Markdown file, each as `file:line: what is wrong`. */
export function linkProblems(file: string, markdown: string, targets: LinkTargets): string[] {
  return linksOf(markdown).flatMap(({ target, line }) => {
    const problem = linkProblem(file, markdown, target, targets);
    return problem === undefined ? [] : [`${file}:${line}: ${problem}`];
  });
}

/** The document with each link leading where `targetOf` says; where that is `undefined`, its text stays without a link. */
export function withLinks(markdown: string, targetOf: (target: string) => string | undefined): string {
  const lines = markdown.split("\n");
  for (const { target, line, column } of linksOf(markdown).sort((a, b) => b.column - a.column)) {
    const text = lines[line - 1] ?? "";
    const replacement = targetOf(target);
    if (replacement === target) continue;
    lines[line - 1] =
      replacement === undefined
        ? withoutLink(text, target, column)
        : `${text.slice(0, column)}${replacement}${text.slice(column + target.length)}`;
  }
  return lines.join("\n");
}

/** The line with what stands between the brackets of the inline link to the target that begins at the column. */
function withoutLink(line: string, target: string, column: number): string {
  const close = line.lastIndexOf("](", column);
  let open = close - 1;
  for (let depth = 1; open >= 0; open -= 1) {
    if (line[open] === "]") depth += 1;
    if (line[open] === "[") depth -= 1;
    if (depth === 0) break;
  }
  const end = line.indexOf(")", column + target.length);
  if (close === -1 || open === -1 || end === -1) return line;
  return `${line.slice(0, open)}${line.slice(open + 1, close)}${line.slice(end + 1)}`;
}

function linksOf(markdown: string): Link[] {
  return proseLines(markdown).flatMap((text, index) =>
    [INLINE_LINK, LINK_DEFINITION, HTML_LINK]
      .flatMap((form) => [...text.matchAll(form)])
      .map((match) => ({ target: match[1] ?? "", line: index + 1, column: match.indices?.[1]?.[0] ?? 0 })),
  );
}

/** The lines of a document with code blocks, inline code and comments blanked, so that lines and columns stay. */
function proseLines(markdown: string): string[] {
  let fence: string | undefined;
  const withoutComments = markdown.replace(/<!--[\s\S]*?-->/g, (comment) => comment.replace(/[^\n]/g, " "));
  return withoutComments.split("\n").map((line) => {
    const marker = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      if (marker?.startsWith(fence)) fence = undefined;
      return "";
    }
    if (marker !== undefined) {
      fence = marker;
      return "";
    }
    return line.replace(/(?<!\\)(`+)(?!`).*?(?<!`)\1(?!`)/g, (code) => " ".repeat(code.length));
  });
}

function linkProblem(file: string, markdown: string, target: string, targets: LinkTargets): string | undefined {
  if (/^[a-z][a-z\d+.-]*:/i.test(target) || target.startsWith("//")) return undefined;
  if (target.startsWith("/")) return `${target} is not relative`;
  const [path = "", anchor] = target.split("#", 2);
  const linked = path === "" ? file : posix.normalize(posix.join(posix.dirname(file), decodeURIComponent(path)));
  if (linked.startsWith("../")) return `${target} leaves the repository`;
  if (linked !== file && !targets.exists(linked)) return `${target} does not exist`;
  if (anchor === undefined) return undefined;
  const text = linked === file ? markdown : targets.markdown(linked);
  if (text === undefined || anchorsOf(text).has(decodeURIComponent(anchor))) return undefined;
  return `${target} has no such heading`;
}

/** The anchors of a document: its headings, spelt as GitHub spells them, and explicit `id` and `name` attributes. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  const visible = new Set(proseLines(markdown).flatMap((line, index) => (line.trim() === "" ? [] : [index])));
  markdown.split("\n").forEach((line, index) => {
    if (!visible.has(index)) return;
    const heading = /^ {0,3}#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading !== undefined) anchors.add(unusedAnchor(headingAnchor(heading), anchors));
    for (const match of line.matchAll(/<\w+[^>]*\s(?:id|name)="([^"]+)"/g)) anchors.add(match[1] ?? "");
  });
  return anchors;
}

export function headingAnchor(heading: string): string {
  return heading
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/<[^>]+>/g, "")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\p{Pc}\- ]/gu, "")
    .replaceAll(" ", "-");
}

function unusedAnchor(anchor: string, used: ReadonlySet<string>): string {
  if (!used.has(anchor)) return anchor;
  let repetition = 1;
  while (used.has(`${anchor}-${repetition}`)) repetition += 1;
  return `${anchor}-${repetition}`;
}

/** Every broken link of the checkout. */
export function allLinkProblems(root: string, files: readonly string[]): string[] {
  const targets: LinkTargets = {
    exists: (path) => existsSync(join(root, path)),
    markdown: (path) =>
      path.endsWith(".md") && statSync(join(root, path)).isFile() ? readFileSync(join(root, path), "utf8") : undefined,
  };
  const documents = files.filter((file) => file.endsWith(".md"));
  return documents.flatMap((file) => linkProblems(file, readFileSync(join(root, file), "utf8"), targets));
}
