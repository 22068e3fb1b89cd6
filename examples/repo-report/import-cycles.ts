/** Files that cannot be loaded one after the other, because each needs the other first. */
import type { ImportGraph } from "./imports.ts";
import type { Narrator } from "./narration.ts";
import { byText } from "./ranking.ts";

export interface ImportCycle {
  /** All files that reach each other, in text order. */
  readonly files: readonly string[];
  /** A shortest way around that starts and ends at the same file. */
  readonly path: readonly string[];
}

/** The largest group first. */
export async function findImportCycles(graph: ImportGraph, narrator: Narrator): Promise<readonly ImportCycle[]> {
  const groups = (await stronglyConnected(graph, narrator)).filter((group) => group.length > 1);
  return groups
    .map((group) => group.sort(byText))
    .sort((a, b) => b.length - a.length || byText(a[0] ?? "", b[0] ?? ""))
    .map((files) => ({ files, path: shortestCycle(files, graph) }));
}

interface Visit {
  readonly file: string;
  readonly targets: Iterator<string>;
}

/** Tarjan's algorithm, with a stack of its own in place of recursion: import chains can be thousands of files long. */
async function stronglyConnected(graph: ImportGraph, narrator: Narrator): Promise<string[][]> {
  const groups: string[][] = [];
  const order = new Map<string, number>();
  /** The earliest file, in that order, that a file is known to reach among those without a group. */
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();

  const enter = (file: string): Visit => {
    order.set(file, order.size);
    lowest.set(file, order.size - 1);
    open.push(file);
    isOpen.add(file);
    return { file, targets: (graph.get(file) ?? [])[Symbol.iterator]() };
  };
  const lower = (file: string, reached: number | undefined): void => {
    lowest.set(file, Math.min(lowest.get(file) ?? 0, reached ?? 0));
  };
  const leave = (file: string): void => {
    if (lowest.get(file) !== order.get(file)) return;
    const group = open.splice(open.lastIndexOf(file));
    for (const member of group) isOpen.delete(member);
    groups.push(group);
  };

  for (const start of [...graph.keys()].sort(byText)) {
    await narrator.breathe();
    const visits = order.has(start) ? [] : [enter(start)];
    for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
      const { value: target, done } = visit.targets.next();
      if (done) {
        visits.pop();
        leave(visit.file);
        const importer = visits.at(-1);
        if (importer !== undefined) lower(importer.file, lowest.get(visit.file));
      } else if (!order.has(target)) {
        visits.push(enter(target));
      } else if (isOpen.has(target)) {
        lower(visit.file, order.get(target));
      }
    }
  }
  return groups;
}

/** Breadth first from the group's first file, back to it. */
function shortestCycle(files: readonly string[], graph: ImportGraph): string[] {
  const [start = ""] = files;
  const group = new Set(files);
  const importerOf = new Map<string, string>();
  const queue = [start];
  for (const file of queue) {
    for (const target of graph.get(file) ?? []) {
      if (target === start) return wayTo(file, importerOf, start);
      if (!group.has(target) || importerOf.has(target)) continue;
      importerOf.set(target, file);
      queue.push(target);
    }
  }
  return [start];
}

function wayTo(end: string, importerOf: ReadonlyMap<string, string>, start: string): string[] {
  const way = [start];
  for (let file: string | undefined = end; file !== undefined && file !== start; file = importerOf.get(file)) {
    way.unshift(file);
  }
  return [start, ...way];
}
