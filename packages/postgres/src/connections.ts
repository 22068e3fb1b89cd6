/** The connections to PostgreSQL that a process has, and what can be asked over them. */
import { rootLogger } from "@arcp/core";
import pg from "pg";
import { isCollision, storeErrorOf } from "./failures.ts";
import { storable, stored } from "./texts.ts";

/** What a statement binds: a `Buffer` is sent as it is. */
export type Value = string | number | boolean | null | Buffer;

/** Rows as arrays, in the order of their columns. */
export type Tuple = readonly unknown[];

export interface ConnectionOptions {
  readonly url: string;
  readonly ssl?: pg.ClientConfig["ssl"];
  readonly applicationName: string;
  readonly max: number;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
}

/** How often a transaction that met another one is tried anew. */
const MAX_COLLISIONS = 5;

/** As good as no limit: a migration takes as long as it takes, and so does waiting for somebody else's. */
const UNHURRIED_MS = 2 ** 31 - 1;

const BIGINT = 20;
const TEXTS = new Set([25, 1043, 18]);

/** Numbers of 64 bits are safe integers here; texts may hold what PostgreSQL cannot. */
const types = {
  getTypeParser(type: number, format?: "text" | "binary") {
    if (type === BIGINT) return Number;
    if (TEXTS.has(type)) return stored;
    return pg.types.getTypeParser(type, format as "text");
  },
} as pg.CustomTypesConfig;

/** What a client of the library is made with. */
export const clientConfig = (options: Omit<ConnectionOptions, "max">): pg.ClientConfig => ({
  connectionString: options.url,
  ...(options.ssl !== undefined && { ssl: options.ssl }),
  application_name: options.applicationName,
  connectionTimeoutMillis: options.connectTimeoutMs,
  query_timeout: options.queryTimeoutMs,
  keepAlive: true,
  types,
});

/** A statement within a transaction, or by itself. */
export type Ask = <Row>(text: string, values?: readonly Value[]) => Promise<Row[]>;

export class Connections {
  readonly #pool: pg.Pool;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectionOptions) {
    this.#pool = new pg.Pool({ ...clientConfig(options), max: options.max, idleTimeoutMillis: 60_000 });
    // Of an idle connection, which the pool replaces when one is needed.
    this.#pool.on("error", (err) => rootLogger.debug({ err }, "an idle connection to PostgreSQL ended"));
  }

  /** One statement, which is one transaction. No statement has a name: poolers may give each another connection. Rejects with StoreError. */
  readonly ask: Ask = async <Row>(text: string, values: readonly Value[] = []): Promise<Row[]> => {
    for (let collisions = 0; ; collisions += 1) {
      try {
        const { rows } = await this.#pool.query({ text, values: values.map(bound) });
        return rows as Row[];
      } catch (error) {
        if (!isCollision(error) || collisions === MAX_COLLISIONS) throw storeErrorOf(error);
      }
    }
  };

  /** The same with rows as arrays. */
  async tuples(text: string, values: readonly Value[]): Promise<Tuple[]> {
    try {
      const { rows } = await this.#pool.query({ text, values: values.map(bound), rowMode: "array" });
      return rows;
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  /** Several statements as one transaction, however long it takes. Rejects with StoreError, or with what `work` throws. */
  async transaction<Result>(work: (ask: Ask) => Promise<Result>): Promise<Result> {
    let client: pg.PoolClient;
    try {
      client = await this.#pool.connect();
    } catch (error) {
      throw storeErrorOf(error);
    }
    const unhurried = { query_timeout: UNHURRIED_MS };
    const ask: Ask = async (text, values = []) =>
      (await client.query({ text, values: values.map(bound), ...unhurried })).rows;
    try {
      await ask("BEGIN");
      const result = await work(ask);
      await ask("COMMIT");
      client.release();
      return result;
    } catch (error) {
      const isUsable = await client.query("ROLLBACK").then(
        () => true,
        () => false,
      );
      client.release(!isUsable);
      throw storeErrorOf(error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#pool.end();
    return this.#closing;
  }
}

const bound = (value: Value): Value => (typeof value === "string" ? storable(value) : value);
