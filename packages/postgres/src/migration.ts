/** The schema as this version of the program needs it: made, brought up to date, or refused. */
import { randomBytes } from "node:crypto";
import { StoreError } from "@arcp/runtime";
import type { Ask, Connections } from "./connections.ts";
import { MIGRATIONS } from "./schema.ts";

const MIN_SERVER = 140_000;

export interface SchemaOptions {
  readonly schema: string;
  /** Of the cluster that the schema belongs to. */
  readonly cluster: string | undefined;
  /** May the schema be made, or brought up to date? */
  readonly migrate: boolean;
}

export interface OpenedSchema {
  /** Does the server write to its disk before it says that it has? */
  readonly isSynced: boolean;
  /** Is it a standby, or set to be read-only? */
  readonly isReadOnly: boolean;
  /** The name of the cluster that the schema belongs to; empty if it was given none. */
  readonly cluster: string;
}

interface ServerRow {
  readonly version: number;
  readonly encoding: string;
  readonly is_read_only: boolean;
  readonly is_synced: boolean;
  readonly has_schema: boolean;
  readonly is_ours: boolean;
  readonly has_tables: boolean;
}

/** Throws TypeError for a name that is none. */
export function quoted(schema: string): string {
  if (!/^[a-z_][a-z0-9_]{0,39}$/.test(schema)) {
    throw new TypeError("a schema is 1 to 40 lower-case letters, digits and underscores, and begins with no digit");
  }
  return `"${schema}"`;
}

/**
 * Makes the schema, or brings it up to date; several processes may try at once. Rejects with StoreError: `version`, `foreign`,
 * `denied`, and whatever a statement is refused with.
 */
export async function openSchema(connections: Connections, options: SchemaOptions): Promise<OpenedSchema> {
  const server = await serverOf(connections.ask, options.schema);
  assertServer(server);
  assertOwn(server, options.schema);
  let version = server.is_ours ? await versionOf(connections.ask, options.schema) : 0;
  assertKnown(version, options.schema);
  // A standby can be read from. Whoever writes is told by the server.
  if (version < MIGRATIONS.length && options.migrate && !server.is_read_only) {
    version = await connections.transaction((ask) => migrated(ask, options));
  }
  if (version < MIGRATIONS.length) throw older(version, options);
  const cluster = await clusterOf(connections.ask, options);
  if (!server.is_read_only) await connections.ask(`SELECT ${quoted(options.schema)}.make_days()`);
  return { isSynced: server.is_synced, isReadOnly: server.is_read_only, cluster };
}

async function serverOf(ask: Ask, schema: string): Promise<ServerRow> {
  const [row] = await ask<ServerRow>(
    `SELECT current_setting('server_version_num')::integer AS version, current_setting('server_encoding') AS encoding,
       current_setting('transaction_read_only')::boolean AS is_read_only, current_setting('fsync')::boolean AS is_synced,
       to_regnamespace($1) IS NOT NULL AS has_schema, to_regclass($1 || '.migration') IS NOT NULL AS is_ours,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace($1)) AS has_tables`,
    [quoted(schema)],
  );
  return row as ServerRow;
}

function assertServer({ version, encoding }: ServerRow): void {
  if (version < MIN_SERVER) {
    throw new StoreError("foreign", `PostgreSQL 14 or newer is needed, and this is ${Math.floor(version / 10_000)}`);
  }
  if (encoding !== "UTF8") throw new StoreError("foreign", `the database is in ${encoding}: it must be in UTF8`);
}

function assertOwn({ is_ours, has_tables }: ServerRow, schema: string): void {
  if (is_ours || !has_tables) return;
  throw new StoreError("foreign", `the schema ${schema} holds tables of another program: name another schema`);
}

async function versionOf(ask: Ask, schema: string): Promise<number> {
  const [row] = await ask<{ version: number }>(
    `SELECT coalesce(max(version), 0) AS version FROM ${quoted(schema)}.migration`,
  );
  return row?.version ?? 0;
}

function assertKnown(version: number, schema: string): void {
  if (version <= MIGRATIONS.length) return;
  throw new StoreError(
    "version",
    `the schema ${schema} is of version ${version}, and this program knows ${MIGRATIONS.length}: a newer one has written it`,
  );
}

function older(version: number, { schema, migrate }: SchemaOptions): StoreError {
  const found = version === 0 ? `there is no schema ${schema}` : `the schema ${schema} is of version ${version}`;
  const reason = migrate ? "this server is read-only" : "with `migrate: false` somebody else has to do that";
  return new StoreError("version", `${found}; it must be brought to version ${MIGRATIONS.length}, but ${reason}`);
}

/** One after the other, whoever comes first. Returns the version that the schema has then. */
async function migrated(ask: Ask, options: SchemaOptions): Promise<number> {
  const schema = quoted(options.schema);
  await ask("SELECT pg_advisory_xact_lock(hashtext($1))", [`${schema}.migration`]);
  const server = await serverOf(ask, options.schema);
  assertOwn(server, options.schema);
  // Somebody with the right to make it may have made it empty.
  if (!server.has_schema) await ask(`CREATE SCHEMA ${schema}`);
  await ask(`SET LOCAL search_path = ${schema}, pg_temp`);
  await ask(
    `CREATE TABLE IF NOT EXISTS migration (version integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`,
  );
  const version = await versionOf(ask, options.schema);
  assertKnown(version, options.schema);
  for (const [index, migration] of MIGRATIONS.entries()) {
    if (index < version) continue;
    await ask(migration(schema));
    await ask("INSERT INTO migration (version) VALUES ($1)", [index + 1]);
  }
  await ask("INSERT INTO cluster (name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING", [
    options.cluster ?? "",
    randomBytes(32),
  ]);
  return MIGRATIONS.length;
}

/** Two clusters in one schema would take each other's jobs: a name tells them apart, if they were given one. */
async function clusterOf(ask: Ask, { schema, cluster }: SchemaOptions): Promise<string> {
  const [row] = await ask<{ name: string }>(`SELECT name FROM ${quoted(schema)}.cluster`);
  const found = row?.name ?? "";
  if (cluster === undefined || row === undefined || found === cluster) return found;
  const owner = found === "" ? "a cluster without a name" : `the cluster ${found}`;
  throw new StoreError("foreign", `the schema ${schema} belongs to ${owner}, and this is ${cluster}`);
}
