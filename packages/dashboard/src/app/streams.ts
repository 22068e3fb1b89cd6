/** What a job writes to streams, and its result while that still comes: kept as far as there is room, for whoever looks. */
import type { JobEvent } from "@arcp/client";
import { bytesOfBase64 } from "./base64.ts";

export interface ShownStream {
  readonly id: string;
  readonly kind: string;
  readonly contentType: string;
  /** How much came, in bytes or characters. */
  size: number;
  chunks: number;
  /** What is kept of it: text, bytes, or one value per line. The last of it, when it was too much. */
  readonly parts: (string | Uint8Array)[];
  kept: number;
  isCut: boolean;
  /** `undefined` while it is open. */
  end: string | undefined;
  isFailed: boolean;
}

const MAX_KEPT = 4 * 1024 * 1024;
const MAX_STREAMS = 256;
const OPEN = "x-vendor.arcp.stream.open";
const CHUNK = "x-vendor.arcp.stream.chunk";
const CLOSE = "x-vendor.arcp.stream.close";

type Body = Readonly<Record<string, unknown>>;
const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

export class StreamBook {
  /** In the order in which they were opened. Thoughts are no stream here: they are among the events. */
  readonly streams = new Map<string, ShownStream>();

  /** Takes what belongs to a stream, and leaves everything else alone. */
  take(event: JobEvent): void {
    if (event.kind === "result_chunk") {
      const { result_id, data, encoding, more } = event.body;
      const stream = this.#open(result_id, "result", encoding === "base64" ? "application/octet-stream" : "text/plain");
      if (stream === undefined) return;
      add(stream, encoding === "base64" ? bytesOfBase64(data) : data);
      if (!more) stream.end = "complete";
      return;
    }
    if (event.kind !== "vendor" || typeof event.body !== "object" || event.body === null) return;
    const body = event.body as Body;
    const id = textOf(body["stream_id"]);
    if (id === undefined) return;
    if (event.name === OPEN) {
      const kind = textOf(body["kind"]) ?? "event";
      if (kind !== "thought") this.#open(id, kind, textOf(body["content_type"]) ?? "");
    }
    const stream = this.streams.get(id) ?? this.streams.get(id.replace(/^str_/, "res_"));
    if (stream === undefined) return;
    if (event.name === CHUNK) add(stream, contentOf(stream.kind, body));
    if (event.name === CLOSE) close(stream, body);
  }

  #open(id: string, kind: string, contentType: string): ShownStream | undefined {
    const known = this.streams.get(id);
    if (known !== undefined || this.streams.size >= MAX_STREAMS) return known;
    const stream: ShownStream = {
      ...{ id, kind, contentType, size: 0, chunks: 0, parts: [], kept: 0 },
      ...{ isCut: false, end: undefined, isFailed: false },
    };
    this.streams.set(id, stream);
    return stream;
  }
}

/** One chunk: bytes, text, or a value on a line of its own. */
function contentOf(kind: string, body: Body): string | Uint8Array {
  const data = textOf(body["data"]);
  if (data !== undefined) return kind === "binary" ? bytesOfBase64(data) : data;
  const log = body["log"] as Body | undefined;
  if (log !== undefined) return `${textOf(log["level"]) ?? "info"}  ${textOf(log["message"]) ?? ""}\n`;
  return `${JSON.stringify(body["event"] ?? body["metric"] ?? body["content"] ?? null)}\n`;
}

function add(stream: ShownStream, part: string | Uint8Array): void {
  stream.chunks += 1;
  stream.size += part.length;
  stream.kept += part.length;
  stream.parts.push(part);
  while (stream.kept > MAX_KEPT && stream.parts.length > 1) {
    stream.kept -= stream.parts.shift()?.length ?? 0;
    stream.isCut = true;
  }
}

function close(stream: ShownStream, body: Body): void {
  const error = body["error"] as Body | undefined;
  stream.isFailed = error !== undefined;
  stream.end =
    error === undefined
      ? (textOf(body["reason"]) ?? "closed")
      : `${textOf(error["code"]) ?? "failed"}: ${textOf(error["message"]) ?? ""}`;
}

/** What is kept of a stream, in one piece. */
export function joinedOf({ parts }: ShownStream): string | Uint8Array {
  if (parts.every((part) => typeof part === "string")) return parts.join("");
  const pieces = parts.map((part) => (typeof part === "string" ? new TextEncoder().encode(part) : part));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
