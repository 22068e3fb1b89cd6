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
import { siteContent } from "./pages.ts";
import { stage } from "./stage.ts";

interface Step {
  readonly name: string;
  /** What is wrong; empty if nothing is. */
  run(): readonly string[] | Promise<readonly string[]>;
}

const site = import.meta.dirname;
const pages = join(site, "pages");

const steps: readonly Step[] = [
  {
    name: "pages",
    run: () => {
      const content = siteContent(repositoryRoot);
      stage(content, pages);
      return navigationProblems([...content.pages.keys()]);
    },
  },
  {
    name: "site",
    run: async () => {
      await build(site);
      // VitePress reports a page that cannot be rendered, and goes on.
      return siteContent(repositoryRoot)
        .pages.keys()
        .filter((page) => !existsSync(join(site, "dist", page.replace(/\.md$/, ".html"))))
        .map((page) => `${page} was not built`)
        .toArray();
    },
  },
  { name: "links", run: () => builtLinkProblems(join(site, "dist"), process.env["DOCS_BASE"]) },
];

/** A step that cannot be carried out has failed; those after it would have nothing to look at. */
async function main(): Promise<void> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, run } of steps) {
    const startedAt = Date.now();
    const problems = await run();
    counts[problems.length === 0 ? "passed" : "failed"] += 1;
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    console.log(`${problems.length === 0 ? "✓" : "✗"} ${name} (${seconds} s)`);
    for (const problem of problems) console.log(`    ${problem}`);
  }
  reportCounts("docs", counts);
  console.log(`docs: ${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

await main();
