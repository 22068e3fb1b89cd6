/** A WebSocket client that is free to break RFC 6455: it writes bytes. */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { constants, inflateRawSync } from "node:zlib";

const TEXT = 0x1;
export const BINARY = 0x2;
export const PING = 0x9;
const CLOSE = 0x8;
const CONTINUATION = 0x0;
/** What every compressed message ends with, and leaves out (RFC 7692 §7.2.1). */
export const DEFLATE_TRAILER = Buffer.of(0x00, 0x00, 0xff, 0xff);

export interface FrameShape {
  /** Default: text. */
  readonly opcode?: number;
  /** Default: true. */
  readonly isFinal?: boolean;
  /** Default: true. */
  readonly isMasked?: boolean;
  /** Bits of RSV1, RSV2 and RSV3, as 0x40, 0x20 and 0x10. Default: none. */
  readonly reserved?: number;
  /** The length to announce, if it is not the payload's. */
  readonly announcedBytes?: number;
}

/** The bytes of one frame. The mask is zero, so that the payload stays as it is. */
export function webSocketFrame(payload: Uint8Array | string, shape: FrameShape = {}): Buffer {
  const body = Buffer.from(payload as Uint8Array);
  const { opcode = TEXT, isFinal = true, isMasked = true, reserved = 0 } = shape;
  const length = shape.announcedBytes ?? body.length;
  const first = (isFinal ? 0x80 : 0) | reserved | opcode;
  const mask = isMasked ? 0x80 : 0;
  let header: Buffer;
  if (length < 126) header = Buffer.from([first, mask | length]);
  else if (length < 65_536) {
    header = Buffer.from([first, mask | 126, 0, 0]);
    header.writeUInt16BE(length, 2);
  } else {
    header = Buffer.from([first, mask | 127, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, isMasked ? Buffer.alloc(4) : Buffer.alloc(0), body]);
}

/** `text` in `count` fragments of one byte each, the last of them final if `isFinished`. */
export function fragments(text: string, count: number, isFinished: boolean): Buffer {
  const list = Array.from({ length: count }, (_, index) =>
    webSocketFrame(text.charAt(index) || " ", {
      opcode: index === 0 ? TEXT : CONTINUATION,
      isFinal: isFinished && index === count - 1,
    }),
  );
  return Buffer.concat(list);
}

export interface RequestShape {
  /** Replaces the path of the URL. */
  readonly path?: string;
  /** Header lines, in addition to the handshake's own or, by name, in the place of them. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** The text of an upgrade request. */
export function upgradeRequest(url: string, { path, headers = [] }: RequestShape = {}): string {
  const { host, pathname } = new URL(url);
  const own = [
    ["Host", host],
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Version", "13"],
  ] as const;
  const named = new Set(headers.map(([name]) => name.toLowerCase()));
  const lines = [...own.filter(([name]) => !named.has(name.toLowerCase())), ...headers];
  return `GET ${path ?? pathname} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}

/** Sends `request` and resolves with the status of the answer, and the end of the connection if it was refused. */
export async function statusOf(url: string, request: string): Promise<number> {
  const socket = await connect(url);
  socket.write(request);
  const head = await readHead(socket);
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(head.head)?.[1]);
}

export class RawSocket implements Disposable {
  readonly socket: Socket;
  /** Text frames received, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member
  readonly messages: any[] = [];
  #buffer: Buffer;
  #closeCode: number | undefined;
  readonly #ended: Promise<void>;
  #wake: (() => void)[] = [];

  /** The answer to the upgrade: status line and headers. */
  readonly head: string;

  private constructor(socket: Socket, head: string, rest: Buffer) {
    this.socket = socket;
    this.head = head;
    this.#buffer = rest;
    this.#ended = new Promise((resolve) => socket.once("close", () => resolve()));
    void this.#ended.then(() => this.#notify());
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    this.#take(Buffer.alloc(0));
    socket.resume();
  }

  static async open(url: string, request: RequestShape = {}): Promise<RawSocket> {
    const socket = await connect(url);
    socket.write(upgradeRequest(url, request));
    const { head, rest } = await readHead(socket);
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(`not upgraded: ${head.split("\r\n")[0]}`);
    return new RawSocket(socket, head, rest);
  }

  /** Says hello and resolves once welcomed. */
  async hello(token = "mallory"): Promise<void> {
    const auth = { scheme: "bearer", token };
    this.sendJson({ arcp: "1.1", id: "msg_raw_hello", type: "session.hello", payload: { auth } });
    await this.message("session.welcome");
  }

  sendJson(message: object): void {
    this.write(webSocketFrame(JSON.stringify(message)));
  }

  write(bytes: Uint8Array): boolean {
    return this.socket.write(bytes);
  }

  /** Writes again and again, as fast as the socket takes it, until it has been done `times` or the socket is gone. */
  async pump(bytes: Uint8Array, times: number): Promise<void> {
    for (let n = 0; n < times && this.socket.writable; n += 1) {
      if (!this.write(bytes)) await Promise.race([once(this.socket, "drain"), this.#ended]);
    }
  }

  /** The first message of `type`, now or later. */
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member
  async message(type: string): Promise<any> {
    for (;;) {
      const found = this.messages.find((message) => message.type === type);
      if (found !== undefined) return found;
      if (this.socket.destroyed) throw new Error(`the connection ended without ${type}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** The code of the close frame, or 1006 if the connection ended without one. */
  async closeCode(): Promise<number> {
    while (this.#closeCode === undefined && !this.socket.destroyed) {
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.#closeCode ?? 1006;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  #take(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const frame = firstFrame(this.#buffer);
      if (frame === undefined) break;
      this.#buffer = this.#buffer.subarray(frame.bytes);
      const content = frame.isCompressed ? inflated(frame.payload) : frame.payload;
      if (frame.opcode === TEXT) this.messages.push(JSON.parse(content.toString()));
      if (frame.opcode === CLOSE) this.#closeCode = frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
    this.#notify();
  }
}

async function connect(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = createConnection({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");
  // A server that has had enough resets the connection; the tests see that as its end.
  socket.on("error", () => {});
  return socket;
}

/** The head of an HTTP response, and what came after it. The socket is left paused. */
function readHead(socket: Socket): Promise<{ readonly head: string; readonly rest: Buffer }> {
  return new Promise((resolve) => {
    let buffer = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      buffer = Buffer.concat([buffer, chunk]);
      const end = buffer.indexOf("\r\n\r\n");
      if (end !== -1) settle(end);
    };
    const settle = (end: number): void => {
      socket.off("data", take);
      socket.pause();
      resolve({ head: buffer.subarray(0, end).toString(), rest: buffer.subarray(end + 4) });
    };
    socket.on("data", take);
    socket.once("close", () => settle(buffer.length));
  });
}

/** What a compressed payload holds, if nothing of the frames before is needed. */
const inflated = (payload: Buffer): Buffer =>
  inflateRawSync(Buffer.concat([payload, DEFLATE_TRAILER]), { finishFlush: constants.Z_SYNC_FLUSH });

/** The first whole frame in `buffer`, as servers send them: not masked. */
function firstFrame(buffer: Buffer):
  | {
      readonly opcode: number;
      readonly isCompressed: boolean;
      readonly payload: Buffer;
      readonly bytes: number;
    }
  | undefined {
  if (buffer.length < 2) return undefined;
  const opcode = (buffer[0] as number) & 0x0f;
  const short = (buffer[1] as number) & 0x7f;
  const header = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (buffer.length < header) return undefined;
  const length = short < 126 ? short : short === 126 ? buffer.readUInt16BE(2) : Number(buffer.readBigUInt64BE(2));
  if (buffer.length < header + length) return undefined;
  const isCompressed = ((buffer[0] as number) & 0x40) !== 0;
  return { opcode, isCompressed, payload: buffer.subarray(header, header + length), bytes: header + length };
}
