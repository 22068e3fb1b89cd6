/**
 * PostgreSQL for tests: the server that ARCP_TEST_POSTGRES names (a URL, of a superuser), or one that this run of the tests
 * starts, of what is installed on this machine or came with npm. Where there is none, tests are skipped and say why; with CI=true they fail.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ulid } from "@arcp/core";
import pg from "pg";
import { inject, onTestFinished } from "vitest";
import { installation, PostgresServer } from "./postgres-server.ts";

/** Why no server can be had; `undefined` if one can. */
export function reasonForNoPostgres(): string | undefined {
  if (process.env["ARCP_TEST_POSTGRES"] || installation() !== undefined) return undefined;
  const reason = "PostgreSQL is not installed, and ARCP_TEST_POSTGRES names none";
  if (process.env["CI"] === "true") throw new Error(reason);
  console.warn(`skipped: ${reason}`);
  return reason;
}

let server: Promise<string> | undefined;

/** The URL of the server of this run. */
export function postgresUrl(): Promise<string> {
  server ??= findServer();
  return server;
}

async function findServer(): Promise<string> {
  const named = process.env["ARCP_TEST_POSTGRES"];
  if (named) return named;
  const directory = inject("postgresDirectory");
  const own = new PostgresServer(join(directory, "server"));
  if (isFirst(join(directory, "lock"))) {
    own.dieWith(inject("postgresRun"));
    return (await own.create()).url;
  }
  // Another file of tests starts it.
  for (let waited = 0; waited < 30_000; waited += 50) {
    if (own.address !== undefined) return own.address.url;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the PostgreSQL of this run did not start");
}

function isFirst(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    return false; // Somebody else has it.
  }
}

/** Asks the server as its superuser. */
export async function asked<Row>(url: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** The name of a schema that is not there yet. It is removed after the test, unless the server goes with it. */
export function freshSchema(url: string): string {
  const schema = `t_${ulid().toLowerCase()}`;
  if (!process.env["ARCP_TEST_POSTGRES"]) return schema;
  onTestFinished(async () => {
    await asked(url, `DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  });
  return schema;
}
