/** Is a file whole enough for a runtime to go on with it? Looked at when it is opened, before anybody is shown anything. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import type Database from "better-sqlite3";
import { StoreError } from "./store-error.ts";

/** Larger files are looked at by `arcp db check` alone: a start would take seconds. */
const MAX_CHECKED_BYTES = 256 * 1024 * 1024;

/** Pages that contradict each other, and indexes that do not lead to their rows. Throws {@link StoreError} `corrupt`. */
export function assertWhole(db: Database.Database): void {
  const pages = db.pragma("page_count", { simple: true }) as number;
  if (pages * (db.pragma("page_size", { simple: true }) as number) > MAX_CHECKED_BYTES) return;
  const found = db.pragma("integrity_check(1)", { simple: true });
  if (found === "ok") return;
  throw new StoreError(
    "corrupt",
    `the database is damaged (${String(found)}): \`arcp db check\` says where, a backup brings it back`,
  );
}

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
