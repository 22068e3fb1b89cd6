/** Makes a failing case small: parts are left out as long as it goes on failing. */

const MAX_ATTEMPTS = 400;

/** The items of `items` that are needed for `fails` to hold, as far as a bounded number of attempts tells. */
export async function minimiseList<Item>(
  items: readonly Item[],
  fails: (fewer: readonly Item[]) => Promise<boolean>,
  maxMs = 60_000,
): Promise<readonly Item[]> {
  const endsAt = performance.now() + maxMs;
  let kept = items;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length; ) {
      if (performance.now() > endsAt) return kept;
      const fewer = kept.toSpliced(from, size);
      if (fewer.length < kept.length && (await fails(fewer))) kept = fewer;
      else from += size;
    }
  }
  return kept;
}

/** The same for the characters of a text. */
export function minimiseText(text: string, fails: (shorter: string) => boolean): string {
  let kept = text;
  let attempts = 0;
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length; ) {
      attempts += 1;
      if (attempts > MAX_ATTEMPTS) return kept;
      const shorter = kept.slice(0, from) + kept.slice(from + size);
      if (fails(shorter)) kept = shorter;
      else from += size;
    }
  }
  return kept;
}
