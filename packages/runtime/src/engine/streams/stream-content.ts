/** What is written to a stream, by its kind (RFC §11.1, §11.3, §11.4): checked, cut to size, masked, and made JSON. */
import { createHash } from "node:crypto";
import { TextDecoder } from "node:util";
import { InvalidRequestError, type MetricPayload } from "@arcp/core";
import { LOG_LEVELS_10, type LogLevel10, STREAM_KINDS, type StreamKind } from "@arcp/core/v1.0";
import type { JobCaps } from "../caps.ts";
import { tooLarge } from "../caps.ts";
import type { MaskStream } from "../credentials/redaction.ts";
import { isLonger, jsonOf } from "../entry-text.ts";
import type { Job } from "../job.ts";

/** One line of a log stream. */
export interface StreamLog {
  /** `trace`, `debug`, `info`, `warn`, `error` or `critical`; anything else becomes `info`. */
  readonly level: string;
  readonly message: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
}

/** A piece of reasoning. */
export interface StreamThought {
  /** What may be shown. */
  readonly content: string;
  /** Is the reasoning itself kept back (RFC §11.4)? Then `content` is a summary, or empty. */
  readonly redacted?: boolean;
}

/** What each kind of stream is written. */
export interface StreamData {
  /** Bytes are UTF-8, and may end inside a character. */
  readonly text: string | Uint8Array;
  readonly binary: Uint8Array;
  /** Anything that JSON can hold. */
  readonly event: unknown;
  readonly log: StreamLog;
  /** Costs are not reported here, but with `context.metric`. */
  readonly metric: MetricPayload;
  readonly thought: string | StreamThought;
}

/** One chunk, as it will be written. */
export interface Piece {
  /** JSON members, without braces and without those that every chunk has. */
  readonly members: string;
  /** Bytes of content. */
  readonly bytes: number;
}

/** What one write brings, from which chunks are cut until it is done. */
export interface Load {
  /** About how many bytes it keeps. */
  readonly size: number;
  readonly isDone: boolean;
  /** The next chunk, of at most so many bytes if it can be cut; `undefined`: nothing of it may be shown yet. */
  next(maxBytes: number): Piece | undefined;
}

/** The writing side of one kind. */
export interface StreamContent {
  /** Throws {@link InvalidRequestError} for what the kind does not take, and what a cap forbids. */
  load(data: unknown): Load;
  /** What was held back: the beginning of a character or of a secret. Called once, at the end. */
  rest(): Load;
  /** JSON members of the end: how much it was, and its digest. */
  total(): string;
}

/** Longer content is cut: such a chunk, encoded, passes every known client's limit. */
export const CHUNK_BYTES = 256 * 1024;
/** Content is not cut smaller than this, whatever room a reader has. */
export const MIN_CHUNK_BYTES = 1024;
/** A code unit is three bytes of UTF-8 at most. */
const UNIT_BYTES = 3;

const NOTHING: Load = { size: 0, isDone: true, next: () => undefined };

/** The kind that `kind` means: an unknown one is `event` (RFC §11.1). */
export const streamKindOf = (kind: string): StreamKind => STREAM_KINDS.find((known) => known === kind) ?? "event";

/** How the content of a stream is named when its opener does not say. */
export const CONTENT_TYPES: Readonly<Record<StreamKind, string>> = {
  text: "text/plain",
  binary: "application/octet-stream",
  event: "application/json",
  log: "application/json",
  metric: "application/json",
  thought: "text/plain",
};

/** The content of a new stream of `kind`. */
export function contentOf(kind: StreamKind, job: Job, contentType: string): StreamContent {
  const secrets = new Secrets(job);
  switch (kind) {
    case "text":
      return new TextContent(secrets, contentType);
    case "binary":
      return new BinaryContent(secrets, contentType);
    case "thought":
      return new ThoughtContent(secrets, thoughtMembers);
    case "event":
      return new ValueContent(job.caps, (event) => `"event":${jsonOf(event)}`);
    case "log":
      return new ValueContent(job.caps, (log) => `"log":${jsonOf(checkedLog(log))}`);
    case "metric":
      return new ValueContent(job.caps, (metric) => `"metric":${jsonOf(checkedMetric(metric))}`);
  }
}

/** The same for the thoughts of a job, which are entries of a kind of their own. */
export const thoughtContentOf = (job: Job): StreamContent => new ThoughtContent(new Secrets(job), jobThoughtMembers);

const thoughtMembers = (content: string, isRedacted: boolean): string =>
  `"role":"assistant_thought","content":${jsonOf(content)},"redacted":${isRedacted}`;

const jobThoughtMembers = (text: string, isRedacted: boolean): string =>
  `"text":${jsonOf(text)}${isRedacted ? `,"redacted":true` : ""}`;

