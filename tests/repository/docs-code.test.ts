import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repositoryFiles, repositoryRoot as root } from "../../scripts/repository-files.ts";

/** The TypeScript blocks of a page, each with the line that it begins on. */
function codeBlocks(page: string): { readonly line: number; readonly code: string }[] {
  return [...page.matchAll(/^```ts\n(?<code>.*?)^```$/gms)].map((match) => ({
    line: page.slice(0, match.index).split("\n").length + 1,
    code: match.groups?.["code"] ?? "",
  }));
}

/** Compiles files below the repository, so that they find its packages, and returns what the compiler says. */
function compile(files: ReadonlyMap<string, string>): string {
  mkdirSync(join(root, "reports"), { recursive: true });
  const directory = mkdtempSync(join(root, "reports", "docs-code-"));
  try {
    for (const [name, code] of files) writeFileSync(join(directory, name), `${code}\nexport {};\n`);
    const settings = {
      extends: "../../tests/tsconfig.json",
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ["."],
    };
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(settings));
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", directory], { stdio: "pipe" });
    return "";
  } catch (error) {
    return String((error as { readonly stdout?: Buffer }).stdout ?? error);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("every TypeScript block of the documentation compiles", () => {
  const pages = repositoryFiles().filter((file) => file.endsWith(".md"));
  const blocks = new Map<string, string>();
  for (const page of pages) {
    for (const { line, code } of codeBlocks(readFileSync(join(root, page), "utf8"))) {
      blocks.set(`${page.replaceAll(/[^a-zA-Z0-9]/g, "_")}_line_${line}.ts`, code);
    }
  }
  expect(blocks.size).toBeGreaterThan(5);
  expect(compile(blocks)).toBe("");
});

test("a block that does not compile is found", () => {
  expect(
    compile(new Map([["wrong.ts", 'import { ARCPClient } from "@arcp/client";\nnew ARCPClient({ tokn: 1 });']])),
  ).toContain("wrong.ts");
});
