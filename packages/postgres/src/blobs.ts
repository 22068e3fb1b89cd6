/**
 * Contents in the database, in pieces of their own rows: every node can read what any of them has written.
 *
 * Several nodes write to one place, so that what no record names may be what another one is about to name: it is not
 * listed before an hour. What is removed is there for another hour, for whoever is reading it.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  BlobError,
  type BlobFailure,
  type BlobRange,
  type BlobStore,
  type BlobWriter,
  type ListedBlob,
  type StoredBlob,
  StoreError,
  type StoreFailure,
} from "@arcp/runtime";
import type { Ask } from "./connections.ts";
import { Database } from "./database.ts";
import { type PostgresOptions, type SettledOptions, settled } from "./options.ts";

/** All of a blob that is in memory at a time, in each direction. */
const PIECE_BYTES = 256 * 1024;
/** How long others are given to name a blob, or to read it to its end. */
const GRACE_MS = 3_600_000;
const PAGE_ROWS = 500;
/** Blobs whose rows are deleted at once. */
const PURGED_BLOBS = 8;

const NAME = /^[0-9a-f]{1,64}$/;
/** A name, a dot, and 128 random bits. */
const ID = /^[0-9a-f]{1,64}\.[0-9a-f]{32}$/;

/** Blobs beside the tables of {@link postgres}, over connections of their own: at most 4, unless `pool` says otherwise. */
export function postgresBlobs(options: PostgresOptions): BlobStore {
  return new PostgresBlobs({ ...options, pool: { max: options.pool?.max ?? 4 } });
}

class PostgresBlobs implements BlobStore {
  readonly #options: SettledOptions;
  readonly #db: Database;
  readonly #table: string;
  /** Of this process: what it has begun is its own to list. */
  readonly #owner = randomBytes(16).toString("hex");
  readonly #writers = new Set<PostgresBlobWriter>();
  /** Calls that are under way. */
  readonly #pending = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(options: PostgresOptions) {
    this.#options = settled(options);
    this.#db = new Database(this.#options);
    this.#table = `${this.#db.schema}.blob`;
  }

  get isDurable(): boolean {
    return this.#db.isDurable;
  }

  async create(name: string): Promise<BlobWriter> {
    if (!NAME.test(name)) throw new TypeError("a blob's name is 1 to 64 lower-case hexadecimal digits");
    const id = `${name}.${randomBytes(16).toString("hex")}`;
    const { synchronousCommit } = this.#options;
    const place = { id, table: this.#table, ask: this.#ask, synchronousCommit };
    const writer: PostgresBlobWriter = new PostgresBlobWriter(place, () => this.#writers.delete(writer));
    await this.#ask(
      `INSERT INTO ${this.#table} (id, name, size, is_whole, owner, touched_at) VALUES ($1, $2, 0, false, $3, ${this.#now})`,
      [id, name, this.#owner],
    );
    this.#writers.add(writer);
    // Closed meanwhile: nobody else ends it.
    if (this.#closing !== undefined) await writer.abort();
    return writer;
  }

  async *read(blob: StoredBlob, range: BlobRange = { offset: 0, length: blob.size }): AsyncIterable<Uint8Array> {
    const { offset, length } = range;
    await this.#assertThere(blob);
    const hash = length === blob.size ? createHash("sha256") : undefined;
    for (let done = 0; done < length; ) {
      const piece = await this.#piece(blob.id, offset + done, length - done);
      done += piece.length;
      hash?.update(piece);
      if (done === length && hash !== undefined && hash.digest("hex") !== blob.sha256) throw corrupt();
      yield piece;
    }
  }

  async remove(id: string): Promise<void> {
    if (!ID.test(id)) throw new TypeError("no blob has such an id");
    await this.#ask(`UPDATE ${this.#table} SET removed_at = ${this.#now} WHERE id = $1 AND removed_at IS NULL`, [id]);
  }

  async *list(): AsyncIterable<ListedBlob> {
    await this.#purge();
    for (let after = ""; ; ) {
      const page = await this.#ask<ListedBlob>(
        `SELECT id, name FROM ${this.#table} WHERE id > $1 AND removed_at IS NULL
         AND (owner = $2 OR touched_at < ${this.#now} - $3) ORDER BY id LIMIT $4`,
        [after, this.#owner, GRACE_MS, PAGE_ROWS],
      );
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.id;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#pending);
    await Promise.all([...this.#writers].map((writer) => writer.abort()));
    await this.#db.close();
  }

  get #now(): string {
    return `${this.#db.schema}.now_ms()`;
  }

  async #assertThere({ id, size }: StoredBlob): Promise<void> {
    if (!ID.test(id)) throw new TypeError("no blob has such an id");
    const [row] = await this.#ask<{ size: number }>(
      `SELECT size FROM ${this.#table} WHERE id = $1 AND is_whole AND removed_at IS NULL`,
      [id],
    );
    if (row === undefined) throw new BlobError("missing", "there is no such blob");
    if (row.size !== size) throw corrupt();
  }

  /** From `position` on, no more than `length` bytes, and no more than there are of one piece. */
  async #piece(id: string, position: number, length: number): Promise<Uint8Array> {
    const ordinal = Math.floor(position / PIECE_BYTES);
    const [row] = await this.#ask<{ data: Buffer }>(
      `SELECT substring(data FROM $3 FOR $4) AS data FROM ${this.#table}_piece WHERE blob = $1 AND ordinal = $2`,
      [id, ordinal, position - ordinal * PIECE_BYTES + 1, Math.min(length, PIECE_BYTES)],
    );
    if (row === undefined || row.data.length === 0) throw corrupt();
    return row.data;
  }

  /** Deletes what was removed long enough ago. */
  async #purge(): Promise<void> {
    for (;;) {
      const gone = await this.#ask(
        `WITH old AS (
           DELETE FROM ${this.#table} WHERE id IN (SELECT id FROM ${this.#table}
             WHERE removed_at < ${this.#now} - $1 ORDER BY removed_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id)
         DELETE FROM ${this.#table}_piece p USING old WHERE p.blob = old.id RETURNING 1`,
        [GRACE_MS, PURGED_BLOBS],
      );
      if (gone.length === 0) return;
    }
  }

  /** Rejects with BlobError. What a writer undoes may be asked for while the store is being closed. */
  readonly #ask: Ask = async <Row>(...[text, values]: Parameters<Ask>): Promise<Row[]> => {
    if (this.#closing !== undefined && !/^DELETE/.test(text)) throw closed();
    const asking = this.#db.ask<Row>(text, values);
    this.#pending.add(asking);
    try {
      return await asking;
    } catch (error) {
      throw blobErrorOf(error);
    } finally {
      this.#pending.delete(asking);
    }
  };
}

