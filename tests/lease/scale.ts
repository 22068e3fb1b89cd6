/**
 * How much the exhaustive and the random tests try, as a multiple of the usual: `LEASE_SCALE=1000 LEASE_SEED=7` tries
 * a thousand times as much, and differently for every seed; less than 1 is for many runs in a row.
 */
export const SCALE = Number(process.env["LEASE_SCALE"] ?? 1);

/** For tests that are scaled. */
export const TIMEOUT_MS = SCALE > 1 ? 3_600_000 : 60_000;

const SEED = process.env["LEASE_SEED"];

/** What fast-check is told for `count` runs, scaled. Where there are many in a row, only that one failed counts. */
export const runs = (
  count: number,
): { readonly numRuns: number; readonly endOnFailure: boolean; readonly seed?: number } => ({
  numRuns: Math.ceil(count * SCALE),
  endOnFailure: SCALE < 1,
  ...(SEED !== undefined && { seed: Number(SEED) }),
});

/** Says what a run that was scaled up has tried. */
export function report(what: string, figures: Readonly<Record<string, number>>): void {
  if (SCALE > 1) console.log(what, JSON.stringify(figures));
}