/** Pieces of one stream without its job's secrets, also where one is cut by the end of a piece (§14). */
class Secrets {
  readonly #job: Job;
  #stream: MaskStream | undefined;
  #mask: Job["secretMask"];

  constructor(job: Job) {
    this.#job = job;
  }

  /** Is there anything to look for? */
  get isNeeded(): boolean {
    return this.#stream !== undefined || this.#job.hasCredentials;
  }

  /** What may be said of the text so far; bytes are given as codes up to 255. */
  push(piece: string): string {
    const mask = this.#job.secretMask;
    if (mask === undefined) return piece;
    let text = "";
    if (this.#mask !== mask) {
      text = this.end();
      this.#mask = mask;
      this.#stream = mask.stream();
    }
    return text + this.#said((stream) => stream.push(piece));
  }

  end(): string {
    return this.#stream === undefined ? "" : this.#said((stream) => stream.end());
  }

  #said(say: (stream: MaskStream) => string): string {
    const stream = this.#stream as MaskStream;
    const wasFound = stream.found;
    const text = say(stream);
    if (stream.found && !wasFound) this.#job.alarmAboutSecret();
    return text;
  }
}

class TextContent implements StreamContent {
  readonly #secrets: Secrets;
  readonly #contentType: string;
  #decoder: TextDecoder | undefined;
  /** Half a character that the text so far ended with. */
  #half = "";
  #bytes = 0;

  constructor(secrets: Secrets, contentType: string) {
    this.#secrets = secrets;
    this.#contentType = jsonOf(contentType);
  }

  load(data: unknown): Load {
    const given = typeof data === "string" ? data : this.#decoded(data);
    const text = this.#half + given;
    const end = isHighSurrogate(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length;
    this.#half = text.slice(end);
    return new TextLoad(text.slice(0, end), (cut) => this.#piece(this.#secrets.push(cut)));
  }

  rest(): Load {
    const text = this.#secrets.push(this.#half + this.#undecoded()) + this.#secrets.end();
    this.#half = "";
    return new TextLoad(text, (cut) => this.#piece(cut));
  }

  total(): string {
    return `"total_bytes":${this.#bytes}`;
  }

  #piece(text: string): Piece | undefined {
    if (text === "") return undefined;
    const json = jsonOf(text);
    const bytes = Buffer.byteLength(text);
    this.#bytes += bytes;
    return { members: `"data":${json},"content_type":${this.#contentType}`, bytes };
  }

  #decoded(data: unknown): string {
    if (!(data instanceof Uint8Array)) throw new InvalidRequestError("a text stream is written text, or bytes of it");
    this.#decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    try {
      return this.#decoder.decode(data, { stream: true });
    } catch (cause) {
      throw new InvalidRequestError("the bytes are not UTF-8", { cause });
    }
  }

  /** What bytes that ended inside a character stand for. */
  #undecoded(): string {
    try {
      return this.#decoder?.decode() ?? "";
    } catch {
      return "\ufffd"; // The reader sees that something is missing; the writer has gone already.
    }
  }
}

class ThoughtContent implements StreamContent {
  readonly #secrets: Secrets;
  readonly #members: (content: string, isRedacted: boolean) => string;

  constructor(secrets: Secrets, members: (content: string, isRedacted: boolean) => string) {
    this.#secrets = secrets;
    this.#members = members;
  }

