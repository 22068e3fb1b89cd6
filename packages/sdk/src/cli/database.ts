import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Store, StoreError, sqliteStore } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";

/** Where `arcp serve` keeps what happens, below the directory in which it was started. */
export const DEFAULT_DATABASE = join(".arcp", "runtime.db");

/** Where contents of artifacts are, beside the database that names them. */
export const artifactsOf = (path: string): string => `${path}.artifacts`;

const KEY_BYTES = 32;

/** The keys of an encrypted database, from the environment. Throws {@link UsageError}, which does not repeat them. */
export function databaseKeys(): readonly Uint8Array[] {
  const text = process.env["ARCP_DB_KEY"]?.trim() ?? "";
  if (text === "") return [];
  return text.split(",").map((part) => {
    const key = Buffer.from(part.trim(), "base64");
    if (key.length === KEY_BYTES && key.toString("base64").replace(/=$/, "") === part.trim().replace(/=$/, ""))
      return key;
    throw new UsageError("ARCP_DB_KEY: expected 32 bytes in base64, as `openssl rand -base64 32` prints them");
  });
}

/** The database of a runtime, for reading, whether the runtime is there or not. Throws an error that names the file. */
export function openDatabase(path: string): Store {
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  try {
    return sqliteStore({ path, readOnly: true, encryptionKeys: databaseKeys() });
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

/** Why the database at `path` cannot be opened, in words that name it. */
export function databaseError(path: string, cause: unknown): Error {
  if (cause instanceof UsageError) return cause;
  if (!(cause instanceof StoreError)) return new Error(`${path} cannot be opened: ${String(cause)}`, { cause });
  if (cause.reason === "locked")
    return new Error(`${cause.message}; give this one a database of its own with --db`, { cause });
  if (cause.reason === "foreign")
    return new Error(`${path} is not the database of a runtime: ${cause.message}`, { cause });
  if (cause.message.includes(path)) return new Error(cause.message, { cause });
  return new Error(`${path} cannot be opened: ${cause.message}`, { cause });
}
