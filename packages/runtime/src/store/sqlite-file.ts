/** The file of the embedded store: locked, recognised, brought up to date, and only then written to. */
import { chmodSync, closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import Database from "better-sqlite3";
import { sealAudit } from "./audit-sealing.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { assertOwnLog, assertSchema, assertWhole, countOpen, isMemory, OpenMark } from "./file-health.ts";
import { lockFile, realPath } from "./file-lock.ts";
import { cipherForWriting, cipherOf, type RowCipher } from "./row-cipher.ts";
import { CHAINED_AUDIT_VERSION, MIGRATIONS } from "./schema.ts";
import { guarded, isFull, StoreError, storeErrorOf } from "./store-error.ts";

/** How long another program may hold the write lock while the file is opened; nothing else happens meanwhile. */
const OPEN_WAIT_MS = 5_000;
/** The same for a commit, which can be tried again. */
const COMMIT_WAIT_MS = 250;
/** What is kept of a log that has grown because somebody read for long. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;

export interface DatabaseFile {
  readonly db: Database.Database;
  /** `undefined`: nothing in it is encrypted. */
  readonly cipher: RowCipher | undefined;
  /** Closes the database, and lets others have it. Idempotent. */
  close(): void;
}

/** How a file is opened. */
export interface FileOptions {
  /** Default: `FULL`. */
  readonly synchronous?: "FULL" | "NORMAL";
  /** As of the store. Default: none. */
  readonly encryptionKeys?: readonly Uint8Array[];
  /** Contents are not looked at: a file that is encrypted needs no keys. Default: false. */
  readonly isSealed?: boolean;
  /** Takes up the first key although there is something that is not encrypted. Default: false. */
  readonly mayHoldPlain?: boolean;
}

/**
 * The database at `path`, of this program's version, for this process alone to write to. Makes the file if there is none,
 * for its owner alone; a file of an older version is copied to `<path>.v<N>.bak` and then brought up to date.
 *
 * @throws StoreError if it cannot be had: every reason but `full` and `io` says that nothing was changed.
 */
export function openForWriting(path: string, options: FileOptions): DatabaseFile {
  if (isMemory(path)) return opened(path, () => {}, options);
  const unlock = lockFile(path);
  try {
    if (!existsSync(path)) create(path);
    return openedOnFullDisk(path, unlock, options);
  } catch (error) {
    unlock();
    throw namedError(path, error);
  }
}

/** On a disk that has been full when the process before this one ended, what that had set aside is of use now. */
function openedOnFullDisk(...[path, ...rest]: Parameters<typeof opened>): DatabaseFile {
  try {
    return guarded(() => opened(path, ...rest));
  } catch (error) {
    if (!isFull(error) || !new DiskReserve(path).release()) throw error;
    return opened(path, ...rest);
  }
}

/** The same for reading only, beside whoever writes to it. Throws {@link StoreError}. */
export function openForReading(path: string, { encryptionKeys = [], isSealed = false }: FileOptions): DatabaseFile {
  assertOwnLog(realPath(path));
  const db = connect(path, { readonly: true, fileMustExist: true });
  try {
    assertOwn(db);
    assertCurrent(versionOf(db));
    assertSchema(db);
    const cipher = isSealed ? undefined : cipherOf(db, encryptionKeys);
    const uncount = countOpen(path);
    const close = (): void => {
      if (!db.open) return;
      db.close();
      uncount();
    };
    return { db, cipher, close };
  } catch (error) {
    db.close();
    throw namedError(path, error);
  }
}

/** The same for writing, beside the process that has it, or for this one alone if nobody has it. Throws {@link StoreError}. */
export function openAsGuest(path: string, options: FileOptions): DatabaseFile {
  if (!isLocked(path)) return openForWriting(path, options);
  const file = realPath(path);
  assertOwnLog(file);
  const db = connect(path, { fileMustExist: true });
  try {
    assertOwn(db);
    assertCurrent(versionOf(db));
    assertSchema(db);
    db.pragma("synchronous = FULL");
    const cipher = cipherOf(db, options.encryptionKeys ?? []);
    const uncount = countOpen(path);
    const close = (): void => {
      if (!db.open) return;
      // Whoever is the last to close it deletes the log, which then nobody is to miss.
      if (!isLocked(path)) new OpenMark(file).clear();
      db.close();
      uncount();
    };
    return { db, cipher, close };
  } catch (error) {
    db.close();
    throw namedError(path, error);
  }
}

function isLocked(path: string): boolean {
  try {
    lockFile(path)();
    return false;
  } catch (error) {
    if (error instanceof StoreError && error.reason === "locked") return true;
    throw error;
  }
}

