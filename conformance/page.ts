import type { Citation } from "./citations.ts";
import { type ConformanceRecord, isFinished, type Requirement, type WireRequirements } from "./record.ts";

/** CONFORMANCE.md: what every requirement's state is, and which test proves it. */
export function conformancePage(record: ConformanceRecord): string {
  const blocks = [
    INTRODUCTION,
    ...record.wires.map((wire) => countsTable(record, wire)),
    ...correctionsList(record),
    ...record.wires.flatMap((wire) => [`## Wire ${wire.wire}`, ...sectionTables(record, wire)]),
  ];
  return `${blocks.join("\n\n")}\n`;
}

const INTRODUCTION = `# Conformance

Every requirement of the two protocol revisions, and the test that proves it. This page is generated: the requirements
are in [conformance/](conformance/README.md), a test names those it proves with \`covers("…")\`, and
\`npm run conformance\` puts both together. \`npm run check\` fails when a requirement of a finished section has neither a
test nor a stated reason, and when this page is out of date.`;

interface SectionCounts {
  readonly total: number;
  readonly cited: number;
  readonly excused: number;
}

function countsTable(record: ConformanceRecord, wire: WireRequirements): string {
  const sections = topSections(wire);
  const rows = [...sections].map(([section, requirements]) => {
    const state = isFinished(wire, section) ? "finished" : "not yet";
    return countsRow(`[${section}](#${sectionAnchor(wire, section)})`, state, countsOf(record, requirements));
  });
  const total = countsRow("all", "", countsOf(record, wire.requirements));
  const header = ["| Section | State | Requirements | Cited | Excused |", "| --- | --- | ---: | ---: | ---: |"];
  return [`**Wire ${wire.wire}**`, "", ...header, ...rows, total].join("\n");
}

function countsRow(section: string, state: string, { total, cited, excused }: SectionCounts): string {
  return `| ${section} | ${state} | ${total} | ${cited} | ${excused} |`;
}

function countsOf(record: ConformanceRecord, requirements: readonly Requirement[]): SectionCounts {
  const cited = new Set(record.citations.map(({ id }) => id));
  const excused = new Set(record.exceptions.map(({ id }) => id));
  return {
    total: requirements.length,
    cited: requirements.filter(({ id }) => cited.has(id)).length,
    excused: requirements.filter(({ id }) => excused.has(id)).length,
  };
}

/** The requirements by the first number of their section, in the order of the specification. */
function topSections(wire: WireRequirements): ReadonlyMap<string, Requirement[]> {
  return Map.groupBy(wire.requirements, ({ section }) => section.split(".")[0] ?? section);
}

function sectionAnchor(wire: WireRequirements, section: string): string {
  return `wire-${wire.wire.replaceAll(".", "")}-section-${section}`;
}

function correctionsList({ corrections }: ConformanceRecord): string[] {
  if (corrections.length === 0) return [];
  const items = corrections.map(({ id, reason }) => `- **${id}**: ${plain(reason)}`);
  return ["## Corrected requirements", "These differ from the published text, for the reason given.", items.join("\n")];
}

function sectionTables(record: ConformanceRecord, wire: WireRequirements): string[] {
  return [...topSections(wire)].flatMap(([section, requirements]) => {
    const rows = requirements.map((requirement) => requirementRow(record, wire, requirement));
    const table = ["| Id | Level | Requirement | Test |", "| --- | --- | --- | --- |", ...rows].join("\n");
    return [`### Wire ${wire.wire} section ${section}`, table];
  });
}

function requirementRow(record: ConformanceRecord, wire: WireRequirements, requirement: Requirement): string {
  const { id, section, level, text } = requirement;
  return `| ${id} | ${level} | ${plain(text)} | ${proof(record, id) ?? pending(wire, section)} |`;
}

function proof({ citations, exceptions }: ConformanceRecord, id: string): string | undefined {
  const tests = citations.filter((citation) => citation.id === id);
  if (tests.length > 0) return tests.map(testLink).join("<br>");
  const exception = exceptions.find((candidate) => candidate.id === id);
  return exception && `no test: ${plain(exception.reason)}`;
}

function pending(wire: WireRequirements, section: string): string {
  return isFinished(wire, section) ? "**missing**" : "not yet";
}

function testLink({ file, test }: Citation): string {
  return `[${file.replace(/^tests\//, "")}](${file}): ${plain(test)}`;
}

/** Text that Markdown shows as it is, inside a table too. */
function plain(text: string): string {
  return text
    .replace(/[\\|<>*_`[\]]/g, "\\$&")
    .replace(/\s+/g, " ")
    .trim();
}
