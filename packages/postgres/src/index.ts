/** `@arcp/postgres`: the store of several runtimes, on PostgreSQL. */
export { postgresBlobs } from "./blobs.ts";
export type { PostgresOptions } from "./options.ts";
export { postgres } from "./postgres.ts";
