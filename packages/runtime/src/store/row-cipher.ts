/**
 * Contents of rows, encrypted: AES-256-GCM with a random nonce per row, and with the place of the row as associated data, so
 * that a row opens nowhere but where it was put. Each file derives its own key from the operator's and a salt.
 *
 * The table `encryption` has a row per key that rows may be sealed with: its id, and the salt with a text that only that key
 * opens. A row {@link PLAIN} says that there may be rows that are not sealed: the file is being encrypted.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  randomFillSync,
} from "node:crypto";
import type Database from "better-sqlite3";
import { StoreError } from "./store-error.ts";

const KEY_BYTES = 32;
const SALT_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const ID_DIGITS = 8;
/** JSON texts begin otherwise. */
const MARK = "~";
/** After the mark, the id and the dot. */
const HEAD_LENGTH = ID_DIGITS + 2;
/** Nonces are drawn many at a time. */
const POOL_BYTES = NONCE_BYTES * 1024;
/** The id of no key. */
const PLAIN = "plain";
const CANARY_PLACE = "canary";
const CANARY = "the key of this database";

interface KeyRow {
  readonly key_id: string;
  readonly canary: string;
}

/** What a key is called; says nothing about it. */
export const keyIdOf = (key: Uint8Array): string =>
  createHash("sha256").update("arcp database key\0").update(key).digest("hex").slice(0, ID_DIGITS);

/** Throws {@link StoreError} `key` for a key of another length. */
export function assertKeys(keys: readonly Uint8Array[]): void {
  if (keys.every(({ length }) => length === KEY_BYTES)) return;
  throw new StoreError("key", `a key of the database has ${KEY_BYTES} bytes, and one of those that were given has not`);
}

/** Where an entry is. */
export const entryPlace = (key: number, ts: number, code: number): string => `entry ${key} ${ts} ${code}`;
/** Where a record is, and whose it is. */
export const recordPlace = (kind: string, id: string, principal: string, jobId: string | null): string =>
  JSON.stringify(["record", kind, id, principal, jobId]);
/** Where that is which a job was asked for. */
export const askedPlace = (jobId: string): string => `asked ${jobId}`;
/** Where a row of the audit is. */
export const auditPlace = (seq: number): string => `audit ${seq}`;

export class RowCipher {
  readonly #secrets: ReadonlyMap<string, KeyObject>;
  readonly #newest: string;
  readonly #allowsPlain: boolean;
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #used = POOL_BYTES;

  /** `secrets` by the ids of their keys; rows are sealed with that of `newest`. */
  constructor(secrets: ReadonlyMap<string, KeyObject>, newest: string, allowsPlain: boolean) {
    this.#secrets = secrets;
    this.#newest = newest;
    this.#allowsPlain = allowsPlain;
  }

