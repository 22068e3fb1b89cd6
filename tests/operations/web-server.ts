/** Servers on the loopback that remember what reached them. */
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { buffer } from "node:stream/consumers";
import { TLSSocket } from "node:tls";
import type { Certificate } from "./certificate.ts";

export interface ReceivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The name that TLS was asked for. */
  readonly servername: string | undefined;
}

export class WebServer implements AsyncDisposable {
  readonly requests: ReceivedRequest[] = [];
  connections = 0;
  /** Of the connections. */
  open = 0;
  readonly #server: Server;
  readonly #scheme: string;

  private constructor(scheme: string, server: Server) {
    this.#scheme = scheme;
    this.#server = server;
  }

  /** Answers with `ok` unless `answer` does. */
  static async start(
    answer: RequestListener = (_request, response) => void response.end("ok"),
    certificate?: Certificate,
  ) {
    const listener: RequestListener = (request, response) => {
      void buffer(request).then(
        (body) => {
          const { method = "", url = "", headers } = request;
          const servername = request.socket instanceof TLSSocket ? request.socket.servername || undefined : undefined;
          started.requests.push({ method, url, headers, body: body.toString(), servername });
          answer(request, response);
        },
        () => {},
      ); // The request was broken off: nothing has arrived.
    };
    const server = certificate === undefined ? createServer(listener) : createSecureServer(certificate, listener);
    const started = new WebServer(certificate === undefined ? "http" : "https", server);
    server.on("connection", (socket) => {
      started.connections++;
      started.open++;
      socket.on("close", () => started.open--);
    });
    server.keepAliveTimeout = 60_000;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return started;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** By address, or by `host`. */
  at(path: string, host = "127.0.0.1"): string {
    return `${this.#scheme}://${host}:${this.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Speaks whatever `talk` writes. */
export class TcpServer implements AsyncDisposable {
  connections = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server;

  private constructor(talk: (socket: Socket) => void) {
    this.#server = createTcpServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => {}); // The other side breaks off, which is what is tested.
      socket.on("close", () => this.#sockets.delete(socket));
      talk(socket);
    });
  }

  static async start(talk: (socket: Socket) => void = () => {}): Promise<TcpServer> {
    const server = new TcpServer(talk);
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  /** Answers each connection's first bytes with `text`. */
  static answering(text: string | Buffer): Promise<TcpServer> {
    return TcpServer.start((socket) => socket.once("data", () => socket.write(text)));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  at(path: string, host = "127.0.0.1"): string {
    return `http://${host}:${this.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
