/**
 * What stands in front of the nodes: a TCP proxy that gives each new connection to the next node that takes it, and remembers
 * nothing. nginx.conf and haproxy.cfg do the same in earnest.
 */
import { createServer, Socket } from "node:net";

export interface Backend {
  readonly name: string;
  /** On this machine. */
  readonly port: number;
}

export interface TcpProxyOptions {
  /** In the order in which they are tried. */
  readonly backends: readonly Backend[];
  readonly onConnection: (backend: Backend) => void;
  /** Default: any free port. */
  readonly port?: number;
}

export class TcpProxy implements AsyncDisposable {
  readonly #options: TcpProxyOptions;
  readonly #server = createServer((client) => void this.#join(client));
  readonly #sockets = new Set<Socket>();
  #next = 0;

  private constructor(options: TcpProxyOptions) {
    this.#options = options;
  }

  /** Listens on this machine alone. Rejects if the port is taken. */
  static async listen(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject).listen(options.port ?? 0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    return `ws://127.0.0.1:${typeof address === "object" ? address?.port : 0}/arcp`;
  }

  /** Drops every connection, without a goodbye. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #join(client: Socket): Promise<void> {
    this.#keep(client);
    const { backends, onConnection } = this.#options;
    for (let tried = 0; tried < backends.length; tried += 1) {
      const backend = backends[this.#next % backends.length];
      this.#next += 1;
      const node = backend && (await connected(backend.port));
      if (backend === undefined || node === undefined) continue;
      this.#keep(node);
      onConnection(backend);
      client.on("close", () => node.destroy());
      node.on("close", () => client.destroy());
      client.pipe(node).pipe(client);
      return;
    }
    client.destroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** `undefined` if nobody listens there. */
function connected(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = new Socket().once("error", () => resolve(undefined));
    socket.connect(port, "127.0.0.1", () => resolve(socket));
  });
}
