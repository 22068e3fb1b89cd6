/** One piece of work as this client knows it: asked for, accepted, followed, and ended once (RFC §6.3, §10.2). */
import { ARCPError, CancelledError } from "@arcp/core";
import {
  type ArtifactRef10,
  errorFromV10,
  type JobState10,
  type MessageOf10,
  type RuntimeMessage10,
} from "@arcp/core/v1.0";
import type { Backlog } from "../backlog.ts";
import { EventTape } from "../event-tape.ts";
import { Listeners } from "../listeners.ts";
import { RecentIds } from "../recent-ids.ts";
import {
  factsOf,
  type ToolEvent,
  type ToolEventFacts,
  type ToolEventKind,
  type ToolEventOf,
  toToolEvent,
} from "./events.ts";
import { IncomingStream, type StreamOwner, streamErrorOf } from "./streams.ts";

/** What is known once the runtime has accepted the work. */
export interface AcceptedWork {
  /** `undefined` from a runtime that has no jobs. */
  readonly jobId: string | undefined;
  readonly acceptedAt: string | undefined;
  /** The session in which it was accepted. */
  readonly sessionId: string | undefined;
}

/** How work ended well (RFC §6.3, §24). */
export interface ToolResult {
  /** The value, if it came inline, or as a stream while nobody was reading the streams. */
  readonly value: unknown;
  /** Where the value is, if it is an artifact (RFC §16.1). */
  readonly ref: ArtifactRef10 | undefined;
  /** Of a value that was streamed. */
  readonly streamId: string | undefined;
  readonly summary: string | undefined;
}

export interface WorkBounds {
  readonly maxKeptEvents: number;
  readonly maxUnreadEvents: number;
  readonly maxResultBytes: number;
  /** Bytes of a stream that nobody reads yet. */
  readonly maxUnreadStreamBytes: number;
}

/** What work needs of its client. */
export interface WorkTools extends Pick<StreamOwner, "backpressure" | "cancel"> {
  /** Every event, of whatever work. */
  readonly onEvent: (event: ToolEvent) => void;
  /** A listener threw. */
  readonly onThrow: (thrown: unknown) => void;
}

type ByKind = { readonly [Kind in ToolEventKind]: ToolEventOf<Kind> };

type State =
  | { readonly phase: "asked" }
  | { readonly phase: "live" }
  /** The runtime said how it ended. */
  | { readonly phase: "ended"; readonly error: ARCPError | undefined }
  /** The client can no longer learn how it ends. */
  | { readonly phase: "lost"; readonly error: ARCPError };

/** How much more is kept of a stream that somebody will come to, and whose sender does not slow down. */
const AWAITED = 16;

/**
 * asked -> live    job.accepted, or any other message of the job
 * asked -> ended   nack, or an ending without an acceptance
 * live  -> ended   tool.result, tool.error, job.completed, job.failed, job.cancelled, workflow.complete: the first one
 * any   -> lost    the session is gone, the client was closed, the caller has given up before it was accepted
 */
export class Work {
  readonly accepted: Promise<AcceptedWork>;
  readonly done: Promise<ToolResult>;
  readonly #accept = Promise.withResolvers<AcceptedWork>();
  readonly #settle = Promise.withResolvers<ToolResult>();
  readonly #backlog: Backlog;
  readonly #bounds: WorkBounds;
  readonly #tools: WorkTools;
  readonly #listeners: Listeners<ByKind>;
  readonly #events: EventTape<ToolEvent>;
  readonly #opened: EventTape<IncomingStream>;
  /** Those that are open. */
  readonly #streams = new Map<string, IncomingStream>();
  /** Those that were opened: none is twice. */
  readonly #streamIds = new RecentIds();
  #state: State = { phase: "asked" };
  #jobId: string | undefined;
  #jobState: JobState10 = "accepted";
  /** Of streams that nobody reads yet. */
  #keptStreamBytes = 0;
  #keptResultBytes = 0;
  /** The session that tells of the job; what others tell of it is the same again. */
  #home: string | undefined;
  #acceptedIn: string | undefined;
  /** The stream of the result, if nobody was reading the streams when it was opened. */
  #result: IncomingStream | undefined;

  constructor(backlog: Backlog, bounds: WorkBounds, tools: WorkTools) {
    this.#backlog = backlog;
    this.#bounds = bounds;
    this.#tools = tools;
    this.#listeners = new Listeners(tools.onThrow);
    this.#events = new EventTape(backlog, bounds);
    this.#opened = new EventTape(backlog, bounds);
    this.accepted = this.#accept.promise;
    this.done = this.#settle.promise;
    for (const promise of [this.accepted, this.done] as const) {
      (promise as Promise<unknown>).catch(() => {
        // Whoever waits hears of it; nobody has to.
      });
    }
  }

