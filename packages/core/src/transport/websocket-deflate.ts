import type { WebSocket } from "ws";
import type { Compression } from "./compression.ts";

/** What `ws` negotiates (RFC 7692 §7.1). */
export const deflateTerms = (compression: Compression | undefined) =>
  compression !== undefined && {
    serverNoContextTakeover: !compression.keepsContext,
    clientNoContextTakeover: !compression.keepsContext,
    threshold: compression.thresholdBytes,
  };

interface Stream {
  close(): void;
}

/** ws keeps these in private fields. Under Bun, whose ws is its own, there are none. */
interface Streams {
  _deflate?: Stream | null;
  _inflate?: Stream | null;
}

/**
 * Sends the frames of a WebSocket on which compression was agreed: those from the threshold on are compressed, in other
 * threads. All frames keep their order. Where no context is kept, no memory is either: what zlib needs, some 250 KiB a
 * connection, is there while frames are on their way.
 */
export class DeflatedFrames {
  readonly #socket: WebSocket;
  readonly #compression: Compression;
  readonly #streams: Streams | undefined;
  /** Frames given to ws that are not written yet. */
  #unwritten = 0;
  #waiting: (() => void)[] = [];

  private constructor(socket: WebSocket, compression: Compression) {
    this.#socket = socket;
    this.#compression = compression;
    const { _extensions } = socket as unknown as { readonly _extensions?: Readonly<Record<string, Streams>> };
    if (!compression.keepsContext) this.#streams = _extensions?.["permessage-deflate"];
    // At this moment nothing is being inflated: the message is whole, and the next one has not been begun.
    socket.on("message", () => this.#release("_inflate"));
    socket.on("close", () => this.#wake());
  }

  /** `undefined` unless both sides want compression. */
  static of(socket: WebSocket, compression: Compression | undefined): DeflatedFrames | undefined {
    if (compression === undefined || !socket.extensions.includes("permessage-deflate")) return undefined;
    return new DeflatedFrames(socket, compression);
  }

  /** Has a frame of this length to be sent here: is it to be compressed, or would it overtake one that is? */
  takes(bytes: number): boolean {
    return this.#unwritten > 0 || bytes >= this.#compression.thresholdBytes;
  }

  /** Are there frames that ws has not written yet? They count as buffered, uncompressed. */
  get isBusy(): boolean {
    return this.#unwritten > 0;
  }

  send(frame: string | Uint8Array, bytes: number): void {
    this.#unwritten += 1;
    this.#socket.send(frame, { compress: bytes >= this.#compression.thresholdBytes }, () => {
      this.#unwritten -= 1;
      if (this.#unwritten === 0) this.#release("_deflate");
      this.#wake();
    });
  }

  /** Resolves when another frame has been written, or the connection is over. */
  written(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(kind: keyof Streams): void {
    const stream = this.#streams?.[kind];
    if (!stream || this.#streams === undefined) return;
    stream.close();
    this.#streams[kind] = null;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
