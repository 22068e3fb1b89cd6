/** What outlives `arcp serve`: its database, the contents of artifacts, and the key by which others know it again. */
import { chmodSync, mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type BlobStore, fileBlobs, type Store, sqliteStore } from "@arcp/runtime";
import type { ARCPConfig } from "../config.ts";
import type { LoadedConfig } from "./config-file.ts";
import { artifactsOf, DEFAULT_DATABASE, databaseError, databaseKeys, namedDatabase } from "./database.ts";
import { UsageError } from "./exit-code.ts";
import { ensureFingerprint, sharedFingerprint } from "./identity.ts";
import { isPostgres, openPostgres, postgresOptions } from "./postgres.ts";
import type { Shutdown } from "./shutdown.ts";

export interface DataOptions {
  readonly db?: string;
  readonly sync?: "full" | "normal";
}

export interface Data {
  /** A path, `:memory:`, or a URL, which may hold a password. */
  readonly database: string;
  readonly store: Store;
  /** `undefined`: artifacts go with the process. */
  readonly blobs: BlobStore | undefined;
  readonly fingerprint: string;
}

const MEMORY = ":memory:";

/** Opens everything, to be closed with `shutdown`. Throws an error that names the database and says why it cannot be used. */
export async function openData(options: DataOptions, loaded: LoadedConfig, shutdown: Shutdown): Promise<Data> {
  const database = databaseOf(options, loaded);
  const isSynced = (options.sync ?? loaded.config.sync) !== "normal";
  return isPostgres(database)
    ? openShared(database, isSynced, loaded.config, shutdown)
    : openFile(database, isSynced, loaded.config, shutdown);
}

/** A path, `:memory:`, or a URL. Throws {@link UsageError} for one of something else. */
export const databaseOf = (options: DataOptions, loaded: LoadedConfig): string =>
  namedDatabase(options.db) ?? configured(loaded) ?? DEFAULT_DATABASE;

function configured({ config: { db }, directory }: LoadedConfig): string | undefined {
  return db === undefined || db === MEMORY || isPostgres(db) ? db : resolve(directory, db);
}

async function openFile(path: string, isSynced: boolean, config: ARCPConfig, shutdown: Shutdown): Promise<Data> {
  const isFile = path !== MEMORY;
  if (isFile) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const encryptionKeys = databaseKeys();
  const store = openStore(path, isSynced ? "FULL" : "NORMAL", encryptionKeys);
  // One that was made by other means may be open to others.
  if (isFile && process.platform !== "win32") chmodSync(path, 0o600);
  shutdown.defer(() => store.close());
  const blobs = config.blobs ?? (isFile ? fileBlobs({ directory: artifactsOf(path), encryptionKeys }) : undefined);
  if (blobs !== undefined) shutdown.defer(async () => blobs[Symbol.asyncDispose]());
  const fingerprint = config.fingerprint ?? (await ensureFingerprint(isFile ? `${path}.key` : undefined));
  return { database: path, store, blobs, fingerprint };
}

function openStore(path: string, synchronous: "FULL" | "NORMAL", encryptionKeys: readonly Uint8Array[]): Store {
  try {
    return sqliteStore({ path, synchronous, encryptionKeys });
  } catch (cause) {
    throw databaseError(path, cause);
  }
}

/** Everything is in one database then, so that every node has it. */
async function openShared(database: string, isSynced: boolean, config: ARCPConfig, shutdown: Shutdown): Promise<Data> {
  if (databaseKeys().length > 0) {
    throw new UsageError("ARCP_DB_KEY is for files: a database on PostgreSQL is encrypted with its disk");
  }
  const settings = { ...config.postgres, synchronousCommit: isSynced ? ("on" as const) : ("off" as const) };
  const store = await openPostgres(database, settings);
  shutdown.defer(() => store.close());
  const blobs = config.blobs ?? (await blobsIn(postgresOptions(database, settings)));
  shutdown.defer(async () => blobs[Symbol.asyncDispose]());
  const fingerprint = config.fingerprint ?? sharedFingerprint(await store.secret());
  return { database, store, blobs, fingerprint };
}

/** With as many connections as contents need: `pool` is for what is committed. */
async function blobsIn({ pool: _, ...options }: ReturnType<typeof postgresOptions>): Promise<BlobStore> {
  const { postgresBlobs } = await import("@arcp/postgres");
  return postgresBlobs(options);
}
