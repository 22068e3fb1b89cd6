/**
 * `npm run packed`: the packages as they are published, packed once: what is in the archives, what a newcomer meets who follows
 * docs/start.md (`npm run newcomer` stops after that, `-- --write` puts what was printed into the page), programs of others that
 * use them, and the versions of the next release.
 */
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { consume } from "./consumers.ts";
import { reportCounts } from "./counts.ts";
import { followThePage, newcomerObstacle } from "./newcomer.ts";
import { packPackages, packProblems, serveRegistry } from "./pack.ts";
import { rehearseRelease } from "./rehearsal.ts";

const counts = { passed: 0, failed: 0, skipped: 0 };
let reportedAt = Date.now();

/** With the time since the last report. */
function report(name: string, problem: string | undefined): void {
  counts[problem === undefined ? "passed" : "failed"] += 1;
  console.log(`${problem === undefined ? "✓" : "✗"} ${name} (${((Date.now() - reportedAt) / 1000).toFixed(1)} s)`);
  reportedAt = Date.now();
  if (problem !== undefined) console.log(problem.replace(/^/gm, "    "));
}

function skip(name: string, reason: string): void {
  counts.skipped += 1;
  console.log(`- ${name}: skipped, ${reason}`);
}

async function main(args: readonly string[]): Promise<void> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-packed-")));
  try {
    const archives = join(directory, "archives");
    await mkdir(archives);
    const packages = await packPackages(archives);
    for (const each of packages) report(`${each.name} ${each.version}`, packProblems(each).join("\n") || undefined);
    await using registry = await serveRegistry(packages);
    const obstacle = newcomerObstacle();
    if (obstacle !== undefined) return skip("docs/start.md", obstacle);
    const newcomer = join(directory, "newcomer");
    await mkdir(newcomer);
    const isWriting = args.includes("--write");
    const { steps, project, env } = await followThePage({ directory: newcomer, registry: registry.url, isWriting });
    for (const { name, problem } of steps) report(name, problem);
    if (counts.failed > 0 || args.includes("--page")) return;
    for (const { name, problem } of await consume(project, env, packages)) report(name, problem);
    const { version, problems } = await rehearseRelease(join(directory, "release"));
    report(`a release of ${version}`, problems.join("\n") || undefined);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));
reportCounts("packed", counts);
console.log(`packed: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed === 0 ? 0 : 1;
