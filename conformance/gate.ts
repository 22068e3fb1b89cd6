/**
 * The requirement gate: every requirement of a finished section is cited by a test or excused with a reason, and
 * CONFORMANCE.md says so. `--write` writes that page instead of checking it.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { citationsOf } from "./citations.ts";
import { conformancePage } from "./page.ts";
import { type ConformanceRecord, type Requirement, recordProblems, type WireRequirements } from "./record.ts";

export const CONFORMANCE_PAGE = "CONFORMANCE.md";

/** Everything the gate compares, as it is in the checkout. */
export function readRecord(root: string): ConformanceRecord {
  const read = (file: string) => JSON.parse(readFileSync(join(root, "conformance", file), "utf8"));
  const finished: Record<string, string[]> = read("finished.json");
  const wires = Object.entries(finished).map(([wire, finishedSections]): WireRequirements => {
    const requirements: Requirement[] = read(`requirements-v${wire}.json`);
    return { wire, requirements, finishedSections };
  });
  const tests = testFiles(root).map((file) => citationsOf(file, readFileSync(join(root, file), "utf8")));
  return {
    wires,
    exceptions: read("exceptions.json"),
    corrections: read("corrections.json"),
    citations: tests.flatMap(({ citations }) => citations),
    citationProblems: tests.flatMap(({ problems }) => problems),
  };
}

function testFiles(root: string): string[] {
  return readdirSync(join(root, "tests"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((file) => file !== "tests/support/covers.ts" && !file.startsWith("tests/repository/"))
    .sort();
}

/** Every reason why the gate is closed, the state of CONFORMANCE.md included. */
export function gateProblems(root: string, record: ConformanceRecord): string[] {
  const isUpToDate = readPage(root) === conformancePage(record);
  const stale = isUpToDate ? [] : [`${CONFORMANCE_PAGE} is out of date: run npm run conformance`];
  return [...recordProblems(record), ...stale];
}

function readPage(root: string): string | undefined {
  try {
    return readFileSync(join(root, CONFORMANCE_PAGE), "utf8");
  } catch {
    return undefined; // A page that cannot be read is out of date.
  }
}

/** `N of M cited`, over both wires. */
export function citedSummary(record: ConformanceRecord): string {
  const cited = new Set(record.citations.map(({ id }) => id));
  const all = record.wires.flatMap(({ requirements }) => requirements);
  return `${all.filter(({ id }) => cited.has(id)).length} of ${all.length} cited`;
}

function main(): void {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const record = readRecord(root);
  if (process.argv.includes("--write")) writeFileSync(join(root, CONFORMANCE_PAGE), conformancePage(record));
  const problems = gateProblems(root, record);
  for (const problem of problems) console.error(problem);
  console.log(citedSummary(record));
  process.exitCode = problems.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
