/**
 * `npm run examples [-- --write] [-- NAME …]`: runs the `run.ts` of every example, two at a time, each in its own process.
 *
 * What it prints is in its `expected.txt` (the notation: `expected-output.ts`), and the same text is in its README, in the
 * first block of ```text. `--write` puts what it prints now there, where it is not what was expected. An example that
 * cannot be shown on a machine says why on its standard error, and nothing else, and does not fail.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "./command.ts";
import { reportCounts } from "./counts.ts";
import { masked, outputProblem } from "./expected-output.ts";
import { repositoryRoot } from "./repository-files.ts";

const TIME_LIMIT_MS = 60_000;
const AT_A_TIME = 2;
const OUTPUT_BLOCK = /^```text\n([\s\S]*?)^```$/m;

type Outcome = "passed" | "failed" | "skipped";

/** Examples without a `run.ts`, such as a data directory, are not programs. */
function exampleNames(): string[] {
  return readdirSync(join(repositoryRoot, "examples"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(entry.parentPath, entry.name, "run.ts")))
    .map((entry) => entry.name)
    .sort();
}

/** What the file has, or "" if it is not there. */
const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8").replaceAll("\r\n", "\n") : "");

/** What is not as the files of the example say. With `isWriting`, they say it afterwards, if the README has a place for it. */
function problemsOf(name: string, printed: string, isWriting: boolean): string[] {
  const expectedPath = join(repositoryRoot, "examples", name, "expected.txt");
  const readmePath = join(repositoryRoot, "examples", name, "README.md");
  let expected = textOf(expectedPath);
  let readme = textOf(readmePath);
  const problem = outputProblem(expected, printed);
  if (isWriting) {
    if (problem !== undefined) {
      expected = masked(printed);
      writeFileSync(expectedPath, expected);
    }
    const updated = readme.replace(OUTPUT_BLOCK, () => `\`\`\`text\n${expected}\`\`\``);
    if (updated !== readme) writeFileSync(readmePath, updated);
    readme = updated;
  }
  const [, shown] = OUTPUT_BLOCK.exec(readme) ?? [];
  return [
    ...(problem === undefined || isWriting ? [] : [problem]),
    ...(readme === "" ? ["there is no README.md"] : []),
    ...(shown === expected || readme === ""
      ? []
      : ["the first block of ```text in README.md is not what is in expected.txt"]),
  ];
}

async function runExample(name: string, isWriting: boolean): Promise<Outcome> {
  const startedAt = Date.now();
  const script = join("examples", name, "run.ts");
  const { succeeded, output, stdout } = await runCommand(process.execPath, [script], {
    cwd: repositoryRoot,
    // Colours would be part of the output, as would what a model says that somebody has configured.
    env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: "1", OPENAI_MODEL: undefined },
    timeoutMs: TIME_LIMIT_MS,
  });
  const say = (sign: string, rest = ""): void =>
    console.log(`${sign} ${script} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)${rest}`);
  if (succeeded && stdout === "" && output !== "") {
    say("-", `: ${output.trim()}`);
    return "skipped";
  }
  const problems = succeeded ? problemsOf(name, stdout, isWriting) : [];
  if (succeeded && problems.length === 0) {
    say("✓");
    return "passed";
  }
  say("✗");
  console.log([...problems, output.trim()].join("\n").replace(/^/gm, "    "));
  return "failed";
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { write: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const names = exampleNames();
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`there is no example ${unknown}`);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const waiting = (positionals.length > 0 ? positionals : names).values();
  const work = async (): Promise<void> => {
    for (const name of waiting) counts[await runExample(name, values.write)] += 1;
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  reportCounts("examples", counts);
  console.log(`examples: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} could not be shown here`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

await main();
