/** How big the files and directories are. */
import { parentOf } from "./files.ts";
import { highest } from "./ranking.ts";

export interface FileSize {
  readonly path: string;
  readonly bytes: number;
  /** Absent for what was counted, but not read as text. */
  readonly lines?: number;
}

export interface DirectorySize {
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  readonly lines: number;
}

/** Deeper directories are counted within these. */
const MAX_DEPTH = 3;

export function largestFiles(files: readonly FileSize[], count: number): FileSize[] {
  return highest(files, count, (file) => file.bytes);
}

/** By what they hold in all, at any depth. A directory that holds nothing but another one is left out in its favour. */
export function largestDirectories(files: readonly FileSize[], count: number): DirectorySize[] {
  const totals = new Map<string, { path: string; files: number; bytes: number; lines: number }>();
  for (const file of files) {
    for (const path of directoriesAbove(file.path)) {
      const total = totals.get(path) ?? { path, files: 0, bytes: 0, lines: 0 };
      total.files += 1;
      total.bytes += file.bytes;
      total.lines += file.lines ?? 0;
      totals.set(path, total);
    }
  }
  for (const { path, files } of [...totals.values()]) {
    if (totals.get(parentOf(path))?.files === files) totals.delete(parentOf(path));
  }
  return highest(totals.values(), count, (directory) => directory.bytes);
}

export function sum<T>(items: readonly T[], measure: (item: T) => number): number {
  return items.reduce((total, item) => total + measure(item), 0);
}

function directoriesAbove(path: string): string[] {
  const names = path.split("/").slice(0, -1).slice(0, MAX_DEPTH);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}
