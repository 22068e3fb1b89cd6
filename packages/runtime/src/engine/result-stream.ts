/** A result in pieces (§8.4): chunks in order, then the one `job.result` that refers to them. */
import { InternalError, InvalidRequestError, newResultId, type ResultId } from "@arcp/core";
import { ENTRY } from "../store/store.ts";
import { tooLarge } from "./caps.ts";
import type { MaskStream, SecretMask } from "./credentials/redaction.ts";
import { jsonOf } from "./entry-text.ts";
import { type Job, quiet } from "./job.ts";
import type { Flow } from "./streams/flow.ts";

/** Longer pieces are cut: a frame of this size, encoded, passes every known client's limit. */
const PIECE_BYTES = 256 * 1024;

export type ChunkEncoding = "utf8" | "base64";

/** How a piece of a result is encoded (§8.4). */
export interface WriteOptions {
  /** Default: `utf8` for a string, `base64` for bytes. A string written as `base64` must be base64 text. */
  readonly encoding?: ChunkEncoding;
}

/** What is said of a streamed result when it is complete (§8.4). */
export interface FinalizeOptions {
  /** One line about the result. */
  readonly summary?: string;
  /** Decoded bytes of the result. Counted if not given. */
  readonly resultSize?: number;
}

/** How much of a result in pieces is out. */
export interface PiecesPlace {
  readonly nextSeq: number;
  /** Decoded. */
  readonly bytes: number;
}

/** Chunks of one result, as a job emits them. A job has at most one. */
export class ChunkSequence {
  readonly #job: Job;
  readonly resultId: ResultId;
  /** How fast its readers can take it, where they can say so (RFC §11.2). */
  readonly #flow: Flow | undefined;
  #nextSeq = 0;
  #bytes = 0;
  #isComplete = false;
  #lastEncoding: ChunkEncoding = "utf8";
  /** The last write that is not through; `undefined` when all are. */
  #turn: Promise<void> | undefined;
  #mask: SecretMask | undefined;
  #maskStream: MaskStream | undefined;
  /** Half a character that the text so far ended with: the rest of it may come with the next write. */
  half = "";

