/**
 * Blobs as objects of a bucket, which every node of a cluster can read.
 *
 * Several processes may write under one prefix, so that what no record names may be what another one is about to name: it is
 * not listed before an hour. What this process has begun is its own to list: ids say whose they are.
 */
import { randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";
import {
  BlobError,
  type BlobRange,
  type BlobStore,
  type BlobWriter,
  type ListedBlob,
  type StoredBlob,
} from "@arcp/runtime";
import {
  assertBlobId,
  type BlobCipher,
  BlobKeys,
  checkedPieces,
  closedBlobs,
  corruptBlob,
  HEADER_BYTES,
  newBlobId,
  PIECE_BYTES,
  PiecewiseWriter,
  partsOfBlobId,
  SEALED_PIECE_BYTES,
  sealedOffset,
  sealedSize,
} from "@arcp/runtime/blobs";
import { blobErrorOf, element, elements, S3Error } from "./answers.ts";
import { Bucket } from "./bucket.ts";
import { Download } from "./download.ts";
import { type S3BlobsOptions, settled } from "./options.ts";
import { Upload } from "./upload.ts";

/** How long others are given to name a blob. */
const GRACE_MS = 3_600_000;
/** Of the 16 bytes of an id, those that say which process has made it. */
const OWNER_BYTES = 6;

/**
 * Nothing is sent before something is asked. What the service does not take for a moment is sent again; then calls reject with
 * BlobError: `unusable` while it cannot be used, `no_space`, `missing`, `corrupt`. Throws TypeError for options that cannot be meant.
 */
export function s3Blobs(options: S3BlobsOptions): BlobStore {
  return new S3Blobs(options);
}

/** Gives what is stored from a position of the content on; calls follow one another without a gap. */
type Source = (position: number, length: number) => Promise<Uint8Array>;

class S3Blobs implements BlobStore {
  readonly isDurable = true;
  readonly #bucket: Bucket;
  readonly #keys: BlobKeys;
  readonly #hasKeys: boolean;
  readonly #owner = randomBytes(OWNER_BYTES).toString("hex");
  readonly #writers = new Map<string, PiecewiseWriter>();
  /** Uploads that were begun and not finished, of the blobs that were listed last. */
  readonly #unfinished = new Map<string, string[]>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: S3BlobsOptions) {
    const all = settled(options);
    this.#bucket = new Bucket(all);
    this.#keys = new BlobKeys(all.encryptionKeys);
    this.#hasKeys = all.encryptionKeys.length > 0;
  }

  async create(name: string): Promise<BlobWriter> {
    const id = newBlobId(name, this.#owner);
    this.#assertOpen();
    const upload = new Upload(id, this.#bucket, this.#keys.forNew(id), () => this.#writers.delete(id));
    const writer = new PiecewiseWriter(upload);
    this.#writers.set(id, writer);
    return writer;
  }

  async *read(blob: StoredBlob, range: BlobRange = { offset: 0, length: blob.size }): AsyncIterable<Uint8Array> {
    assertBlobId(blob.id);
    this.#assertOpen();
    if (range.length === 0) {
      await this.#assertThere(blob);
      return;
    }
    const downloads: Download[] = [];
    try {
      const source = await this.#told(() => this.#source(blob, range, downloads));
      yield* checkedPieces(blob, range, (position, length) => this.#told(() => source(position, length)));
    } finally {
      for (const download of downloads) download.close();
    }
  }

  async remove(id: string): Promise<void> {
    assertBlobId(id);
    this.#assertOpen();
    const uploads = this.#unfinished.get(id) ?? [];
    await this.#told(async () => {
      for (const uploadId of uploads) {
        await this.#bucket.ask({ method: "DELETE", key: id, query: { uploadId } }).catch(unlessMissing);
      }
      await this.#bucket.ask({ method: "DELETE", key: id }).catch(unlessMissing);
    });
    this.#unfinished.delete(id);
  }

  async *list(): AsyncIterable<ListedBlob> {
    this.#assertOpen();
    const begun = [...this.#writers.keys()];
    for (const id of begun) yield { id, name: partsOfBlobId(id)?.name as string };
    const isBegun = new Set(begun);
    for await (const { id, name } of this.#objects()) if (!isBegun.has(id)) yield { id, name };
    this.#unfinished.clear();
    for await (const { id, name, uploadId } of this.#uploads()) {
      if (isBegun.has(id) || this.#writers.has(id)) continue;
      const others = this.#unfinished.get(id);
      this.#unfinished.set(id, [...(others ?? []), uploadId]);
      if (others === undefined) yield { id, name };
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#writers.values()].map((writer) => writer.abort()));
    this.#bucket.close();
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw closedBlobs();
  }

  /** Rejects with BlobError. */
  async #told<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      this.#assertOpen();
      return await work();
    } catch (error) {
      throw this.#closing.signal.aborted ? closedBlobs() : blobErrorOf(error);
    }
  }

  async #assertThere({ id, size }: StoredBlob): Promise<void> {
    const answer = await this.#told(() => this.#bucket.send({ method: "HEAD", key: id, signal: this.#closing.signal }));
    answer.resume();
    const total = Number(answer.headers["content-length"]);
    if (total !== size && total !== sealedSize(size)) throw corruptBlob();
  }

  async #source(blob: StoredBlob, { offset, length }: BlobRange, downloads: Download[]): Promise<Source> {
    const opened = async (start: number, end: number): Promise<Download> => {
      const download = new Download(this.#bucket, blob.id, [start, end], this.#closing.signal);
      downloads.push(download);
      return download.open();
    };
    if (!this.#hasKeys) {
      const download = await opened(offset, offset + length);
      if (download.total === sealedSize(blob.size)) throw keyMissing();
      return plain(blob, download);
    }
    const first = await opened(0, HEADER_BYTES);
    if (first.total !== sealedSize(blob.size)) return plain(blob, await opened(offset, offset + length));
    const cipher = this.#keys.forHeader(blob.id, await first.exactly(HEADER_BYTES));
    if (cipher === undefined) throw keyMissing();
    const [from, to] = [Math.floor(offset / PIECE_BYTES), Math.ceil((offset + length) / PIECE_BYTES)];
    return sealed(cipher, from, await opened(sealedOffset(from), sealedOffset(to)));
  }

  async *#objects(): AsyncIterable<ListedBlob> {
    for (let token: string | undefined; ; ) {
      const more = token === undefined ? {} : { "continuation-token": token };
      const page = await this.#page({ "list-type": "2", ...more });
      yield* this.#ownOf(page, "Contents", "LastModified");
      token = element(page.xml, "NextContinuationToken");
      if (token === undefined) return;
    }
  }

  async *#uploads(): AsyncIterable<ListedBlob & { readonly uploadId: string }> {
    for (let marker: Record<string, string> = {}; ; ) {
      let page: Page;
      try {
        page = await this.#page({ uploads: "", ...marker });
      } catch (error) {
        // Where that is not done, the bucket's rules remove them.
        if (error instanceof BlobError && error.cause instanceof S3Error && error.cause.status === 501) return;
        throw error;
      }
      for (const found of this.#ownOf(page, "Upload", "Initiated")) {
        yield { ...found, uploadId: element(found.xml, "UploadId") ?? "" };
      }
      if (element(page.xml, "IsTruncated") !== "true") return;
      const [key = "", upload = ""] = ["NextKeyMarker", "NextUploadIdMarker"].map((name) => element(page.xml, name));
      marker = { "key-marker": key, "upload-id-marker": upload };
    }
  }

  async #page(query: Readonly<Record<string, string>>): Promise<Page> {
    return this.#told(async () => {
      const { signal } = this.#closing;
      const request = { method: "GET", query: { ...query, prefix: this.#bucket.prefix }, signal } as const;
      const answer = await this.#bucket.send(request);
      return { now: Date.parse(answer.headers.date ?? "") || Date.now(), xml: await text(answer) };
    });
  }

  /** What of a page is this store's, and may be collected: its own, and what is old by the service's clock. */
  *#ownOf({ xml, now }: Page, of: string, since: string): Iterable<ListedBlob & { readonly xml: string }> {
    for (const found of elements(xml, of)) {
      const id = element(found, "Key")?.slice(this.#bucket.prefix.length) ?? "";
      const parts = partsOfBlobId(id);
      if (parts === undefined) continue;
      const age = now - Date.parse(element(found, since) ?? "");
      if (parts.rest.startsWith(this.#owner) || age > GRACE_MS) yield { id, name: parts.name, xml: found };
    }
  }
}

interface Page {
  readonly xml: string;
  /** By the clock of the service. */
  readonly now: number;
}

function plain({ size }: StoredBlob, download: Download): Source {
  if (download.total !== size) throw corruptBlob();
  return (_position, length) => download.some(Math.min(length, PIECE_BYTES));
}

function sealed(cipher: BlobCipher, from: number, download: Download): Source {
  let next = from;
  return async (position, length) => {
    const piece = next;
    next += 1;
    const bytes = await download.exactly(SEALED_PIECE_BYTES);
    const start = position - piece * PIECE_BYTES;
    return openPiece(cipher, piece, bytes).subarray(start, start + length);
  };
}

function openPiece(cipher: BlobCipher, piece: number, bytes: Buffer): Buffer {
  try {
    return cipher.open(piece, bytes);
  } catch (error) {
    throw corruptBlob(error);
  }
}

/** What is not there need not be removed. */
function unlessMissing(error: unknown): void {
  if (!(error instanceof S3Error && error.isMissing)) throw error;
}

const keyMissing = (): BlobError => new BlobError("unusable", "the blob is encrypted, and its key is missing");
