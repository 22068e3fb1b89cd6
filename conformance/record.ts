import type { Citation } from "./citations.ts";

/** One sentence of a specification that an implementation can meet or break. */
export interface Requirement {
  readonly id: string;
  readonly section: string;
  readonly level: string;
  readonly actor: string;
  readonly text: string;
  readonly test: string;
}

export interface WireRequirements {
  readonly wire: string;
  readonly requirements: readonly Requirement[];
  /** Sections of which every requirement is settled; "4" stands for 4, 4.1 and so on. */
  readonly finishedSections: readonly string[];
}

/** Why a requirement has no test, or why its text was corrected. */
export interface Remark {
  readonly id: string;
  readonly reason: string;
}

/** What the project says about every requirement. */
export interface ConformanceRecord {
  readonly wires: readonly WireRequirements[];
  readonly exceptions: readonly Remark[];
  readonly corrections: readonly Remark[];
  readonly citations: readonly Citation[];
  readonly citationProblems: readonly string[];
}

export function isFinished(wire: WireRequirements, section: string): boolean {
  return wire.finishedSections.some((finished) => section === finished || section.startsWith(`${finished}.`));
}

/** Everything that is missing from the record or that contradicts itself. */
export function recordProblems(record: ConformanceRecord): string[] {
  return [
    ...record.citationProblems,
    ...unknownIdProblems(record),
    ...uncitedProblems(record),
    ...exceptionProblems(record),
    ...finishedSectionProblems(record),
  ];
}

/** One line per section: what each id says is in CONFORMANCE.md. */
function uncitedProblems({ wires, citations, exceptions }: ConformanceRecord): string[] {
  const settled = new Set([...citations, ...exceptions].map(({ id }) => id));
  return wires.flatMap((wire) => {
    const uncited = wire.requirements.filter(({ id, section }) => isFinished(wire, section) && !settled.has(id));
    const sections = Map.groupBy(uncited, ({ section }) => section);
    return [...sections].map(
      ([section, requirements]) =>
        `wire ${wire.wire} section ${section}, not cited by any test: ${requirements.map(({ id }) => id).join(" ")}`,
    );
  });
}

function unknownIdProblems({ wires, citations, exceptions, corrections }: ConformanceRecord): string[] {
  const known = new Set(wires.flatMap(({ requirements }) => requirements.map(({ id }) => id)));
  const unknown = <T extends { readonly id: string }>(items: readonly T[], where: (item: T) => string) =>
    items.filter(({ id }) => !known.has(id)).map((item) => `${item.id} in ${where(item)} is not a requirement`);
  return [
    ...unknown(citations, ({ file, test }) => `${file} "${test}"`),
    ...unknown(exceptions, () => "exceptions.json"),
    ...unknown(corrections, () => "corrections.json"),
  ];
}

function exceptionProblems({ citations, exceptions }: ConformanceRecord): string[] {
  const cited = new Set(citations.map(({ id }) => id));
  const stale = exceptions.filter(({ id }) => cited.has(id));
  const bare = exceptions.filter(({ reason }) => reason.trim() === "");
  const repeated = exceptions.filter(({ id }, index) => exceptions.findIndex((other) => other.id === id) !== index);
  return [
    ...stale.map(({ id }) => `${id} is excused in exceptions.json but cited by a test`),
    ...bare.map(({ id }) => `${id} is excused in exceptions.json without a reason`),
    ...repeated.map(({ id }) => `${id} is excused in exceptions.json twice`),
  ];
}

function finishedSectionProblems({ wires }: ConformanceRecord): string[] {
  return wires.flatMap(({ wire, requirements, finishedSections }) =>
    finishedSections
      .filter((finished) => !requirements.some(({ section }) => `${section}.`.startsWith(`${finished}.`)))
      .map((finished) => `section ${finished} of wire ${wire} in finished.json has no requirements`),
  );
}
