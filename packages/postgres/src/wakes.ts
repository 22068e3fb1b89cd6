/**
 * What other nodes must look at: said with NOTIFY, heard with LISTEN, on one channel per schema.
 *
 * NOTIFY takes a lock that all of a server share until its transaction is on disk, so it is no part of a commit: what there is
 * to say is gathered for a few milliseconds, and goes out by itself, one statement at a time. What is lost costs time and nothing
 * else, because everything is looked for anyway.
 */
import { type JobId, rootLogger, type SessionId, ulid } from "@arcp/core";
import type { NodeId, Wake } from "@arcp/runtime";
import pg from "pg";
import type { Ask } from "./connections.ts";

/** What a notification holds at most: less than the 8000 bytes that PostgreSQL takes. */
const MAX_JOBS = 100;
const MAX_OTHERS = 20;
/** Between two attempts to listen. */
const RETRY_MS = [100, 300, 1_000, 3_000] as const;
/** How often a silent connection is asked whether it still stands. */
const PING_MS = 15_000;

/** One notification. Short names: every node reads it. */
interface Told {
  /** Of this process. */
  readonly from: string;
  /** `*`: more than could be named. */
  readonly jobs?: readonly JobId[] | "*";
  readonly made?: readonly (readonly [JobId, SessionId])[];
  readonly taken?: readonly SessionId[];
  readonly to?: readonly NodeId[];
  readonly work?: true;
}

/** What has happened and has not been said yet. */
class Unsaid {
  readonly jobs = new Set<JobId>();
  readonly made = new Map<JobId, SessionId>();
  readonly taken = new Set<SessionId>();
  readonly receivers = new Set<NodeId>();
  hasWork = false;

  get isEmpty(): boolean {
    const { jobs, made, taken, receivers } = this;
    return jobs.size + made.size + taken.size + receivers.size === 0 && !this.hasWork;
  }

  /** As much as goes into one notification; the rest stays. */
  take(from: string): Told {
    const { jobs, hasWork } = this;
    const told: Told = {
      from,
      ...(jobs.size > 0 && { jobs: jobs.size > MAX_JOBS ? ("*" as const) : [...jobs] }),
      ...(this.made.size > 0 && { made: [...this.made].slice(0, MAX_OTHERS) }),
      ...(this.taken.size > 0 && { taken: [...this.taken].slice(0, MAX_OTHERS) }),
      ...(this.receivers.size > 0 && { to: [...this.receivers].slice(0, MAX_OTHERS) }),
      ...(hasWork && { work: true as const }),
    };
    jobs.clear();
    for (const [id] of told.made ?? []) this.made.delete(id);
    for (const id of told.taken ?? []) this.taken.delete(id);
    for (const id of told.to ?? []) this.receivers.delete(id);
    this.hasWork = false;
    return told;
  }
}

export interface WakesOptions {
  readonly ask: Ask;
  readonly schema: string;
  /** Of the connection that listens. */
  readonly listener: pg.ClientConfig;
  /** How long is gathered what there is to say, in milliseconds. */
  readonly gatherMs: number;
  /** The database's clock less this process's monotonic one; `undefined` while that is not known. */
  readonly clockOffset: () => number | undefined;
  /** Who this process is, once it is a node. */
  readonly self: () => NodeId | undefined;
}

export class Wakes {
  readonly #options: WakesOptions;
  readonly #from = ulid();
  readonly #channel: string;
  readonly #watchers = new Set<(wake: Wake) => void>();
  readonly #unsaid = new Unsaid();
  #saying: Promise<void> | undefined;
  #listener: Listener | undefined;

  constructor(options: WakesOptions) {
    this.#options = options;
    this.#channel = `arcp_${options.schema}`;
  }

  /** The journals of these jobs have grown, or they have ended. */
  grown(ids: Iterable<JobId>): void {
    for (const id of ids) this.#unsaid.jobs.add(id);
    this.#later();
  }

  made(id: JobId, session: SessionId): void {
    this.#unsaid.made.set(id, session);
    this.#later();
  }

  taken(id: SessionId): void {
    this.#unsaid.taken.add(id);
    this.#later();
  }

  sent(receivers: Iterable<NodeId>): void {
    for (const id of receivers) this.#unsaid.receivers.add(id);
    this.#later();
  }

  work(): void {
    this.#unsaid.hasWork = true;
    this.#later();
  }

