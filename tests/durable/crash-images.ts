/** What a runtime that is killed right after one of its commits leaves on disk: one copy of its files per commit. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pairMemoryTransports, StaticBearerVerifier, silentLogger } from "@arcp/core";
import {
  type AgentHandler,
  type AgentOptions,
  ARCPServer,
  type ARCPServerOptions,
  type Store,
  sqliteStore,
} from "@arcp/runtime";
import { settle } from "../support/puppet.ts";
import { RawClient } from "../support/raw-client.ts";

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

  /** The file of the store. */
  get path(): string {
    return join(this.#directory, "runtime.db");
  }

  /** A store on a new file, or on a copy of the image at `from`, of which every commit is kept. */
  store(mark: () => unknown, from?: string): Store {
    const path = from === undefined ? this.path : this.#copy(from, "runtime.db");
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
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of a body
  readonly body: any;
}

/** A job as the store has it. */
export interface Kept {
  readonly agent: string;
  readonly status: string;
  /** Entries without their times; those that a job is ended with have their type as their kind. */
  readonly told: readonly Told[];
}

/** Every job of `store`, in the order in which they were made. */
export async function keptJobs(store: Store): Promise<readonly Kept[]> {
  const all: Kept[] = [];
  for await (const { jobId, agent, status } of store.jobs()) {
    const told: Told[] = [];
    for await (const { type, payload } of store.entries(jobId)) {
      const { kind = type, body = payload } = payload as { readonly kind?: string; readonly body?: unknown };
      told.push({ kind, body });
    }
    all.push({ agent, status, told });
  }
  return all;
}

/** Resolves when no job of `server` is left. */
export async function idle(server: ARCPServer): Promise<void> {
  while (server.runningJobs > 0) await new Promise((resolve) => setImmediate(resolve));
}

/** What is run, killed and gone on with. */
export interface Trial {
  /** The client submits `main`. */
  readonly agents: Readonly<Record<string, Durable>>;
  readonly input?: unknown;
  /** Members of the submission: its lease, above all. */
  readonly submission?: object;
  readonly server?: Partial<ARCPServerOptions>;
  /** Called with each runtime before a job of it runs: registers tools, lets people in. */
  readonly prepare?: (server: ARCPServer) => void | Promise<void>;
  /** What the agents have done to the world, in order. */
  readonly effects: string[];
}

/** What came of it. */
export interface Whole {
  readonly jobs: readonly Kept[];
  readonly effects: readonly string[];
}

/** A trial that was killed after one of its commits, and gone on with. */
export interface Resumed extends Whole {
  /** Effects of before the kill that were caused again after it. */
  readonly repeated: readonly string[];
}

/** Runs a trial that is never killed, and keeps an image of each of its commits. */
export async function uninterrupted(images: CrashImages, trial: Trial): Promise<Whole> {
  const { agents, effects, input = null, submission = {}, prepare } = trial;
  const store = images.store(() => [...effects]);
  const server = serverOn(store, agents, trial.server);
  await prepare?.(server);
  const [left, right] = pairMemoryTransports();
  await server.accept(right);
  const client = new RawClient(left);
  await client.hello(undefined, "alice");
  await client.submit("main", input, submission);
  await idle(server);
  left.abort("done");
  await server.close();
  const jobs = await keptJobs(store);
  await store.close();
  return { jobs, effects: [...effects] };
}

/** Goes on from each of the images in which a job had not ended, and hands what comes of it to `check`. */
export async function afterEveryCommit(
  { images }: CrashImages,
  trial: Trial,
  check: (resumed: Resumed) => void | Promise<void>,
): Promise<number> {
  const { agents, effects, prepare } = trial;
  let count = 0;
  for (const { path, mark } of images) {
    effects.splice(0, effects.length, ...(mark as string[]));
    const before = effects.length;
    const store = sqliteStore({ path, synchronous: "NORMAL" });
    const isOver = (await keptJobs(store)).every(({ status }) => !["pending", "running"].includes(status));
    if (!isOver) {
      const server = serverOn(store, agents, trial.server);
      await prepare?.(server);
      await settle(RECOVERY_TURNS);
      await idle(server);
      await server.close();
      const repeated = effects.slice(before).filter((effect) => effects.indexOf(effect) < before);
      await check({ jobs: await keptJobs(store), effects: [...effects], repeated });
      count += 1;
    }
    await store.close();
  }
  return count;
}

/**
 * Runs a trial that is killed again and again: each life after the commit that is so far into it, from 0 to below 1; the last
 * one is not.
 */
export async function killedAt(trial: Trial, points: readonly number[]): Promise<Whole> {
  const { effects } = trial;
  const lives: CrashImages[] = [new CrashImages()];
  try {
    await uninterrupted(lives[0] as CrashImages, trial);
    for (const point of points) {
      const { images } = lives.at(-1) as CrashImages;
      const image = images[Math.floor(point * images.length)];
      // That life had nothing left to do.
      if (image === undefined) break;
      effects.splice(0, effects.length, ...(image.mark as string[]));
      const life = new CrashImages();
      lives.push(life);
      await goOn(
        trial,
        life.store(() => [...effects], image.path),
      );
    }
    const last = lives.at(-1) as CrashImages;
    const store = sqliteStore({ path: last.path });
    const jobs = await keptJobs(store);
    await store.close();
    return { jobs, effects: [...effects] };
  } finally {
    for (const life of lives) life[Symbol.dispose]();
  }
}

/** Has a runtime on `store` until nothing is left to do. */
async function goOn({ agents, server: options, prepare }: Trial, store: Store): Promise<void> {
  const server = serverOn(store, agents, options);
  await prepare?.(server);
  await settle(RECOVERY_TURNS);
  await idle(server);
  await server.close();
  await store.close();
}

/** After so many the recovery of a new runtime has begun its jobs. */
const RECOVERY_TURNS = 50;

/** Of one agent's only job: what its clients see of it, without what the runtime says of its own restarts. */
export const toldBy = ({ jobs }: Whole, agent = "main"): readonly Told[] =>
  (jobs.find((job) => job.agent === agent)?.told ?? []).filter((told) => !isOfRestart(told)).map(withoutIds);

const isOfRestart = ({ kind, body }: Told): boolean => kind === "status" && body.phase === "resumed";

/** Ids are made anew in each run of the whole, and so are times. */
function withoutIds({ kind, body }: Told): Told {
  const text = JSON.stringify(body)
    .replace(/\b(chk|res|job|del|dlg|call|q|art)_[0-9A-Za-z]+/g, "$1")
    .replace(/"(created_at|expires_at|responded_at)":"[^"]*"/g, '"$1":""');
  return { kind, body: JSON.parse(text) };
}
