import { InvalidRequestError } from "../errors.ts";
import type { JsonObject } from "../frame.ts";
import { RUNTIME_FRAME_LIMITS } from "../limits.ts";
import { EventStreamReader, EventTooLargeError, type StreamEvent } from "./event-stream.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CLOSE_TOO_LARGE,
  CloseSignal,
  Inbox,
  isLoopbackHost,
  type Transport,
  type TransportClose,
  type TransportPeer,
} from "./transport.ts";

/** How {@link HttpTransport.connect} makes its requests. */
export interface HttpConnectOptions {
  /** Gives up, if it aborts before the runtime has answered for the first time. */
  readonly signal?: AbortSignal;
  /** Sent with every request, e.g. what a proxy wants to see. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Allows `http://` to a host other than this machine. The token then travels in the clear. Default: false. */
  readonly allowInsecure?: boolean;
  /** Bytes of one frame from the runtime. Default: 64 MiB. */
  readonly maxFrameBytes?: number;
  /**
   * Makes the requests, e.g. over HTTP/2 or through a proxy (`fetch` of `undici` with a dispatcher). Default: the platform's.
   */
  readonly fetch?: typeof globalThis.fetch;
}

/** What may be posted at once. */
const BATCH_CHARS = 256 * 1024;
const CLOSE_PROTOCOL = 1002;

/**
 * Frames over plain HTTP (`httpTransport` at the other end): posted one after another, and read from a stream of events.
 * Needs `fetch` alone, so it runs in Node, pages and workers, and passes wherever HTTP does.
 */
