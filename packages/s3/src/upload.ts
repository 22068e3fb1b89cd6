/** A blob on its way into the bucket: in one request, or in parts if it is large. */
import type { StoredBlob } from "@arcp/runtime";
import { type BlobCipher, type BlobTarget, PIECE_BYTES, sealedPiece } from "@arcp/runtime/blobs";
import { blobErrorOf, element, S3Error } from "./answers.ts";
import type { Bucket } from "./bucket.ts";

/** All of a blob that is in memory on its way in. Some services want all parts but the last one to be as large as the others. */
const PART_BYTES = 8 * 1024 * 1024;

export class Upload implements BlobTarget {
  readonly id: string;
  readonly pieceBytes = PIECE_BYTES;
  readonly errorOf = blobErrorOf;
  readonly onOver: () => void;
  readonly #bucket: Bucket;
  /** `undefined`: it is not encrypted. */
  readonly #cipher: BlobCipher | undefined;
  /** What was put and not sent. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #uploadId: string | undefined;
  /** Of the parts that were sent, in their order. */
  readonly #tags: string[] = [];
  #hasSent = false;

  constructor(id: string, bucket: Bucket, cipher: BlobCipher | undefined, onOver: () => void) {
    [this.id, this.#bucket, this.#cipher, this.onOver] = [id, bucket, cipher, onOver];
  }

  async put(piece: Uint8Array, number: number): Promise<void> {
    const bytes = this.#cipher === undefined ? Buffer.from(piece) : sealedPiece(this.#cipher, number, piece);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes < PART_BYTES) return;
    const all = Buffer.concat(this.#waiting);
    await this.#sendPart(all.subarray(0, PART_BYTES));
    this.#waiting = [all.subarray(PART_BYTES)];
    this.#waitingBytes -= PART_BYTES;
  }

  async seal(blob: StoredBlob): Promise<void> {
    const rest = Buffer.concat(this.#waiting);
    this.#hasSent = true;
    if (this.#uploadId === undefined) {
      await this.#bucket.ask({ method: "PUT", key: this.id, body: rest });
      return;
    }
    if (rest.length > 0) await this.#sendPart(rest);
    await this.#complete(this.#uploadId, blob);
  }

  async discard(): Promise<void> {
    this.#waiting = [];
    if (!this.#hasSent) return;
    const key = this.id;
    if (this.#uploadId !== undefined) {
      // What cannot be removed now is collected as what no record names.
      await this.#bucket.ask({ method: "DELETE", key, query: { uploadId: this.#uploadId } }).catch(() => {});
    }
    await this.#bucket.ask({ method: "DELETE", key }).catch(() => {});
  }

  async #sendPart(body: Buffer): Promise<void> {
    this.#hasSent = true;
    const key = this.id;
    if (this.#uploadId === undefined) {
      const begun = await this.#bucket.ask({ method: "POST", key, query: { uploads: "" } });
      this.#uploadId = element(begun, "UploadId");
      if (this.#uploadId === undefined) throw new S3Error(200, "NoUploadId");
    }
    const query = { partNumber: String(this.#tags.length + 1), uploadId: this.#uploadId };
    const answer = await this.#bucket.send({ method: "PUT", key, query, body });
    answer.resume();
    this.#tags.push(answer.headers.etag ?? "");
  }

  async #complete(uploadId: string, { id: key }: StoredBlob): Promise<void> {
    const parts = this.#tags.map((tag, index) => {
      const number = `<PartNumber>${index + 1}</PartNumber>`;
      return `<Part>${number}<ETag>${tag.replaceAll('"', "&quot;")}</ETag></Part>`;
    });
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`);
    try {
      const answer = await this.#bucket.ask({ method: "POST", key, query: { uploadId }, body });
      // It begins to answer before it has tried.
      const code = element(answer, "Code");
      if (code !== undefined) throw new S3Error(500, code);
    } catch (error) {
      if (!(error instanceof S3Error) || error.code !== "NoSuchUpload") throw error;
      // The answer to an attempt before this one was lost, or somebody has removed what was sent.
      await this.#bucket.ask({ method: "HEAD", key });
    }
  }
}
