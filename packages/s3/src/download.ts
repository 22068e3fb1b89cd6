/** A range of an object on its way out, gone on with where it was when the connection breaks. */
import type { IncomingMessage } from "node:http";
import { closedBlobs, corruptBlob } from "@arcp/runtime/blobs";
import { S3Error } from "./answers.ts";
import type { Bucket } from "./bucket.ts";

/** Breaks in a row without a byte in between. */
const MAX_BREAKS = 3;

export class Download {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #end: number;
  readonly #closing: AbortSignal;
  #position: number;
  #answer: IncomingMessage | undefined;
  #chunks: AsyncIterator<Buffer> | undefined;
  /** Which of the contents it is that this key may come to have. */
  #tag: string | undefined;
  /** Received, and not given out. */
  #chunk: Uint8Array = new Uint8Array();
  #breaks = 0;
  /** Bytes of the whole object; known when it has been opened. */
  total = 0;

  /** From `start` to before `end`; to the end of the object, if that comes first. */
  constructor(bucket: Bucket, key: string, [start, end]: readonly [number, number], closing: AbortSignal) {
    [this.#bucket, this.#key, this.#position, this.#end, this.#closing] = [bucket, key, start, end, closing];
  }

  /** Rejects as {@link Bucket.send} does. */
  async open(): Promise<this> {
    const range = `bytes=${this.#position}-${this.#end - 1}`;
    const headers = { range, ...(this.#tag !== undefined && { "if-match": this.#tag }) };
    const answer = await this.#bucket.send({ method: "GET", key: this.#key, headers, signal: this.#closing });
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers["content-range"] ?? "") ?? [];
    this.#answer = answer;
    if (answer.statusCode !== 206 || Number(first) !== this.#position)
      throw new S3Error(answer.statusCode ?? 0, "NoRange");
    this.total = Number(total);
    this.#tag = answer.headers.etag;
    this.#chunks = answer[Symbol.asyncIterator]();
    return this;
  }

  /** At least a byte, at most `length`. */
  async some(length: number): Promise<Uint8Array> {
    while (this.#chunk.length === 0) this.#chunk = await this.#receive();
    const given = this.#chunk.subarray(0, length);
    this.#chunk = this.#chunk.subarray(given.length);
    return given;
  }

  /** As many, unless the object ends before. */
  async exactly(length: number): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for (let missing = Math.min(length, this.#left); missing > 0; ) {
      const piece = await this.some(missing);
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  close(): void {
    // What has come to its end leaves its connection to others.
    if (this.#position === Math.min(this.#end, this.total)) this.#answer?.resume();
    else this.#answer?.destroy();
  }

  /** Received or not. */
  get #left(): number {
    return Math.min(this.#end, this.total) - this.#position + this.#chunk.length;
  }

  async #receive(): Promise<Uint8Array> {
    if (this.#left === 0) throw corruptBlob();
    try {
      const { value } = (await this.#chunks?.next()) ?? {};
      if (value === undefined) throw new Error("the answer ended too early");
      this.#position += value.length;
      this.#breaks = 0;
      return value;
    } catch (error) {
      if (this.#closing.aborted) throw closedBlobs();
      this.#breaks += 1;
      if (this.#breaks > MAX_BREAKS) throw error;
      await this.open();
      return new Uint8Array();
    }
  }
}
