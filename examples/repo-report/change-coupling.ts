/** Files that keep changing in the same commits: a dependency that no import may show. */
import type { Analysis } from "./analysis.ts";
import { highest } from "./ranking.ts";

export interface ChangeCoupling {
  readonly path: string;
  readonly other: string;
  /** Commits that changed both. */
  readonly together: number;
  /** `together`, as a share of the commits of the one that changes less often. */
  readonly share: number;
}

const MIN_TOGETHER = 4;
const MIN_SHARE = 0.5;

/** Pairs of hand-written code outside of tests, most common commits first. Empty without history. */
export function changeCouplings({ files, history }: Analysis, count: number): ChangeCoupling[] {
  if (history === undefined) return [];
  const isCode = new Set(
    files.filter((file) => file.isCode && !file.isTest && !file.isGenerated).map((file) => file.path),
  );
  const commitsOf = (path: string): number => history.files.get(path)?.commits ?? 0;
  const isCandidate = (path: string): boolean => isCode.has(path) && commitsOf(path) >= MIN_TOGETHER;
  const couplings: ChangeCoupling[] = [];
  for (const [path, others] of countPairs(history.changeSets.map((changed) => changed.filter(isCandidate)))) {
    for (const [other, together] of others) {
      const share = together / Math.min(commitsOf(path), commitsOf(other));
      if (together >= MIN_TOGETHER && share >= MIN_SHARE) couplings.push({ path, other, together, share });
    }
  }
  return highest(couplings, count, (coupling) => coupling.together * coupling.share);
}

/** Per path, per path after it in text order: how many of the sets hold both. */
function countPairs(sets: readonly (readonly string[])[]): Map<string, Map<string, number>> {
  const pairs = new Map<string, Map<string, number>>();
  for (const set of sets) {
    const paths = set.toSorted();
    for (const [index, path] of paths.entries()) {
      const others = pairs.get(path) ?? new Map<string, number>();
      for (const other of paths.slice(index + 1)) others.set(other, (others.get(other) ?? 0) + 1);
      pairs.set(path, others);
    }
  }
  return pairs;
}
