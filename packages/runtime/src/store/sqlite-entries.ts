/** Entries as rows, and what they hold. */
import { entryPlace, type RowCipher } from "./row-cipher.ts";
import { assertSum, entrySum } from "./row-sums.ts";
import type { EntryCode } from "./store.ts";

export type EntryTuple = [key: number, ts: number, code: EntryCode, payload: string, sum: number | null];

/** The row of an entry. */
export function entryRow(key: number, ts: number, code: EntryCode, payload: string, cipher: RowCipher | undefined) {
  const stored = cipher === undefined ? payload : cipher.seal(entryPlace(key, ts, code), payload);
  return [key, ts, code, stored, entrySum(key, ts, code, stored)] satisfies EntryTuple;
}

/** The payload. Throws {@link StoreError} `corrupt`, which names `subject`, if it is not what was stored. */
export function openEntry(row: EntryTuple, subject: string, cipher: RowCipher | undefined): string {
  const [key, ts, code, stored, sum] = row;
  assertSum(sum, entrySum(key, ts, code, stored), subject);
  return cipher === undefined ? stored : cipher.open(entryPlace(key, ts, code), stored);
}
