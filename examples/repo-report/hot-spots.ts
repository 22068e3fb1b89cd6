/** Code that is both large and often changed: where most of the work, and most of the mistakes, happen. */
import type { Analysis } from "./analysis.ts";
import { highest } from "./ranking.ts";

export interface HotSpot {
  readonly path: string;
  readonly commits: number;
  readonly lines: number;
  /** Commits × lines: only good for comparing files of one repository. */
  readonly heat: number;
}

/** A file that was committed once and left alone is not hot, however large. */
const MIN_COMMITS = 2;

/** Hand-written code outside of tests, hottest first. Empty without history. */
export function hotSpots({ history, files }: Analysis, count: number): HotSpot[] {
  const spots: HotSpot[] = [];
  for (const { path, lines = 0, isCode, isTest, isGenerated } of files) {
    const commits = history?.files.get(path)?.commits ?? 0;
    if (!isCode || isTest || isGenerated || commits < MIN_COMMITS) continue;
    spots.push({ path, commits, lines, heat: commits * lines });
  }
  return highest(spots, count, (spot) => spot.heat);
}
