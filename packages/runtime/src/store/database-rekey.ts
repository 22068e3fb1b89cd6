/** Encrypts everything in a database with another key, or for the first time. */
import { existsSync } from "node:fs";
import type Database from "better-sqlite3";
import type { StoredBlob } from "./blobs.ts";
import { resealBlobs } from "./blobs-files.ts";
import { compact } from "./database-upkeep.ts";
import { askedPlace, auditPlace, forgetOtherKeys, type RowCipher, recordPlace } from "./row-cipher.ts";
import { type EntryTuple, entryRow, openEntry } from "./sqlite-entries.ts";
import { openForWriting } from "./sqlite-file.ts";
import {
  type AskedRow,
  type AuditTableRow,
  askedOf,
  askedSum,
  auditRow,
  type RecordRow,
  recordSum,
  storedRecord,
} from "./sqlite-rows.ts";
import { guarded, StoreError } from "./store-error.ts";

/** Which database is encrypted anew, and with which keys. */
export interface RekeyOptions {
  readonly path: string;
  /** The new key first, and behind it every one that is in use. */
  readonly encryptionKeys: readonly Uint8Array[];
  /** Where the contents of artifacts are. Default: there are none. */
  readonly blobDirectory?: string;
}

/** How much was encrypted anew. */
export interface Rekeyed {
  readonly rows: number;
  readonly blobs: number;
}

/** Rows of one transaction. */
const SLICE_ROWS = 500;

/**
 * Encrypts all rows and blobs that are not encrypted with the first of the keys, slice by slice, and forgets the other keys.
 * Whatever is killed in between leaves a database that opens with the same keys; to do it again goes on with the rest.
 * Nothing of what was there before is left in the file when it resolves.
 *
 * @throws StoreError `locked` while a runtime has the file, `key` if a key is missing, `full` if there is no room.
 */
export async function rekeyDatabase({ path, encryptionKeys, blobDirectory }: RekeyOptions): Promise<Rekeyed> {
  const [newest] = encryptionKeys;
  if (newest === undefined) throw new StoreError("key", "no key is given");
  const file = openForWriting(path, { encryptionKeys, mayHoldPlain: true });
  try {
    const cipher = file.cipher as RowCipher;
    file.db.pragma("secure_delete = ON");
    const work = new Rekeying(file.db, cipher);
    const rows = (await work.entries()) + (await work.asked()) + (await work.records()) + (await work.audit());
    const hasBlobs = blobDirectory !== undefined && existsSync(blobDirectory);
    const blobs = hasBlobs ? await resealBlobs({ directory: blobDirectory, encryptionKeys }, work.blobs()) : 0;
    guarded(() => {
      forgetOtherKeys(file.db, newest);
      compact(file.db);
    });
    return { rows, blobs };
  } finally {
    file.close();
  }
}

class Rekeying {
  readonly #db: Database.Database;
  readonly #cipher: RowCipher;

  constructor(db: Database.Database, cipher: RowCipher) {
    this.#db = db;
    this.#cipher = cipher;
  }

  async entries(): Promise<number> {
    const page = this.#db
      .prepare("SELECT key, ts, code, payload, sum FROM entry WHERE key > ? ORDER BY key LIMIT ?")
      .raw();
    const update = this.#db.prepare("UPDATE entry SET payload = ?, sum = ? WHERE key = ?");
    return this.#slices(
      (after: EntryTuple | undefined) => page.all(after?.[0] ?? -1, SLICE_ROWS) as EntryTuple[],
      (row) => {
        const [key, ts, code, stored] = row;
        if (this.#cipher.isCurrent(stored)) return 0;
        const payload = openEntry(row, `entry ${key}`, this.#cipher);
        const [, , , sealed, sum] = entryRow(key, ts, code, payload, this.#cipher);
        return update.run(sealed, sum, key).changes;
      },
    );
  }

  async asked(): Promise<number> {
    const page = this.#db.prepare(
      "SELECT key, id, asked, asked_sum FROM job WHERE key > ? AND asked IS NOT NULL ORDER BY key LIMIT ?",
    );
    const update = this.#db.prepare("UPDATE job SET asked = ?, asked_sum = ? WHERE key = ?");
    type Row = AskedRow & { readonly key: number };
    return this.#slices(
      (after: Row | undefined) => page.all(after?.key ?? -1, SLICE_ROWS) as Row[],
      (row) => {
        if (row.asked === null || this.#cipher.isCurrent(row.asked)) return 0;
        const asked = this.#cipher.seal(askedPlace(row.id), askedOf(row, this.#cipher) ?? "null");
        return update.run(asked, askedSum({ id: row.id, asked }), row.key).changes;
      },
    );
  }

  async records(): Promise<number> {
    const page = this.#db.prepare("SELECT * FROM record WHERE (kind, id) > (?, ?) ORDER BY kind, id LIMIT ?");
    const update = this.#db.prepare("UPDATE record SET data = ?, sum = ? WHERE kind = ? AND id = ?");
    return this.#slices(
      (after: RecordRow | undefined) => page.all(after?.kind ?? "", after?.id ?? "", SLICE_ROWS) as RecordRow[],
      (row) => {
        if (this.#cipher.isCurrent(row.data)) return 0;
        const { kind, id, principal, job_id } = row;
        const place = recordPlace(kind, id, principal, job_id);
        const data = this.#cipher.seal(place, storedRecord(row, this.#cipher).data ?? "null");
        return update.run(data, recordSum({ ...row, data }), kind, id).changes;
      },
    );
  }

  async audit(): Promise<number> {
    const page = this.#db.prepare("SELECT * FROM audit WHERE key > ? ORDER BY key LIMIT ?");
    const update = this.#db.prepare("UPDATE audit SET facts = ? WHERE key = ?");
    return this.#slices(
      (after: AuditTableRow | undefined) =>
        page.all(after?.key ?? Number.MIN_SAFE_INTEGER, SLICE_ROWS) as AuditTableRow[],
      (row) => {
        if (this.#cipher.isCurrent(row.facts)) return 0;
        const { facts } = auditRow(row, this.#cipher);
        return update.run(this.#cipher.seal(auditPlace(row.key), facts), row.key).changes;
      },
    );
  }

  /** What artifacts name. */
  *blobs(): Iterable<StoredBlob> {
    const rows = this.#db.prepare("SELECT * FROM record WHERE kind = 'artifact' ORDER BY id").all() as RecordRow[];
    for (const row of rows) {
      const { blob } = JSON.parse(storedRecord(row, this.#cipher).data ?? "{}") as { readonly blob?: StoredBlob };
      if (blob !== undefined) yield blob;
    }
  }

  /** Goes through pages of rows, each in a transaction of its own. Resolves with the sum of what `change` returns. */
  async #slices<Row>(page: (after: Row | undefined) => Row[], change: (row: Row) => number): Promise<number> {
    let total = 0;
    const slice = this.#db.transaction((after: Row | undefined): Row | undefined => {
      const rows = page(after);
      for (const row of rows) total += change(row);
      return rows.at(-1);
    });
    for (let last = guarded(() => slice.immediate(undefined)); last !== undefined; ) {
      // The process may be asked to stop.
      await new Promise((resolve) => setImmediate(resolve));
      const after = last;
      last = guarded(() => slice.immediate(after));
    }
    return total;
  }
}
