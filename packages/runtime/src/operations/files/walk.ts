/** The way from a pinned directory to what a path names: one name at a time, through no link. */
import { lstatSync } from "node:fs";
import { assertSupported, Descriptor, type Identity, isSame } from "./descriptor.ts";
import { codeOf, Refusal, type RefusalReason, refusalOf } from "./refusal.ts";

/** A directory that is held open, and where it was found. */
export interface PinnedRoot extends Identity {
  readonly path: string;
  readonly fd: number;
}

/** What a path names: `below` are the names from `root` to it. */
export interface Place {
  readonly root: PinnedRoot;
  readonly below: readonly string[];
}

/** Throws when nobody waits for the call any more. Called between the steps of one. */
export type Checkpoint = () => void;

/** A directory that a lease names: held open, or the reason why it is not. */
export type Pin = PinnedRoot | { readonly refused: RefusalReason };

export const segmentsOf = (path: string): string[] => path.split("/").filter((segment) => segment !== "");

/**
 * Opens the directory `path`, or as much of it as there is: what does not exist yet is looked for below the deepest
 * directory that does. The descriptor is the caller's to close.
 */
export function pin({ path }: { readonly path: string }, check: Checkpoint): Pin {
  let directory: Descriptor | undefined;
  try {
    assertSupported();
    directory = Descriptor.root();
    const found: string[] = [];
    for (const name of segmentsOf(path)) {
      check();
      const next = existingDirectory(directory, name);
      if (next === undefined) break;
      directory.close();
      directory = next;
      found.push(name);
    }
    directory.assertNotOfKernel();
    const { dev, ino } = directory.identity();
    return { path: `/${found.join("/")}`, fd: directory.fd, dev, ino };
  } catch (error) {
    directory?.close();
    const { reason } = refusalOf(error);
    if (reason === "stopped") throw error;
    return { refused: reason };
  }
}

/** Undefined if there is none, or something else. A link is refused. */
function existingDirectory(parent: Descriptor, name: string): Descriptor | undefined {
  try {
    return parent.directory(name);
  } catch (error) {
    const { reason } = refusalOf(error);
    if (reason === "not_found" || reason === "not_a_directory") return undefined;
    throw error;
  }
}

/**
 * The directory at `place`, to be closed by the caller.
 *
 * @throws Refusal `root_replaced` unless the root is still found where it was; what is found there instead is not
 *   looked into.
 */
export function walk({ root, below }: Place, check: Checkpoint): Descriptor {
  let directory = enter(root);
  for (const name of below) {
    const parent = directory;
    try {
      check();
      directory = parent.directory(name);
    } finally {
      parent.close();
    }
  }
  try {
    directory.assertNotOfKernel();
    return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
}

/** @throws Refusal `root_replaced`. */
export function enter(root: PinnedRoot): Descriptor {
  const directory = Descriptor.borrowed(root.fd);
  if (!isSame(directory.identity(), root) || !isStillThere(root)) throw new Refusal("root_replaced");
  return directory;
}

function isStillThere(root: PinnedRoot): boolean {
  try {
    return isSame(lstatSync(root.path, { bigint: true }), root);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return false;
  }
}

/**
 * `place` as a name in a directory.
 *
 * @throws Refusal `whole` if it is the root itself, which no directory is held for.
 */
export function splitPlace({ root, below }: Place, whole: RefusalReason): { parent: Place; name: string } {
  const name = below.at(-1);
  if (name === undefined) {
    enter(root);
    throw new Refusal(whole);
  }
  return { parent: { root, below: below.slice(0, -1) }, name };
}
