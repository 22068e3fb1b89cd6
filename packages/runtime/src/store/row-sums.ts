/**
 * Checksums of rows: SQLite has none of its own for what is in the file, and a bit that a disk has turned over would be shown
 * as if it had always been so. They find accidents; what is changed on purpose is found by encryption, and in the audit by
 * its chain.
 */
import { crc32 } from "node:zlib";
import { StoreError } from "./store-error.ts";

const WORD = 2 ** 32;

/** Of an entry as it is stored. */
export function entrySum(key: number, ts: number, code: number, stored: string): number {
  // A number above 2^32 is two words; another seed is another sum of the same text.
  const seed = (key % WORD) ^ Math.floor(key / WORD) ^ (ts % WORD) ^ (Math.floor(ts / WORD) << 16) ^ (code << 24);
  return crc32(stored, seed >>> 0);
}

/** Of the values of a row, in the order of its columns. */
export const sumOf = (...values: readonly (string | number | null)[]): number => crc32(JSON.stringify(values));

/** Throws {@link StoreError} if a row is not what was stored. `null`: it was stored before there were sums. */
export function assertSum(stored: number | null, actual: number, subject: string): void {
  if (stored !== null && stored !== actual) throw damaged(subject);
}

/** Something in the file is not what was written there. */
export const damaged = (subject: string): StoreError =>
  new StoreError("corrupt", `${subject} is damaged: \`arcp db check\` says what else is, a backup brings it back`);
