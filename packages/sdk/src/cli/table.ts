import { displayWidth, type Terminal } from "./terminal.ts";

/** Rows under a heading, in columns as wide as their widest cell. */
export function table(
  terminal: Pick<Terminal, "style">,
  heading: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = heading.map((title, column) =>
    Math.max(displayWidth(title), ...rows.map((row) => displayWidth(row[column] ?? ""))),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell + " ".repeat(Math.max((widths[column] ?? 0) - displayWidth(cell), 0)))
      .join("  ")
      .trimEnd();
  return [terminal.style("gray", line(heading)), ...rows.map(line)].join("\n");
}
