import { createHash, randomBytes } from "node:crypto";
import { constants, mkdtempSync } from "node:fs";
import { type FileHandle, open, rename, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlobCipher,
  BlobKeys,
  HEADER_BYTES,
  PIECE_BYTES,
  SEALED_PIECE_BYTES,
  sealedOffset,
  sealedSize,
} from "./blob-cipher.ts";
import {
  BlobError,
  type BlobRange,
  type BlobStore,
  type BlobWriter,
  type ListedBlob,
  type StoredBlob,
} from "./blobs.ts";
import { BlobDirectory, blobErrorOf, codeOf } from "./blobs-directory.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
const FILE_MODE = 0o600;

const NAME = /^[0-9a-f]{1,64}$/;
/** A name, a dot, and 128 random bits. What has the suffix is not whole. */
const ID = /^(?<name>[0-9a-f]{1,64})\.[0-9a-f]{32}(?:\.partial)?$/;

export interface FileBlobsOptions {
  /**
   * Where the files are. It is made if there is none, and belongs to one database alone, of which one process writes:
   * what that does not know is removed.
   */
  readonly directory: string;
  /**
   * Encrypts what is written from now on (AES-256-GCM): 32 random bytes each, the key in use first, and behind it those that
   * blobs may still be encrypted with. Default: none. What is there is read as it is.
   */
  readonly encryptionKeys?: readonly Uint8Array[];
}

/**
 * Blobs as files of one directory, readable for this user alone, durable when they are finished.
 *
 * @throws BlobError if the directory cannot be used: it is a link, or somebody else's, or writable for others.
 */
export function fileBlobs(options: FileBlobsOptions): BlobStore {
  return durable(options);
}

function durable({ directory, encryptionKeys = [] }: FileBlobsOptions): FileBlobs {
  const keys = new BlobKeys(encryptionKeys);
  const opened = BlobDirectory.open(directory);
  return new FileBlobs({ open: () => opened, isDurable: true, keys, onClosed: async () => {} });
}

/**
 * Encrypts those of the blobs with the first of the keys that are not, each under its id, whenever the process ends. Those
 * that are not there are left out. Nobody else may write to the directory. Resolves with how many there were to do.
 */
export async function resealBlobs(options: FileBlobsOptions, blobs: Iterable<StoredBlob>): Promise<number> {
  await using store = durable(options);
  let count = 0;
  for (const blob of blobs) if (await store.reseal(blob)) count += 1;
  return count;
}

/** Blobs for a store that forgets: in a fresh directory for temporary files, made when needed and removed on close. */
export function temporaryBlobs(): BlobStore {
  let path: string | undefined;
  return new FileBlobs({
    open: () => {
      path = mkdtempSync(join(tmpdir(), "arcp-blobs-"));
      return BlobDirectory.open(path);
    },
    isDurable: false,
    keys: new BlobKeys([]),
    onClosed: async () => {
      if (path !== undefined) await rm(path, { recursive: true, force: true });
    },
  });
}

interface Place {
  readonly open: () => BlobDirectory;
  readonly isDurable: boolean;
  readonly keys: BlobKeys;
  readonly onClosed: () => Promise<void>;
}

/** A blob that is being read. */
interface Source {
  readonly handle: FileHandle;
  /** `undefined`: it is not encrypted. */
  readonly cipher: BlobCipher | undefined;
}

class FileBlobs implements BlobStore {
  readonly isDurable: boolean;
  readonly #place: Place;
  readonly #writers = new Set<FileBlobWriter>();
  /** Calls that are under way. */
  readonly #pending = new Set<Promise<unknown>>();
  /** Of blobs that are being read. */
  readonly #handles = new Set<FileHandle>();
  #directory: BlobDirectory | undefined;
  #closing: Promise<void> | undefined;

  constructor(place: Place) {
    this.#place = place;
    this.isDurable = place.isDurable;
    if (place.isDurable) this.#directory = place.open();
  }

  async create(name: string): Promise<BlobWriter> {
    if (!NAME.test(name)) throw new TypeError("a blob's name is 1 to 64 lower-case hexadecimal digits");
    return this.#create(`${name}.${randomBytes(16).toString("hex")}`);
  }

