/**
 * `npm run docs:build`: the documentation site, in `docs/site/dist`, and everything that must hold of it. `DOCS_BASE` is the
 * path that it is served at (default: `/`).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "vitepress";
import { createProgram } from "../../packages/sdk/src/cli/program.ts";
import { reportCounts } from "../../scripts/counts.ts";
import { repositoryFiles, repositoryRoot } from "../../scripts/repository-files.ts";
import { builtLinkProblems } from "./built-links.ts";
import { navigationProblems } from "./navigation.ts";
import { followPage } from "./page-session.ts";
import { documentPages } from "./pages.ts";
import { referencePages } from "./reference.ts";
import { compileProblems, jsonProblems, snippetsOf } from "./snippets.ts";
import { stage } from "./stage.ts";
import { commandProblems } from "./typed-commands.ts";

interface Step {
  readonly name: string;
  /** What is wrong; empty if nothing is. */
  run(): readonly string[] | Promise<readonly string[]>;
}

/** One mistake may make thousands. */
const MAX_PROBLEMS = 50;

const site = import.meta.dirname;
const { pages: documents, assets } = documentPages(repositoryRoot);
const reference = await referencePages(repositoryRoot);
const snippets = repositoryFiles()
  .filter((file) => file.endsWith(".md"))
  .flatMap((file) => snippetsOf(file, readFileSync(join(repositoryRoot, file), "utf8")));
const program = await createProgram("");
const counts = { passed: 0, failed: 0, skipped: 0 };
const content = { pages: new Map([...documents, ...reference.pages]), assets };

/** Those of a group are carried out at the same time: what is built keeps one processor busy, and what is run another. */
const groups: readonly (readonly Step[])[] = [
  [
    { name: "snippets", run: () => [...jsonProblems(snippets), ...commandProblems(program, snippets)] },
    { name: "docstrings", run: () => reference.problems },
    {
      name: "pages",
      run: () => {
        stage(content, join(site, "pages"));
        return navigationProblems(content.pages);
      },
    },
  ],
  [
    { name: "compiled snippets", run: () => compileProblems(repositoryRoot, snippets) },
    { name: "snippets that run", run: runSnippets },
    { name: "site", run: buildSite },
  ],
  [{ name: "links", run: () => builtLinkProblems(join(site, "dist"), process.env["DOCS_BASE"]) }],
];

/** Pages that are not there afterwards: VitePress reports one that cannot be rendered, and goes on. */
async function buildSite(): Promise<readonly string[]> {
  await build(site);
  return [...content.pages.keys()]
    .filter((page) => !existsSync(join(site, "dist", page.replace(/\.md$/, ".html"))))
    .map((page) => `${page} was not built`);
}

/** Two pages at a time. */
async function runSnippets(): Promise<readonly string[]> {
  const pages = [...Map.groupBy(snippets, ({ page }) => page).values()].values();
  const problems: string[] = [];
  let count = 0;
  const work = async (): Promise<void> => {
    for (const page of pages) {
      const report = await followPage(repositoryRoot, page);
      count += report.count;
      problems.push(...report.problems);
      if (report.obstacle !== undefined) {
        counts.skipped += 1;
        console.log(`- ${page[0]?.page}: its commands were not typed: ${report.obstacle}`);
      }
    }
  };
  await Promise.all([work(), work()]);
  return count === 0 ? ["no snippet was run"] : problems;
}

async function carryOut({ name, run }: Step): Promise<void> {
  const startedAt = Date.now();
  const problems = await run();
  counts[problems.length === 0 ? "passed" : "failed"] += 1;
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  console.log(`${problems.length === 0 ? "✓" : "✗"} ${name} (${seconds} s)`);
  for (const problem of problems.slice(0, MAX_PROBLEMS)) console.log(problem.replace(/^/gm, "    "));
  if (problems.length > MAX_PROBLEMS) console.log(`    … and ${problems.length - MAX_PROBLEMS} more`);
}

// A step that cannot be carried out ends this: those after it would have nothing to look at.
for (const group of groups) await Promise.all(group.map(carryOut));
reportCounts("docs", counts);
console.log(`docs: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
