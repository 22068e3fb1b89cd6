/** What an operator does to a database as a whole: a copy of it, and a smaller one. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { copyTo, openForReading, openForWriting, syncPath } from "./sqlite-file.ts";
import { guarded, StoreError } from "./store-error.ts";

/** What compacting a database has brought. */
export interface Compacted {
  /** Bytes on the disk, with the log. */
  readonly before: number;
  readonly after: number;
}

/**
 * Writes the database anew, without what was deleted. Needs as much room again as it takes, and no other process that has it:
 * throws {@link StoreError} `locked`, which names that process.
 */
export function compactDatabase(path: string): Compacted {
  const before = bytesOf(path);
  const file = openForWriting(path, { synchronous: "FULL", isSealed: true });
  try {
    guarded(() => compact(file.db));
  } finally {
    file.close();
  }
  return { before, after: bytesOf(path) };
}

/** The same in an open file: nothing that was deleted or overwritten is left in it, or in its log. */
export function compact(db: Database.Database): void {
  db.exec("VACUUM");
  db.pragma("wal_checkpoint(TRUNCATE)");
}

/** Which database is copied, and where to. */
export interface BackupOptions {
  readonly path: string;
  /** Where the contents of artifacts are. Default: they are not copied. */
  readonly blobDirectory?: string;
  /** The copy: a file that is not there yet. */
  readonly target: string;
  /** The copy of `blobDirectory`. */
  readonly blobTarget?: string;
}

/**
 * Copies the database as it is at this moment, for its owner alone, whether a runtime uses it or not, and the contents that
 * its artifacts name. What is encrypted stays so. When it returns, the copy is on disk, and whole: the database is the last to
 * have its name. Throws {@link StoreError}; `failed` if there is a file already.
 */
export function backUpDatabase({ path, blobDirectory, target, blobTarget }: BackupOptions): void {
  if (existsSync(target)) throw new StoreError("failed", `there is a file ${target} already`);
  const file = openForReading(path, { isSealed: true });
  try {
    copyTo(file.db, target, (copy) => {
      if (blobDirectory === undefined || blobTarget === undefined || !existsSync(blobDirectory)) return;
      copyBlobs(copy, file.db, blobDirectory, blobTarget);
    });
  } finally {
    file.close();
  }
}

/** An artifact that has gone since the database was copied goes from the copy, too. */
function copyBlobs(copy: string, original: Database.Database, from: string, to: string): void {
  const db = new Database(copy);
  try {
    db.pragma("journal_mode = MEMORY");
    const ids = new Set(db.prepare("SELECT id FROM record WHERE kind = 'artifact'").pluck().all() as string[]);
    if (ids.size === 0) return;
    mkdirSync(to, { recursive: true, mode: 0o700 });
    const copied = new Set<string>();
    for (const name of readdirSync(from)) {
      const [id = ""] = name.split(".");
      if (!ids.has(id) || name.endsWith(".partial")) continue;
      if (copyIfThere(join(from, name), join(to, name))) copied.add(id);
    }
    if (process.platform !== "win32") syncPath(to, "r");
    const isThere = original.prepare("SELECT 1 FROM record WHERE kind = 'artifact' AND id = ?");
    const remove = db.prepare("DELETE FROM record WHERE kind = 'artifact' AND id = ?");
    for (const id of ids) if (!copied.has(id) && isThere.get(id) === undefined) remove.run(id);
  } finally {
    db.close();
  }
}

function copyIfThere(from: string, to: string): boolean {
  try {
    copyFileSync(from, to);
    syncPath(to, "r+");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

const bytesOf = (path: string): number =>
  [path, `${path}-wal`].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
