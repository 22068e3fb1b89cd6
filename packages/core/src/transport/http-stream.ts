/** The runtime's end of a connection over HTTP: frames come in by POST, and leave as events of one stream. */
import { encodeEvent } from "./event-stream.ts";
import { type HttpResponse, writeHead } from "./http-door.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CloseSignal,
  Inbox,
  type Transport,
  type TransportClose,
  type TransportPeer,
} from "./transport.ts";

const LOW_WATER_BYTES = 64 * 1024;
/** How long a reader may take to read what was left at the end. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Neither stores nor proxies may keep, change or hold back what is on its way. */
export const EVENT_STREAM_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache, no-store, no-transform",
  "x-accel-buffering": "no",
};

/** The event that tells how the connection ended. */
const CLOSE_EVENT = "close";

/**
 * One connection as the runtime sees it. Until there is a reader, frames are kept; the reader's end is the connection's.
 * What the reader has not read counts as buffered, so that the same bounds hold as on sockets.
 */
export class HttpStream implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = false;
  readonly #inbox = new Inbox();
  readonly #close = new CloseSignal();
  readonly #onSend: (frame: string) => void;
  #reader: HttpResponse | undefined;
  #kept: string[] = [];
  #keptBytes = 0;
  #outgoing: string[] = [];
  #outgoingBytes = 0;
  #waiters: (() => void)[] = [];
  #onResume: (() => void)[] = [];

  /** @param onSend Called for each frame that leaves, before it does. */
  constructor(peer: TransportPeer, onSend: (frame: string) => void) {
    this.peer = peer;
    this.#onSend = onSend;
  }

  get hasReader(): boolean {
    return this.#reader !== undefined;
  }

  /** Gives the consumer a frame that was posted. */
  receive(frame: string): void {
    if (!this.isClosed) this.#inbox.push(frame);
  }

  /** Resolves when frames are taken: at once, unless the consumer has paused. */
  accepting(): Promise<void> {
    if (!this.#inbox.isPaused || this.isClosed) return Promise.resolve();
    return new Promise((resolve) => this.#onResume.push(resolve));
  }

  /** The first frame that was sent, taken out of what a reader will get; `undefined` if the end came before it. */
  async firstFrame(): Promise<string | undefined> {
    while (this.#kept.length === 0 && !this.isClosed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    const frame = this.#kept.shift();
    if (frame !== undefined) this.#keptBytes -= frame.length;
    return frame;
  }

  /** Sends what was kept, and everything from now on, to `response`. Called once. */
  attach(response: HttpResponse, first: readonly string[] = []): void {
    const reader = response;
    writeHead(response, 200, EVENT_STREAM_HEADERS);
    this.#reader = reader;
    reader.on("drain", () => this.#release());
    reader.on("error", () => this.abort("the reader is gone"));
    reader.once("close", () => this.abort("the reader is gone"));
    const kept = [...first, ...this.#kept];
    this.#kept = [];
    this.#keptBytes = 0;
    // A comment, so that whatever stands between passes the head on.
    reader.write(`: arcp\n\n${kept.map(eventOf).join("")}`);
    this.#release();
    if (this.isClosed) void this.closed.then((end) => this.#finish(end));
  }

  /** A sign of life for whatever stands between, unless the reader has more than enough to read. */
  keepAlive(): void {
    if (this.#reader !== undefined && !this.isClosed && !this.#reader.writableNeedDrain) this.#reader.write(": \n\n");
  }

  get bufferedBytes(): number {
    return this.#keptBytes + this.#outgoingBytes + (this.#reader?.writableLength ?? 0);
  }

  get closed(): Promise<TransportClose> {
    return this.#close.promise;
  }

  get isClosed(): boolean {
    return this.#close.isClosed;
  }

  send(frame: string): void {
    if (this.isClosed) return;
    this.#onSend(frame);
    if (this.#reader === undefined) {
      this.#kept.push(frame);
      this.#keptBytes += frame.length;
      this.#release();
      return;
    }
    if (this.#outgoing.length === 0) process.nextTick(() => this.#flush());
    this.#outgoing.push(eventOf(frame));
    this.#outgoingBytes += frame.length;
  }

  sendBinary(): void {
    throw new Error("events carry text alone");
  }

  async drained(): Promise<void> {
    this.#flush();
    while (!this.isClosed && this.bufferedBytes > LOW_WATER_BYTES && (this.#reader?.writableNeedDrain ?? true)) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  onFrame(handler: (frame: string) => void): void {
    this.#inbox.onFrame(handler);
  }

  onBinary(): void {}

  onMalformed(): void {}

  pause(): void {
    this.#inbox.pause();
  }

  resume(): void {
    this.#inbox.resume();
    if (!this.#inbox.isPaused) for (const resolve of this.#onResume.splice(0)) resolve();
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    this.#flush();
    if (!this.#close.close(code, reason)) return;
    this.#release();
    this.#finish({ code, reason });
  }

  abort(reason = "aborted"): void {
    this.#kept = [];
    this.#keptBytes = 0;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    if (this.#close.close(CLOSE_ABNORMAL, reason)) this.#release();
    this.#reader?.destroy();
  }

  /** Tells the reader, if there is one, after everything else. */
  #finish(end: TransportClose): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    reader.end(encodeEvent(JSON.stringify(end), undefined, CLOSE_EVENT));
    const timer = setTimeout(() => reader.destroy(), CLOSE_TIMEOUT_MS);
    timer.unref();
    reader.once("close", () => clearTimeout(timer));
  }

  #flush(): void {
    const events = this.#outgoing;
    if (events.length === 0) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    if (!this.isClosed) this.#reader?.write(events.join(""));
  }

  #release(): void {
    for (const wake of this.#waiters.splice(0)) wake();
    if (this.isClosed) for (const resolve of this.#onResume.splice(0)) resolve();
  }
}

/** A frame as an event. Its id is where the stream can be taken up again: numbers on wire 1.1, ids of messages on 1.0. */
function eventOf(frame: string): string {
  return encodeEvent(frame, positionOf(frame));
}

/**
 * Every frame of the runtime has its payload last, so what is before it says where the frame stands. `,"payload":` is
 * nowhere else: in texts the quotes are escaped.
 */
function positionOf(frame: string): string | undefined {
  const at = frame.indexOf(',"payload":');
  const head = JSON.parse(at === -1 ? frame : `${frame.slice(0, at)}}`) as Readonly<Record<string, unknown>>;
  const { event_seq, timestamp, id } = head;
  if (typeof event_seq === "number") return String(event_seq);
  // Only wire 1.0 tells the time, and there the id of a message says where it stood (RFC §19).
  return timestamp !== undefined && typeof id === "string" ? id : undefined;
}
