/** A report as JUnit XML, which every CI reads. */
import type { Verdict } from "../case.ts";
import type { Report } from "./report.ts";

/** The report as JUnit's XML: one test case per case, with what was expected and seen as the failure. */
export function junitReport(report: Report): string {
  const { failed, skipped } = report.counts;
  const suite = {
    name: `arcp ${report.role} wire ${report.wire}`,
    tests: report.verdicts.length,
    failures: failed,
    skipped,
    time: (report.ms / 1000).toFixed(3),
    timestamp: report.startedAt,
  };
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    "<testsuites>",
    `  <testsuite${attributes(suite)}>`,
    ...report.verdicts.map(testCase),
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}

function testCase(verdict: Verdict): string {
  const [group] = verdict.case.split("/");
  const named = attributes({
    classname: `wire-${verdict.wire}.${group}`,
    name: `${verdict.case}: ${verdict.title} [${verdict.requirements.join(" ")}]`,
    time: (verdict.ms / 1000).toFixed(3),
  });
  if (verdict.outcome === "passed") return `    <testcase${named}/>`;
  if (verdict.outcome === "skipped") {
    return `    <testcase${named}><skipped${attributes({ message: verdict.reason ?? "" })}/></testcase>`;
  }
  const failure = attributes({
    type: [verdict.level, verdict.violated ?? [], verdict.alsoViolated ?? []].flat(2).join(" "),
    message: `expected ${verdict.expected}`,
  });
  const frames = verdict.frames.map(
    ({ at, direction, connection, text }) => `${at} ${connection} ${direction} ${text}`,
  );
  const body = [`expected ${verdict.expected}`, `seen ${verdict.seen}`, ...frames].join("\n");
  return `    <testcase${named}><failure${failure}>${escaped(body)}</failure></testcase>`;
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escaped(String(value)).replaceAll("\n", "&#10;")}"`)
    .join("");
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Without the characters that XML 1.0 cannot hold, escaped or not. */
function escaped(value: string): string {
  return value
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
