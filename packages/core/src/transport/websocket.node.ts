import { Socket } from "node:net";
import { WebSocket } from "ws";
import { InvalidRequestError } from "../errors.ts";
import { RUNTIME_FRAME_LIMITS } from "../limits.ts";
import { type Compression, compressionOf } from "./compression.ts";
import {
  CLOSE_ABNORMAL,
  CLOSE_NORMAL,
  CLOSE_TOO_LARGE,
  closeReason,
  InboxTransport,
  type Transport,
  TransportError,
  type TransportPeer,
} from "./transport.ts";
import { DeflatedFrames, deflateTerms } from "./websocket-deflate.ts";
import { assertMayConnect, type WebSocketConnectOptions } from "./websocket-url.ts";

/** How {@link WebSocketTransport.connect} connects under Node: with certificates, compression, bounds. */
export interface NodeWebSocketConnectOptions extends WebSocketConnectOptions {
  /** For `wss:` alone. The runtime's certificate is verified in any case. */
  readonly tls?: {
    /** The client's certificate and its key, in PEM: to prove who it is (RFC §8.2). */
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly passphrase?: string;
    /** The authorities that may vouch for the runtime, in PEM. Default: those that Node trusts. */
    readonly ca?: string | Buffer | (string | Buffer)[];
  };
}

const LOW_WATER_BYTES = 64 * 1024;
/** How long the other side may take to answer a close. */
const CLOSE_TIMEOUT_MS = 5_000;
const CLOSE_POLICY = 1008;
/** What ws calls a frame that is too large, and a compressed one that would become so. */
const TOO_LARGE: ReadonlySet<string> = new Set([
  "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
  "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH",
]);
/** Answers to pings that may wait to be written before the peer is taken for hostile. */
const MAX_BUFFERED_PONG_BYTES = 64 * 1024;
/** What one answer takes beside what it repeats. */
const PONG_BYTES = 64;

