/** Content on its way into a store of blobs and out of it, piece by piece, whatever the store is made of. */
import { createHash } from "node:crypto";
import { BlobError, type BlobRange, type BlobWriter, type StoredBlob } from "./blobs.ts";

/** Where a new blob goes. No two of its calls are under way at a time. */
export interface BlobTarget {
  readonly id: string;
  /** Bytes of every piece but the last one. */
  readonly pieceBytes: number;
  /** Takes the next piece, which may be overwritten afterwards. They are numbered from 0 on; the first may be empty. */
  put(piece: Uint8Array, number: number): Promise<void>;
  /** Everything was put. Resolves when the blob can be read and survives whatever the store survives. */
  seal(blob: StoredBlob): Promise<void>;
  /** Leaves nothing of it, however much of it is there; what cannot be removed now is collected later. Never rejects. */
  discard(): Promise<void>;
  /** What a call has failed with, as the store's error. */
  errorOf(error: unknown): unknown;
  /** There is nothing left to abort. */
  onOver(): void;
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

/** Cuts what it is given into pieces, and sees to it that there is a whole blob in the end, or nothing. */
export class PiecewiseWriter implements BlobWriter {
  readonly #target: BlobTarget;
  readonly #hash = createHash("sha256");
  /** What is hashed is what is written, whatever becomes of the buffers that were given. */
  readonly #buffer: Buffer;
  #filled = 0;
  #size = 0;
  #pieces = 0;
  #phase: Phase = { name: "writing" };
  /** What is under way. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(target: BlobTarget) {
    this.#target = target;
    this.#buffer = Buffer.allocUnsafeSlow(target.pieceBytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#orNothing(this.#take(bytes));
  }

  async finish(sha256?: string): Promise<StoredBlob> {
    if (this.#phase.name !== "writing") throw closedBlobs();
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
      if (this.#phase.name !== "writing") throw closedBlobs();
      const part = bytes.subarray(taken, taken + this.#buffer.length - this.#filled);
      this.#buffer.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === this.#buffer.length) await this.#flush();
    }
    if (this.#phase.name === "over") throw closedBlobs();
  }

  async #flush(): Promise<void> {
    const piece = this.#buffer.subarray(0, this.#filled);
    this.#hash.update(piece);
    this.#last = this.#target.put(piece, this.#pieces);
    await this.#last;
    this.#pieces += 1;
    this.#size += piece.length;
    this.#filled = 0;
  }

  async #seal(expected: string | undefined): Promise<StoredBlob> {
    if (this.#filled > 0 || this.#pieces === 0) await this.#flush();
    const sha256 = this.#hash.digest("hex");
    if (expected !== undefined && sha256 !== expected) throw corruptBlob();
    if (this.#phase.name !== "finishing") throw closedBlobs();
    const blob = { id: this.#target.id, size: this.#size, sha256 };
    this.#last = this.#target.seal(blob);
    await this.#last;
    // Aborted meanwhile.
    if ((this.#phase as Phase).name !== "finishing") throw closedBlobs();
    this.#phase = { name: "over", gone: Promise.resolve() };
    this.#target.onOver();
    return blob;
  }

  /** What cannot be written whole is not left behind. */
  async #orNothing<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      await this.abort();
      throw this.#target.errorOf(error);
    }
  }

  async #discard(last: Promise<unknown>): Promise<void> {
    // What is under way at this moment could put it back.
    await last.catch(() => {});
    await this.#target.discard();
    this.#target.onOver();
  }
}

/**
 * A content in pieces. `pieceAt` resolves with at least a byte, and at most `length`, from `position` on. Throws what that
 * rejects with, and {@link BlobError} `corrupt` before the last piece of a whole content that is not what was stored.
 */
export async function* checkedPieces(
  blob: StoredBlob,
  { offset, length }: BlobRange,
  pieceAt: (position: number, length: number) => Promise<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const hash = length === blob.size ? createHash("sha256") : undefined;
  for (let done = 0; done < length; ) {
    const piece = await pieceAt(offset + done, length - done);
    done += piece.length;
    hash?.update(piece);
    if (done === length && hash !== undefined && hash.digest("hex") !== blob.sha256) throw corruptBlob();
    yield piece;
  }
}

/** The error of a store, or of a writer, that was closed. */
export const closedBlobs = (): BlobError => new BlobError("closed", "the blob store, or the writer, is closed");
/** The error of a blob that is not what was written. */
export const corruptBlob = (cause?: unknown): BlobError =>
  new BlobError("corrupt", "the blob is not what it should be", { cause });
