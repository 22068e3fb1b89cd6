/**
 * Contents of blobs, encrypted: AES-256-GCM piece by piece, so that a range can be read, with a key per blob that is derived
 * from the operator's and a salt, and the number of the piece as nonce. The file of a blob begins with the id of its key and
 * the salt; a piece opens at no other place, and in no other blob.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { assertKeys, keyIdOf } from "./row-cipher.ts";

/** All of a blob that is in memory at a time, in each direction, and that is encrypted as one. */
export const PIECE_BYTES = 64 * 1024;
const TAG_BYTES = 16;
/** Bytes of one piece of an encrypted blob, with what proves that nobody has changed it. */
export const SEALED_PIECE_BYTES = PIECE_BYTES + TAG_BYTES;
const MARK = Buffer.from("ARCPBLB1");
const ID_BYTES = 8;
const SALT_BYTES = 32;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
/** Bytes before the first piece of an encrypted blob: what it is, which key, and its salt. */
export const HEADER_BYTES = MARK.length + ID_BYTES + SALT_BYTES;

/** Bytes of the file of an encrypted blob that has `size`; never as many as it has itself. */
export const sealedSize = (size: number): number => HEADER_BYTES + size + TAG_BYTES * Math.ceil(size / PIECE_BYTES);

/** Where a piece begins in such a file. */
export const sealedOffset = (piece: number): number => HEADER_BYTES + piece * SEALED_PIECE_BYTES;

/** One blob on its way in or out. */
export class BlobCipher {
  readonly header: Buffer;
  readonly #secret: Buffer;
  readonly #id: Buffer;

  constructor(id: string, header: Buffer, secret: Buffer) {
    this.#id = Buffer.from(id);
    this.header = header;
    this.#secret = secret;
  }

  /** The pieces of a blob are numbered from 0 on, and each is sealed once. */
  seal(piece: number, bytes: Uint8Array): Buffer {
    const cipher = createCipheriv("aes-256-gcm", this.#secret, nonceOf(piece)).setAAD(this.#id);
    return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws if it is not what was sealed as this piece. */
  open(piece: number, sealed: Buffer): Buffer {
    const decipher = createDecipheriv("aes-256-gcm", this.#secret, nonceOf(piece)).setAAD(this.#id);
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
  }
}

/** A piece as it is stored: with the first one comes the header, even if that piece is empty. */
export function sealedPiece(cipher: BlobCipher, piece: number, bytes: Uint8Array): Buffer {
  const sealed = bytes.length === 0 ? Buffer.alloc(0) : cipher.seal(piece, bytes);
  return piece === 0 ? Buffer.concat([cipher.header, sealed]) : sealed;
}

/** The keys of an operator, the one in use first. */
export class BlobKeys {
  readonly #keys: readonly Uint8Array[];

  /** Throws {@link StoreError} `key` for a key of another length. */
  constructor(keys: readonly Uint8Array[]) {
    assertKeys(keys);
    this.#keys = keys;
  }

  /** For a new blob; `undefined` without keys. */
  forNew(id: string): BlobCipher | undefined {
    const [key] = this.#keys;
    if (key === undefined) return undefined;
    const salt = randomBytes(SALT_BYTES);
    return new BlobCipher(id, Buffer.concat([MARK, Buffer.from(keyIdOf(key)), salt]), secretOf(key, salt));
  }

  /** For the blob whose file begins with `header`; `undefined` if its key is not there, or it is no such file. */
  forHeader(id: string, header: Buffer): BlobCipher | undefined {
    const key = this.#keys.find((candidate) => isSealedWith(header, candidate));
    return key && new BlobCipher(id, header, secretOf(key, header.subarray(-SALT_BYTES)));
  }

  /** Is it a blob of the key in use? */
  isCurrent(header: Buffer): boolean {
    return this.#keys[0] !== undefined && isSealedWith(header, this.#keys[0]);
  }
}

const isSealedWith = (header: Buffer, key: Uint8Array): boolean =>
  header.subarray(0, -SALT_BYTES).equals(Buffer.concat([MARK, Buffer.from(keyIdOf(key))]));

const secretOf = (key: Uint8Array, salt: Uint8Array): Buffer =>
  Buffer.from(hkdfSync("sha256", key, salt, "arcp blob", KEY_BYTES));

function nonceOf(piece: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeBigUInt64BE(BigInt(piece), NONCE_BYTES - 8);
  return nonce;
}
