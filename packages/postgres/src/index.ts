/** `@arcp/postgres`: the store of several runtimes, on PostgreSQL. */
export type { PostgresOptions } from "./options.ts";
export { postgres } from "./postgres.ts";
