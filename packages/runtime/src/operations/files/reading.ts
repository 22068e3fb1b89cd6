/** What reads: whole files, files piece by piece, directories, facts. Runs in a worker. */
import { type BigIntStats, constants, type Dirent, lstatSync, opendirSync, readSync } from "node:fs";
import type { FileEntry, FileFacts } from "../../engine/agent-operations.ts";
import type { Descriptor } from "./descriptor.ts";
import { Refusal } from "./refusal.ts";
import { type Checkpoint, enter, type Place, splitPlace, walk } from "./walk.ts";

const BYTES_PER_STEP = 2 ** 20;

type Bytes = Uint8Array<ArrayBuffer>;

/** The content of a file, which is not read further than `maxBytes`. */
export function read(
  { place, maxBytes }: { readonly place: Place; readonly maxBytes: number },
  check: Checkpoint,
): Bytes {
  using file = openFile(place, maxBytes, check);
  // One byte more than there should be shows that there is no more.
  let bytes: Bytes = new Uint8Array(Number(file.identity().size) + 1);
  let length = 0;
  for (;;) {
    check();
    const count = readSync(file.fd, bytes, length, Math.min(bytes.length - length, BYTES_PER_STEP), null);
    length += count;
    if (length > maxBytes) throw new Refusal("too_large");
    if (count === 0) return firstOf(bytes, length);
    if (length === bytes.length) bytes = firstOf(bytes, Math.min(length * 2 + BYTES_PER_STEP, maxBytes + 1));
  }
}

/** Opens a file to be read by {@link next}. The descriptor is the caller's to close. */
export function open(
  { place, maxBytes }: { readonly place: Place; readonly maxBytes: number },
  check: Checkpoint,
): number {
  return openFile(place, maxBytes, check).fd;
}

/** The next bytes of an open file, at most `maxBytes`; none at its end. */
export function next({ fd, maxBytes }: { readonly fd: number; readonly maxBytes: number }): Bytes {
  const bytes = new Uint8Array(maxBytes);
  return firstOf(bytes, readSync(fd, bytes, 0, maxBytes, null));
}

function openFile(place: Place, maxBytes: number, check: Checkpoint): Descriptor {
  const { parent, name } = splitPlace(place, "not_a_file");
  using directory = walk(parent, check);
  const file = directory.file(name, constants.O_RDONLY);
  if (file.identity().size <= BigInt(maxBytes)) return file;
  file.close();
  throw new Refusal("too_large");
}

/** `bytes` in a buffer of its own that is `length` long; no second one is held. */
const firstOf = (bytes: Bytes, length: number): Bytes => new Uint8Array(bytes.buffer.transfer(length));

/** What is in a directory, by code point. */
export function list(
  { place, maxEntries }: { readonly place: Place; readonly maxEntries: number },
  check: Checkpoint,
): FileEntry[] {
  using directory = walk(place, check);
  const entries = entriesOf(directory, maxEntries, check).map((entry) => ({
    key: Buffer.from(entry.name),
    entry: { name: entry.name, kind: kindOf(entry) },
  }));
  // The bytes of UTF-8 have the order of the characters.
  return entries.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ entry }) => entry);
}

/** @throws Refusal `too_many` after `maxEntries`. */
export function entriesOf(directory: Descriptor, maxEntries: number, check: Checkpoint): Dirent[] {
  const entries: Dirent[] = [];
  const open = opendirSync(directory.path, { bufferSize: 256 });
  try {
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      check();
      if (entries.length === maxEntries) throw new Refusal("too_many");
      entries.push(entry);
    }
    return entries;
  } finally {
    open.closeSync();
  }
}

/** What is known of a thing without opening it. */
export function stat({ place }: { readonly place: Place }, check: Checkpoint): FileFacts {
  return factsOf(place.below.length === 0 ? enter(place.root).identity() : lookUp(place, check));
}

function lookUp(place: Place, check: Checkpoint): BigIntStats {
  const { parent, name } = splitPlace(place, "not_found");
  using directory = walk(parent, check);
  return lstatSync(directory.at(name), { bigint: true });
}

function factsOf(found: BigIntStats): FileFacts {
  const kind = kindOf(found);
  if (kind === "file" && found.nlink > 1n) throw new Refusal("has_other_names");
  return { kind, size: Number(found.size), modifiedAt: instantOf(found.mtimeMs) };
}

function kindOf(entry: Dirent | BigIntStats): FileEntry["kind"] {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  return entry.isSymbolicLink() ? "link" : "other";
}

const FIRST_INSTANT = Date.parse("0000-01-01T00:00:00Z");
const LAST_INSTANT = Date.parse("9999-12-31T23:59:59.999Z");

/** A file may carry a time that RFC 3339 cannot say. */
const instantOf = (ms: bigint): string =>
  new Date(Math.min(Math.max(Number(ms), FIRST_INSTANT), LAST_INSTANT)).toISOString();
