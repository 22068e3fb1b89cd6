/** Spells values as Markdown. File names and code are foreign text: they must not become markup or control a terminal. */

/** Foreign text as inline code that stays within its table cell and its line. */
export function code(text: string): string {
  const inert = visible(text).replaceAll("|", "\\|");
  const longestRun = Math.max(0, ...[...inert.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longestRun + 1);
  return longestRun === 0 ? `\`${inert}\`` : `${fence} ${inert} ${fence}`;
}

/** Control, bidirectional and line-breaking characters by their number; everything else, in any script, as it is. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** Foreign text as prose, for a heading. */
export function prose(text: string): string {
  return visible(text).replace(/[\\`*_[\]<>#|&]/g, "\\$&");
}

const WHOLE = new Intl.NumberFormat("en-US");

export function whole(value: number): string {
  return WHOLE.format(value);
}

/** `1 file`, `2 files`. */
export function count(value: number, noun: string): string {
  return `${whole(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function bytes(value: number): string {
  if (value < 1_000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(value) / 3), units.length);
  const scaled = value / 1_000 ** power;
  return `${scaled.toFixed(scaled < 10 ? 1 : 0)} ${units[power - 1]}`;
}

export function percent(part: number, total: number): string {
  if (total === 0) return "0 %";
  const share = (part / total) * 100;
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

/** A heading that ends in `>` belongs to a column of numbers, aligned to the right. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const titles = headings.map((heading) => heading.replace(/>$/, ""));
  const rules = headings.map((heading) => (heading.endsWith(">") ? "---:" : "---"));
  return [titles, rules, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
