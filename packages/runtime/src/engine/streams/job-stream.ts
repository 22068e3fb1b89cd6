/**
 * A stream of a job (RFC §11): opened, written in chunks that are numbered from 0 without a gap, and ended once.
 *
 *   open -> closed   close(): after everything that was written; or the job has succeeded
 *   open -> failed   fail(), a cancel, a cap; or the job has ended otherwise. What is not written by then is not written
 */
import { ARCPError, type Clock, InternalError, InvalidRequestError } from "@arcp/core";
import { CanonicalError, newStreamId, type Priority, type StreamKind } from "@arcp/core/v1.0";
import { ENTRY, type EntryCode } from "../../store/store.ts";
import { agentError, errorMembers } from "../agent-failure.ts";
import { tooLarge } from "../caps.ts";
import { jsonOf } from "../entry-text.ts";
import { type Job, quiet } from "../job.ts";
import type { Outcome } from "../job-facts.ts";
import { Flow } from "./flow.ts";
import type { Lane } from "./lanes.ts";
import {
  CHUNK_BYTES,
  CONTENT_TYPES,
  contentOf,
  type Load,
  MIN_CHUNK_BYTES,
  type Piece,
  type StreamContent,
  type StreamData,
  thoughtContentOf,
} from "./stream-content.ts";

/** What a stream carries, and how it is told of (RFC §11). */
export interface OpenStreamOptions<Kind extends StreamKind = StreamKind> {
  /** An unknown kind is `event` (RFC §11.1). */
  readonly kind: Kind;
  /** Default: that of the kind; `text/plain`, `application/octet-stream` or `application/json`. */
  readonly contentType?: string;
  /** How text is encoded, for its readers' information. Default: `utf-8`. The wire says how it carries bytes. */
  readonly encoding?: string;
  /** Which streams of a session wait for which while its connection is congested (RFC §6.5). Default: `normal`. */
  readonly priority?: Priority;
}

/** A stream, as the agent that has opened it sees it. */
export interface JobStream<Kind extends StreamKind = StreamKind> extends AsyncDisposable {
  /** `str_` and a ULID. */
  readonly id: string;
  readonly kind: StreamKind;
  /** Chunks written so far. */
  readonly chunks: number;
  readonly isClosed: boolean;
  /**
   * Writes `data` after what was written before it, in several chunks if it is long; text is never cut inside a
   * character. Resolves when the readers keep up (RFC §11.2): a writer that awaits it is as fast as they are.
   *
   * Rejects with {@link InvalidRequestError} for what the kind does not take, and after the end; with CancelledError once
   * a client has cancelled the stream; with {@link InternalError} beyond a cap: `maxChunkBytes` for one value,
   * `maxStreamBytes` for all, which also fails the stream, and `maxUnawaitedBytes`.
   */
  write(data: StreamData[Kind]): Promise<void>;
  /** Ends the stream after everything that was written. Default reason: `completed`. Idempotent. */
  close(reason?: string): Promise<void>;
  /** Ends it at once as failed, with what `error` says to users. Idempotent. */
  fail(error: unknown): Promise<void>;
}

/** What a stream works with. */
export interface StreamTools {
  readonly clock: Clock;
  readonly lane: Lane;
  /** What waits to be written to any stream of the job. */
  readonly queue: { bytes: number };
  /** Called once, after the last entry. */
  readonly onEnded: (stream: OpenStream) => void;
}

/** Text of a header, and nothing that could be taken for two. */
const HEADER = /^[\x20-\x7e]{1,256}$/;
const MAX_REASON = 256;
/** How the wire carries bytes. */
const OF_BYTES: ReadonlySet<string> = new Set(["base64", "sidecar"]);

export class OpenStream implements JobStream {
  readonly id = newStreamId();
  readonly kind: StreamKind;
  readonly job: Job;
  /** How fast its readers can take it. */
  readonly flow: Flow;
  readonly #tools: StreamTools;
  readonly #content: StreamContent;
  readonly #chunk: { readonly code: EntryCode; readonly kind: string };
  /** JSON members of every chunk. */
  readonly #common: string;
  readonly #maxChunkBytes: number;
  #chunks = 0;
  #bytes = 0;
  /** Writes that wait. */
  #queued = 0;
  /** The last write or close that is not through; `undefined` when all are. */
  #turn: Promise<void> | undefined;
  #isClosing = false;
  #end: { readonly error: ARCPError | undefined } | undefined;

