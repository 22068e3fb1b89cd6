/** The directories that a lease's file patterns and grants begin with, and what those cover. */
import type { Lease } from "@arcp/core";
import type { FileGrant } from "../../engine/agent-operations.ts";
import { compileGlob, type Glob, globCovers, proofEffort } from "../../engine/lease/glob.ts";
import { matchesPattern, patternOf } from "../../engine/lease/pattern.ts";
import { segmentsOf } from "./walk.ts";

export type FileCapability = "fs.read" | "fs.write";

interface Rooted {
  readonly root: string;
  readonly matches: (target: string) => boolean;
  /** Everything that it covers; `undefined` if it covers one path, or nothing for the moment. */
  readonly glob: () => Glob | undefined;
}

export class LeaseRoots {
  readonly #patterns: Readonly<Record<FileCapability, Rooted[]>>;

  constructor(lease: Lease) {
    this.#patterns = { "fs.read": rootedPatterns(lease, "fs.read"), "fs.write": rootedPatterns(lease, "fs.write") };
  }

  /** Adds what people granted, for as long as it is granted. Returns its directory. */
  admit(grant: FileGrant): string {
    const glob = grant.isPattern ? patternOf(grant.capability, grant.target)?.main : undefined;
    const rooted = {
      root: grant.isPattern ? literalDirectory(grant.target) : directoryOf(grant.target),
      matches: (target: string) => grant.isActive() && grant.covers(target),
      glob: () => (grant.isActive() ? glob : undefined),
    };
    this.#patterns[grant.capability].push(rooted);
    return rooted.root;
  }

  /** Each once. */
  paths(): ReadonlySet<string> {
    return new Set([...this.#patterns["fs.read"], ...this.#patterns["fs.write"]].map(({ root }) => root));
  }

  /** The directory from which `target` is walked to: of the patterns that match it, the one that begins highest. */
  rootOf(capability: FileCapability, target: string): string | undefined {
    let highest: string | undefined;
    for (const { matches, root } of this.#patterns[capability]) {
      if (highest !== undefined && root.length >= highest.length) continue;
      if (matches(target)) highest = root;
    }
    return highest;
  }

  covers(capability: FileCapability, target: string): boolean {
    return this.rootOf(capability, target) !== undefined;
  }

  /** Is it proven that one pattern covers whatever may be below `target`? */
  coversAllBelow(capability: FileCapability, target: string): boolean {
    const below = compileGlob(`${target}/**`);
    const effort = proofEffort();
    return this.#patterns[capability].some((rooted) => {
      const glob = rooted.glob();
      return glob !== undefined && globCovers(glob, below, false, effort);
    });
  }
}

const rootedPatterns = (lease: Lease, capability: FileCapability): Rooted[] =>
  (lease[capability] ?? []).flatMap((text) => {
    const pattern = patternOf(capability, text);
    if (pattern === undefined) return [];
    const matches = (target: string): boolean => matchesPattern(pattern, target);
    return [{ root: literalDirectory(text), matches, glob: () => pattern.main }];
  });

/** The directory that a path is in; of the root it is the root. */
const directoryOf = (path: string): string => `/${segmentsOf(path).slice(0, -1).join("/")}`;

/** The longest part of a pattern that names a directory without a star. */
function literalDirectory(pattern: string): string {
  const segments = segmentsOf(pattern);
  const star = segments.findIndex((segment) => segment.includes("*"));
  return `/${segments.slice(0, star === -1 ? -1 : star).join("/")}`;
}
