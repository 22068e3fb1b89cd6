/** Where entries lie: a job owns segments of consecutive keys, so its journal lies together. */

/** Entries per segment: a segment's number and a position within it make one 53-bit key. */
export const SEGMENT_SIZE = 2 ** 20;

/** The key of the entry at position `n` of a job with these segments. */
export function keyOf(segments: readonly number[], n: number): number {
  const ordinal = Math.floor((n - 1) / SEGMENT_SIZE);
  return (segments[ordinal] as number) * SEGMENT_SIZE + ((n - 1) % SEGMENT_SIZE);
}

/** The key ranges that hold positions `fromN` to `toN`, one per segment. */
export function spans(
  segments: readonly number[],
  fromN: number,
  toN: number,
): { readonly from: number; readonly to: number; readonly firstN: number }[] {
  const list: { from: number; to: number; firstN: number }[] = [];
  for (let n = fromN; n <= toN; ) {
    const segmentEnd = (Math.floor((n - 1) / SEGMENT_SIZE) + 1) * SEGMENT_SIZE;
    const last = Math.min(toN, segmentEnd);
    if (Math.floor((n - 1) / SEGMENT_SIZE) >= segments.length) break;
    list.push({ from: keyOf(segments, n), to: keyOf(segments, last), firstN: n });
    n = last + 1;
  }
  return list;
}
