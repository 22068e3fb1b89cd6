/** One database file, and the runtimes that have it one after another. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairMemoryTransports, type Transport } from "@arcp/core";
import { type ARCPServer, type ARCPServerOptions, type Store, sqliteStore } from "@arcp/runtime";
import { QUIET_FEATURES, RawClient } from "../support/raw-client.ts";
import { RawClient10 } from "../support/raw-client-10.ts";
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

  readonly #prepare: (server: ARCPServer) => void;

  /** @param prepare Called with each runtime before a job of it runs. */
  constructor(
    agents: Readonly<Record<string, Durable>>,
    options: Partial<ARCPServerOptions> = {},
    prepare: (server: ARCPServer) => void = () => {},
  ) {
    this.#agents = agents;
    this.#options = options;
    this.#prepare = prepare;
  }

  get store(): Store {
    if (this.#life === undefined) throw new Error("no runtime has begun");
    return this.#life.store;
  }

  /**
   * @param wrap Stands between the runtime and its store.
   * @param agents Of this life; by default those of all.
   */
  async begin(wrap: (store: Store) => Store = (store) => store, agents = this.#agents): Promise<void> {
    const store = sqliteStore({ path: join(this.#directory, "runtime.db") });
    this.#life = { store, server: serverOn(wrap(store), agents, this.#options) };
    this.#prepare(this.server);
    await turns();
  }

  get server(): ARCPServer {
    if (this.#life === undefined) throw new Error("no runtime has begun");
    return this.#life.server;
  }

  /** A client of wire 1.1, without a session. */
  async raw(): Promise<RawClient> {
    return new RawClient(await this.#connect());
  }

  /** The same, welcomed. */
  async session(): Promise<RawClient> {
    const client = await this.raw();
    await client.hello(QUIET_FEATURES, "alice");
    return client;
  }

  /** The session of `client` again, from the last event that it has seen, on a new connection. */
  async resumed(client: RawClient): Promise<RawClient> {
    const again = await this.raw();
    const answer = await again.resume(client, client.numbered.at(-1)?.event_seq ?? 0, "alice", QUIET_FEATURES);
    if (answer.type !== "session.welcome") throw new Error(`not resumed: ${JSON.stringify(answer.payload)}`);
    return again;
  }

  /** A client of wire 1.0, accepted. */
  async session10(payload: object = {}): Promise<RawClient10> {
    const client = new RawClient10(await this.#connect());
    await client.open(payload);
    return client;
  }

  /** The session of `client` again, from the last message of a job that it has seen there. */
  async resumed10(client: RawClient10): Promise<RawClient10> {
    const again = await this.session10();
    const { sessionId } = client;
    const last = client.frames.findLast((frame) => frame.session_id === sessionId && frame.job_id !== undefined);
    const answer = await again.ask("resume", { after_message_id: last?.id }, { session_id: sessionId });
    if (answer.type === "nack") throw new Error(`not resumed: ${JSON.stringify(answer.payload)}`);
    again.sessionId = client.sessionId;
    return again;
  }

  async #connect(): Promise<Transport> {
    const [left, right] = pairMemoryTransports();
    await this.server.accept(right);
    return left;
  }

  /** Submits without waiting for anything but the acceptance. Returns the job's id. */
  async submit(agent: string, submission: object = {}): Promise<string> {
    const client = await this.session();
    const { payload } = await client.submit(agent, {}, submission);
    await turns();
    return payload.job_id;
  }

  /** The runtime ends without a word: nothing more reaches its store. */
  async kill(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.store.close();
    // In this process it has to be stopped besides.
    await life?.server.close().catch(() => {});
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
