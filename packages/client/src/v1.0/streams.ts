/** A stream of a job as its reader sees it (RFC §11). */
import { type ARCPError, InvalidRequestError, type JsonObject } from "@arcp/core";
import { CanonicalError, errorFromV10, type MessageOf10, type PayloadOf10, type StreamKind } from "@arcp/core/v1.0";
import type { Backlog } from "../backlog.ts";
import { decodeBase64 } from "../base64.ts";
import type { EventQueue } from "../event-queue.ts";
import { checkDigest } from "./digest.ts";
import { type Flow, StreamFlow } from "./stream-flow.ts";

/** What a stream brought in one message. */
export interface StreamChunk {
  /** 0, 1, 2, … whatever the runtime counts from. */
  readonly sequence: number;
  /** Bytes of `binary`, text of `text` and `thought`, any JSON value of the other kinds. */
  readonly data: unknown;
  /** Of a thought (RFC §11.4). */
  readonly role: string | undefined;
  readonly redacted: boolean;
  readonly contentType: string | undefined;
}

/** How a stream ended well. */
export interface StreamEnd {
  readonly reason: string | undefined;
  readonly chunks: number;
}

/** How long reading goes on. */
export interface ReadOptions {
  /** Ends the reading. */
  readonly signal?: AbortSignal;
}

/** What a stream needs of its client. */
export interface StreamOwner {
  readonly backlog: Backlog;
  readonly maxUnreadBytes: number;
  /** So many bytes more, or fewer, are kept for a reader who does not exist yet. Returns whether that is not too many. */
  readonly keep: (bytes: number) => boolean;
  /** Is somebody reading the streams of the work, one after the other, who will come to this one? */
  readonly isAwaited: () => boolean;
  readonly backpressure: (streamId: string, flow: Flow & { readonly reason?: string }) => void;
  readonly cancel: (streamId: string, reason: string | undefined) => Promise<void>;
}

interface Kept {
  readonly payload: PayloadOf10<"stream.chunk">;
  readonly sequence: number;
  readonly bytes: Uint8Array | undefined;
  readonly weight: number;
  /** Has the sender been told of it? */
  isCounted: boolean;
}

type Ending =
  | { readonly kind: "ended"; readonly end: StreamEnd }
  | { readonly kind: "failed"; readonly error: ARCPError };

/**
 * A stream that a job has opened. It has one reader: the first that calls {@link chunks}, {@link text} or {@link bytes}.
 * Until then what comes is kept, within bounds. A reader that is slower than the sender has it slow down (RFC §11.2).
 */
export class IncomingStream implements AsyncIterable<StreamChunk, undefined> {
  readonly id: string;
  readonly kind: StreamKind;
  readonly contentType: string | undefined;
  readonly encoding: string | undefined;
  readonly jobId: string | undefined;
  /** Set on the stream of a job's result. */
  readonly resultId: string | undefined;
  readonly #owner: StreamOwner;
  readonly #flow: StreamFlow;
  readonly #closed = Promise.withResolvers<StreamEnd>();
  #kept: Kept[] = [];
  #keptBytes = 0;
  #queue: EventQueue<Kept> | undefined;
  #isClaimed = false;
  #ending: Ending | undefined;
  /** The number that the sender counts from, once it is known. */
  #first: number | undefined;
  #received = 0;
  /** What is kept is not all that came. */
  #isIncomplete = false;

