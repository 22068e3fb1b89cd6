/**
 * `npm run check`: everything that is checked without running the product. Every check runs even after one has failed.
 * `npm run check -- --only biome,tsc` runs those that are named.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { citedSummary, gateProblems, readRecord } from "../conformance/gate.ts";
import { runCommand } from "./command.ts";
import { reportCounts } from "./counts.ts";
import { allLinkProblems } from "./docs-links.ts";
import { allImportProblems } from "./imports.ts";
import { allReferenceProblems } from "./references.ts";
import { repositoryFiles, repositoryRoot } from "./repository-files.ts";
import { bomProblems, licenceProblems, ownComponents, publishedPackages } from "./sbom.ts";
import { allSecretProblems } from "./secrets.ts";

type Outcome =
  | { readonly status: "passed"; readonly note?: string }
  | { readonly status: "failed"; readonly explanation: string }
  | { readonly status: "skipped"; readonly reason: string };

interface Check {
  readonly name: string;
  run(): Outcome | Promise<Outcome>;
}

const checks: readonly Check[] = [
  { name: "biome", run: () => command("biome", "ci", "--error-on-warnings", "--colors=off") },
  { name: "tsc packages", run: () => command("tsc", "-b", "--pretty", "false") },
  { name: "tsc tests", run: () => command("tsc", "-p", "tests/tsconfig.json", "--noEmit", "--pretty", "false") },
  { name: "tsc pages", run: () => command("tsc", "-p", "tsconfig.pages.json", "--pretty", "false") },
  { name: "tsc site", run: () => command("tsc", "-p", "docs/site/tsconfig.json", "--pretty", "false") },
  { name: "imports", run: () => problems(allImportProblems(repositoryRoot, repositoryFiles())) },
  { name: "knip", run: () => command("knip", "--no-progress", "--no-config-hints") },
  ...packageDirectories().flatMap(packageChecks),
  { name: "docs", run: () => problems(allLinkProblems(repositoryRoot, repositoryFiles())) },
  { name: "references", run: () => problems(allReferenceProblems(repositoryRoot, repositoryFiles())) },
  { name: "secrets", run: async () => problems(await allSecretProblems(repositoryRoot, repositoryFiles())) },
  { name: "licences", run: shippedLicences },
  { name: "sbom", run: () => problems(bomProblems(ownComponents(), publishedPackages(repositoryRoot))) },
  { name: "gate", run: requirementGate },
];

function packageDirectories(): string[] {
  return readdirSync(join(repositoryRoot, "packages"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}

function packageChecks(directory: string): Check[] {
  const path = `packages/${directory}`;
  return [
    { name: `publint ${directory}`, run: () => ifPublic(path, () => command("publint", path, "--strict")) },
    {
      name: `attw ${directory}`,
      run: () => ifPublic(path, () => command("attw", "--pack", path, "--profile", "esm-only", "--no-color")),
    },
  ];
}

function ifPublic(path: string, run: () => Promise<Outcome>): Outcome | Promise<Outcome> {
  const manifest = JSON.parse(readFileSync(join(repositoryRoot, path, "package.json"), "utf8"));
  return manifest.private === true ? { status: "skipped", reason: "the package is private" } : run();
}

async function command(name: string, ...args: string[]): Promise<Outcome> {
  const { succeeded, output } = await runCommand(name, args, { cwd: repositoryRoot });
  return succeeded ? { status: "passed" } : { status: "failed", explanation: output.trim() };
}

function problems(found: readonly string[]): Outcome {
  return found.length === 0 ? { status: "passed" } : { status: "failed", explanation: found.join("\n") };
}

function shippedLicences(): Outcome {
  const components = ownComponents();
  const outcome = problems(licenceProblems(components));
  return outcome.status === "passed" ? { ...outcome, note: `of ${components.length} components` } : outcome;
}

function requirementGate(): Outcome {
  const record = readRecord(repositoryRoot);
  const outcome = problems(gateProblems(repositoryRoot, record));
  const note = citedSummary(record);
  return outcome.status === "failed"
    ? { status: "failed", explanation: `${outcome.explanation}\n${note}` }
    : { status: "passed", note };
}

/** The checks that `--only` names: by full name, or by the first word of several. */
function selectedChecks(args: readonly string[]): readonly Check[] {
  const position = args.indexOf("--only");
  if (position === -1) return checks;
  const names = (args[position + 1] ?? "").split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !checks.some((check) => isNamed(check, name)));
  if (unknown.length > 0) {
    const known = [...new Set(checks.map((check) => check.name.split(" ")[0]))];
    throw new Error(`no check is called "${unknown.join('", "')}"; there are ${known.join(", ")}`);
  }
  return checks.filter((check) => names.some((name) => isNamed(check, name)));
}

function isNamed(check: Check, name: string): boolean {
  return check.name === name || check.name.split(" ")[0] === name;
}

async function main(): Promise<void> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const check of selectedChecks(process.argv.slice(2))) {
    const startedAt = Date.now();
    const outcome = await outcomeOf(check);
    counts[outcome.status] += 1;
    console.log(summaryLine(check.name, outcome, Date.now() - startedAt));
    if (outcome.status === "failed") console.log(outcome.explanation.replace(/^/gm, "    "));
  }
  reportCounts("check", counts);
  console.log(`check: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}

/** A check that cannot be carried out has failed; the others still run. */
async function outcomeOf(check: Check): Promise<Outcome> {
  try {
    return await check.run();
  } catch (error) {
    return { status: "failed", explanation: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

const SYMBOLS = { passed: "✓", failed: "✗", skipped: "-" } as const;

function summaryLine(name: string, outcome: Outcome, durationMs: number): string {
  const note = outcome.status === "passed" ? outcome.note : outcome.status === "skipped" ? outcome.reason : undefined;
  const seconds = `${(durationMs / 1000).toFixed(1)} s`;
  return `${SYMBOLS[outcome.status]} ${name.padEnd(18)} ${seconds.padStart(7)}${note === undefined ? "" : `  ${note}`}`;
}

await main();
