import type { Readable, Writable } from "node:stream";
import { InternalError } from "../errors.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CLOSE_TOO_LARGE,
  CloseSignal,
  Inbox,
  type Transport,
  type TransportClose,
  type TransportPeer,
} from "./transport.ts";

export interface LineTransportOptions {
  readonly peer: TransportPeer;
  readonly input: Readable;
  readonly output: Writable;
  /** Bytes of one line. A longer line ends the connection. */
  readonly maxFrameBytes: number;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const LOW_WATER_BYTES = 64 * 1024;
/** How long the other side may take to read what is left. */
const CLOSE_TIMEOUT_MS = 5_000;

/** Newline-delimited JSON over a pair of byte streams (§4.2): one envelope per line, blank lines ignored. */
export class LineTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = false;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #maxFrameBytes: number;
  readonly #inbox = new Inbox();
  readonly #close = new CloseSignal();
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #partial: Buffer[] = [];
  #partialBytes = 0;
  /** Has this end been closed? What arrives from then on is not read. */
  #isEnding = false;
  #onMalformed: (problem: string) => void = () => {};

  constructor({ peer, input, output, maxFrameBytes }: LineTransportOptions) {
    this.peer = peer;
    this.#input = input;
    this.#output = output;
    this.#maxFrameBytes = maxFrameBytes;
    this.#input.on("data", (chunk: Buffer | string) =>
      this.#take(typeof chunk === "string" ? Buffer.from(chunk) : chunk),
    );
    this.#input.on("end", () => this.ended(CLOSE_NORMAL, "end of input"));
    this.#input.on("error", (error) => this.ended(CLOSE_ABNORMAL, error.message));
    this.#input.on("close", () => this.ended(CLOSE_ABNORMAL, "input closed"));
    this.#output.on("error", (error) => this.ended(CLOSE_ABNORMAL, error.message));
  }

  get bufferedBytes(): number {
    return this.#output.writableLength;
  }

  get closed(): Promise<TransportClose> {
    return this.#close.promise;
  }

  get isClosed(): boolean {
    return this.#close.isClosed;
  }

  send(frame: string): void {
    if (!this.isClosed && this.#output.writable) this.#output.write(`${frame}\n`);
  }

  sendBinary(): void {
    throw new InternalError("lines of text carry no binary frames");
  }

  drained(): Promise<void> {
    if (this.isClosed || this.bufferedBytes <= LOW_WATER_BYTES) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#output.off("drain", done);
        resolve();
      };
      this.#output.on("drain", done);
      void this.closed.then(done);
    });
  }

  onFrame(handler: (frame: string) => void): void {
    this.#inbox.onFrame(handler);
  }

  onBinary(): void {
    // Whatever arrives here is a line.
  }

  onMalformed(handler: (problem: string) => void): void {
    this.#onMalformed = handler;
  }

  pause(): void {
    this.#inbox.pause();
    this.#input.pause();
  }

  resume(): void {
    this.#inbox.resume();
    if (!this.#inbox.isPaused) this.#input.resume();
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.isClosed || this.#isEnding) return;
    this.#isEnding = true;
    this.#input.pause();
    this.#output.end(() => this.ended(code, reason));
    const timer = setTimeout(() => this.abort("the peer did not read the end"), CLOSE_TIMEOUT_MS);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  abort(reason = "aborted"): void {
    this.#input.pause();
    this.#output.destroy();
    this.ended(CLOSE_ABNORMAL, reason);
  }

  #take(chunk: Buffer): void {
    let from = 0;
    while (!this.isClosed && !this.#isEnding) {
      const end = chunk.indexOf(NEWLINE, from);
      if (end === -1) break;
      this.#line(this.#joinPartial(chunk.subarray(from, end)));
      from = end + 1;
    }
    if (from === chunk.length || this.isClosed || this.#isEnding) return;
    this.#keep(chunk.subarray(from));
    this.#partialBytes += chunk.length - from;
    if (this.#partialBytes > this.#maxFrameBytes) this.#tooLarge();
  }

  /** Joins pieces of like size: there are few of them, however small they arrive. */
  #keep(piece: Buffer): void {
    this.#partial.push(piece);
    for (;;) {
      const [before, last] = this.#partial.slice(-2);
      if (before === undefined || last === undefined || before.length > last.length) return;
      this.#partial.splice(-2, 2, Buffer.concat([before, last]));
    }
  }

  #joinPartial(rest: Buffer): Buffer {
    if (this.#partial.length === 0) return rest;
    const line = Buffer.concat([...this.#partial, rest]);
    this.#partial = [];
    this.#partialBytes = 0;
    return line;
  }

  #line(line: Buffer): void {
    const bytes = line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
    if (bytes.length > this.#maxFrameBytes) {
      this.#tooLarge();
      return;
    }
    let text: string;
    try {
      text = this.#decoder.decode(bytes);
    } catch {
      this.#onMalformed("a line is not valid UTF-8");
      return;
    }
    if (text.trim() !== "") this.#inbox.push(text);
  }

  #tooLarge(): void {
    this.#partial = [];
    this.#onMalformed(`a line is longer than ${this.#maxFrameBytes} bytes`);
    this.close(CLOSE_TOO_LARGE, "line too long");
  }

  /** The connection is over. */
  protected ended(code: number, reason: string): void {
    this.#close.close(code, reason);
  }
}