  load(data: unknown): Load {
    const { content, redacted } = typeof data === "string" ? { content: data, redacted: false } : checkedThought(data);
    const isRedacted = redacted === true;
    const piece = (cut: string): Piece | undefined => this.#piece(cut, this.#secrets.push(cut), isRedacted);
    // That something was thought is told even if nothing of it is.
    return content === "" ? once(() => this.#piece("", "", isRedacted)) : new TextLoad(content, piece);
  }

  rest(): Load {
    const text = this.#secrets.end();
    return text === "" ? NOTHING : new TextLoad(text, (cut) => this.#piece(cut, cut, false));
  }

  total(): string {
    return "";
  }

  #piece(said: string, shown: string, isRedacted: boolean): Piece | undefined {
    if (shown === "" && said !== "") return undefined;
    return { members: this.#members(shown, isRedacted), bytes: Buffer.byteLength(shown) };
  }
}

class BinaryContent implements StreamContent {
  readonly #secrets: Secrets;
  readonly #contentType: string;
  readonly #hash = createHash("sha256");
  #bytes = 0;

  constructor(secrets: Secrets, contentType: string) {
    this.#secrets = secrets;
    this.#contentType = jsonOf(contentType);
  }

  load(data: unknown): Load {
    if (!(data instanceof Uint8Array)) throw new InvalidRequestError("a binary stream is written bytes");
    // What is written later must be what was written now, whatever its owner does with it.
    const bytes = Buffer.from(data);
    return new BytesLoad(bytes, (cut) => this.#piece(this.#masked(cut)));
  }

  rest(): Load {
    return new BytesLoad(Buffer.from(this.#secrets.end(), "latin1"), (cut) => this.#piece(cut));
  }

  total(): string {
    return `"total_bytes":${this.#bytes},"sha256":"${this.#hash.copy().digest("hex")}"`;
  }

  #masked(bytes: Buffer): Buffer {
    if (!this.#secrets.isNeeded) return bytes;
    return Buffer.from(this.#secrets.push(bytes.toString("latin1")), "latin1");
  }

  #piece(bytes: Buffer): Piece | undefined {
    if (bytes.length === 0) return undefined;
    this.#bytes += bytes.length;
    this.#hash.update(bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const data = bytes.toString("base64");
    const about = `"encoding":"base64","content_type":${this.#contentType},"sha256":"${sha256}"`;
    return { members: `"data":"${data}",${about}`, bytes: bytes.length };
  }
}

/** Values, each of which is a chunk. */
class ValueContent implements StreamContent {
  readonly #caps: JobCaps;
  readonly #members: (value: unknown) => string;

  constructor(caps: JobCaps, members: (value: unknown) => string) {
    this.#caps = caps;
    this.#members = members;
  }

  load(data: unknown): Load {
    const members = this.#members(data);
    const { maxChunkBytes } = this.#caps;
    if (isLonger(members, maxChunkBytes)) throw tooLarge("maxChunkBytes", maxChunkBytes);
    return once(() => ({ members, bytes: Buffer.byteLength(members) }), members.length);
  }

  rest(): Load {
    return NOTHING;
  }

  total(): string {
    return "";
  }
}

function once(piece: () => Piece | undefined, size = 0): Load {
  let isDone = false;
  return {
    size,
    get isDone() {
      return isDone;
    },
    next() {
      isDone = true;
      return piece();
    },
  };
}

/** Text, never cut inside a character. */
class TextLoad implements Load {
  readonly #text: string;
  readonly #piece: (cut: string) => Piece | undefined;
  #at = 0;

  constructor(text: string, piece: (cut: string) => Piece | undefined) {
    this.#text = text;
    this.#piece = piece;
  }

  get size(): number {
    return this.#text.length;
  }

  get isDone(): boolean {
    return this.#at >= this.#text.length;
  }

  next(maxBytes: number): Piece | undefined {
    let end = Math.min(this.#at + Math.floor(maxBytes / UNIT_BYTES), this.#text.length);
    if (end < this.#text.length && isHighSurrogate(this.#text.charCodeAt(end - 1))) end -= 1;
    const cut = this.#text.slice(this.#at, end);
    this.#at = end;
    return this.#piece(cut);
  }
}

class BytesLoad implements Load {
  readonly #bytes: Buffer;
  readonly #piece: (cut: Buffer) => Piece | undefined;
  #at = 0;

  constructor(bytes: Buffer, piece: (cut: Buffer) => Piece | undefined) {
    this.#bytes = bytes;
    this.#piece = piece;
  }

  get size(): number {
    return this.#bytes.length;
  }

  get isDone(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(maxBytes: number): Piece | undefined {
    const cut = this.#bytes.subarray(this.#at, this.#at + maxBytes);
    this.#at += cut.length;
    return this.#piece(cut);
  }
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function checkedThought(data: unknown): StreamThought {
  if (!isObject(data) || typeof data["content"] !== "string") {
    throw new InvalidRequestError("a thought is a text, or has a content that is one");
  }
  return { content: data["content"], redacted: data["redacted"] === true };
}

function checkedLog(data: unknown): StreamLog {
  if (!isObject(data) || typeof data["level"] !== "string" || typeof data["message"] !== "string") {
    throw new InvalidRequestError("a line of a log has a level and a message");
  }
  const { attributes, message } = data;
  if (attributes !== undefined && !isObject(attributes)) {
    throw new InvalidRequestError("the attributes of a log are an object");
  }
  const level: LogLevel10 = LOG_LEVELS_10.find((known) => known === data["level"]) ?? "info";
  return { level, message, ...(attributes !== undefined && { attributes }) };
}

function checkedMetric(data: unknown): object {
  if (!isObject(data) || typeof data["name"] !== "string" || !Number.isFinite(data["value"])) {
    throw new InvalidRequestError("a metric has a name and a finite value");
  }
  const { name, value, unit, dimensions } = data;
  if (name.startsWith("cost.")) throw new InvalidRequestError("costs are reported with context.metric");
  if (unit !== undefined && typeof unit !== "string") throw new InvalidRequestError("the unit of a metric is a text");
  if (dimensions !== undefined && !isObject(dimensions)) {
    throw new InvalidRequestError("the dimensions of a metric are an object");
  }
  return { name, value, ...(unit !== undefined && { unit }), ...(dimensions !== undefined && { dimensions }) };
}