  /** Replaces the file of a blob, unless it is encrypted with the key in use or not there. Returns whether it did. */
  async reseal(blob: StoredBlob): Promise<boolean> {
    try {
      const { handle, cipher } = await this.#openForReading(blob);
      this.#handles.delete(handle);
      await handle.close();
      if (cipher !== undefined && this.#place.keys.isCurrent(cipher.header)) return false;
    } catch (error) {
      if (error instanceof BlobError && error.reason === "missing") return false;
      throw error;
    }
    await using writer = await this.#create(blob.id);
    for await (const piece of this.read(blob)) await writer.write(piece);
    await writer.finish(blob.sha256);
    return true;
  }

  async *read(blob: StoredBlob, range: BlobRange = { offset: 0, length: blob.size }): AsyncIterable<Uint8Array> {
    const { offset, length } = range;
    const source = await this.#pend(this.#openForReading(blob));
    const { handle } = source;
    try {
      const hash = length === blob.size ? createHash("sha256") : undefined;
      for (let done = 0; done < length; ) {
        const piece = await this.#piece(source, offset + done, Math.min(length - done, PIECE_BYTES));
        done += piece.length;
        hash?.update(piece);
        if (done === length && hash !== undefined && hash.digest("hex") !== blob.sha256) throw corrupt();
        yield piece;
      }
    } finally {
      this.#handles.delete(handle);
      await handle.close();
    }
  }

  async remove(id: string): Promise<void> {
    if (!ID.test(id)) throw new TypeError("no blob has such an id");
    await this.#pend(this.#remove(id));
  }

  async *list(): AsyncIterable<ListedBlob> {
    if (this.#directory === undefined) return;
    for await (const id of this.#opened().names()) {
      const name = ID.exec(id)?.groups?.["name"];
      // A file of another form is not ours.
      if (name !== undefined) yield { id, name };
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
    await Promise.all([...this.#handles].map((handle) => handle.close()));
    this.#directory?.close();
    await this.#place.onClosed();
  }

  #opened(): BlobDirectory {
    if (this.#closing !== undefined) throw closed();
    this.#directory ??= this.#place.open();
    return this.#directory;
  }

  async #pend<Result>(work: Promise<Result>): Promise<Result> {
    this.#pending.add(work);
    try {
      return await work;
    } finally {
      this.#pending.delete(work);
    }
  }

  #create(id: string): Promise<BlobWriter> {
    return this.#pend(this.#begin(id));
  }

  async #begin(id: string): Promise<BlobWriter> {
    try {
      const directory = this.#opened();
      await directory.assertInPlace();
      const handle = await open(directory.at(partial(id)), NEW_FILE, FILE_MODE);
      const onOver = (): void => void this.#writers.delete(writer);
      const cipher = this.#place.keys.forNew(id);
      const writer = new FileBlobWriter({ id, directory, isDurable: this.isDurable, cipher, onOver }, handle);
      this.#writers.add(writer);
      return writer;
    } catch (error) {
      const failure = blobErrorOf(error);
      // A new file can miss nothing but its directory.
      throw failure.reason === "missing"
        ? new BlobError("unusable", "the place for blobs is gone", { cause: error })
        : failure;
    }
  }

  async #remove(id: string): Promise<void> {
    // Where nothing was opened, nothing is.
    if (this.#directory === undefined && this.#closing === undefined) return;
    const directory = this.#opened();
    try {
      await directory.assertInPlace();
      await unlink(directory.at(id));
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw blobErrorOf(error);
    }
  }

  /** Opened as what it is: not through a link, and without waiting for what is no file. */
  async #openForReading({ id, size }: StoredBlob): Promise<Source> {
    if (!ID.test(id)) throw new TypeError("no blob has such an id");
    const directory = this.#opened();
    try {
      await directory.assertInPlace();
      const handle = await open(directory.at(id), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      this.#handles.add(handle);
      try {
        const facts = await handle.stat();
        const isSealed = facts.size === sealedSize(size);
        if (!facts.isFile() || (facts.size !== size && !isSealed)) throw corrupt();
        const cipher = isSealed ? await this.#cipherOf(id, handle) : undefined;
        if (this.#closing !== undefined) throw closed();
        return { handle, cipher };
      } catch (error) {
        this.#handles.delete(handle);
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw codeOf(error) === "ELOOP" ? corrupt(error) : blobErrorOf(error);
    }
  }

  async #cipherOf(id: string, handle: FileHandle): Promise<BlobCipher> {
    const header = await readAt(handle, 0, HEADER_BYTES);
    const cipher = this.#place.keys.forHeader(id, header);
    if (cipher === undefined) throw new BlobError("unusable", "the blob is encrypted, and its key is missing");
    return cipher;
  }

  /** No more than `length` bytes, from `position` on. */
  async #piece({ handle, cipher }: Source, position: number, length: number): Promise<Uint8Array> {
    try {
      if (cipher === undefined) return await readAt(handle, position, length);
      const number = Math.floor(position / PIECE_BYTES);
      const sealed = await readAt(handle, sealedOffset(number), SEALED_PIECE_BYTES);
      const start = position - number * PIECE_BYTES;
      return openPiece(cipher, number, sealed).subarray(start, start + length);
    } catch (error) {
      throw this.#closing === undefined ? blobErrorOf(error) : closed();
    }
  }
}

/** At least a byte, at most `length`. Of its own: the reader may keep it, and sees nothing of anybody else's memory. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await handle.read(buffer, read, length - read, position + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  if (read === 0) throw corrupt();
  return buffer.subarray(0, read);
}

function openPiece(cipher: BlobCipher, number: number, sealed: Buffer): Buffer {
  try {
    return cipher.open(number, sealed);
  } catch (error) {
    throw corrupt(error);
  }
}

interface NewBlob {
  readonly id: string;
  readonly directory: BlobDirectory;
  readonly isDurable: boolean;
  /** `undefined`: it is not encrypted. */
  readonly cipher: BlobCipher | undefined;
  readonly onOver: () => void;
}

/**
 *   writing   -> finishing  everything has been given
 *   finishing -> over       it is where it can be found
 *   writing   -> over       aborted, or a write failed: nothing is left of it
 *   finishing -> over       the same, when what was under way has settled
 */
type Phase =
  | { readonly name: "writing" }
  | { readonly name: "finishing"; readonly settled: Promise<unknown> }
  | { readonly name: "over"; readonly gone: Promise<void> };

class FileBlobWriter implements BlobWriter {
  readonly #blob: NewBlob;
  readonly #handle: FileHandle;
  readonly #hash = createHash("sha256");
  /** What is hashed is what is written, whatever becomes of the buffers that were given. */
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #filled = 0;
  #size = 0;
  #pieces = 0;
  #phase: Phase = { name: "writing" };