/** Frames over a WebSocket (§4.1): one envelope per text frame, bytes in binary ones. All frames sent in one task leave in one write. */
export class WebSocketTransport extends InboxTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = true;
  readonly #socket: WebSocket;
  readonly #stream: Socket | undefined;
  /** Only clients mask what they send. */
  readonly #isMasked: boolean;
  /** `undefined` where nothing is compressed. */
  readonly #deflated: DeflatedFrames | undefined;
  /** Frames sent in this task. */
  #outgoing: (string | Uint8Array)[] = [];
  #outgoingBytes = 0;
  /** What the answers to pings take that have not left yet. */
  #pongBytes = 0;
  /** Has the peer sent one that is not read? */
  #hasTooLargeFrame = false;

  /** @param compression What this side wants. It is of use if the other side wants it, too. */
  constructor(socket: WebSocket, peer: TransportPeer, compression?: Compression) {
    super();
    this.#socket = socket;
    this.peer = peer;
    this.#deflated = DeflatedFrames.of(socket, compression);
    // ws keeps these in private fields. Without them every frame goes through ws, one system call each.
    // Under Bun, whose ws is its own, they are something else.
    const inside = socket as unknown as { readonly _socket?: unknown; readonly _isServer?: boolean };
    this.#stream = inside._socket instanceof Socket ? inside._socket : undefined;
    this.#isMasked = inside._isServer !== true;
    socket.on("message", (data, isBinary) => {
      if (isBinary) this.inbox.pushBinary(data as Buffer);
      else this.inbox.push(String(data));
    });
    socket.on("ping", (data) => this.#pong(data));
    socket.on("close", (code, reason) => {
      if (this.#hasTooLargeFrame)
        this.end.close(CLOSE_TOO_LARGE, "the other side sent a frame larger than this one reads");
      else this.end.close(code, reason.toString());
    });
    // ws closes the socket after an error with the code that fits; "close" follows, if the peer answers.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#hasTooLargeFrame = TOO_LARGE.has(error.code ?? "");
      this.malformed(error.message);
      this.#terminateLater();
    });
  }

  /**
   * Opens a connection. Rejects with {@link TransportError} when it cannot be made, or `signal` aborts. Throws
   * {@link InvalidRequestError} for a URL that may not be connected to.
   */
  static connect(url: string, options: NodeWebSocketConnectOptions = {}): Promise<WebSocketTransport> {
    const target = assertMayConnect(url, options);
    const { signal, tls } = options;
    if (tls && target.url.protocol !== "wss:") throw new InvalidRequestError("a certificate needs a wss: URL");
    const compression = compressionOf(options.compression);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const socket = new WebSocket(target.url, {
        perMessageDeflate: deflateTerms(compression),
        maxPayload: options.maxFrameBytes ?? RUNTIME_FRAME_LIMITS.maxFrameBytes,
        autoPong: false,
        followRedirects: false,
        ...(tls && { cert: tls.cert, key: tls.key, passphrase: tls.passphrase, ca: tls.ca }),
      });
      const onAbort = (): void => {
        socket.terminate();
        reject(signal?.reason);
      };
      const onError = (cause: Error): void => {
        signal?.removeEventListener("abort", onAbort);
        reject(new TransportError(`could not connect to ${target.url.host}: ${cause.message}`, { cause }));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      socket.once("error", onError);
      // The first frames can arrive in the same packet as the upgrade: listen before the event loop turns.
      socket.once("open", () => {
        socket.off("error", onError);
        signal?.removeEventListener("abort", onAbort);
        const peer = { kind: "websocket", isConfidential: target.isConfidential } as const;
        resolve(new WebSocketTransport(socket, peer, compression));
      });
    });
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount + this.#outgoingBytes;
  }

  send(frame: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#queue(frame);
  }

  sendBinary(bytes: Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#queue(new Uint8Array(bytes));
  }

  async drained(): Promise<void> {
    // What the kernel takes at once raises no event: only what is left after writing is worth waiting for.
    this.#flush();
    while (this.#deflated?.isBusy && !this.isClosed && this.bufferedBytes > LOW_WATER_BYTES) {
      await this.#deflated.written();
    }
    const stream = this.#stream;
    if (this.isClosed || this.bufferedBytes <= LOW_WATER_BYTES || !stream?.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off("drain", done);
        stream.off("close", done);
        resolve();
      };
      stream.on("drain", done);
      stream.on("close", done);
    });
  }

  override pause(): void {
    this.inbox.pause();
    this.#socket.pause();
  }

  override resume(): void {
    this.inbox.resume();
    if (!this.inbox.isPaused) this.#socket.resume();
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.isClosed || this.#socket.readyState === WebSocket.CLOSING) return;
    this.#flush();
    this.#socket.resume();
    this.#socket.close(code, closeReason(reason));
    this.#terminateLater();
  }

  abort(reason = "aborted"): void {
    this.end.close(CLOSE_ABNORMAL, reason);
    this.#socket.terminate();
  }

  #terminateLater(): void {
    const timer = setTimeout(() => this.#socket.terminate(), CLOSE_TIMEOUT_MS);
    timer.unref();
    void this.closed.then(() => clearTimeout(timer));
  }

  /** Frames that wait to be read say nothing of pings: only the answers themselves count. */
  #pong(data: Buffer): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#pongBytes > MAX_BUFFERED_PONG_BYTES) {
      this.close(CLOSE_POLICY, "too many pings");
      return;
    }
    const bytes = data.length + PONG_BYTES;
    this.#pongBytes += bytes;
    this.#socket.pong(data, undefined, () => {
      this.#pongBytes -= bytes;
    });
  }

  #queue(frame: string | Uint8Array): void {
    if (this.#outgoing.length === 0) process.nextTick(() => this.#flush());
    this.#outgoing.push(frame);
    this.#outgoingBytes += frame.length;
  }

  #flush(): void {
    const frames = this.#outgoing;
    if (frames.length === 0) return;
    this.#outgoing = [];
    this.#outgoingBytes = 0;
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const lengths = frames.map((frame) => (typeof frame === "string" ? Buffer.byteLength(frame) : frame.length));
    const deflated = this.#deflated;
    const isPlain = deflated === undefined || !lengths.some((length) => deflated.takes(length));
    if (this.#stream && !this.#isMasked && isPlain) {
      this.#stream.write(encodeFrames(frames, lengths));
      return;
    }
    this.#stream?.cork();
    for (const [index, frame] of frames.entries()) {
      if (deflated) deflated.send(frame, lengths[index] as number);
      else this.#socket.send(frame);
    }
    this.#stream?.uncork();
  }
}

/** FIN and the opcodes of frames (RFC 6455 §5.2). */
const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
const LENGTH_IN_16_BITS = 126;
const LENGTH_IN_64_BITS = 127;
const MAX_16_BITS = 0xffff;

/** `frames`, of so many bytes each, as unmasked WebSocket frames, one after another in one buffer. */
function encodeFrames(frames: readonly (string | Uint8Array)[], lengths: readonly number[]): Buffer {
  const buffer = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + headerBytes(length) + length, 0));
  let at = 0;
  for (const [index, frame] of frames.entries()) {
    const length = lengths[index] as number;
    const isText = typeof frame === "string";
    buffer[at] = isText ? FINAL_TEXT : FINAL_BINARY;
    if (length < LENGTH_IN_16_BITS) buffer[at + 1] = length;
    else if (length <= MAX_16_BITS) {
      buffer[at + 1] = LENGTH_IN_16_BITS;
      buffer.writeUInt16BE(length, at + 2);
    } else {
      buffer[at + 1] = LENGTH_IN_64_BITS;
      buffer.writeBigUInt64BE(BigInt(length), at + 2);
    }
    at += headerBytes(length);
    if (isText) buffer.write(frame, at, length, "utf8");
    else buffer.set(frame, at);
    at += length;
  }
  return buffer;
}

function headerBytes(length: number): number {
  if (length < LENGTH_IN_16_BITS) return 2;
  return length <= MAX_16_BITS ? 4 : 10;
}
