/** Server-sent events, cut between events and otherwise byte for byte what the upstream sent. */
import { createParser } from "eventsource-parser";

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);

/** Cuts bytes after each blank line. What was cut, put together, is what was pushed. */
export class EventFrames {
  readonly #maxBytes: number;
  #pending: Buffer = EMPTY;
  #isAtLineStart = true;
  /** A carriage return was seen: a line feed that follows belongs to it. */
  #isAfterReturn = false;
  /** That carriage return ended a blank line. */
  #isEnding = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws RangeError for an event that is longer than allowed. */
  push(chunk: Uint8Array): Buffer[] {
    const scannedTo = this.#pending.length;
    const bytes = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    const frames: Buffer[] = [];
    let start = 0;
    const cut = (end: number): void => {
      frames.push(bytes.subarray(start, end));
      start = end;
      this.#isAtLineStart = true;
      this.#isEnding = false;
    };
    for (let index = scannedTo; index < bytes.length; index += 1) {
      const byte = bytes[index];
      if (this.#isAfterReturn) {
        this.#isAfterReturn = false;
        if (this.#isEnding) cut(byte === LF ? index + 1 : index);
        if (byte === LF) continue;
      }
      if (byte === LF) {
        if (this.#isAtLineStart) cut(index + 1);
        else this.#isAtLineStart = true;
      } else if (byte === CR) {
        this.#isAfterReturn = true;
        this.#isEnding = this.#isAtLineStart;
        this.#isAtLineStart = true;
      } else {
        this.#isAtLineStart = false;
      }
    }
    this.#pending = bytes.subarray(start);
    if (this.#pending.length > this.#maxBytes) throw new RangeError("an event of the stream is too long");
    return frames;
  }

  /** What came after the last blank line. */
  rest(): Buffer {
    const rest = this.#pending;
    this.#pending = EMPTY;
    return rest;
  }
}

/** The data of the events in frames: of those that are JSON. */
export class EventReader {
  #found: unknown[] = [];
  readonly #parser = createParser({
    onEvent: ({ data }) => {
      const value = parsed(data);
      if (value !== undefined) this.#found.push(value);
    },
  });

  read(frame: Buffer): readonly unknown[] {
    this.#found = [];
    this.#parser.feed(frame.toString("utf8"));
    return this.#found;
  }
}

/** Undefined for what is not JSON, such as `[DONE]`. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Passed on as it is; it carries no usage.
  }
}
