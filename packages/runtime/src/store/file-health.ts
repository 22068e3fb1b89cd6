/** Is a file whole enough for a runtime to go on with it? Looked at when it is opened, before anybody is shown anything. */
import { closeSync, existsSync, openSync, readSync, rmSync, statSync, writeFileSync } from "node:fs";
import Database from "better-sqlite3";
import { MIGRATIONS } from "./schema.ts";
import { StoreError } from "./store-error.ts";

/** Names of databases that live and die with the process. */
export const isMemory = (path: string): boolean => path === ":memory:" || path === "";

/** Larger files are looked at by `arcp db check` alone: a start would take seconds. */
const MAX_CHECKED_BYTES = 256 * 1024 * 1024;

/**
 * Throws {@link StoreError} `corrupt` for a file that is shorter than it says, for pages that contradict each other, and for
 * indexes that do not lead to their rows.
 */
export function assertWhole(db: Database.Database, path: string): void {
  const pages = db.pragma("page_count", { simple: true }) as number;
  const bytes = pages * (db.pragma("page_size", { simple: true }) as number);
  // What is missing may be in the log.
  if (!isMemory(path) && sizeOf(`${path}-wal`) === 0 && sizeOf(path) < bytes) throw brokenFile("its end is cut off");
  if (bytes > MAX_CHECKED_BYTES) return;
  const found = db.pragma("integrity_check(1)", { simple: true });
  if (found !== "ok") throw brokenFile(String(found));
}

/** Where the header of a file says how it is written, and what says that it is with a log. */
const WRITE_VERSION_AT = 18;
const WITH_LOG = 2;

/** The files that this process has open, with how often. */
const openFiles = new Map<string, number>();

/** To be called when a database has been opened; what it returns, when it has been closed. */
export function countOpen(path: string): () => void {
  const file = identityOf(path);
  if (file === undefined) return () => {};
  openFiles.set(file, (openFiles.get(file) ?? 0) + 1);
  return () => {
    const left = (openFiles.get(file) ?? 1) - 1;
    if (left === 0) openFiles.delete(file);
    else openFiles.set(file, left);
  };
}

function identityOf(path: string): string | undefined {
  const facts = statSync(path, { throwIfNoEntry: false, bigint: true });
  return facts && `${facts.dev}:${facts.ino}`;
}

/**
 * Throws {@link StoreError} `corrupt` for a copy that was put beside the log of another file: SQLite would apply that to it.
 * To be asked before the database is opened. One that this process has open already is not looked at: to close a descriptor
 * of a file gives up the locks that SQLite has on it.
 */
export function assertOwnLog(path: string): void {
  if (isMemory(path) || sizeOf(`${path}-wal`) === 0 || sizeOf(path) === 0) return;
  if (openFiles.has(identityOf(path) ?? "")) return;
  const file = openSync(path, "r");
  try {
    const version = Buffer.alloc(1);
    readSync(file, version, 0, 1, WRITE_VERSION_AT);
    if (version[0] === WITH_LOG) return;
  } finally {
    closeSync(file);
  }
  throw new StoreError(
    "corrupt",
    `${path} is a copy, and ${path}-wal is not its log but another file's: put that with its own database`,
  );
}

/** Throws {@link StoreError} `corrupt` if the tables are not those of this version: they are read with the file. */
export function assertSchema(db: Database.Database): void {
  const actual = schemaOf(db);
  for (const [name, text] of expectedSchema())
    if (actual.get(name) !== text) throw brokenFile(`${name} is not as it was made`);
}

let expected: ReadonlyMap<string, string> | undefined;

function expectedSchema(): ReadonlyMap<string, string> {
  if (expected !== undefined) return expected;
  const db = new Database(":memory:");
  for (const step of MIGRATIONS) db.exec(step);
  expected = schemaOf(db);
  db.close();
  return expected;
}

function schemaOf(db: Database.Database): ReadonlyMap<string, string> {
  const rows = db.prepare("SELECT name, type || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_master");
  return new Map(rows.raw().all() as [string, string][]);
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

const brokenFile = (what: string): StoreError =>
  new StoreError("corrupt", `the database is damaged (${what}): \`arcp db check\` says where, a backup brings it back`);

/**
 * Says beside the database that a process has it open for writing. While that is so, what was committed last is in
 * `<path>-wal` only: if that is gone when the next process comes, so is what was committed.
 */
export class OpenMark {
  readonly #path: string;
  readonly #mark: string;

  constructor(path: string) {
    this.#path = path;
    this.#mark = `${path}-open`;
  }

  /** To be asked before the database is opened, which makes the file if it is missing. Throws {@link StoreError} `corrupt`. */
  assertLogIsThere(): void {
    if (!existsSync(this.#mark) || !existsSync(this.#path) || existsSync(`${this.#path}-wal`)) return;
    throw new StoreError(
      "corrupt",
      `${this.#path}-wal is gone, and with it what was committed last: put it back or restore a backup; to go on without, delete ${this.#mark}`,
    );
  }

  set(): void {
    try {
      writeFileSync(this.#mark, "", { mode: 0o600 });
    } catch {
      // On a full disk there is none: a log that is deleted then is not missed.
    }
  }

  /** To be called before the database is closed, which deletes the log. */
  clear(): void {
    rmSync(this.#mark, { force: true });
  }
}
