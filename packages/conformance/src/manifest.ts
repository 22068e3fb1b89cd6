/** What a runtime has, as far as cases need to know. */
import { readFileSync } from "node:fs";
import { BEHAVIOURS, type Behaviour } from "./behaviours.ts";

/** Bounds that differ from runtime to runtime: jobs of one session that have not ended, bytes of one chunk of a result. */
export const LIMITS = ["jobs_per_session", "chunk_bytes"] as const;
export type Limit = (typeof LIMITS)[number];

/** What a runtime has of what the cases need. Its schema is `data/manifest.schema.json`. */
export interface Manifest {
  /** What the reports call it. */
  readonly name?: string;
  /** Which agent does what: `{"echo": "my-echo"}`. */
  readonly agents: Partial<Readonly<Record<Behaviour, string>>>;
  /** The runtime's own bounds, which cases go beyond. */
  readonly limits?: Partial<Readonly<Record<Limit, number>>>;
  /** What it is known not to have, with the reason: cases that need it are skipped. By ability or by requirement. */
  readonly lacks?: Readonly<Record<string, string>>;
}

/** The names that {@link BEHAVIOURS} are looked for under when there is no manifest. */
export const REFERENCE_MANIFEST: Manifest = {
  name: "the reference fixture",
  agents: Object.fromEntries(Object.keys(BEHAVIOURS).map((name) => [name, `suite.${name}`])) as Manifest["agents"],
};

/** The JSON Schema of a manifest, as an object. */
export function manifestSchema(): unknown {
  return JSON.parse(readFileSync(new URL("../data/manifest.schema.json", import.meta.url), "utf8"));
}

/** @throws TypeError with one line that says what is wrong. */
export function parseManifest(text: string): Manifest {
  const value = JSON.parse(text) as Partial<Manifest> | null;
  if (typeof value !== "object" || value === null || typeof value.agents !== "object" || value.agents === null) {
    throw new TypeError('a manifest is an object with "agents"');
  }
  for (const [behaviour, agent] of Object.entries(value.agents)) {
    if (!Object.hasOwn(BEHAVIOURS, behaviour)) {
      throw new TypeError(`agents: "${behaviour}" is none of ${Object.keys(BEHAVIOURS).join(", ")}`);
    }
    if (typeof agent !== "string" || agent === "")
      throw new TypeError(`agents.${behaviour} is not the name of an agent`);
  }
  for (const [limit, most] of Object.entries(value.limits ?? {})) {
    if (!LIMITS.includes(limit as Limit)) throw new TypeError(`limits: "${limit}" is none of ${LIMITS.join(", ")}`);
    if (!Number.isSafeInteger(most) || most < 1) throw new TypeError(`limits.${limit} is no whole number above 0`);
  }
  for (const [what, reason] of Object.entries(value.lacks ?? {})) {
    if (typeof reason !== "string" || reason === "") throw new TypeError(`lacks.${what}: say why`);
  }
  return { ...value, agents: value.agents };
}
