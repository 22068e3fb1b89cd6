import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Leaves the counts of one CI step as `<passed> <failed> <skipped>` where `.ci/run` asked for them, if it did. */
export function reportCounts(step: string, { passed, failed, skipped }: Counts): void {
  const directory = process.env["COUNTS_DIR"];
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, step), `${passed} ${failed} ${skipped}\n`);
}
