/**
 * What the engine needs to keep large contents: written once, read as often as asked, under a name of the store's own.
 *
 * A blob store knows nothing of artifacts or principals. What a name stands for is a record in the {@link Store}; a blob
 * that no record names is rubbish, and whoever owns the records collects it.
 */

/** A blob as {@link BlobWriter.finish} returned it: what its content must be when it is read. */
export interface StoredBlob {
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  /** Of the content, hexadecimal. */
  readonly sha256: string;
}

/** In bytes. Lies within the blob. */
export interface BlobRange {
  readonly offset: number;
  readonly length: number;
}

/** One blob on its way in. Calls follow one another; {@link abort} may come at any time. */
export interface BlobWriter extends AsyncDisposable {
  /** Keeps a copy: `bytes` may be changed when it has resolved. Rejects with {@link BlobError}, and nothing is left. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Resolves when the blob can be read and survives whatever the store survives. Rejects as {@link write} does; with
   * `corrupt` if the content has another digest than `sha256`, in lower case.
   */
  finish(sha256?: string): Promise<StoredBlob>;
  /** Leaves nothing of it. Without effect after {@link finish}. Idempotent, and what disposal does. */
  abort(): Promise<void>;
}

/** Something that the store holds, whole or begun. */
export interface ListedBlob {
  readonly id: string;
  /** What it was created with. */
  readonly name: string;
}

/** `missing`: there is none of that id. `corrupt`: it is not what it should be. `unusable`: the place cannot be used. */
export type BlobFailure = "missing" | "corrupt" | "no_space" | "unusable" | "closed" | "failed";

/** The expected failure of a blob store. `cause` is the system's error. */
export class BlobError extends Error {
  override readonly name = "BlobError";
  readonly reason: BlobFailure;

  constructor(reason: BlobFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Where the contents of artifacts are: named by a key, written once, read in ranges. */
export interface BlobStore extends AsyncDisposable {
  /** Are blobs still there for the next process? */
  readonly isDurable: boolean;
  /**
   * Begins a blob whose id begins with `name`, at most 64 lower-case hexadecimal digits: whoever finds it in a list
   * knows by that where to look for its record. Rejects with {@link BlobError}.
   */
  create(name: string): Promise<BlobWriter>;
  /**
   * The content, or a range of it, in pieces. Nothing is opened before the first piece is asked for; what is open is
   * closed with the iterator. A blob that is removed meanwhile can be read to its end. Throws {@link BlobError}: a whole
   * content that is not what was stored is `corrupt` before its last piece is given out.
   */
  read(blob: StoredBlob, range?: BlobRange): AsyncIterable<Uint8Array>;
  /** Idempotent. Rejects with {@link BlobError}. */
  remove(id: string): Promise<void>;
  /** Everything that is there, in no order, unfinished writes of a dead process included. */
  list(): AsyncIterable<ListedBlob>;
  /** Aborts what is being written, ends what is being read. Idempotent. */
  close(): Promise<void>;
}
