/**
 * Contents in the database, in pieces of their own rows: every node can read what any of them has written.
 *
 * Several nodes write to one place, so that what no record names may be what another one is about to name: it is not
 * listed before an hour. What is removed is there for another hour, for whoever is reading it.
 */
import { randomBytes } from "node:crypto";
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
import {
  assertBlobId,
  type BlobTarget,
  checkedPieces,
  closedBlobs,
  corruptBlob,
  newBlobId,
  PiecewiseWriter,
} from "@arcp/runtime/blobs";
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
  readonly #writers = new Set<PiecewiseWriter>();
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
    const id = newBlobId(name);
    const { synchronousCommit } = this.#options;
    const onOver = (): void => void this.#writers.delete(writer);
    const target = new RowsTarget({ id, table: this.#table, ask: this.#ask, synchronousCommit, onOver });
    const writer = new PiecewiseWriter(target);
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
    await this.#assertThere(blob);
    yield* checkedPieces(blob, range, (position, length) => this.#piece(blob.id, position, length));
  }

  async remove(id: string): Promise<void> {
    assertBlobId(id);
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
    assertBlobId(id);
    const [row] = await this.#ask<{ size: number }>(
      `SELECT size FROM ${this.#table} WHERE id = $1 AND is_whole AND removed_at IS NULL`,
      [id],
    );
    if (row === undefined) throw new BlobError("missing", "there is no such blob");
    if (row.size !== size) throw corruptBlob();
  }

  /** From `position` on, no more than `length` bytes, and no more than there are of one piece. */
  async #piece(id: string, position: number, length: number): Promise<Uint8Array> {
    const ordinal = Math.floor(position / PIECE_BYTES);
    const [row] = await this.#ask<{ data: Buffer }>(
      `SELECT substring(data FROM $3 FOR $4) AS data FROM ${this.#table}_piece WHERE blob = $1 AND ordinal = $2`,
      [id, ordinal, position - ordinal * PIECE_BYTES + 1, Math.min(length, PIECE_BYTES)],
    );
    if (row === undefined || row.data.length === 0) throw corruptBlob();
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
    if (this.#closing !== undefined && !/^DELETE/.test(text)) throw closedBlobs();
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
  readonly onOver: () => void;
}

class RowsTarget implements BlobTarget {
  readonly id: string;
  readonly pieceBytes = PIECE_BYTES;
  readonly errorOf = blobErrorOf;
  readonly onOver: () => void;
  readonly #blob: NewBlob;

  constructor(blob: NewBlob) {
    this.id = blob.id;
    this.onOver = blob.onOver;
    this.#blob = blob;
  }

  async put(piece: Uint8Array, number: number): Promise<void> {
    if (piece.length === 0) return;
    const { table, ask } = this.#blob;
    await ask(
      `WITH touched AS (UPDATE ${table} SET touched_at = floor(extract(epoch FROM clock_timestamp()) * 1000) WHERE id = $1 RETURNING id)
       INSERT INTO ${table}_piece (blob, ordinal, data) SELECT id, $2, $3 FROM touched`,
      [this.id, number, Buffer.from(piece.buffer, piece.byteOffset, piece.length)],
    );
  }

  async seal({ size }: StoredBlob): Promise<void> {
    const { table, ask, synchronousCommit } = this.#blob;
    await ask(
      `UPDATE ${table} SET size = $2, is_whole = true, touched_at = floor(extract(epoch FROM clock_timestamp()) * 1000)
       FROM (SELECT set_config('synchronous_commit', $3, true)) AS durable WHERE id = $1`,
      [this.id, size, synchronousCommit],
    );
  }

  async discard(): Promise<void> {
    const { table, ask } = this.#blob;
    // What cannot be deleted now is collected as what no record names.
    await ask(`DELETE FROM ${table} WHERE id = $1`, [this.id]).catch(() => {});
    await ask(`DELETE FROM ${table}_piece WHERE blob = $1`, [this.id]).catch(() => {});
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
