/** `npm run examples`: runs the `run.ts` of every example, one after another, each in its own process. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { reportCounts } from "./counts.ts";
import { repositoryRoot } from "./repository-files.ts";

const TIME_LIMIT_MS = 60_000;

/** Examples without a `run.ts`, such as a data directory, are not programs. */
function exampleNames(): string[] {
  return readdirSync(join(repositoryRoot, "examples"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(entry.parentPath, entry.name, "run.ts")))
    .map((entry) => entry.name)
    .sort();
}

async function main(): Promise<void> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const name of exampleNames()) {
    const startedAt = Date.now();
    const script = join("examples", name, "run.ts");
    const { succeeded, output } = await runCommand(process.execPath, [script], {
      cwd: repositoryRoot,
      timeoutMs: TIME_LIMIT_MS,
    });
    counts[succeeded ? "passed" : "failed"] += 1;
    console.log(`${succeeded ? "✓" : "✗"} ${script} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
    if (!succeeded) console.log(output.trim().replace(/^/gm, "    "));
  }
  reportCounts("examples", counts);
  console.log(`examples: ${counts.passed} passed, ${counts.failed} failed`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

await main();
