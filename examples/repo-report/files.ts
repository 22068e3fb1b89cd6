/**
 * Which files there are, and what is in each of them. Paths are relative to the root, with forward slashes. Symbolic
 * links are never followed, and no more than one file is held at a time.
 */
import { constants } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { gitRecords } from "./git.ts";
import type { Narrator } from "./narration.ts";
import { byText } from "./ranking.ts";
import type { WorkTree } from "./work-tree.ts";

/** Larger files are counted, but not read. */
export const MAX_FILE_BYTES = 2_000_000;
const LISTING_TIME_LIMIT_MS = 60_000;
const BINARY_PROBE_BYTES = 8_000;

/** Directories that hold what was installed or generated. Only used where there is no .gitignore to ask. */
const GENERATED_DIRECTORIES = new Set([
  ...[".git", ".hg", ".svn", "node_modules", "dist", "build", "target"],
  ...["venv", ".venv", "__pycache__", ".tox", ".mypy_cache", ".pytest_cache", "coverage"],
]);

export interface Listing {
  readonly paths: readonly string[];
  /** There were more files than were asked for. */
  readonly isTruncated: boolean;
}

export type FileContent =
  | { readonly kind: "text"; readonly bytes: number; readonly text: string }
  | { readonly kind: "binary" | "too large"; readonly bytes: number }
  | { readonly kind: "skipped"; readonly why: "symbolic link" | "not a file" | "missing" | "unreadable" };

/** Up to `maxFiles` paths in text order. In a work tree: what git tracks or would add. Elsewhere: a walk. */
export async function listFiles(
  root: string,
  workTree: WorkTree,
  maxFiles: number,
  narrator: Narrator,
): Promise<Listing> {
  const paths = new Set<string>();
  let isTruncated = false;
  for await (const path of workTree.kind === "git" ? gitFiles(root, narrator.signal) : walk(root, narrator)) {
    if (paths.size === maxFiles && !paths.has(path)) {
      isTruncated = true;
      break;
    }
    paths.add(path);
    await narrator.progress(paths.size, { units: "files", message: "found" });
  }
  return { paths: [...paths].sort(byText), isTruncated };
}

function gitFiles(root: string, signal: AbortSignal): AsyncIterable<string> {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  return gitRecords({ root, args, signal, timeLimitMs: LISTING_TIME_LIMIT_MS, separator: "\0" });
}

/** Depth first, in text order, so that a truncated walk is always truncated at the same place. */
async function* walk(root: string, narrator: Narrator): AsyncGenerator<string, void, undefined> {
  const waiting = [""];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    await narrator.breathe();
    const entries = await entriesOf(join(root, directory));
    for (const entry of entries) if (entry.isFile()) yield directory + entry.name;
    const inner = entries.filter((entry) => entry.isDirectory() && !GENERATED_DIRECTORIES.has(entry.name));
    for (const entry of inner.reverse()) waiting.push(`${directory}${entry.name}/`);
  }
}

async function entriesOf(directory: string) {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.sort((a, b) => byText(a.name, b.name));
  } catch {
    return []; // A directory that may not be read, or is gone: the report covers what can be seen.
  }
}

/** Reads files below one root, and refuses to reach any of them through a symbolic link. */
export class FileReader {
  readonly #root: string;
  /** Is this directory, and every one above it up to the root, a real one? */
  readonly #isReal = new Map<string, boolean>([["", true]]);

  constructor(root: string) {
    this.#root = root;
  }

  async read(path: string): Promise<FileContent> {
    try {
      if (!(await this.#isRealDirectory(parentOf(path)))) return { kind: "skipped", why: "symbolic link" };
      return await readContent(join(this.#root, path));
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      return { kind: "skipped", why: isMissing ? "missing" : "unreadable" };
    }
  }

  async #isRealDirectory(path: string): Promise<boolean> {
    const known = this.#isReal.get(path);
    if (known !== undefined) return known;
    const isReal = (await this.#isRealDirectory(parentOf(path))) && (await lstat(join(this.#root, path))).isDirectory();
    this.#isReal.set(path, isReal);
    return isReal;
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

async function readContent(path: string): Promise<FileContent> {
  const found = await lstat(path);
  if (found.isSymbolicLink()) return { kind: "skipped", why: "symbolic link" };
  if (!found.isFile()) return { kind: "skipped", why: "not a file" };
  if (found.size > MAX_FILE_BYTES) return { kind: "too large", bytes: found.size };
  const bytes = await readBytes(path, found.size);
  if (bytes.subarray(0, BINARY_PROBE_BYTES).includes(0)) return { kind: "binary", bytes: bytes.length };
  return { kind: "text", bytes: bytes.length, text: bytes.toString("utf8") };
}

/** At most `size` bytes, however much the file has grown since it was measured. */
async function readBytes(path: string, size: number): Promise<Buffer> {
  // The flag is missing on Windows, where the check above has to do.
  const file = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  try {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