function opened(path: string, unlock: () => void, options: FileOptions): DatabaseFile {
  const { synchronous = "FULL" } = options;
  // SQLite keeps the log beside the file itself.
  const file = isMemory(path) ? path : realPath(path);
  const mark = isMemory(path) ? undefined : new OpenMark(file);
  mark?.assertLogIsThere();
  assertOwnLog(file);
  const db = connect(path, {});
  try {
    assertOwn(db);
    assertWhole(db, file);
    // Before anything is written: what a newer version has made is left as it is.
    assertKnown(versionOf(db));
    db.pragma("journal_mode = WAL");
    db.pragma(`synchronous = ${synchronous}`);
    db.pragma(`journal_size_limit = ${MAX_LOG_BYTES}`);
    migrate(db, path);
    assertSchema(db);
    const cipher = cipherFor(db, options);
    db.pragma(`busy_timeout = ${COMMIT_WAIT_MS}`);
    mark?.set();
    const uncount = countOpen(path);
    const close = (): void => {
      if (!db.open) return;
      mark?.clear();
      db.close();
      uncount();
      unlock();
    };
    return { db, cipher, close };
  } catch (error) {
    db.close();
    throw error;
  }
}

function cipherFor(db: Database.Database, options: FileOptions): RowCipher | undefined {
  const { encryptionKeys = [], isSealed = false, mayHoldPlain = false } = options;
  if (isSealed) return undefined;
  if (encryptionKeys.length === 0) return cipherOf(db, encryptionKeys);
  return db.transaction(() => cipherForWriting(db, encryptionKeys, mayHoldPlain)).immediate();
}

/** What is damaged has to be restored: which file that is must be said. */
function namedError(path: string, error: unknown): unknown {
  const failure = storeErrorOf(error);
  if (!(failure instanceof StoreError) || failure.reason !== "corrupt" || failure.message.includes(path))
    return failure;
  return new StoreError("corrupt", `${path}: ${failure.message}`, { cause: failure.cause });
}

function connect(path: string, options: Database.Options): Database.Database {
  try {
    return new Database(path, { ...options, timeout: OPEN_WAIT_MS });
  } catch (error) {
    const isRefused = error instanceof Error && "code" in error && error.code === "SQLITE_CANTOPEN";
    if (!isRefused) throw storeErrorOf(error);
    throw new StoreError("read_only", "the file cannot be opened: is it there, and may this user read and write it?", {
      cause: error,
    });
  }
}

/** SQLite gives the files that it keeps beside the database the same mode. */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (cause) {
    throw new StoreError("read_only", `the file cannot be made: ${(cause as Error).message}`, { cause });
  }
}

const versionOf = (db: Database.Database): number => db.pragma("user_version", { simple: true }) as number;

/** Throws for a database that another program has made, before anything in it is changed. */
function assertOwn(db: Database.Database): void {
  const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all();
  const isOwn = ["job", "entry", "feed"].every((name) => tables.includes(name));
  if (tables.length === 0 || isOwn) return;
  throw new StoreError("foreign", "its tables are another program's");
}

function assertKnown(version: number): void {
  if (version <= MIGRATIONS.length) return;
  throw new StoreError(
    "version",
    `the database is of version ${version}, this program knows up to ${MIGRATIONS.length}: a newer one has written it`,
  );
}

/** A file that is only read cannot be brought up to date. */
function assertCurrent(version: number): void {
  assertKnown(version);
  if (version === MIGRATIONS.length) return;
  throw new StoreError(
    "version",
    `the database is of version ${version}: a runtime that opens it brings it to ${MIGRATIONS.length}`,
  );
}

/** All steps or none, whenever the process ends. */
function migrate(db: Database.Database, path: string): void {
  const version = versionOf(db);
  if (version === MIGRATIONS.length) return;
  if (version > 0 && !isMemory(path)) copyTo(db, `${path}.v${version}.bak`);
  db.transaction(() => {
    for (const step of MIGRATIONS.slice(version)) db.exec(step);
    if (version < CHAINED_AUDIT_VERSION) sealAudit(db);
    db.pragma(`user_version = ${MIGRATIONS.length}`);
  }).immediate();
}

/**
 * Copies the database as it is at this moment, for its owner alone, and replaces what is there. Resolved when the copy is on
 * disk: there is a whole copy under that name, or none. `finish` does the rest, before it has its name. Throws {@link StoreError}.
 */
export function copyTo(db: Database.Database, target: string, finish: (copy: string) => void = () => {}): void {
  const unfinished = `${target}.partial`;
  try {
    rmSync(unfinished, { force: true });
    create(unfinished);
    guarded(() => db.prepare("VACUUM INTO ?").run(unfinished));
    if (process.platform !== "win32") chmodSync(unfinished, 0o600);
    finish(unfinished);
    syncPath(unfinished, "r+");
    renameSync(unfinished, target);
    if (process.platform !== "win32") syncPath(dirname(resolve(target)), "r");
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error instanceof StoreError ? new StoreError(error.reason, `${target}: ${error.message}`, error) : error;
  }
}

export function syncPath(path: string, flags: string): void {
  const fd = openSync(path, flags);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
