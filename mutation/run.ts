/**
 * Breaks the lease algebra in every way that Stryker knows, one at a time, and expects a test to notice each.
 *
 *   npm run mutate                            what has changed since the last run, and what survived it
 *   npm run mutate -- --force                 everything: new tests are not tried on what runs at import without it
 *   npm run mutate -- pattern.ts glob.ts      these files
 *
 * Fails if a mutant survives that is not named in `equivalent.ts`, or if one is named there that does not.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Stryker } from "@stryker-mutator/core";
import { EQUIVALENT_MUTANTS, type EquivalentMutant } from "./equivalent.ts";

const MUTATED = "packages/runtime/src/engine/lease";
const MS_PER_MINUTE = 60_000;

type MutantResult = Awaited<ReturnType<Stryker["runMutationTest"]>>[number];

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

async function mutate(files: readonly string[], force: boolean): Promise<number> {
  const startedAt = performance.now();
  const mutants = await new Stryker({
    configFile: "mutation/stryker.config.mjs",
    force,
    ...(files.length > 0 && { mutate: files.map((file) => `${MUTATED}/${file}`) }),
  }).runMutationTest();
  const problems = [...survivors(mutants), ...(files.length === 0 ? needless(mutants) : [])];
  for (const problem of problems) console.error(problem);
  console.log(summary(mutants, (performance.now() - startedAt) / MS_PER_MINUTE));
  return problems.length === 0 ? 0 : 1;
}

const isAlive = ({ status }: MutantResult): boolean => status === "Survived" || status === "NoCoverage";

function survivors(mutants: readonly MutantResult[]): string[] {
  return mutants
    .filter((mutant) => isAlive(mutant) && !EQUIVALENT_MUTANTS.some((named) => isNamed(mutant, named)))
    .map((mutant) => {
      const { fileName, location, mutatorName, replacement } = mutant;
      return `${fileName}:${location.start.line}: survived: ${mutatorName}: ${lineOf(mutant)}\n    => ${replacement}`;
    });
}

/** Names without a mutant that survives: it has been killed since, or the line has changed. */
function needless(mutants: readonly MutantResult[]): string[] {
  return EQUIVALENT_MUTANTS.filter((named) => !mutants.some((mutant) => isAlive(mutant) && isNamed(mutant, named))).map(
    ({ file, mutator, line }) => `equivalent.ts names what did not survive: ${file}: ${mutator}: ${line}`,
  );
}

function isNamed(mutant: MutantResult, { file, mutator, line, replacement }: EquivalentMutant): boolean {
  return (
    basename(mutant.fileName) === file &&
    mutant.mutatorName === mutator &&
    mutant.replacement === replacement &&
    lineOf(mutant) === line
  );
}

/** The line that the mutant begins on, which is counted from one. */
function lineOf({ fileName, location }: MutantResult): string {
  return readFileSync(fileName, "utf8").split("\n")[location.start.line - 1]?.trim() ?? "";
}

function summary(mutants: readonly MutantResult[], minutes: number): string {
  const count = (...statuses: string[]) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const detected = count("Killed", "Timeout");
  const equivalent = mutants.filter(
    (mutant) => isAlive(mutant) && EQUIVALENT_MUTANTS.some((named) => isNamed(mutant, named)),
  ).length;
  const counted = detected + count("Survived", "NoCoverage") - equivalent;
  return (
    `mutation score ${((100 * detected) / counted).toFixed(2)} %: ${detected} of ${counted} mutants detected ` +
    `(${count("Timeout")} by running for ever), ${equivalent} equivalent; ${minutes.toFixed(1)} min`
  );
}

const { values, positionals } = parseArgs({
  options: { force: { type: "boolean", default: false } },
  allowPositionals: true,
});

process.exitCode = await mutate(positionals, values.force);
