import { readdirSync, readFileSync } from "node:fs";

const conformance = new URL("../../conformance/", import.meta.url);

const knownIds: ReadonlySet<string> = new Set(
  readdirSync(conformance)
    .filter((file) => /^requirements-v.*\.json$/.test(file))
    .flatMap((file) => JSON.parse(readFileSync(new URL(file, conformance), "utf8")) as { id: string }[])
    .map((requirement) => requirement.id),
);

/**
 * States, at the top of a test's body, which requirements the test proves. `conformance/gate.ts` reads these calls from
 * the source, so the ids are string literals.
 *
 * @throws when an id is not in `conformance/requirements-*.json`.
 */
export function covers(...ids: [string, ...string[]]): void {
  const unknown = ids.filter((id) => !knownIds.has(id));
  if (unknown.length > 0) throw new Error(`unknown requirement ${unknown.join(", ")}`);
}
