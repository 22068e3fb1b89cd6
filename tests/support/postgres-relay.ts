/** Between a store and a server: it loses answers, lets nobody in, or leads to another server, as an address does that fails over. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export class PostgresRelay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: URL;
  #isDeaf = false;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer((near) => {
      if (this.#isDeaf) return void near.destroy();
      const far = connect(Number(this.#target.port), this.#target.hostname);
      this.#sockets.add(near).add(far);
      for (const socket of [near, far]) socket.on("error", () => socket.destroy());
      near.pipe(far);
      far.on("data", (answer) => {
        // What was asked is done; nobody hears of it.
        if (this.#isDeaf) near.destroy();
        else near.write(answer);
      });
      far.on("close", () => near.destroy());
    });
  }

  /** With the URL that leads through it. It is gone after the test. */
  static async before(url: string): Promise<{ readonly relay: PostgresRelay; readonly url: string }> {
    const near = new URL(url);
    const relay = new PostgresRelay(new URL(url));
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    onTestFinished(() => {
      relay.#server.close();
      relay.#cut();
    });
    near.hostname = "127.0.0.1";
    near.port = String((relay.#server.address() as { port: number }).port);
    return { relay, url: near.href };
  }

  /** No answer comes any more, and nobody is let in. */
  deafen(): void {
    this.#isDeaf = true;
  }

  hear(): void {
    this.#isDeaf = false;
  }

  /** From now on it leads to the server of `url`, and what led elsewhere is cut. */
  lead(url: string): void {
    this.#target = new URL(url);
    this.#cut();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}