  /** @internal */
  constructor(message: MessageOf10<"stream.open">, owner: StreamOwner) {
    const { kind, content_type, encoding, result_id } = message.payload;
    this.id = message.stream_id;
    this.kind = kind;
    this.contentType = content_type;
    this.encoding = encoding;
    this.jobId = message.job_id;
    this.resultId = result_id;
    this.#owner = owner;
    this.#flow = new StreamFlow(owner.maxUnreadBytes, (flow) => {
      if (this.#ending === undefined) owner.backpressure(this.id, flow);
    });
    this.#closed.promise.catch(() => {
      // Whoever waits for the end hears of it; nobody has to.
    });
  }

  /** Resolves when the runtime has closed the stream; rejects when it failed, or nothing more can be learnt of it. */
  get closed(): Promise<StreamEnd> {
    return this.#closed.promise;
  }

  /** Has somebody begun to read it? */
  get isClaimed(): boolean {
    return this.#isClaimed;
  }

  get isOver(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * What the stream brings, in order. Throws when it failed: with the runtime's error; with `DATA_LOSS` when chunks are
   * missing, do not have the digest that was sent with them, or could not be kept until somebody read them.
   */
  chunks(options: ReadOptions = {}): AsyncIterableIterator<StreamChunk, undefined> {
    return this.#decoded(this.#claim(options.signal));
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<StreamChunk, undefined> {
    return this.chunks();
  }

  /** All of it as text: values that are none are written as JSON. */
  async text(options: ReadOptions = {}): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const { data } of this.chunks(options)) {
      text += data instanceof Uint8Array ? decoder.decode(data, { stream: true }) : asText(data);
    }
    return text + decoder.decode();
  }

  /** All of it as bytes: text is encoded as UTF-8, values that are none as JSON. */
  async bytes(options: ReadOptions = {}): Promise<Uint8Array> {
    const encoder = new TextEncoder();
    const pieces: Uint8Array[] = [];
    for await (const { data } of this.chunks(options)) {
      pieces.push(data instanceof Uint8Array ? data : encoder.encode(asText(data)));
    }
    return joined(pieces);
  }

  /**
   * Tells the sender how fast the stream may be (RFC §11.2), beside what the client says by itself. Nothing of both
   * members: as fast as it likes.
   */
  backpressure(flow: Flow & { readonly reason?: string } = {}): void {
    this.#owner.backpressure(this.id, flow);
  }

  /** Asks for the stream's end (RFC §10.4); it then fails with `CANCELLED`. Rejects when the runtime refuses. */
  cancel(reason?: string): Promise<void> {
    return this.#owner.cancel(this.id, reason);
  }

  /** @internal Takes a chunk. Returns whether it is a new one. */
  receive({ payload }: MessageOf10<"stream.chunk">, bytes: Uint8Array | undefined): boolean {
    if (this.#ending !== undefined) return false;
    const { sequence: number = this.#received + (this.#first ?? 0) } = payload;
    this.#first ??= Math.min(number, 1);
    const sequence = number - this.#first;
    if (sequence < this.#received) return false;
    if (sequence > this.#received) {
      this.fail(lost(`the stream lacks ${sequence - this.#received} chunks`));
      return false;
    }
    this.#received += 1;
    const weight = bytes?.length ?? weightOf(payload.data);
    this.#put({ payload, sequence, bytes, weight, isCounted: false });
    return true;
  }

  /** @internal The runtime has closed the stream. */
  finish({ reason, total_chunks }: PayloadOf10<"stream.close">): void {
    if (total_chunks !== undefined && total_chunks !== this.#received) {
      this.fail(lost(`the stream ended with ${total_chunks} chunks, of which ${this.#received} came`));
      return;
    }
    this.#end({ kind: "ended", end: { reason, chunks: this.#received } });
  }

  /** @internal The stream has failed, or nothing more can be learnt of it. */
  fail(error: ARCPError): void {
    this.#end({ kind: "failed", error });
  }

  #put(chunk: Kept): void {
    if (this.#queue !== undefined) {
      this.#count(chunk);
      this.#queue.push(chunk);
      return;
    }
    // Whoever claimed it has left, or will find that it is not all there.
    if (this.#isClaimed || this.#isIncomplete) return;
    if (this.#owner.isAwaited()) this.#count(chunk);
    this.#kept.push(chunk);
    this.#keptBytes += chunk.weight;
    if (this.#owner.keep(chunk.weight)) return;
    this.#isIncomplete = true;
    this.#forget();
    this.#flow.stop();
  }

  /** Nothing is kept for later any more. */
  #forget(): void {
    this.#owner.keep(-this.#keptBytes);
    this.#kept = [];
    this.#keptBytes = 0;
  }

  #count(chunk: Kept): void {
    if (!chunk.isCounted) this.#flow.arrived(chunk.weight);
    chunk.isCounted = true;
  }

  #end(ending: Ending): void {
    if (this.#ending !== undefined) return;
    this.#ending = ending;
    if (ending.kind === "ended") this.#closed.resolve(ending.end);
    else this.#closed.reject(ending.error);
    if (this.#queue) finish(this.#queue, ending);
  }

  #claim(signal: AbortSignal | undefined): EventQueue<Kept> {
    if (this.#isClaimed) throw new InvalidRequestError("the stream has a reader already");
    this.#isClaimed = true;
    const queue = this.#owner.backlog.open<Kept>(
      // The sender is asked to slow down before that; this holds for one that does not.
      { highWater: 2 * this.#owner.maxUnreadBytes, weigh: ({ weight }) => Math.max(weight, 1) },
      signal,
      () => {
        this.#queue = undefined;
        this.#flow.stop();
      },
    );
    this.#queue = queue;
    if (this.#isIncomplete) queue.fail(lost("the stream was not read in time: what came first was not kept"));
    for (const chunk of this.#kept) {
      this.#count(chunk);
      queue.push(chunk);
    }
    this.#forget();
    if (this.#ending) finish(queue, this.#ending);
    return queue;
  }

  async *#decoded(queue: EventQueue<Kept>): AsyncGenerator<StreamChunk, undefined, undefined> {
    for await (const { payload, sequence, bytes, weight } of queue) {
      this.#flow.taken(weight);
      const { role, redacted, content_type } = payload;
      const data = this.#isBinary(payload, bytes) ? (bytes ?? decodeBase64(String(payload.data))) : payload.data;
      if (data instanceof Uint8Array) await checkChunk(data, payload);
      yield { sequence, data: data ?? "", role, redacted, contentType: content_type ?? this.contentType };
    }
    return undefined;
  }

  #isBinary({ data, encoding }: PayloadOf10<"stream.chunk">, bytes: Uint8Array | undefined): boolean {
    if (bytes !== undefined) return true;
    return typeof data === "string" && (this.kind === "binary" || encoding === "base64");
  }
}

/** Throws `DATA_LOSS` for bytes that are not those which were sent. */
async function checkChunk(bytes: Uint8Array, { sha256, byte_length }: PayloadOf10<"stream.chunk">): Promise<void> {
  if (byte_length !== undefined && byte_length !== bytes.length) throw lost("a chunk has not the length it came with");
  await checkDigest(bytes, sha256, "a chunk of the stream");
}

function finish(queue: EventQueue<Kept>, ending: Ending): void {
  if (ending.kind === "ended") queue.end();
  else queue.fail(ending.error);
}

const lost = (message: string): ARCPError => new CanonicalError("DATA_LOSS", message);

/** The error of `stream.error`. */
export const streamErrorOf = ({ payload }: MessageOf10<"stream.error">): ARCPError => errorFromV10(payload);

const asText = (data: unknown): string => (typeof data === "string" ? data : JSON.stringify(data));

/** About how many bytes a value takes. */
function weightOf(data: unknown): number {
  if (typeof data === "string") return data.length;
  return data === undefined ? 1 : JSON.stringify(data as JsonObject).length;
}

/** Several pieces as one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
