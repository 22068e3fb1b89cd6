/** The directories that a lease's file patterns begin with, and what the patterns cover. */
import type { Lease } from "@arcp/core";
import { compileGlob, globCovers, proofEffort } from "../../engine/lease/glob.ts";
import { matchesPattern, type Pattern, patternOf } from "../../engine/lease/pattern.ts";
import { segmentsOf } from "./walk.ts";

export type FileCapability = "fs.read" | "fs.write";

interface RootedPattern {
  readonly pattern: Pattern;
  readonly root: string;
}

export class LeaseRoots {
  readonly #patterns: Readonly<Record<FileCapability, readonly RootedPattern[]>>;

  constructor(lease: Lease) {
    this.#patterns = { "fs.read": rootedPatterns(lease, "fs.read"), "fs.write": rootedPatterns(lease, "fs.write") };
  }

  /** Each once. */
  paths(): ReadonlySet<string> {
    return new Set([...this.#patterns["fs.read"], ...this.#patterns["fs.write"]].map(({ root }) => root));
  }

  /** The directory from which `target` is walked to: of the patterns that match it, the one that begins highest. */
  rootOf(capability: FileCapability, target: string): string | undefined {
    let highest: string | undefined;
    for (const { pattern, root } of this.#patterns[capability]) {
      if (highest !== undefined && root.length >= highest.length) continue;
      if (matchesPattern(pattern, target)) highest = root;
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
    return this.#patterns[capability].some(({ pattern }) => globCovers(pattern.main, below, false, effort));
  }
}

const rootedPatterns = (lease: Lease, capability: FileCapability): RootedPattern[] =>
  (lease[capability] ?? []).flatMap((text) => {
    const pattern = patternOf(capability, text);
    return pattern === undefined ? [] : [{ pattern, root: literalDirectory(text) }];
  });

/** The longest part of a pattern that names a directory without a star. */
function literalDirectory(pattern: string): string {
  const segments = segmentsOf(pattern);
  const star = segments.findIndex((segment) => segment.includes("*"));
  return `/${segments.slice(0, star === -1 ? -1 : star).join("/")}`;
}
