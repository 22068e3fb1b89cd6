/** One database file, and the runtimes that have it one after another. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairMemoryTransports } from "@arcp/core";
import { type ARCPServer, type ARCPServerOptions, type Store, sqliteStore } from "@arcp/runtime";
import { RawClient } from "../support/raw-client.ts";
import { type Durable, serverOn } from "./crash-images.ts";

/** What is on its way through promises and turns of the event loop has come through. */
export const turns = async (): Promise<void> => {
  for (let n = 0; n < 100; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

export class Lives implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), "arcp-lives-"));
  readonly #agents: Readonly<Record<string, Durable>>;
  readonly #options: Partial<ARCPServerOptions>;
  #life: { readonly store: Store; readonly server: ARCPServer } | undefined;

  constructor(agents: Readonly<Record<string, Durable>>, options: Partial<ARCPServerOptions> = {}) {
    this.#agents = agents;
    this.#options = options;
  }

  get store(): Store {
    if (this.#life === undefined) throw new Error("no runtime has begun");
    return this.#life.store;
  }

  /** @param wrap Stands between the runtime and its store. */
  async begin(wrap: (store: Store) => Store = (store) => store): Promise<void> {
    const store = sqliteStore({ path: join(this.#directory, "runtime.db") });
    this.#life = { store, server: serverOn(wrap(store), this.#agents, this.#options) };
    await turns();
  }

  async submit(agent: string): Promise<void> {
    if (this.#life === undefined) throw new Error("no runtime has begun");
    const [left, right] = pairMemoryTransports();
    await this.#life.server.accept(right);
    const client = new RawClient(left);
    await client.hello(undefined, "alice");
    await client.submit(agent, {});
    await turns();
  }

  /** Ends the runtime gracefully, as far as its store lets it. */
  async end(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.server.close().catch(() => {}); // A store that has failed is what a test is about.
    await life?.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
