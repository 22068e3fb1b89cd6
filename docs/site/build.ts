/**
 * `npm run docs:build`: the documentation site, in `docs/site/dist`, and everything that must hold of it. `DOCS_BASE` is the
 * path that it is served at (default: `/`).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { build } from "vitepress";
import { reportCounts } from "../../scripts/counts.ts";
import { repositoryRoot } from "../../scripts/repository-files.ts";
import { builtLinkProblems } from "./built-links.ts";
import { navigationProblems } from "./navigation.ts";
import { documentPages } from "./pages.ts";
import { referencePages } from "./reference.ts";
import { stage } from "./stage.ts";

interface Step {
  readonly name: string;
  /** What is wrong; empty if nothing is. */
  run(): readonly string[] | Promise<readonly string[]>;
}

/** How many exports and settings have no docstring. */
const WITHOUT_DOCSTRING = 318;
/** One mistake may make thousands. */
const MAX_PROBLEMS = 50;

const site = import.meta.dirname;
const { pages: documents, assets } = documentPages(repositoryRoot);
const reference = await referencePages(repositoryRoot);
const content = { pages: new Map([...documents, ...reference.pages]), assets };

const steps: readonly Step[] = [
  { name: "docstrings", run: () => withinAllowance(reference.problems) },
  {
    name: "pages",
    run: () => {
      stage(content, join(site, "pages"));
      return navigationProblems(content.pages);
    },
  },
  {
    name: "site",
    run: async () => {
      await build(site);
      // VitePress reports a page that cannot be rendered, and goes on.
      return content.pages
        .keys()
        .filter((page) => !existsSync(join(site, "dist", page.replace(/\.md$/, ".html"))))
        .map((page) => `${page} was not built`)
        .toArray();
    },
  },
  { name: "links", run: () => builtLinkProblems(join(site, "dist"), process.env["DOCS_BASE"]) },
];

/** No more of them than there have been; when there are fewer, the number goes down. */
const withinAllowance = (problems: readonly string[]): readonly string[] =>
  problems.length === WITHOUT_DOCSTRING
    ? []
    : [`there are ${problems.length}, and WITHOUT_DOCSTRING says ${WITHOUT_DOCSTRING}`, ...problems];

/** A step that cannot be carried out has failed; those after it would have nothing to look at. */
async function main(): Promise<void> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, run } of steps) {
    const startedAt = Date.now();
    const problems = await run();
    counts[problems.length === 0 ? "passed" : "failed"] += 1;
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    console.log(`${problems.length === 0 ? "✓" : "✗"} ${name} (${seconds} s)`);
    for (const problem of problems.slice(0, MAX_PROBLEMS)) console.log(`    ${problem}`);
    if (problems.length > MAX_PROBLEMS) console.log(`    … and ${problems.length - MAX_PROBLEMS} more`);
  }
  reportCounts("docs", counts);
  console.log(`docs: ${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

await main();