  get jobId(): string | undefined {
    return this.#jobId;
  }

  /** As last heard (RFC §10.2). */
  get jobState(): JobState10 {
    return this.#jobState;
  }

  /** The session that tells of the job, or will. */
  get home(): string | undefined {
    return this.#home ?? this.#acceptedIn;
  }

  get isAsked(): boolean {
    return this.#state.phase === "asked";
  }

  get isOver(): boolean {
    return this.#state.phase === "ended" || this.#state.phase === "lost";
  }

  /** The runtime has accepted it, or told of the job without having said so. */
  accept({ jobId, acceptedAt, sessionId }: AcceptedWork): void {
    if (this.isOver) return;
    this.#jobId = jobId ?? this.#jobId;
    this.#acceptedIn ??= sessionId;
    if (this.#state.phase !== "asked") return;
    this.#state = { phase: "live" };
    this.#accept.resolve({ jobId, acceptedAt, sessionId });
  }

  /** Takes one message of the job. Returns whether it says something new. */
  receive(message: RuntimeMessage10, bytes: Uint8Array | undefined): boolean {
    if (this.isOver || !this.#isHome(message.session_id)) return false;
    if (message.type === "job.accepted" || message.type === "job.heartbeat") return false;
    this.accept({ jobId: message.job_id, acceptedAt: message.timestamp, sessionId: message.session_id });
    this.#take(message, bytes);
    return true;
  }

  /** The session is gone that told of the job. The next one that does is believed. */
  leaveHome(): void {
    this.#home = undefined;
    this.#acceptedIn = undefined;
  }

  /** There is nothing more to come of it. */
  complete(): void {
    if (!this.isOver) this.#succeed({});
  }

  /** It was refused, or nobody waits for it any more. */
  lose(error: ARCPError | Error): void {
    if (this.isOver) return;
    this.#end({ phase: "lost", error: error instanceof ARCPError ? error : new CancelledError(error.message) });
    this.#accept.reject(error);
    this.#settle.reject(error);
  }

  /** The events. The first reader also gets those that were kept for it. */
  events(signal: AbortSignal | undefined): AsyncIterableIterator<ToolEvent, undefined> {
    return this.#events.read(signal);
  }

  streams(signal: AbortSignal | undefined): AsyncIterableIterator<IncomingStream, undefined> {
    return this.#opened.read(signal);
  }

  /** Returns a function that takes the listener away again. */
  listen<Kind extends ToolEventKind>(kind: Kind, listener: (event: ToolEventOf<Kind>) => void): () => void {
    return this.#listeners.add(kind, listener as (event: ByKind[Kind]) => void);
  }

  get hasOpenStreams(): boolean {
    return this.#streams.size > 0;
  }

  #isHome(sessionId: string | undefined): boolean {
    if (sessionId === undefined) return true;
    this.#home ??= sessionId;
    return this.#home === sessionId;
  }

  #take(message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    switch (message.type) {
      case "stream.open":
        this.#openStream(message);
        return;
      case "stream.chunk":
        this.#onChunk(message, bytes);
        return;
      case "stream.close":
        this.#streams.get(message.stream_id)?.finish(message.payload);
        this.#streams.delete(message.stream_id);
        return;
      case "stream.error":
        this.#streams.get(message.stream_id)?.fail(streamErrorOf(message));
        this.#streams.delete(message.stream_id);
        return;
      case "job.result_chunk":
        this.#onResultChunk(message);
        return;
      case "tool.result":
      case "job.completed":
        this.#succeed(message.payload);
        return;
      case "workflow.complete":
        this.#succeed({ value: message.payload.outputs, result_ref: message.payload.result_ref });
        return;
      case "tool.error":
      case "job.failed":
        this.#fail(errorFromV10(message.payload), "failed");
        return;
      case "job.cancelled":
        this.#fail(cancellationOf(message), "cancelled");
        return;
      default: {
        const event = toToolEvent(message, this.#jobId);
        if (event) this.#tell(event);
      }
    }
  }

