/** A PostgreSQL of a run's own: stopped, started and cut off as its faults want it, with a schema for each episode. */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { installation, PostgresServer } from "../tests/support/postgres-server.ts";
import type { Rewriting } from "./mutants/mutant.ts";
import { pause } from "./visitors.ts";

export type StopMode = "fast" | "immediate";

/** Why there can be none here; `undefined` if there can. */
export const whyNoDatabase = (): string | undefined =>
  installation() === undefined ? "PostgreSQL is not installed here" : undefined;

export class ChaosDatabase implements AsyncDisposable {
  readonly #directory: string;
  readonly #server: PostgresServer;
  readonly url: string;
  readonly port: number;
  #schemas = 0;
  /** Stops and starts follow one another. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    directory: string,
    server: PostgresServer,
    address: { readonly url: string; readonly port: number },
  ) {
    this.#directory = directory;
    this.#server = server;
    this.url = address.url;
    this.port = address.port;
  }

  /** Throws where PostgreSQL is not installed. It is removed when this process is gone, however that ended. */
  static async start(): Promise<ChaosDatabase> {
    const directory = mkdtempSync(join(tmpdir(), "arcp-chaos-pg-"));
    // The server may run as another user.
    chmodSync(directory, 0o755);
    try {
      const server = new PostgresServer(join(directory, "server"));
      server.dieWith(process.pid);
      return new ChaosDatabase(directory, server, await server.create());
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** The URL of the same database behind a proxy. */
  urlAt(port: number): string {
    const url = new URL(this.url);
    url.port = String(port);
    return url.href;
  }

  /** A name that no schema has. */
  freshSchema(): string {
    this.#schemas += 1;
    return `chaos_${this.#schemas}`;
  }

  async drop(schema: string): Promise<void> {
    await this.ask(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
  }

  /** Is not there for `awayMs`. Resolves when it is there again. */
  restart(mode: StopMode, awayMs: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#server.stop(mode);
      await new Promise((resolve) => setTimeout(resolve, awayMs));
      await this.#server.start();
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const working = this.#last.then(work);
    this.#last = working.catch(() => {});
    return working;
  }

  /** Ends up to `count` connections of `application`, whatever they are at. Returns how many; none while it is not there. */
  async terminate(application: string, count: number): Promise<number> {
    const text = `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = $1
      AND pid <> pg_backend_pid() ORDER BY md5(pid::text) LIMIT $2) some`;
    return this.ask(text, [application, count]).then(
      (rows) => rows.length,
      () => 0,
    );
  }

  /** Asks as its superuser. */
  async ask(text: string, values: unknown[] = []): Promise<readonly Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.url });
    // A server that is stopped ends it.
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Puts a seeded bug into functions of `schema`. Throws if one of them does not say what it is to say no more. */
  async rewrite(schema: string, changes: readonly Rewriting[]): Promise<void> {
    for (const { name, said, instead } of changes) {
      const text = await this.#definitionOf(schema, name);
      if (!text.includes(said)) throw new Error(`${name} does not say: ${said}`);
      await this.ask(text.replaceAll(said, instead));
    }
  }

  /** Of a function of a schema that is being made. */
  async #definitionOf(schema: string, name: string): Promise<string> {
    const limit = AbortSignal.timeout(SCHEMA_MS);
    while (!limit.aborted) {
      const [row] = await this.ask(
        `SELECT pg_get_functiondef(p.oid) AS text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.proname = $1 AND n.nspname = $2`,
        [name, schema],
      );
      if (row !== undefined) return String(row["text"]);
      await pause(SCHEMA_POLL_MS, limit);
    }
    throw new Error(`${schema} has no ${name}`);
  }

  /** What is wrong with the indexes of `schema`, as `amcheck` sees it; `ok` if nothing is, or if that is not installed. */
  async integrityOf(schema: string): Promise<string> {
    const [has] = await this.ask("SELECT FROM pg_available_extensions WHERE name = 'amcheck'");
    if (has === undefined) return "ok";
    await this.ask("CREATE EXTENSION IF NOT EXISTS amcheck");
    try {
      await this.ask(
        `SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
         WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p'`,
        [schema],
      );
      return "ok";
    } catch (error) {
      return String(error);
    }
  }

  /** Writes what is in `schema` to a file, for \`psql\`. */
  dump(schema: string, file: string): void {
    const program = join(installation() ?? "", "pg_dump");
    try {
      writeFileSync(file, execFileSync(program, ["--schema", schema, this.url], { maxBuffer: MAX_DUMP_BYTES }));
    } catch (error) {
      writeFileSync(file, `-- ${String(error)}\n`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    await this.#server.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const SCHEMA_MS = 30_000;
const SCHEMA_POLL_MS = 50;
const MAX_DUMP_BYTES = 512 * 1024 * 1024;