  /** `before`: what was sent of it before the job was restarted. */
  constructor(job: Job, resultId: ResultId = newResultId(), flow?: Flow, before?: PiecesPlace) {
    this.#job = job;
    this.resultId = resultId;
    this.#nextSeq = before?.nextSeq ?? 0;
    this.#bytes = before?.bytes ?? 0;
    this.#flow = flow;
    // Wire 1.0 shows the chunks as a stream: its readers are told that it is not whole.
    if (job.origin !== undefined) job.beforeEnd(() => this.#breakOff());
  }

  /** How much of it is out. */
  get place(): PiecesPlace {
    return { nextSeq: this.#nextSeq, bytes: this.#bytes };
  }

  /** Leaves out pieces that are out: they were written by a step that is not done again. */
  skip({ count, bytes }: { readonly count: number; readonly bytes: number }): void {
    this.#nextSeq += count;
    this.#bytes += bytes;
  }

  /** Decoded bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of the last chunk: some clients read one encoding per result. */
  get lastEncoding(): ChunkEncoding {
    return this.#lastEncoding;
  }

  /** Resolves when nothing waits to be emitted any more; `undefined` if nothing does. */
  settled(): Promise<void> | undefined {
    const turn = this.#turn;
    if (turn === undefined) return undefined;
    return turn.catch(() => {}).then(() => this.settled());
  }

  /** Has the last chunk been emitted? */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Runs `write` when those before it are through: an agent may begin several without waiting. */
  inTurn(write: () => Promise<void>): Promise<void> {
    const mine = this.#turn === undefined ? write() : this.#turn.then(write, write);
    this.#turn = mine;
    const over = (): void => {
      if (this.#turn === mine) this.#turn = undefined;
    };
    mine.then(over, over);
    return mine;
  }

  /**
   * Emits one chunk. A chunk or a total above its cap ends the job with {@link InternalError} (§14), and rejects with
   * it. Rejects with {@link InvalidRequestError} after the last chunk.
   */
  emit(data: string, encoding: ChunkEncoding, more: boolean): Promise<void> {
    const piece = { data, encoding, bytes: decodedBytes(data, encoding) };
    if (this.#flow?.isLimited !== true) return this.emitPiece(piece, more);
    return quiet(this.inTurn(() => this.emitPiece(piece, more)));
  }

  /** The same for data whose size is known and whose form is right, when its readers can take it. */
  emitPiece(piece: Piece, more: boolean): Promise<void> {
    const wait = this.#flow?.ready();
    return wait === undefined ? this.#put(piece, more) : wait.then(() => this.#put(piece, more));
  }

  #put({ data, encoding, bytes }: Piece, more: boolean): Promise<void> {
    if (this.#isComplete) return rejected(new InvalidRequestError("the result is complete: no chunk may follow"));
    const { maxChunkBytes, maxResultBytes } = this.#job.caps;
    if (bytes > maxChunkBytes) return this.#fail(tooLarge("maxChunkBytes", maxChunkBytes));
    if (this.#bytes + bytes > maxResultBytes) return this.#fail(tooLarge("maxResultBytes", maxResultBytes));
    const shown = this.#masked(data, encoding, !more);
    const text = encoding === "base64" ? `"${shown}"` : jsonOf(shown);
    const body = `{"result_id":"${this.resultId}","chunk_seq":${this.#nextSeq},"data":${text},"encoding":"${encoding}","more":${more}}`;
    this.#nextSeq += 1;
    this.#bytes += bytes;
    this.#isComplete = !more;
    this.#lastEncoding = encoding;
    this.#flow?.took(bytes);
    return this.#job.emitText(ENTRY.result_chunk, "result_chunk", body);
  }

  /** `data` without the job's secrets, also where one is cut by the end of a chunk: what may begin one is held back. */
  #masked(data: string, encoding: ChunkEncoding, isLast: boolean): string {
    const mask = this.#job.secretMask;
    if (mask === undefined) return data;
    let text = "";
    if (this.#mask !== mask) {
      text = this.#maskStream?.end() ?? "";
      this.#mask = mask;
      this.#maskStream = mask.stream();
    }
    const stream = this.#maskStream as MaskStream;
    const wasFound = stream.found;
    text += stream.push(encoding === "base64" ? Buffer.from(data, "base64").toString("latin1") : data);
    if (isLast) text += stream.end();
    if (stream.found && !wasFound) this.#job.alarmAboutSecret();
    return encoding === "base64" ? Buffer.from(text, "latin1").toString("base64") : text;
  }

  #breakOff(): void {
    if (this.#nextSeq === 0 || this.#isComplete) return;
    const error = new InternalError("the result is not complete").toWire();
    const body = jsonOf({ stream_id: streamIdOfResult(this.resultId), error });
    this.#job.tell(ENTRY.stream_closed, "x-vendor.arcp.stream.close", body);
  }

  #fail(error: InternalError): Promise<void> {
    this.#job.end({ status: "error", error });
    return rejected(error);
  }
}

/** A result that is sent in pieces while it is made (§8.4). */
export class ResultStream {
  readonly #chunks: ChunkSequence;
  readonly #job: Job;

  constructor(job: Job, chunks: ChunkSequence) {
    this.#job = job;
    this.#chunks = chunks;
  }

  get resultId(): ResultId {
    return this.#chunks.resultId;
  }

  /**
   * Emits `chunk` after those that were written before it, in several pieces if it is long; text is never cut inside a
   * character. Resolves when the consumer keeps up. Rejects as {@link ChunkSequence.emit} does.
   */
  write(chunk: string | Uint8Array, options: WriteOptions = {}): Promise<void> {
    return quiet(this.#chunks.inTurn(() => this.#write(chunk, options)));
  }

  /**
   * Emits `last`, or an empty chunk, as the final one, and ends the job with success. What the agent returns after
   * that is ignored.
   */
  finalize(last?: string | Uint8Array, options: FinalizeOptions & WriteOptions = {}): Promise<void> {
    return quiet(this.#chunks.inTurn(() => this.#finalize(last, options)));
  }

  async #write(chunk: string | Uint8Array, options: WriteOptions): Promise<void> {
    for (const piece of this.#pieces(chunk, options.encoding, false)) await this.#chunks.emitPiece(piece, true);
  }

  async #finalize(last: string | Uint8Array | undefined, options: FinalizeOptions & WriteOptions): Promise<void> {
    const tail =
      last === undefined && this.#chunks.half === ""
        ? [{ data: "", encoding: this.#chunks.lastEncoding, bytes: 0 }]
        : this.#pieces(last ?? "", options.encoding, true);
    for (const [index, piece] of tail.entries()) await this.#chunks.emitPiece(piece, index < tail.length - 1);
    const { summary, resultSize = this.#chunks.bytes } = options;
    this.#job.end({ status: "success", members: streamedMembers(this.resultId, resultSize, summary) });
  }

  /** The pieces of `chunk`, after what the text before it left over. Unless it is the last, it may leave some itself. */
  #pieces(chunk: string | Uint8Array, encoding: ChunkEncoding | undefined, isLast: boolean): Piece[] {
    const { half } = this.#chunks;
    if (typeof chunk !== "string" || encoding === "base64") {
      const own = pieces(chunk, encoding);
      this.#chunks.half = "";
      return half === "" ? own : [...pieces(half, "utf8"), ...own];
    }
    const text = half + chunk;
    const end = isLast || !isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length : text.length - 1;
    this.#chunks.half = text.slice(end);
    return end === 0 && text !== "" ? [] : pieces(text.slice(0, end), "utf8");
  }
}

/** The stream that wire 1.0 shows a streamed result as. */
export const streamIdOfResult = (resultId: string): string => `str_${resultId.replace(/^res_/, "")}`;

/** What `job.result` says of a streamed result, as JSON members. */
export const streamedMembers = (resultId: ResultId, resultSize: number, summary?: string): string =>
  jsonOf({ result_id: resultId, result_size: resultSize, summary }).slice(1, -1);

/** A rejection that nobody has to look at. */
export const rejected = (error: unknown): Promise<void> => quiet(Promise.reject(error));

/** Throws {@link InvalidRequestError} for data that is not in its encoding. */
export function requireEncoded(data: string, encoding: ChunkEncoding): void {
  decodedBytes(data, encoding);
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function decodedBytes(data: string, encoding: ChunkEncoding): number {
  if (encoding === "utf8") return Buffer.byteLength(data);
  if (data.length % 4 !== 0 || !BASE64.test(data)) throw new InvalidRequestError("the chunk is not base64");
  return (data.length / 4) * 3 - (data.endsWith("==") ? 2 : data.endsWith("=") ? 1 : 0);
}

/** One chunk's data in its encoding, and how many bytes it stands for. */
interface Piece {
  readonly data: string;
  readonly encoding: ChunkEncoding;
  readonly bytes: number;
}

function pieces(chunk: string | Uint8Array, asked: ChunkEncoding | undefined): Piece[] {
  if (typeof chunk === "string" && asked === "base64") {
    return [{ data: chunk, encoding: "base64", bytes: decodedBytes(chunk, "base64") }];
  }
  if (typeof chunk === "string") {
    return textPieces(chunk).map((data) => ({ data, encoding: "utf8", bytes: Buffer.byteLength(data) }));
  }
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (asked === "utf8") return pieces(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), "utf8");
  const list: Piece[] = [];
  for (let at = 0; at === 0 || at < bytes.length; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, bytes.length);
    list.push({ data: bytes.toString("base64", at, end), encoding: "base64", bytes: end - at });
  }
  return list;
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
/** A code unit is three bytes of UTF-8 at most. */
const PIECE_UNITS = Math.floor(PIECE_BYTES / 3);

function textPieces(text: string): string[] {
  if (text.length <= PIECE_UNITS) return [text];
  const list: string[] = [];
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + PIECE_UNITS, text.length);
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
    list.push(text.slice(at, end));
    at = end;
  }
  return list;
}