  #tell(event: ToolEvent): void {
    if (event.kind === "started") this.#jobState = "running";
    else if (event.kind === "state") this.#jobState = event.body.state as JobState10;
    this.#events.push(event);
    this.#listeners.emit(event.kind, event as never);
    this.#tools.onEvent(event);
  }

  #openStream(message: MessageOf10<"stream.open">): void {
    if (!this.#streamIds.add(message.stream_id)) return;
    const isResult = message.payload.result_id !== undefined;
    const { maxUnreadStreamBytes } = this.#bounds;
    const stream = new IncomingStream(message, {
      ...this.#tools,
      backlog: this.#backlog,
      maxUnreadBytes: maxUnreadStreamBytes,
      keep: (bytes) => {
        if (isResult) return this.#keepResult(bytes);
        this.#keptStreamBytes += bytes;
        const most = this.#opened.hasReaders ? AWAITED * maxUnreadStreamBytes : maxUnreadStreamBytes;
        return this.#keptStreamBytes <= most;
      },
      isAwaited: () => this.#opened.hasReaders,
    });
    this.#streams.set(stream.id, stream);
    if (isResult && !this.#opened.hasReaders) this.#result = stream;
    this.#opened.push(stream);
    if (stream.kind !== "thought") this.#tell({ ...this.#facts(message), kind: "stream", body: stream });
  }

  #keepResult(bytes: number): boolean {
    this.#keptResultBytes += bytes;
    return this.#keptResultBytes <= this.#bounds.maxResultBytes;
  }

  #onChunk(message: MessageOf10<"stream.chunk">, bytes: Uint8Array | undefined): void {
    const stream = this.#streams.get(message.stream_id);
    if (stream === undefined || !stream.receive(message, bytes) || stream.kind !== "thought") return;
    const { role, redacted, content, data } = message.payload;
    const text = content ?? (typeof data === "string" ? data : "");
    const body = { content: text, role, redacted, streamId: stream.id };
    this.#tell({ ...this.#facts(message), kind: "thought", body });
  }

  /** A result in pieces that are no stream (as wire 1.1 has them): read as one. */
  #onResultChunk(message: MessageOf10<"job.result_chunk">): void {
    const { result_id, chunk_seq, data, encoding, more } = message.payload;
    const about = { ...message, stream_id: streamIdOf(result_id) };
    const none = { stream_id: undefined, content_type: undefined };
    if (chunk_seq === 0) {
      const kind = encoding === "base64" ? "binary" : "text";
      const open = { ...none, kind, encoding, related_job_id: undefined, result_id } as const;
      this.#openStream({ ...about, type: "stream.open", payload: open });
    }
    const plain = { ...none, content: undefined, sha256: undefined, byte_length: undefined, role: undefined };
    const chunk = { ...plain, sequence: chunk_seq, data, encoding, redacted: false };
    this.#onChunk({ ...about, type: "stream.chunk", payload: chunk }, undefined);
    const close = { ...none, reason: undefined, total_chunks: chunk_seq + 1 };
    if (more) return;
    this.#streams.get(about.stream_id)?.finish(close);
    this.#streams.delete(about.stream_id);
  }

  #facts(message: RuntimeMessage10): ToolEventFacts {
    return factsOf(message, this.#jobId);
  }

  #succeed(payload: Partial<MessageOf10<"tool.result">["payload"]>): void {
    const { value, result_ref, result_id, stream_id = result_id && streamIdOf(result_id), summary } = payload;
    const stream = stream_id === this.#result?.id ? this.#result : undefined;
    this.#jobState = "completed";
    this.#end({ phase: "ended", error: undefined });
    const result = { value, ref: result_ref, streamId: stream_id, summary };
    if (stream === undefined || stream.isClaimed || value !== undefined) this.#settle.resolve(result);
    else {
      const collected = stream.kind === "binary" ? stream.bytes() : stream.text();
      collected.then((whole) => this.#settle.resolve({ ...result, value: whole }), this.#settle.reject);
    }
  }

  #fail(error: ARCPError, jobState: JobState10): void {
    this.#jobState = jobState;
    this.#end({ phase: "ended", error });
    this.#settle.reject(error);
  }

  #end(state: Extract<State, { phase: "ended" | "lost" }>): void {
    this.#state = state;
    const lost = state.phase === "lost" ? state.error : undefined;
    this.#events.finish(lost);
    this.#opened.finish(lost);
    const cause = state.error ?? new CancelledError("the job ended before its stream");
    for (const stream of this.#streams.values()) stream.fail(cause);
  }
}

/** Of a result that is no stream on the wire. */
const streamIdOf = (resultId: string): string => `str_${resultId}`;

function cancellationOf({ payload }: MessageOf10<"job.cancelled">): ARCPError {
  const { code = "CANCELLED", message, reason, source } = payload;
  const facts = { ...(reason !== undefined && { reason }), ...(source !== undefined && { source }) };
  return errorFromV10({ code, message: message ?? reason ?? "the job was cancelled", details: facts });
}
