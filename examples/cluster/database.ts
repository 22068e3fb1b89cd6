/** The PostgreSQL of the example: a throw-away server of its own, or a schema of its own on the server that ARCP_DB names. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { installation, PostgresServer } from "../../tests/support/postgres-server.ts";

export interface Database extends AsyncDisposable {
  readonly url: string;
  readonly schema: string;
  /** As if the machine had lost its power, and come back; `undefined` if that is not ours to do. */
  readonly restart: (() => Promise<void>) | undefined;
}

const SCHEMA = `demo_${process.pid}`;

/** Returns why there is none, in words, if there is none. */
export async function findDatabase(): Promise<Database | string> {
  const named = process.env["ARCP_DB"];
  if (named) return schemaOf(named);
  if (installation() === undefined) return "PostgreSQL is not installed here, and ARCP_DB names no server";
  const directory = await mkdtemp(join(tmpdir(), "arcp-demo-"));
  // The server may run as another user.
  await chmod(directory, 0o755);
  const server = new PostgresServer(join(directory, "server"));
  const remove = () => server.remove().finally(() => rm(directory, { recursive: true, force: true }));
  try {
    const { url } = await server.create();
    return { url, schema: SCHEMA, restart: () => server.restart("immediate"), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function schemaOf(url: string): Database {
  return {
    ...{ url, schema: SCHEMA, restart: undefined },
    async [Symbol.asyncDispose]() {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
      await client.end();
    },
  };
}

/** With its schema, as `arcp serve` takes it. */
export const urlOf = ({ url, schema }: Database): string => `${url}${url.includes("?") ? "&" : "?"}schema=${schema}`;
