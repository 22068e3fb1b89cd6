/** What removes. Runs in a worker. */
import { type BigIntStats, lstatSync, rmdirSync, unlinkSync } from "node:fs";
import type { Descriptor } from "./descriptor.ts";
import { entriesOf } from "./reading.ts";
import { codeOf, Refusal } from "./refusal.ts";
import { type Checkpoint, type Place, splitPlace, walk } from "./walk.ts";

/** One descriptor is held per level. */
const MAX_DEPTH = 128;

export interface RemoveCall {
  readonly place: Place;
  readonly recursive: boolean;
  /** Does the lease cover everything below? If not, only what is empty is removed. */
  readonly coversContents: boolean;
  readonly maxEntries: number;
}

/** Returns how many things were removed. */
export function remove({ place, recursive, coversContents, maxEntries }: RemoveCall, check: Checkpoint): number {
  const { parent, name } = splitPlace(place, "lease_root");
  using directory = walk(parent, check);
  const found = lstatSync(directory.at(name), { bigint: true });
  if (!found.isDirectory()) {
    unlinkSync(directory.at(name));
    return 1;
  }
  if (recursive && coversContents) return removeTree(directory, name, found, maxEntries, check);
  try {
    rmdirSync(directory.at(name));
  } catch (error) {
    if (recursive && codeOf(error) === "ENOTEMPTY") throw new Refusal("not_covered");
    throw error;
  }
  return 1;
}

/** What exceeds a bound is seen before anything is removed, unless it comes up meanwhile. */
function removeTree(
  parent: Descriptor,
  name: string,
  found: BigIntStats,
  maxEntries: number,
  check: Checkpoint,
): number {
  using top = parent.directory(name);
  const { dev } = top.identity();
  if (dev !== parent.identity().dev || found.dev !== dev) throw new Refusal("other_file_system");
  visit(top, { dev, left: maxEntries, removes: false, check }, 1);
  const visits = { dev, left: maxEntries, removes: true, check };
  visit(top, visits, 1);
  rmdirSync(parent.at(name));
  return maxEntries - visits.left + 1;
}

interface Visits {
  /** Of the file system that is not left. */
  readonly dev: bigint;
  left: number;
  readonly removes: boolean;
  readonly check: Checkpoint;
}

function visit(directory: Descriptor, visits: Visits, depth: number): void {
  if (depth > MAX_DEPTH) throw new Refusal("too_deep");
  const entries = entriesOf(directory, visits.left, visits.check);
  visits.left -= entries.length;
  for (const entry of entries) {
    visits.check();
    try {
      if (entry.isDirectory()) visitBelow(directory, entry.name, visits, depth);
      else if (visits.removes) unlinkSync(directory.at(entry.name));
    } catch (error) {
      // Somebody else removed it.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
}

function visitBelow(directory: Descriptor, name: string, visits: Visits, depth: number): void {
  {
    using below = directory.directory(name);
    if (below.identity().dev !== visits.dev) throw new Refusal("other_file_system");
    visit(below, visits, depth + 1);
  }
  if (visits.removes) rmdirSync(directory.at(name));
}
