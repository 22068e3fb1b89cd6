/** What writes: files and directories. Runs in a worker. */
import { constants, fchmodSync, lstatSync, mkdirSync, renameSync, type Stats, unlinkSync, writeSync } from "node:fs";
import type { FileWriteOptions } from "../../engine/agent-operations.ts";
import { Descriptor } from "./descriptor.ts";
import { codeOf, Refusal, refusalOf } from "./refusal.ts";
import { type Checkpoint, enter, type Place, splitPlace, walk } from "./walk.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
/** Less what the process's mask takes away. */
const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const BYTES_PER_STEP = 2 ** 20;

export interface WriteCall {
  readonly place: Place;
  readonly data: Uint8Array;
  readonly mode: NonNullable<FileWriteOptions["mode"]>;
  /** A name that nothing else has. */
  readonly temporaryName: string;
}

export function write({ place, data, mode, temporaryName }: WriteCall, check: Checkpoint): void {
  const { parent, name } = splitPlace(place, "not_a_file");
  using directory = walk(parent, check);
  if (mode === "append") append(directory, name, data, check);
  else if (mode === "create") create(directory, name, data, undefined, check);
  else replace(directory, name, data, temporaryName, check);
}

/** A new file under another name takes the place of what was there: a link there is replaced, never written through. */
function replace(
  directory: Descriptor,
  name: string,
  data: Uint8Array,
  temporaryName: string,
  check: Checkpoint,
): void {
  const present = facts(directory, name);
  if (present?.isSymbolicLink()) throw new Refusal("is_a_link");
  if (present !== undefined && !present.isFile()) throw new Refusal("not_a_file");
  create(directory, temporaryName, data, present?.mode, check);
  try {
    renameSync(directory.at(temporaryName), directory.at(name));
  } catch (error) {
    removeIfThere(directory, temporaryName);
    throw error;
  }
}

/** What cannot be written whole is not left behind. */
function create(
  directory: Descriptor,
  name: string,
  data: Uint8Array,
  permissions: number | undefined,
  check: Checkpoint,
): void {
  using file = newFile(directory, name);
  try {
    writeAll(file, data, check);
    if (permissions !== undefined) fchmodSync(file.fd, permissions & 0o777);
  } catch (error) {
    removeIfThere(directory, name);
    throw error;
  }
}

/** A link that is there is refused as a link, wherever it leads to. */
function newFile(directory: Descriptor, name: string): Descriptor {
  try {
    return Descriptor.open(directory.at(name), NEW_FILE, FILE_MODE);
  } catch (error) {
    if (codeOf(error) === "EEXIST" && facts(directory, name)?.isSymbolicLink()) throw new Refusal("is_a_link");
    throw error;
  }
}

function append(directory: Descriptor, name: string, data: Uint8Array, check: Checkpoint): void {
  if (facts(directory, name) === undefined) {
    create(directory, name, data, undefined, check);
  } else {
    using file = directory.file(name, O_WRONLY | O_APPEND);
    writeAll(file, data, check);
  }
}

function writeAll(file: Descriptor, data: Uint8Array, check: Checkpoint): void {
  for (let written = 0; written < data.length; ) {
    check();
    written += writeSync(file.fd, data, written, Math.min(data.length - written, BYTES_PER_STEP));
  }
}

const facts = (directory: Descriptor, name: string): Stats | undefined =>
  lstatSync(directory.at(name), { throwIfNoEntry: false });

function removeIfThere(directory: Descriptor, name: string): void {
  try {
    unlinkSync(directory.at(name));
  } catch {
    // Whoever took it away has done what was wanted; the error that led here is the one to tell.
  }
}

export interface MkdirCall {
  readonly place: Place;
  readonly recursive: boolean;
  /** For each name below the root: may it be made? */
  readonly mayMake: readonly boolean[];
}

export function mkdir({ place, recursive, mayMake }: MkdirCall, check: Checkpoint): void {
  if (recursive) {
    makePath(place, mayMake, check);
  } else {
    const { parent, name } = splitPlace(place, "exists");
    using directory = walk(parent, check);
    mkdirSync(directory.at(name), DIRECTORY_MODE);
  }
}

function makePath({ root, below }: Place, mayMake: readonly boolean[], check: Checkpoint): void {
  let directory = enter(root);
  try {
    for (const [position, name] of below.entries()) {
      check();
      const next = entered(directory, name) ?? made(directory, name, mayMake[position] ?? false);
      directory.close();
      directory = next;
    }
  } finally {
    directory.close();
  }
}

function entered(parent: Descriptor, name: string): Descriptor | undefined {
  try {
    return parent.directory(name);
  } catch (error) {
    if (refusalOf(error).reason === "not_found") return undefined;
    throw error;
  }
}

function made(parent: Descriptor, name: string, mayMake: boolean): Descriptor {
  if (!mayMake) throw new Refusal("not_covered");
  parent.assertNotOfKernel();
  try {
    mkdirSync(parent.at(name), DIRECTORY_MODE);
  } catch (error) {
    // Somebody else made it meanwhile: what it is shows when it is opened.
    if (codeOf(error) !== "EEXIST") throw error;
  }
  return parent.directory(name);
}
