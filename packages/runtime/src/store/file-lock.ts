/**
 * One process per file: a second one would take the first one's running jobs for abandoned, or forget its keys.
 *
 * The lock is the operating system's, taken through SQLite on a file beside the locked one, and ends with the process
 * however that ends: nothing stale is ever left, process ids that are used again mean nothing, and it holds between
 * containers that share a directory. SQLite takes it, and nothing here opens that file by itself: on POSIX systems a
 * process that closes any descriptor of a file loses its locks on it.
 */
import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, realpathSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import Database from "better-sqlite3";
import { guarded, StoreError, storeErrorOf } from "./store-error.ts";

/** How long somebody who is about to have the lock, or to give it up, may take to say who it is. */
const CLAIM_MS = 1_000;
/** How long a lock that is held is waited for: a process that has just been killed lets go of it a moment later. */
const WAIT_MS = 100;

interface Holder {
  readonly claim: string;
  readonly pid: number;
  readonly host: string;
}

/**
 * Locks the file until the returned function is called, or this process is gone. The file need not exist; links to it
 * are the same file. Throws {@link StoreError} `locked`, which names the process that has it.
 */
export function lockFile(path: string): () => void {
  const lock = `${realPath(path)}-lock`;
  const db = opened(lock);
  try {
    claim(db, path);
  } catch (error) {
    db.close();
    throw storeErrorOf(error);
  }
  return () => void db.close();
}

function opened(lock: string): Database.Database {
  if (!existsSync(dirname(lock))) throw new StoreError("failed", `there is no directory ${dirname(lock)}`);
  try {
    const db = new Database(lock, { timeout: WAIT_MS });
    // No file of its own beside it: there may be no room for that, and one row in one page needs none.
    db.pragma("journal_mode = MEMORY");
    if (process.platform !== "win32") chmodSync(lock, 0o600);
    return db;
  } catch (cause) {
    throw new StoreError("read_only", `${lock} cannot be made or opened: may this user write there?`, { cause });
  }
}

/**
 * Who writes a name into the lock file has to let go of the lock for an instant, for others to be able to read it. Who
 * got in between has put its own name there: whoever finds its own name when it has the lock again has won.
 */
function claim(db: Database.Database, path: string): void {
  const own: Holder = { claim: randomUUID(), pid: process.pid, host: hostname() };
  lockOr(db, () => inUse(path, holderOf(db)));
  db.pragma(`busy_timeout = ${CLAIM_MS}`);
  db.exec("CREATE TABLE IF NOT EXISTS holder (key INTEGER PRIMARY KEY, claim TEXT, pid INTEGER, host TEXT)");
  db.prepare("INSERT OR REPLACE INTO holder VALUES (1, ?, ?, ?)").run(own.claim, own.pid, own.host);
  db.exec("COMMIT");
  lockOr(db, () => inUse(path, holderOf(db)));
  const holder = holderOf(db);
  if (holder?.claim === own.claim) return;
  db.exec("ROLLBACK");
  throw inUse(path, holder);
}

/** Takes the right to write, and leaves others the right to read. */
function lockOr(db: Database.Database, refusal: () => StoreError): void {
  try {
    guarded(() => db.exec("BEGIN IMMEDIATE"));
  } catch (error) {
    throw error instanceof StoreError && error.reason === "busy" ? refusal() : error;
  }
}

function holderOf(db: Database.Database): Holder | undefined {
  try {
    return db.prepare("SELECT claim, pid, host FROM holder").get() as Holder | undefined;
  } catch {
    return undefined; // It has not said yet who it is.
  }
}

function inUse(path: string, holder: Holder | undefined): StoreError {
  return new StoreError("locked", `${path} is in use by another server (${nameOf(holder)})`);
}

function nameOf(holder: Holder | undefined): string {
  if (holder === undefined) return "which has just started";
  if (holder.host !== hostname()) return `process ${holder.pid} on ${holder.host}`;
  return holder.pid === process.pid ? `this process, ${holder.pid}` : `process ${holder.pid}`;
}

/** The file itself, for whoever reaches it through links. */
export function realPath(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const directory = dirname(resolve(path));
  return join(existsSync(directory) ? realpathSync(directory) : directory, basename(path));
}
