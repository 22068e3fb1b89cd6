/**
 * The server side of the control channel: what a measured server tells the load process besides the protocol itself.
 *
 * A measured server is a child process. It prints one line of JSON with its URL, answers questions about what it has
 * used, opens the gate behind which jobs wait, and ends with the load process.
 */

/** What a server has used since it started. */
export interface Usage {
  /** Processor time of the whole process in microseconds, user and system. */
  readonly cpuMicros: number;
  readonly rssBytes: number;
  /** Live objects and the memory they hold outside of the heap; says something after a garbage collection. */
  readonly heldBytes: number;
}

export type ControlRequest =
  | { readonly ask: "usage"; readonly requestId: number }
  /** Collect garbage first. */
  | { readonly ask: "settled-usage"; readonly requestId: number }
  | { readonly ask: "release"; readonly requestId: number };
export type ControlReply = { readonly requestId: number; readonly usage: Usage };

/** What a server is started with, as JSON in its first argument. */
export interface ServerSettings {
  /** A directory of its own, for its database. */
  readonly directory: string;
  readonly synchronous: "NORMAL" | "FULL";
  /** A PostgreSQL that it shares with other nodes, in the place of a database of its own. */
  readonly database?: { readonly url: string; readonly schema: string };
}

export function serverSettings(): ServerSettings {
  const [argument] = process.argv.slice(2);
  if (argument === undefined || process.send === undefined) {
    console.error("this is a child process of bench/load.ts; to run the benchmarks: npm run bench");
    process.exit(2);
  }
  return JSON.parse(argument) as ServerSettings;
}

/** Jobs that were submitted with `gated` wait here until the load process has everyone in place. */
export class Gate {
  readonly #waiting: (() => void)[] = [];

  wait(then: () => void): void {
    this.#waiting.push(then);
  }

  release(): void {
    for (const then of this.#waiting.splice(0)) then();
  }
}

/** Tells the load process where to connect, and serves the control channel until that process goes. */
export function serveControl(url: string, gate: Gate): void {
  process.on("message", (request: ControlRequest) => {
    if (request.ask === "release") gate.release();
    if (request.ask === "settled-usage") globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed, external } = process.memoryUsage();
    const usage: Usage = { cpuMicros: user + system, rssBytes: rss, heldBytes: heapUsed + external };
    process.send?.({ requestId: request.requestId, usage } satisfies ControlReply);
  });
  process.on("disconnect", () => process.exit(0));
  process.stdout.write(`${JSON.stringify({ url })}\n`);
}

/** The inputs of the three agents that every measured server has. */
export interface StreamInput {
  /** `log` events to emit. */
  readonly count: number;
  /** Length of each message. */
  readonly bytes: number;
  /** Wait for the load process before the first one. */
  readonly gated?: boolean;
  /** Emit as many per second as this, each with the time as its message. */
  readonly perSecond?: number;
}
export interface ChunksInput {
  readonly chunks: number;
  readonly chunkBytes: number;
}