interface NewBlob {
  readonly id: string;
  readonly table: string;
  readonly ask: Ask;
  readonly synchronousCommit: string;
}

/**
 *   writing   -> finishing  everything has been given
 *   finishing -> over       it can be read
 *   writing   -> over       aborted, or a write failed: nothing is left of it
 *   finishing -> over       the same, when what was under way has settled
 */
type Phase =
  | { readonly name: "writing" }
  | { readonly name: "finishing" }
  | { readonly name: "over"; readonly gone: Promise<void> };

class PostgresBlobWriter implements BlobWriter {
  readonly #blob: NewBlob;
  readonly #onOver: () => void;
  readonly #hash = createHash("sha256");
  /** What is hashed is what is written, whatever becomes of the buffers that were given. */
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #filled = 0;
  #size = 0;
  #phase: Phase = { name: "writing" };
  /** What is under way. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(blob: NewBlob, onOver: () => void) {
    this.#blob = blob;
    this.#onOver = onOver;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#orNothing(this.#take(bytes));
  }

  async finish(sha256?: string): Promise<StoredBlob> {
    if (this.#phase.name !== "writing") throw closed();
    this.#phase = { name: "finishing" };
    return this.#orNothing(this.#seal(sha256));
  }

  abort(): Promise<void> {
    if (this.#phase.name !== "over") this.#phase = { name: "over", gone: this.#discard(this.#last) };
    return this.#phase.gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  async #take(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.length; ) {
      if (this.#phase.name !== "writing") throw closed();
      const part = bytes.subarray(taken, taken + PIECE_BYTES - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === PIECE_BYTES) await this.#flush();
    }
    if (this.#phase.name === "over") throw closed();
  }

  async #flush(): Promise<void> {
    const { id, table, ask } = this.#blob;
    const piece = this.#buffer.subarray(0, this.#filled);
    this.#hash.update(piece);
    const ordinal = Math.floor(this.#size / PIECE_BYTES);
    this.#size += piece.length;
    this.#filled = 0;
    this.#last = ask(
      `WITH touched AS (UPDATE ${table} SET touched_at = floor(extract(epoch FROM clock_timestamp()) * 1000) WHERE id = $1 RETURNING id)
       INSERT INTO ${table}_piece (blob, ordinal, data) SELECT id, $2, $3 FROM touched`,
      [id, ordinal, piece],
    );
    await this.#last;
  }

  async #seal(expected: string | undefined): Promise<StoredBlob> {
    const { id, table, ask, synchronousCommit } = this.#blob;
    if (this.#filled > 0) await this.#flush();
    const sha256 = this.#hash.digest("hex");
    if (expected !== undefined && sha256 !== expected) throw corrupt();
    if (this.#phase.name !== "finishing") throw closed();
    this.#last = ask(
      `UPDATE ${table} SET size = $2, is_whole = true, touched_at = floor(extract(epoch FROM clock_timestamp()) * 1000)
       FROM (SELECT set_config('synchronous_commit', $3, true)) AS durable WHERE id = $1`,
      [id, this.#size, synchronousCommit],
    );
    await this.#last;
    if ((this.#phase as Phase).name !== "finishing") throw closed();
    this.#phase = { name: "over", gone: Promise.resolve() };
    this.#onOver();
    return { id, size: this.#size, sha256 };
  }

  /** What cannot be written whole is not left behind. */
  async #orNothing<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async #discard(last: Promise<unknown>): Promise<void> {
    const { id, table, ask } = this.#blob;
    // What is under way at this moment could put it back.
    await last.catch(() => {});
    // What cannot be deleted now is collected as what no record names.
    await ask(`DELETE FROM ${table} WHERE id = $1`, [id]).catch(() => {});
    await ask(`DELETE FROM ${table}_piece WHERE blob = $1`, [id]).catch(() => {});
    this.#onOver();
  }
}

const REASONS: Partial<Record<StoreFailure, BlobFailure>> = {
  full: "no_space",
  corrupt: "corrupt",
  unreachable: "unusable",
  denied: "unusable",
  foreign: "unusable",
  version: "unusable",
  read_only: "unusable",
};

function blobErrorOf(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  return new BlobError(REASONS[error.reason] ?? "failed", error.message, { cause: error });
}

const closed = (): BlobError => new BlobError("closed", "the blob store, or the writer, is closed");
const corrupt = (): BlobError => new BlobError("corrupt", "the blob is not what it should be");
