/** The way of frames over HTTP with Server-Sent Events, in front of the suite, which has WebSockets alone. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type HttpTransportHandler, httpTransport, type Transport } from "@arcp/core";
import WebSocket from "ws";

export class HttpRelay implements AsyncDisposable {
  readonly #server: Server;
  readonly #handlers = new Map<string, HttpTransportHandler>();

  constructor() {
    this.#server = createServer((request, response) => {
      const [, to = ""] = request.url?.split("/") ?? [];
      const handler = this.#handlers.get(to);
      if (handler === undefined || !handler.handle(request, response)) response.writeHead(404).end();
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  /** An address over HTTP of what listens at `url`. */
  address(url: string): string {
    const [, to = ""] = new URL(url).pathname.split("/");
    const path = `/${to}/http`;
    this.#handlers.set(to, httpTransport({ path, onTransport: (transport) => relay(transport, url) }));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handler of this.#handlers.values()) handler.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function relay(transport: Transport, url: string): void {
  const socket = new WebSocket(url);
  const early: string[] = [];
  transport.onFrame((text) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(text);
    else early.push(text);
  });
  socket.on("open", () => {
    for (const text of early) socket.send(text);
  });
  socket.on("message", (data: Buffer, isBinary) => {
    if (!isBinary) transport.send(data.toString("utf8"));
  });
  socket.on("error", () => {
    // A close follows.
  });
  // An end without a close frame is a cut.
  socket.on("close", (code) => (code === 1006 ? transport.abort("cut") : transport.close(code)));
  void transport.closed.then(() => socket.close());
}
