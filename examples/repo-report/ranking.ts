/** Order: the same input always gives the same report. */

/** By UTF-16 code unit, the same in every locale. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The `count` items that measure most; among equals, the first path in text order. */
export function highest<T extends { readonly path: string }>(
  items: Iterable<T>,
  count: number,
  measure: (item: T) => number,
): T[] {
  return [...items].sort((a, b) => measure(b) - measure(a) || byText(a.path, b.path)).slice(0, count);
}
