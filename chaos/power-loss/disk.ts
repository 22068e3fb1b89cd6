/**
 * What may be on a disk after the power has gone: everything that was synced, and of the rest some, in any order, and torn.
 *
 * Names (creations, renames, removals) come in their order, as they do on file systems with a journal, up to any of them
 * that was not synced; a sync of a file does not make its name durable, only one of its directory does.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Random } from "../../fuzz/random.ts";
import type { FileOperation } from "./trace.ts";

type Change = Extract<FileOperation, { readonly kind: "write" | "truncate" }>;
type Naming = Extract<FileOperation, { readonly kind: "create" | "rename" | "unlink" }>;

interface File {
  readonly changes: Change[];
  /** Changes up to this index are on disk. */
  durable: number;
}

/** `lost`: nothing that was not synced is there. `prefix`: up to some write, which is torn. `any`: some of the sectors. */
type Way = "lost" | "prefix" | "any";
const WAYS: readonly Way[] = ["lost", "prefix", "any", "any"];
const SECTORS: readonly number[] = [512, 4096];

export interface CutImage {
  /** Writes that were not synced. */
  readonly unsynced: number;
  readonly way: Way;
}

/** Makes in `target` what a power cut at `at` may leave of `directory`. */
export function writeImage(
  operations: readonly FileOperation[],
  directory: string,
  target: string,
  at: number,
  random: Random,
): CutImage {
  const way = random.pick(WAYS);
  const sector = random.pick(SECTORS);
  let unsynced = 0;
  for (const [path, file] of filesAt(operations, at, random)) {
    const pending = file.changes.slice(file.durable);
    unsynced += pending.length;
    const blocks = [...file.changes.slice(0, file.durable), ...surviving(pending, way, sector, random)];
    put(join(target, relative(directory, path)), blocks);
  }
  return { unsynced, way };
}

/** The files that have names then, with what was done to them until then. */
function filesAt(operations: readonly FileOperation[], at: number, random: Random): ReadonlyMap<string, File> {
  const names = new Map<string, File>();
  const namings = new Map<string, { readonly list: (readonly [Naming, File])[]; durable: number }>();
  // As the process saw it, which is what says which file a name has meant.
  for (const operation of operations) {
    if (operation.at > at) continue;
    const { path } = operation;
    if (operation.kind === "sync") {
      if (operation.endedAt > at) continue;
      const directory = namings.get(path);
      if (directory !== undefined)
        directory.durable = directory.list.filter(([{ at: done }]) => done < operation.at).length;
      const file = names.get(path);
      if (file !== undefined) file.durable = file.changes.filter(({ at: done }) => done < operation.at).length;
      continue;
    }
    if (operation.kind === "write" || operation.kind === "truncate") {
      names.get(path)?.changes.push(operation);
      continue;
    }
    const file = names.get(path) ?? { changes: [], durable: 0 };
    if (operation.kind === "create" && names.has(path)) continue;
    if (operation.kind !== "create") names.delete(path);
    if (operation.kind === "create") names.set(path, file);
    if (operation.kind === "rename") names.set(operation.to, file);
    const directory = namings.get(dirname(path)) ?? { list: [], durable: 0 };
    namings.set(dirname(path), directory);
    directory.list.push([operation, file]);
  }
  const durable = new Map<string, File>();
  for (const { list, durable: known } of namings.values()) {
    const until = known + random.below(list.length - known + 1);
    for (const [naming, file] of list.slice(0, until)) {
      if (naming.kind === "create") durable.set(naming.path, file);
      else durable.delete(naming.path);
      if (naming.kind === "rename") durable.set(naming.to, file);
    }
  }
  return durable;
}

function surviving(pending: readonly Change[], way: Way, sector: number, random: Random): readonly Change[] {
  if (way === "lost" || pending.length === 0) return [];
  if (way === "prefix") {
    const whole = random.below(pending.length);
    const torn = pending[whole];
    const share = random.next();
    const head = torn === undefined ? [] : some(torn, sector, (index, count) => index < Math.floor(share * count));
    return [...pending.slice(0, whole), ...head];
  }
  return pending.flatMap((change) => some(change, sector, () => random.oneIn(2)));
}

/** The sectors of a write that `isThere`. What has no sectors is whole, or is not there. */
function some(change: Change, sector: number, isThere: (index: number, count: number) => boolean): readonly Change[] {
  if (change.kind === "truncate") return isThere(0, 1) ? [change] : [];
  const parts: Change[] = [];
  const { offset, data } = change;
  const first = Math.floor(offset / sector);
  const count = Math.floor((offset + data.length - 1) / sector) - first + 1;
  for (let index = 0; index < count; index += 1) {
    const from = Math.max((first + index) * sector, offset);
    const to = Math.min((first + index + 1) * sector, offset + data.length);
    if (isThere(index, count)) parts.push({ ...change, offset: from, data: data.subarray(from - offset, to - offset) });
  }
  return parts;
}

function put(path: string, changes: readonly Change[]): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const descriptor = openSync(path, "w", 0o600);
  try {
    for (const change of changes) {
      if (change.kind === "truncate") ftruncateSync(descriptor, change.size);
      else writeSync(descriptor, change.data, 0, change.data.length, change.offset);
    }
  } finally {
    closeSync(descriptor);
  }
}
