import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Store, sqliteStore } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";

/** Where `arcp serve` keeps what happens, below the directory in which it was started. */
export const DEFAULT_DATABASE = join(".arcp", "runtime.db");

/** The database of a runtime, for reading, whether the runtime is there or not. Throws an error that names the file. */
export function openDatabase(path: string): Store {
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  try {
    return sqliteStore({ path, readOnly: true });
  } catch (cause) {
    throw new Error(`${path} is not the database of a runtime: ${(cause as Error).message}`, { cause });
  }
}
