/** The database as a store uses it: opened before anything is asked of it, and asked again when it was away for a moment. */
import { StoreError } from "@arcp/runtime";
import { type Ask, Connections, type Tuple, type Value } from "./connections.ts";
import { type OpenedSchema, openSchema, quoted } from "./migration.ts";
import type { SettledOptions } from "./options.ts";

/** Between two attempts at what can be done twice, while the server does not answer. */
const RETRY_MS = [20, 100, 300, 1_000, 2_000] as const;
/** How often partitions for the days to come are looked after. */
const DAYS_MS = 3_600_000;

export class Database {
  /** The name of the schema, quoted. */
  readonly schema: string;
  readonly #options: SettledOptions;
  readonly #connections: Connections;
  #opening: Promise<OpenedSchema> | undefined;
  /** Once it was there, it can come back. */
  #hasOpened = false;
  #isSynced = true;
  #wasWritable = false;
  #daysMadeAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: SettledOptions) {
    this.schema = quoted(options.schema);
    this.#options = options;
    this.#connections = new Connections({ ...options, max: options.maxConnections });
  }

  /** Does a commit survive the end of the server and a power cut, as far as that is known? */
  get isDurable(): boolean {
    return this.#options.synchronousCommit !== "off" && this.#isSynced;
  }

  /** Once. Rejects with StoreError, as all of these do. */
  readonly ask: Ask = async <Row>(text: string, values: readonly Value[] = []): Promise<Row[]> => {
    await this.#opened();
    try {
      return await this.#connections.ask<Row>(text, values);
    } catch (error) {
      throw this.#isFailingOver(error) ? failingOver(error) : error;
    }
  };

  /** Whoever reads may do so without the name of the cluster; whoever takes its jobs may not. Rejects with StoreError `foreign`. */
  async assertMember(): Promise<void> {
    const { schema, cluster } = this.#options;
    const { cluster: owner } = await this.#opened();
    if (cluster !== undefined || owner === "") return;
    const sentence = `the schema ${schema} belongs to the cluster ${owner}: to be a node of that, say so (cluster: ${JSON.stringify(owner)})`;
    throw new StoreError("foreign", sentence);
  }

  /** What does no harm when it is done twice: again and again for a while, if the server is not there any more. */
  steadily<Row>(text: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.#again(() => this.ask<Row>(text, values));
  }

  /** The same with rows as arrays. */
  tuples(text: string, values: readonly Value[]): Promise<Tuple[]> {
    return this.#again(async () => {
      await this.#opened();
      return this.#connections.tuples(text, values);
    });
  }

  /** Makes the partitions of the days to come, if it has not done so lately. */
  async keepDays(): Promise<void> {
    if (performance.now() - this.#daysMadeAt > DAYS_MS) await this.makeDays();
  }

  async makeDays(): Promise<void> {
    await this.steadily(`SELECT ${this.schema}.make_days()`);
    this.#daysMadeAt = performance.now();
  }

  /** Resolves when what was asked has been answered. Idempotent. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#connections.close();
  }

  #opened(): Promise<OpenedSchema> {
    this.#opening ??= openSchema(this.#connections, this.#options).then(
      (opened) => {
        this.#isSynced = opened.isSynced;
        this.#wasWritable ||= !opened.isReadOnly;
        this.#hasOpened = true;
        this.#daysMadeAt = performance.now();
        return opened;
      },
      (error: unknown) => {
        // What was wrong may be put right.
        this.#opening = undefined;
        throw error;
      },
    );
    return this.#opening;
  }

  /** What could be written before will be again: it has failed over to a standby that is not promoted yet. */
  #isFailingOver(error: unknown): error is StoreError {
    return this.#wasWritable && error instanceof StoreError && error.reason === "read_only";
  }

  async #again<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await work();
      } catch (error) {
        const delayMs = RETRY_MS[failures];
        const mayPass = error instanceof StoreError && error.reason === "unreachable";
        if (!mayPass || delayMs === undefined || this.#isClosed || !this.#hasOpened) throw error;
        await new Promise((resolve) => setTimeout(resolve, delayMs));
      }
    }
  }
}

const failingOver = ({ message, cause }: StoreError): StoreError => new StoreError("unreachable", message, { cause });
