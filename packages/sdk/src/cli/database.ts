import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Store, StoreError, sqliteStore } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";

/** Where `arcp serve` keeps what happens, below the directory in which it was started. */
export const DEFAULT_DATABASE = join(".arcp", "runtime.db");

/** The database of a runtime, for reading, whether the runtime is there or not. Throws an error that names the file. */
export function openDatabase(path: string): Store {
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  try {
    return sqliteStore({ path, readOnly: true });
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

/** Why the database at `path` cannot be opened, in words that name it. */
export function databaseError(path: string, cause: unknown): Error {
  if (!(cause instanceof StoreError)) return new Error(`${path} cannot be opened: ${String(cause)}`, { cause });
  if (cause.reason === "locked")
    return new Error(`${cause.message}; give this one a database of its own with --db`, { cause });
  if (cause.reason === "foreign")
    return new Error(`${path} is not the database of a runtime: ${cause.message}`, { cause });
  return new Error(`${path} cannot be opened: ${cause.message}`, { cause });
}