export class HttpTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = false;
  readonly #url: URL;
  readonly #options: HttpConnectOptions;
  readonly #inbox = new Inbox();
  readonly #close = new CloseSignal();
  readonly #requests = new AbortController();
  #outgoing: string[] = [];
  #bufferedChars = 0;
  #isPosting = false;
  #isClosing = false;
  /** Of the connection, once the runtime has answered. */
  #location: URL | undefined;
  #key = "";
  /** Has the event stream begun? */
  #isReading = false;
  #drainWaiters: (() => void)[] = [];
  #resumeWaiters: (() => void)[] = [];
  #onMalformed: (problem: string) => void = () => {};

  private constructor(url: URL, isConfidential: boolean, options: HttpConnectOptions) {
    this.#url = url;
    this.#options = options;
    this.peer = { kind: "http", isConfidential };
  }

  /**
   * Prepares a connection; the first frame makes it, and if that fails the transport is closed. Rejects with
   * {@link InvalidRequestError} for a URL that may not be connected to, and with the signal's reason.
   */
  static async connect(url: string, options: HttpConnectOptions = {}): Promise<HttpTransport> {
    const target = assertMayConnect(url, options);
    options.signal?.throwIfAborted();
    return new HttpTransport(target.url, target.isConfidential, options);
  }

  get bufferedBytes(): number {
    return this.#bufferedChars;
  }

  get closed(): Promise<TransportClose> {
    return this.#close.promise;
  }

  get isClosed(): boolean {
    return this.#close.isClosed;
  }

  send(frame: string): void {
    if (this.isClosed || this.#isClosing) return;
    this.#outgoing.push(frame);
    this.#bufferedChars += frame.length;
    void this.#post();
  }

  sendBinary(): void {
    throw new Error("HTTP connections carry text alone");
  }

  drained(): Promise<void> {
    if (this.isClosed || this.#bufferedChars === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  onFrame(handler: (frame: string) => void): void {
    this.#inbox.onFrame(handler);
  }

  onBinary(): void {}

  onMalformed(handler: (problem: string) => void): void {
    this.#onMalformed = handler;
  }

  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
    if (!this.#inbox.isPaused) for (const wake of this.#resumeWaiters.splice(0)) wake();
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.isClosed || this.#isClosing) return;
    this.#isClosing = true;
    void this.#leave(code, reason);
  }

  abort(reason = "aborted"): void {
    if (this.isClosed) return;
    // Without a stream that breaks, the runtime would not learn of it for a while.
    if (this.#location !== undefined && !this.#isReading)
      void this.#delete(this.#location, new AbortController().signal);
    this.#end(CLOSE_ABNORMAL, reason);
  }

  /** Posts what is queued, in order: one request at a time. */
  async #post(): Promise<void> {
    if (this.#isPosting) return;
    this.#isPosting = true;
    try {
      while (this.#outgoing.length > 0 && !this.isClosed) {
        // Everything that is said in one task goes together.
        await Promise.resolve();
        const batch = this.#location === undefined ? this.#outgoing.splice(0, 1) : this.#nextBatch();
        if (this.#location === undefined) await this.#open(batch[0] ?? "");
        else await this.#say(this.#location, batch);
        this.#bufferedChars -= batch.reduce((sum, frame) => sum + frame.length, 0);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isPosting = false;
      if (this.#outgoing.length === 0) for (const wake of this.#drainWaiters.splice(0)) wake();
    }
  }

  /** Frames for one request. One with a line break, which is no JSON of ours, goes alone. */
  #nextBatch(): readonly string[] {
    let chars = 0;
    let count = 0;
    for (const frame of this.#outgoing) {
      chars += frame.length;
      if (count > 0 && (chars > BATCH_CHARS || frame.includes("\n"))) break;
      count += 1;
      if (frame.includes("\n")) break;
    }
    return this.#outgoing.splice(0, count);
  }

  async #open(frame: string): Promise<void> {
    const { signal } = this.#options;
    const giveUp = (): void => this.abort("given up");
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      const response = await this.#request(this.#url, { method: "POST", body: frame, headers: JSON_BODY });
      const isEnvelope = response.headers.get("content-type")?.startsWith("application/json") ?? false;
      if (!isEnvelope) throw await refusalOf(response);
      const answer = await response.text();
      if (response.status === 201) {
        this.#location = new URL(response.headers.get("location") ?? "", this.#url);
        this.#key = response.headers.get("arcp-connection-key") ?? "";
        this.#inbox.push(answer);
        void this.#read(this.#location);
        return;
      }
      this.#inbox.push(answer);
      this.#end(CLOSE_NORMAL, "refused");
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  async #say(location: URL, batch: readonly string[]): Promise<void> {
    const headers = batch.length > 1 ? { "content-type": "application/x-ndjson" } : JSON_BODY;
    const response = await this.#request(location, { method: "POST", body: batch.join("\n"), headers });
    if (!response.ok) throw await refusalOf(response);
    await response.body?.cancel();
  }

  /** Reads the events of the connection until it ends. */
  async #read(location: URL): Promise<void> {
    try {
      const response = await this.#request(new URL(`${location.pathname}/events`, location), {
        headers: { accept: "text/event-stream" },
      });
      if (!response.ok || response.body === null) throw await refusalOf(response);
      this.#isReading = true;
      const events = new EventStreamReader(this.#options.maxFrameBytes ?? RUNTIME_FRAME_LIMITS.maxFrameBytes, (event) =>
        this.#take(event),
      );
      const text = new TextDecoder("utf-8");
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        events.push(text.decode(value, { stream: true }));
        while (this.#inbox.isPaused && !this.isClosed) {
          await new Promise<void>((resolve) => this.#resumeWaiters.push(resolve));
        }
      }
      this.#end(CLOSE_ABNORMAL, "the event stream ended");
    } catch (error) {
      this.#fail(error);
    }
  }

  #take({ type, data }: StreamEvent): void {
    if (type === "message") {
      this.#inbox.push(data);
    } else if (type === "close") {
      const { code, reason } = readClose(data);
      this.#end(code, reason);
    }
  }

  async #leave(code: number, reason: string): Promise<void> {
    await this.drained();
    const location = this.#location;
    if (location !== undefined && !this.isClosed) await this.#delete(location, this.#requests.signal);
    this.#end(code, reason);
  }

  async #delete(location: URL, signal: AbortSignal): Promise<void> {
    try {
      await this.#request(location, { method: "DELETE" }, signal);
    } catch {
      // Gone already, or not to be reached: the runtime sees the stream's end, or that there is none.
    }
  }

  #request(url: URL, init: RequestInit, signal: AbortSignal = this.#requests.signal): Promise<Response> {
    const key = this.#key === "" ? {} : { "arcp-connection-key": this.#key };
    return (this.#options.fetch ?? fetch)(url, {
      ...init,
      headers: { ...this.#options.headers, ...(init.headers as Record<string, string>), ...key },
      ...{ signal, redirect: "error", credentials: "omit", cache: "no-store" },
    });
  }

  #fail(error: unknown): void {
    if (error instanceof EventTooLargeError) {
      this.#onMalformed(error.message);
      this.#end(CLOSE_TOO_LARGE, error.message);
    } else this.#end(CLOSE_ABNORMAL, error instanceof Error ? error.message : "the connection failed");
  }

  #end(code: number, reason: string): void {
    if (!this.#close.close(code, reason)) return;
    this.#outgoing = [];
    this.#bufferedChars = 0;
    this.#requests.abort();
    for (const wake of [...this.#drainWaiters.splice(0), ...this.#resumeWaiters.splice(0)]) wake();
  }
}

const JSON_BODY = { "content-type": "application/json" };

async function refusalOf(response: Response): Promise<Error> {
  const { title, detail } = (await response.json().catch(() => ({}))) as JsonObject;
  return new Error(`${response.status} ${String(detail ?? title ?? response.statusText)}`);
}

function readClose(data: string): TransportClose {
  try {
    const { code, reason } = JSON.parse(data) as JsonObject;
    if (typeof code === "number" && typeof reason === "string") return { code, reason };
  } catch {
    // No answer of ours: it is the end all the same.
  }
  return { code: CLOSE_PROTOCOL, reason: "the stream ended with what is not understood" };
}

function assertMayConnect(
  text: string,
  options: HttpConnectOptions,
): { readonly url: URL; readonly isConfidential: boolean } {
  const url = URL.parse(text);
  if (url === null) throw new InvalidRequestError("the runtime's address is not a URL");
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new InvalidRequestError(`expected an http: or https: URL, got ${url.protocol}`);
  }
  const isConfidential = url.protocol === "https:" || isLoopbackHost(url.hostname);
  if (!isConfidential && options.allowInsecure !== true) {
    throw new InvalidRequestError(
      `refused to send a token in the clear to ${url.host}: use https://, or allow an insecure connection explicitly`,
    );
  }
  return { url, isConfidential };
}
