/** Where runtimes under test keep everything: a file of one of them, or a PostgreSQL that several share. */
import { join } from "node:path";
import { postgres, postgresBlobs } from "@arcp/postgres";
import { type BlobStore, fileBlobs, type Store, sqliteStore } from "@arcp/runtime";

export type StoreSettings =
  | {
      readonly kind: "sqlite";
      /** Of the database and the blobs. */
      readonly directory: string;
      readonly synchronous: "FULL" | "NORMAL";
    }
  | { readonly kind: "postgres"; readonly url: string; readonly schema: string };

/** In the directory of a store on SQLite. */
export const STORE_FILES = { database: "runtime.db", blobs: "blobs" } as const;

export interface OpenedStore {
  readonly store: Store;
  readonly blobs: BlobStore;
}

/** Who waits longer than this for an answer takes the connection for dead: shorter than the partitions of an episode. */
const QUERY_TIMEOUT_MS = 4_000;
const CONNECT_TIMEOUT_MS = 3_000;

/** @param reader Changes nothing, and is known to the server by this name. */
export function openStore(settings: StoreSettings, { reader, name }: { reader: boolean; name: string }): OpenedStore {
  if (settings.kind === "sqlite") {
    const { directory, synchronous } = settings;
    const path = join(directory, STORE_FILES.database);
    return {
      store: sqliteStore(reader ? { path, readOnly: true } : { path, synchronous }),
      blobs: fileBlobs({ directory: join(directory, STORE_FILES.blobs) }),
    };
  }
  const { url, schema } = settings;
  const patience = { connectTimeoutMs: CONNECT_TIMEOUT_MS, queryTimeoutMs: QUERY_TIMEOUT_MS };
  const options = { url, schema, applicationName: name, migrate: !reader, ...(!reader && patience) };
  return { store: postgres(options), blobs: postgresBlobs(options) };
}
