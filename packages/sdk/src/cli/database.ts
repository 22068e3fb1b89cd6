import { existsSync } from "node:fs";
import { join } from "node:path";
import { ulid } from "@arcp/core";
import { type Store, StoreError, sqliteStore } from "@arcp/runtime";
import { UsageError } from "./exit-code.ts";
import { isPostgres, openPostgres, withoutPassword } from "./postgres.ts";
import { version } from "./version.ts";

/** Where `arcp serve` keeps what happens, below the directory in which it was started. */
export const DEFAULT_DATABASE = join(".arcp", "runtime.db");

/** What a command is told of its database; `undefined` if nothing. Throws {@link UsageError} for a URL of something else. */
export function namedDatabase(option: string | undefined): string | undefined {
  const name = option ?? (process.env["ARCP_DB"] || undefined);
  if (name !== undefined && /^[a-z][a-z0-9+.-]*:\/\//i.test(name) && !isPostgres(name)) {
    throw new UsageError("a database is a file, or a URL that begins with postgresql://");
  }
  return name;
}

/** The same, or the one of the working directory. */
export const chosenDatabase = (option: string | undefined): string => namedDatabase(option) ?? DEFAULT_DATABASE;

/** Its name as it can be printed. */
export const shownDatabase = (database: string): string =>
  isPostgres(database) ? withoutPassword(database) : database;

/** Flags and description of the option that names one. */
export const DATABASE_OPTION = [
  "--db <database>",
  `a file, or postgresql://…; else ARCP_DB (default: ${DEFAULT_DATABASE})`,
] as const;

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

/** The database of a runtime, for reading, whether the runtime is there or not. Throws an error that names it. */
export async function openDatabase(path: string): Promise<Store> {
  if (isPostgres(path)) return openPostgres(path, { migrate: false, pool: { max: 2 } });
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  try {
    return sqliteStore({ path, readOnly: true, encryptionKeys: databaseKeys() });
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

/**
 * Calls `work` with the database of a runtime, to change in it what runtimes look at anew whenever they use it, whether one uses the
 * database or not. Throws an error that names it.
 */
export async function withWritableDatabase<Result>(
  path: string,
  work: (store: Store) => Promise<Result>,
): Promise<Result> {
  if (isPostgres(path)) return withVisitor(path, work);
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}; --db says where the database is`);
  const store = made(path);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function made(path: string): Store {
  try {
    return sqliteStore({ path, isGuest: true, encryptionKeys: databaseKeys() });
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

/** Only nodes may write: this one takes nothing, and leaves at once. */
const VISITOR_TTL_MS = 30_000;

async function withVisitor<Result>(path: string, work: (store: Store) => Promise<Result>): Promise<Result> {
  const store = await openPostgres(path, { migrate: false, pool: { max: 2 } });
  const facts = { id: `node_${ulid()}` as const, name: "arcp", version, agents: [], labels: {} };
  try {
    await store.join({ ...facts, isDraining: true, jobs: 0, sessions: 0, lagMs: 0 }, VISITOR_TTL_MS);
    try {
      return await work(store);
    } finally {
      await store.leave();
    }
  } finally {
    await store.close();
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
