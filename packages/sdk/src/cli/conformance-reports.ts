/** What both suites can be told of their reports, and where these go. */
import { writeFile } from "node:fs/promises";
import { badgeReport, exitCodeOf, junitReport, type Report, textReport } from "@arcp/conformance";
import type { Command } from "commander";
import { EXIT, type ExitCode } from "./exit-code.ts";

export interface ReportOptions {
  readonly json?: string;
  readonly junit?: string;
  readonly badge?: string;
  readonly strict?: boolean;
  readonly verbose?: boolean;
}

/** Adds the options of {@link writeReports}. */
export function withReports(command: Command): Command {
  return command
    .option("--json <file>", "write everything, frames included, as JSON")
    .option("--junit <file>", "write JUnit XML")
    .option("--badge <file>", "write a badge, as SVG")
    .option("--strict", "fail for what only should be, too")
    .option("-v, --verbose", "show what passed, and what cannot be seen over the wire");
}

/** Prints the report, and writes it wherever else it was asked for. */
export async function writeReports(report: Report, options: ReportOptions): Promise<ExitCode> {
  const { json, junit, badge, strict = false, verbose = false } = options;
  if (json !== undefined) await writeFile(json, `${JSON.stringify(report, undefined, 2)}\n`);
  if (junit !== undefined) await writeFile(junit, junitReport(report));
  if (badge !== undefined) await writeFile(badge, badgeReport(report));
  process.stdout.write(textReport(report, { isVerbose: verbose }));
  return exitCodeOf(report, strict) === 0 ? EXIT.success : EXIT.failure;
}
