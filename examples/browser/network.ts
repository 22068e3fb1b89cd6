/** The network between pages and the runtime: a TCP proxy that can be told to be gone. */
import { createServer, connect as dial, type Server, type Socket } from "node:net";

export class Network implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #isUp = true;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((near) => this.#join(near));
  }

  /** Listens on this machine and leads to the port `target` of it. */
  static async listen(target: number): Promise<Network> {
    const network = new Network(target);
    await new Promise<void>((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    return network;
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Down: every connection is reset, and no other can be made. */
  set isUp(isUp: boolean) {
    this.#isUp = isUp;
    if (!isUp) for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isUp = false;
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket): void {
    if (!this.#isUp) {
      near.resetAndDestroy();
      return;
    }
    const far = dial(this.#target, "127.0.0.1");
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      this.#sockets.add(socket);
      socket
        .on("error", () => socket.destroy())
        .on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      socket.pipe(other);
    }
  }
}