  /** Writes the opening. `isThoughts`: what the job says with `context.thought`. */
  constructor(job: Job, options: OpenStreamOptions & { readonly isThoughts?: boolean }, tools: StreamTools) {
    const { kind, isThoughts = false, priority = "normal" } = options;
    const { contentType = CONTENT_TYPES[kind] } = options;
    const encoding = kind === "binary" ? "base64" : (options.encoding ?? "utf-8");
    this.job = job;
    this.kind = kind;
    this.flow = new Flow(tools.clock);
    this.#tools = tools;
    this.#content = isThoughts ? thoughtContentOf(job) : contentOf(kind, job, contentType);
    this.#chunk = isThoughts
      ? { code: ENTRY.thought, kind: "thought" }
      : { code: ENTRY.stream_chunk, kind: "x-vendor.arcp.stream.chunk" };
    this.#common = priority === "normal" ? "" : `,"priority":"${priority}"`;
    this.#maxChunkBytes = Math.min(CHUNK_BYTES, job.caps.maxChunkBytes);
    const open = { stream_id: this.id, kind, content_type: contentType, encoding };
    const body = jsonOf(priority === "normal" ? open : { ...open, priority });
    job.tell(ENTRY.stream_opened, "x-vendor.arcp.stream.open", body);
  }

  get chunks(): number {
    return this.#chunks;
  }

  get isClosed(): boolean {
    return this.#end !== undefined;
  }