  watch(onWake: (wake: Wake) => void): () => void {
    // Of its own: the same function may watch twice.
    const watcher = (wake: Wake): void => onWake(wake);
    this.#watchers.add(watcher);
    this.#listener ??= new Listener(this.#options.listener, this.#channel, {
      onTold: (payload) => this.#hear(payload),
      onListening: () => this.#tell(everything()),
    });
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0) return;
      this.#listener?.close();
      this.#listener = undefined;
    };
  }

  /** Resolves when what has happened was said, or could not be. */
  async close(): Promise<void> {
    this.#watchers.clear();
    this.#listener?.close();
    this.#listener = undefined;
    while (this.#saying !== undefined) await this.#saying;
  }

  #later(): void {
    this.#saying ??= this.#say().finally(() => {
      this.#saying = undefined;
      if (!this.#unsaid.isEmpty) this.#later();
    });
  }

  async #say(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#options.gatherMs));
    const told = JSON.stringify(this.#unsaid.take(this.#from));
    try {
      await this.#options.ask(`SELECT pg_notify($1, "${this.#options.schema}".now_ms() || $2)`, [this.#channel, told]);
    } catch (err) {
      rootLogger.debug({ err }, "other nodes were not told of what was committed");
    }
  }

  #hear(payload: string): void {
    const start = payload.indexOf("{");
    const told = JSON.parse(payload.slice(start)) as Told;
    if (told.from === this.#from) return;
    const self = this.#options.self();
    const offset = this.#options.clockOffset();
    this.#tell({
      jobs: told.jobs === "*" ? undefined : new Set(told.jobs),
      made: new Map(told.made),
      sessions: new Set(told.taken),
      hasMessages: self !== undefined && told.to?.includes(self) === true,
      hasWork: told.work === true,
      sentAgoMs:
        offset === undefined ? undefined : Math.max(performance.now() + offset - Number(payload.slice(0, start)), 0),
    });
  }

  #tell(wake: Wake): void {
    for (const watcher of this.#watchers) watcher(wake);
  }
}

/** What may have happened while nobody listened. */
const everything = (): Wake => ({
  ...{ jobs: undefined, made: new Map(), sessions: new Set(), hasMessages: true, hasWork: true, sentAgoMs: undefined },
});

interface ListenerEvents {
  readonly onTold: (payload: string) => void;
  /** From now on. Called again whenever it had to connect anew. */
  readonly onListening: () => void;
}

/**
 * The connection that listens.
 *
 *   connecting -> listening   LISTEN was answered
 *   listening  -> connecting  the connection ended, or a ping was not answered
 *   connecting -> connecting  it failed: after a while, once more
 *   any        -> closed      close()
 */
class Listener {
  readonly #config: pg.ClientConfig;
  readonly #channel: string;
  readonly #events: ListenerEvents;
  #client: pg.Client | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(config: pg.ClientConfig, channel: string, events: ListenerEvents) {
    this.#config = config;
    this.#channel = channel;
    this.#events = events;
    void this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#end(this.#client);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(this.#config);
    this.#client = client;
    client.on("error", () => this.#lost(client));
    client.on("end", () => this.#lost(client));
    client.on("notification", ({ payload = "" }) => this.#events.onTold(payload));
    try {
      await client.connect();
      await client.query(`LISTEN "${this.#channel}"`);
    } catch (err) {
      rootLogger.debug({ err }, "what other nodes commit cannot be listened for");
      this.#lost(client);
      return;
    }
    if (this.#client !== client || this.#isClosed) return this.#end(client);
    this.#failures = 0;
    this.#ping(client);
    this.#events.onListening();
  }

  #ping(client: pg.Client): void {
    this.#timer = setTimeout(() => {
      client.query("SELECT 1").then(
        () => {
          if (this.#client === client && !this.#isClosed) this.#ping(client);
        },
        () => this.#lost(client),
      );
    }, PING_MS);
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client || this.#isClosed) return;
    this.#client = undefined;
    clearTimeout(this.#timer);
    this.#end(client);
    this.#timer = setTimeout(() => void this.#connect(), RETRY_MS[Math.min(this.#failures, RETRY_MS.length - 1)]);
    this.#failures += 1;
  }

  #end(client: pg.Client | undefined): void {
    client?.end().catch(() => {
      // It has ended already.
    });
  }
}
