/** What a run found. */
import { mkdirSync, writeFileSync } from "node:fs";

export interface Failure {
  readonly target: "decoding" | "sessions";
  /** Of the run, and of the part of it that failed. */
  readonly seed: number;
  readonly partSeed: number;
  readonly problem: string;
  /** The frame, or the steps, that are needed for it. */
  readonly reproducer: unknown;
}

export interface Figures {
  readonly target: Failure["target"];
  readonly frames: number;
  /** The longest that one frame, or one step, took. */
  readonly slowestMs: number;
  readonly failures: readonly Failure[];
}

const REPORTS = new URL("../reports/", import.meta.url);

/** Writes `failure` to a file that `fuzz/run.ts --replay` reads. Returns its path. */
export function writeReproducer(failure: Failure): string {
  mkdirSync(REPORTS, { recursive: true });
  const file = new URL(`fuzz-${failure.target}-${failure.seed}-${failure.partSeed}.json`, REPORTS);
  writeFileSync(file, `${JSON.stringify(failure, null, 2)}\n`);
  return file.pathname;
}