  constructor(blob: NewBlob, handle: FileHandle) {
    this.#blob = blob;
    this.#handle = handle;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#orNothing(this.#take(bytes));
  }

  async finish(sha256?: string): Promise<StoredBlob> {
    if (this.#phase.name !== "writing") throw closed();
    const settled = this.#moveIn(sha256);
    this.#phase = { name: "finishing", settled };
    await this.#orNothing(settled);
    return settled;
  }

  abort(): Promise<void> {
    if (this.#phase.name !== "over") {
      const settled = this.#phase.name === "finishing" ? this.#phase.settled : undefined;
      this.#phase = { name: "over", gone: this.#discard(settled) };
    }
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
  }

  async #flush(): Promise<void> {
    const piece = this.#buffer.subarray(0, this.#filled);
    this.#hash.update(piece);
    await this.#put(this.#sealed(piece));
    this.#size += piece.length;
    this.#filled = 0;
  }

  /** As it is written; the header comes with the first piece, even if that is empty. */
  #sealed(piece: Uint8Array): Uint8Array {
    const { cipher } = this.#blob;
    if (cipher === undefined) return piece;
    const number = this.#pieces;
    this.#pieces += 1;
    const sealed = piece.length === 0 ? Buffer.alloc(0) : cipher.seal(number, piece);
    return number === 0 ? Buffer.concat([cipher.header, sealed]) : sealed;
  }

  async #put(bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, written);
      written += bytesWritten;
    }
  }

  async #moveIn(expected: string | undefined): Promise<StoredBlob> {
    const { id, directory, isDurable, onOver } = this.#blob;
    await this.#flush();
    const sha256 = this.#hash.digest("hex");
    if (expected !== undefined && sha256 !== expected) throw corrupt();
    if (isDurable) await this.#handle.sync();
    await this.#handle.close();
    await directory.assertInPlace();
    await rename(directory.at(partial(id)), directory.at(id));
    if (isDurable) await directory.sync();
    if (this.#phase.name !== "finishing") throw closed();
    this.#phase = { name: "over", gone: Promise.resolve() };
    onOver();
    return { id, size: this.#size, sha256 };
  }

  /** What cannot be written whole is not left behind. */
  async #orNothing(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      await this.abort();
      throw blobErrorOf(error);
    }
  }

  async #discard(settled: Promise<unknown> | undefined): Promise<void> {
    const { id, directory, onOver } = this.#blob;
    // What is under way at this moment could put it back.
    await settled?.catch(() => {});
    await this.#handle.close().catch(() => {
      // It is closed all the same.
    });
    for (const name of [partial(id), id]) {
      await unlink(directory.at(name)).catch(() => {
        // It was not there, or it is collected as what no record names.
      });
    }
    onOver();
  }
}

const partial = (id: string): string => `${id}.partial`;
const closed = (): BlobError => new BlobError("closed", "the blob store, or the writer, is closed");
const corrupt = (cause?: unknown): BlobError =>
  new BlobError("corrupt", "the blob is not what it should be", { cause });
