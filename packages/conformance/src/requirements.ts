/** The requirements of both wires, as data: what each says, whom it binds, how strictly. */
import { readFileSync } from "node:fs";

/** A revision of the protocol: 1.1, or RFC-0001, which is 1.0. */
export type Wire = "1.1" | "1.0";

/** How much a requirement weighs; what must not be done weighs as much as what must be. */
export type Level = "MUST" | "SHOULD" | "MAY";

/** One thing that the specification asks for. */
export interface Requirement {
  /** `V11-6.2-02`: the wire, the section, a number. */
  readonly id: string;
  readonly section: string;
  readonly level: Level | "MUST NOT" | "SHOULD NOT";
  /** Whom it binds. */
  readonly actor: string;
  readonly text: string;
  /** How it can be decided. */
  readonly test: string;
}

const loaded = new Map<Wire, ReadonlyMap<string, Requirement>>();

/** The requirements of one wire by id, in the order of the specification. */
export function requirementsOf(wire: Wire): ReadonlyMap<string, Requirement> {
  const known = loaded.get(wire);
  if (known !== undefined) return known;
  const file = new URL(`../data/requirements-v${wire}.json`, import.meta.url);
  const list = JSON.parse(readFileSync(file, "utf8")) as readonly Requirement[];
  const byId = new Map(list.map((requirement) => [requirement.id, requirement]));
  loaded.set(wire, byId);
  return byId;
}

/** @throws RangeError for an id that no wire knows. */
export function requirement(id: string): Requirement {
  const found = requirementsOf(id.startsWith("V10-") ? "1.0" : "1.1").get(id);
  if (found === undefined) throw new RangeError(`no requirement is called ${id}`);
  return found;
}

/** How much one requirement weighs. */
export function levelOf(id: string): Level {
  return requirement(id).level.split(" ")[0] as Level;
}

/** How much the strictest of several weighs. */
export function strictest(ids: readonly string[]): Level {
  const levels = new Set(ids.map(levelOf));
  return (["MUST", "SHOULD"] as const).find((level) => levels.has(level)) ?? "MAY";
}
