/**
 * Blocks of code in the documents. Every `ts` block compiles, by itself; every `json` block is JSON, as a whole or line by line;
 * every `arcp` that is typed has the commands and options that the program has. Words behind the language say that more is done:
 *
 * - `ts run`: the block is run, and prints what the next block of `text` shows (`expected-output.ts`).
 * - `ts agent=NAME`: the page has a runtime that serves the block as this agent, where `ARCP_URL` and `ARCP_TOKEN` lead.
 * - `console run`: its commands are typed in a terminal, in the order of the page, and print what it shows (`transcript.ts`).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../../scripts/command.ts";

export interface Snippet {
  /** From the root of the repository. */
  readonly page: string;
  /** Of the fence, from 1. */
  readonly line: number;
  readonly language: string;
  /** What follows the language. */
  readonly words: readonly string[];
  readonly code: string;
}

/** Every block of a document that names a language, in its order. */
export function snippetsOf(page: string, markdown: string): readonly Snippet[] {
  const lines = markdown.split("\n");
  const found: Snippet[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const [, indent = "", fence, language = "", rest = ""] =
      /^(\s*(?:(?:[-*+]|\d+\.)\s+)?)(`{3,})(\w*) ?(.*)$/.exec(lines[index] ?? "") ?? [];
    if (fence === undefined) continue;
    const end = lines.findIndex((line, at) => at > index && line.trim() === fence);
    const block = lines.slice(index + 1, end === -1 ? lines.length : end).map((line) => line.slice(indent.length));
    const words = rest.split(" ").filter((word) => word !== "");
    if (language !== "") found.push({ page, line: index + 1, language, words, code: `${block.join("\n")}\n` });
    index = end === -1 ? lines.length : end;
  }
  return found;
}

/** What the compiler says of the blocks of `ts`, all at once: with the settings of the tests, and unused names. */
export async function compileProblems(root: string, snippets: readonly Snippet[]): Promise<readonly string[]> {
  const directory = workDirectory(root);
  const names = new Map<string, Snippet>();
  try {
    for (const snippet of snippets.filter(({ language }) => language === "ts")) {
      const name = `${snippet.page.replaceAll(/[^a-zA-Z0-9]/g, "_")}_line_${snippet.line}.ts`;
      names.set(name, snippet);
      writeFileSync(join(directory, name), `${snippet.code}\nexport {};\n`);
    }
    const settings = {
      extends: "../../tests/tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false, incremental: false, tsBuildInfoFile: null },
      include: ["."],
    };
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(settings));
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    const { succeeded, output } = await runCommand(process.execPath, [compiler, "-p", directory, "--pretty", "false"]);
    return succeeded
      ? []
      : output
          .trim()
          .split("\n")
          .map((line) => placed(line, names));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A message of the compiler, at the place in the page. */
function placed(message: string, names: ReadonlyMap<string, Snippet>): string {
  const [, name = "", line = "", rest = ""] = /([^/\\(]+)\((\d+),\d+\): (.*)$/.exec(message) ?? [];
  const snippet = names.get(name);
  return snippet === undefined ? message : `${snippet.page}:${snippet.line + Number(line)}: ${rest}`;
}

/** A directory whose programs find the packages of the repository. Whoever asks for it removes it. */
export function workDirectory(root: string): string {
  mkdirSync(join(root, "reports"), { recursive: true });
  return mkdtempSync(join(root, "reports", "docs-"));
}

/** Blocks of `json` that are none. What has a `…` in it is an excerpt. */
export function jsonProblems(snippets: readonly Snippet[]): readonly string[] {
  return snippets
    .filter(({ language, code }) => language === "json" && !isJson(code) && !code.trim().split("\n").every(isJson))
    .map(({ page, line }) => `${page}:${line}: it is no JSON`);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
