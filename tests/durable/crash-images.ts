/** What a runtime that is killed right after one of its commits leaves on disk: one copy of its files per commit. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StaticBearerVerifier, silentLogger } from "@arcp/core";
import {
  type AgentHandler,
  type AgentOptions,
  ARCPServer,
  type ARCPServerOptions,
  type Store,
  sqliteStore,
} from "@arcp/runtime";

export interface Image {
  /** The database file. */
  readonly path: string;
  /** What `mark` returned when the commit was made. */
  readonly mark: unknown;
}

export interface Durable {
  readonly handler: AgentHandler;
  readonly options?: AgentOptions;
}

/** A runtime over the file at `path`, with the agents `agents`. */
export const serverOn = (
  store: Store,
  agents: Readonly<Record<string, Durable>>,
  options: Partial<ARCPServerOptions> = {},
): ARCPServer => {
  const server = new ARCPServer({
    runtime: { name: "durable", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
    logger: silentLogger,
    eventLog: store,
    ...options,
  });
  for (const [name, { handler, options: agentOptions }] of Object.entries(agents)) {
    server.registerAgent(name, handler, { durable: true, ...agentOptions });
  }
  return server;
};

export class CrashImages {
  readonly #directory = mkdtempSync(join(tmpdir(), "arcp-durable-"));
  readonly images: Image[] = [];

  /** A store on a new file, of which every commit is kept. */
  store(mark: () => unknown): Store {
    const path = join(this.#directory, "runtime.db");
    const store = sqliteStore({ path, synchronous: "NORMAL" });
    const commit = async (batch: Parameters<Store["commit"]>[0]): Promise<void> => {
      await store.commit(batch);
      this.images.push({ path: this.#copy(path, `image-${this.images.length}`), mark: mark() });
    };
    return new Proxy(store, {
      get(target, name) {
        if (name === "commit") return commit;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  #copy(path: string, name: string): string {
    const to = join(this.#directory, name);
    for (const suffix of ["", "-wal"]) if (existsSync(path + suffix)) copyFileSync(path + suffix, to + suffix);
    return to;
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** One entry of a job's journal, without its time. */
export interface Told {
  readonly kind: string;
  readonly body: unknown;
}

/** Everything of the journals in `server`'s store, by agent; entries without their times. */
export async function journals(store: Store): Promise<ReadonlyMap<string, readonly Told[]>> {
  const all = new Map<string, Told[]>();
  for await (const { jobId, agent } of store.jobs()) {
    const told: Told[] = [];
    for await (const { type, payload } of store.entries(jobId)) {
      const { kind = type, body = payload } = payload as { readonly kind?: string; readonly body?: unknown };
      told.push({ kind, body });
    }
    all.set(agent, told);
  }
  return all;
}

/** Resolves when no job of `server` is left. */
export async function idle(server: ARCPServer): Promise<void> {
  while (server.runningJobs > 0) await new Promise((resolve) => setImmediate(resolve));
}