  /** Is a write or a close under way? */
  get isWriting(): boolean {
    return this.#turn !== undefined;
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    while (this.#turn !== undefined) await this.#turn.catch(() => {});
  }

  write(data: unknown): Promise<void> {
    let load: Load;
    try {
      this.#assertOpen();
      if (this.#isClosing) throw new InvalidRequestError("the stream is closed");
      load = this.#content.load(data);
    } catch (error) {
      return quiet(Promise.reject(error));
    }
    const { maxUnawaitedBytes } = this.job.caps;
    if (this.#tools.queue.bytes + load.size > maxUnawaitedBytes) {
      const error = tooLarge("maxUnawaitedBytes", maxUnawaitedBytes);
      this.#finish(error);
      return quiet(Promise.reject(error));
    }
    return quiet(this.#inTurn(this.#sending(load)));
  }

  close(reason = "completed"): Promise<void> {
    if (this.#end !== undefined) return Promise.resolve();
    this.#isClosing = true;
    return quiet(this.#inTurn(() => this.#close(reason)));
  }

  fail(error: unknown): Promise<void> {
    this.#finish(agentError(error));
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Ends it as failed, at once: it was cancelled, or the job has ended. Does nothing after the end. */
  abort(error: ARCPError): void {
    this.#finish(error);
  }

  /** The job ends, with `outcome`: what can be written without waiting still is. */
  endWith(outcome: Outcome): void {
    if (this.#end !== undefined) return;
    if (outcome.status !== "success") this.#finish(causeOf(outcome));
    else if (this.#queued > 0) {
      this.#finish(new CanonicalError("ABORTED", "the job ended before everything was written"));
    } else {
      const rest = this.#content.rest();
      while (!rest.isDone && this.#end === undefined) void quiet(this.#putNext(rest) ?? Promise.resolve());
      this.#finish(undefined);
    }
  }

  /** Runs `act` when everything before it is through: an agent may begin several without waiting. */
  #inTurn(act: () => Promise<void>): Promise<void> {
    const mine = this.#turn === undefined ? act() : this.#turn.then(act, act);
    this.#turn = mine;
    const over = (): void => {
      if (this.#turn === mine) this.#turn = undefined;
    };
    mine.then(over, over);
    return mine;
  }

  /** Counts `load` among what waits; what this returns writes it. */
  #sending(load: Load): () => Promise<void> {
    const { queue } = this.#tools;
    this.#queued += 1;
    queue.bytes += load.size;
    let isQueued = true;
    const leave = (): void => {
      if (!isQueued) return;
      isQueued = false;
      this.#queued -= 1;
      queue.bytes -= load.size;
    };
    return () => this.#send(load, leave).finally(leave);
  }

  async #send(load: Load, onWritten: () => void): Promise<void> {
    this.#assertOpen();
    while (!load.isDone) {
      const wait = this.#readiness();
      if (wait !== undefined) {
        await wait;
        this.#assertOpen();
      }
      const written = this.#putNext(load);
      if (load.isDone) onWritten();
      if (written !== undefined) await written;
      if (!load.isDone) this.#assertOpen();
    }
  }

  async #close(reason: string): Promise<void> {
    if (this.#end !== undefined) return;
    const rest = this.#content.rest();
    if (!rest.isDone) await this.#sending(rest)();
    this.#finish(undefined, reason.slice(0, MAX_REASON));
  }

  /** What the next chunk waits for; `undefined` if it may go now. */
  #readiness(): Promise<void> | undefined {
    const yielding = this.#tools.lane.ready();
    return yielding === undefined ? this.flow.ready() : yielding.then(() => this.flow.ready());
  }

  /** Writes the next chunk of `load`; `undefined`: there is nothing to show yet. */
  #putNext(load: Load): Promise<void> | undefined {
    const room = Math.max(
      Math.min(this.flow.room, this.#maxChunkBytes),
      Math.min(MIN_CHUNK_BYTES, this.#maxChunkBytes),
    );
    const piece = load.next(room);
    return piece && this.#put(piece);
  }

  #put({ members, bytes }: Piece): Promise<void> {
    const { maxStreamBytes } = this.job.caps;
    if (this.#bytes + bytes > maxStreamBytes) {
      const error = exhausted("maxStreamBytes", maxStreamBytes, "never");
      this.#finish(error);
      return Promise.reject(error);
    }
    const before = this.job.lastN;
    const { code, kind } = this.#chunk;
    const body = `{"stream_id":"${this.id}","sequence":${this.#chunks},${members}${this.#common}}`;
    const written = this.job.emitText(code, kind, body);
    if (this.job.lastN === before) return written.catch((error) => this.#lost(error));
    this.#chunks += 1;
    this.#bytes += bytes;
    this.flow.took(bytes);
    this.#tools.lane.wrote();
    return written;
  }

  /** A chunk could not be written: readers must not take what follows for all there is. */
  #lost(error: unknown): never {
    this.#finish(ARCPError.from(error));
    throw error;
  }

  #finish(error: ARCPError | undefined, reason = "completed"): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    const total = this.#content.total();
    const more = total === "" ? "" : `,${total}`;
    const how =
      error === undefined
        ? `"reason":${jsonOf(reason)}${more}`
        : `"error":{${errorMembers(error, this.job.caps.maxEventBytes)}}`;
    const body = `{"stream_id":"${this.id}","total_chunks":${this.#chunks},${how}}`;
    this.job.tell(ENTRY.stream_closed, "x-vendor.arcp.stream.close", body);
    this.flow.close();
    this.#tools.lane.leave();
    this.#tools.onEnded(this);
  }

  #assertOpen(): void {
    if (this.#end?.error !== undefined) throw this.#end.error;
    this.job.assertLive();
    if (this.#end !== undefined) throw new InvalidRequestError("the stream is closed");
  }
}

/** Throws {@link InvalidRequestError} for names that are none. */
export function assertStreamOptions({ kind, contentType, encoding }: OpenStreamOptions): void {
  if (encoding !== undefined && OF_BYTES.has(encoding) && kind !== "binary") {
    throw new InvalidRequestError("only bytes are encoded as base64");
  }
  for (const name of [contentType, encoding]) {
    if (name === undefined || HEADER.test(name)) continue;
    throw new InvalidRequestError("a content type and an encoding are 1 to 256 printable ASCII characters");
  }
}

/** Beyond a bound that wire 1.0 has a code for. `retry` says whether there may be room later. */
export const exhausted = (limit: string, max: number, retry: "after_capacity" | "never"): InternalError =>
  new InternalError(`${limit} (${max}) is exceeded`, { details: { code: "RESOURCE_EXHAUSTED", limit, max, retry } });

/** How the streams of a job end that ends like this (RFC §10.4). */
function causeOf(outcome: Exclude<Outcome, { status: "success" }>): ARCPError {
  const { status, error } = outcome;
  if (status === "cancelled") return new CanonicalError("CANCELLED", "the job was cancelled");
  const isCut = status === "timed_out" || error.details?.["code"] === "ABORTED";
  return isCut ? new CanonicalError("ABORTED", "the job was stopped") : new InternalError("the job failed");
}
