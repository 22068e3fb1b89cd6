/** One session of wire 1.0 with sight of its messages: for whoever says a thing, and wants to see all that comes of it. */
import { ARCPToolClient, type IncomingStream, type ToolOpenOptions } from "@arcp/client";
import {
  ARCPError,
  connectTransport,
  decodeFrame,
  type JsonObject,
  newMessageId,
  RUNTIME_FRAME_LIMITS,
  TimeoutError,
  type Transport,
} from "@arcp/core";
import {
  buildEnvelope10,
  decodeRuntimeMessage10,
  type EnvelopeParts10,
  errorFromV10,
  type RuntimeMessage10,
} from "@arcp/core/v1.0";
import { TappedTransport } from "./tapped-transport.ts";

/** A message, as it came. */
export interface Received {
  readonly text: string;
  readonly frame: JsonObject;
}

/** What answers a message: as it is understood, and as it came. */
export interface Answer {
  readonly message: RuntimeMessage10;
  readonly frame: JsonObject;
}

/** What to say. When, and in which session, is filled in. */
export type Said = Omit<EnvelopeParts10, "timestamp" | "session_id"> & { readonly id: string };

export interface ConversationOptions extends Omit<ToolOpenOptions, "reconnect"> {
  /** How long the runtime may take until it says something at all. Default: 30,000. */
  readonly answerTimeoutMs?: number;
}

/** Messages that wait to be read; beyond it, nothing more is read from the connection. */
const MAX_WAITING = 512;

export class Conversation implements AsyncDisposable {
  readonly #transport: TappedTransport;
  readonly #answerTimeoutMs: number;
  #client: ARCPToolClient | undefined;
  #waiting: Received[] = [];
  #wake = (): void => {};
  #end: { readonly error: ARCPError | undefined } | undefined;

  private constructor(transport: Transport, answerTimeoutMs: number) {
    this.#transport = new TappedTransport(transport, (text) => this.#onFrame(text));
    this.#answerTimeoutMs = answerTimeoutMs;
  }

  /** Opens a session. Rejects as `ARCPToolClient.open` does. It is not opened again when it is lost. */
  static async open(url: string, options: ConversationOptions): Promise<Conversation> {
    const { answerTimeoutMs = 30_000, signal, allowInsecure = false, ...rest } = options;
    const transport = await connectTransport(url, { allowInsecure, ...(signal === undefined ? {} : { signal }) });
    const conversation = new Conversation(transport, answerTimeoutMs);
    // Bytes beside their messages would not be seen.
    const capabilities = { binary_encoding: ["base64"] as const, ...rest.capabilities };
    const client = await ARCPToolClient.open(conversation.#transport, {
      ...{ ...rest, capabilities },
      ...(signal === undefined ? {} : { signal }),
    });
    conversation.#begin(client);
    return conversation;
  }

  get client(): ARCPToolClient {
    if (this.#client === undefined) throw new Error("the session is not open yet");
    return this.#client;
  }

  /** Says something in the session. */
  say(message: Said): void {
    const session_id = this.client.session.sessionId;
    const timestamp = new Date().toISOString();
    this.#transport.send(JSON.stringify(buildEnvelope10({ session_id, timestamp, ...message })));
  }

  /**
   * The messages of the session, as they come. One reader at a time. Ends with `signal`; throws what ended the session, or
   * {@link TimeoutError} when `isAwaiting` says that there is something to wait for, and nothing comes.
   */
  async *messages(signal: AbortSignal, isAwaiting: () => boolean = () => false): AsyncGenerator<Received, void> {
    const timer = new Timer(this.#answerTimeoutMs, () => this.#wake());
    const onAbort = (): void => this.#wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const next = this.#waiting.shift();
        if (next !== undefined) {
          if (this.#waiting.length < MAX_WAITING / 2) this.#transport.hold(false);
          yield next;
        } else if (this.#end !== undefined) {
          if (this.#end.error === undefined) return;
          throw this.#end.error;
        } else if (timer.isOver && isAwaiting()) {
          throw new TimeoutError(`the runtime did not answer within ${this.#answerTimeoutMs / 1000} s`);
        } else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      timer.stop();
      signal.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Says something and resolves with what answers it first. Some messages have no answer if all is well: with `maySayNothing`
   * that is `undefined`. Rejects with the runtime's refusal, {@link TimeoutError}, what ended the session, or the signal's
   * reason.
   */
  async ask(
    message: Said,
    signal: AbortSignal,
    { maySayNothing = false }: { readonly maySayNothing?: boolean } = {},
  ): Promise<Answer | undefined> {
    this.say(message);
    // Messages are answered in order.
    const fence = { id: newMessageId(), type: "ping", payload: {} };
    if (maySayNothing) this.say(fence);
    for await (const { frame } of this.messages(signal, () => true)) {
      if (frame["correlation_id"] === fence.id) return undefined;
      if (!isAbout(frame, message.id)) continue;
      const answer = decodeRuntimeMessage10(frame, { allowMissingTimestamp: true });
      if (answer.type === "nack" || answer.type === "job.failed") throw errorFromV10(answer.payload);
      return { message: answer, frame };
    }
    throw signal.reason;
  }

  /** Leaves the session. What runs in it goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#transport.hold(false);
    this.#waiting = [];
    await this.#client?.close({ disposeJobs: "detach" });
  }

  #begin(client: ARCPToolClient): void {
    this.#client = client;
    // A stream that nobody reads would have its sender slow down, and then stop.
    client.on("work", (work) => void drainStreams(work.streams()));
    client.closed.then(
      () => this.#finish(undefined),
      (error: unknown) => this.#finish(ARCPError.from(error)),
    );
  }

  #finish(error: ARCPError | undefined): void {
    this.#end = { error };
    this.#wake();
  }

  #onFrame(text: string): void {
    // The handshake is the client's.
    if (this.#client === undefined) return;
    let frame: JsonObject;
    try {
      frame = decodeFrame(text, RUNTIME_FRAME_LIMITS);
    } catch {
      // The client reports it.
      return;
    }
    this.#waiting.push({ text, frame });
    if (this.#waiting.length >= MAX_WAITING) this.#transport.hold(true);
    this.#wake();
  }
}

/** Does the message name `id` as what it answers? */
export const isAbout = ({ correlation_id, payload }: JsonObject, id: string): boolean =>
  correlation_id === id || (payload as JsonObject | undefined)?.["ack_for"] === id;

class Timer {
  readonly #timer: ReturnType<typeof setTimeout>;
  isOver = false;

  constructor(ms: number, onOver: () => void) {
    this.#timer = setTimeout(() => {
      this.isOver = true;
      onOver();
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

async function drainStreams(streams: AsyncIterable<IncomingStream>): Promise<void> {
  try {
    for await (const stream of streams) void drain(stream);
  } catch {
    // How the session ended is told by its end.
  }
}

async function drain(stream: IncomingStream): Promise<void> {
  try {
    for await (const _ of stream);
  } catch {
    // How it ended is told by its last message.
  }
}
