import type { JobState10 } from "@arcp/core/v1.0";
import type { CancelOptions10, InterruptOptions } from "./control.ts";
import type { ToolEvent, ToolEventKind, ToolEventOf } from "./events.ts";
import type { IncomingStream, ReadOptions } from "./streams.ts";
import type { AcceptedWork, ToolResult, Work } from "./work.ts";

/** What an invocation needs of its client. */
export interface InvocationTools {
  readonly cancel: (jobId: string, options: CancelOptions10) => Promise<void>;
  readonly interrupt: (jobId: string, options: InterruptOptions) => Promise<void>;
  readonly valueOf: (result: ToolResult, options: ReadOptions) => Promise<unknown>;
}

/**
 * Work that the runtime was asked for, or does of its own accord: an invocation, a workflow, a run of a schedule.
 *
 * Iterating gives its events in order and ends when the work does, however it ends; how it ended is told by
 * {@link done}. If the client can no longer learn of the ending (closed, session lost), the iteration throws.
 */
export class Invocation implements AsyncIterable<ToolEvent, undefined> {
  readonly #work: Work;
  readonly #tools: InvocationTools;

  /** @internal */
  constructor(work: Work, tools: InvocationTools) {
    this.#work = work;
    this.#tools = tools;
  }

  /** Resolves when the runtime has accepted the work; rejects with its refusal. Never causes an unhandled rejection. */
  get accepted(): Promise<AcceptedWork> {
    return this.#work.accepted;
  }

  /** `undefined` until the work was accepted. */
  get jobId(): string | undefined {
    return this.#work.jobId;
  }

  /** The state of the job as last heard (RFC §10.2). */
  get state(): JobState10 {
    return this.#work.jobState;
  }

  /**
   * Resolves with the result, or rejects with the typed error of the first ending that comes (RFC §6.3). Also rejects
   * when the client is closed or the session is lost for good. Never causes an unhandled rejection.
   */
  get done(): Promise<ToolResult> {
    return this.#work.done;
  }

  /**
   * Waits for {@link done} and resolves with the value itself. A value that is an artifact is fetched: JSON is parsed,
   * text is a string, anything else its bytes (RFC §16).
   */
  async value(options: ReadOptions = {}): Promise<unknown> {
    return this.#tools.valueOf(await this.#work.done, options);
  }

  /**
   * A new iterator over the events. The first one begins with the events that came before it, as far as they were kept; a
   * later one begins with what comes next. An iterator that is not read stops the whole connection once
   * {@link ToolClientOptions.maxUnreadEvents} wait in it: read it, or leave it.
   */
  events(options: ReadOptions = {}): AsyncIterableIterator<ToolEvent, undefined> {
    return this.#work.events(options.signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ToolEvent, undefined> {
    return this.events();
  }

  /** The streams that the work opens, thoughts included. The first iterator begins with those that were opened before it. */
  streams(options: ReadOptions = {}): AsyncIterableIterator<IncomingStream, undefined> {
    return this.#work.streams(options.signal);
  }

  /** Calls `listener` for every event of that kind from now on. Returns a function that stops it. */
  on<Kind extends ToolEventKind>(kind: Kind, listener: (event: ToolEventOf<Kind>) => void): () => void {
    return this.#work.listen(kind, listener);
  }

  /** Calls `listener` with every progress report from now on. Returns a function that stops it. */
  onProgress(listener: (progress: ToolEventOf<"progress">["body"]) => void): () => void {
    return this.on("progress", ({ body }) => listener(body));
  }

  /**
   * Asks for the end of the work (RFC §10.4). Resolves when the runtime has agreed, or it is over; the end itself is told
   * by {@link done}. Rejects with CancelRefusedError when the runtime refuses.
   */
  async cancel(reason?: string | CancelOptions10): Promise<void> {
    const options = typeof reason === "string" ? { reason } : (reason ?? {});
    const { jobId } = await this.#work.accepted;
    if (jobId !== undefined && !this.#work.isOver) await this.#tools.cancel(jobId, options);
  }

  /**
   * Asks the work to pause and take guidance (RFC §10.5): the runtime will ask a question. Resolves when it has agreed.
   * Where interrupts were not negotiated this rejects, or cancels with `orCancel`.
   */
  async interrupt(prompt?: string | InterruptOptions): Promise<void> {
    const options = typeof prompt === "string" ? { prompt } : (prompt ?? {});
    const { jobId } = await this.#work.accepted;
    if (jobId !== undefined) await this.#tools.interrupt(jobId, options);
  }
}
