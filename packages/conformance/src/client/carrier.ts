/** What carries frames between the client under test and the script: a WebSocket, HTTP, or the lines of a child process. */
import { randomBytes } from "node:crypto";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer as createLineServer, type Server as LineServer, type Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { CLOSED_ABNORMALLY, HttpCarriers, httpPathOf } from "./http-carrier.ts";
import { readLines } from "./lines.ts";

/** How the client connects. */
export type CarrierKind = "websocket" | "http" | "stdio";

/** One connection. Whoever takes it sets the three listeners at once. */
export interface Carrier {
  readonly kind: CarrierKind;
  /** The URL's path and query, as the client asked for them; empty for lines. */
  readonly path: string;
  onText: (text: string) => void;
  onBinary: (bytes: Uint8Array) => void;
  onClosed: (code: number) => void;
  send(text: string): void;
  /** Text that need not be UTF-8. */
  sendBytes(bytes: Uint8Array): void;
  sendBinary(bytes: Uint8Array): void;
  close(code?: number, reason?: string): void;
  /** Ends the connection without a word. */
  cut(): void;
}

/** Where a client is told to connect. */
export type Address =
  | { readonly kind: "websocket" | "http"; readonly url: string }
  /** What the client starts as its child: a program that passes its standard streams on to the suite. */
  | { readonly kind: "stdio"; readonly command: readonly string[] };

export interface Berth {
  readonly address: Address;
  /** Nothing more is taken there; what is connected is cut. */
  leave(): void;
}

const MAX_PAYLOAD = 256 * 1024 * 1024;

class WebSocketCarrier implements Carrier {
  readonly kind = "websocket";
  readonly path: string;
  onText: (text: string) => void = () => {};
  onBinary: (bytes: Uint8Array) => void = () => {};
  onClosed: (code: number) => void = () => {};
  readonly #socket: WebSocket;

  constructor(socket: WebSocket, path: string) {
    this.#socket = socket;
    this.path = path;
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) this.onBinary(data);
      else this.onText(data.toString("utf8"));
    });
    socket.on("close", (code) => this.onClosed(code));
    socket.on("error", () => {
      // A close follows, which says the same.
    });
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: false });
  }

  sendBinary(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: true });
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  cut(): void {
    this.#socket.terminate();
  }
}

class LineCarrier implements Carrier {
  readonly kind = "stdio";
  readonly path = "";
  onText: (text: string) => void = () => {};
  onBinary: (bytes: Uint8Array) => void = () => {};
  onClosed: (code: number) => void = () => {};
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("close", () => this.onClosed(CLOSED_ABNORMALLY));
  }

  send(text: string): void {
    this.#socket.write(`${text}\n`);
  }

  sendBytes(bytes: Uint8Array): void {
    this.#socket.write(Buffer.concat([bytes, Buffer.from("\n")]));
  }

  sendBinary(bytes: Uint8Array): void {
    this.sendBytes(bytes);
  }

  close(): void {
    this.#socket.end();
  }

  cut(): void {
    this.#socket.destroy();
  }
}

/** Passes the standard streams of a child on: `node -e RELAY PORT KEY`. Needs nothing but Node. */
const RELAY = [
  "const [port, key] = process.argv.slice(1);",
  "const socket = require('node:net').connect(Number(port), '127.0.0.1');",
  "socket.on('error', () => process.exit(1)).on('close', () => process.exit(0));",
  "socket.write(key + '\\n'); process.stdin.pipe(socket); socket.pipe(process.stdout);",
].join("");

/** Where clients connect: one listener for WebSockets and HTTP, and one for the lines of children, both on loopback. */
export class Harbour {
  readonly #http: HttpServer;
  readonly #lines: LineServer;
  readonly #upgrades = new WebSocketServer({ noServer: true, maxPayload: MAX_PAYLOAD, perMessageDeflate: false });
  readonly #berths = new Map<string, (carrier: Carrier) => void>();
  readonly #sockets = new Set<Socket>();

  private constructor() {
    const overHttp = new HttpCarriers((key) => this.#berths.get(key));
    this.#http = createHttpServer((request, response) => {
      overHttp.answer(request, response).catch(() => response.destroy());
    });
    this.#http.on("upgrade", (request, socket, head) => {
      const path = request.url ?? "";
      const take = this.#berths.get(/^\/([0-9a-f]+)\/arcp(?:$|\?)/.exec(path)?.[1] ?? "");
      if (take === undefined) {
        socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      this.#upgrades.handleUpgrade(request, socket, head, (webSocket) => take(new WebSocketCarrier(webSocket, path)));
    });
    this.#lines = createLineServer((socket) => this.#onLineSocket(socket));
    for (const server of [this.#http, this.#lines]) {
      server.on("connection", (socket: Socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
      });
    }
  }

  /** @param host The address for WebSockets. Default: loopback. */
  static async open(host = "127.0.0.1"): Promise<Harbour> {
    const harbour = new Harbour();
    await new Promise<void>((resolve, reject) => harbour.#http.once("error", reject).listen(0, host, resolve));
    await new Promise<void>((resolve, reject) => harbour.#lines.once("error", reject).listen(0, "127.0.0.1", resolve));
    return harbour;
  }

  /** An address of its own, for one client; `take` gets every connection that is made there. */
  berth(kind: CarrierKind, take: (carrier: Carrier) => void): Berth {
    const key = randomBytes(12).toString("hex");
    const taken = new Set<Carrier>();
    this.#berths.set(key, (carrier) => {
      taken.add(carrier);
      take(carrier);
    });
    const leave = (): void => {
      this.#berths.delete(key);
      for (const carrier of taken) carrier.cut();
    };
    const { address, port } = this.#http.address() as AddressInfo;
    if (kind === "websocket") return { address: { kind, url: `ws://${address}:${port}/${key}/arcp` }, leave };
    if (kind === "http") return { address: { kind, url: `http://${address}:${port}${httpPathOf(key)}` }, leave };
    const linePort = (this.#lines.address() as AddressInfo).port;
    return { address: { kind, command: [process.execPath, "-e", RELAY, String(linePort), key] }, leave };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = [this.#http, this.#lines].map(
      (server) => new Promise<void>((resolve) => void server.close(() => resolve())),
    );
    await Promise.all(closed);
  }

  /** The first line of a relay says whose it is. */
  #onLineSocket(socket: Socket): void {
    let carrier: LineCarrier | undefined;
    socket.on("error", () => {
      // A close follows, which says the same.
    });
    readLines(socket, (line) => {
      if (carrier !== undefined) {
        carrier.onText(line);
        return;
      }
      const take = this.#berths.get(line);
      if (take === undefined) {
        socket.destroy();
        return;
      }
      carrier = new LineCarrier(socket);
      take(carrier);
    });
  }
}
