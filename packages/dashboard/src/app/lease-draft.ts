/** A lease while it is written: what its parts mean, and what it comes to. */
import type { Lease } from "@arcp/core";

export interface LeaseDraft {
  readonly grants: readonly Grant[];
  /** Minutes from the submission on; empty: no end. */
  readonly minutes: string;
}

export interface Grant {
  readonly capability: string;
  /** A pattern per line. */
  readonly patterns: string;
}

export interface Capability {
  readonly name: string;
  readonly example: string;
  /** What it lets a job do, for people. */
  readonly about: string;
  /** What a target is; `undefined`: it has none. */
  readonly target?: string;
}

/** What leases know (§9.2). Others are vendors' own: `x-vendor.<vendor>.<name>`. */
export const CAPABILITIES: readonly Capability[] = [
  {
    name: "fs.read",
    example: "/srv/app/**",
    about: "Reads these files. * stands for a part of one segment, ** for any number of segments.",
    target: "/srv/app/main.ts",
  },
  {
    name: "fs.write",
    example: "/srv/app/out/**",
    about: "Writes, makes and removes these files.",
    target: "/srv/app/out/a",
  },
  {
    name: "net.fetch",
    example: "https://api.example.com/**",
    about:
      "Sends requests to these URLs. *.example.com is every host one label below. Private addresses take the operator.",
    target: "https://api.example.com/v1/items",
  },
  { name: "tool.call", example: "search", about: "Calls these tools of the runtime.", target: "search" },
  {
    name: "agent.delegate",
    example: "reviewer@1.0.0",
    about: "Submits jobs of its own to these agents, with this lease or less. Without a version: every version.",
    target: "reviewer@1.0.0",
  },
  { name: "model.use", example: "tier-fast/*", about: "Uses these models.", target: "tier-fast/small" },
  { name: "cost.budget", example: "USD:5.00", about: "Spends so much: a currency and an amount per line." },
];

export const aboutCapability = (name: string): Capability =>
  CAPABILITIES.find((each) => each.name === name) ?? {
    ...{ name, example: "", about: "A vendor's own: what its patterns mean is up to whoever checks it.", target: "" },
  };

export const linesOf = (patterns: string): readonly string[] =>
  patterns
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** What the job asks for. Parts without patterns ask for nothing. */
export function leaseOf(grants: readonly Grant[]): Lease {
  const lease: Record<string, string[]> = {};
  for (const { capability, patterns } of grants) {
    const lines = linesOf(patterns);
    if (lines.length > 0) lease[capability] = [...(lease[capability] ?? []), ...lines];
  }
  return lease;
}

export const grantsOf = (lease: Lease): readonly Grant[] =>
  Object.entries(lease).map(([capability, patterns]) => ({ capability, patterns: patterns.join("\n") }));

const MINUTE_MS = 60_000;

/** `undefined` without one; an invalid date for what is no number of minutes. */
export const endOf = ({ minutes }: Pick<LeaseDraft, "minutes">, now: number): Date | undefined =>
  minutes.trim() === "" ? undefined : new Date(now + (Number(minutes) > 0 ? Number(minutes) : Number.NaN) * MINUTE_MS);
