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
  sealedPiece,
  sealedSize,
} from "./blob-cipher.ts";
import { assertBlobId, newBlobId, partsOfBlobId } from "./blob-names.ts";
import { type BlobTarget, checkedPieces, closedBlobs, corruptBlob, PiecewiseWriter } from "./blob-transfer.ts";
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

/** What has the suffix is not whole. */
const PARTIAL = ".partial";

/** Where {@link fileBlobs} keeps the contents of artifacts, and with which keys they are encrypted. */
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
  readonly #writers = new Set<PiecewiseWriter>();
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
    return this.#create(newBlobId(name));
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
    const source = await this.#pend(this.#openForReading(blob));
    try {
      yield* checkedPieces(blob, range, (position, length) =>
        this.#piece(source, position, Math.min(length, PIECE_BYTES)),
      );
    } finally {
      this.#handles.delete(source.handle);
      await source.handle.close();
    }
  }

  async remove(id: string): Promise<void> {
    assertBlobId(id.endsWith(PARTIAL) ? id.slice(0, -PARTIAL.length) : id);
    await this.#pend(this.#remove(id));
  }

  async *list(): AsyncIterable<ListedBlob> {
    if (this.#directory === undefined) return;
    for await (const id of this.#opened().names()) {
      const parts = partsOfBlobId(id.endsWith(PARTIAL) ? id.slice(0, -PARTIAL.length) : id);
      // A file of another form is not ours.
      if (parts !== undefined) yield { id, name: parts.name };
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
    if (this.#closing !== undefined) throw closedBlobs();
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
      const target = new FileTarget({ id, directory, isDurable: this.isDurable, cipher, onOver }, handle);
      const writer = new PiecewiseWriter(target);
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
    assertBlobId(id);
    const directory = this.#opened();
    try {
      await directory.assertInPlace();
      const handle = await open(directory.at(id), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      this.#handles.add(handle);
      try {
        const facts = await handle.stat();
        const isSealed = facts.size === sealedSize(size);
        if (!facts.isFile() || (facts.size !== size && !isSealed)) throw corruptBlob();
        const cipher = isSealed ? await this.#cipherOf(id, handle) : undefined;
        if (this.#closing !== undefined) throw closedBlobs();
        return { handle, cipher };
      } catch (error) {
        this.#handles.delete(handle);
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw codeOf(error) === "ELOOP" ? corruptBlob(error) : blobErrorOf(error);
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
      throw this.#closing === undefined ? blobErrorOf(error) : closedBlobs();
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
  if (read === 0) throw corruptBlob();
  return buffer.subarray(0, read);
}

function openPiece(cipher: BlobCipher, number: number, sealed: Buffer): Buffer {
  try {
    return cipher.open(number, sealed);
  } catch (error) {
    throw corruptBlob(error);
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

class FileTarget implements BlobTarget {
  readonly id: string;
  readonly pieceBytes = PIECE_BYTES;
  readonly errorOf = blobErrorOf;
  readonly onOver: () => void;
  readonly #blob: NewBlob;
  readonly #handle: FileHandle;

  constructor(blob: NewBlob, handle: FileHandle) {
    this.id = blob.id;
    this.onOver = blob.onOver;
    this.#blob = blob;
    this.#handle = handle;
  }

  async put(piece: Uint8Array, number: number): Promise<void> {
    const bytes = this.#sealed(piece, number);
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, written);
      written += bytesWritten;
    }
  }

  async seal(): Promise<void> {
    const { id, directory, isDurable } = this.#blob;
    if (isDurable) await this.#handle.sync();
    await this.#handle.close();
    await directory.assertInPlace();
    await rename(directory.at(partial(id)), directory.at(id));
    if (isDurable) await directory.sync();
  }

  async discard(): Promise<void> {
    const { id, directory } = this.#blob;
    await this.#handle.close().catch(() => {
      // It is closed all the same.
    });
    for (const name of [partial(id), id]) {
      await unlink(directory.at(name)).catch(() => {
        // It was not there, or it is collected as what no record names.
      });
    }
  }

  /** As it is written; the header comes with the first piece, even if that is empty. */
  #sealed(piece: Uint8Array, number: number): Uint8Array {
    const { cipher } = this.#blob;
    return cipher === undefined ? piece : sealedPiece(cipher, number, piece);
  }
}

const partial = (id: string): string => `${id}${PARTIAL}`;