  seal(place: string, text: string): string {
    const nonce = this.#nonce();
    const cipher = createCipheriv("aes-256-gcm", this.#secretOf(this.#newest), nonce).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([nonce, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `${MARK}${this.#newest}.${sealed.toString("base64")}`;
  }

  /** The text that was sealed at `place`. Throws {@link StoreError} `corrupt` if none was. */
  open(place: string, stored: string): string {
    if (!stored.startsWith(MARK)) {
      if (this.#allowsPlain) return stored;
      throw new StoreError("corrupt", `${place} is not encrypted: something else than a runtime has put it there`);
    }
    const sealed = Buffer.from(stored.slice(HEAD_LENGTH), "base64");
    try {
      const nonce = sealed.subarray(0, NONCE_BYTES);
      const decipher = createDecipheriv("aes-256-gcm", this.#secretOf(stored.slice(1, HEAD_LENGTH - 1)), nonce);
      decipher.setAAD(Buffer.from(place)).setAuthTag(sealed.subarray(-TAG_BYTES));
      return decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
    } catch (cause) {
      throw new StoreError("corrupt", `${place} is not what was encrypted there`, { cause });
    }
  }

  /** Was it sealed with the key that rows are sealed with now? */
  isCurrent(stored: string): boolean {
    return stored.startsWith(`${MARK}${this.#newest}.`);
  }

  #secretOf(keyId: string): KeyObject {
    const secret = this.#secrets.get(keyId);
    if (secret === undefined) throw new StoreError("corrupt", `there is no key ${keyId}`);
    return secret;
  }

  #nonce(): Buffer {
    if (this.#used === POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    this.#used += NONCE_BYTES;
    // A copy: what is drawn once is never seen again.
    return Buffer.from(this.#pool.subarray(this.#used - NONCE_BYTES, this.#used));
  }
}

/**
 * The cipher of a file that is read only; `undefined` for one that is not encrypted.
 *
 * @throws StoreError `key` if one of its keys is missing, or another one was given under its name.
 */
export function cipherOf(db: Database.Database, keys: readonly Uint8Array[]): RowCipher | undefined {
  assertKeys(keys);
  const rows = db.prepare("SELECT key_id, canary FROM encryption").all() as KeyRow[];
  const sealing = rows.filter(({ key_id }) => key_id !== PLAIN);
  if (sealing.length === 0) return undefined;
  const secrets = new Map(sealing.map((row) => [row.key_id, opened(row, keys)]));
  const newest = keys.map(keyIdOf).find((id) => secrets.has(id)) as string;
  return new RowCipher(secrets, newest, rows.length > sealing.length);
}

/**
 * The cipher of a file that is written to, with the first of the keys, which the file takes up if it does not know it;
 * `undefined` without keys.
 *
 * @throws StoreError `key` as {@link cipherOf} does, and if there is something in the file that is not encrypted:
 * `mayHoldPlain` allows that.
 */
export function cipherForWriting(
  db: Database.Database,
  keys: readonly Uint8Array[],
  mayHoldPlain = false,
): RowCipher | undefined {
  const known = cipherOf(db, keys);
  const [newest] = keys;
  if (newest === undefined) return undefined;
  if (known === undefined && !isEmpty(db)) {
    if (!mayHoldPlain) {
      throw new StoreError("key", "the database is not encrypted, and a key was given: `arcp db rekey` encrypts it");
    }
    db.prepare("INSERT OR IGNORE INTO encryption VALUES (?, '')").run(PLAIN);
  }
  const isThere = db.prepare("SELECT 1 FROM encryption WHERE key_id = ?").get(keyIdOf(newest)) !== undefined;
  if (!isThere) db.prepare("INSERT INTO encryption VALUES (?, ?)").run(keyIdOf(newest), canaryOf(newest));
  return cipherOf(db, keys);
}

/** Every row is sealed with the first of the keys: the file forgets the others. */
export function forgetOtherKeys(db: Database.Database, newest: Uint8Array): void {
  db.prepare("DELETE FROM encryption WHERE key_id <> ?").run(keyIdOf(newest));
}

const isEmpty = (db: Database.Database): boolean =>
  ["entry", "record", "audit"].every((table) => db.prepare(`SELECT 1 FROM ${table} LIMIT 1`).get() === undefined);

/** Prepared: from bytes, making a cipher would take three times as long. */
const secretOf = (key: Uint8Array, salt: Uint8Array): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync("sha256", key, salt, "arcp database rows", KEY_BYTES)));

function canaryOf(key: Uint8Array): string {
  const salt = randomBytes(SALT_BYTES);
  const id = keyIdOf(key);
  const sealed = new RowCipher(new Map([[id, secretOf(key, salt)]]), id, false).seal(CANARY_PLACE, CANARY);
  return `${salt.toString("hex")} ${sealed}`;
}

/** The secret of a key that the file knows. */
function opened({ key_id, canary }: KeyRow, keys: readonly Uint8Array[]): KeyObject {
  const key = keys.find((candidate) => keyIdOf(candidate) === key_id);
  if (key === undefined) {
    const given = keys.length === 0 ? "none was given" : `given: ${keys.map(keyIdOf).join(", ")}`;
    throw new StoreError("key", `the database is encrypted, and its key ${key_id} is missing (${given})`);
  }
  const [salt = "", sealed = ""] = canary.split(" ");
  const secret = secretOf(key, Buffer.from(salt, "hex"));
  try {
    new RowCipher(new Map([[key_id, secret]]), key_id, false).open(CANARY_PLACE, sealed);
  } catch (cause) {
    throw new StoreError("corrupt", `the key ${key_id} of the database does not open what it has sealed`, { cause });
  }
  return secret;
}
