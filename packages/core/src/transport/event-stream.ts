/** Server-Sent Events (WHATWG HTML, 9.2): how they are written, and read where there is no `EventSource`. */

/** One event of a stream. */
export interface StreamEvent {
  /** `message` unless the event names another. */
  readonly type: string;
  readonly data: string;
  /** The last id that the stream has named so far; empty before the first. */
  readonly lastEventId: string;
}

/** One event. Neither `data` nor `id` may hold line breaks: JSON texts and our ids have none. */
export function encodeEvent(data: string, id?: string, type?: string): string {
  const head = (id === undefined ? "" : `id: ${id}\n`) + (type === undefined ? "" : `event: ${type}\n`);
  return `${head}data: ${data}\n\n`;
}

/** Thrown for an event that is larger than agreed. */
export class EventTooLargeError extends Error {}

/** Puts events together from pieces of text. */
export class EventStreamReader {
  readonly #maxChars: number;
  readonly #onEvent: (event: StreamEvent) => void;
  #rest: string[] = [];
  #restChars = 0;
  #endsInReturn = false;
  #data: string[] = [];
  #dataChars = 0;
  #type = "";
  #id = "";

  constructor(maxChars: number, onEvent: (event: StreamEvent) => void) {
    this.#maxChars = maxChars;
    this.#onEvent = onEvent;
  }

  /** Takes the next piece. Throws {@link EventTooLargeError}; after that the stream is of no use. */
  push(text: string): void {
    let from = this.#endsInReturn && text.startsWith("\n") ? 1 : 0;
    if (text.length > 0) this.#endsInReturn = text.endsWith("\r");
    for (;;) {
      const end = lineEnd(text, from);
      if (end === -1) break;
      const line = this.#rest.join("") + text.slice(from, end);
      this.#rest = [];
      this.#restChars = 0;
      this.#line(line);
      from = end + (text[end] === "\r" && text[end + 1] === "\n" ? 2 : 1);
    }
    const rest = text.slice(from);
    if (rest === "") return;
    this.#rest.push(rest);
    this.#restChars += rest.length;
    if (this.#restChars > this.#maxChars) throw new EventTooLargeError("an event is too large");
  }

  #line(line: string): void {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#dataChars += value.length;
      if (this.#dataChars > this.#maxChars) throw new EventTooLargeError("an event is too large");
      this.#data.push(value);
    } else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #dispatch(): void {
    const data = this.#data;
    const type = this.#type === "" ? "message" : this.#type;
    this.#data = [];
    this.#dataChars = 0;
    this.#type = "";
    if (data.length > 0) this.#onEvent({ type, data: data.join("\n"), lastEventId: this.#id });
  }
}

function lineEnd(text: string, from: number): number {
  const feed = text.indexOf("\n", from);
  const carriage = text.indexOf("\r", from);
  if (feed === -1 || carriage === -1) return Math.max(feed, carriage);
  return Math.min(feed, carriage);
}
