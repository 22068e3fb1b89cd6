/** A directory that holds blobs and nothing else: opened once, and known again. */
import {
  type BigIntStats,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
} from "node:fs";
import { lstat, opendir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { BlobError } from "./blobs.ts";

const sync = promisify(fsync);
const isWindows = process.platform === "win32";

const NO_SPACE: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
const UNUSABLE: ReadonlySet<string> = new Set(["EROFS", "EACCES", "EPERM", "ENOTDIR", "ELOOP"]);

/** What the file system threw, as the store's error. The system's own text names paths: it is the cause. */
export function blobErrorOf(error: unknown): BlobError {
  if (error instanceof BlobError) return error;
  const code = codeOf(error);
  if (NO_SPACE.has(code)) return new BlobError("no_space", "no space is left for blobs", { cause: error });
  if (code === "ENOENT") return new BlobError("missing", "there is no such blob", { cause: error });
  if (UNUSABLE.has(code)) return new BlobError("unusable", "the place for blobs cannot be used", { cause: error });
  return new BlobError("failed", "the file system failed", { cause: error });
}

/** The system's name for an error; empty if it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

export class BlobDirectory {
  readonly #path: string;
  readonly #identity: Pick<BigIntStats, "dev" | "ino">;
  /** `undefined` where directories cannot be opened. */
  readonly #fd: number | undefined;
  /** A path that leads to this directory, whatever its name is by now, where the system has one. */
  readonly #base: string;

  private constructor(path: string, fd: number | undefined, identity: BigIntStats) {
    this.#path = path;
    this.#fd = fd;
    this.#identity = identity;
    const byDescriptor = `/proc/self/fd/${fd}`;
    this.#base = fd !== undefined && existsSync(`${byDescriptor}/.`) ? byDescriptor : path;
  }

  /** Makes the directory if there is none, for its owner alone. Throws {@link BlobError}. */
  static open(directory: string): BlobDirectory {
    const path = resolve(directory);
    try {
      if (make(path) && !isWindows) syncNow(dirname(path));
      return BlobDirectory.#opened(path);
    } catch (error) {
      if (error instanceof BlobError) throw error;
      throw new BlobError("unusable", `${path} cannot be used for blobs`, { cause: error });
    }
  }

  static #opened(path: string): BlobDirectory {
    if (isWindows) return new BlobDirectory(path, undefined, checked(path, lstatSync(path, { bigint: true })));
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      return new BlobDirectory(path, fd, checked(path, fstatSync(fd, { bigint: true })));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The path of the file called `name`, which is one segment. */
  at(name: string): string {
    return join(this.#base, name);
  }

  /** Rejects with {@link BlobError} if its path has come to mean something else: what is put here would not be found. */
  async assertInPlace(): Promise<void> {
    const found = await lstat(this.#path, { bigint: true }).catch(() => undefined);
    if (found?.isDirectory() && found.dev === this.#identity.dev && found.ino === this.#identity.ino) return;
    throw new BlobError("unusable", `${this.#path} is no longer the directory that it was`);
  }

  /** Resolves when the names in it are durable. */
  async sync(): Promise<void> {
    if (this.#fd !== undefined) await sync(this.#fd);
  }

  async *names(): AsyncIterable<string> {
    for await (const { name } of await opendir(this.#base)) yield name;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

/** Returns whether there was none. */
const make = (path: string): boolean => mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined;

/** A new directory is durable when its parent is. */
function syncNow(path: string): void {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Whoever can write to the directory can put other files in the place of ours. */
function checked(path: string, facts: BigIntStats): BigIntStats {
  if (!facts.isDirectory()) throw new BlobError("unusable", `${path} is not a directory`);
  if (isWindows) return facts;
  if ((facts.mode & 0o022n) !== 0n) throw new BlobError("unusable", `${path} can be written to by others`);
  if (facts.uid !== BigInt(process.geteuid?.() ?? 0))
    throw new BlobError("unusable", `${path} belongs to another user`);
  return facts;
}
