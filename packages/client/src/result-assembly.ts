/** Puts a streamed result together from its chunks (§8.4). */
import { type ARCPError, errorFromWire, type ResultChunkBody } from "@arcp/core";
import { decodeBase64 } from "./base64.ts";

/** One decoded chunk: text as it was sent, or bytes. */
export type ResultPiece = string | Uint8Array;

/** An assembled result: text if every chunk was text, bytes otherwise. */
export interface AssembledResult {
  readonly result: ResultPiece;
  /** Decoded bytes. */
  readonly size: number;
}

/** Chunks that came before their turn and may wait for it. */
const MAX_EARLY_CHUNKS = 64;

const encoder = new TextEncoder();

const broken = (message: string, limit?: string): ARCPError =>
  errorFromWire({
    code: "INTERNAL_ERROR",
    message,
    retryable: false,
    details: { retry: "never", ...(limit === undefined ? {} : { limit }) },
  });

/** UTF-8 bytes of `text`, without encoding it. */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x80) continue;
    bytes += code < 0x800 || (code >= 0xd800 && code <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

/**
 * The chunks of one `result_id`. Pieces are passed on in `chunk_seq` order. While `isKept`, they are also stored, up
 * to `maxBytes`; beyond it the store is dropped and {@link assemble} fails.
 */
export class ResultAssembly {
  readonly resultId: string;
  readonly #maxBytes: number;
  readonly #onPiece: (piece: ResultPiece) => void;
  #pieces: ResultPiece[] = [];
  #isKept = true;
  #nextChunk = 0;
  #early = new Map<number, ResultChunkBody>();
  #size = 0;
  #isLastSeen = false;
  #failure: ARCPError | undefined;

  constructor(resultId: string, maxBytes: number, onPiece: (piece: ResultPiece) => void) {
    this.resultId = resultId;
    this.#maxBytes = maxBytes;
    this.#onPiece = onPiece;
  }

  /** The decoded pieces so far, in order. Empty once they are no longer kept. */
  get pieces(): readonly ResultPiece[] {
    return this.#pieces;
  }

  /** From now on pieces are only passed on. */
  stopKeeping(): void {
    this.#isKept = false;
    this.#pieces = [];
  }

  add(chunk: ResultChunkBody): void {
    if (this.#failure || chunk.chunk_seq < this.#nextChunk) return;
    if (chunk.chunk_seq > this.#nextChunk) {
      if (this.#early.size < MAX_EARLY_CHUNKS) this.#early.set(chunk.chunk_seq, chunk);
      return;
    }
    this.#take(chunk);
    for (;;) {
      const early = this.#early.get(this.#nextChunk);
      if (early === undefined) return;
      this.#early.delete(this.#nextChunk);
      this.#take(early);
    }
  }

  /** Why the chunks do not make a result of `resultSize` bytes, if they do not. */
  problem(resultSize: number | undefined): ARCPError | undefined {
    if (this.#failure) return this.#failure;
    const isShort = !this.#isLastSeen && resultSize !== undefined && resultSize !== this.#size;
    return this.#early.size > 0 || isShort ? broken("the streamed result is incomplete") : undefined;
  }

  /** The whole result; `undefined` if it was not kept. Throws a typed error if it is incomplete, undecodable or too large. */
  assemble(resultSize: number | undefined): AssembledResult | undefined {
    const problem = this.problem(resultSize);
    if (problem) throw problem;
    return this.#isKept ? { result: join(this.#pieces), size: this.#size } : undefined;
  }

  #take(chunk: ResultChunkBody): void {
    this.#nextChunk += 1;
    if (!chunk.more) this.#isLastSeen = true;
    let piece: ResultPiece;
    try {
      piece = chunk.encoding === "base64" ? decodeBase64(chunk.data) : chunk.data;
    } catch {
      this.#fail(broken(`chunk ${chunk.chunk_seq} of the result is not valid base64`));
      return;
    }
    this.#size += typeof piece === "string" ? utf8Length(piece) : piece.length;
    if (this.#isKept && this.#size > this.#maxBytes) {
      this.#fail(broken(`the streamed result is larger than ${this.#maxBytes} bytes`, "result_bytes"));
      return;
    }
    if (this.#isKept) this.#pieces.push(piece);
    this.#onPiece(piece);
  }

  #fail(failure: ARCPError): void {
    this.#failure = failure;
    this.#pieces = [];
    this.#early.clear();
  }
}

function join(pieces: readonly ResultPiece[]): ResultPiece {
  if (pieces.every((piece) => typeof piece === "string")) return pieces.join("");
  const parts: Uint8Array[] = [];
  let text = "";
  // Text next to text is joined first: a peer may have cut it inside a surrogate pair.
  for (const piece of pieces) {
    if (typeof piece === "string") text += piece;
    else {
      if (text !== "") parts.push(encoder.encode(text));
      text = "";
      parts.push(piece);
    }
  }
  if (text !== "") parts.push(encoder.encode(text));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
